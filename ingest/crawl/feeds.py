"""A feed's bytes -> its entries. RSS and Atom through feedparser, which only ever sees UTF-8 bytes that were checked before."""

from __future__ import annotations

import io
import re
from functools import cache
from typing import Any, NamedTuple

from core.errors import BadRecord, SourceError
from ingest.text.clean_text import decode
from ingest.text.urls import absolute

MAX_FEED_BYTES = 8 * 1024 * 1024

_PROLOG = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->)", re.DOTALL)
_ELEMENT = re.compile(r"<(?:[^\W\d]|:)")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]+)", re.IGNORECASE)
_REFERENCE = re.compile(r"&#(?:[xX]0*([0-9a-fA-F]+)|0*([0-9]+));?")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Entry(NamedTuple):
    """One entry as the feed has it: text still with its markup, `published` still as it was written.

    link: absolute, http or https, or ""
    """

    guid: str
    link: str
    title: str
    summary: str
    published: str


def charset_of(content_type: str) -> str:
    """The charset that a Content-Type names; "" when it names none."""
    found = _CHARSET.search(content_type)
    return found.group(1) if found else ""


class Feed(NamedTuple):
    """A whole feed. version: such as "rss20" or "atom10"; title, language: as the feed has them, "" where it has none"""

    version: str
    title: str
    language: str
    entries: list[Entry]


def parse(data: bytes, *, url: str, content_type: str = "", kind: str = "auto") -> list[Entry]:
    """The entries in the feed's order; [] for a feed that has none. As `read` otherwise."""
    return read(data, url=url, content_type=content_type, kind=kind).entries


def read(data: bytes, *, url: str, content_type: str = "", kind: str = "auto") -> Feed:
    """The feed with its entries in its own order.

    kind: "rss" or "atom" refuses the other; "auto" takes what comes
    Raises SourceError for what is no feed, is too large, or declares entities (which can blow up or read files).
    """
    if len(data) > MAX_FEED_BYTES:
        raise SourceError(f"{url}: the feed has {len(data)} bytes, more than {MAX_FEED_BYTES}")
    try:
        text = decode(data, charset_of(content_type))
    except BadRecord as error:
        raise SourceError(f"{url}: {error}") from error
    text = _from_first_element(_xml_text(text), url)
    try:
        parsed = _feedparser().parse(
            io.BytesIO(text.encode("utf-8")),  # bytes that are a path would be opened
            response_headers={"content-type": "application/xml; charset=utf-8"},
            resolve_relative_uris=False,
            sanitize_html=False,  # it is turned into plain text later
        )
    except (ValueError, TypeError, AttributeError, AssertionError, LookupError, ArithmeticError, RecursionError) as error:
        raise SourceError(f"{url}: the feed cannot be read ({type(error).__name__}: {error})") from error
    version = str(parsed.get("version") or "")
    if not parsed.entries and not version:
        raise SourceError(f"{url}: what came is neither RSS nor Atom")
    if (kind == "rss" and version.startswith("atom")) or (kind == "atom" and version.startswith("rss")):
        raise SourceError(f"{url}: is {version}, but the source's kind is {kind!r}")
    feed_info = {name: _NOT_XML.sub("", str(parsed.feed.get(name) or "")) for name in ("title", "language")}
    return Feed(version, feed_info["title"], feed_info["language"], [_entry(entry, url) for entry in parsed.entries])


def _xml_text(text: str) -> str:
    """Only characters that XML may hold. An emoji written as two halves ("&#55357;&#56832;", as Java and Windows do) becomes one."""
    text = _REFERENCE.sub(_referred, _NOT_XML.sub("", text))
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _referred(reference: re.Match[str]) -> str:
    """The reference itself where an XML parser can read it, half a pair as the half, "" for what is no character."""
    hexadecimal, decimal = reference.groups()
    if len(hexadecimal or decimal) > 7:
        return ""
    number = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if 0xD800 <= number < 0xE000:
        return chr(number)
    return "" if number > 0x10FFFF or _NOT_XML.match(chr(number)) else reference.group()


def _from_first_element(text: str, url: str) -> str:
    """The feed without what stands before its first element: comments, processing instructions, a server's warning in plain words.

    Raises SourceError for a document type, which may only stand there.
    """
    position = 0
    while found := _PROLOG.match(text, position):
        position = found.end()
    element = _ELEMENT.search(text, position)
    start = element.start() if element else len(text)
    if "<!" in text[position:start]:
        raise SourceError(f"{url}: the feed declares a document type or entities, which is refused")
    return text[start:]


@cache
def _feedparser() -> Any:
    """feedparser without its search of authors for addresses and of tags for doubles: both take the square of their length."""
    import feedparser
    from feedparser import mixin

    def no_detail(_self: Any, _key: str = "author") -> None:
        pass

    def no_tag(self: Any, *_tag: Any) -> None:
        self._get_context().setdefault("tags", [{"term": "none"}])

    mixin._FeedParserMixin._sync_author_detail = no_detail
    mixin._FeedParserMixin._add_tag = no_tag
    return feedparser


def _entry(entry: Any, url: str) -> Entry:
    def words(*names: str) -> str:
        return _NOT_XML.sub("", str(next((entry[name] for name in names if entry.get(name)), "")))

    contents = [_NOT_XML.sub("", str(content.get("value") or "")) for content in entry.get("content") or ()]
    return Entry(
        guid=words("id"),
        link=absolute(url, words("link")),
        title=words("title"),
        summary=max([words("summary"), *contents], key=len),
        published=words("published", "updated", "created"),
    )
