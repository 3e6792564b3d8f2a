"""Find the places of a text where one of many Chinese names may begin, by hashing each two adjacent characters.

A lookup of every place in a dictionary takes most of the time of linking; a table of bits is looked up for all places in one call.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

PAIR = 2
"""A name is found by so many characters."""
BITS = 20
_SHIFT = np.uint32(32 - BITS)
_FACTORS = np.array([2_654_435_769, 2_246_822_519], np.uint32)
"""Odd numbers for multiplicative hashing (Knuth, The Art of Computer Programming, vol. 3, 6.4)."""


class Beginnings:
    """A set of pairs of characters. Some other pairs are found too, about one in two hundred."""

    def __init__(self, pairs: Iterable[str]) -> None:
        self._known = np.zeros(1 << BITS, np.bool_)
        for pair in pairs:
            self._known[_hashes(pair)] = True

    def find(self, text: str) -> list[int]:
        """The places of `text` where a name may begin, in order."""
        if len(text) < PAIR:
            return []
        places: list[int] = self._known[_hashes(text)].nonzero()[0].tolist()
        return places


def _hashes(text: str) -> npt.NDArray[np.uint32]:
    """Hashes of each two adjacent characters."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = codes[:-1] * _FACTORS[0]
    hashes += codes[1:] * _FACTORS[1]
    shifted: npt.NDArray[np.uint32] = hashes >> _SHIFT
    return shifted
