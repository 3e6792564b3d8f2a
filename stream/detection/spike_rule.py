"""Does a spike ring? The rule of an analyst, applied to what the store counted. Pure: no clock, no store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.records import Alert, Evidence, Severity, alert_id
from core.settings import Settings
from stats.spikes import WIDTHS_S, Spike, surprise
from storage.store import ArticleRow, SourceStories
from storage.timestamps import from_epoch

MAX_EVIDENCE = 6
URGENT_OVER, FLASH_OVER = 2.0, 4.0
"""How far over the bar, in powers of ten of the chance, an alert is urgent or flash; its size must agree (severity)."""
LOUDEST = 2
"""A source's stories count up to so many times those that others told: one that floods does not ring by itself."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When to ring.

    widths_s: widths of the windows in which stories are counted, ascending
    history_s: how far back a series' own past is read
    warmup_s: nothing rings before the feed was followed this long
    false_per_week: false alarms a week that the analyst accepts, over all series together
    min_stories, min_sources: distinct negative stories, and sources of them, that an alert needs; a feed with fewer sources needs all
    min_ratio: observed over expected that an alert needs
    cooldown_s: from the end of a window that rang, its series stays quiet this long
    max_age_s: a story published longer ago than this is history and rings nothing (an archive being loaded, a long outage)
    series: patterns of the series that it is about, none: all; paused: nothing rings
    """

    name: str = "negative-spike"
    widths_s: tuple[int, ...] = WIDTHS_S
    history_s: float = 28 * 86_400
    warmup_s: float = 12 * 3600
    false_per_week: float = 1.0
    min_stories: int = 3
    min_sources: int = 2
    min_ratio: float = 2.0
    cooldown_s: float = 4 * 3600
    max_age_s: float = 3600
    series: tuple[str, ...] = ()
    paused: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Rule:
        """The rule that the settings alert_* describe."""
        return cls(
            history_s=settings.alert_history_days * 86_400.0,
            warmup_s=settings.alert_warmup_h * 3600,
            false_per_week=settings.alert_false_per_week,
            min_stories=settings.alert_min_stories,
            min_sources=settings.alert_min_sources,
            min_ratio=settings.alert_min_ratio,
            cooldown_s=float(settings.alert_cooldown_s),
            max_age_s=float(settings.alert_lateness_s),
        )


def corroborated(spike: Spike, told: Collection[SourceStories], rule: Rule, feed_sources: int) -> Spike | None:
    """The spike as far as sources bear each other out; None when too few of them speak.

    told: what each source told in its window; feed_sources: how many sources the feed has at all
    """
    if len(told) < sources_needed(rule, feed_sources):
        return None
    if feed_sources < 2 or rule.min_sources < 2:
        return spike
    loud = max(told, key=lambda source: (source.first, source.told))
    others = sum(source.told for source in told) - loud.told
    borne = spike.observed - max(0, loud.first - LOUDEST * others)
    if borne == spike.observed:
        return spike
    return spike._replace(observed=borne, surprise=surprise(borne, spike.expected, spike.dispersion))


def sources_needed(rule: Rule, feed_sources: int) -> int:
    """How many sources must speak: all, where the feed has fewer than the rule asks for."""
    return min(rule.min_sources, max(1, feed_sources))


def is_enough(borne: Spike, bar: float, rule: Rule) -> bool:
    """Whether what sources bear out rings."""
    return borne.surprise >= bar and borne.observed >= rule.min_stories


def decide(series: str, spike: Spike, *, bar: float, total: int, sources: int, rule: Rule, now: datetime) -> Alert | None:
    """The alert that `spike` raises, without evidence; None when it is nothing to ring for.

    bar: the surprise that rings; total: new stories in the window; sources: distinct sources of the negative ones
    """
    if not is_enough(spike, bar, rule):
        return None
    start = from_epoch(spike.end - spike.width_s)
    return Alert(
        id=alert_id(rule.name, series, start),
        rule=rule.name,
        series=series,
        window_start=start,
        window_s=spike.width_s,
        detected_at=now,
        severity=severity(spike.surprise - bar, spike.observed, rule),
        observed=spike.observed,
        expected=round(spike.expected, 4),
        surprise=round(spike.surprise, 3),
        total=total,
        sources=sources,
    )


def severity(over: float, observed: int, rule: Rule) -> Severity:
    """watch, urgent or flash: how far over the bar, provided that it is not three stories only."""
    if over >= FLASH_OVER and observed >= 3 * rule.min_stories:
        return "critical"
    if over >= URGENT_OVER and observed >= 2 * rule.min_stories:
        return "warning"
    return "info"


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
