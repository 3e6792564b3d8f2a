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

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

MAX_CHARS = 500
"""Of one keyword."""
Sign = Literal["", "+", "!"]

_UNSEEN = re.compile("[\u00ad\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
_LETTER = r"[^\W_\u0590-\u1dff\u2000-\U0010ffff]"  # of Latin, Greek and Cyrillic, and digits
_LETTERS = re.compile(f"{_LETTER}+")
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
    """A folded word and its pieces; first, last: whether it begins and ends with a letter, so that none may stand beside it."""

    word: str
    pieces: frozenset[str]
    first: bool
    last: bool

    def stands_in(self, text: str) -> bool:
        """Whether it stands in a folded text."""
        start = text.find(self.word)
        while start >= 0:
            end = start + len(self.word)
            if not (self.first and start and _LETTERS.match(text, start - 1)) and not (self.last and _LETTERS.match(text, end)):
                return True
            start = text.find(self.word, start + 1)
        return False


class Finder:
    """Finds many words and patterns in many texts. Built once, then only read.

    folded text ─▶ its pieces: words and characters ─▶ words whose pieces are all there ─▶ those that stand there
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        terms = list(terms)
        self._patterns = sorted({term.pattern for term in terms if term.pattern})
        self._by_piece: dict[str, list[_Word]] = {}
        for word in sorted({word for term in terms for word in term.words}):
            made = _Word(word, frozenset(_PIECE.findall(word)), bool(_LETTERS.match(word)), bool(_LETTERS.match(word[-1])))
            self._by_piece.setdefault(max(made.pieces, key=lambda piece: (len(piece), piece)), []).append(made)

    def found(self, texts: Sequence[str]) -> list[set[str]]:
        """What each of these folded texts has of all `keys_of` the terms."""
        found = [set(self._words(text)) for text in texts]
        for pattern in self._patterns if texts else ():
            for place, is_there in zip(found, regex_found(pattern, texts), strict=True):
                if is_there:
                    place.add(f"/{pattern}/")
        return found

    def _words(self, text: str) -> Iterator[str]:
        pieces = _pieces(text)
        for piece in self._by_piece.keys() & pieces:
            for word in self._by_piece[piece]:
                if (len(piece) > 1 and piece == word.word) or (pieces >= word.pieces and word.stands_in(text)):
                    yield word.word


def keys_of(term: Term) -> tuple[str, ...]:
    """What a Finder says when the term is there: any of these. No word begins with a slash."""
    return (f"/{term.pattern}/",) if term.pattern else term.words


def has(term: Term, found: set[str]) -> bool:
    """Whether a text in which `found` was found has the term, its sign aside."""
    return not found.isdisjoint(keys_of(term))


def _pieces(folded: str) -> set[str]:
    """All words of scripts with spaces, and all other characters but blanks; single letters that are no word may be among them."""
    pieces: set[str] = set()
    for part in set(folded.split()):
        if part.isascii() and part.isalnum():
            pieces.add(part)
        else:
            pieces.update(_LETTERS.findall(part))
            pieces.update(part)
    return pieces
