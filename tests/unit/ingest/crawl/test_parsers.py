"""Feeds and pages parsed in processes of their own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from core.errors import SourceError
from ingest.crawl import parsers
from ingest.crawl.parsers import InProcess, ParserPool

FEED = "<rss version='2.0'><channel><title>电讯</title><item><title>债券违约</title><link>https://a.example/1</link></item></channel></rss>"
PAGE = "<html><head><title>停牌</title></head><body><article><p>公司公告称股票停牌，复牌时间另行通知。</p></article></body></html>"


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with contextlib.closing(ParserPool(processes=1, cpu_s=2)) as made:
        yield made


def test_the_results_are_those_of_the_parsers(pool: ParserPool):
    assert pool.feed(FEED.encode(), url="https://a.example/f") == InProcess().feed(FEED.encode(), url="https://a.example/f")
    assert pool.page(PAGE.encode(), url="https://a.example/1") == InProcess().page(PAGE.encode(), url="https://a.example/1")
    with pytest.raises(SourceError, match="neither RSS nor Atom"):
        pool.feed(b"hello", url="https://a.example/f")


def test_a_document_over_its_budget_costs_its_source_only(pool: ParserPool):
    large = FEED.replace("</item>", "</item>" + "<item><title>x</title></item>" * 200_000).encode()
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"https://evil\.example/f: the document takes more than 2 s of processor time"):
        pool.feed(large, url="https://evil.example/f")
    assert time.monotonic() - began < parsers.WALL_S
    assert pool.feed(FEED.encode(), url="https://a.example/f").entries[0].title == "债券违约"


def test_a_killed_process_is_replaced(pool: ParserPool):
    pool.feed(FEED.encode(), url="https://a.example/f")
    process = pool._free.get()
    assert process is not None
    process._process.kill()
    pool._free.put(process)
    process._process.wait()
    assert len(pool.feed(FEED.encode(), url="https://a.example/f").entries) == 1


def test_a_closed_pool_refuses_documents_instead_of_waiting():
    pool = ParserPool(processes=1)
    pool.close()
    with pytest.raises(SourceError, match="the parsers are closed"):
        pool.feed(FEED.encode(), url="https://a.example/f")


def test_the_common_path_costs_little_more_than_in_process(pool: ParserPool):
    data = FEED.replace("</item>", "</item>" + "<item><title>x</title></item>" * 50).encode()
    for each in (pool, InProcess()):
        each.feed(data, url="https://a.example/f")
    took = {}
    for name, each in (("pool", pool), ("here", InProcess())):
        runs = []
        for _ in range(5):
            began = time.perf_counter()
            each.feed(data, url="https://a.example/f")
            runs.append(time.perf_counter() - began)
        took[name] = min(runs)
    assert took["pool"] < 3 * took["here"] + 0.05, took
