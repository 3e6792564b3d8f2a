"""Extract title, text and publication time from an article page.

trafilatura extracts the text. It returns only the day of publication, so the time is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from core.errors import BadRecord, SourceError
from ingest.crawl.feeds import charset_of
from ingest.text.clean_text import decode

MAX_PAGE_BYTES = 8 * 1024 * 1024

_PUBLISHED_META = (
    "article:published_time", "og:published_time", "og:article:published_time", "datepublished", "publishdate", "pubdate", "publish-date",
    "publishtime", "parsely-pub-date", "sailthru.date", "dc.date.issued", "dc.date", "dcterms.created", "cxenseparse:recs:publishtime",
    "date",
)  # fmt: skip
_SCRIPT = re.compile(r"<script\b([^<>]*)>", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script", re.IGNORECASE)
_DATE_PUBLISHED = re.compile(r'"datePublished"\s*:\s*"([^"]{6,60})"')


class Page(NamedTuple):
    """Content of an article page. Each field may be ""; `published` is as written."""

    title: str
    text: str
    published: str


def extract(data: bytes, *, url: str, content_type: str = "") -> Page:
    """Extract the article; its text is "" if the page has none. Raises SourceError if the page cannot be parsed."""
    if len(data) > MAX_PAGE_BYTES:
        raise SourceError(f"{url}: the page has {len(data)} bytes, more than {MAX_PAGE_BYTES}")
    try:
        html = decode(data, charset_of(content_type))
    except BadRecord as error:
        raise SourceError(f"{url}: {error}") from error
    import trafilatura

    try:
        tree = trafilatura.load_html(html)
        if tree is None:
            return Page("", "", "")
        published = _json_ld_date(html) or _meta_date(tree)
        found = trafilatura.bare_extraction(tree, url=url, include_comments=False, include_tables=False, with_metadata=True)
    except (ValueError, TypeError, AttributeError, RecursionError, LookupError) as error:
        raise SourceError(f"{url}: the page cannot be read ({type(error).__name__}: {error})") from error
    if found is None:
        return Page("", "", published)
    return Page(str(found.title or ""), str(found.text or ""), published or str(found.date or ""))


def _json_ld_date(html: str) -> str:
    """datePublished in the page's JSON-LD (schema.org); "" if absent."""
    for block in _json_ld(html):
        try:
            value = msgspec.json.decode(block.strip())
        except (msgspec.DecodeError, ValueError):
            found = _DATE_PUBLISHED.search(block)  # invalid JSON (a stray comma, a comment): search for the date
            date = found.group(1) if found else ""
        else:
            date = _find_date(value, depth=0)
        if date:
            return date
    return ""


def _json_ld(html: str) -> Iterator[str]:
    """The JSON-LD scripts. Scans tag by tag: one pattern over both tags takes quadratic time on a hostile page."""
    position = 0
    while start := _SCRIPT.search(html, position):
        end = _SCRIPT_END.search(html, start.end())
        position = end.start() if end else len(html)
        if "application/ld+json" in start.group(1).lower():
            yield html[start.end() : position]


def _find_date(value: Any, depth: int) -> str:
    if depth > 6:
        return ""
    if isinstance(value, dict):
        date = value.get("datePublished")
        if isinstance(date, str) and date:
            return date
        children = [value[name] for name in ("@graph", "mainEntity", "mainEntityOfPage", "itemListElement") if name in value]
    else:
        children = value if isinstance(value, list) else []
    for child in children:
        if found := _find_date(child, depth + 1):
            return found
    return ""


def _meta_date(tree: Any) -> str:
    """The time in the page's meta elements, best name first; else that of the first <time datetime>."""
    named: dict[str, str] = {}
    for meta in tree.iterfind(".//meta"):
        name = (meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower()
        content = (meta.get("content") or "").strip()
        if name and content:
            named.setdefault(name, content)
    for name in _PUBLISHED_META:
        if name in named:
            return named[name]
    for element in tree.iterfind(".//time"):
        if moment := (element.get("datetime") or "").strip():
            return str(moment)
    return ""
