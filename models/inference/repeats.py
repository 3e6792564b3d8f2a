"""Boilerplate learned from repetition: the starts and ends that a source adds to many of its texts.

    texts of one source ─▶ digits as 0 ─▶ count starts and ends up to a mark ─▶ those in more than MIN_SHARE of the texts

A start shared by many different texts ("某社0月0日电，") names their publisher rather than what happened. It must end at a punctuation mark
or a space, and what follows it must differ between texts; otherwise the texts themselves are copies.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

MIN_SHARE = 0.05
MIN_TEXTS = 40
"""Minimum distinct texts of a source for learning its repeats."""
MIN_COUNT = 20
MAX_CHARACTERS = 80
"""Maximum length of a repeat; a longer one is a text that was published many times."""
MIN_LETTERS = 3
MIN_LETTERS_UNMARKED = 20
"""Minimum letters of an end that does not start with a bracket or a dash."""
MIN_DISTINCT = 0.8
"""Minimum share of distinct texts beside a repeat."""

_DIGITS = re.compile(r"\d+")
_MARK = re.compile(r"[，,。.:：;；|丨｜\-–—!！?？)）】\]\s]")
_LETTER = re.compile(r"[^\W\d_]")
_OPENING = re.compile(r"[(（【\[|丨｜\-–—©]")


@dataclass(frozen=True, slots=True)
class Repeats:
    """Repeated starts and ends of a source's texts, with digits as 0, longest first."""

    starts: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    def lengths(self, text: str) -> tuple[int, int]:
        """The number of characters of a repeated start and of a repeated end in `text`."""
        return _length(text, self.starts, at_end=False), _length(text, self.ends, at_end=True)


NO_REPEATS = Repeats()


def learn_repeats(rows: Iterable[tuple[str, str]]) -> dict[str, Repeats]:
    """Source -> its repeats, from rows of a source and a text. Sources without repeats are omitted."""
    texts: defaultdict[str, set[str]] = defaultdict(set)
    for source, text in rows:
        if text.strip():
            texts[source].add(text.strip())
    found = {}
    for source, each in texts.items():
        if len(each) >= MIN_TEXTS:
            repeats = Repeats(_repeated(each, at_end=False), _repeated(each, at_end=True))
            if repeats != NO_REPEATS:
                found[source] = repeats
    return found


def _masked(text: str) -> str:
    """`text` with each number as 0."""
    return _DIGITS.sub("0", text)


def _repeated(texts: Iterable[str], *, at_end: bool) -> tuple[str, ...]:
    """The starts, or the ends, that repeat in texts of one source."""
    counts: Counter[str] = Counter()
    beside: defaultdict[str, set[str]] = defaultdict(set)
    total = 0
    for text in texts:
        total += 1
        masked = _masked(text)
        for part, rest in _parts(masked, at_end=at_end):
            counts[part] += 1
            beside[part].add(rest[-12:] if at_end else rest[:12])
    enough = max(MIN_COUNT, MIN_SHARE * total)
    kept = [part for part, count in counts.items() if count >= enough and len(beside[part]) >= MIN_DISTINCT * count]
    return tuple(sorted(kept, key=lambda part: (-len(part), part)))


def _parts(masked: str, *, at_end: bool) -> list[tuple[str, str]]:
    """The possible starts, or ends, of a text with masked digits, each with the rest of the text."""
    found = []
    places = [match.end() for match in _MARK.finditer(masked)]
    if at_end:
        places = [*(place for place in places if len(masked) - place <= MAX_CHARACTERS), *(m.start() for m in _OPENING.finditer(masked))]
    for place in set(places):
        part, rest = (masked[place:], masked[:place]) if at_end else (masked[:place], masked[place:])
        if len(part) <= MAX_CHARACTERS and rest.strip() and _may_name_publisher(part, at_end=at_end):
            found.append((part, rest))
    return found


def _may_name_publisher(part: str, *, at_end: bool) -> bool:
    """Whether a start, or an end, may name a publisher: it has enough letters, and a mark separates it from the text."""
    letters = len(_LETTER.findall(part))
    if letters < MIN_LETTERS or part[0] in "$#@":
        return False
    if at_end:
        return bool(_OPENING.match(part)) or (letters >= MIN_LETTERS_UNMARKED and " " in part.strip())
    return not part[-1].isspace() or bool(_MARK.match(part.rstrip()[-1:]))


def _length(text: str, known: tuple[str, ...], *, at_end: bool) -> int:
    """The number of characters of `text` that the longest matching one of `known` covers."""
    for part in known:
        pattern = _DIGITS.sub(r"\\d+", re.escape(part))
        match = re.search(f"{pattern}$" if at_end else f"^{pattern}", text)
        if match is not None:
            return match.end() - match.start()
    return 0
