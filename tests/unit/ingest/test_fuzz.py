"""Fuzz tests of all parsers, with tests/corpus and mutations: each gives a valid result or a TocsinError."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadRecord, SettingsError, SourceError
from core.records import Alert, Article, Score, decode, encode
from ingest.archive.files import ReadOptions, Row, read
from ingest.articles import RawArticle, build_article
from ingest.companies import symbol_lists
from ingest.companies.company_files import load_companies, to_toml
from ingest.crawl import feeds, pages
from ingest.text import clean_text
from tests.helpers.strategies import examples, mutants

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
LIMIT_S = 5.0
"""CPU time for 50 kB. Slower parsers are quadratic, and a feed may have 8 MB."""

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
GAZETTEER = load_companies()
URL = "https://news.example/feed"
DECLARED = ("", "utf-8", "gb2312", "big5", "iso-8859-1", "utf-16", "utf-7", "unicode_escape", "punycode", "idna", "hex", "no-such-charset")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def clean(words: Iterable[str]) -> None:
    for word in words:
        assert not _NO_TEXT.search(word), repr(word[:200])


def harmless(link: str) -> None:
    assert link == "" or link.startswith(("http://", "https://")), link


def published(raw: RawArticle) -> None:
    """Check that a result can be encoded for Kafka."""
    try:
        article = build_article(raw, fetched_at=NOW, zone=SHANGHAI, gazetteer=GAZETTEER)
    except BadRecord:
        return
    assert decode(encode(article), Article) == article
    clean([article.title, article.text, article.source, *(mention.surface for mention in article.mentions)])
    harmless(article.url)


def wire(data: bytes) -> None:
    for kind in (Article, Score, Alert):
        try:
            record = decode(data, kind)
        except BadRecord as error:
            assert error.reason
        else:
            assert decode(encode(record), kind) == record


def feed(data: bytes) -> None:
    try:
        entries = feeds.parse(data, url=URL)
    except SourceError as error:
        assert URL in str(error)
        return
    for entry in entries:
        clean(entry)
        harmless(entry.link)
        published(RawArticle("wire", entry.link, entry.guid, entry.title, entry.summary, entry.published))


def page(data: bytes) -> None:
    try:
        found = pages.extract(data, url=URL)
    except SourceError as error:
        assert URL in str(error)
        return
    clean(found)
    published(RawArticle("wire", URL, "", found.title, found.text, found.published))


def listing(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "list.csv").write_bytes(data)
        try:
            rows = symbol_lists.read_listings(Path(folder))
        except SettingsError as error:
            assert "symbols" in str(error)
            return
        built = symbol_lists.build(rows, ())
        if built:
            path = Path(folder) / "companies.toml"
            path.write_text(to_toml(built), "utf-8")
            assert list(load_companies(path).companies.values()) == built


def charsets(data: bytes) -> None:
    for declared in DECLARED:
        try:
            text = clean_text.decode(data, declared)
        except BadRecord as error:
            assert error.reason
        else:
            text.encode("utf-8")


def archive(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.jsonl", "a.csv"):
            path = Path(folder) / name
            path.write_bytes(data)
            try:
                for row in read(str(path), ReadOptions({}, "wire", SHANGHAI), gazetteer=GAZETTEER, now=NOW):
                    if isinstance(row, Row):
                        assert decode(encode(row.article), Article) == row.article
                    else:
                        assert row.reason
            except SettingsError as error:
                assert name in str(error)


PARSERS: dict[str, Callable[[bytes], None]] = {
    "wire": wire,
    "feed": feed,
    "page": page,
    "listing": listing,
    "charset": charsets,
    "archive": archive,
}
CORPUS_FILES = {parser: sorted((CORPUS / parser).iterdir()) for parser in PARSERS}


def within(parser: str, data: bytes) -> None:
    """Parse `data` within the time limit; the first use of a parser loads its library before."""
    begun = time.process_time()
    PARSERS[parser](data)
    assert time.process_time() - begun < LIMIT_S, f"{len(data)} bytes"


@pytest.mark.parametrize(
    ("parser", "path"),
    [(parser, path) for parser in PARSERS for path in CORPUS_FILES[parser]],
    ids=lambda value: getattr(value, "name", value),
)
def test_corpus_files_are_handled(parser: str, path: Path):
    within(parser, path.read_bytes())


REPEATED = [
    ("feed", b"{} <rss>", b" "),
    ("feed", b"<!--{}--><rss>", b"\n"),
    ("feed", b"{}<rss>", b"<?xml "),
    ("feed", b"x{}<rss>", b"\n"),
    ("feed", b"<rss version='2.0'><channel><item><author>{}</author></item></channel></rss>", b"a"),
    ("feed", b"<rss version='2.0'><channel><item>{}", b"<a b='"),
    ("feed", b"<rss version='2.0'><channel><item><title>{}", b"&#"),
    ("page", b"<html><body><p>x</p>{}", b"<script application/ld+json"),
    ("page", b"<html><body><p>x</p>{}", b"<script type='application/ld+json'>"),
    ("page", b"<html><body>{}", b"<p>x "),
    ("charset", b"<meta charset=punycode>\xff\xff\xff{}", b"-abcdefgh"),
    ("archive", b'{"title":"{}"}', b"&lt;"),
    ("wire", b"{}", b'{"v":'),
]


@pytest.mark.parametrize(
    ("parser", "around", "piece"), REPEATED, ids=lambda value: value.decode("latin-1") if isinstance(value, bytes) else value
)
def test_repeated_input_takes_linear_time(parser: str, around: bytes, piece: bytes):
    within(parser, around.replace(b"{}", piece * (100_000 // len(piece))))


def test_thousands_of_tags_take_linear_time():
    tags = b"".join(b"<category>%d</category>" % number for number in range(40_000))
    within("feed", b"<rss version='2.0'><channel><item>" + tags + b"</item></channel></rss>")


def of_the_corpus(parser: str) -> st.SearchStrategy[bytes]:
    return mutants([path.read_bytes() for path in CORPUS_FILES[parser]])


@examples(300)
@given(of_the_corpus("wire"))
def test_any_message_is_a_record_or_rejected(data: bytes):
    within("wire", data)


@examples(250)
@given(of_the_corpus("feed"))
def test_any_feed_is_parsed_or_rejected(data: bytes):
    within("feed", data)


@examples(120)
@given(of_the_corpus("page"))
def test_any_page_is_parsed_or_rejected(data: bytes):
    within("page", data)


@examples(120)
@given(of_the_corpus("listing"))
def test_any_list_is_parsed_or_rejected(data: bytes):
    within("listing", data)


@examples(150)
@given(of_the_corpus("charset"))
def test_any_bytes_are_text_or_rejected(data: bytes):
    within("charset", data)


@examples(150)
@given(of_the_corpus("archive"))
def test_any_archive_is_read_row_by_row(data: bytes):
    within("archive", data)
