"""Benchmark of company linking: companies found by the gazetteer, compared with those that a news agency tagged."""

from __future__ import annotations

import gzip
import json
import random
import time
from pathlib import Path

import msgspec

from ingest.companies.gazetteer import Gazetteer, share_code


class Linking(msgspec.Struct, frozen=True):
    """Scores on n texts with at least one tagged share.

    precision: share of the found companies that are tagged; a lower bound, because the agency tags only some of them
    recall: share of the tagged companies that are found; listed_recall: the same for those that the gazetteer contains
    """

    n: int
    companies: int
    precision: float
    recall: float
    listed_recall: float
    ms_per_text: float


def measure(gazetteer: Gazetteer, path: Path, n: int = 2000) -> Linking:
    """Score `n` random but fixed rows of a stream file with the field `stocks`."""
    rows = []
    with gzip.open(path, "rt", encoding="utf8") as lines:
        for line in lines:
            row = json.loads(line)
            codes = {code for stock in row["stocks"] if (code := share_code(stock["code"]))}
            if codes:
                rows.append((f"{row['title'] or ''} {row['text']}", codes))
    drawn = random.Random(0).sample(rows, min(n, len(rows)))
    main = {code: company.key for company in gazetteer.companies.values() for code in (company.key, *company.codes)}
    right = found_companies = wanted = listed = 0
    began = time.perf_counter()
    found = [{mention.company for mention in gazetteer.mentions(text)} for text, _ in drawn]
    spent = time.perf_counter() - began
    for names, (_, codes) in zip(found, drawn, strict=True):
        right += len(names & {main.get(code, code) for code in codes})
        found_companies, wanted = found_companies + len(names), wanted + len(codes)
        listed += sum(code in main for code in codes)
    return Linking(len(drawn), len(gazetteer.companies), right / found_companies, right / wanted, right / listed, spent / len(drawn) * 1e3)
