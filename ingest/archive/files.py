"""Read articles from archives: JSONL, JSON, CSV and Parquet, also gzipped; "-" is stdin.

file ─▶ rows with line numbers (json_rows, csv_rows, Parquet) ─▶ the first of them show which columns to trust
    ─▶ columns to fields ─▶ build_article ─▶ Row, or Rejected with a reason; reading continues
"""

from __future__ import annotations

import gzip
import io
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from core.errors import BadRecord, SettingsError
from core.records import OLDEST, Article
from ingest.archive.columns import FIELDS, FieldMap, Trusted, flat, is_empty, map_columns, moment, raw_article, word
from ingest.archive.row_formats import NumberedRow, RowFormat, csv_rows, json_rows
from ingest.archive.text_lines import undecoded, undecoded_runs, without_undecoded
from ingest.articles import build_article
from ingest.companies.gazetteer import Gazetteer
from ingest.text import dates

SAMPLE_ROWS = 2_000
"""Rows at the beginning of a file that show what its columns are."""
MAX_DAMAGE = 0.1
"""A row with a larger share of invalid bytes among its non-ASCII characters is rejected; otherwise they are removed and it is flagged."""


class Row(NamedTuple):
    """A row with its article. doubt: why its time is not certain; "" if it is"""

    line: int
    article: Article
    doubt: str = ""


class Rejected(NamedTuple):
    """A rejected row. line: counted from 1, as in an editor (Parquet and JSON documents: the number of the row)."""

    line: int
    reason: str


class ReadOptions(NamedTuple):
    """How to read archives.

    Attributes:
        fields: our field to their column.
        source: of rows without one.
        zone: of times without one.
        day_first: the order in "05/03/2026"; None: the rows decide.
    """

    fields: Mapping[str, str]
    source: str
    zone: tzinfo
    day_first: bool | None = None


@dataclass
class Layout:
    """How a file was understood, filled in while it is read.

    Attributes:
        format: kind, encoding, separator and columns.
        maps: shape of the rows (their columns) to fields.
        trusted: what the first rows say about the columns.
        notes: what was decided about the columns, for a person.
        filled: number of rows in which a column was not empty.
        rows: number of rows.
    """

    format: RowFormat = field(default_factory=RowFormat)
    maps: dict[tuple[str, ...], FieldMap] = field(default_factory=dict)
    trusted: Trusted = field(default_factory=Trusted)
    notes: list[str] = field(default_factory=list)
    filled: Counter[str] = field(default_factory=Counter)
    rows: int = 0


def read(
    path: str, reading: ReadOptions, *, gazetteer: Gazetteer, now: datetime, after: int = 0, layout: Layout | None = None
) -> Iterator[Row | Rejected]:
    """Read the rows of an archive after line `after`, in order.

    Args:
        path: the file; "-" is stdin.
        reading: how to read it.
        gazetteer: finds companies.
        now: fetched_at of the articles.
        after: lines already read.
        layout: filled in with how the file was understood.

    Raises:
        SettingsError: the file cannot be read, no column is a title or a text, or the field map is invalid.
    """
    unknown = sorted(set(reading.fields) - set(FIELDS))
    if unknown:
        raise SettingsError(f"field map: unknown field {unknown[0]!r}; the fields are {', '.join(FIELDS)}")
    source = reading.source or ("stdin" if path == "-" else Path(path).name.partition(".")[0])
    layout = layout if layout is not None else Layout()
    names = _FieldMaps(reading, layout)
    rows = _rows(path, layout.format)
    head = list(islice(rows, SAMPLE_ROWS))
    _check_fields(path, head, names, layout)
    _judge_columns(path, head, names, reading, layout, now)
    for line, columns in chain(_emptied(head), rows):
        if line <= after:
            continue
        layout.rows += 1
        if isinstance(columns, str):
            yield Rejected(line, columns)
            continue
        try:
            row, damaged = _mended(columns, layout.format.encoding)
            mapped = names.of(row)
            raw = raw_article(row, mapped, source, layout.trusted)
            article = build_article(raw, fetched_at=now, zone=reading.zone, gazetteer=gazetteer)
        except BadRecord as error:
            yield Rejected(line, _explained(error.reason, columns, names))
            continue
        layout.filled.update(column for column, value in row.items() if not is_empty(value))
        if damaged:
            article = msgspec.structs.replace(article, flags=(*article.flags, "bytes"))
        yield Row(line, article, _doubt(article, raw.published, mapped, reading.zone, now))


class _FieldMaps:
    """The field map of rows of each shape."""

    def __init__(self, reading: ReadOptions, layout: Layout) -> None:
        self._given, self._maps = reading.fields, layout.maps

    def of(self, row: Mapping[str, Any]) -> FieldMap:
        shape = tuple(row)
        found = self._maps.get(shape)
        if found is None:
            if len(self._maps) > 1_000:
                self._maps.clear()
            found = self._maps[shape] = map_columns(shape, self._given)
        return found


def _emptied(rows: list[NumberedRow]) -> Iterator[NumberedRow]:
    """The rows, each forgotten once it is used."""
    waiting = deque(rows)
    rows.clear()
    while waiting:
        yield waiting.popleft()


def _check_fields(path: str, head: Sequence[NumberedRow], names: _FieldMaps, layout: Layout) -> None:
    """Raises SettingsError for a table whose header names neither a title nor a text."""
    header = layout.format.header or next((tuple(row) for _, row in head if isinstance(row, dict) and layout.format.kind == "parquet"), ())
    if not header:
        return
    for name in header if layout.format.kind == "csv" else ():
        seen = dates.read(name, UTC, datetime.now(UTC)) if any(char.isdigit() for char in name) else None
        if seen is not None and not seen.relative:
            raise SettingsError(
                f"{path}: line {layout.format.header_line}: {name[:60]!r} is a time and not the name of a column: the file seems to have "
                "no header; add a first line with the names of the columns"
            )
    found = names.of(dict.fromkeys(header))
    if found.columns["title"] or found.columns["text"]:
        return
    kind = f" ({layout.format.described()})" if layout.format.kind == "csv" else ""
    raise SettingsError(
        f"{path}: line {layout.format.header_line}: no column is known as title or text; the columns are "
        f"{', '.join(map(repr, header[:20]))}{kind}. Names such as title, headline, 标题, text, content and 内容 are known; "
        "for others use --map title=COLUMN or --map text=COLUMN"
    )


def _judge_columns(path: str, head: Sequence[NumberedRow], names: _FieldMaps, reading: ReadOptions, layout: Layout, now: datetime) -> None:
    """Decide from the first rows which columns identify articles, and the order of day and month."""
    rows = [row for _, row in head if isinstance(row, dict)]
    ids, id_note = _identifies(rows, names, "id")
    urls, url_note = _identifies(rows, names, "url")
    order, order_note = reading.day_first, ""
    if order is None:
        texts = [text for row in rows if isinstance(text := moment(row, names.of(row)), str)]
        order = dates.day_first(texts, reading.zone, now)
        unsure = next((text for text in texts if order is None and dates.is_ambiguous(text, reading.zone, now)), "")
        if unsure and len(head) == SAMPLE_ROWS and path != "-":  # nothing among the first rows: the rest of the file may prove it
            order = dates.day_first(_times(path, names), reading.zone, now)
        if order is not None:
            order_note = f"times such as 05/03/2026 are read {'day' if order else 'month'} first, as other rows prove"
        elif unsure:
            order_note = f"no row proves the order of day and month in times such as {unsure!r}: use --date-order day or --date-order month"
    layout.trusted = Trusted(ids, urls, order)
    skipped = layout.format.skipped_lines
    above_note = f"{skipped} line{'s' if skipped > 1 else ''} above the header skipped" if skipped else ""
    layout.notes += [note for note in (above_note, id_note, url_note, order_note) if note]


def _times(path: str, names: _FieldMaps) -> Iterator[str]:
    for _, row in _rows(path, RowFormat()):
        if isinstance(row, dict) and isinstance(text := moment(row, names.of(row)), str):
            yield text


def _identifies(rows: Sequence[Mapping[str, Any]], names: _FieldMaps, what: str) -> tuple[bool, str]:
    """Whether the values of a field tell articles apart, and a note if they do not: too many stand beside different titles."""
    titles: dict[str, set[str]] = {}
    count = 0
    for row in rows:
        mapped = names.of(row)
        value = next((text for column in mapped.columns[what] if (text := word(row.get(column)))), "")
        if value:
            count += 1
            title = next((text for field in ("title", "text") for column in mapped.columns[field] if (text := word(row.get(column)))), "")
            titles.setdefault(value, set()).add(title[:200])
    clashing = {value: len(found) for value, found in titles.items() if len(found) > 1}
    if sum(clashing.values()) <= 0.2 * count:
        return True, ""
    value, most = max(clashing.items(), key=lambda item: item[1])
    return False, f"the column of the field {what!r} does not tell articles apart: {value[:60]!r} stands beside {most} different titles"


def _mended(row: Mapping[str, Any], encoding: str) -> tuple[Mapping[str, Any], bool]:
    """The row without bytes that are invalid in its encoding, and whether there were any. Raises BadRecord where there are many."""
    texts = [value for value in row.values() if isinstance(value, str)]
    damage = next((found for text in texts if (found := undecoded(text))), "")
    if not damage:
        return row, False
    foreign = sum(not char.isascii() for text in texts for char in text)
    lost = sum(map(undecoded_runs, texts))
    if lost > max(1, MAX_DAMAGE * foreign):
        raise BadRecord(f"the bytes {damage} are not valid {encoding}, the encoding of the file", stage="archive")
    return {name: without_undecoded(value) if isinstance(value, str) else value for name, value in row.items()}, True


def _explained(reason: str, columns: Mapping[str, Any], names: _FieldMaps) -> str:
    """The reason of a rejection, with what was looked for and what was there."""
    if reason != "neither a title nor a text":
        return reason
    row = {str(name): value for name, value in columns.items()}
    mapped = names.of(row)
    read_columns = [*mapped.columns["title"], *mapped.columns["text"]]
    seen = ", ".join(f"{column}={row.get(column)!r}"[:60] for column in read_columns[:4])
    there = f"the columns are {', '.join(map(repr, list(row)[:12]))}" if not read_columns else f"seen: {seen}"
    return f"{reason}; {there}"


def _doubt(article: Article, published: str | datetime, mapped: FieldMap, zone: tzinfo, now: datetime) -> str:
    """Why the time of a row is not certain; "" if it is."""
    if "date" not in article.flags and "zone" not in article.flags:
        return ""
    columns = " + ".join(repr(name) for name in (*mapped.columns["published"][:1], mapped.clock) if name)
    if not columns:
        return "no column is known as publication time; use --map published=COLUMN"
    if published == "":
        return f"no time in column {columns}"
    seen = f"{published!s:.60}" if isinstance(published, datetime) else f"{published[:60]!r}"
    if "zone" in article.flags:
        return f"column {columns}: {seen} has an unknown or impossible time zone; --timezone was used"
    if isinstance(published, str) and dates.is_ambiguous(published, zone, now):
        return f"column {columns}: {seen} may be day or month first; use --date-order"
    found = dates.read(published, zone, now) if isinstance(published, str) else None
    if found and found.relative:
        return f"column {columns}: {seen} depends on when it was written"
    if isinstance(published, datetime) or found:
        return f"column {columns}: {seen} is in the future or before {OLDEST.year}"
    return (
        f"column {columns}: {seen} is no time that is known; examples: 2026-11-20 09:30, 20 Nov 2026 09:30 EST, 2026年11月20日, 1795300000"
    )


def _rows(path: str, form: RowFormat) -> Iterator[NumberedRow]:
    """(line, columns), or (line, reason for rejection)."""
    kind = _kind(path)
    if kind == "parquet":
        form.kind, form.encoding = "parquet", "binary"
        yield from _parquet(path)
        return
    with _opened(path) as stream:
        try:
            head = stream.peek(4_096)[:4_096]
            if head.startswith(b"PAR1"):
                form.kind, form.encoding = "parquet", "binary"
                yield from _parquet(path, stream)
                return
            _refuse_binary(path, head)
            first = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe\x84\x31\x95\x33 \t\r\n")[:1]
            is_json = first in (b"{", b"[") and kind != "csv"
            form.kind = "json" if is_json or kind == "json" else "csv"
            yield from (csv_rows if form.kind == "csv" else json_rows)(stream, path, form)
        except (OSError, EOFError) as error:  # truncated gzip, disk error
            raise SettingsError(f"{path}: cannot be read to its end ({error})") from error


def _kind(path: str) -> str:
    """ "json", "csv" or "parquet" by the file name; "" for stdin and text files, whose content decides."""
    name = path.lower().removesuffix(".gz")
    kinds = (("json", (".jsonl", ".ndjson", ".json")), ("csv", (".csv", ".tsv", ".tab")), ("parquet", (".parquet", ".pq")), ("", (".txt",)))
    for kind, endings in kinds:
        if name.endswith(endings):
            return kind
    if path == "-":
        return ""
    hint = ""
    if name.endswith((".xlsx", ".xls")):
        hint = "; save the sheet as CSV"
    elif name.endswith((".zip", ".7z", ".bz2", ".zst")):
        hint = "; unpack it first"
    raise SettingsError(f"{path}: unknown file type{hint}; use .jsonl, .json, .csv, .tsv or .parquet, also with .gz, or - for stdin")


_EXCEL = "an Excel or ZIP file: save the sheet as CSV, or unpack the file"
_SIGNATURES = (
    (b"PK\x03\x04", _EXCEL),
    (b"\xd0\xcf\x11\xe0", _EXCEL),
    (b"%PDF", "a PDF"),
    (b"BZh", "packed with bzip2: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it first"),
)


def _refuse_binary(path: str, head: bytes) -> None:
    """Raises SettingsError for the signatures of other files under a known name."""
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            raise SettingsError(f"{path}: is {what}; CSV, JSON and Parquet are read, also with gzip")


@contextmanager
def _opened(path: str) -> Iterator[io.BufferedReader]:
    if path == "-":
        stdin = cast(io.BufferedReader, sys.stdin.buffer)
        packed = stdin.peek(2)[:2] == b"\x1f\x8b"
        yield io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=stdin)), 1 << 20) if packed else stdin
        return
    try:
        with Path(path).open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            yield io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw)), 1 << 20) if packed else raw
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error})") from error


def _parquet(path: str, stream: io.BufferedReader | None = None) -> Iterator[NumberedRow]:
    import pyarrow
    from pyarrow import parquet

    try:
        if stream is not None:
            source: Any = pyarrow.BufferReader(stream.read())
        elif path.lower().endswith(".gz"):
            with _opened(path) as packed:
                source = pyarrow.BufferReader(packed.read())
        else:
            source = path
        number = 0
        for batch in parquet.ParquetFile(source).iter_batches(1_000):
            for row in batch.to_pylist():
                number += 1
                yield number, flat(row)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise SettingsError(f"{path}: is not readable Parquet ({error})") from error


def count_rows(paths: Iterable[str], limit_bytes: int = 1 << 28) -> int | None:
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
