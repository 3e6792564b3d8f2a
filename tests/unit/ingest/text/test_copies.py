"""Copies of one text, measured on pairs of real news that were read, and on the cases that users reported."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.text.copies import Lead, is_copy, lead_of
from ingest.text.near_duplicates import lsh_bands, without_frame
from models.inference.canonical import without_patterns
from tests.helpers.shared_data import shared_dir

PAIRS = Path(__file__).parents[3] / "data" / "story_pairs.tsv"
MINUTE = timedelta(minutes=1)


def joins(one: tuple[str, str], other: tuple[str, str], apart: timedelta = MINUTE) -> bool:
    """Whether the worker joins two articles: a shared band, and leads that are copies."""
    a, b = without_patterns(*one), without_patterns(*other)
    leads = [lead_of(each.title, without_frame(each.text)) for each in (a, b)]
    return bool(set(lsh_bands(a.title, a.text)) & set(lsh_bands(b.title, b.text))) and is_copy(leads[0], leads[1], apart)


def test_precision_and_recall_on_pairs_that_were_read():
    """The half of 400 pairs that constants were not chosen on: precision .97 and recall .90 when written."""
    streams = shared_dir() / "data" / "stream"
    rows = [line.split("\t") for line in PAIRS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(rows) == 400
    wanted = {(stream, source, ident) for stream, *ids, _ in rows for source, ident in (ids[:2], ids[2:])}
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for stream in {row[0] for row in rows}:
        with gzip.open(streams / f"{stream}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                item = json.loads(line)
                key = (stream, item["source"], str(item["id"]))
                if key in wanted:
                    found.setdefault(key, item)
    assert found.keys() == wanted
    right = wrong = missed = 0
    for stream, source, ident, other_source, other, verdict in rows:
        if not int(hashlib.sha1(f"{stream} {ident} {other}".encode(), usedforsecurity=False).hexdigest(), 16) % 2:
            continue
        a, b = found[stream, source, ident], found[stream, other_source, other]
        apart = datetime.fromisoformat(b["published"]) - datetime.fromisoformat(a["published"])
        joined = joins((a["title"], a["text"]), (b["title"], b["text"]), apart)
        right += joined and verdict == "1"
        wrong += joined and verdict == "0"
        missed += not joined and verdict == "1"
    assert right / (right + wrong) >= 0.95
    assert right / (right + missed) >= 0.88


@pytest.mark.parametrize(
    ("case", "file", "stories"),
    [
        ("19_template_news_is_one_story", "template.jsonl", 12),
        ("19_template_news_is_one_story", "template_en.jsonl", 12),
        ("20_short_headline_copies", "short.jsonl", 1),
        ("20_short_headline_copies", "long.jsonl", 1),
    ],
)
def test_the_cases_that_users_reported(case: str, file: str, stories: int):
    path = shared_dir() / "cases" / case / file
    items = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [(item.get("title", ""), item.get("text", "")) for item in items]
    joined = [[joins(one, other) for other in texts] for one in texts]
    if stories == 1:
        assert all(map(all, joined))
    else:
        assert len(texts) == stories
        assert sum(map(sum, joined)) == stories, "each with itself alone"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("海棠实业获准发行债券", "海棠实业6月5日公告，公司获准发行不超过30.50亿元公司债券，期限为五年。"),
         ("海棠实业获准发行债券", "近日，海棠实业(600999.SH)公告称，公司获准发行不超过30.5亿元公司债券，期限为五年。")),
        (("【转载】海棠实业获准发行债券", "海棠实业公告，公司获准发行不超过三十亿元公司债券，期限为五年。（来源：远山社）"),
         ("更新｜海棠实业获准发行债券", "海棠实业公告，公司获准发行不超过三十亿元公司债券，期限为五年。（北屿社综合报道）")),
        (("海棠实业上半年净利同比增长492%-604%", "海棠实业公告，预计上半年净利1.60亿元，同比增长492%-604%，系产品销量增长。"),
         ("海棠实业上半年净利同比增长492.49%-603.58%", "海棠实业公告，预计上半年净利1.6亿元，同比增长492.49%-603.58%，系产品销量增长。")),
        (("", "海棠实业期货主力合约涨4.12%，报2829元/吨。"), ("海棠实业期货主力合约涨4.12%", "报2829元/吨。")),
        (("Birch Foods opens a plant", "Birch Foods opened a plant in Gent on Friday, its second in the region, and will hire 300."),
         ("UPDATE 1-Birch Foods opens a plant", "Birch Foods opened a plant in Gent on Friday, its second in the region.")),
    ],
)  # fmt: skip
def test_cuts_frames_and_ways_of_writing_leave_a_copy(one: tuple[str, str], other: tuple[str, str]):
    assert joins(one, other)
    assert joins(other, one)


@given(st.text(max_size=120), st.text(max_size=300), st.text(max_size=120), st.text(max_size=300))
def test_any_texts_are_compared_and_the_stored_form_loses_nothing(title: str, text: str, other_title: str, other_text: str):
    one, other = lead_of(title, text), lead_of(other_title, other_text)
    assert Lead.from_stored(one.stored()) == one
    assert is_copy(one, other, MINUTE) in (True, False)
    assert is_copy(one, other, MINUTE) == is_copy(one, other, -MINUTE)


def test_comparing_is_fast():
    """Measured: 0.2 ms for a pair; limit: 1 ms."""
    text = "该公司今日发布公告称，因主要供应商停产，旗下两家工厂将于下周起减产三成，预计影响本季度营收约4.6亿元，公司正与客户协商延期交付。"
    begun = time.process_time()
    for number in range(300):
        is_copy(lead_of(f"标题{number}", f"{number}{text}"), lead_of("另一个标题", f"{text}{number}"), MINUTE)
    assert time.process_time() - begun < 0.3
