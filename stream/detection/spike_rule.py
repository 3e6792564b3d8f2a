"""The spike rule: its settings, corroboration by sources, severity, and the alert it raises. Pure: no clock, no store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.records import MIN_MATERIALITY, Alert, Evidence, Severity, alert_id
from core.settings import Settings
from stats.spikes import WIDTHS_S, Spike, surprise
from storage.store import ArticleRow, SourceStories
from storage.timestamps import from_epoch

MAX_EVIDENCE = 6
WARNING_EXCESS, CRITICAL_EXCESS = 2.0, 4.0
"""Surprise over the threshold from which an alert is warning or critical; it needs stories enough, too (`severity_of`)."""
MAX_SOURCE_RATIO = 2
"""A source's stories count up to so many times those of all other sources, so that one that floods raises no alert by itself."""


@dataclass(frozen=True, slots=True)
class SpikeRule:
    """When a spike raises an alert.

    Attributes:
        widths_s: Widths of the windows in which stories are counted, ascending, in seconds.
        history_s: How far back the past of a series is read.
        warmup_s: No alert is raised before the feed was followed for this long.
        false_per_week: Accepted false alerts a week, over all series together.
        min_stories: Distinct negative stories that an alert needs.
        min_sources: Distinct sources of them that an alert needs; a feed with fewer sources needs all of them.
        min_ratio: Ratio of observed to expected stories that an alert needs.
        cooldown_s: From the end of the window of an alert, its series raises no other alert for this long.
        max_age_s: A story published longer ago raises no alert (while an archive is loaded, or after a long outage).
        min_materiality: P(level >= 2) from which an article counts, in the past of a series too; one without the prediction counts.
        series: Patterns of the series that are followed; all where it is empty.
        paused: Whether the rule is off.
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
    min_materiality: float = MIN_MATERIALITY
    series: tuple[str, ...] = ()
    paused: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> SpikeRule:
        """The rule that the settings alert_* describe."""
        return cls(
            history_s=settings.alert_history_days * 86_400.0,
            warmup_s=settings.alert_warmup_h * 3600,
            false_per_week=settings.alert_false_per_week,
            min_stories=settings.alert_min_stories,
            min_sources=settings.alert_min_sources,
            min_ratio=settings.alert_min_ratio,
            cooldown_s=float(settings.alert_cooldown_s),
            max_age_s=float(settings.alert_max_age_s),
            min_materiality=settings.alert_min_materiality,
        )


def corroborated(spike: Spike, sources: Collection[SourceStories], rule: SpikeRule, feed_sources: int) -> Spike | None:
    """The spike with the stories of the source that published most limited by those of the others.

    Args:
        spike: As counted.
        sources: Stories of each source in the window.
        rule: The rule in force.
        feed_sources: Number of sources that the feed has.

    Returns:
        None where too few sources reported.
    """
    if len(sources) < required_sources(rule, feed_sources):
        return None
    if feed_sources < 2 or rule.min_sources < 2:
        return spike
    largest = max(sources, key=lambda source: (source.first, source.total))
    others = sum(source.total for source in sources) - largest.total
    observed = spike.observed - max(0, largest.first - MAX_SOURCE_RATIO * others)
    if observed == spike.observed:
        return spike
    return spike._replace(observed=observed, surprise=surprise(observed, spike.expected, spike.dispersion))


def required_sources(rule: SpikeRule, feed_sources: int) -> int:
    """Number of sources that must report: all of them where the feed has fewer than the rule asks for."""
    return min(rule.min_sources, max(1, feed_sources))


def is_alert(spike: Spike, threshold: float, rule: SpikeRule) -> bool:
    """Whether a corroborated spike raises an alert."""
    return spike.surprise >= threshold and spike.observed >= rule.min_stories


def build_alert(series: str, spike: Spike, *, threshold: float, total: int, sources: int, rule: SpikeRule, now: datetime) -> Alert | None:
    """The alert of a corroborated spike, without evidence; None where it raises none.

    Args:
        series: The series of the spike.
        spike: The spike, corroborated.
        threshold: The alert threshold in force.
        total: All stories in the window.
        sources: Distinct sources of the negative ones.
        rule: The rule in force.
        now: Time of detection.
    """
    if not is_alert(spike, threshold, rule):
        return None
    start = from_epoch(spike.end - spike.width_s)
    return Alert(
        id=alert_id(rule.name, series, start),
        rule=rule.name,
        series=series,
        window_start=start,
        window_s=spike.width_s,
        detected_at=now,
        severity=severity_of(spike.surprise - threshold, spike.observed, rule),
        observed=spike.observed,
        expected=round(spike.expected, 4),
        surprise=round(spike.surprise, 3),
        total=total,
        sources=sources,
        min_materiality=rule.min_materiality,
    )


def severity_of(excess: float, observed: int, rule: SpikeRule) -> Severity:
    """info, warning or critical, by the surprise over the threshold and the number of stories."""
    if excess >= CRITICAL_EXCESS and observed >= 3 * rule.min_stories:
        return "critical"
    if excess >= WARNING_EXCESS and observed >= 2 * rule.min_stories:
        return "warning"
    return "info"


def evidence_of(articles: Sequence[ArticleRow], limit: int) -> tuple[Evidence, ...]:
    """The articles to show with an alert, in the order given: one for each story, at most `limit` and MAX_EVIDENCE."""
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
        for article in list(by_story.values())[: min(limit, MAX_EVIDENCE)]
    )
