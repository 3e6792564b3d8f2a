"""What a regular expression of a watchlist costs: the size of its program, before it is compiled, and measured time. Pure.

RE2 takes at most a time proportional to the length of the text times the size of the program: 25 ns per character and step on the worst
text, 0.1 s for an article of 20,000 characters and a pattern of MAX_STEPS. On ordinary text it takes a thousandth of that.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence

from core.records import MAX_TEXT_CHARS

MAX_PATTERNS = 100
"""Most regular expressions of all watchlists together."""
MAX_STEPS, MAX_ALL_STEPS = 200, 2_000
"""Largest program of one pattern, and of all together; a step is about one character, with repetitions written out."""
MAX_COST_S = 0.3
"""Longest time for one article of the greatest length and all patterns together."""

_UNICODE_CLASS_STEPS = 20
"""A class such as \\p{Han} compiles to hundreds of ranges."""
_MOST = 10**9
_REPEAT = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_ESCAPE = re.compile(r"\\(?:[pP](?:\{[^}]*\}|.)|x\{[^}]*\}|x..|[0-7]{1,3}|.)", re.DOTALL)
_GROUP = re.compile(r"\(\?(?:P?<[^>]*>|[A-Za-z-]*:)")
_FLAGS = re.compile(r"\(\?[A-Za-z-]*\)")
_CLASS = re.compile(r"\[\^?\]?(?:\\[pP]\{[^}]*\}|\\.|\[:\^?\w*:\]|[^\]\\])*\]?", re.DOTALL)
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|\Z)", re.DOTALL)


def steps(pattern: str) -> int:
    """The size of a pattern's program in steps; also a number for what is no valid pattern. Linear in time."""
    finished, last = [0], [0]  # steps of each open group, and of its last atom, which a repetition multiplies
    place = 0
    while place < len(pattern):
        char = pattern[place]
        atom, end = 1, place + 1
        if char == "(":
            header = _FLAGS.match(pattern, place) or _GROUP.match(pattern, place)
            place = header.end() if header else end
            if not (header and header[0].endswith(")")):
                finished.append(0)
                last.append(0)
            continue
        if char == ")" and len(finished) > 1:
            atom = finished.pop() + last.pop() + 1
        elif char == "\\":
            if quoted := _QUOTED.match(pattern, place):
                atom, end = len(quoted[1]), quoted.end()
            elif escape := _ESCAPE.match(pattern, place):
                atom, end = _UNICODE_CLASS_STEPS if escape[0][1] in "pP" else 1, escape.end()
        elif char == "[" and (found := _CLASS.match(pattern, place)):
            unicode_classes = len(re.findall(r"\\[pP]", found[0]))
            atom, end = 1 + len(found[0]) // 4 + unicode_classes * _UNICODE_CLASS_STEPS, found.end()
        elif char in "*+?":
            last[-1] += 1
            place = end
            continue
        elif char == "{" and (repeat := _REPEAT.match(pattern, place)):
            least, most = int(repeat[1]), int(repeat[3] or 0)
            last[-1] = min(last[-1] * max(least + (repeat[2] == ","), most, 1), _MOST)
            place = repeat.end()
            continue
        finished[-1] = min(finished[-1] + last[-1], _MOST)
        last[-1] = atom
        place = end
    return min(sum(finished) + sum(last), _MOST)


def too_large(patterns: Sequence[str]) -> str:
    """Why all patterns together are too many or too large, as a clause; "" if they are not."""
    if len(patterns) > MAX_PATTERNS:
        return f"there are {len(patterns)} regular expressions; the limit for all watchlists together is {MAX_PATTERNS}"
    together = sum(map(steps, patterns))
    if together > MAX_ALL_STEPS:
        return f"the regular expressions have {together:,} steps; the limit for all watchlists together is {MAX_ALL_STEPS:,}"
    return ""


def measured_cost_s(patterns: Sequence[str], matches: Callable[[str, Sequence[str]], object]) -> float:
    """Processor time for one article of the greatest length with all patterns, on the texts that suit each of them least.

    Args:
        patterns: regular expressions within the limits.
        matches: searches texts for a pattern.
    """
    total = 0.0
    for pattern in patterns:
        own = "".join(char for char in pattern if char.isalnum()) or "a"
        almost = own.replace(own[-1], "")  # never matches as a whole, so that no search ends early
        texts = [_repeated(own), _repeated(own[0] + "的"), _shuffled(own + "的 a,"), _shuffled(almost + "的,")]
        matches(pattern, texts[:1])  # what is imported and cached does not count
        slowest = 0.0
        for text in texts:
            began = time.thread_time()
            matches(pattern, [text])
            slowest = max(slowest, time.thread_time() - began)
        total += slowest
    return total


def _shuffled(chars: str) -> str:
    return "".join(random.Random(13).choices(chars, k=MAX_TEXT_CHARS))  # noqa: S311 -- a text, no secret


def _repeated(part: str) -> str:
    return (part * (MAX_TEXT_CHARS // len(part) + 1))[:MAX_TEXT_CHARS]
