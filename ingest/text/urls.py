"""Canonical URLs: one spelling per page, so that an article has one identity however it is linked; and the domain of a page."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

MAX_URL_CHARS = 4_000
"""Limit of records.Article; longer URLs are rejected."""

_DEFAULT_PORT = {"http": 80, "https": 443}
_TRACKING = re.compile(
    r"(?:utm_\w+|at_(?:medium|campaign|custom\d|bbc_team|link_\w+|ptr_name|format)|mc_[ce]id|pk_\w+|hsa_\w+|_hs(?:enc|mi)|spm(?:_id_from)?|scm"
    r"|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|yclid|twclid|ttclid|igshid|igsh|li_fat_id|mkt_tok|vero_id|wickedid"
    r"|cmpid|ocid|ncid|smid|sr_share|share_token|from_source|vd_source|cmp|ns_(?:source|mchannel|campaign|linkname))",
    re.IGNORECASE,
)
"""Tracking parameters, which do not select content."""

_FRAGMENT_TRACKING = re.compile(r"xtor|echobox|xt|ref|ref_src|src|source|from|rss|feed|partner|intcid|campaign|tracking", re.IGNORECASE)
"""Tracking parameters that stand behind "#" too, as in "#xtor=RSS-1" and "#Echobox=1700000000"."""
_SAME_PAGE = re.compile(
    r"top|content|main|(?:main|page|article)-?content|article|comments|respond|disqus_thread|share|more(?:-\d+)?|rss|feed", re.IGNORECASE
)
"""Anchors that name a place of every page, such as its comments."""

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")


def canonical(url: str) -> str:
    """The canonical spelling of an http(s) URL; "" for anything else.

    Scheme and host in lower case, no default port, user name or tracking parameters; the other parameters keep their order. A
    fragment is kept where it selects content: a route ("#/news/1", "#!news") or an anchor, as of a live blog. What is not ASCII
    is percent-encoded, so that "/新闻" and "/%E6%96%B0%E9%97%BB" are one page.
    """
    url = url.strip()
    if not url or len(url) > MAX_URL_CHARS:
        return ""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        if not host.isascii():
            host = host.encode("idna").decode()
    except (ValueError, UnicodeError):
        return ""
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORT or not host or _FORBIDDEN.search(host):
        return ""
    if ":" in host:
        host = f"[{host}]"
    netloc = host if port in (None, _DEFAULT_PORT[scheme]) else f"{host}:{port}"
    query = _without_tracking(parts.query)
    try:
        result = urlunsplit((scheme, netloc, _encoded(parts.path) or "/", _encoded(query), _encoded(_fragment(parts.fragment))))
    except UnicodeEncodeError:
        return ""
    return result if len(result) <= MAX_URL_CHARS else ""


def _without_tracking(query: str) -> str:
    return "&".join(pair for pair in query.split("&") if pair and not _TRACKING.fullmatch(pair.partition("=")[0]))


def _fragment(fragment: str) -> str:
    """The part of a fragment that selects content; "" if there is none: tracking, text directives, places of every page."""
    kept = _without_noise(fragment)
    return kept if kept == fragment else _fragment(kept)


def _without_noise(fragment: str) -> str:
    fragment = fragment.partition(":~:")[0]
    if fragment[:1] in ("/", "!"):
        route, mark, query = fragment.partition("?")
        query = _without_tracking(query)
        return f"{route}{mark}{query}" if query else route.rstrip("/!") and route
    if "=" in fragment:
        pairs = _without_tracking(fragment.removeprefix("?")).split("&")
        kept = "&".join(pair for pair in pairs if not _FRAGMENT_TRACKING.fullmatch(pair.partition("=")[0]))
        return f"?{kept}" if kept and fragment.startswith("?") else kept
    return "" if _SAME_PAGE.fullmatch(fragment) else fragment


def _encoded(part: str) -> str:
    """Percent-encode characters not allowed in a URL; keep existing escapes."""
    if part.isascii() and part.isprintable() and not any(char in part for char in ' "<>\\^`{|}'):
        return part
    return quote(part, safe="/%:@!$&'()*+,;=~?-._[]")


def absolute(base: str, link: str) -> str:
    """Resolve `link` against `base`; "" if the result is not an http(s) URL (empty, `javascript:`, `data:`)."""
    if not link.strip() or len(link) > 2 * MAX_URL_CHARS:
        return ""
    try:
        joined = urljoin(base, link.strip())
    except ValueError:
        return ""
    return joined if canonical(joined) else ""


def host_of(url: str) -> str:
    """The host in lower case, with a non-default port; "" if there is none."""
    return urlsplit(canonical(url)).netloc


def is_same_server(url: str, other: str) -> bool:
    """Whether two http(s) URLs have one host and port."""
    one, two = urlsplit(canonical(url)), urlsplit(canonical(other))
    ports = [parts.port or _DEFAULT_PORT.get(parts.scheme) for parts in (one, two)]
    return bool(one.hostname) and one.hostname == two.hostname and ports[0] == ports[1]


def page_key(url: str) -> str:
    """What two spellings of one article's link have in common: the canonical URL without scheme and "www.".

    "" for the first page of a site, which is no article's, and for what is no http(s) URL.
    """
    parts = urlsplit(canonical(url))
    if not parts.netloc or (parts.path == "/" and not parts.query and not parts.fragment):
        return ""
    return urlunsplit(("", parts.netloc.removeprefix("www."), parts.path, parts.query, parts.fragment))


def registrable_domain(url: str) -> str:
    """The domain that one owner registered, such as "example.co.uk" of "https://news.example.co.uk/a"; "" for no http(s) URL.

    From the Public Suffix List as the package tld ships it, private suffixes included: "a.github.io" and "b.github.io" have two
    owners. Under a suffix that the list lacks, the last two labels (the list's own default rule). An IP address or a single label
    has no registrable domain: each of its ports counts as an owner of its own.
    """
    return _registrable_domain(host_of(url))


@lru_cache(4_096)
def _registrable_domain(netloc: str) -> str:
    host = netloc.rpartition(":")[0] if re.search(r":\d+\Z", netloc) else netloc
    if not host or host.startswith("[") or "." not in host or _is_address(host):
        return netloc
    from tld import get_fld  # takes half a second to import

    found = get_fld(f"http://{host}", fail_silently=True)
    return found or ".".join(host.split(".")[-2:])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
