"""Replay stored news with a virtual clock: load the history, evaluate limit rules, preview a rules file."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import msgspec

from core.errors import NotFound, UserError
from core.records import Alert
from core.series import MARKET
from stats.minute_counts import StoryCounts
from stats.outage_model import SLOT_S
from storage.store import MentionTable, Store
from storage.timestamps import from_epoch
from stream.detection.limit_evaluator import limit_evidence
from stream.detection.limit_rule import risk_articles
from stream.detection.outage import RETIRED_SLOTS
from stream.detection.replay import ReplayData, replay, replay_limit_rules
from stream.detection.rules import AlertRules
from stream.detection.spike_rule import SpikeRule

WITH_EVIDENCE = 50
"""Only the newest alerts include their articles, as each needs a query."""


def load_history(
    store: Store, rule: SpikeRule, since: datetime | None, until: datetime | None, *, window_s: int = 0
) -> tuple[ReplayData, datetime, datetime]:
    """Load the stored articles of [since, until) and the history that the rule needs before it.

    Args:
        store: what is replayed.
        rule: the detector; if it is paused only counts are loaded.
        since: start; None for the first article.
        until: end; None for the last article.
        window_s: the widest window of the limit rules.

    Returns:
        The data, and the actual start and end.

    Raises:
        NotFound: no article in that time.
        StoreError: the store is unavailable.
    """
    first = store.mentions.first_seen([MARKET]).get(MARKET)
    if first is None:
        raise NotFound("there are no articles to replay")
    begin = from_epoch(int(max(since or first, first).timestamp()) // 60 * 60)
    end = until or datetime.now(UTC) + timedelta(days=1)
    reach = timedelta(0) if rule.paused else timedelta(seconds=rule.history_s) + timedelta(days=2)
    past = max(first, begin - max(reach, timedelta(seconds=window_s)))
    mentions = store.mentions.counting(rule.min_materiality)
    counts = _counts(mentions, past, end)
    if MARKET not in counts or begin >= end:
        raise NotFound(f"there are no articles between {begin:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC")
    last = from_epoch(int(counts[MARKET].at[-1]) + 60)
    articles = {} if rule.paused else mentions.negative_articles(past, end)
    activity = store.sources.activity(past - timedelta(seconds=RETIRED_SLOTS * SLOT_S), end, SLOT_S)
    return ReplayData(counts, articles, mentions.sources(past, end), activity), begin, min(end, last)


def _counts(mentions: MentionTable, since: datetime, until: datetime) -> dict[str, StoryCounts]:
    return {series: StoryCounts.of(*columns) for series, columns in mentions.minutes(None, since, until).items()}


def limit_alerts(history: ReplayData, rules: AlertRules, store: Store, since: datetime, until: datetime) -> dict[int, list[Alert]]:
    """Alerts of the limit rules in [since, until), by end of minute (Unix time in seconds). Raises StoreError."""
    before = timedelta(seconds=rules.window_s)
    risky = any(rule.kind == "risk_event" for rule in rules.limit_rules)
    risks = risk_articles(store.articles.scores_with_risks(since - before, until)) if risky else {}
    found: dict[int, list[Alert]] = {}
    for least in sorted({rule.min_materiality for rule in rules.limit_rules}):
        mentions = store.mentions.counting(least)
        counts = history.counts if least == rules.detector.min_materiality else _counts(mentions, since - before, until)
        own = [rule for rule in rules.limit_rules if rule.min_materiality == least]
        for end, alerts in replay_limit_rules(counts, risks, own, mentions, since, until).items():
            found.setdefault(end, []).extend(alerts)
    return found


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that rules would have raised in [since, until).

    Attributes:
        stories: distinct stories of that time.
        rules: number of alerts of each rule that is not paused.
        alerts: oldest first.
    """

    since: datetime
    until: datetime
    stories: int
    rules: dict[str, int]
    alerts: tuple[Alert, ...]


def preview(store: Store, rules: AlertRules, since: datetime, until: datetime) -> Preview:
    """Replay stored news through the rules of a file, with the worker's code and a virtual clock.

    The detector only runs if the file changes its parameters. Raises StoreError.
    """
    detector = rules.detector if rules.detector_overridden else dataclasses.replace(rules.detector, paused=True)
    names = [rule.name for rule in (*((detector,) if rules.detector_overridden else ()), *rules.limit_rules) if not rule.paused]
    try:
        history, begin, end = load_history(store, detector, since, until, window_s=rules.window_s)
    except UserError:  # no article in that time
        return Preview(since=since, until=until, stories=0, rules=dict.fromkeys(names, 0), alerts=())
    own = limit_alerts(history, rules, store, begin, end)
    alerts = [alert for moment in replay(history, detector, begin, end, own) for alert in moment.alerts]
    shown = max(0, len(alerts) - WITH_EVIDENCE)
    newest = [msgspec.structs.replace(alert, evidence=limit_evidence(store, alert)) for alert in alerts[shown:]]
    return Preview(
        since=begin,
        until=until,
        stories=int(history.counts[MARKET].count_all(int(begin.timestamp()), int(end.timestamp()))),
        rules={name: sum(alert.rule == name for alert in alerts) for name in names},
        alerts=(*alerts[:shown], *newest),
    )
