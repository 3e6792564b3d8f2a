"""MinHash LSH bands of an article: two articles that share a band may be copies, which ingest.text.copies decides.

    lead of the text ─▶ words, numbers, Han characters ─▶ shingles, and each number several times ─▶ MinHash (64) ─▶ 21 bands of 3
    headline         ─▶ its words ──────────────────────────────────────────────────────────────────────────────▶ 1 band

Only the lead counts: copies are cut at different lengths, but begin alike. Numbers count more than words: "gold rises above
4,510" and "gold rises above 4,280" are one template and two stories, so the candidates that share most bands are the right ones.

The sketch is datasketch's MinHash("affine32"), value for value, without its import of two seconds (it loads scipy); a test
holds the two together.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, TypeAlias

import numpy as np

from core.records import hash63
from ingest.text.copies import headline_key

PERMUTATIONS = 64
ROWS = 3
BANDS = PERMUTATIONS // ROWS
SHINGLE_HAN = 5
SHINGLE_WORDS = 3
"""Tokens per shingle: five Han characters carry about as much as three English words."""

NUMBER_WEIGHTS = (0, 1, 2, 4)
"""Weight of a number by its digits; the last weight applies to longer ones. Many stories share "2%", few "1241.87"."""

MIN_TOKENS = 8
"""Texts with fewer tokens have only the band of their headline."""

LEAD_TOKENS = 64

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[a-z\u00c0-\u024f\u0370-\u052f]+|[^\W\d_]")
_HEADLINE = re.compile(r"^\s*【[^】]{0,200}】")
_DATELINE = re.compile(
    r"^\s*(?:[（(][^）)]{0,30}[）)]\s*)?(?:[\w·]{2,12}?\s*\d{1,2}月\d{1,2}日(?:电|讯|消息)?\s*[，,：:|｜丨]|[^\s，。,.:：]{2,12}(?:电|讯|获悉)\s*[，,：:]"
    r"|[A-Z][A-Za-z .,/]{1,40}\s*\((?:Reuters|AP|AFP|Bloomberg|Xinhua|Dow Jones|PRNewswire|BUSINESS WIRE)\)\s*[-–—]+)"
)
_DATE_UNITS = frozenset("年月日时")
_DIGITS = frozenset("0123456789")
_STEPS = tuple(0x9E3779B1 * copy for copy in range(1, max(NUMBER_WEIGHTS) + 1))

U32: TypeAlias = np.ndarray[Any, np.dtype[np.uint32]]

_SEED = np.random.RandomState(1)  # the numpy generator whose stream is frozen
_FACTORS: U32 = _SEED.randint(0, 1 << 31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)  # odd: a bijection modulo 2**32
_OFFSETS: U32 = _SEED.randint(0, 1 << 32, PERMUTATIONS, dtype=np.uint32)
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SALT = np.arange(1, BANDS + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
"""Makes values of different bands distinct, so that band 3 of one article never equals band 5 of another."""


class _Codes(dict[str, int]):
    """Cache of 32-bit hashes of tokens."""

    def __missing__(self, token: str) -> int:
        if len(self) > 200_000:
            self.clear()
        code = self[token] = zlib.crc32(token.encode("utf-8", "surrogatepass"))
        return code


_code = _Codes().__getitem__


def lsh_bands(title: str, text: str) -> tuple[int, ...]:
    """LSH bands of an article: 21 numbers of 63 bits and one of its headline; fewer if the text or the headline is too short.

    Computed from the text, as copies often have another headline; the title is only used if there is hardly any text.
    """
    body = without_frame(text)
    headline = headline_key(title, body)
    own = (hash63(headline),) if headline else ()
    tokens = _tokens(body)
    if len(tokens) < 2 * MIN_TOKENS:
        tokens = _tokens(f"{title} {body}" if title and title not in text else text or title)
    if len(tokens) < MIN_TOKENS:
        return own
    values = sketch(_shingles(tokens))
    pairs = values[: BANDS * ROWS].astype(np.uint64).reshape(BANDS, ROWS)  # one band a row
    mixed = _SALT.copy()
    for column in range(ROWS):
        mixed = (mixed ^ pairs[:, column]) * _PRIME
        mixed ^= mixed >> np.uint64(29)
    return (*(mixed >> np.uint64(1)).tolist(), *own)


def without_frame(text: str) -> str:
    """The text without a leading headline in 【】 and an agency's dateline."""
    text = _HEADLINE.sub("", text, count=1)
    return _DATELINE.sub("", text, count=1)


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text[: LEAD_TOKENS * 10].lower())[:LEAD_TOKENS]


def _shingles(tokens: list[str]) -> U32:
    """Hashes of the shingles, and of each number outside dates, repeated by NUMBER_WEIGHTS. Shape (n,)."""
    size = SHINGLE_HAN if sum(map(len, tokens)) < 2 * len(tokens) else SHINGLE_WORDS  # single-character tokens: Chinese
    codes = np.array(list(map(_code, tokens)), dtype=np.uint32)
    runs = len(tokens) - size + 1
    mixed = codes[:runs]
    for place in range(1, size):
        mixed = mixed * np.uint32(0x01000193) + codes[place : place + runs]  # wraps modulo 2**32
    last = len(tokens) - 1
    places = [place for place, token in enumerate(tokens) if token[0] in _DIGITS]
    numbers = {tokens[place] for place in places if place == last or tokens[place + 1] not in _DATE_UNITS}
    weighted = [(_code(f"#{number}") + step) & 0xFFFFFFFF for number in numbers for step in _STEPS[: _weight(number)]]
    return np.concatenate([mixed, np.array(weighted, dtype=np.uint32)]) if weighted else mixed


def _weight(number: str) -> int:
    digits = sum(char.isdigit() for char in number)
    return NUMBER_WEIGHTS[min(digits, len(NUMBER_WEIGHTS) - 1)]


def sketch(shingles: U32) -> U32:
    """MinHash values of a set of hashes. Shape (PERMUTATIONS,)."""
    hashes = shingles ^ (shingles >> np.uint32(16))  # the MurmurHash3 finalizer, which spreads weak hashes
    hashes = hashes * np.uint32(0x85EBCA6B)
    hashes = hashes ^ (hashes >> np.uint32(13))
    hashes = hashes * np.uint32(0xC2B2AE35)
    hashes = hashes ^ (hashes >> np.uint32(16))
    permuted = hashes[:, None] * _FACTORS + _OFFSETS  # (n, PERMUTATIONS), modulo 2**32
    lowest: U32 = permuted.min(axis=0)
    return lowest
