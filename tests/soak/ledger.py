"""What was sent, what was acknowledged, and what is there in the end."""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol


class Reads(Protocol):
    def __call__(self, sql: str) -> list[tuple[Any, ...]]: ...


@dataclass
class Ledger:
    """Written by the load, read at the end. Articles by id; broken records by their place in Kafka."""

    sent: dict[str, str] = field(default_factory=dict)
    """id to the company that the article names"""
    acked: set[str] = field(default_factory=set)
    broken: dict[tuple[int, int], bytes] = field(default_factory=dict)
    crises: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def problems(self, read: Reads, key: str = "id") -> dict[str, int]:
        """What is wrong with the store, counted. key: the column of `articles` that `sent` is keyed by"""
        times = Counter({str(row[0]): int(row[1]) for row in read(f"SELECT {key}, count() FROM articles FINAL GROUP BY {key}")})
        mentions = read("SELECT count() - uniqExact((series, id)) FROM mentions FINAL")
        companies = dict(
            read("SELECT substring(series, 9), uniqExact(id) FROM mentions WHERE startsWith(series, 'company:') GROUP BY series")
        )
        named = Counter(company for ident, company in self.sent.items() if company and ident in times)
        return {
            "lost": len(self.acked - times.keys()),
            "doubled": sum(count > 1 for count in times.values()),
            "invented": len(times.keys() - self.sent.keys()),
            "mentions doubled": int(mentions[0][0]),
            "mentions missing": sum(companies.get(company, 0) != count for company, count in named.items()),
        }

    def dead_problems(self, letters: Iterable[tuple[Any, ...]]) -> dict[str, int]:
        """What is wrong with the dead letters: (partition, offset, value in base64) of each."""
        held = {(int(row[0]), int(row[1])): base64.b64decode(row[2]) for row in letters}
        bodies = set(self.broken.values())
        return {
            "broken, not set aside": sum(held.get(place) != body for place, body in self.broken.items()),
            "set aside by mistake": sum(body not in bodies for body in held.values()),
        }
