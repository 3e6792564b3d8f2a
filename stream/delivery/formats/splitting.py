"""How a text that is too long for one message becomes several: nothing is left out, and no character is torn apart. Pure.

    pieces ─▶ packed ─▶ [pieces of message 1] [pieces of message 2] ...

A piece goes whole into a message wherever it can; one that fills a message alone is cut at a blank, else between characters.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_JOINER = "\u200d"
_BREAKS = frozenset(" \n，。；、！？：,;")
"""After these a text is cut rather than elsewhere."""
_LATE = 0.75
"""A blank that comes before this share of a piece is no place to cut: messages would be half empty."""


class Piece(NamedTuple):
    """A paragraph of a message. url: where its words lead; "" when they lead nowhere."""

    text: str
    url: str = ""


Fits = Callable[[Sequence[Piece]], bool]


def packed(pieces: Sequence[Piece], fits: Fits) -> list[list[Piece]]:
    """The pieces in messages of which each fits, in order; at least one message, if only an empty one.

    fits: whether these pieces make one message that its receiver takes. It must be true of fewer where it is true of more.
    """
    done: list[list[Piece]] = []
    current: list[Piece] = []
    for piece in (part for whole in pieces for part in _small(whole, fits)):
        if current and not fits([*current, piece]):
            done.append(current)
            current = []
        current.append(piece)
    return [*done, current] if current or not done else done


def _small(piece: Piece, fits: Fits) -> Iterator[Piece]:
    """The piece, or what it is cut into because it does not fit even alone. A link is then written out."""
    if fits([piece]):
        yield piece
        return
    for text in filter(None, (piece.text, piece.url)):
        yield from (Piece(part) for part in cut(text, lambda part: fits([Piece(part)])))


def cut(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The text in parts of which each fits; joined they are the text. A character that does not fit alone is a part by itself."""
    units = list(characters(text))
    if any(len(unit) > 1 and not fits(unit) for unit in units):
        units = list(text)
    parts: list[str] = []
    start = 0
    while start < len(units):
        end = start + max(_room(units[start:], fits), 1)
        if end < len(units):
            blank = next((at for at in range(end, start, -1) if units[at - 1] in _BREAKS), start)
            end = blank if blank - start >= _LATE * (end - start) else end
        parts.append("".join(units[start:end]))
        start = end
    return parts


def _room(units: Sequence[str], fits: Callable[[str], bool]) -> int:
    """How many of the first characters fit together."""
    return bisect_right(range(1, len(units) + 1), False, key=lambda n: not fits("".join(units[:n])))


def characters(text: str) -> Iterator[str]:
    """What a reader takes for one character each: marks stay with their letter, the parts of an emoji and of a flag together.

    The rules of Unicode's grapheme clusters (UAX 29) that news in Chinese and English meets; a conjoined Hangul syllable may be torn.
    """
    held = ""
    for char in text:
        if held and _belongs(held, char):
            held += char
        else:
            if held:
                yield held
            held = char
    if held:
        yield held


def _belongs(held: str, char: str) -> bool:
    if held[-1] in "\r\n" or char in "\r\n":
        return held[-1] == "\r" and char == "\n"
    if char == _JOINER or unicodedata.category(char) in ("Mn", "Me", "Mc") or "\U0001f3fb" <= char <= "\U0001f3ff":
        return True
    if held[-1] == _JOINER:
        return unicodedata.category(char) == "So"
    return len(held) == 1 and _is_flag_letter(held) and _is_flag_letter(char)


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
