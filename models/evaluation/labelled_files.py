"""Readers of labelled files: usable rows, and a message for each invalid one.

    FILE.jsonl[.gz] ─▶ lines ─▶ Labelled (text, label or labels) or Tagged (tokens, BIO tags), and invalid rows by line number

Invalid rows are skipped. A file that cannot be read or has no usable row is an error.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from core.errors import ModelError, SettingsError
from models.inference.entities import Span, spans_of_bio

Row = dict[str, Any]
RowT = TypeVar("RowT")

_GZIP = b"\x1f\x8b"
_CHINESE = re.compile(r"[㐀-鿿]")
NEWS = "news"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One labelled text.

    line: line number, from 1
    language: from the row, else "zh" if the text has Chinese characters and "en" if not; `named`: whether the row states it
    target: company or aspect of the sentiment, or ""
    single: whether the row has the field `label`, that is, exactly one label
    title: if the row has it apart from the text
    sure: whether the annotator was certain
    """

    line: int
    text: str
    labels: tuple[str, ...]
    single: bool
    language: str
    named: bool
    genre: str = NEWS
    source: str = ""
    target: str = ""
    title: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Tagged:
    """One sentence with its entities.

    spans: entities by their offsets in `text`; tokens: (start, end) of each token in `text`
    """

    line: int
    text: str
    spans: tuple[Span, ...]
    tokens: tuple[tuple[int, int], ...]
    language: str
    named: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class Rows(Generic[RowT]):
    """The usable rows in order, and a message with the line number for each invalid one."""

    rows: list[RowT]
    bad: list[str]


def read_labelled(path: Path, *, genre: str = NEWS, may_be_empty: bool = False) -> Rows[Labelled]:
    """Read rows with a text and a label or labels.

    Args:
        path: the file.
        genre: genre of rows that name none.
        may_be_empty: accept an empty list of labels, which means that no label applies; else such a row is invalid.

    Raises:
        SettingsError: the file cannot be read or has no usable row.
    """
    return _read(path, lambda line, row: _labelled(line, row, genre, may_be_empty))


def read_tagged(path: Path) -> Rows[Tagged]:
    """Read rows with tokens and BIO tags. Raises SettingsError when the file cannot be read or has no usable row."""
    return _read(path, _tagged)


def read_objects(path: Path) -> Iterator[tuple[int, Row]]:
    """The line number and content of each line that is a JSON object. Raises SettingsError if the file cannot be read."""
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield number, row


def _read(path: Path, row_of: Callable[[int, Row], RowT]) -> Rows[RowT]:
    rows: list[RowT] = []
    bad: list[str] = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            if not isinstance(row, dict):
                raise ValueError("not a JSON object")
            rows.append(row_of(number, row))
        except (ValueError, RecursionError, ModelError) as error:
            bad.append(f"line {number}: {error}")
    if not rows:
        why = f"; {bad[0]}" if bad else ": it is empty"
        message = f"{path}: none of its {len(bad)} rows is usable{why}"
        raise SettingsError(message)
    return Rows(rows, bad)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            file: BinaryIO = gzip.GzipFile(fileobj=plain) if packed else plain  # type: ignore[assignment]
            yield from file
    except (OSError, EOFError, zlib.error) as error:
        message = f"{path}: cannot be read ({error or type(error).__name__}); expected JSONL, plain or gzip"
        raise SettingsError(message) from error


def _labelled(line: int, row: Row, genre: str, may_be_empty: bool) -> Labelled:
    text = _text(row, "text")
    labels, single = row.get("labels"), False
    if labels is None:
        label = row.get("label")
        if label is None:
            raise ValueError("neither label nor labels")
        labels, single = [label], True
    if not isinstance(labels, list) or not all(isinstance(label, str | int) and str(label).strip() for label in labels):
        raise ValueError("labels is not a list of names")
    if not labels and not may_be_empty:
        raise ValueError("labels is empty")
    language, named = _language(row, text)
    target = row.get("entity") or row.get("aspect") or ""
    return Labelled(
        line,
        text,
        tuple(dict.fromkeys(str(label).strip() for label in labels)),
        single,
        language,
        named,
        str(row.get("genre") or genre),
        str(row.get("source") or ""),
        str(target).strip(),
    )


def _tagged(line: int, row: Row) -> Tagged:
    tokens, tags = row.get("tokens"), row.get("tags")
    if not (isinstance(tokens, list) and isinstance(tags, list) and tokens):
        raise ValueError("tokens and tags must be lists")
    if not all(isinstance(value, str) for value in [*tokens, *tags]):
        raise ValueError("a token or a tag is not a string")
    language, named = _language(row, "".join(tokens))
    text, spans = spans_of_bio(tokens, tags, language)
    return Tagged(line, text, tuple(spans), token_places(tokens, language), language, named, str(row.get("source") or ""))


def token_places(tokens: Sequence[str], language: str) -> tuple[tuple[int, int], ...]:
    """(start, end) of each token in the text made by `spans_of_bio`."""
    gap, at, places = 0 if language == "zh" else 1, 0, []
    for token in tokens:
        places.append((at, at + len(token)))
        at += len(token) + gap
    return tuple(places)


def _text(row: Row, name: str) -> str:
    text = row.get(name)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"no {name}")
    return text.strip()


def _language(row: Row, text: str) -> tuple[str, bool]:
    given = row.get("lang")
    if isinstance(given, str) and given.strip():
        return given.strip().lower().replace("_", "-").partition("-")[0], True
    return ("zh" if _CHINESE.search(text) else "en"), False
