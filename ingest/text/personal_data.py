"""Mask personal data in social posts: telephone numbers, identity cards, bank cards and e-mail addresses.

Posts about markets are full of numbers, so a number is only masked if it passes the rules of its kind: date and check digit of an
identity card (GB 11643-1999, ISO 7064 MOD 11-2), issuer prefix and check digit of a bank card (ISO/IEC 7812-1, Luhn), the format of
a telephone number (ITU-T E.164; mainland mobiles: 1[3-9] and nine digits). Amounts are not masked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Literal, NamedTuple

from core.records import Language

Kind = Literal["e-mail", "identity card", "bank card", "phone"]
_NAMES: dict[Kind, str] = {"e-mail": "邮箱", "identity card": "身份证", "bank card": "银行卡", "phone": "电话"}

_WIDE = str.maketrans(
    {0xFF10 + digit: str(digit) for digit in range(10)} | {"－": "-", "＋": "+", "＠": "@", "．": ".", "Ｘ": "X", "ｘ": "x"}
)
"""Full-width to ASCII, one character for one, so that offsets stay the same."""

_BEFORE = r"(?<![\d.,$¥￥€£])(?<![\d][- ])"
_AFTER = r"(?![\d%])(?![.,]\d)(?!\s?(?:元|股|万|亿|手|吨|美元|港元|人民币|点|份|shares|yuan|dollars|RMB|USD|CNY|HKD))"
"""Context of amounts, which telephone numbers do not have."""

_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", re.ASCII)
_IDENTITY = re.compile(r"(?<!\d)[1-9]\d{5}(?:19|20)\d{9}[\dXx](?![\dXx])")
_BANK_CARD = re.compile(_BEFORE + r"\d{4}(?:[ -]?\d{4}){2}(?:[ -]?\d{1,7})?" + _AFTER)
_PHONE = re.compile(
    _BEFORE
    + r"(?:(?:\+?86[- ]?)?1[3-9]\d(?:[- ]?\d{4}){2}"  # a mainland mobile
    + r"|\+[1-9]\d{0,2}(?:[- ]?\(?\d{1,4}\)?){2,5}"  # international, with its country
    + r"|\(?0\d{2,3}\)?[- ]\d{7,8}"  # a mainland line with its area
    + r"|(?:\(\d{3}\) ?|\d{3}-)\d{3}-\d{4})"  # North America
    + _AFTER
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ISSUERS = re.compile(r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01])|3[47]|35|6(?:011|2|4[4-9]|5)|81")


class Masked(NamedTuple):
    """A masked text. kinds: the kinds found, sorted, each once."""

    text: str
    kinds: tuple[Kind, ...]


def mask(text: str, language: Language) -> Masked:
    """Replace each piece of personal data with its kind: "[phone]", "[电话]"."""
    plain = text.translate(_WIDE)
    found: list[Kind] = []
    for kind, pattern, true in _RULES:
        word = f"[{_NAMES[kind] if language == 'zh' else kind}]"
        pieces, end = [], 0
        for match in pattern.finditer(plain):
            if not true(match[0]):
                continue
            pieces += [text[end : match.start()], word]
            end = match.end()
        if pieces:
            found.append(kind)
            text = "".join(pieces) + text[end:]
            plain = text.translate(_WIDE)
    return Masked(text, tuple(sorted(found)))


def _is_identity(number: str) -> bool:
    """Whether date and check digit are valid."""
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    remainder = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number[:17], strict=True)) % 11
    return number[17].upper() == "10X98765432"[remainder]


def _is_bank_card(number: str) -> bool:
    """Whether issuer prefix, length and check digit are valid."""
    digits = [int(sign) for sign in number if sign.isdigit()]
    if not 13 <= len(digits) <= 19 or not _ISSUERS.match(re.sub(r"\D", "", number)):
        return False
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _is_phone(number: str) -> bool:
    """Whether the number of digits is valid; with a plus sign and fewer than nine digits it is an amount."""
    return (9 if number.startswith("+") else 7) <= sum(sign.isdigit() for sign in number) <= 15


_RULES: tuple[tuple[Kind, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("e-mail", _MAIL, lambda _address: True),
    ("identity card", _IDENTITY, _is_identity),
    ("bank card", _BANK_CARD, _is_bank_card),
    ("phone", _PHONE, _is_phone),
)
"""In this order: card numbers contain what looks like a telephone number."""
