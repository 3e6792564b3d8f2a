r"""Keywords of watchlists: their syntax, and a search for many of them in many texts. Pure.

    bond default          texts with these words
    bond default | 债券违约   alternatives, for example in two languages
    +恒大                 required in every text
    !周年                 excluded: no text may contain it
    /债券.{0,6}违约/       a regular expression in RE2 syntax

Keywords and texts are folded first (core/text_folding.py): width, case, accents, traditional characters, apostrophes, hyphens, dots,
blanks, invisible characters. Letters and digits of scripts with spaces match whole words only; everything else, such as Chinese and
emoji, matches anywhere. A regular expression sees the text with folded characters, but with its blanks, hyphens and dots.

Regular expressions run in RE2, through pyarrow. Its run time is linear in the length of the text, so no pattern of a user can block a
worker. It has no look-around and no backreferences. Their number and size are limited (stream/watchlists/pattern_cost.py), and each is
compiled once for a batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from core.text_folding import LETTER, fold_between, fold_character, fold_characters, spellings
from stream.watchlists.pattern_cost import MAX_STEPS, steps

MAX_CHARS = 500
"""Length of one keyword."""
Sign = Literal["", "+", "!"]

_LETTERS = re.compile(f"{LETTER}+")
_TOKEN = re.compile(rf"{LETTER}+|\S")


class Term(NamedTuple):
    """One keyword.

    text: as written in the file
    words: the spellings of its alternatives, folded
    pattern: a regular expression instead of words; "" for none
    """

    text: str
    sign: Sign
    words: tuple[str, ...]
    pattern: str


def fold_article(title: str, text: str) -> str:
    """Title and text with folded characters, on two lines, so that no keyword matches across them."""
    return f"{fold_characters(title)}\n{fold_characters(text)}"


def parse_keyword(text: str) -> Term:
    """Parses a keyword. Raises ValueError, whose message continues a sentence that begins with the keyword."""
    keyword = text.strip()
    if len(keyword) > MAX_CHARS:
        raise ValueError(f"has {len(keyword)} characters; the maximum is {MAX_CHARS}")
    sign: Sign = ""
    if keyword[:1] in ("+", "＋", "!", "！"):
        sign = "+" if keyword[0] in "+＋" else "!"
        keyword = keyword[1:].strip()
    if keyword[:1] in ("/", "／"):
        if len(keyword) < 3 or keyword[-1] not in "/／":
            raise ValueError("starts a regular expression and does not end with /")
        return Term(text, sign, (), _pattern(keyword[1:-1]))
    alternatives = [spellings(word) for word in keyword.replace("｜", "|").split("|")]
    for word, *_ in alternatives:
        if not word:
            raise ValueError("is empty" if len(alternatives) == 1 else "has an empty alternative next to |")
        if word[0] in "+!/":
            raise ValueError(f"{word!r}: a sign must precede the first alternative; regular expressions use their own |")
    return Term(text, sign, tuple(dict.fromkeys(word for forms in alternatives for word in forms)), "")


def _pattern(text: str) -> str:
    """The pattern for folded characters. Characters that folding changes are literals: a full-width bracket opens no group."""
    pattern = "".join(char if char.isascii() and char != "`" else _literal(char) for char in text)
    if (size := steps(pattern)) > MAX_STEPS:
        raise ValueError(f"is a regular expression of {size:,} steps, counting repetitions; the maximum is {MAX_STEPS}")
    try:
        empty = regex_matches(pattern, [""])[0]
    except ValueError as error:
        raise ValueError(f"is not a valid RE2 regular expression: {error}") from error
    if empty:
        raise ValueError("is a regular expression that matches every text")
    return pattern


def _literal(char: str) -> str:
    folded = fold_character(char)
    return char if folded == char else re.escape(folded) if folded else ""


def regex_matches(pattern: str, texts: Sequence[str]) -> list[bool]:
    """Whether each text contains the pattern, ignoring case. Raises ValueError for an invalid pattern."""
    import pyarrow as pa  # imported only for regular expressions
    import pyarrow.compute as pc

    try:
        found: list[bool] = pc.match_substring_regex(pa.array(texts, pa.string()), pattern, ignore_case=True).to_pylist()
    except pa.ArrowInvalid as error:
        raise ValueError(str(error).removeprefix("Invalid regular expression: ")) from error
    return found


class _Word(NamedTuple):
    """A folded word and its tokens. first, last: whether it starts and ends with a letter, and so must match whole words."""

    word: str
    tokens: frozenset[str]
    first: bool
    last: bool

    def occurs_in(self, text: str) -> bool:
        """Whether it occurs in a folded text."""
        start = text.find(self.word)
        while start >= 0:
            end = start + len(self.word)
            if not (self.first and start and _LETTERS.match(text, start - 1)) and not (self.last and _LETTERS.match(text, end)):
                return True
            start = text.find(self.word, start + 1)
        return False


class KeywordFinder:
    """Finds many words and patterns in many texts. Immutable after construction.

    characters folded ─▶ text folded ─▶ its tokens: words and characters ─▶ keywords with these tokens ─▶ keywords that occur as a whole
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        terms = list(terms)
        self._patterns = sorted({term.pattern for term in terms if term.pattern})
        self._by_token: dict[str, list[_Word]] = {}
        for word in sorted({word for term in terms for word in term.words}):
            made = _Word(word, frozenset(_TOKEN.findall(word)), bool(_LETTERS.match(word)), bool(_LETTERS.match(word[-1])))
            self._by_token.setdefault(max(made.tokens, key=lambda token: (len(token), token)), []).append(made)

    def find(self, texts: Sequence[str]) -> list[set[str]]:
        """The `match_keys` of the terms that each text of `fold_article` contains."""
        found = [set(self._words(fold_between(text))) for text in texts]
        for pattern in self._patterns if texts else ():
            for keys, matches in zip(found, regex_matches(pattern, texts), strict=True):
                if matches:
                    keys.add(f"/{pattern}/")
        return found

    def _words(self, text: str) -> Iterator[str]:
        tokens = _tokens(text)
        for token in self._by_token.keys() & tokens:
            for word in self._by_token[token]:
                if (len(token) > 1 and token == word.word) or (tokens >= word.tokens and word.occurs_in(text)):
                    yield word.word


def match_keys(term: Term) -> tuple[str, ...]:
    """What KeywordFinder reports when the term occurs: any of these. No word starts with a slash."""
    return (f"/{term.pattern}/",) if term.pattern else term.words


def occurs(term: Term, found: set[str]) -> bool:
    """Whether a text with these results of KeywordFinder contains the term; the sign is ignored."""
    return not found.isdisjoint(match_keys(term))


def _tokens(folded: str) -> set[str]:
    """All words of scripts with spaces, and all other characters except spaces; may include single letters of words."""
    tokens: set[str] = set()
    for part in set(folded.split()):
        if part.isascii() and part.isalnum():
            tokens.add(part)
        else:
            tokens.update(_LETTERS.findall(part))
            tokens.update(part)
    return tokens
