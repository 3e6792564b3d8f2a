"""Was an alert right? What people said of it, and how many of those that were judged were of use. Pure.

    right   of use: it rang for something, and in time
    false   a false alarm
    late    it rang for something that everybody knew by then

Precision is the share of alerts that were of use among those that were judged: one that comes too late helps nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Literal, NamedTuple, get_args

from domain.alert_lifecycle import AlertEvent
from domain.alert_lifecycle.events import EventKind

Verdict = Literal["right", "false", "late"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
KINDS: Mapping[Verdict, EventKind] = {"right": "judged_right", "false": "judged_false", "late": "judged_late"}
OF_KIND: Mapping[str, Verdict] = {kind: verdict for verdict, kind in KINDS.items()}
Z_95 = 1.959964
"""Of a normal distribution, 95 in 100 lie within so many standard deviations."""


class Interval(NamedTuple):
    """A share with its bounds, each in [0, 1]."""

    share: float
    low: float
    high: float


class Judged(NamedTuple):
    """How many alerts of a kind there were, and how many people called right, false and late."""

    alerts: int
    right: int = 0
    false: int = 0
    late: int = 0

    @property
    def judged(self) -> int:
        """How many were judged at all."""
        return self.right + self.false + self.late

    @property
    def precision(self) -> Interval | None:
        """The share that was of use, with its interval; None: none was judged."""
        return wilson(self.right, self.judged) if self.judged else None


def last_words(events: Iterable[AlertEvent]) -> list[AlertEvent]:
    """The last judgement of each person, among the events of one alert, oldest first."""
    last: dict[str, AlertEvent] = {}
    for each in sorted(events, key=lambda each: (each.at, each.id)):
        if each.kind in OF_KIND:
            last.pop(each.who, None)
            last[each.who] = each
    return list(last.values())


def verdict_of(events: Iterable[AlertEvent]) -> Verdict | None:
    """What most people say of one alert; of as many, what was said last. None: nobody judged it."""
    words = [OF_KIND[each.kind] for each in last_words(events)]
    if not words:
        return None
    counts = Counter(words)
    most = max(counts.values())
    return next(word for word in reversed(words) if counts[word] == most)


def tally(alerts: Mapping[str, int], verdicts: Iterable[tuple[str, Verdict]]) -> dict[str, Judged]:
    """By group: how many of its alerts were judged, and how. alerts: how many each group has; verdicts: (group, verdict) of one alert."""
    said = Counter(verdicts)
    return {group: Judged(n, *(said[group, verdict] for verdict in VERDICTS)) for group, n in alerts.items()}


def wilson(hits: int, n: int, z: float = Z_95) -> Interval:
    """The share hits / n with its score interval, 95 % by default; n is 1 or more.

    Source: Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22.
    """
    share, square = hits / n, z * z
    centre = share + square / (2 * n)
    half = z * sqrt(share * (1 - share) / n + square / (4 * n * n))
    # of all and of none the bound is known: rounding must not move it
    low = 0.0 if hits == 0 else (centre - half) / (1 + square / n)
    high = 1.0 if hits == n else (centre + half) / (1 + square / n)
    return Interval(share, low, high)
