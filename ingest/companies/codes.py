"""Find the codes of shares in texts, in every usual spelling, and normalize them to keys of companies.

600519.SH  600519.ss  SH600519  SH.600519  SSE:600519  600519.XSHG  600519 CH Equity  (600519)  ─▶ 600519.SH
00700.HK  700.HK  HK.00700  HKEX:700  700 HK Equity  00700                                     ─▶ 00700.HK
$AAPL  AAPL.US  AAPL.O  NASDAQ:AAPL  AAPL US Equity  BRK-B.US                                  ─▶ AAPL, BRK.B
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ingest.text.folding import fold

_MARKETS = {
    "SH": "SH", "SS": "SH", "SSE": "SH", "SHSE": "SH", "SHA": "SH", "XSHG": "SH", "XSSC": "SH", "沪": "SH",
    "SZ": "SZ", "SZSE": "SZ", "SHE": "SZ", "XSHE": "SZ", "XSEC": "SZ", "深": "SZ", "BJ": "BJ", "BSE": "BJ", "XBSE": "BJ",
    "HK": "HK", "HKEX": "HK", "SEHK": "HK", "HKG": "HK", "XHKG": "HK", "HKSE": "HK", "港": "HK",
}  # fmt: skip
_PREFIX = "SHSE|SH|SSE|SHA|SS|SZSE|SZ|SHE|BJ|BSE|XSHG|XSHE|HKEX|SEHK|HKSE|HKG|HK|XHKG"
_TICKER = r"[A-Z]{1,5}(?:[.\-/][A-Z])?"
_US_PREFIX = r"NASDAQ(?:GS|GM|CM)?|NYSE(?:AMERICAN|ARCA|[ ]?AMERICAN|[ ]?ARCA|MKT)?|AMEX|NAS|XNAS|XNYS|US"
_US_SUFFIX = r"US|OQ|O|N|PK|NASDAQ|NYSE|NAS|NYS"

_NUMBER = re.compile(r"[0-9][0-9]{4,}")
_SHORT_NUMBER = re.compile(r"(?<![0-9.,])[0-9]{1,4}(?![0-9])")
_SHORT_MARKED = re.compile(r"HK|hk|\.T|\.KS")
"""What a text with shorter numbers that are codes has: 700.HK, HK700, HKG:0700, 7203.T; most texts have none of it."""
_BEFORE = re.compile(rf"(?:^|[^A-Za-z0-9])({_PREFIX})[ ]?[.:_-]?[ ]?$", re.IGNORECASE)
_AFTER = re.compile(r"[ ]?\.[ ]?(XSHG|XSHE|XSSC|XSEC|XHKG|HKG|SH|SS|SZ|BJ|HK|[A-Z]{1,2})(?![A-Za-z0-9])", re.IGNORECASE)
_BLOOMBERG = re.compile(r"[ ](HK|CH|C1|C2|CG|CS|JP|KS|TT)(?:[ ]Equity\b|(?=[)）,，、;]|$))", re.ASCII)
_UNIT = re.compile(
    r"[ ]?(?:元|股|吨|万|亿|人|户|套|辆|台|只|张|美元|港元|手|点|桶|家|名|例|千|公|平|米|克|年|月|日|号|个|次|件|项|份|座|岁|时|分|秒|%|‰|"
    r"[.,]\d|[-~～至到]\d|[A-Za-z])"
)
_MARKED = re.compile(
    r"[$.(（:ASN](?:(?<=\$)[A-Za-z]|(?<=\.)(?!S[HZS]|HK|BJ)[A-Zu]|(?<=[(（])[A-Z]{1,5}[).\-/）]|(?<=:)US|(?<=N)(?:ASDAQ|asdaq|YSE)|"
    r"(?<=A)MEX|(?<=S)(?:[.:：][A-Z]|[ ]Eq))"
)
"""What a US ticker has beside it; most texts have none of it."""
_US = re.compile(
    rf"(?<![A-Za-z0-9$])(?:\$(?P<cash>[A-Za-z]{{1,5}}(?:[.\-/][A-Za-z](?![A-Za-z]))?)|"
    rf"(?i:{_US_PREFIX})[ ]?[.:：][ ]?(?P<prefixed>{_TICKER})|"
    rf"(?P<low>[a-z]{{1,5}})\.us|(?P<suffixed>{_TICKER})(?:\.(?:{_US_SUFFIX})|[ ]US[ ]Equity|:US)|"
    rf"(?P<key>[A-Z][A-Z0-9\-]{{0,10}}\.[A-Z]{{1,2}}))(?![A-Za-z0-9$])|"
    rf"[(（](?P<bracketed>{_TICKER})[)）]"
)
_SHARE = re.compile(r"(?:6[08]\d{4}\.SH|(?:00|30)\d{4}\.SZ|(?:92|8[37]|43)\d{4}\.BJ|0(?!2[78]\d\d|3[01]\d\d|7[2-5]\d\d)\d{4}\.HK)")
"""Numbers of shares, not of funds, indexes or bonds: they count even if no list has them."""
_LISTED = re.compile(r"\d{6}\.(?:SH|SZ|BJ)|\d{5}\.HK")


MAX_DIGITS = 6
"""Digits of the longest codes."""


_ABBREVIATIONS = frozenset({"U.N", "A.O", "P.O", "H.O"})
"""Of the form of a ticker with the suffix of an exchange."""


class Code(NamedTuple):
    """The code of a share at [start, end) of a text. sure: it is a code whatever surrounds it; a ticker in brackets is not."""

    start: int
    end: int
    key: str
    sure: bool = True


def find_codes(text: str, known: Callable[[str], bool]) -> Iterator[Code]:
    """Find the codes in `text`, numbers first.

    Args:
        text: folded text, in its own case.
        known: whether a key belongs to a company; tickers count only if it does, numbers with their market also if they are of shares.
    """
    for found in _NUMBER.finditer(text):
        if found.end() - found.start() <= MAX_DIGITS and (code := _number(text, found, known)) is not None:
            yield code
    if _SHORT_MARKED.search(text):
        for found in _SHORT_NUMBER.finditer(text):
            if (code := _number(text, found, known)) is not None:
                yield code
    if _MARKED.search(text):
        for found in _US.finditer(text):
            kind = str(found.lastgroup)
            key = found[kind].upper().replace("-", ".").replace("/", ".") if kind != "key" else found[kind]
            if kind == "suffixed" and found[0] in _ABBREVIATIONS:
                continue
            if not known(key) and kind == "cash":  # "$AAPL-led", "$C.O"
                key = re.split(r"[.\-/]", key)[0]
            if known(key):
                yield Code(found.start(), found.end(), key, kind != "bracketed")
            elif kind == "suffixed" and known(found[0]):  # "BA.L" looks like a ticker of class L
                yield Code(found.start(), found.end(), found[0])


def _number(text: str, found: re.Match[str], known: Callable[[str], bool]) -> Code | None:
    start, end = found.span()
    digits = found[0]
    before, after = text[start - 1 : start], text[end : end + 1]
    if after.isdigit() or before.isdigit():
        return None
    if before and (before.isascii() and (before.isalnum() or before in ".:_-# ")):
        market = _BEFORE.search(text, max(0, start - 8), start)
        if market and not after.isalnum() and (key := _key(digits, _MARKETS[market[1].upper()])) and (known(key) or _SHARE.match(key)):
            return Code(market.start(1), end, key)
        if before.isalnum() or before == ".":
            return None
    suffix = _AFTER.match(text, end)
    if suffix:
        name = suffix[1].upper()
        key = _key(digits, _MARKETS[name]) if name in _MARKETS else f"{digits}.{name}"
        if key and (known(key) or (name in _MARKETS and _SHARE.match(key))):
            return Code(start, suffix.end(), key)
        return None
    if terminal := _BLOOMBERG.match(text, end):
        key = _key(digits, {"HK": "HK", "JP": "T", "KS": "KS", "TT": "TW"}.get(terminal[1], "SH" if digits[0] in "69" else "SZ"))
        return Code(start, terminal.end(), key) if key and known(key) else None
    return _bare(text, start, end, digits, known)


def _bare(text: str, start: int, end: int, digits: str, known: Callable[[str], bool]) -> Code | None:
    """A number without a market: six digits, or five that begin with 0, which no unit follows."""
    if not (len(digits) == 6 or (len(digits) == 5 and digits[0] == "0")):
        return None
    key = bare_key(digits)
    if not known(key):
        return None
    before, after = text[start - 1 : start], text[end : end + 1]
    bracketed = before in ("(", "（", "[", "【") and after in (")", "）", "]", "】", ",", "，", "、")
    if bracketed or (not before and not after):
        return Code(start, end, key)
    if (
        digits.endswith("000")
        or before in (",", ".", "$", "¥", "￥", "-", "+", "约", "达", "近", "超", "第", "共")
        or _UNIT.match(text, end)
    ):
        return None
    return Code(start, end, key)


def bare_key(digits: str) -> str:
    """The key of a code without its market, from the number ranges of the exchanges."""
    if len(digits) == 5:
        return f"{digits}.HK"
    if digits.startswith(("60", "68", "90")):
        return f"{digits}.SH"
    return f"{digits}.BJ" if digits.startswith(("92", "43", "83", "87")) else f"{digits}.SZ"


def _key(digits: str, market: str) -> str:
    """The key of a number in a market; "" if the market has no such numbers."""
    if market in ("SH", "SZ", "BJ"):
        return f"{digits}.{market}" if len(digits) == 6 else ""
    if market == "HK":
        return f"{digits.zfill(5)}.HK" if len(digits) <= 5 else ""
    return f"{digits}.{market}"


_ALONE = re.compile(
    rf"(?:(?P<market>{_PREFIX})[.:_-]?(?P<digits>\d{{1,6}})|(?P<digits2>\d{{1,6}})\.(?P<market2>{_PREFIX})|"
    rf"(?:\$|(?:{_US_PREFIX})[.:])?(?P<ticker>[A-Z]{{1,5}}(?:[.\-/][A-Z])??)(?:\.(?:{_US_SUFFIX})|[ :]US(?:[ ]EQUITY)?)?)",
    re.ASCII,
)


def share_code(code: str) -> str:
    """Normalize a share's code to a company key: "00700.HK", "600519.SH", "AAPL"; "" if it is not one."""
    plain = fold(code).strip().upper()
    found = _ALONE.fullmatch(plain)
    if not found:
        return ""
    digits = found["digits"] or found["digits2"]
    if digits:
        return _key(digits, _MARKETS[found["market"] or found["market2"]])
    return str(found["ticker"]).replace("-", ".").replace("/", ".")


def is_listed(key: str) -> bool:
    """Whether a key has the form of a share of Shanghai, Shenzhen, Beijing or Hong Kong."""
    return _LISTED.fullmatch(key) is not None
