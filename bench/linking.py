"""Benchmark of company linking: companies found by the gazetteer, compared with those that a news agency tagged, and with a reader's."""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ingest.companies.codes import share_code
from ingest.companies.gazetteer import Gazetteer
from ingest.text.folding import fold

_MARK = re.compile(r"-[A-Z]+$|\s")
"""What codes' lists add to a name: "-W", blanks."""


class Linking(msgspec.Struct, frozen=True):
    """Scores on n texts with at least one tagged share.

    precision: share of the found companies that are tagged; a lower bound, because the agency tags only some of them
    recall: share of the tagged shares that are found; standing_recall: the same for those whose name or code stands in the text
    """

    n: int
    companies: int
    precision: float
    recall: float
    standing_recall: float
    ms_per_text: float


class ReadLinks(msgspec.Struct, frozen=True):
    """Mentions in texts that a person has read.

    read: mentions found whose verdict is known; unread: mentions found without one
    precision: share of the read ones that are right; kept: share of the mentions judged right that are found
    """

    texts: int
    read: int
    unread: int
    precision: float
    kept: float


def measure(gazetteer: Gazetteer, path: Path, n: int = 2000) -> Linking:
    """Score `n` random but fixed rows of a stream file with the field `stocks`; indexes and funds are left out."""
    rows = []
    for row in _rows(path):
        codes = {(code, stock["name"] or "") for stock in row["stocks"] if (code := share_code(stock["code"])) and not _is_index(code)}
        if codes:
            rows.append((text_of(row), codes))
    drawn = random.Random(0).sample(rows, min(n, len(rows)))
    main = {code: company.key for company in gazetteer.companies.values() for code in (company.key, *company.codes)}
    right = found_companies = wanted = got = standing = standing_found = 0
    began = time.perf_counter()
    found = [{mention.company for mention in gazetteer.mentions(text)} for text, _ in drawn]
    spent = time.perf_counter() - began
    for keys, (text, codes) in zip(found, drawn, strict=True):
        right += len(keys & {main.get(code, code) for code, _ in codes})
        found_companies += len(keys)
        for code, name in codes:
            hit = main.get(code, code) in keys
            wanted, got = wanted + 1, got + hit
            if _stands(text, code, name):
                standing, standing_found = standing + 1, standing_found + hit
    return Linking(
        len(drawn), len(gazetteer.companies), right / found_companies, got / wanted, standing_found / standing, spent / len(drawn) * 1e3
    )


def measure_read(gazetteer: Gazetteer, verdicts: Path, streams: Path) -> ReadLinks:
    """Compare the mentions with a reader's verdicts.

    Args:
        verdicts: tab-separated file with the columns stream, id, company, right (0 or 1).
        streams: folder of the stream files, STREAM.jsonl.gz.
    """
    with verdicts.open(encoding="utf8", newline="") as file:
        judged = {(row["stream"], row["id"], row["company"]): row["right"] == "1" for row in csv.DictReader(file, delimiter="\t")}
    texts = {(stream, ident) for stream, ident, _ in judged}
    found: set[tuple[str, str, str]] = set()
    seen: set[tuple[str, str]] = set()
    for stream in sorted({stream for stream, _ in texts}):
        for row in _rows(streams / f"{stream}.jsonl.gz"):
            place = (stream, str(row["id"]))
            if place in texts and place not in seen:  # some ids occur again, with a later text
                seen.add(place)
                found |= {(*place, mention.company) for mention in gazetteer.mentions(text_of(row))}
    read = [judged[each] for each in found if each in judged]
    right = {each for each, verdict in judged.items() if verdict}
    return ReadLinks(len(seen), len(read), len(found) - len(read), sum(read) / len(read), len(found & right) / len(right))


def text_of(row: dict[str, Any]) -> str:
    """Title and text of a row of a stream file."""
    return f"{row['title'] or ''}\n{row['text']}"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf8") as lines:
        yield from map(json.loads, lines)


def _is_index(code: str) -> bool:
    number, _, market = code.partition(".")
    return market in ("SH", "SZ") and number.startswith(("399", "000" if market == "SH" else "399", "1", "5"))


def _stands(text: str, code: str, name: str) -> bool:
    digits, plain = code.partition(".")[0], _MARK.sub("", name)
    return (len(plain) > 1 and plain in fold(text).replace(" ", "")) or (len(digits) >= 5 and digits in text)
