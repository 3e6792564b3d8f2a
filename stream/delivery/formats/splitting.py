"""Splits text over messages of limited size. Nothing is left out, and no character is cut in two. Pure.

    paragraphs ─▶ pack ─▶ [paragraphs of message 1] [paragraphs of message 2] ...

A paragraph stays whole where possible; one that does not fit into a message alone is cut at a space, or else between characters.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_JOINER = "\u200d"
_BREAKS = frozenset(" \n，。；、！？：,;")
"""Preferred characters to cut after."""
_MIN_FILL = 0.75
"""A break before this share of the available length is not used: messages would be half empty."""


class Paragraph(NamedTuple):
    """A paragraph of a message. url: target of the link; "" for plain text."""

    text: str
    url: str = ""


Fits = Callable[[Sequence[Paragraph]], bool]


def pack(paragraphs: Sequence[Paragraph], fits: Fits) -> list[list[Paragraph]]:
    """Distributes the paragraphs over messages, in order.

    Args:
        paragraphs: the content.
        fits: whether these paragraphs fit into one message; must hold for fewer where it holds for more.

    Returns:
        The paragraphs of each message; at least one message, possibly empty.
    """
    done: list[list[Paragraph]] = []
    current: list[Paragraph] = []
    for paragraph in (part for whole in paragraphs for part in _fitting(whole, fits)):
        if current and not fits([*current, paragraph]):
            done.append(current)
            current = []
        current.append(paragraph)
    return [*done, current] if current or not done else done


def _fitting(paragraph: Paragraph, fits: Fits) -> Iterator[Paragraph]:
    """The paragraph, or its parts where it does not fit alone; the URL of a link then follows as text."""
    if fits([paragraph]):
        yield paragraph
        return
    for text in filter(None, (paragraph.text, paragraph.url)):
        yield from (Paragraph(part) for part in split_text(text, lambda part: fits([Paragraph(part)])))


def split_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Splits a text into parts that fit; joined, they are the text. A character that does not fit alone is a part of its own."""
    units = list(graphemes(text))
    if any(len(unit) > 1 and not fits(unit) for unit in units):
        units = list(text)
    parts: list[str] = []
    start = 0
    while start < len(units):
        end = start + max(_fitting_count(units[start:], fits), 1)
        if end < len(units):
            blank = next((at for at in range(end, start, -1) if units[at - 1] in _BREAKS), start)
            end = blank if blank - start >= _MIN_FILL * (end - start) else end
        parts.append("".join(units[start:end]))
        start = end
    return parts


def _fitting_count(units: Sequence[str], fits: Callable[[str], bool]) -> int:
    """How many of the first units fit together."""
    return bisect_right(range(1, len(units) + 1), False, key=lambda n: not fits("".join(units[:n])))


def graphemes(text: str) -> Iterator[str]:
    """Grapheme clusters: a letter with its combining marks, the parts of an emoji, the two letters of a flag.

    Implements the rules of UAX 29 that matter for Chinese and English news; a decomposed Hangul syllable may be split.
    """
    cluster = ""
    for char in text:
        if cluster and _extends(cluster, char):
            cluster += char
        else:
            if cluster:
                yield cluster
            cluster = char
    if cluster:
        yield cluster


def _extends(cluster: str, char: str) -> bool:
    if cluster[-1] in "\r\n" or char in "\r\n":
        return cluster[-1] == "\r" and char == "\n"
    if char == _JOINER or unicodedata.category(char) in ("Mn", "Me", "Mc") or "\U0001f3fb" <= char <= "\U0001f3ff":
        return True
    if cluster[-1] == _JOINER:
        return unicodedata.category(char) == "So"
    return len(cluster) == 1 and _is_flag_letter(cluster) and _is_flag_letter(char)


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
