"""Read an archive without storing anything, to show how it is understood."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ingest.archive.files import Layout, ReadOptions, Rejected, read
from ingest.companies.gazetteer import Gazetteer

SHOWN_ROWS = 5


class FieldColumns(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a field, best first, and the number of rows in which one of them is not empty. field: "" for ignored columns"""

    field: str
    columns: tuple[str, ...]
    filled: int


class ParsedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it would be stored. chars: length of its text"""

    line: int
    published_at: datetime
    dated: bool
    source: str
    language: str
    title: str
    chars: int
    companies: tuple[str, ...]
    flags: tuple[str, ...]


class LineReason(msgspec.Struct, frozen=True):
    """A line of a file, and why it is rejected or doubtful."""

    line: int
    reason: str


class FileCheck(msgspec.Struct, kw_only=True):
    """How a file is understood.

    Attributes:
        format: in words.
        fields: the columns of each field; at last those that are ignored.
        notes: decisions about its columns.
        valid, rejected, undated, zone_guessed, mended: numbers of rows: that would be stored; that would not; and of the stored ones those
            without a trustworthy time, with an unknown time zone, with damaged characters.
        same_id: rows with the identity of an earlier row; the later one replaces it.
        repeated_headers: skipped lines that repeat the header.
        first: the first SHOWN_ROWS valid rows.
        rejections, doubts: the first SHOWN_ROWS reasons.
    """

    path: str
    format: str = ""
    fields: list[FieldColumns] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    rows: int = 0
    valid: int = 0
    rejected: int = 0
    undated: int = 0
    zone_guessed: int = 0
    mended: int = 0
    same_id: int = 0
    repeated_headers: int = 0
    first: list[ParsedRow] = msgspec.field(default_factory=list)
    rejections: list[LineReason] = msgspec.field(default_factory=list)
    doubts: list[LineReason] = msgspec.field(default_factory=list)


def check(path: str, reading: ReadOptions, *, gazetteer: Gazetteer, now: datetime) -> FileCheck:
    """Read all rows of a file. Raises SettingsError as `read`."""
    found, layout = FileCheck(path=path), Layout()
    ids: set[str] = set()
    for row in read(path, reading, gazetteer=gazetteer, now=now, layout=layout):
        if isinstance(row, Rejected):
            found.rejected += 1
            if len(found.rejections) < SHOWN_ROWS:
                found.rejections.append(LineReason(row.line, row.reason))
            continue
        article = row.article
        found.valid += 1
        found.undated += not article.counts
        found.zone_guessed += "zone" in article.flags
        found.mended += "bytes" in article.flags
        found.same_id += article.id in ids
        ids.add(article.id)
        if row.doubt and len(found.doubts) < SHOWN_ROWS:
            found.doubts.append(LineReason(row.line, row.doubt))
        if len(found.first) < SHOWN_ROWS:
            found.first.append(
                ParsedRow(
                    line=row.line,
                    published_at=article.published_at.astimezone(reading.zone),
                    dated=article.counts,
                    source=article.source,
                    language=article.language,
                    title=article.title,
                    chars=len(article.text),
                    companies=tuple(mention.company for mention in article.mentions),
                    flags=article.flags,
                )
            )
    found.rows, found.format, found.repeated_headers = layout.rows, layout.format.described(), layout.format.repeated_headers
    found.notes, found.fields = layout.notes, _fields(layout)
    return found


def _fields(layout: Layout) -> list[FieldColumns]:
    columns: dict[str, dict[str, None]] = {}
    for mapped in layout.maps.values():
        for field, own in mapped.columns.items():
            extra = (mapped.clock, mapped.zone) if field == "published" else (mapped.stock_name,) if field == "stocks" else ()
            columns.setdefault(field, {}).update(dict.fromkeys((*own, *(name for name in extra if name))))
        columns.setdefault("", {}).update(dict.fromkeys(mapped.unused))
    ignored = {"": columns.pop("", {})}
    return [
        FieldColumns(field=field, columns=tuple(own), filled=max((layout.filled[name] for name in own), default=0))
        for field, own in (columns | ignored).items()
    ]
