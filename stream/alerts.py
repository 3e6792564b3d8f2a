"""Does a window ring? The rule of an analyst, applied to what the store counted. Pure: no clock, no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from spine.records import Alert, Evidence, Severity, alert_id
from spine.settings import Settings
from spine.store import ArticleRow, WindowCount
from stream.spikes import baseline, surprise, threshold

MAX_EVIDENCE = 6
URGENT_OVER, FLASH_OVER = 2.0, 4.0
"""How far over the threshold, in powers of ten of the chance, an alert is urgent or flash; its size must agree (severity)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When to ring.

    window_s: width of the window in which stories are counted
    history_s: how far back a series' own past is read
    warmup_s: nothing rings before the past is this long
    false_per_week: false alarms a week that the analyst accepts, over all series together
    min_stories, min_sources: distinct negative stories, and sources of them, that an alert needs
    min_ratio: observed over expected that an alert needs
    cooldown_s: from the start of a window that rang, its series stays quiet this long
    max_age_s: a story published longer ago than this is history and rings nothing (an archive being loaded, a long outage)
    """

    name: str = "negative-spike"
    window_s: int = 900
    history_s: float = 14 * 86_400
    warmup_s: float = 12 * 3600
    false_per_week: float = 1.0
    min_stories: int = 3
    min_sources: int = 2
    min_ratio: float = 2.0
    cooldown_s: float = 3600
    max_age_s: float = 3600

    @classmethod
    def from_settings(cls, settings: Settings) -> Rule:
        """The rule that the settings alert_* describe."""
        return cls(
            window_s=settings.alert_window_s,
            history_s=settings.alert_history_days * 86_400.0,
            warmup_s=settings.alert_warmup_h * 3600,
            false_per_week=settings.alert_false_per_week,
            min_stories=settings.alert_min_stories,
            min_sources=settings.alert_min_sources,
            min_ratio=settings.alert_min_ratio,
            cooldown_s=float(settings.alert_cooldown_s),
            max_age_s=max(3600.0, 2.0 * settings.alert_window_s),
        )

    @property
    def quiet(self) -> timedelta:
        """Two windows of one series that start closer than this belong to one episode: overlapping ones always do."""
        return timedelta(seconds=max(self.cooldown_s, self.window_s))


def in_episode(start: datetime, last_rang: datetime | None, rule: Rule) -> bool:
    """Whether a window that starts at `start` belongs to the episode that rang already, by that window's start."""
    return last_rang is not None and abs(start - last_rang) < rule.quiet


def decide(
    series: str,
    counts: Sequence[WindowCount],
    window: WindowCount,
    *,
    sources: int,
    rule: Rule,
    now: datetime,
    last_rang: datetime | None,
    first_seen: datetime | None,
    n_series: int,
) -> Alert | None:
    """The alert that `window` raises, without evidence; None when it is nothing to ring for.

    counts: the windows before it, empty ones included, of the same width
    sources: distinct sources of the negative stories in `window`
    last_rang: start of the window for which the series rang last
    first_seen: since when news is followed; None when nobody knows, which is not long enough
    n_series: how many series share the false-alarm budget
    """
    if window.negative < rule.min_stories or sources < rule.min_sources or in_episode(window.start, last_rang, rule):
        return None
    if first_seen is None or window.start - first_seen < timedelta(seconds=rule.warmup_s):
        return None
    expected, dispersion = baseline(counts, window.start, window.width_s)
    strength = surprise(window.negative, expected, dispersion)
    over = strength - threshold(rule.false_per_week, n_series, window.width_s)
    if over < 0 or window.negative < rule.min_ratio * expected:
        return None
    return Alert(
        id=alert_id(rule.name, series, window.start),
        rule=rule.name,
        series=series,
        window_start=window.start,
        window_s=window.width_s,
        detected_at=now,
        severity=severity(over, window.negative, rule),
        observed=window.negative,
        expected=round(expected, 4),
        surprise=round(strength, 3),
        total=window.total,
        sources=sources,
    )


def severity(over: float, observed: int, rule: Rule) -> Severity:
    """watch, urgent or flash: how far over the threshold, provided that it is not three stories only."""
    if over >= FLASH_OVER and observed >= 3 * rule.min_stories:
        return "flash"
    if over >= URGENT_OVER and observed >= 2 * rule.min_stories:
        return "urgent"
    return "watch"


def evidence(articles: Sequence[ArticleRow], observed: int) -> tuple[Evidence, ...]:
    """The articles to show with an alert: one for each story, in the order given (most negative first), at most MAX_EVIDENCE.

    observed: distinct negative stories; there is no evidence beyond them
    """
    by_story: dict[str, ArticleRow] = {}
    for article in articles:
        by_story.setdefault(article.story, article)
    return tuple(
        Evidence(
            id=article.id,
            title=article.title or article.text[:120],
            url=article.url,
            source=article.source,
            published_at=article.published_at,
            p_negative=article.p_negative,
        )
        for article in list(by_story.values())[: min(observed, MAX_EVIDENCE)]
    )
