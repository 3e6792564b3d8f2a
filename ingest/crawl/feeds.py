"""Parse RSS and Atom feeds with feedparser, which is only given UTF-8 bytes that were checked first."""

from __future__ import annotations

import io
import re
from functools import cache
from html import escape
from html.entities import html5
from typing import Any, NamedTuple

from core.errors import BadRecord, SourceError
from core.untrusted_text import is_mark, without_excess_marks
from ingest.text.clean_text import decode
from ingest.text.urls import absolute

MAX_FEED_BYTES = 8 * 1024 * 1024
MAX_ATTRIBUTES, MAX_NAMESPACES, MAX_BASE_CHARS = 300, 300, 2_000
"""Most attributes of an element, most namespaces of a feed, and longest xml:base: feedparser takes quadratic time over each."""

_PROLOG = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->)", re.DOTALL)
_ELEMENT = re.compile(r"<(?:[^\W\d]|:)")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]+)", re.IGNORECASE)
_REFERENCE = re.compile(r"&#(?:[xX]0*([0-9a-fA-F]+)|0*([0-9]+));?")
_AMPERSAND = re.compile(
    r"(<!\[CDATA\[.*?(?:\]\]>|\Z))|&(?:(amp|lt|gt|quot|apos|#\d{1,20}|#[xX][0-9a-fA-F]{1,20})|([A-Za-z][A-Za-z0-9]{1,31}));|&", re.DOTALL
)
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Entry(NamedTuple):
    """One feed entry, unprocessed: texts with markup, `published` as written.

    link: absolute, http or https, or ""
    """

    guid: str
    link: str
    title: str
    summary: str
    published: str


def charset_of(content_type: str) -> str:
    """The charset in a Content-Type header; "" if there is none."""
    found = _CHARSET.search(content_type)
    return found.group(1) if found else ""


class ParsedFeed(NamedTuple):
    """A parsed feed. version: such as "rss20" or "atom10"; title, language: unprocessed, "" if absent."""

    version: str
    title: str
    language: str
    entries: list[Entry]


def parse(data: bytes, *, url: str, content_type: str = "", kind: str = "auto") -> list[Entry]:
    """The entries in the feed's order; [] for an empty feed. Otherwise like `read`."""
    return read(data, url=url, content_type=content_type, kind=kind).entries


def read(data: bytes, *, url: str, content_type: str = "", kind: str = "auto") -> ParsedFeed:
    """Parse a feed, keeping the order of its entries.

    Args:
        data: the response body.
        url: its address, for relative links and messages.
        content_type: the Content-Type header.
        kind: "rss" or "atom" rejects the other format; "auto" accepts both.

    Raises:
        SourceError: not a feed, too large, or it declares entities (which can exhaust memory or read files).
    """
    if len(data) > MAX_FEED_BYTES:
        raise SourceError(f"{url}: the feed has {len(data)} bytes, more than {MAX_FEED_BYTES}")
    try:
        text = decode(data, charset_of(content_type))
    except BadRecord as error:
        raise SourceError(f"{url}: {error}") from error
    text = without_excess_marks(_from_first_element(xml_text(text), url))
    try:
        parsed = _feedparser().parse(
            io.BytesIO(text.encode("utf-8")),  # feedparser would open bytes that look like a path
            response_headers={"content-type": "application/xml; charset=utf-8"},
            resolve_relative_uris=False,
            sanitize_html=False,  # converted to plain text later
        )
    except (ValueError, TypeError, AttributeError, AssertionError, LookupError, ArithmeticError, RecursionError) as error:
        raise SourceError(f"{url}: the feed cannot be read ({type(error).__name__}: {error})") from error
    version = str(parsed.get("version") or "")
    if not parsed.entries and not version:
        raise SourceError(f"{url}: the response is neither RSS nor Atom")
    if (kind == "rss" and version.startswith("atom")) or (kind == "atom" and version.startswith("rss")):
        raise SourceError(f"{url}: is {version}, but the source's kind is {kind!r}")
    feed_info = {name: NOT_XML.sub("", str(parsed.feed.get(name) or "")) for name in ("title", "language")}
    return ParsedFeed(version, feed_info["title"], feed_info["language"], [_entry(entry, url) for entry in parsed.entries])


def xml_text(text: str) -> str:
    """Keep only characters allowed in XML, with every "&" escaped; join surrogate pairs ("&#55357;", as Java and Windows write emoji)."""
    text = _AMPERSAND.sub(_escaped, _REFERENCE.sub(_referred, NOT_XML.sub("", text)))
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _escaped(found: re.Match[str]) -> str:
    """Keep CDATA and references of XML, resolve those of HTML, and escape any other "&": one of them makes the whole document invalid."""
    section, xml, name = found.groups()
    if section or xml:
        return found.group()
    resolved = html5.get(f"{name};", "") if name else ""
    return escape(resolved) or f"&amp;{found.group()[1:]}"


def _referred(reference: re.Match[str]) -> str:
    """Resolve a numeric reference: unchanged if it is no mark and XML allows it, a mark or surrogate as that character, "" if invalid."""
    hexadecimal, decimal = reference.groups()
    if len(hexadecimal or decimal) > 7:
        return ""
    number = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if number > 0x10FFFF:
        return ""
    if 0xD800 <= number < 0xE000 or is_mark(chr(number)):
        return chr(number)
    return "" if NOT_XML.match(chr(number)) else reference.group()


def _from_first_element(text: str, url: str) -> str:
    """Drop everything before the first element: comments, processing instructions, a server's plain-text warning.

    Raises SourceError for a document type declaration, which can only appear there.
    """
    position = 0
    while found := _PROLOG.match(text, position):
        position = found.end()
    element = _ELEMENT.search(text, position)
    start = element.start() if element else len(text)
    if "<!" in text[position:start]:
        raise SourceError(f"{url}: the feed declares a document type or entities, which are not allowed")
    return text[start:]


APART = ("media_title", "media_description", "media_text", "itunes_title", "itunes_summary", "itunes_subtitle", "dc_description")
"""Elements that feedparser takes for the title or the text of an entry."""


@cache
def _feedparser() -> Any:
    """feedparser without its author-address search and tag deduplication, which take quadratic time.

    Captions of pictures and texts for podcasts are kept apart from the entry's own title and text.
    """
    import feedparser
    from feedparser import mixin

    def no_detail(_self: Any, _key: str = "author") -> None:
        pass

    def no_tag(self: Any, *_tag: Any) -> None:
        self._get_context().setdefault("tags", [{"term": "none"}])

    for element in APART:
        setattr(mixin._FeedParserMixin, f"_start_{element}", lambda self, _attributes, name=element: self.push(name, 1))
        setattr(mixin._FeedParserMixin, f"_end_{element}", lambda self, name=element: self.pop(name))
    mixin._FeedParserMixin._sync_author_detail = no_detail
    mixin._FeedParserMixin._add_tag = no_tag
    _limit(mixin._FeedParserMixin)
    return feedparser


def _limit(parser: Any) -> None:
    """Make feedparser raise ValueError for a document over one of the limits."""
    from feedparser.parsers.strict import _StrictFeedParser

    start, start_strict, track = parser.unknown_starttag, _StrictFeedParser.startElementNS, parser.track_namespace

    def limited_start(self: Any, tag: str, attributes: Any) -> Any:
        if len(attributes) > MAX_ATTRIBUTES:
            raise ValueError(f"an element has {len(attributes)} attributes, more than {MAX_ATTRIBUTES}")
        if any(name in ("xml:base", "base") and len(value) > MAX_BASE_CHARS for name, value in attributes):
            raise ValueError(f"an xml:base has more than {MAX_BASE_CHARS} characters")
        if len(self.baseuri or "") > 2 * MAX_BASE_CHARS:
            raise ValueError(f"nested xml:base have more than {2 * MAX_BASE_CHARS} characters")
        return start(self, tag, attributes)

    def limited_start_strict(self: Any, name: Any, qname: Any, attributes: Any) -> Any:
        if len(attributes) > MAX_ATTRIBUTES:
            raise ValueError(f"an element has {len(attributes)} attributes, more than {MAX_ATTRIBUTES}")
        return start_strict(self, name, qname, attributes)

    def limited_track(self: Any, prefix: Any, uri: Any) -> Any:
        if len(self.namespaces_in_use) > MAX_NAMESPACES:
            raise ValueError(f"the feed declares more than {MAX_NAMESPACES} namespaces")
        return track(self, prefix, uri)

    parser.unknown_starttag, parser.track_namespace, _StrictFeedParser.startElementNS = limited_start, limited_track, limited_start_strict


def _entry(entry: Any, url: str) -> Entry:
    def words(*names: str) -> str:
        return NOT_XML.sub("", str(next((entry[name] for name in names if entry.get(name)), "")))

    contents = [NOT_XML.sub("", str(content.get("value") or "")) for content in entry.get("content") or ()]
    own = max([words("summary"), *contents], key=len)
    videos = [media for media in entry.get("media_content") or () if f"{media.get('medium')} {media.get('type')}".find("video") >= 0]
    others = ("dc_description", "itunes_summary", "itunes_subtitle", *(("media_description",) if videos or entry.get("yt_videoid") else ()))
    return Entry(
        guid=words("id"),
        link=absolute(url, words("link")),
        title=words("title", "itunes_title", "media_title"),
        summary=own or words(*others),
        published=words("published", "updated", "created"),
    )
