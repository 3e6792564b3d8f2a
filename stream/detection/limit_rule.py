"""An analyst's own rules: a figure of a series against a number that was chosen for it. Pure: no clock, no store.

    stories of a series ─▶ a window that ends with a minute in which one was told ─▶ its figure ─▶ beyond the limit?
        ─▶ in no episode that rang already? ─▶ from sources enough? ─▶ ALERT

The same functions serve the stream (stream/detection/limit_evaluator.py) and a replay (stream/detection/replay.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import numpy as np

from core.records import Alert, Score, Severity, alert_id
from core.series import facts, is_negative
from domain.alert_lifecycle.silences import matches
from stats.minute_counts import MINUTE_S, FloatArray, IntArray, Tally
from storage.store import Rung
from storage.timestamps import from_epoch
from stream.detection.detector import Rings

Kind = Literal["negative_share", "mean_tone", "volume", "risk_event"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """When a figure rings.

    kind: what is looked at in a window: the share of negative stories, the mean tone, the number of stories, or a story of a risk event
        that is negative towards the series
    limit: a share rings over it, a tone below it, a number of stories and the probability of an event from it on
    series: patterns of the series that it is about; window_s: whole minutes
    cooldown_s: from the end of a window that rang, its series stays quiet this long
    min_stories: distinct stories that the window must have, of an event those that tell of it
    min_sources: distinct sources of them, of `negative_share` of the negative ones
    events: the risk events that count, none: all
    """

    name: str
    kind: Kind
    limit: float
    series: tuple[str, ...] = ()
    window_s: int = 3600
    severity: Severity = "info"
    cooldown_s: float = 4 * 3600
    min_stories: int = 1
    min_sources: int = 1
    events: tuple[str, ...] = ()
    paused: bool = False

    def about(self, series: str) -> bool:
        """Whether it looks at this series."""
        return matches(self.series, series)


class RiskStory(NamedTuple):
    """An article that tells of risk events and is negative towards a series.

    at: when it was published, seconds since 1970; first: whether it is the first of its story; risks: (event, probability)
    """

    at: int
    id: str
    source: str
    first: bool
    risks: tuple[tuple[str, float], ...]


class Told(NamedTuple):
    """What was told of one series. risks: oldest first"""

    tally: Tally
    risks: Sequence[RiskStory] = ()


class Ground(Protocol):
    """What is known of a series beyond that: storage.store.Mentions."""

    def tellers(self, series: str, since: datetime, until: datetime, *, negative: bool) -> int:
        """Distinct sources of what was told of it in [since, until), perhaps of negative articles only."""


class _Seen(NamedTuple):
    value: float
    event: str
    sources: int | None


def risk_stories(scores: Iterable[Score]) -> dict[str, list[RiskStory]]:
    """Series to the articles among these that tell of a risk event and are negative towards it, oldest first."""
    found: dict[str, set[RiskStory]] = {}
    for score in scores:
        risks = tuple((key, round(p, 4)) for key, p in sorted(score.risks.items()))
        story = RiskStory(int(score.published_at.timestamp()), score.id, score.source, score.id == score.story, risks)
        for series, *p in facts(score):
            if risks and is_negative(*p):
                found.setdefault(series, set()).add(story)
    return {series: sorted(own) for series, own in found.items()}


def moments(rule: Threshold, told: Told, since: int, until: int) -> list[int]:
    """The ends of those minutes that begin in [since, until), and have something new, at which the rule holds, ascending."""
    if rule.kind == "risk_event":
        new = {story.at // MINUTE_S * MINUTE_S for story in told.risks if story.first}
        ends = sorted(at + MINUTE_S for at in new if since <= at < until)
        return [end for end in ends if _event(rule, told, end - rule.window_s, end)]
    ends = told.tally.told(since, until)
    at = np.asarray(ends, np.int64)
    holds = _beyond(rule, _figures(rule, told.tally, at - rule.window_s, at))
    return [end for end, held in zip(ends, holds, strict=True) if held]


def ring(
    rule: Threshold, series: str, told: Told, ends: Sequence[int], last: Rung | None, ground: Ground, now: datetime | None = None
) -> Rings:
    """What rings at these moments, at which the rule holds. What rang once is not counted in another alert.

    last: what the series rang last by this rule; now: when that is noticed, None: at each moment itself. Raises what the ground raises.
    """
    rings = Rings([], set(), {})
    for end in ends:
        start = end - rule.window_s if last is None else max(end - rule.window_s, last.end)
        quiet = last is not None and end < last.end + rule.cooldown_s
        alert = None if quiet else _alert(rule, series, told, start, end, ground, now)
        if alert is not None:
            last = Rung(alert.id, end)
            rings.fresh.append(alert)
        elif last is not None and (quiet or start > end - rule.window_s):
            rings.going_on.add(last.id)
    return rings


def _alert(rule: Threshold, series: str, told: Told, start: int, end: int, ground: Ground, now: datetime | None) -> Alert | None:
    """The alert of the window [start, end), without evidence; None when it is nothing to ring for."""
    seen = _seen(rule, told, start, end)
    if seen is None:
        return None
    begin, stop = from_epoch(start), from_epoch(end)
    sources = seen.sources
    if sources is None:
        sources = ground.tellers(series, begin, stop, negative=rule.kind == "negative_share")
    if sources < rule.min_sources:
        return None
    return Alert(
        id=alert_id(rule.name, series, begin),
        rule=rule.name,
        series=series,
        window_start=begin,
        window_s=end - start,
        detected_at=now or stop,
        severity=rule.severity,
        observed=int(told.tally.count(start, end)),
        expected=0.0,
        surprise=0.0,
        total=int(told.tally.count_all(start, end)),
        sources=sources,
        measure=rule.kind,
        value=seen.value,
        limit=rule.limit,
        event=seen.event,
    )


def _seen(rule: Threshold, told: Told, start: int, end: int) -> _Seen | None:
    """What is beyond the limit in [start, end); None: nothing is."""
    if start >= end:
        return None
    if rule.kind == "risk_event":
        return _event(rule, told, start, end)
    figures = _figures(rule, told.tally, np.array([start]), np.array([end]))
    return _Seen(float(figures[0]), "", None) if _beyond(rule, figures)[0] else None


def _figures(rule: Threshold, tally: Tally, starts: IntArray, ends: IntArray) -> FloatArray:
    """What the rule looks at in each [start, end); not a number where there are too few stories."""
    total = tally.count_all(starts, ends)
    if rule.kind == "volume":
        return total.astype(np.float64)
    sums = tally.count(starts, ends) if rule.kind == "negative_share" else tally.tones(starts, ends) / 10_000
    found: FloatArray = np.where(total >= max(1, rule.min_stories), np.round(sums / np.maximum(total, 1), 4), np.nan)
    return found


def _beyond(rule: Threshold, figures: FloatArray) -> list[bool]:
    if rule.kind == "volume":
        return (figures >= rule.limit).tolist()  # type: ignore[no-any-return]
    return (figures < rule.limit if rule.kind == "mean_tone" else figures > rule.limit).tolist()  # type: ignore[no-any-return]


def _event(rule: Threshold, told: Told, start: int, end: int) -> _Seen | None:
    """The likeliest event that rings in [start, end); None: none does. Copies speak for a source, not for a story."""
    inside = [(story, best) for story in told.risks if start <= story.at < end and (best := _best(rule, story)) is not None]
    firsts = [best for story, best in inside if story.first]
    if len(firsts) < max(1, rule.min_stories):
        return None
    value, event = max(firsts)
    return _Seen(value, event, len({story.source for story, _ in inside}))


def _best(rule: Threshold, story: RiskStory) -> tuple[float, str] | None:
    return max(((p, key) for key, p in story.risks if p >= rule.limit and (not rule.events or key in rule.events)), default=None)
