"""build_article, archives in each format, and real archives."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from core.errors import BadRecord, SettingsError
from core.records import MAX_TEXT_CHARS, MAX_TITLE_CHARS, Article, decode, encode
from ingest.archive.files import ReadOptions, Rejected, Row, count_rows, read
from ingest.articles import RawArticle, Stock, build_article
from ingest.companies.company_files import load_companies
from ingest.crawl.sources import load_sources
from ingest.text.date_names import month_of
from tests.helpers.shared_data import shared_dir

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
GAZETTEER = load_companies()
READING = ReadOptions({}, "", SHANGHAI)


def build(raw: RawArticle, now: datetime = NOW) -> Article:
    return build_article(raw, fetched_at=now, zone=SHANGHAI, gazetteer=GAZETTEER)


def test_an_article_has_all_fields():
    article = build(
        RawArticle(
            "wire",
            "HTTPS://example.com/1#top",
            "g1",
            "<b>茅台</b>大跌",
            "正文&amp;更多",
            "2026-11-22 11:00",
            stocks=(Stock("00700.HK", "腾讯"),),
        )
    )
    assert (article.url, article.title, article.text, article.language) == ("https://example.com/1", "茅台大跌", "正文&更多", "zh")
    assert article.published_at == datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
    assert [mention.company for mention in article.mentions] == ["600519.SH", "00700.HK"]
    assert article.flags == ()
    assert decode(encode(article), Article) == article


def test_the_id_does_not_depend_on_the_time_of_fetching():
    later = NOW + timedelta(days=3)
    for raw in (
        RawArticle("w", url="http://a.example/1", title="t"),
        RawArticle("w", guid="7", title="t"),
        RawArticle("w", title="t"),
        RawArticle("w", text="只有正文", published="?"),
    ):
        assert build(raw).id == build(raw, later).id
    ids = [
        build(raw).id
        for raw in (
            RawArticle("w", title="t"),
            RawArticle("v", title="t"),
            RawArticle("w", title="t", published="2026-11-01"),
            RawArticle("w", text="t2"),
        )
    ]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("own", [{"url": "http://a.example/1"}, {"guid": "7"}, {}])
def test_an_article_of_another_owner_has_another_id(own):
    raws = [RawArticle(source, title="t", owner=owner, **own) for source in ("w", "v") for owner in ("", "token 1", "token 2")]
    articles = [build(raw) for raw in raws]
    assert len({article.id for article in articles}) == 4, "an owner that is named stands for all sources that name it"
    assert [article.revised_by for article in articles] == ["source w", "token 1", "token 2", "source v", "token 1", "token 2"]


def test_long_text_is_cut_and_flagged():
    article = build(RawArticle("w", title="长" * 2_000, text="<p>涨</p>" * 400_000))
    assert (len(article.title), article.flags) == (MAX_TITLE_CHARS, ("cut", "date"))
    assert 0 < len(article.text) <= MAX_TEXT_CHARS
    assert len(encode(article)) < 1_000_000


@pytest.mark.parametrize("published", ["", "Sun, 22 Nov 0026 03:00:00 GMT", "2027-11-22", "1900-01-01", datetime(2031, 1, 1, tzinfo=UTC)])
def test_an_implausible_time_is_replaced_and_flagged(published):
    article = build(RawArticle("w", title="t", published=published))
    assert (article.published_at, article.flags) == (NOW, ("date",))


@pytest.mark.parametrize(
    "raw",
    [RawArticle("w"), RawArticle("w", title="<p></p>", text="\x00\u200b \ud800"), RawArticle("", title="t"), RawArticle(" \n", title="t")],
)
def test_an_article_without_text_is_rejected(raw):
    with pytest.raises(BadRecord):
        build(raw)


month_of("mars")  # the names of months are loaded once, which takes longer than one example may


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=200), st.text(max_size=30), st.text(max_size=60))
def test_any_row_is_an_article_or_rejected(source, title, text, published, url):
    try:
        article = build(RawArticle(source, url, "", title, text, published))
    except BadRecord:
        return
    assert decode(encode(article), Article) == article


def rows(path: Path, reading: ReadOptions = READING, after: int = 0) -> list[Row | Rejected]:
    return list(read(str(path), reading, gazetteer=GAZETTEER, now=NOW, after=after))


def write_jsonl(path: Path, lines: Sequence[object]) -> Path:
    data = b"\n".join(line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_bad_rows_are_reported_by_line_and_skipped(tmp_path):
    lines = [
        {"title": "涨停", "id": 1},
        b"not json",
        b"[1]",
        b"",
        {"title": " ", "text": None},
        b'{"title": "half of a pair \\ud83d"}',
        b'{"title": "raw\x01control"}',
        b"\xff\xfe",
        b"[" * 100_000,
        {"title": "最后", "id": 2.0},
    ]
    found = rows(write_jsonl(tmp_path / "a.jsonl.gz", lines))
    assert [row.line for row in found if isinstance(row, Row)] == [1, 6, 7, 10]
    assert [row.line for row in found if isinstance(row, Rejected)] == [2, 3, 5, 8, 9]
    assert [row.article.title for row in found if isinstance(row, Row)] == ["涨停", "half of a pair", "rawcontrol", "最后"]
    assert [row.line for row in rows(tmp_path / "a.jsonl.gz", after=6)] == [7, 8, 9, 10]


TABLE = [
    {
        "Headline": "茅台跌",
        "Content": "第一行\n第二行",
        "Link": "https://example.com/1",
        "DateTime": "2026年11月22日 11:00",
        "Media": "wire",
    },
    {
        "Headline": "Fed holds",
        "Content": 'He said "wait"',
        "Link": "https://example.com/2",
        "DateTime": "2026-11-22 11:00",
        "Media": "wire",
    },
]


def as_csv() -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(TABLE[0]))
    writer.writeheader()
    writer.writerows(TABLE)
    return out.getvalue()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.parquet", "a.parquet.gz"])
def test_each_format_gives_the_same_articles(tmp_path, name):
    path = tmp_path / name
    if ".parquet" in name:
        parquet.write_table(pyarrow.Table.from_pylist(TABLE), tmp_path / "plain.parquet")
        data = (tmp_path / "plain.parquet").read_bytes()
    else:
        data = as_csv().encode("utf-8-sig") if ".csv" in name else "\n".join(json.dumps(row) for row in TABLE).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    articles = [row.article for row in rows(path) if isinstance(row, Row)]
    assert [(article.title, article.source, article.published_at.hour) for article in articles] == [
        ("茅台跌", "wire", 3),
        ("Fed holds", "wire", 3),
    ]
    assert [article.text for article in articles] == ["第一行 第二行", 'He said "wait"']
    assert [row.line for row in rows(path, after=1)][-1] > 1


def test_a_field_map_selects_other_columns(tmp_path):
    path = write_jsonl(tmp_path / "wire.jsonl", [{"bt": "标题", "nr": "正文", "title": "not this"}])
    (row,) = rows(path, ReadOptions({"title": "bt", "text": "nr"}, "", UTC))
    assert isinstance(row, Row)
    assert (row.article.title, row.article.text, row.article.source) == ("标题", "正文", "wire")
    with pytest.raises(SettingsError, match="unknown field 'titel'"):
        rows(path, ReadOptions({"titel": "bt"}, "", UTC))


def test_csv_rows_with_wrong_columns_are_rejected(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("title,text\nok,1\none,two,three\nlast,\x00x\n", "utf-8")
    found = rows(path)
    assert [(row.line, isinstance(row, Row)) for row in found] == [(2, True), (3, False), (4, True)]


def test_the_format_of_stdin_is_detected(monkeypatch):
    for data in (b'{"title": "t1"}\n', b"title\nt1\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
        (row,) = rows(Path("-"))
        assert isinstance(row, Row)
        assert row.article.title == "t1"


def test_unreadable_files_give_a_clear_error(tmp_path):
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"title":"a"}\n' * 100_000)[:2_000])
    (tmp_path / "no.parquet").write_bytes(b"PAR1 no")
    for name in ("cut.jsonl.gz", "no.parquet", "missing.jsonl", "what.xml"):
        with pytest.raises(SettingsError, match=name):
            rows(tmp_path / name)


@pytest.mark.parametrize("name", ["zh_flash_2026", "en_rss_2023", "bbc_business_2022_2024"])
def test_archive_ids_identify_articles(name, tmp_path):
    """Our ids and the archive's (source, id) correspond one to one; nothing is rejected; only markup is lost.

    Of the largest archive, every fourth row.
    """
    path = tmp_path / f"{name}.jsonl"
    with gzip.open(shared_dir() / "data" / "stream" / f"{name}.jsonl.gz") as lines:
        path.write_bytes(b"".join(islice(lines, 0, None, 4 if name == "zh_flash_2026" else 1)))
    theirs_to_ours: dict[tuple[str, str], set[str]] = {}
    ours_to_theirs: dict[str, set[tuple[str, str]]] = {}
    begun, number = time.process_time(), 0
    with path.open("rb") as lines:
        for line, row in zip(lines, read(str(path), READING, gazetteer=GAZETTEER, now=NOW), strict=True):
            number += 1
            assert isinstance(row, Row), row
            given_row = json.loads(line)
            key = (given_row["source"], given_row["id"])
            theirs_to_ours.setdefault(key, set()).add(row.article.id)
            ours_to_theirs.setdefault(row.article.id, set()).add(key)
            assert row.article.language == given_row["lang"]
            assert row.article.published_at == datetime.fromisoformat(given_row["published"])
    assert all(len(ids) == 1 for ids in theirs_to_ours.values())
    assert all(len(keys) == 1 for keys in ours_to_theirs.values())
    assert number == count_rows([str(path)])
    print(name, len(ours_to_theirs), round(number / (time.process_time() - begun)), "rows/s with this test's own reading")


SOURCES = """
[[sources]]
name = "caixin"
url = "https://example.com/rss"
timezone = "Asia/Shanghai"
interval_s = 60
full_text = "when_short"
"""


def test_sources_are_loaded(tmp_path):
    path = tmp_path / "sources.toml"
    path.write_text(SOURCES, "utf-8")
    (source,) = load_sources(path)
    assert (source.zone, source.kind, source.full_text, source.allow_private) == (SHANGHAI, "auto", "when_short", False)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('"caixin"', '""'), r"number 1.*name"),
        (("60", '"often"'), r"number 1 \(caixin\): interval_s"),
        (("https://", "file://"), "url: 'file://example.com/rss' is not"),
        (("Asia/Shanghai", "Asia/Atlantis"), "timezone: 'Asia/Atlantis'"),
        (("full_text", "fulltext"), "unknown field 'fulltext'"),
        (("when_short", "perhaps"), "full_text: Invalid enum value 'perhaps'"),
        (("url =", "urls ="), "unknown field 'urls'"),
        (("[[sources]]", "[[feeds]]"), "unknown key 'feeds'"),
        (("[[sources]]", "sources = 1\n"), r"is not valid TOML|has no \[\[|there is no|only"),
        (("[[", "[["), None),
    ],
)
def test_an_invalid_source_is_reported_with_its_place(tmp_path, change, complaint):
    path = tmp_path / "sources.toml"
    text = SOURCES.replace(*change)
    if complaint is None:
        text, complaint = SOURCES + SOURCES, "two sources are named 'caixin'"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=complaint) as caught:
        load_sources(path)
    assert str(path) in str(caught.value)
