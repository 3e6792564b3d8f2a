"""OPML 2.0: files of other feed readers are read, what is skipped is counted with its line, and unsafe XML is refused."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.records import Genre
from ingest.crawl.opml import MAX_OUTLINES, Opml, has_login, read_opml, write_opml
from ingest.crawl.sources import FullText, Source

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)


def read(body: str, known: dict[str, str] | None = None, *, encoding: str = "utf-8") -> Opml:
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<opml version="2.0"><head/><body>\n{body}\n</body></opml>'
    return read_opml(text.encode(encoding), "x.opml", known or {})


def test_nested_groups_attributes_in_any_case_and_both_languages_are_read():
    found = read(
        """<outline text="财经"><outline text="宏观">
        <outline type="rss" text="统计发布" title="x" xmlUrl="https://zh.example/rss" htmlUrl="https://zh.example" language="zh-CN"/>
        </outline></outline>
        <outline type="RSS" title="Rates" xmlURL="https://en.example/a?x=1&amp;y=2" version="RSS2" language="en-us"/>
        <outline text="Other" xmlUrl="https://fr.example/a" language="fr"/>"""
    )
    assert [(feed.line, feed.source.name, feed.source.url, feed.source.language, feed.old_name) for feed in found.feeds] == [
        (4, "统计发布", "https://zh.example/rss", "zh", None),
        (6, "Rates", "https://en.example/a?x=1&y=2", "en", None),
        (7, "Other", "https://fr.example/a", "", None),
    ]
    assert (found.duplicates, found.unsupported, found.repaired) == ([], [], False)


def test_a_feed_with_children_is_a_feed():
    found = read('<outline text="a" xmlUrl="https://a.example"><outline text="b" xmlUrl="https://b.example"/></outline>')
    assert [feed.source.name for feed in found.feeds] == ["a", "b"]


def test_duplicates_of_known_sources_and_within_the_file_are_listed():
    found = read(
        """<outline text="a" xmlUrl="https://known.example/feed?utm_source=x"/>
<outline text="b" xmlUrl="https://new.example/feed"/>
<outline text="c" xmlUrl="https://NEW.example:443/feed"/>""",
        {"央行": "https://known.example/feed"},
    )
    assert [feed.source.name for feed in found.feeds] == ["b"]
    assert [(each.line, each.name, each.reason) for each in found.duplicates] == [
        (3, "a", "'央行' has the same address"),
        (5, "c", "'b' has the same address"),
    ]


def test_empty_and_taken_names_get_the_host():
    found = read(
        """<outline text="News" xmlUrl="https://a.example/1"/><outline text="News" xmlUrl="https://a.example/2"/>
<outline text="News" xmlUrl="https://a.example/3"/><outline xmlUrl="https://b.example/"/>""",
        {"News": "https://known.example/"},
    )
    assert [(feed.source.name, feed.old_name) for feed in found.feeds] == [
        ("News (a.example)", "News"),
        ("News (a.example) 2", "News"),
        ("News (a.example) 3", "News"),
        ("b.example", ""),
    ]


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        ('<outline text="某页" type="link" url="https://a.example"/>', "type 'link' is not supported"),
        ('<outline text="某页" type="include" url="https://a.example/b.opml"/>', "type 'include' is not supported"),
        ('<outline text="某页" type="rss"/>', "has no xmlUrl"),
        ('<outline text="某页" type="rss" xmlUrl="  "/>', "has no xmlUrl"),
        ('<outline text="某页" type="rss" xmlUrl="file:///etc/passwd"/>', "is not an http or https address"),
        ('<outline text="某页" type="rss" xmlUrl="https://[bad"/>', "is not an http or https address"),
        ('<outline text="某页" type="rss" xmlUrl="https://me:hidden@a.example/"/>', "has a user name or password"),
        ('<outline text="某页" isComment="true" xmlUrl="https://a.example"/>', "is a comment"),
        ('<outline isComment="true"><outline text="某页" xmlUrl="https://a.example"/></outline>', "is a comment"),
        ('<outline text="某页" xmlUrl="https://a.example" xmlns:t="urn:tocsin:source" t:interval_s="soon"/>', "interval_s"),
        ('<outline text="某页" xmlUrl="https://a.example" xmlns:t="urn:tocsin:source" t:timezone="Mars"/>', "timezone: 'Mars'"),
        ('<outline text="某页" xmlUrl="https://a.example" xmlns:t="urn:tocsin:source" t:allow_private="true"/>', "tocsin:allow_private"),
    ],
)
def test_unsupported_outlines_are_listed_with_their_reason(outline: str, reason: str):
    found = read(outline)
    assert found.feeds == []
    assert [(each.line, each.name) for each in found.unsupported] == [(3, "某页")]
    assert reason in found.unsupported[0].reason
    assert "hidden" not in found.unsupported[0].reason


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"<opml><body>\n<outline text='A' xmlUrl='https://a.example'/>\n<outline text='B'></body></opml>", ["line 3", "'B' in line 3"]),
        ("<opml><body>\n<outline text='甲'/>\n<outline text=乙/></body></opml>".encode(), ["line 3", "column", "'甲' in line 2"]),
        (b"<rss version='2.0'><channel/></rss>", ["line 1", "<rss>, not <opml>"]),
        (b"<opml><head><outline text='a'/></head></opml>", ["line 1", "outside <body>"]),
        (b"", ["not valid XML"]),
        (b"name,url\nx,https://a.example", ["line 1", "not valid XML"]),
        (b"<!DOCTYPE opml [<!ENTITY a 'b'>]><opml><body/></opml>", ["line 1", "document type"]),
        (b"\n<!DOCTYPE opml SYSTEM 'file:///etc/passwd'>\n<opml/>", ["line 2", "document type"]),
        (b"<opml><body><t:outline/></body></opml>", ["line 1", "prefix"]),
    ],
)
def test_a_file_that_is_no_opml_is_refused_with_line_and_outline(data: bytes, parts: list[str]):
    with pytest.raises(InvalidInput) as caught:
        read_opml(data, "x.opml", {})
    for part in ["x.opml", *parts]:
        assert part in str(caught.value)


def test_a_bare_ampersand_is_repaired_and_reported():
    found = read('<outline text="S&P 500 &eacute;" xmlUrl="https://a.example/f?a=1&b=2&amp;c=3"/>')
    assert (found.feeds[0].source.name, found.feeds[0].source.url) == ("S&P 500 é", "https://a.example/f?a=1&b=2&c=3")
    assert found.repaired


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "big5"])
def test_names_in_other_encodings_are_read(encoding: str):
    body = f"""<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?><opml version="2.0"><body>
    <outline text="中央銀行新聞稿與統計發布" xmlUrl="https://a.example/"/></body></opml>"""
    assert read_opml(body.encode(encoding), "x", {}).feeds[0].source.name == "中央銀行新聞稿與統計發布"


def test_blank_lines_before_the_declaration_keep_the_line_numbers():
    data = b'\n\n<?xml version="1.0"?>\n<opml><body>\n<outline text="a" xmlUrl="https://a.example"/></body></opml>'
    assert read_opml(data, "x", {}).feeds[0].line == 5


def test_deep_nesting_and_many_outlines_are_read_in_linear_time_up_to_the_limit():
    began = time.process_time()
    count = MAX_OUTLINES - 1
    deep = '<outline text="g">' * count + '<outline text="a" xmlUrl="https://a.example"/>' + "</outline>" * count
    assert len(read(deep).feeds) == 1
    wide = "".join(f'<outline text="News" xmlUrl="https://a.example/{number}"/>' for number in range(2_000))
    assert len({feed.source.name for feed in read(wide).feeds}) == 2_000
    with pytest.raises(InvalidInput, match="more than 20000 outlines"):
        read("<outline/>" * (MAX_OUTLINES + 1))
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://a:b@c.example/", True), ("https://a@c.example", True), ("https://c.example/@a", False), ("https://c.example?x=@", False)],
)
def test_logins_in_addresses_are_found(url: str, expected: bool):
    assert has_login(url) == expected


NAMES = st.text("国債利率新闻发布abcXYZ019&>\"'/|·:：，é", max_size=30).map(lambda text: f"名 {text}".strip())
"""Without "<": markup is removed from the names of added feeds."""
SOURCES: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    name=NAMES,
    kind=st.sampled_from(["auto", "rss", "atom"]),
    genre=st.sampled_from(get_args(Genre)),
    language=st.sampled_from(["", "zh", "en"]),
    interval_s=st.floats(10, 604_800),
    timezone=st.sampled_from(["UTC", "Asia/Shanghai"]),
    full_text=st.sampled_from(get_args(FullText)),
    max_items=st.integers(1, 10_000),
)


@given(rows=st.lists(SOURCES, max_size=5, unique_by=lambda row: row["name"]))
def test_what_is_written_is_read_again(rows: list[dict[str, Any]]):
    sources = [Source(url=f"https://a.example/新闻?x=1&y=<{number}>", **row) for number, row in enumerate(rows)]
    written = write_opml(sources, NOW)
    found = read_opml(written, "x", {})
    assert (found.duplicates, found.unsupported, found.repaired) == ([], [], False)
    assert [feed.source for feed in found.feeds] == sources


def test_the_file_conforms_to_opml_2_and_has_no_permission():
    written = write_opml([Source(name='A "<&> 甲', url="https://a.example/?a=1&b=2", allow_private=True)], NOW)
    root = ET.fromstring(written)
    assert (root.tag, root.get("version"), root.findtext("head/title")) == ("opml", "2.0", "Tocsin")
    assert root.findtext("head/dateCreated") == "Mon, 30 Nov 2026 09:00:00 GMT"
    (outline,) = root.findall("body/outline")
    assert outline.attrib == {"type": "rss", "text": 'A "<&> 甲', "title": 'A "<&> 甲', "xmlUrl": "https://a.example/?a=1&b=2"}
    assert b"private" not in written
