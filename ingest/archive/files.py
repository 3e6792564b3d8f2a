"""Read articles from archives: JSONL, CSV and Parquet, also gzipped; "-" is stdin.

rows with line numbers ─▶ field map ─▶ build_article ─▶ Row, or Rejected with a reason; reading continues
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import msgspec

from core.errors import BadRecord, SettingsError
from core.records import Article, Genre
from ingest.articles import RawArticle, build_article, stocks_of
from ingest.companies.gazetteer import Gazetteer

FIELDS: dict[str, tuple[str, ...]] = {
    "title": ("title", "headline", "标题"),
    "text": ("text", "content", "body", "summary", "description", "articlebody", "正文", "内容", "摘要"),
    "url": ("url", "link", "href", "网址", "链接"),
    "published": ("published", "published_at", "publishedat", "datetime", "date", "time", "pubdate", "pub_time", "publish_time",
                  "created_at", "timestamp", "发布时间", "时间", "日期"),
    "source": ("source", "publisher", "site", "media", "来源", "媒体"),
    "language": ("lang", "language", "语言"),
    "id": ("id", "guid", "uid", "article_id", "编号"),
    "stocks": ("stocks", "symbols", "tickers", "股票"),
    "genre": ("genre",),
}  # fmt: skip
"""Our fields and the column names recognized for each, best first; case-insensitive."""

MAX_LINE_BYTES = 4 * 1024 * 1024


class Row(NamedTuple):
    """A row with its article."""

    line: int
    article: Article


class Rejected(NamedTuple):
    """A rejected row. line: counted from 1, as in an editor (Parquet: the row number)."""

    line: int
    reason: str


class ReadOptions(NamedTuple):
    """How to read archives. fields: our field to their column; source: of rows without one; zone: of times without one."""

    fields: Mapping[str, str]
    source: str
    zone: tzinfo


def read(path: str, reading: ReadOptions, *, gazetteer: Gazetteer, now: datetime, after: int = 0) -> Iterator[Row | Rejected]:
    """Read the rows of an archive after line `after`, in order.

    Args:
        path: the file; "-" is stdin.
        reading: how to read it.
        gazetteer: finds companies.
        now: fetched_at of the articles.
        after: lines already read.

    Raises:
        SettingsError: the file cannot be read, or the field map is invalid.
    """
    unknown = sorted(set(reading.fields) - set(FIELDS))
    if unknown:
        raise SettingsError(f"field map: unknown field {unknown[0]!r}; the fields are {', '.join(FIELDS)}")
    source = reading.source or ("stdin" if path == "-" else Path(path).name.partition(".")[0])
    names: dict[tuple[str, ...], dict[str, str]] = {}
    for line, columns in _rows(path, after):
        if isinstance(columns, str):
            yield Rejected(line, columns)
            continue
        shape = tuple(columns)
        if shape not in names:
            if len(names) > 1_000:
                names.clear()
            names[shape] = _map_columns(shape, reading.fields)
        try:
            raw = _raw(columns, names[shape], source)
            yield Row(line, build_article(raw, fetched_at=now, zone=reading.zone, gazetteer=gazetteer))
        except BadRecord as error:
            yield Rejected(line, error.reason)


def _map_columns(columns: tuple[str, ...], given: Mapping[str, str]) -> dict[str, str]:
    """Our field to their column, for rows with these columns."""
    lower = {str(column).strip().lower(): column for column in reversed(columns)}
    found = {}
    for field, names in FIELDS.items():
        if field in given:
            if given[field] in columns:
                found[field] = given[field]
        elif column := next((lower[name] for name in names if name in lower), None):
            found[field] = column
    return found


def _raw(columns: Mapping[str, Any], names: Mapping[str, str], source: str) -> RawArticle:
    def word(field: str) -> str:
        value = columns.get(names.get(field, ""))
        if value is None or isinstance(value, dict | list):
            return ""
        return value if isinstance(value, str) else _number(value)

    moment = columns.get(names.get("published", ""))
    genre = word("genre")
    language = word("language").strip().lower()[:2]
    return RawArticle(
        source=word("source") or source,
        url=word("url"),
        guid=word("id"),
        title=word("title"),
        text=word("text"),
        published=moment if isinstance(moment, datetime) else word("published"),
        language=language if language in ("zh", "en") else "",
        genre=cast(Genre, genre) if genre in get_args(Genre) else "news",
        stocks=stocks_of(columns.get(names.get("stocks", ""))),
        guid_first=True,
    )


def _number(value: Any) -> str:
    """12.0 as "12": Parquet files may store integers as floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _rows(path: str, after: int) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line, columns), or (line, reason for rejection)."""
    kind = _kind(path)
    if kind == "parquet":
        yield from _parquet(path, after)
        return
    with _opened(path) as stream:
        try:
            if kind == "":
                kind = "jsonl" if stream.peek(1)[:1].lstrip(b"\xef") in (b"{", b"") else "csv"
            yield from (_jsonl if kind == "jsonl" else _csv)(stream, after)
        except (OSError, EOFError) as error:  # truncated gzip, disk error
            raise SettingsError(f"{path}: cannot be read completely ({error})") from error


def _kind(path: str) -> str:
    """ "jsonl", "csv" or "parquet" by the file name; "" for stdin."""
    name = path.lower().removesuffix(".gz")
    for kind, endings in (("jsonl", (".jsonl", ".ndjson", ".json")), ("csv", (".csv",)), ("parquet", (".parquet", ".pq"))):
        if name.endswith(endings):
            return kind
    if path == "-":
        return ""
    raise SettingsError(f"{path}: unknown file type; use .jsonl, .csv or .parquet, also with .gz, or - for stdin")


@contextmanager
def _opened(path: str) -> Iterator[io.BufferedReader]:
    if path == "-":
        yield cast(io.BufferedReader, sys.stdin.buffer)
        return
    try:
        with Path(path).open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            yield io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw)), 1 << 20) if packed else raw
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error})") from error


def _jsonl(stream: io.BufferedReader, after: int) -> Iterator[tuple[int, dict[str, Any] | str]]:
    decoder = msgspec.json.Decoder()
    number = 0
    while line := stream.readline(MAX_LINE_BYTES):
        number += 1
        whole = line.endswith(b"\n") or len(line) < MAX_LINE_BYTES
        while not whole and (rest := stream.readline(MAX_LINE_BYTES)):
            if rest.endswith(b"\n"):
                break
        if number <= after or not (line := line.strip(b" \t\r\n\xef\xbb\xbf" if number == 1 else None)):
            continue
        if not whole:
            yield number, f"longer than {MAX_LINE_BYTES} bytes"
            continue
        try:
            value = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            try:  # slower and more lenient: lone surrogates, control characters
                value = json.loads(line.decode("utf-8"), strict=False)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON ({error})"[:300]
                continue
        except RecursionError:
            yield number, "not JSON (nested too deeply)"
            continue
        yield number, value if isinstance(value, dict) else f"not a JSON object but {type(value).__name__}"


def _csv(stream: io.BufferedReader, after: int) -> Iterator[tuple[int, dict[str, Any] | str]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
    reader = csv.reader(line.replace("\0", "") for line in lines)
    try:
        header = next(reader, [])
        while True:
            start = reader.line_num + 1
            try:
                values = next(reader)
            except csv.Error as error:
                yield start, f"not CSV ({error})"
                continue
            if start <= after or not any(values):
                continue
            if len(values) != len(header):
                yield start, f"{len(values)} columns where the header has {len(header)}"
                continue
            yield start, dict(zip(header, values, strict=True))
    except StopIteration:
        return
    finally:
        lines.detach()


def _parquet(path: str, after: int) -> Iterator[tuple[int, dict[str, Any] | str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with _opened(path) as stream:
            source: Any = pyarrow.BufferReader(stream.read()) if path.lower().endswith(".gz") else path
        number = 0
        for batch in parquet.ParquetFile(source).iter_batches(1_000):
            if number + batch.num_rows <= after:
                number += batch.num_rows
                continue
            for row in batch.to_pylist():
                number += 1
                if number > after:
                    yield number, row
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise SettingsError(f"{path}: is not readable Parquet ({error})") from error


def count_rows(paths: Sequence[str], limit_bytes: int = 1 << 28) -> int | None:
    """Total lines of the archives; None if counting takes too long (stdin, more than `limit_bytes`) or fails."""
    total = 0
    for path in paths:
        try:
            if path == "-" or Path(path).stat().st_size > limit_bytes:
                return None
            if _kind(path) == "parquet":
                import pyarrow.parquet

                total += pyarrow.parquet.ParquetFile(path).metadata.num_rows
                continue
            with _opened(path) as stream:
                total += sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
        except (OSError, SettingsError, ValueError):
            return None
    return total
