"""From the columns of an archive's row to the fields of an article: names in use at agencies, terminals, data sets and in Chinese files.

columns ─▶ field ─▶ its columns, best first (FieldMap) ─▶ the first that is not empty ─▶ RawArticle
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, cast, get_args

from core.errors import BadRecord
from core.records import Genre, sha
from ingest.articles import RawArticle, Stock
from ingest.text import clean_text


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


FIELDS: dict[str, tuple[str, ...]] = {
    "title": _names(
        "title, headline, head line, headlines, web title, news title, article title, headline text, headline main, 标题, "
        "標題, 新闻标题, 新聞標題, 文章标题, 公告标题, 资讯标题, 题目, titel, titre, título, überschrift"
    ),
    "text": _names(
        "text, content, body, body text, article body, article text, story, story text, full text, news content, maintext, "
        "main text, selftext, description, summary, abstract, snippet, lead paragraph, short description, lead, article, news, "
        "sentence, tweet, 正文, 内容, 內容, 新闻内容, 新聞內容, 文章内容, 资讯内容, 摘要, 新闻摘要, 简介, 新闻"
    ),
    "url": _names(
        "url, link, href, article url, news url, web url, source url, story url, document identifier, permalink, 网址, 網址, "
        "链接, 連結, 鏈接, 新闻链接, 文章链接, 原文链接, 公告链接, 地址"
    ),
    "published": _names(
        "published, published at, published utc, published time, published on, published date, date published, publish date, "
        "publish time, publication date, publication time, web publication date, pub date, pub time, pub datetime, datetime, "
        "date time, story date time, story datetime, time of arrival, version created, first created, first version created, "
        "seen date, time published, created at, created utc, created, date, story date, news date, day, timestamp, ts, time, "
        "unix time, 发布时间, 發布時間, 發佈時間, 发表时间, 发布日期, 发文时间, 公告日期, 公告时间, 新闻时间, 日期时间, 日期, "
        "时间, 時間, 入库时间, 更新时间, ann date, release date, release time, posted at, posted on, date posted, datum, fecha"
    ),
    "source": _names(
        "source, source name, source title, publisher, publisher name, publication, site, media, media name, provider, wire, "
        "wire name, source common name, source code, domain, news source, outlet, 来源, 來源, 媒体, 媒體, 媒体名称, 新闻来源, "
        "文章来源, 信息来源, 出处, 网站"
    ),
    "language": _names("lang, language, language code, 语言"),
    "id": _names("id, guid, uid, uuid, article id, news id, story id, alt id, suid, doc id, 编号, 新闻id, 唯一标识"),
    "stocks": _names(
        "stocks, symbols, tickers, symbol, ticker, stock, related, related symbols, ticker sentiment, primary ticker, rics, "
        "ric, 代码, 代碼, 股票, 股票代码, 股票代碼, 证券代码, 證券代碼, 相关股票, ts code, stock code, sec code"
    ),
    "genre": _names("genre"),
}
"""Our fields and the column names recognized for each, best first. Case, blanks, hyphens, dots and underscores do not matter."""

CLOCK_COLUMNS = frozenset(("time", "story time", "clock", "publish time", "pub time", "时间", "時間", "时刻", "发布时刻"))
"""Times of day that may stand beside a column with the date."""
ZONE_COLUMNS = ("timezone", "time zone", "tz", "时区")
STOCK_NAME_COLUMNS = ("股票简称", "证券简称", "股票名称", "证券名称", "stock name", "company name")
CONTAINERS = frozenset(
    (
        "source",
        "publisher",
        "fields",
        "article",
        "attributes",
        "data",
        "news",
        "doc",
        "document",
        "item",
        "node",
        "headline",
        "_source",
        "_id",
    )
)
"""Objects inside a row whose members are read as columns of it."""
EMPTY = frozenset(
    (
        "",
        "nan",
        "n/a",
        "na",
        "#n/a",
        "#na",
        "null",
        "none",
        "nil",
        "nat",
        "<na>",
        "-",
        "--",
        "—",
        "–",
        "\\n",
        "undefined",
        "n.a.",
        "无",
        "暂无",
    )
)
"""What programs write where a value is missing."""

_CLOCK = re.compile(r"\d{1,2}\s*[:：时點点]\s*\d{1,2}.*|\d{1,2}\s*[ap]\.?m\.?|(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?", re.IGNORECASE)
_DIGITS = re.compile(r"(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?")
_CUT_MARK = re.compile(r"\s*(?:…|\.\.\.)?\s*\[\+\d+ chars\]\s*$")
_CODE_MARKS = re.compile(r"[,;|，；、\s]+")
_MAX_ID_CHARS = 1_000
_YEAR_1_S = -62_135_596_800
"""The first second that datetime can hold, since 1970."""


class FieldMap(NamedTuple):
    """The columns of rows of one shape. columns: field to its columns, best first; unused: columns that are read for nothing"""

    columns: Mapping[str, tuple[str, ...]]
    clock: str
    zone: str
    stock_name: str
    unused: tuple[str, ...]


class Trusted(NamedTuple):
    """What the rows of a file say about its columns. ids, urls: whether they tell articles apart; day_first: as in ingest.text.dates"""

    ids: bool = True
    urls: bool = True
    day_first: bool | None = None


def normal(name: object) -> str:
    """The name of a column without case and marks between words: "Published_At" and "publishedAt" are "publishedat"."""
    return re.sub(r"[\s_\-./:]+", "", str(name).replace("\ufeff", "").casefold())


_BY_NAME = {field: [normal(name) for name in names] for field, names in FIELDS.items()}
_CLOCKS = {normal(name) for name in CLOCK_COLUMNS}
_DATES = {normal(name) for name in ("date", "day", "story date", "news date", "publish date", "pub date", "日期", "发布日期", "公告日期")}


def map_columns(columns: Sequence[str], given: Mapping[str, str]) -> FieldMap:
    """Find the columns of each field. given: field to column, as the user chose; it replaces the recognized ones."""
    by_name: dict[str, list[str]] = {}
    for column in columns:
        by_name.setdefault(normal(column), []).append(column)
    found: dict[str, tuple[str, ...]] = {}
    for field, names in _BY_NAME.items():
        if field in given:
            found[field] = (given[field],) if given[field] in columns else ()
        else:
            found[field] = tuple(column for name in names for column in by_name.get(name, ()))
    chosen = {column for field in found for column in found[field]}
    first = normal(found["published"][0]) if found["published"] else ""
    clock = ""
    if first in _DATES and "published" not in given:
        clock = next((column for name in _CLOCKS for column in by_name.get(name, ()) if column != found["published"][0]), "")

    def other(names: Sequence[str]) -> str:
        return next((column for name in names for column in by_name.get(normal(name), ())), "")

    zone, stock_name = other(ZONE_COLUMNS), other(STOCK_NAME_COLUMNS)
    unused = tuple(column for column in columns if column not in {*chosen, clock, zone, stock_name})
    return FieldMap(found, clock, zone, stock_name, unused)


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the members of known inner objects as columns of their own: {"source": {"name": "x"}} has "source name"."""
    if not any(isinstance(value, dict) for value in row.values()):
        return dict(row)
    found: dict[str, Any] = {}
    for name, value in row.items():
        if not isinstance(value, dict):
            found[name] = value
        elif "$oid" in value:
            found[name] = str(value["$oid"])
        elif "$date" in value or "seconds" in value or "_seconds" in value:
            found[name] = value
        elif str(name).casefold() in {"source", "publisher", "headline"}:
            found |= {f"{name} {inner}": part for inner, part in value.items() if not isinstance(part, dict | list)}
        elif str(name).casefold() in CONTAINERS:
            found |= {inner: part for inner, part in flat(value).items() if inner not in row}
        else:
            found[name] = value
    return found


def is_empty(value: object) -> bool:
    """Whether a program wrote this where a value is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and (len(value) <= 12 and value.strip().casefold() in EMPTY)


def word(value: object) -> str:
    """A cell as text; "" for a missing value, an object, or bytes that are no text."""
    if is_empty(value) or isinstance(value, dict | bool):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return clean_text.decode(bytes(value))
        except BadRecord:
            return ""
    if isinstance(value, list | tuple):
        return "\n".join(part for part in value if isinstance(part, str))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # Parquet files and pandas store integers as floats
    return str(value)


def raw_article(row: Mapping[str, Any], names: FieldMap, source: str, trusted: Trusted) -> RawArticle:
    """The article of a row. source: of rows without one."""

    def first(field: str) -> str:
        return next((text for column in names.columns[field] if (text := word(row.get(column)))), "")

    title, text = first("title"), _CUT_MARK.sub("…", first("text"))
    if (
        not title
        and not text
        and any(isinstance(row.get(column), bytes) and row[column] for field in ("title", "text") for column in names.columns[field])
    ):
        raise BadRecord("the title and the text are bytes in no known encoding", stage="archive")
    published = moment(row, names)
    url, guid = first("url"), first("id")[:_MAX_ID_CHARS] if trusted.ids else ""
    if not guid and url and not trusted.urls:
        guid = sha("row", title, text[:500], str(published))  # all rows carry one URL
    genre, language = first("genre").strip().lower(), first("language").strip().lower()
    return RawArticle(
        source=first("source") or source,
        url=url,
        guid=guid,
        title=title,
        text=text,
        published=published,
        language="zh" if language[:2] in ("zh", "ch") else "en" if language[:2] == "en" else "",
        genre=cast(Genre, genre) if genre in get_args(Genre) else "news",
        stocks=_stocks(row, names),
        guid_first=True,
        day_first=trusted.day_first,
        archived=True,
        trust="archive",
    )


def moment(row: Mapping[str, Any], names: FieldMap) -> str | datetime:
    """The publication time of a row as written, from one column or from date and time."""
    for column in names.columns["published"]:
        value = _moment(row.get(column))
        if value == "" or (isinstance(value, str) and normal(column) in _CLOCKS and _CLOCK.fullmatch(value.strip()) and names.clock):
            continue
        if column != names.clock and names.clock and normal(column) in _DATES:
            clock = word(row.get(names.clock)).strip()
            day = value if isinstance(value, str) else f"{value:%Y-%m-%d}"
            if _CLOCK.fullmatch(clock) and ":" not in day:
                if _DIGITS.fullmatch(clock):
                    clock = ":".join(clock[at : at + 2] for at in range(0, len(clock), 2))
                value = f"{day} {clock}"
        zone = word(row.get(names.zone)).strip() if names.zone else ""
        return f"{value} {zone}" if zone and isinstance(value, str) else value
    return ""


def _moment(value: object) -> str | datetime:
    """A time as text, or as it is; MongoDB's and Firestore's objects as their text."""
    if isinstance(value, dict):
        inner = value.get("$date", value.get("seconds", value.get("_seconds", "")))
        return word(inner.get("$numberLong", "")) if isinstance(inner, dict) else word(inner)
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and math.isfinite(value) and abs(value) >= 100_000:
        return f"{value:.0f}"
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        return datetime.fromtimestamp(value, UTC) if value >= _YEAR_1_S else ""
    return word(value).strip()


def _stocks(row: Mapping[str, Any], names: FieldMap) -> tuple[Stock, ...]:
    for column in names.columns["stocks"]:
        found = stocks_of(row.get(column), pad=not column.isascii())
        if found:
            name = word(row.get(names.stock_name)).strip() if names.stock_name else ""
            return (found[0]._replace(name=name),) if name and len(found) == 1 and not found[0].name else found
    return ()


def stocks_of(value: object, *, pad: bool = False) -> tuple[Stock, ...]:
    """Parse the companies of a row: codes in a text or a list, or a list of {code, name}.

    pad: a number is a Chinese code that lost its leading zeros.
    """
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in "[(" and text[-1:] in "])" and len(text) < 5_000:
            try:
                listed = ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                listed = None
            if isinstance(listed, list | tuple):
                return stocks_of(list(listed), pad=pad)
        parts = [text] if re.fullmatch(r"[A-Z.]{1,6} [A-Z]{2}(?: Equity)?", text) else _CODE_MARKS.split(text.strip("[]() "))
        return tuple(Stock(part.strip("'\""), "") for part in parts[:100] if part.strip("'\"") and not is_empty(part))
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1_000_000:
        code = str(int(value))
        return (Stock(code.zfill(6) if pad else code, ""),)
    if not isinstance(value, list | tuple):
        return ()
    found = []
    for item in value:
        if isinstance(item, dict):
            codes = [item[key] for key in ("code", "ticker", "symbol", "name") if isinstance(item.get(key), str) and item[key]]
            full = item.get("name")
            if codes:
                found.append(Stock(codes[0], full if isinstance(full, str) and full != codes[0] else ""))
        elif isinstance(item, str) and not is_empty(item):
            found.append(Stock(item.strip(), ""))
        else:
            found += stocks_of(item, pad=pad) if isinstance(item, int | float) else ()
    return tuple(stock for stock in found if stock.code)
