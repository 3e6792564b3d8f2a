"""Extract title, text and publication time from an article page.

trafilatura extracts the text. It returns only the day of publication, so the time is read here.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from core.errors import BadRecord, SourceError
from ingest.crawl.feeds import charset_of
from ingest.text.clean_text import clean, decode

MAX_PAGE_BYTES = 8 * 1024 * 1024

_PUBLISHED_META = (
    "article:published_time", "og:published_time", "og:article:published_time", "datepublished", "publishdate", "pubdate", "publish-date",
    "publishtime", "parsely-pub-date", "sailthru.date", "dc.date.issued", "dc.date", "dcterms.created", "cxenseparse:recs:publishtime",
    "date",
)  # fmt: skip
_SCRIPT = re.compile(r"<script\b([^<>]*)>", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script", re.IGNORECASE)
_DATE_PUBLISHED = re.compile(r'"(datePublished|dateCreated|uploadDate)"\s*:\s*"([^"]{4,60})"')
_ARTICLE_TYPES = frozenset(
    ("article", "newsarticle", "reportagenewsarticle", "analysisnewsarticle", "opinionnewsarticle", "backgroundnewsarticle",
     "reviewnewsarticle", "blogposting", "liveblogposting", "socialmediaposting", "discussionforumposting", "report", "techarticle",
     "scholarlyarticle", "pressrelease", "videoobject"),
)  # fmt: skip
_PAGE_TYPES = frozenset(("webpage", "itempage", "aboutpage", "creativework", ""))
_LISTED = frozenset(
    ("itemlistelement", "relatedlink", "related", "mentions", "citation", "haspart", "isbasedon", "comment", "hasoccurrence", "blogpost")
)
"""Properties of JSON-LD that lead to other articles."""
_ELSEWHERE = re.compile(
    r"related|recommend|sidebar|aside|footer|comment|more-news|most-read|popular|latest|hot-?news|ranking|相关|推荐", re.IGNORECASE
)
_DATE_CLASS = re.compile(
    r"(?:^|[\s_-])(?:(?:pub(?:lish)?(?:ed)?|post|article)[_-]?(?:time|date|on|at)|date|time|timestamp|dateline|byline|source|info)(?:$|[\s_-])",
    re.IGNORECASE,
)
_CLOCK = (
    r"(?:\s*[T日,]?\s*(?:at |上午|下午)?\s*\d{1,2}\s*[:时]\s*\d{2}(?:\s*:\s*\d{2})?"
    r"(?:\s*[ap]\.?m\b\.?)?(?:\s*(?:[A-Z]{2,4}\b|[+-]\d\d:?\d\d))?)?"
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_NUMBERS = r"(?:19|20)\d{2}\s*[-/.年]\s*\d{1,2}\s*[-/.月]\s*\d{1,2}\s*日?"
_DATE_TEXT = re.compile(rf"(?:{_NUMBERS}|\d{{1,2}} {_MONTH},? 20\d{{2}}|{_MONTH} \d{{1,2}},? 20\d{{2}}){_CLOCK}", re.IGNORECASE)
_DATE_IN_ADDRESS = re.compile(r"/(20\d\d)[/-]?(0[1-9]|1[0-2])[/-]?(0[1-9]|[12]\d|3[01])(?=[/._-]|$)")
_TITLE_WORDS = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]|\w{2,}")
MAX_JSON_LD_NODES = 2_000
MAX_TIMES = 200


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
        headings = chain(islice(tree.iter("h1"), 1), islice(tree.iter("title"), 1))
        title = clean(" ".join(" ".join(each.itertext()) for each in headings))
        published = _json_ld_date(html, url, title) or _meta_date(tree) or _shown_date(tree) or _date_in(url)
        found = trafilatura.bare_extraction(tree, url=url, include_comments=False, include_tables=False, with_metadata=True)
    except (ValueError, TypeError, AttributeError, RecursionError, LookupError) as error:
        raise SourceError(f"{url}: the page cannot be read ({type(error).__name__}: {error})") from error
    if found is None:
        return Page("", "", published)
    return Page(str(found.title or ""), str(found.text or ""), published)


def _json_ld_date(html: str, url: str, title: str) -> str:
    """The publication time that the JSON-LD (schema.org) states of the page's own article; "" if absent.

    Of several articles that with the page's title or address wins, then the first; a page's own time counts where there is none.
    """
    found: list[tuple[int, str]] = []
    for block in _json_ld(html):
        try:
            value = msgspec.json.decode(block.strip())
        except (msgspec.DecodeError, ValueError, RecursionError):
            broken = _DATE_PUBLISHED.search(block)  # invalid JSON (a stray comma, a comment): search for the date
            if broken:
                found.append((2, broken.group(2)))
        else:
            found += _dated(value, url, title)
    return min(found, key=lambda item: item[0])[1] if found else ""


def _dated(value: Any, url: str, title: str) -> Iterator[tuple[int, str]]:
    """(rank, time) of the dated things in JSON-LD that are not lists of other articles: the lower the better."""
    waiting: deque[tuple[Any, int]] = deque([(value, 0)])
    seen = 0
    while waiting and seen < MAX_JSON_LD_NODES:
        node, depth = waiting.popleft()
        seen += 1
        if isinstance(node, list):
            waiting.extend((item, depth) for item in node if isinstance(item, dict | list))
        elif isinstance(node, dict) and depth <= 6:
            kinds = node.get("@type") or ""
            names = {str(kind).rpartition("/")[2].lower() for kind in (kinds if isinstance(kinds, list) else [kinds])}
            date = next(
                (node[name] for name in ("datePublished", "dateCreated", "uploadDate") if isinstance(node.get(name), str) and node[name]),
                "",
            )
            if date and names & _ARTICLE_TYPES:
                own = _is_of_page(node, url, title)
                if own is not False:
                    yield (0 if own else 4 if "videoobject" in names else 1), date
            elif date and names & _PAGE_TYPES:
                yield 3, date
            waiting.extend(
                (child, depth + 1) for name, child in node.items() if isinstance(child, dict | list) and name.lower() not in _LISTED
            )


def _is_of_page(node: dict[str, Any], url: str, title: str) -> bool | None:
    """Whether an article of the JSON-LD has the title or the address of the page; None if it has neither of its own."""
    headline = clean(str(node.get("headline") or node.get("name") or ""))
    words = set(_TITLE_WORDS.findall(headline.lower()[:300]))
    if words and len(words & set(_TITLE_WORDS.findall(title.lower()[:600]))) >= 0.6 * len(words):
        return True
    main = node.get("mainEntityOfPage")
    addresses = (node.get("url"), node.get("@id"), main, main.get("@id") if isinstance(main, dict) else None)
    found = [_path(address) for address in addresses if isinstance(address, str) and "/" in address]
    paths = [path for path in found if path is not None]
    if _path(url) in paths:
        return True
    return False if headline and title and paths else None


def _path(address: str) -> str | None:
    """The path of an address without its last slash; None for what is no address."""
    try:
        return urlsplit(address.strip()[:2_000]).path.rstrip("/")
    except ValueError:  # such as "https://[domain]/", a placeholder of a template
        return None


def _json_ld(html: str) -> Iterator[str]:
    """The JSON-LD scripts. Scans tag by tag: one pattern over both tags takes quadratic time on a hostile page."""
    position = 0
    while start := _SCRIPT.search(html, position):
        end = _SCRIPT_END.search(html, start.end())
        position = end.start() if end else len(html)
        if "application/ld+json" in start.group(1).lower():
            yield html[start.end() : position]


def _meta_date(tree: Any) -> str:
    """The time in the page's meta elements, best name first."""
    named: dict[str, str] = {}
    for meta in tree.iterfind(".//meta"):
        name = (meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower()
        content = (meta.get("content") or "").strip()
        if name and content:
            named.setdefault(name, content)
    return next((named[name] for name in _PUBLISHED_META if name in named), "")


def _shown_date(tree: Any) -> str:
    """The time that the article itself shows: in a <time>, then in an element that is named after a time; not that of another article."""
    heads = list(islice(tree.iter("h1"), 1))
    own = {parent for heading in heads for parent in heading.iterancestors("article")}
    several = len(list(islice(tree.iter("article"), 2))) > 1

    def is_other(element: Any) -> bool:
        around = next(element.iterancestors("article"), None)
        return around is not None and around not in own and bool(own or several)

    times = [element for element in islice(tree.iter("time"), MAX_TIMES) if not _is_elsewhere(element) and not is_other(element)]
    inside = [element for element in times if any(parent.tag in ("article", "main", "header") for parent in element.iterancestors())]
    for element in [*(each for each in times if each.get("itemprop") == "datePublished" or each.get("pubdate") is not None), *inside]:
        if moment := (element.get("datetime") or "".join(element.itertext())).strip():
            return str(moment)[:100]
    if len(times) == 1 and (moment := (times[0].get("datetime") or "".join(times[0].itertext())).strip()):
        return str(moment)[:100]
    for element in chain(*(_around(heading) for heading in heads)):
        if isinstance(element.tag, str) and not _is_elsewhere(element) and not is_other(element):
            named = f"{element.get('class') or ''} {element.get('id') or ''} {element.get('itemprop') or ''}"
            if _DATE_CLASS.search(named) and (shown := _DATE_TEXT.search("".join(element.itertext())[:400])):
                return shown.group()
    return ""


def _date_in(url: str) -> str:
    """The day in the address of many publishers, such as /2026/11/30/."""
    found = _DATE_IN_ADDRESS.search(url)
    return "-".join(found.groups()) if found else ""


def _around(heading: Any) -> Iterator[Any]:
    """The elements of the heading's nearest two surroundings, where articles show their time; at most some hundreds."""
    for parent in islice(heading.iterancestors(), 3):
        if parent.tag in ("body", "html"):
            return
        yield from islice(parent.iterdescendants(), 300)


def _is_elsewhere(element: Any) -> bool:
    """Whether the element is of another article: in an aside, a footer, a list of links or comments, or inside a link."""
    for parent in chain([element], element.iterancestors()):
        if parent.tag in ("aside", "footer", "nav", "a", "li"):
            return True
        if parent.tag not in ("body", "html", "main") and _ELSEWHERE.search(f"{parent.get('class') or ''} {parent.get('id') or ''}"):
            return True
    return False
