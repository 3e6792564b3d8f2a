"""The rows of CSV and JSON files, whatever their dialect.

CSV:  "sep=;" line ─▶ separator and quotes by the first lines ─▶ header ─▶ rows; repeated headers are skipped
JSON: one object a line; or a document: an array, objects one after another, or a list inside ({"articles": [...]})
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import msgspec

from core.errors import SettingsError
from ingest.archive.columns import FIELDS, flat, is_empty, map_columns
from ingest.archive.text_lines import MAX_LINE_BYTES, TextLines

NumberedRow = tuple[int, dict[str, Any] | str]
"""(line, columns), or (line, reason for rejection)."""

MAX_DOCUMENT_CHARS = 512 * 1024 * 1024
SNIFFED_LINES = 30
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
LISTS = (
    "articles", "items", "results", "data", "docs", "news", "feed", "hits", "records", "rows", "entries", "list", "stories", "response",
    "children", "posts", "result", "documents", "value", "payload", "content",
)  # fmt: skip
"""Members of a JSON document that hold its rows, in the answers of common services."""
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)


@dataclass
class RowFormat:
    """How a file was understood.

    Attributes:
        header, header_line: the columns of a CSV file, and their line.
        skipped_lines: lines above the header that are no part of the table, such as the title of an export.
        repeated_headers: rows skipped as they repeat the header.
    """

    kind: str = ""
    encoding: str = "utf-8"
    separator: str = ""
    header: tuple[str, ...] = ()
    header_line: int = 1
    skipped_lines: int = 0
    repeated_headers: int = 0

    def described(self) -> str:
        """In words, such as "CSV, separator semicolon, gb18030"."""
        encoding = {"ascii": "ASCII", "utf-8": "UTF-8"}.get(self.encoding, self.encoding)
        separator = f", separator {SEPARATORS.get(self.separator, repr(self.separator))}" if self.separator else ""
        names = {"csv": "CSV", "json": "JSON document", "jsonl": "JSON, one object a line", "parquet": "Parquet"}
        return f"{names.get(self.kind, self.kind)}{separator}" + ("" if self.kind == "parquet" else f", {encoding}")


def csv_rows(stream: io.BufferedReader, path: str, form: RowFormat) -> Iterator[NumberedRow]:
    """The rows of a CSV file. Raises SettingsError for an unknown encoding."""
    csv.field_size_limit(MAX_LINE_BYTES)
    source = TextLines(stream, path)
    lines = iter(line.replace("\0", "") for line in source)
    head = list(islice(lines, SNIFFED_LINES))
    form.encoding = source.encoding
    skipped = 0
    separator = ""
    while head and (not head[0].strip() or _SEP_LINE.match(head[0])):
        if declared := _SEP_LINE.match(head[0]):
            separator = declared.group(1)
        head.pop(0)
        skipped += 1
    escape = "\\" if any('\\"' in line for line in head) and not any('""' in line.replace('\\""', "") for line in head) else None
    form.separator = separator or _separator(head, escape)
    preamble = _lines_before_header(head, form.separator, escape)
    head, skipped = head[preamble:], skipped + preamble
    form.skipped_lines = preamble
    reader = csv.reader(chain(head, lines), delimiter=form.separator, escapechar=escape, doublequote=escape is None)
    try:
        header = [name.strip().lstrip("\ufeff") for name in next(reader, [])]
    except csv.Error as error:
        yield skipped + 1, f"not CSV ({error})"
        return
    try:
        while header and not header[-1]:
            header.pop()
        form.header, form.header_line = tuple(header), skipped + 1
        while True:
            start = skipped + reader.line_num + 1
            try:
                values = next(reader)
            except csv.Error as error:
                yield start, f"not CSV ({error})"
                continue
            finally:
                form.encoding = source.encoding
            if not any(value.strip() for value in values):
                continue
            if [value.strip() for value in values[: len(header)]] == header:
                form.repeated_headers += 1
                continue
            while len(values) > len(header) and not values[-1].strip():
                values.pop()
            if len(values) != len(header):
                yield start, _wrong_columns(values, form, start, skipped + reader.line_num)
                continue
            yield start, _together(header, values)
    except StopIteration:
        return


def _together(header: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
    """The row; of columns with the same name the first that is not empty."""
    row: dict[str, Any] = {}
    for name, value in zip(header, values, strict=True):
        if name not in row or is_empty(row[name]):
            row[name] = value
    return row


def _wrong_columns(values: Sequence[str], form: RowFormat, start: int, end: int) -> str:
    seen = form.separator.join(value[:30] for value in values[:4])
    span = f"; lines {start} to {end} are one row: is a quote not closed?" if end > start else ""
    return (
        f"{len(values)} columns where the header has {len(form.header)} ({form.separator.join(form.header)[:120]}), separator "
        f"{SEPARATORS.get(form.separator, repr(form.separator))}; seen: {seen[:120]!r}{span}"
    )


def _lines_before_header(lines: Sequence[str], separator: str, escape: str | None) -> int:
    """The lines above a header that follows a title or a summary; 0 if the first line is the header, or none is."""

    def known(line: str) -> int:
        try:
            row = next(csv.reader([line], delimiter=separator, escapechar=escape, doublequote=escape is None), [])
        except csv.Error:
            return 0
        found = map_columns([name.strip() for name in row], {}).columns
        return sum(bool(columns) for columns in found.values()) if found["title"] or found["text"] else 0

    if not lines or known(lines[0]):
        return 0
    return next((place for place, line in enumerate(lines[:15]) if known(line) >= 2), 0)


def _separator(lines: Sequence[str], escape: str | None) -> str:
    """The separator with which the first line names most known columns, and then the one that gives most rows of its length."""

    def score(separator: str) -> tuple[int, int, int]:
        start = _lines_before_header(lines, separator, escape)
        try:
            rows = [
                row for row in csv.reader(lines[start:], delimiter=separator, escapechar=escape, doublequote=escape is None) if any(row)
            ]
        except csv.Error:
            return (-1, 0, 0)
        if not rows or len(rows[0]) < 2:
            return (0, 0, 0)
        known = map_columns([name.strip() for name in rows[0]], {}).columns
        return (sum(bool(known[field]) for field in FIELDS), sum(len(row) == len(rows[0]) for row in rows), len(rows[0]))

    return max(SEPARATORS, key=score)


def json_rows(stream: io.BufferedReader, path: str, form: RowFormat) -> Iterator[NumberedRow]:
    """The rows of a JSON file of one object a line, or of a document. Raises SettingsError for an unknown encoding."""
    source = TextLines(stream, path)
    lines = iter(source)
    numbered = enumerate(lines, 1)
    first = next(((number, line) for number, line in numbered if line.strip(" \t\r\n\ufeff")), None)
    form.encoding = source.encoding
    if first is None:
        return
    number, line = first
    value, _ = _decoded(line.strip(" \t\r\n\ufeff"))
    if (isinstance(value, dict) and not _inner_rows(value)) or (value is None and not _opens_document(line)):
        form.kind = "jsonl"
        for number, line in chain([first], numbered):
            form.encoding = source.encoding
            yield from _json_line(number, line, lines)
        return
    form.kind = "json"
    yield from _document(path, chain([line], lines), form, source)


def _json_line(number: int, line: str, rest: Iterator[str]) -> Iterator[NumberedRow]:
    if len(line) >= MAX_LINE_BYTES // 4 and not line.endswith("\n") and len(line.encode("utf-8", "surrogatepass")) >= MAX_LINE_BYTES:
        for following in rest:
            if following.endswith("\n"):
                break
        yield number, f"longer than {MAX_LINE_BYTES} bytes"
        return
    line = line.strip(" \t\r\n\ufeff") if number == 1 else line.strip()
    if not line:
        return
    value, problem = _decoded(line)
    if problem:
        yield number, problem
    elif isinstance(value, dict):
        yield number, flat(value)
    else:
        yield number, f"not a JSON object but {type(value).__name__}"


_DECODER = msgspec.json.Decoder()
_LENIENT = json.JSONDecoder(strict=False)


def _decoded(line: str) -> tuple[Any, str]:
    """(value, "") or (None, reason)."""
    try:
        return _DECODER.decode(line), ""
    except (msgspec.DecodeError, UnicodeError):
        try:  # slower and more lenient: NaN, lone surrogates, control characters
            return _LENIENT.decode(line), ""
        except (ValueError, RecursionError) as error:
            return None, f"not JSON ({error})"[:300]
    except RecursionError:
        return None, "not JSON (nested too deeply)"


def _opens_document(line: str) -> bool:
    """Whether a first line that is no JSON by itself begins a document: an object or an array over several lines."""
    text = line.strip(" \t\r\n\ufeff")
    return text in ("{", "[") or (bool(re.fullmatch(r'\{\s*"[^"]*"\s*:\s*[\[{"]?.*|\[\s*[\[{].*', text)) and not text.endswith("}"))


def _document(path: str, pieces: Iterable[str], form: RowFormat, source: TextLines) -> Iterator[NumberedRow]:
    """The rows of a document, numbered from 1. An array is read element by element."""
    buffer, position, number, in_array, asked = "", 0, 0, False, 0
    pieces, ended = iter(pieces), False
    while True:
        while position < len(buffer) and buffer[position] in " \t\r\n\ufeff,":
            position += 1
        if position < len(buffer) and not in_array and number == 0 and buffer[position] == "[":
            in_array, position = True, position + 1
            continue
        if position < len(buffer) and in_array and buffer[position] == "]":
            in_array, position = False, position + 1
            continue
        if position < len(buffer) and (ended or len(buffer) - position >= asked):
            try:
                value, position = _LENIENT.raw_decode(buffer, position)
            except (ValueError, RecursionError) as error:
                if ended or isinstance(error, RecursionError):
                    yield number + 1, f"not JSON from here on ({error})"[:300]
                    return
                asked = 2 * (len(buffer) - position)  # each attempt at an incomplete value costs time: ask for twice as much
            else:
                asked = 0
                form.encoding = source.encoding
                for row in _inner_rows(value) or [value]:
                    number += 1
                    yield number, flat(row) if isinstance(row, dict) else f"not a JSON object but {type(row).__name__}"
                continue
        elif ended:
            return
        buffer, position = buffer[position:], 0
        if len(buffer) > MAX_DOCUMENT_CHARS:
            raise SettingsError(
                f"{path}: one value of this JSON document has more than {MAX_DOCUMENT_CHARS >> 20} MiB; write one object a line"
            )
        size = 0
        taken = []
        for piece in pieces:
            taken.append(piece)
            size += len(piece)
            if size >= max(1 << 16, asked - len(buffer)):
                break
        else:
            ended = True
        buffer += "".join(taken)


def _inner_rows(value: Any, depth: int = 0) -> list[Any]:
    """The list of rows inside an object that is no row itself; [] if it is one, or has none."""
    if isinstance(value, list) and depth and value and all(isinstance(row, dict) for row in value[:20]):
        return [row.get("_source", row) if isinstance(row.get("_source"), dict) else row for row in value]
    if not isinstance(value, Mapping) or depth > 4:
        return []
    known = map_columns(tuple(flat(value)), {}).columns
    if (known["title"] or known["text"]) and not any(
        isinstance(value.get(name), list | dict) for name in (*known["title"], *known["text"])
    ):
        return []
    if table := _table_rows(value):
        return table
    members = {str(name).lower(): inner for name, inner in value.items()}
    for name in LISTS:
        if isinstance(members.get(name), list | dict) and (found := _inner_rows(members[name], depth + 1)):
            return found
    return []


def _table_rows(value: Mapping[str, Any]) -> list[Any]:
    """The rows of a table as pandas writes it: by columns, or columns and data apart; [] for other objects."""
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) and len(row) == len(columns) for row in data):
        return [dict(zip(map(str, columns), row, strict=True)) for row in data]
    if len(value) > 1 and all(isinstance(column, dict) and column for column in value.values()):
        keys = list(next(iter(value.values())))
        if all(list(column) == keys for column in value.values()) and keys == [str(number) for number in range(len(keys))]:
            return [{name: column[key] for name, column in value.items()} for key in keys]
    return []
