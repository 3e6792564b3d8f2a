"""Word boundaries of Chinese texts, which have no spaces: is a name a word where it stands, or a part of other words?

    中国航天 = 中国 + 航天, so "国航" is no word in it;  国航增班 = 国航 + 增班

A name is a word unless a dictionary word crosses one of its ends and the best segmentation with the name costs more than the best one
without it. Costs are negative log probabilities of words (Sproat et al. 1996, A stochastic finite-state word-segmentation algorithm for
Chinese). words.txt.gz holds the words: see docs/decisions.md for their origin.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources

MAX_WORD = 4
"""Length of the longest words that are looked up."""
MARGIN = 4
"""Characters on each side of a name that are segmented with it."""
UNKNOWN = 125
"""Cost of a character that is not a word in the dictionary."""
_NAME_COST = {2: 100, 3: 100}
"""Cost of a name by its length; longer names are rarely a chance meeting of other words."""
_LONG_NAME_COST = 90


@cache
def word_costs() -> Mapping[str, int]:
    """The words of the shipped dictionary, with their costs: 7 for a factor of e in frequency."""
    packed = resources.files("ingest.companies").joinpath("words.txt.gz").read_bytes()
    found: dict[str, int] = {}
    for line in gzip.decompress(packed).decode("utf8").splitlines():
        cost, _, words = line.partition("\t")
        found.update(dict.fromkeys(words.split(" "), int(cost)))
    return found


def is_word(text: str, start: int, end: int) -> bool:
    """Whether the Chinese name at [start, end) of `text`, in simplified characters, is a word there."""
    first, last = start, end
    while first > 0 and first > start - MARGIN and _is_chinese(text[first - 1]):
        first -= 1
    while last < len(text) and last < end + MARGIN and _is_chinese(text[last]):
        last += 1
    return True if first == start and last == end else _is_word(text[first:last], start - first, end - first)


@lru_cache(maxsize=4096)
def _is_word(text: str, start: int, end: int) -> bool:
    """`is_word` in a text without other characters than those around the name."""
    words = word_costs()
    if not (_crossed(words, text, start) or _crossed(words, text, end)):
        return True
    cost = min(_NAME_COST.get(end - start, _LONG_NAME_COST), words.get(text[start:end], UNKNOWN))
    with_name = _best(words, text[:start]) + cost + _best(words, text[end:])
    return with_name <= _best(words, text)


def _is_chinese(char: str) -> bool:
    return "\u4e00" <= char <= "\u9fff"


def _crossed(words: Mapping[str, int], text: str, place: int) -> bool:
    """Whether a word begins before `place` and ends after it."""
    for begin in range(max(0, place - MAX_WORD + 1), place):
        for stop in range(place + 1, min(len(text), begin + MAX_WORD) + 1):
            if text[begin:stop] in words:
                return True
    return False


def _best(words: Mapping[str, int], text: str) -> int:
    """The cost of the best segmentation of `text`."""
    costs = [0]
    for stop in range(1, len(text) + 1):
        best = costs[stop - 1] + words.get(text[stop - 1], UNKNOWN)
        for length in range(2, min(MAX_WORD, stop) + 1):
            word = words.get(text[stop - length : stop])
            if word is not None and costs[stop - length] + word < best:
                best = costs[stop - length] + word
        costs.append(best)
    return costs[-1]
