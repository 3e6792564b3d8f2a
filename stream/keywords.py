r"""Words to look for in an article, of both languages, and where they stand in a text. Pure.

    bond default          any text with these words
    bond default | 债券违约   one thing in two languages: any of them
    +恒大                 every text must have it
    !周年                 no text may have it
    /债券.{0,6}违约/       a regular expression, in RE2's syntax

Both sides are folded first: NFKC (full width, ligatures), case, runs of blanks, and characters that nobody sees. Letters and digits
of scripts written with spaces match whole words only; all else, such as Chinese and emoji, matches anywhere.

Regular expressions run in RE2 (through pyarrow, which we have anyway): its time is linear in the text whatever the pattern, so no
pattern of a user can hold a worker up, and nothing depends on a clock, as a time-out would. It has no look-around, no backreferences.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

MAX_CHARS = 500
"""Of one keyword."""
Sign = Literal["", "+", "!"]

_UNSEEN = re.compile("[\u00ad\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
_LETTER = r"[^\W_\u0590-\u1dff\u2000-\U0010ffff]"  # of Latin, Greek and Cyrillic, and digits
_PIECE = re.compile(rf"{_LETTER}+|\S")


class Term(NamedTuple):
    """One keyword. written: as its author wrote it; words: folded, any of them; pattern: a regular expression instead, or ""."""

    written: str
    sign: Sign
    words: tuple[str, ...]
    pattern: str


def fold(text: str) -> str:
    """What two spellings of one text have in common: NFKC, case folded, one space for any blanks, nothing that is not seen."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", _UNSEEN.sub("", folded))
    return " ".join(folded.split())


def fold_article(title: str, text: str) -> str:
    """Title and text, folded, on two lines: nothing is found across the two."""
    return f"{fold(title)}\n{fold(text)}"


def parse(written: str) -> Term:
    """The term that a keyword says. Raises ValueError, in one clause, for one that says nothing or cannot be right."""
    keyword = written.strip()
    if len(keyword) > MAX_CHARS:
        raise ValueError(f"has {len(keyword)} characters; {MAX_CHARS} are the most")
    sign: Sign = ""
    if keyword[:1] in ("+", "＋", "!", "！"):
        sign = "+" if keyword[0] in "+＋" else "!"
        keyword = keyword[1:].strip()
    if keyword[:1] in ("/", "／"):
        if len(keyword) < 3 or keyword[-1] not in "/／":
            raise ValueError("begins as a regular expression and does not end with /")
        return Term(written, sign, (), _pattern(keyword[1:-1]))
    words = [fold(word) for word in unicodedata.normalize("NFKC", keyword).split("|")]
    for word in words:
        if not word:
            raise ValueError("is empty" if len(words) == 1 else "has an empty alternative beside |")
        if word[0] in "+!/":
            raise ValueError(f"{word!r}: the sign stands once, before the first alternative; a regular expression has its own |")
    return Term(written, sign, tuple(dict.fromkeys(words)), "")


def _pattern(written: str) -> str:
    """A pattern for folded text. What folding changes is a plain character in it: a full-width bracket opens no group."""
    pattern = "".join(char if char.isascii() else _plain(char) for char in written)
    try:
        empty = regex_found(pattern, [""])[0]
    except ValueError as error:
        raise ValueError(f"is no regular expression of RE2: {error}") from error
    if empty:
        raise ValueError("is a regular expression that every text matches")
    return pattern


def _plain(char: str) -> str:
    folded = fold(char)
    return char if folded == char else re.escape(folded) if folded else ""


def regex_found(pattern: str, texts: Sequence[str]) -> list[bool]:
    """Which of `texts` the pattern is found in, whatever the case. Raises ValueError for a pattern that RE2 does not know."""
    import pyarrow as pa  # only who has a regular expression pays for it
    import pyarrow.compute as pc

    try:
        found: list[bool] = pc.match_substring_regex(pa.array(texts, pa.string()), pattern, ignore_case=True).to_pylist()
    except pa.ArrowInvalid as error:
        raise ValueError(str(error).removeprefix("Invalid regular expression: ")) from error
    return found


class _Word(NamedTuple):
    """A folded word, its pieces, and the pattern that says where it stands as a whole word; None: anywhere."""

    word: str
    pieces: frozenset[str]
    whole: re.Pattern[str] | None


class Finder:
    """Finds many words and patterns in many texts. Built once, then only read.

    folded text ─▶ its pieces: words and characters ─▶ words whose pieces are all there ─▶ those that stand there
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        terms = list(terms)
        self._patterns = sorted({term.pattern for term in terms if term.pattern})
        self._by_piece: dict[str, list[_Word]] = {}
        for word in sorted({word for term in terms for word in term.words}):
            made = _Word(word, _pieces(word), _whole(word))
            self._by_piece.setdefault(max(made.pieces, key=lambda piece: (len(piece), piece)), []).append(made)

    def found(self, texts: Sequence[str]) -> list[set[str]]:
        """The words and patterns that each of these folded texts has."""
        found = [set(self._words(text)) for text in texts]
        for pattern in self._patterns if texts else ():
            for place, is_there in zip(found, regex_found(pattern, texts), strict=True):
                if is_there:
                    place.add(pattern)
        return found

    def _words(self, text: str) -> Iterable[str]:
        pieces = _pieces(text)
        for piece in self._by_piece.keys() & pieces:
            for word, needs, whole in self._by_piece[piece]:
                if pieces >= needs and word in text and (whole is None or whole.search(text)):
                    yield word


def has(term: Term, found: set[str]) -> bool:
    """Whether a text in which `found` was found has the term, its sign aside."""
    return term.pattern in found if term.pattern else not found.isdisjoint(term.words)


def _pieces(folded: str) -> frozenset[str]:
    """All words of scripts with spaces, and all other characters but blanks."""
    words: set[str] = set()
    for part in set(folded.split()):
        if part.isascii() and part.isalnum():
            words.add(part)
        else:
            words.update(_PIECE.findall(part))
    return frozenset(words)


@functools.lru_cache(maxsize=4_096)
def _whole(word: str) -> re.Pattern[str] | None:
    first, last = re.match(_LETTER, word[0]), re.match(_LETTER, word[-1])
    if not (first or last):
        return None
    return re.compile((rf"(?<!{_LETTER})" if first else "") + re.escape(word) + (rf"(?!{_LETTER})" if last else ""))
