"""Compares acknowledged records with those visible in the end."""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol


class Query(Protocol):
    def __call__(self, sql: str) -> list[tuple[Any, ...]]: ...


@dataclass
class Ledger:
    """Written by the load, read at the end. Articles by id; broken records by partition and offset."""

    sent: dict[str, str] = field(default_factory=dict)
    """From id to the company that the article names."""
    acked: set[str] = field(default_factory=set)
    broken: dict[tuple[int, int], bytes] = field(default_factory=dict)
    crises: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def problems(self, read: Query, key: str = "id") -> dict[str, int]:
        """Counts of problems in the store. key: the column of `articles` that `sent` is keyed by"""
        times = Counter({str(row[0]): int(row[1]) for row in read(f"SELECT {key}, count() FROM articles FINAL GROUP BY {key}")})
        mentions = read("SELECT count() - uniqExact((series, id)) FROM mentions FINAL")
        companies = dict(
            read("SELECT substring(series, 9), uniqExact(id) FROM mentions WHERE startsWith(series, 'company:') GROUP BY series")
        )
        named = Counter(company for ident, company in self.sent.items() if company and ident in times)
        return {
            "lost": len(self.acked - times.keys()),
            "duplicated": sum(count > 1 for count in times.values()),
            "unknown": len(times.keys() - self.sent.keys()),
            "mentions duplicated": int(mentions[0][0]),
            "mentions missing": sum(companies.get(company, 0) != count for company, count in named.items()),
        }

    def dead_problems(self, letters: Iterable[tuple[Any, ...]]) -> dict[str, int]:
        """Counts of problems in the dead letters. letters: (partition, offset, value in base64)"""
        found = {(int(row[0]), int(row[1])): base64.b64decode(row[2]) for row in letters}
        bodies = set(self.broken.values())
        return {
            "broken, no dead letter": sum(found.get(position) != body for position, body in self.broken.items()),
            "dead letter by mistake": sum(body not in bodies for body in found.values()),
        }
