"""Canonical URLs: one spelling per page, so that an article has one identity however it is linked."""

from __future__ import annotations

import re
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

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")


def canonical(url: str) -> str:
    """The canonical spelling of an http(s) URL; "" for anything else.

    Scheme and host in lower case, no default port, user name, fragment or tracking parameters; the other parameters keep
    their order. What is not ASCII is percent-encoded, so that "/新闻" and "/%E6%96%B0%E9%97%BB" are one page.
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
    query = "&".join(pair for pair in parts.query.split("&") if pair and not _TRACKING.fullmatch(pair.partition("=")[0]))
    try:
        result = urlunsplit((scheme, netloc, _encoded(parts.path) or "/", _encoded(query), ""))
    except UnicodeEncodeError:
        return ""
    return result if len(result) <= MAX_URL_CHARS else ""


def _encoded(part: str) -> str:
    """Percent-encode characters not allowed in a URL; keep existing escapes."""
    if part.isascii() and part.isprintable() and not any(char in part for char in ' "<>\\^`{|}'):
        return part
    return quote(part, safe="/%:@!$&'()*+,;=~?-._[]")


def absolute(base: str, link: str) -> str:
    """Resolve `link` against `base`; "" if the result is not an http(s) URL (empty, `javascript:`, `data:`)."""
    if not link.strip():
        return ""
    try:
        joined = urljoin(base, link.strip())
    except ValueError:
        return ""
    return joined if canonical(joined) else ""


def host_of(url: str) -> str:
    """The host in lower case, with a non-default port; "" if there is none."""
    return urlsplit(canonical(url)).netloc
