"""Limit rules: a figure of a series compared with a fixed limit that an analyst chose. Pure: no clock, no store.

    stories of a series ─▶ a window that ends with a minute that has a story ─▶ its figure ─▶ beyond the limit?
        ─▶ after the cooldown of the last alert? ─▶ enough sources? ─▶ Alert

The same functions serve the worker (stream/detection/limit_evaluator.py) and replays (stream/detection/replay.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import numpy as np

from core.records import MIN_MATERIALITY, Alert, Score, Severity, alert_id
from core.series import facts, is_negative
from domain.alert_lifecycle.silences import matches
from stats.minute_counts import MINUTE_S, FloatArray, IntArray, StoryCounts
from storage.store import LastAlert
from storage.timestamps import from_epoch
from stream.detection.detector import Detections

LimitKind = Literal["negative_share", "mean_tone", "volume", "risk_event"]


@dataclass(frozen=True, slots=True)
class LimitRule:
    """When a figure raises an alert.

    Attributes:
        name: Name of the rule.
        kind: The figure of a window: the share of negative stories, the mean tone, the number of stories, or the probability of a risk
            event in a story that is negative towards the series.
        limit: A share raises an alert above it, a tone below it, a number of stories and a probability from it on.
        series: Patterns of the series that are followed; all where it is empty.
        window_s: Width of the window in seconds, whole minutes.
        severity: Severity of the alerts.
        cooldown_s: From the end of the window of an alert, its series raises no other alert for this long.
        min_stories: Distinct stories that the window needs; of a risk event, stories about it.
        min_materiality: P(level >= 2) from which an article counts; one without the prediction counts.
        min_sources: Distinct sources that the window needs; of `negative_share`, sources of negative stories.
        events: Risk events that count; all where it is empty.
        paused: Whether the rule is off.
    """

    name: str
    kind: LimitKind
    limit: float
    series: tuple[str, ...] = ()
    window_s: int = 3600
    severity: Severity = "info"
    cooldown_s: float = 4 * 3600
    min_stories: int = 1
    min_sources: int = 1
    min_materiality: float = MIN_MATERIALITY
    events: tuple[str, ...] = ()
    paused: bool = False

    def follows(self, series: str) -> bool:
        """Whether the rule is about this series."""
        return matches(self.series, series)


class RiskArticle(NamedTuple):
    """An article about risk events that is negative towards a series.

    Attributes:
        at: When it was published, seconds since 1970.
        id: Id of the article.
        source: Its source.
        first: Whether it is the first of its story.
        materiality: Its materiality; None without the prediction.
        risks: (event, probability)
    """

    at: int
    id: str
    source: str
    first: bool
    risks: tuple[tuple[str, float], ...]
    materiality: float | None = None


class SeriesData(NamedTuple):
    """Stories of one series. risks: its articles about risk events, oldest first"""

    counts: StoryCounts
    risks: Sequence[RiskArticle] = ()


class SourceCounter(Protocol):
    """Where sources are counted: storage.store.Mentions, or memory."""

    def source_count(self, series: str, since: datetime, until: datetime, *, negative: bool) -> int:
        """Distinct sources of the articles of `series` in [since, until); negative: of negative articles only."""


class _Breach(NamedTuple):
    """A figure beyond the limit. sources: None where they are not counted yet"""

    value: float
    event: str
    sources: int | None


def risk_articles(scores: Iterable[Score]) -> dict[str, list[RiskArticle]]:
    """By series, the articles about risk events that are negative towards it, oldest first."""
    found: dict[str, set[RiskArticle]] = {}
    for score in scores:
        if not score.counts:
            continue
        risks = tuple((key, round(p, 4)) for key, p in sorted(score.risks.items()))
        relevant = score.materiality.p_relevant if score.materiality else None
        article = RiskArticle(int(score.published_at.timestamp()), score.id, score.source, score.id == score.story, risks, relevant)
        for series, *p in facts(score):
            if risks and is_negative(*p):
                found.setdefault(series, set()).add(article)
    return {series: sorted(own) for series, own in found.items()}


def breach_ends(rule: LimitRule, data: SeriesData, since: int, until: int) -> list[int]:
    """Ends of the minutes with new stories at which the window is beyond the limit, ascending.

    Args:
        rule: The rule.
        data: Stories of the series.
        since, until: The minutes begin in [since, until), seconds since 1970.
    """
    if rule.kind == "risk_event":
        new = {article.at // MINUTE_S * MINUTE_S for article in data.risks if article.first}
        ends = sorted(at + MINUTE_S for at in new if since <= at < until)
        return [end for end in ends if _risk_breach(rule, data, end - rule.window_s, end)]
    ends = data.counts.minute_ends(since, until)
    at = np.asarray(ends, np.int64)
    beyond = _is_beyond(rule, _figures(rule, data.counts, at - rule.window_s, at))
    return [end for end, breached in zip(ends, beyond, strict=True) if breached]


def evaluate_limit(
    rule: LimitRule,
    series: str,
    data: SeriesData,
    ends: Sequence[int],
    last: LastAlert | None,
    sources: SourceCounter,
    now: datetime | None = None,
) -> Detections:
    """The alerts of these breaches. Stories of one alert are not counted in another. Raises what `sources` raises.

    Args:
        rule: The rule.
        series: Name of the series.
        data: Its stories.
        ends: As `breach_ends` returns them.
        last: The last alert of the series by this rule.
        sources: Counts the sources of a window.
        now: Time of detection; None: the end of each window.
    """
    found = Detections([], set(), {})
    for end in ends:
        start = end - rule.window_s if last is None else max(end - rule.window_s, last.end)
        cooling = last is not None and end < last.end + rule.cooldown_s
        alert = None if cooling else _alert(rule, series, data, start, end, sources, now)
        if alert is not None:
            last = LastAlert(alert.id, end)
            found.alerts.append(alert)
        elif last is not None and (cooling or start > end - rule.window_s):
            found.ongoing_ids.add(last.id)
    return found


def _alert(
    rule: LimitRule, series: str, data: SeriesData, start: int, end: int, sources: SourceCounter, now: datetime | None
) -> Alert | None:
    """The alert of the window [start, end), without evidence; None where it raises none."""
    breach = _breach(rule, data, start, end)
    if breach is None:
        return None
    begin, stop = from_epoch(start), from_epoch(end)
    number = breach.sources
    if number is None:
        number = sources.source_count(series, begin, stop, negative=rule.kind == "negative_share")
    if number < rule.min_sources:
        return None
    return Alert(
        id=alert_id(rule.name, series, begin),
        rule=rule.name,
        series=series,
        window_start=begin,
        window_s=end - start,
        detected_at=now or stop,
        severity=rule.severity,
        observed=int(data.counts.count(start, end)),
        expected=0.0,
        surprise=0.0,
        total=int(data.counts.count_all(start, end)),
        sources=number,
        measure=rule.kind,
        value=breach.value,
        limit=rule.limit,
        event=breach.event,
        min_materiality=rule.min_materiality,
    )


def _breach(rule: LimitRule, data: SeriesData, start: int, end: int) -> _Breach | None:
    """The breach of the window [start, end); None where there is none."""
    if start >= end:
        return None
    if rule.kind == "risk_event":
        return _risk_breach(rule, data, start, end)
    figures = _figures(rule, data.counts, np.array([start]), np.array([end]))
    return _Breach(float(figures[0]), "", None) if _is_beyond(rule, figures)[0] else None


def _figures(rule: LimitRule, counts: StoryCounts, starts: IntArray, ends: IntArray) -> FloatArray:
    """The figure of each window [start, end); NaN where it has too few stories."""
    total = counts.count_all(starts, ends)
    if rule.kind == "volume":
        return total.astype(np.float64)
    sums = counts.count(starts, ends) if rule.kind == "negative_share" else counts.tone_sum(starts, ends) / 10_000
    found: FloatArray = np.where(total >= max(1, rule.min_stories), np.round(sums / np.maximum(total, 1), 4), np.nan)
    return found


def _is_beyond(rule: LimitRule, figures: FloatArray) -> list[bool]:
    if rule.kind == "volume":
        return (figures >= rule.limit).tolist()  # type: ignore[no-any-return]
    return (figures < rule.limit if rule.kind == "mean_tone" else figures > rule.limit).tolist()  # type: ignore[no-any-return]


def _risk_breach(rule: LimitRule, data: SeriesData, start: int, end: int) -> _Breach | None:
    """The most probable event beyond the limit in [start, end). Copies count as sources, not as stories."""
    inside = [(article, best) for article in data.risks if start <= article.at < end and (best := _best(rule, article)) is not None]
    firsts = [best for article, best in inside if article.first]
    if len(firsts) < max(1, rule.min_stories):
        return None
    value, event = max(firsts)
    return _Breach(value, event, len({article.source for article, _ in inside}))


def _best(rule: LimitRule, article: RiskArticle) -> tuple[float, str] | None:
    if article.materiality is not None and article.materiality < rule.min_materiality:
        return None
    return max(((p, key) for key, p in article.risks if p >= rule.limit and (not rule.events or key in rule.events)), default=None)
