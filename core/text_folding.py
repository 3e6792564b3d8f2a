"""Spellings that mean the same, for search, watchlists and rules alike. Pure.

    character   width, case, accents, traditional or simplified, kinds of apostrophes, hyphens, middle dots and blanks, invisible ones
    between     a hyphen or a middle dot inside a word is a blank; a blank beside a Chinese character is nothing;
    characters  initials with dots are written without them, "J.P." as "JP", except where that is a word: "U.S." is not "us"

`fold` brings texts to one spelling. storage/search_terms.py derives regular expressions on unfolded texts from the same tables: each
character is folded on its own (`fold_character`), so `variants` is the exact inverse. simplified.txt derives from the character table
of OpenCC (Apache-2.0).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import chain

from core.untrusted_text import normalize

APOSTROPHES = "'’‘‛ʼʻʹ′`´ꞌ"
HYPHENS = "-‐‑‒–−⁃"
MIDDLE_DOTS = "·・•‧∙⋅"
LETTER = r"[^\W_\u0590-\u1dff\u2000-\U0010ffff]"
"""A letter or digit of a script with blanks between words: Latin, Greek, Cyrillic."""
CHINESE = "\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Characters, and the kana of Japanese, that are written without blanks; for use in a character class."""
JOINABLE = f"(?:{LETTER}|[{CHINESE}\uac00-\ud7a3])"
"""A character beside which a hyphen is a blank."""
MAX_INITIALS = 4
"""Most letters of initials, as in U.S.S.R."""
WORDS_OF_INITIALS = frozenset({
    "ad", "am", "an", "and", "any", "are", "as", "at", "be", "by", "can", "do", "for", "go", "had", "has", "he", "her", "him", "his", "how",
    "id", "if", "in", "is", "it", "its", "may", "me", "my", "no", "not", "now", "of", "oh", "ok", "on", "one", "or", "our", "out",
    "pm", "she", "so", "the", "to", "too", "two", "up", "us", "was", "we", "who", "you",
})  # fmt: skip
"""Words that initials keep their dots not to become."""
OFTEN_WITHOUT_DOTS = frozenset({"us", "it"})
"""Those of them that stand for the initials in a longer name, such as "US Steel"."""

_UNITS = {
    **dict.fromkeys(APOSTROPHES, "'"),
    **dict.fromkeys(HYPHENS, "-"),
    **dict.fromkeys(MIDDLE_DOTS, "·"),
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ħ": "h",
    "ŧ": "t",
    "ı": "i",
}
"""Characters that Unicode has no decomposition of, and what they are folded to."""
_IGNORED = re.compile("[\u0300-\u036f\u00ad\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
"""Accents of any letter, and invisible characters."""
_LETTERS = ("Ll", "Lt", "Lu")
_FOLDED_BLOCKS = (
    range(0x3400),
    range(0xA000, 0xAC00),
    range(0xF900, 0x10000),
    range(0x1D400, 0x1D800),  # mathematical letters
    range(0x1F100, 0x1F200),  # enclosed letters
    range(0x2F800, 0x2FA20),
    range(0xE0100, 0xE01F0),
)
"""Code points that may have another spelling, besides traditional characters; all others are folded to themselves."""
_INITIALS = re.compile(
    rf"(?<![.])(?<!{LETTER})(?:[a-z](?:\.[a-z]){{1,{MAX_INITIALS - 1}}}(?!\w)|[a-z]\.(?: [a-z]\.){{1,{MAX_INITIALS - 1}}})"
    rf"\.*(?P<word>{LETTER})?"
)
_MAY_BE_INITIALS = re.compile(r"\.(?:[a-z](?![a-z])| [a-z]\.)")
_JOINER = re.compile(rf"[-·](?<={JOINABLE}.)(?={JOINABLE})")
_BLANK_IN_CHINESE = re.compile(f" (?:(?<=[{CHINESE}] )(?![-·])|(?=[{CHINESE}])(?<![-·] ))")
_WORD = re.compile(rf"(?<![.])(?<!{LETTER})[a-z]+(?!{LETTER}|\.)")
_DOTTED = re.compile(rf"(?<![.])(?<!{LETTER})[a-z](?:\.[a-z])+(?!{LETTER}|\.)")


@cache
def simplified_characters() -> dict[int, str]:
    """Code point of each traditional character -> its simplified form."""
    lines = resources.files("core").joinpath("simplified.txt").read_text(encoding="utf8").splitlines()
    return {ord(line[0]): line[1] for line in lines if len(line) == 2}


def fold_character(char: str) -> str:
    """The spelling of one character: none, one or several characters, which are folded to themselves."""
    known = simplified_characters()
    if not any(ord(char) in block for block in _FOLDED_BLOCKS) and ord(char) not in known:
        return char
    before, folded = "", char
    while before != folded:
        before, folded = folded, "".join(map(_step, folded))
    return folded


def _step(char: str) -> str:
    if char in _UNITS:
        return _UNITS[char]
    if char.isspace():
        return " "
    folded = normalize("NFKC", normalize("NFKC", char).casefold())
    folded = normalize("NFC", _IGNORED.sub("", normalize("NFD", folded))).translate(simplified_characters())
    is_ligature = unicodedata.category(char) in _LETTERS and folded.isalnum()  # "Apple™" is not "appletm"
    return folded if len(folded) < 2 or is_ligature else char


class _Table(dict[int, str]):
    """Spellings of the characters seen so far."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = fold_character(chr(code))
        return folded


_TABLE = _Table()


def fold_characters(text: str) -> str:
    """The text with each character in one spelling, and single blanks."""
    return " ".join(text.translate(_TABLE).split())


def fold_between(folded: str) -> str:
    """A text of `fold_characters` with hyphens, middle dots, blanks and initials in one spelling. Line breaks end words."""
    if _MAY_BE_INITIALS.search(folded):
        folded = _INITIALS.sub(_without_dots, folded)
    if "-" in folded or "·" in folded:
        folded = _JOINER.sub(" ", folded)
    return folded if folded.isascii() else _BLANK_IN_CHINESE.sub("", folded)


def _without_dots(match: re.Match[str]) -> str:
    word = match["word"] or ""
    letters = _initials(match)
    return ("".join(letters) if _are_joined(letters) else ".".join(letters)) + (f" {word}" if word else "")


def _initials(match: re.Match[str]) -> list[str]:
    return re.findall("[a-z]", match[0][: match.end() - match.start() - len(match["word"] or "")])


def _are_joined(initials: Sequence[str]) -> bool:
    return "".join(initials) not in WORDS_OF_INITIALS


def fold(text: str) -> str:
    """The text in one spelling."""
    return fold_between(fold_characters(text))


def spellings(keyword: str) -> tuple[str, ...]:
    """The folded forms of a keyword, of which a folded text contains one: with hyphens as blanks, and without hyphens.

    Initials that are a word, such as "US", count with and without dots in a longer name, such as "U.S. Steel".
    """
    characters = fold_characters(keyword)
    forms = {fold_between(characters): None, fold_between(_JOINER.sub(lambda match: "" if match[0] == "-" else "·", characters)): None}
    for form in tuple(forms) if " " in fold_between(characters) else ():
        forms[_WORD.sub(lambda match: ".".join(match[0]) if match[0] in OFTEN_WITHOUT_DOTS else match[0], form)] = None
        forms[_DOTTED.sub(lambda match: match[0].replace(".", "") if _often(match[0]) else match[0], form)] = None
    return tuple(forms)


def _often(initials: str) -> bool:
    return initials.replace(".", "") in OFTEN_WITHOUT_DOTS


@cache
def variants() -> dict[str, str]:
    """Folded characters -> the other characters with this spelling; "" -> those that are ignored."""
    found: dict[str, list[str]] = {}
    for code in sorted({*chain(*_FOLDED_BLOCKS), *simplified_characters()}):
        folded = fold_character(chr(code))
        if folded != chr(code):
            found.setdefault(folded, []).append(chr(code))
    return {folded: "".join(chars) for folded, chars in found.items()}


@cache
def _latin_variants() -> re.Pattern[str]:
    found = chain(*(chars for folded, chars in variants().items() if not folded or re.search("[a-z0-9]", folded)))
    return re.compile(f"[{ranges(char for char in found if not char.isascii())}]")


def has_latin_variants(text: str) -> bool:
    """Whether the text spells an ASCII letter or digit, or a word of them, otherwise than in ASCII: accents, full width, initials.

    Any other text contains each ASCII word of its folded form as it stands, apart from capitals.
    """
    if not text.isascii() and _latin_variants().search(text):
        return True
    if "." not in text or not _MAY_BE_INITIALS.search(folded := fold_characters(text)):
        return False
    return any(_are_joined(_initials(match)) for match in _INITIALS.finditer(folded))


def ranges(chars: Iterable[str]) -> str:
    """The characters as the inside of a character class, for Python and for RE2."""
    codes = sorted(set(map(ord, chars)))
    parts: list[tuple[int, int]] = []
    for code in codes:
        if parts and parts[-1][1] == code - 1:
            parts[-1] = parts[-1][0], code
        else:
            parts.append((code, code))
    return "".join(_quoted(first) + (f"-{_quoted(last)}" if last > first else "") for first, last in parts)


def _quoted(code: int) -> str:
    char = chr(code)
    return f"\\{char}" if char.isascii() and not char.isalnum() and char.isprintable() and char != " " else char
