"""Read and write feeds as OPML 2.0, the exchange format of feed readers (opml.org/spec2.opml)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any, NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from core.errors import BadRecord, InvalidInput, SettingsError
from ingest.crawl.feeds import NOT_XML, xml_text
from ingest.crawl.sources import Source, source_of
from ingest.text.clean_text import clean, decode
from ingest.text.urls import canonical, host_of

MAX_OPML_BYTES = 8 * 1024 * 1024
MAX_OUTLINES = 20_000
MAX_NAME_CHARS = 200
NAMESPACE = "urn:tocsin:source"
"""Namespace of the attributes for the fields of a source that OPML does not have."""
_DECLARATION = re.compile(r"\s*<\?xml\b[^>]*\?>")
_AUTHORITY_END = re.compile(r"[/?#\\]")
_FEED_TYPES = ("", "rss", "atom", "rdf", "feed")
_OWN_FIELDS = ("kind", "genre", "interval_s", "timezone", "full_text", "max_items")
_NUMBERS: dict[str, type[float] | type[int]] = {"interval_s": float, "max_items": int}
_DEFAULTS = Source(name="x", url="https://example.org")


class OpmlFeed(NamedTuple):
    """One new feed of an OPML file. old_name: its text if another source has that name or it is empty, else None"""

    line: int
    source: Source
    old_name: str | None = None


class SkippedOutline(NamedTuple):
    """An outline that is no new feed. name: its text; reason: why it is skipped"""

    line: int
    name: str
    reason: str


class Opml(NamedTuple):
    """Content of an OPML file.

    Attributes:
        feeds: with unique names and addresses
        duplicates: outlines whose address another outline or a known source has
        unsupported: outlines that are no feeds, and invalid ones
        repaired: whether characters that XML does not allow, such as a bare "&", were repaired
    """

    feeds: list[OpmlFeed]
    duplicates: list[SkippedOutline]
    unsupported: list[SkippedOutline]
    repaired: bool


class _Outline(NamedTuple):
    """attributes: names in lower case; commented: whether it or an outline around it is a comment"""

    line: int
    attributes: dict[str, str]
    commented: bool


def read_opml(data: bytes, where: str, known: Mapping[str, str]) -> Opml:
    """Read the feeds of an OPML file, in the order of their lines. Nothing is fetched.

    Args:
        data: content of the file, in any encoding that feeds may have.
        where: its name in messages.
        known: name to address of the sources that exist already.

    Raises:
        InvalidInput: not OPML, or it declares a document type or entities; with the line and the outline.
    """
    if len(data) > MAX_OPML_BYTES:
        raise InvalidInput(f"{where}: has {len(data)} bytes, more than {MAX_OPML_BYTES}")
    try:
        text = decode(data)
    except BadRecord as error:
        raise InvalidInput(f"{where}: {error}") from error
    readable = xml_text(text)
    names, addresses = set(known), {canonical(url): name for name, url in known.items()}
    found = Opml([], [], [], readable != text)
    for outline in _OutlineReader(where).read(readable):
        name = _name(outline.attributes)
        if reason := _unsupported(outline):
            found.unsupported.append(SkippedOutline(outline.line, name, reason))
            continue
        url = outline.attributes["xmlurl"].strip()
        if owner := addresses.get(canonical(url)):
            found.duplicates.append(SkippedOutline(outline.line, name, f"{owner!r} has the same address"))
            continue
        unique = _unique(name, url, names)
        try:
            source = source_of(_row(outline.attributes, unique, url), "the outline")
        except SettingsError as error:
            found.unsupported.append(SkippedOutline(outline.line, name, str(error)))
            continue
        names.add(unique)
        addresses[canonical(url)] = unique
        found.feeds.append(OpmlFeed(outline.line, source, None if unique == name else name))
    return found


def write_opml(sources: Iterable[Source], now: datetime) -> bytes:
    """Write sources as an OPML 2.0 file.

    `allow_private` is left out: it is a permission of this installation. Fields that OPML does not have are attributes of NAMESPACE.
    """
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<opml version="2.0" xmlns:tocsin="{NAMESPACE}">',
        f"  <head><title>Tocsin</title><dateCreated>{format_datetime(now, usegmt=True)}</dateCreated></head>",
        "  <body>",
    ]
    for source in sources:
        attributes = {"type": "rss", "text": source.name, "title": source.name, "xmlUrl": source.url, "language": source.language}
        for field in _OWN_FIELDS:
            value = getattr(source, field)
            attributes[f"tocsin:{field}"] = "" if value == getattr(_DEFAULTS, field) else str(value)
        written = " ".join(f"{name}={quoteattr(NOT_XML.sub('', value))}" for name, value in attributes.items() if value)
        lines.append(f"    <outline {written}/>")
    return "\n".join([*lines, "  </body>", "</opml>", ""]).encode()


def has_login(url: str) -> bool:
    """Whether an address contains a user name or password."""
    return "@" in _AUTHORITY_END.split(url.partition("://")[2], maxsplit=1)[0]


class _OutlineReader:
    """Collects the outlines of one document that are not groups.

    Expat reads without recursion, so deep nesting costs no stack, and it loads nothing from outside. Document types are refused as in
    feeds: entities can exhaust memory or read files.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._path: list[str] = []
        self._groups: set[int] = set()
        """Positions in `_all` of outlines with children."""
        self._positions: list[int] = []
        self._all: list[_Outline] = []

    def read(self, text: str) -> list[_Outline]:
        """The outlines in the order of the document. Raises InvalidInput."""
        declaration = _DECLARATION.match(text)
        if declaration:  # its encoding no longer applies, and blank lines before it are a usual mistake
            text = "\n" * declaration.group().count("\n") + text[declaration.end() :]
        try:
            self._parser.Parse(text.encode(), True)
        except expat.ExpatError as error:
            raise self._invalid(f"is not valid XML ({expat.ErrorString(error.code)})", error.lineno, error.offset + 1) from error
        return [each for position, each in enumerate(self._all) if position not in self._groups or "xmlurl" in each.attributes]

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag != "opml":
            raise self._invalid(f"the root element is <{tag.rpartition(' ')[2][:100]}>, not <opml>", self._parser.CurrentLineNumber)
        self._path.append(tag)
        if tag != "outline":
            return
        if "body" not in self._path:
            raise self._invalid("an <outline> is outside <body>", self._parser.CurrentLineNumber)
        if len(self._all) >= MAX_OUTLINES:
            raise self._invalid(f"has more than {MAX_OUTLINES} outlines", self._parser.CurrentLineNumber)
        lower = {name.lower(): value for name, value in attributes.items()}
        commented = lower.get("iscomment", "").strip().lower() == "true" or any(
            self._all[outer].commented for outer in self._positions[-1:]
        )
        self._groups.update(self._positions[-1:])
        self._positions.append(len(self._all))
        self._all.append(_Outline(self._parser.CurrentLineNumber, lower, commented))

    def _end(self, tag: str) -> None:
        self._path.pop()
        if tag == "outline":
            self._positions.pop()

    def _refuse(self, *_declared: object) -> None:
        raise self._invalid("a document type or entities are declared, which are not allowed", self._parser.CurrentLineNumber)

    def _invalid(self, problem: str, line: int, column: int = 0) -> InvalidInput:
        at = f"line {line}, column {column}" if column else f"line {line}"
        last = f" (last outline: {_name(self._all[-1].attributes)!r} in line {self._all[-1].line})" if self._all else ""
        return InvalidInput(f"{self._where}: {at}: {problem}{last}")


def _name(attributes: Mapping[str, str]) -> str:
    return clean(attributes.get("text") or attributes.get("title") or "")[:MAX_NAME_CHARS]


def _unsupported(outline: _Outline) -> str:
    """Why an outline cannot be a source; "" if it may be one."""
    kind, url = outline.attributes.get("type", "").strip().lower(), outline.attributes.get("xmlurl", "").strip()
    if outline.commented:
        return "is a comment (isComment)"
    if kind not in _FEED_TYPES:
        return f"type {kind[:100]!r} is not supported; only feeds are"
    if not url:
        return "has no xmlUrl"
    if has_login(url):
        return "the address has a user name or password; put such a feed into a sources file"
    if not canonical(url):
        return f"xmlUrl {url[:200]!r} is not an http or https address"
    fields = (name.rpartition(" ")[2] for name in outline.attributes if name.startswith(f"{NAMESPACE} "))
    unknown = next((field for field in fields if field not in _OWN_FIELDS), "")
    return f"unknown attribute tocsin:{unknown[:100]}" if unknown else ""


def _unique(name: str, url: str, names: set[str]) -> str:
    """The name or, if it is empty or taken, the name with the host and, if needed, a number."""
    if name and name not in names:
        return name
    host = host_of(url)[:100]
    base = f"{name[: MAX_NAME_CHARS - len(host) - 10]} ({host})" if name else host
    tried, number = base, 1
    while tried in names:
        number += 1
        tried = f"{base} {number}"
    return tried


def _row(attributes: Mapping[str, str], name: str, url: str) -> dict[str, Any]:
    """The fields of a [[sources]] table. Numbers that are none stay texts, which source_of refuses by name."""
    row: dict[str, Any] = {"name": name, "url": url}
    language = attributes.get("language", "").strip().lower()[:2]
    if language in ("zh", "en"):
        row["language"] = language
    for field in _OWN_FIELDS:
        if value := attributes.get(f"{NAMESPACE} {field}"):
            try:
                row[field] = _NUMBERS.get(field, str)(value)
            except ValueError:
                row[field] = value
    return row
