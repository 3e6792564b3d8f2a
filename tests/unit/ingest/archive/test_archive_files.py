"""Archives as programs and people write them: separators, encodings, shapes, column names, missing values, ids that are none."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from core.errors import SettingsError
from core.records import Article
from ingest.archive.check import check
from ingest.archive.columns import stocks_of
from ingest.archive.files import Layout, ReadOptions, Rejected, Row, read
from ingest.companies.gazetteer import Gazetteer
from tests.helpers.shared_data import shared_dir

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
READING = ReadOptions({}, "", UTC)
NOBODY = Gazetteer([])


def rows_of(path: Path, reading: ReadOptions = READING, layout: Layout | None = None) -> list[Row | Rejected]:
    return list(read(str(path), reading, gazetteer=NOBODY, now=NOW, layout=layout))


def articles_of(path: Path, reading: ReadOptions = READING) -> list[Article]:
    found = rows_of(path, reading)
    assert [row for row in found if isinstance(row, Rejected)] == []
    return [row.article for row in found if isinstance(row, Row)]


def written(tmp_path: Path, name: str, content: str | bytes | Any) -> Path:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


CASES = {
    "09_csv_encoding/big5.csv": [("某銀行債券違約", "", "2026-11-20 09:30", "big5")],
    "09_csv_encoding/gbk_en_header.csv": [
        ("某银行净利润下滑", "某银行公布年报，净利润同比下滑一成", "2026-11-20 09:30", "财经网"),
        ("茅台提价", "贵州茅台宣布出厂价上调", "2026-11-21 10:00", "财经网"),
    ],
    "09_csv_encoding/latin1.csv": [
        ("Société Générale cuts outlook", "The bank sees lower revenue – shares fell", "2026-11-20 09:30", "latin1")
    ],
    "10_nan_ids/na.csv": [("Real headline one", "", "2026-11-20 09:30", "na"), ("Other headline two", "", "2026-11-21 09:30", "na")],
    "10_nan_ids/nan.jsonl": [("Real headline one", "", "2026-11-20 09:30", "nan"), ("Other two", "", "2026-11-21 09:30", "nan")],
    "11_mixed_day_first_dates/mixed.csv": [
        ("A cuts outlook", "", "2024-03-25 09:30", "mixed"),
        ("B cuts outlook", "", "2024-03-05 09:30", "mixed"),
        ("C cuts outlook", "", "2024-03-13 00:00", "mixed"),
        ("D cuts outlook", "", "2024-03-04 00:00", "mixed"),
    ],
    "11_mixed_day_first_dates/mongo.jsonl": [("Real headline one", "", "2024-03-05 09:30", "mongo")],
    "12_archive_shapes/array.json": [("A cuts outlook", "", "2026-11-20 09:30", "array")],
    "12_archive_shapes/newsapi.jsonl": [
        ("Lender update", "The lender collapsed after depositors withdrew all their money.", "2026-11-20 09:30", "Example Wire")
    ],
    "12_archive_shapes/twins.csv": [("Real headline one", "body one", "2026-11-20 09:30", "twins")],
} | {
    f"12_archive_shapes/{name}.csv": [("A cuts outlook", "It sees less", "2026-11-20 09:30", name)] for name in ("semicolon", "sep", "tab")
}
CASES |= {f"09_csv_encoding/{name}.csv": CASES["09_csv_encoding/gbk_en_header.csv"] for name in ("gbk_zh_header", "utf16")}


@pytest.mark.parametrize(("name", "expected"), CASES.items())
def test_each_file_of_the_cases_is_read_right(name, expected):
    found = articles_of(shared_dir() / "cases" / name)
    assert [(a.title, a.text, f"{a.published_at:%Y-%m-%d %H:%M}", a.source) for a in found] == expected
    assert len({article.id for article in found}) == len(expected)
    assert {article.flags for article in found} == {()}


def test_the_tickers_of_the_case_are_companies():
    found = articles_of(shared_dir() / "cases/12_archive_shapes/tickers.csv")
    assert [[mention.company for mention in article.mentions] for article in found] == [["AAPL"], ["AAPL", "MSFT"]]


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "gb18030", "big5hkscs", "cp1252")
CHINESE = ("某银行公布年报，净利润同比下滑一成", "监管部门就公司债券违约展开调查", "市场预期央行将在下周维持利率不变")
TRADITIONAL = ("某銀行公布年報，淨利潤同比下滑一成", "監管部門就公司債券違約展開調查", "市場預期央行將在下週維持利率不變")
LATIN = (
    "Société Générale abaisse ses prévisions après un trimestre décevant",
    "Der Vorstand kündigt Kürzungen für nächstes Jahr an",
    "La acción cayó después del anuncio de la compañía",
)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n"]),
    names=st.sampled_from([("title", "text", "published"), ("Headline", "Body", "Date Time"), ("HEADLINE", "story_text", "publishedAt")]),
    sep_line=st.booleans(),
    repeat=st.booleans(),
    extra=st.sampled_from(["", ' and "quoted" words', ", with a comma; and; semicolons | bars"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_dialect_in_every_encoding_gives_the_same_rows(
    tmp_path_factory, encoding, separator, quoting, ending, names, sep_line, repeat, extra
):
    texts = LATIN if encoding == "cp1252" else TRADITIONAL if encoding == "big5hkscs" else CHINESE
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=ending)
    if sep_line:
        out.write(f"sep={separator}{ending}")
    writer.writerow(names)
    for n, text in enumerate(texts):
        writer.writerow([text + extra, text, f"2026-11-2{n} 09:30"])
        if repeat:
            writer.writerow(names)
    path = written(tmp_path_factory.mktemp("dialects"), "wire.csv", out.getvalue().encode(encoding))
    layout = Layout()
    found = rows_of(path, layout=layout)
    articles = [row.article for row in found if isinstance(row, Row)]
    assert [(a.title, a.text, a.published_at) for a in articles] == [
        (text + extra, text, datetime(2026, 11, 20 + n, 9, 30, tzinfo=UTC)) for n, text in enumerate(texts)
    ], (layout, found)
    assert (layout.format.separator, layout.format.repeated_headers) == (separator, 3 if repeat else 0)


def test_the_encoding_is_found_by_the_first_line_that_is_not_ascii(tmp_path):
    lines = ["title,published"] + [f"Plain headline {n},2026-11-20" for n in range(5_000)] + ["某银行公布年报，净利润同比下滑,2026-11-21"]
    path = written(tmp_path, "a.csv", "\n".join(lines).encode("gbk"))
    layout = Layout()
    assert rows_of(path, layout=layout)[-1].article.title == "某银行公布年报，净利润同比下滑"  # type: ignore[union-attr]
    assert layout.format.encoding == "gb18030"


def test_a_damaged_character_is_removed_and_counted_and_a_damaged_row_is_named(tmp_path):
    good = "title,text\n" + "\n".join(f"第{n}条,某公司公布业绩预告，净利润同比下降" for n in range(20))
    path = written(tmp_path, "a.csv", good.encode() + "\n末条,净利润同比下降".encode() + b"\xe5\x88" + b"\n\xff\xfe\xfd\xfc,\xff\xfe\n")
    found = rows_of(path)
    mended, lost = found[-2:]
    assert isinstance(mended, Row)
    assert (mended.article.text, set(mended.article.flags)) == ("净利润同比下降", {"bytes", "date"})
    assert isinstance(lost, Rejected)
    assert "0xFF" in lost.reason
    assert "utf-8" in lost.reason


NAMED = {
    "agency": {"headline": "t", "body": "b", "versionCreated": "2026-11-20T09:30:00Z", "sourceCode": "wire", "storyId": "1"},
    "terminal": {"Headline": "t", "Story": "b", "Date": "11/20/2026", "Time": "09:30", "Source": "wire", "Suid": "1"},
    "chinese": {"新闻标题": "t", "新闻内容": "b", "发布时间": "2026-11-20 09:30", "文章来源": "wire", "新闻链接": "https://e.example/1"},
    "notices": {"公告标题": "t", "内容": "b", "公告日期": "2026-11-20", "时间": "0930", "来源": "wire", "股票代码": "000001"},
    "nested": {"_id": {"$oid": "a"}, "_source": {"title": "t", "content": "b", "publish_time": 1795167000000, "source": {"title": "wire"}}},
    "points": {
        "id": 1,
        "attributes": {"title": "t", "summary": "b", "publishOn": "x", "published_at": "20261120T093000Z", "publisher": "wire"},
    },
    "firestore": {"title": "t", "text": "b", "timestamp": {"seconds": 1795167000, "nanoseconds": 0}, "site": "wire"},
    "paragraphs": {"title": "t", "text": ["b"], "date": "Fri, 20 Nov 2026 09:30:00 GMT", "source": "wire"},
}


@pytest.mark.parametrize("row", NAMED.values(), ids=NAMED)
def test_common_names_of_columns_are_known(tmp_path, row):
    for name, content in (("a.jsonl", json.dumps(row) + "\n"), ("a.json", [row]), ("b.json", {"status": "ok", "articles": [row]})):
        (article,) = articles_of(written(tmp_path, name, content))
        found = (article.title, article.text, f"{article.published_at:%Y-%m-%d %H:%M}", article.source)
        assert found == ("t", "b", "2026-11-20 09:30", "wire")


WRAPPED = {
    "newsapi": {"status": "ok", "totalResults": 2, "articles": None},
    "guardian": {"response": {"status": "ok", "results": None}},
    "search": {"took": 3, "hits": {"total": 2, "hits": None}},
    "feed": {"items": "2", "feed": None},
    "data": {"code": 0, "data": {"list": None}},
}


@pytest.mark.parametrize("pretty", [None, 2])
@pytest.mark.parametrize("shape", WRAPPED.values(), ids=WRAPPED)
def test_lists_inside_a_document_are_found(tmp_path, shape, pretty):
    rows = [{"title": f"Headline {n}", "url": f"https://e.example/{n}", "publishedAt": "2026-11-20T09:30:00Z"} for n in range(2)]

    def filled(value: Any) -> Any:
        return rows if value is None else {key: filled(inner) for key, inner in value.items()} if isinstance(value, dict) else value

    found = articles_of(written(tmp_path, "a.json", json.dumps(filled(shape), indent=pretty)))
    assert [article.title for article in found] == ["Headline 0", "Headline 1"]


@pytest.mark.parametrize(
    "table",
    [
        {"columns": ["title", "date"], "index": [0, 1], "data": [["Headline 0", "2026-11-20"], ["Headline 1", "2026-11-21"]]},
        {"title": {"0": "Headline 0", "1": "Headline 1"}, "date": {"0": "2026-11-20", "1": "2026-11-21"}},
        {"Items": [{"guid": "g", "data": {"headline": f"Headline {n}", "versionCreated": f"2026-11-2{n}"}} for n in range(2)]},
    ],
)
def test_tables_of_pandas_and_terminals_are_read(tmp_path, table):
    found = articles_of(written(tmp_path, "a.json", table))
    assert [(article.title, article.published_at.day) for article in found] == [("Headline 0", 20), ("Headline 1", 21)]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_long_array_is_read_piece_by_piece_and_a_broken_end_is_named(tmp_path, indent):
    rows = [{"title": f"Headline {n}", "text": "x" * 2_000, "date": "2026-11-20"} for n in range(400)]
    text = json.dumps(rows, indent=indent)
    assert len(articles_of(written(tmp_path, "a.json", text))) == 400
    *whole, last = rows_of(written(tmp_path, "cut.json", text[:-100]))
    assert len(whole) == 399
    assert isinstance(last, Rejected)
    assert (last.line, last.reason[:8]) == (400, "not JSON")


def test_objects_over_several_lines_are_read(tmp_path):
    text = "\n".join(json.dumps({"title": f"Headline {n}", "date": "2026-11-20"}, indent=2) for n in range(3))
    assert [article.title for article in articles_of(written(tmp_path, "a.json", text))] == ["Headline 0", "Headline 1", "Headline 2"]


@pytest.mark.parametrize("empty", [math.nan, None, "NaN", "N/A", "null", "None", "-", "", "NaT", "#N/A", "nil", "—"])
def test_what_programs_write_for_a_missing_value_is_empty(tmp_path, empty):
    rows = [{"id": empty, "title": f"Headline {n}", "text": empty, "url": empty, "date": "2026-11-20"} for n in range(3)]
    found = articles_of(written(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows)))
    assert [(article.title, article.text, article.url) for article in found] == [(f"Headline {n}", "", "") for n in range(3)]
    assert len({article.id for article in found}) == 3


@pytest.mark.parametrize("column", ["id", "url"])
@pytest.mark.parametrize("values", [["7"] * 6, ["1", "2"] * 3])
def test_columns_that_do_not_distinguish_articles_are_not_ids(tmp_path, column, values):
    values = [f"https://e.example/{value}" if column == "url" else value for value in values]
    rows = [{column: value, "title": f"Headline {n}", "date": "2026-11-20"} for n, value in enumerate(values)]
    path = written(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    assert len({article.id for article in articles_of(path)}) == 6
    assert any(repr(column) in note for note in check(str(path), READING, gazetteer=NOBODY, now=NOW).notes)


def test_an_id_that_repeats_with_its_article_is_an_id(tmp_path):
    rows = [{"id": n // 2, "title": f"Headline {n // 2}", "date": "2026-11-20"} for n in range(6)]
    found = check(str(written(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows))), READING, gazetteer=NOBODY, now=NOW)
    assert (found.valid, found.same_id, found.notes) == (6, 3, [])


def test_parquet_with_binary_texts_dates_and_numbers(tmp_path):
    table = pyarrow.table(
        {
            "title": ["某公司公告".encode("gbk") * 4, b"Plain"],
            "date": pyarrow.array([datetime(2026, 11, 20).date(), None]),
            "id": [math.nan, math.nan],
            "证券代码": [1, 600519],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    first, second = articles_of(tmp_path / "a.parquet")
    assert (first.title, first.published_at) == ("某公司公告" * 4, datetime(2026, 11, 20, tzinfo=UTC))
    assert (second.title, second.flags) == ("Plain", ("date",))
    assert first.id != second.id


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        ("000001", ["000001"]), ("AAPL, MSFT", ["AAPL", "MSFT"]), ("600519.SH|00700.HK", ["600519.SH", "00700.HK"]),
        ("['AAPL', 'MSFT']", ["AAPL", "MSFT"]), ("AAPL US Equity", ["AAPL US Equity"]), (["AAPL"], ["AAPL"]),
        ([{"ticker": "AAPL", "relevance": 1}], ["AAPL"]), ([{"name": "TSLA"}], ["TSLA"]),
        ("", []), (None, []), (math.nan, []), ([None, 7.5e9, -1], []), ({"a": 1}, []), ("[1", ["1"]),
    ],
)  # fmt: skip
def test_tickers_in_every_form(value, codes):
    assert [stock.code for stock in stocks_of(value)] == codes


def test_numbers_in_a_chinese_column_of_codes_get_their_zeros_back():
    assert [stock.code for stock in stocks_of(1, pad=True)] == ["000001"]


@pytest.mark.parametrize("seconds", [-62_135_596_801, -99_999_999_999, -(10**18)])
def test_a_time_before_the_first_year_costs_the_time_only(tmp_path, seconds):
    file = written(tmp_path, "old.jsonl", json.dumps({"title": "Bonds fall", "ts": seconds}))
    assert articles_of(file)[0].flags == ("date",)


def test_a_file_without_a_known_column_is_refused_with_what_was_seen(tmp_path):
    with pytest.raises(
        SettingsError, match=r"line 1: no column is known as title or text; the columns are 'a', 'b' \(CSV, separator semicolon"
    ):
        rows_of(written(tmp_path, "a.csv", "a;b\n1;2\n"))
    assert len(articles_of(written(tmp_path, "b.csv", "a;b\nx;2\n"), ReadOptions({"title": "a"}, "", UTC))) == 1


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_lines_above_the_header_are_skipped_and_counted(tmp_path, separator):
    text = separator.join(["News export"] + [""] * 2) + "\nCreated 2026-11-20, by desk\n\n"
    text += separator.join(["Headline", "Date", "Source"]) + "\n" + separator.join(["Bank cuts", "2026-11-20", "wire"]) + "\n"
    layout = Layout()
    (row,) = rows_of(written(tmp_path, "a.csv", text), layout=layout)
    assert isinstance(row, Row)
    assert (row.line, row.article.title, row.article.source, layout.notes) == (5, "Bank cuts", "wire", ["3 lines above the header skipped"])


def test_chinese_utf_16_without_a_mark_is_found_by_few_zero_bytes(tmp_path):
    text = "标题,内容\n" + "".join(f"某银行公布年报,{'净利润同比下滑一成市场关注后续安排' * 20}\n" for _ in range(4))
    for encoding in ("utf-16-le", "utf-16-be"):
        found = articles_of(written(tmp_path, f"{encoding}.csv", text.encode(encoding)))
        assert [article.title for article in found] == ["某银行公布年报"] * 4


def test_stray_zero_bytes_do_not_make_a_file_utf_16(tmp_path):
    file = written(tmp_path, "zero.csv", '"title","text"\n"\0","x"\n"\0","y"\n')
    assert [article.text for article in articles_of(file)] == ["x", "y"]


def test_a_table_without_a_header_is_refused(tmp_path):
    """The first row would be lost, and a cell such as "Text" may even be taken for the name of a column."""
    with pytest.raises(SettingsError, match="'2026-11-20 09:30' is a time and not the name of a column: the file seems to have no header"):
        rows_of(written(tmp_path, "a.csv", "2026-11-20 09:30,Bank cuts,Text\n2026-11-21 09:30,Bank adds,Text\n"))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", b"PK\x03\x04xl", "Excel"),
        ("a.xlsx", b"PK\x03\x04", "save the sheet as CSV"),
        ("a.json", b"%PDF-1", "PDF"),
        ("a.zip", b"PK", "unpack"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(tmp_path, name, data, words):
    with pytest.raises(SettingsError, match=words):
        rows_of(written(tmp_path, name, data))


def test_a_rejection_names_what_was_seen_and_expected(tmp_path):
    one, two = (row for row in rows_of(written(tmp_path, "a.csv", "title,text\nok,1\na,b,c\n-,N/A\n")) if isinstance(row, Rejected))
    assert one.line == 3
    assert all(words in one.reason for words in ("3 columns", "header has 2 (title,text)", "separator comma", "'a,b,c'"))
    assert two.reason == "neither a title nor a text; seen: title='-', text='N/A'"


DOUBTS = {
    "05/03/2024": "may be day or month first; use --date-order",
    "soon": "is no time that is known; examples",
    "": "no time in column 'date'",
    "3 minutes ago": "depends on when it was written",
    "2099-01-01": "is in the future",
    "2026-11-20 09:30 QQT": "unknown or impossible time zone",
}


@pytest.mark.parametrize(("text", "reason"), DOUBTS.items())
def test_a_doubtful_time_is_explained(tmp_path, text, reason):
    (row,) = rows_of(written(tmp_path, "a.csv", f"title,date\nHeadline,{text}\n"))
    assert isinstance(row, Row)
    assert reason in row.doubt
    assert row.article.counts == ("QQT" in text)


def test_the_order_may_be_proved_late_or_given(tmp_path):
    rows = ["title,date"] + [f"Headline {n},05/03/2024" for n in range(3_000)]
    unproved, proved = written(tmp_path, "a.csv", "\n".join(rows)), written(tmp_path, "b.csv", "\n".join([*rows, "Last,25/03/2024"]))
    found = check(str(unproved), READING, gazetteer=NOBODY, now=NOW)
    assert (found.undated, len(found.doubts)) == (3_000, 5)
    assert "--date-order" in found.notes[0]
    assert {a.published_at for a in articles_of(unproved, READING._replace(day_first=False))} == {datetime(2024, 5, 3, tzinfo=UTC)}
    assert {a.published_at.month for a in articles_of(proved)} == {3}


def test_a_check_shows_columns_and_the_first_five_rows(tmp_path):
    text = "标题;内容;发布时间;代码;备注\n" + "\n".join(f"标题{n};内容;2026-11-20 09:3{n};000001;x" for n in range(7))
    found = check(
        str(written(tmp_path, "a.csv", text.encode("gbk"))), ReadOptions({}, "", ZoneInfo("Asia/Shanghai")), gazetteer=NOBODY, now=NOW
    )
    assert (found.format, found.rows, found.valid, found.rejected) == ("CSV, separator semicolon, gb18030", 7, 7, 0)
    fields = {each.field: (each.columns, each.filled) for each in found.fields if each.columns}
    assert fields == {
        "title": (("标题",), 7),
        "text": (("内容",), 7),
        "published": (("发布时间",), 7),
        "stocks": (("代码",), 7),
        "": (("备注",), 7),
    }
    assert [(row.line, row.title, row.published_at.minute) for row in found.first] == [(n + 2, f"标题{n}", 30 + n) for n in range(5)]


@given(st.lists(st.text(max_size=30), max_size=8), st.sampled_from([",", ";", "\t"]))
@settings(max_examples=60, deadline=timedelta(seconds=2), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_row_disappears(tmp_path_factory, titles, separator):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows(itertools.chain([["title", "date"]], ([title, "2026-11-20"] for title in titles)))
    path = written(tmp_path_factory.mktemp("rows"), "a.csv", out.getvalue().encode("utf-8", "replace"))
    layout = Layout()
    assert len(rows_of(path, layout=layout)) + layout.format.repeated_headers == len(titles)
