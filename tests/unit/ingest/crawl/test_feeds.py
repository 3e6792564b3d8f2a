"""Regressions: misleading feeds and pages."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.errors import SourceError
from ingest.articles import RawArticle, Stock, build_article
from ingest.companies.gazetteer import Gazetteer, share_code
from ingest.crawl.feeds import Entry, parse
from ingest.crawl.pages import extract

CORPUS = Path(__file__).resolve().parents[3] / "corpus"
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
def test_a_document_type_is_rejected_in_every_encoding(path: Path):
    with pytest.raises(SourceError, match="document type"):
        parse(path.read_bytes(), url=URL)


def test_text_before_the_feed_is_skipped():
    before = "\ufeffPHP Warning: x in y.php\n<?xml version='1.0' encoding='gb2312'?> <?xml-stylesheet href='a'?>\n"
    assert [entry.title for entry in parse(before.encode() + rss("<item><title>涨</title></item>"), url=URL)] == ["涨"]
    assert parse(b"<!-- <rss> --> \n" + rss(""), url=URL) == []


def test_an_entry_without_a_link_has_none():
    """It once got the feed's address, so that all such entries became one article."""
    assert item("<title>a</title>").link == ""
    assert item("<title>a</title><link> </link>").link == ""
    assert item("<title>a</title><link>a/1#x</link>").link == "https://news.example/a/1#x"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("涨 &#55357;&#56832; &#xD83D;&#xDE00;", "涨 😀 😀"),
        ("half &#55357; x &#xDE00;y", "half  x y"),
        ("&#0;&#xFFFFFFFFFF;&#99999999999999999999;&#1114112;&#xFFFE;&#x1F600;", "😀"),
        ("&#8364;&#0065;&#x4e2d;&#0000000000000065;", "€A中A"),
    ],
)
def test_numeric_references_are_resolved_or_dropped(written: str, read: str):
    entry = item(f"<title>{written}</title><guid>{written}</guid>")
    assert (entry.title, entry.guid) == (read, read)


def test_errors_of_the_parser_become_source_errors():
    with pytest.raises(SourceError, match="cannot be read"):
        parse((CORPUS / "feed" / "stray-width.xml").read_bytes(), url=URL)


def test_attached_names_are_cleaned_and_codes_read_in_any_width():
    raw = RawArticle(
        "wire", title="t", stocks=(Stock("600519.SH", "\ud83d茅\x00台<b> "), Stock("AAPL", " \x00"), Stock("６００５２０.sh", "x"))
    )
    found = build_article(raw, fetched_at=NOW, zone=SHANGHAI, gazetteer=Gazetteer([])).mentions
    assert [(mention.company, mention.surface) for mention in found] == [("600519.SH", "茅台"), ("AAPL", "AAPL"), ("600520.SH", "x")]
    assert share_code("\u0661\u0662\u0663.HK") == ""


def test_the_date_is_found_in_json_ld():
    words = "<p>The carmaker said on Friday it would halt two plants for a week after a supplier stopped deliveries to all of them.</p>"
    scripts = """<script>var a = '"datePublished": "2001-01-01"';</script><SCRIPT TYPE="application/LD+JSON" id=x>
    {"@graph": [{"datePublished": "2026-11-22T03:00:00Z"}]}</SCRIPT >"""
    assert extract(f"<html><body>{words}{scripts}</body></html>".encode(), url=URL).published == "2026-11-22T03:00:00Z"
    open_ended = '<script type="application/ld+json">{"datePublished": "2026-11-23T03:00:00Z"},'
    assert extract(f"<html><body>{words}{open_ended}".encode(), url=URL).published == "2026-11-23T03:00:00Z"
