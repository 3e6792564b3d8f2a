"""Feeds and pages that mislead: what once got through the doors does so no more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.feeds import Entry, parse
from spine.errors import SourceError

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
URL = "https://news.example/feed"


def rss(inside: str) -> bytes:
    return f'<rss version="2.0"><channel><title>t</title>{inside}</channel></rss>'.encode()


def item(inside: str) -> Entry:
    (entry,) = parse(rss(f"<item>{inside}</item>"), url=URL)
    return entry


def test_a_feed_that_names_a_file_is_a_feed_without_entries(tmp_path: Path):
    (tmp_path / "local.xml").write_bytes(rss("<item><title>secret</title></item>"))
    with pytest.raises(SourceError, match="neither RSS nor Atom"):
        parse(str(tmp_path / "local.xml").encode(), url=URL)


@pytest.mark.parametrize("path", sorted((CORPUS / "feed").glob("doctype*")), ids=lambda path: path.name)
def test_a_document_type_is_refused_in_every_disguise(path: Path):
    with pytest.raises(SourceError, match="document type"):
        parse(path.read_bytes(), url=URL)


def test_what_stands_before_a_feed_is_passed_over():
    before = "\ufeffPHP Warning: x in y.php\n<?xml version='1.0' encoding='gb2312'?> <?xml-stylesheet href='a'?>\n"
    assert [entry.title for entry in parse(before.encode() + rss("<item><title>涨</title></item>"), url=URL)] == ["涨"]
    assert parse(b"<!-- <rss> --> \n" + rss(""), url=URL) == []
