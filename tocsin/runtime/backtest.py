"""Backtest rules on history: archives are classified once into a store of their own, then replayed any number of times.

FILE... ─▶ tocsin.runtime.backfill (the worker's pipeline) ─▶ data_dir/backtests/KEY ─┐
                                                 --store: the store of the settings ─┴─▶ load_history ─▶ stream.detection.replay ─▶ alerts

tocsin/services/replay.py also previews rules on the stored news of the last days.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from core.errors import InvalidInput, TocsinError
from core.records import LEVELS, Alert, Measure
from core.series import MARKET
from core.settings import Settings
from ingest.archive.backfill import BackfillReport, identities
from ingest.archive.files import ReadOptions
from storage.store import Store
from stream.detection.attribution import decisive_stories, group_stories
from stream.detection.limit_evaluator import limit_evidence
from stream.detection.outage import OutageRule, replay_outages
from stream.detection.replay import ReplayData, ReplayedMinute, replay
from stream.detection.rules import AlertRules
from tocsin import wiring
from tocsin.runtime.backfill import Show, load
from tocsin.services.replay import limit_alerts

FOLDER = "backtests"
WEEK = timedelta(days=7)


class BacktestAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of a backtest. Fields not listed here are as in core.records.Alert.

    Attributes:
        start: start of its window.
        threshold: alert threshold (surprise) at that time; 0 if its rule has none.
        evidence: ids of its negative articles; for a limit rule, those that the alert shows.
        decisive_count, decisive_article_ids: the smallest sufficient evidence.
    """

    id: str
    rule: str
    series: str
    start: datetime
    window_s: int
    detected_at: datetime
    severity: str
    observed: int
    expected: float
    surprise: float
    threshold: float
    total: int
    sources: int
    measure: Measure
    value: float
    limit: float
    event: str
    evidence: tuple[str, ...]
    decisive_count: int = 0
    decisive_article_ids: tuple[str, ...] = ()


class BacktestSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of a backtest over [since, until).

    Attributes:
        articles: negative articles evaluated.
        outages: how many of the alerts are outage alerts.
        alerts_per_week: rate of the other alerts.
        threshold: the last alert threshold.
    """

    since: datetime
    until: datetime
    series: int
    articles: int
    alerts: int
    outages: int
    alerts_per_week: float
    false_per_week: float
    threshold: float


Progress = Callable[[float], None]
"""Called with the completed fraction, in [0, 1]."""


@contextlib.contextmanager
def archive_store(files: Sequence[str], settings: Settings, reading: ReadOptions, stop: threading.Event, show: Show) -> Iterator[Store]:
    """The store with the classified articles of `files`; built once and then reused.

    Raises UserError for stdin, which cannot be identified, and TocsinError; an interrupted run continues the next time.
    """
    if "-" in files:
        raise InvalidInput("a backtest cannot read stdin: name the files")
    model = settings.model
    if model == "champion":
        versions = wiring.make_versions(settings)
        model = str(versions.folder(versions.champion()).resolve())
    parts = (*identities(files).values(), model, str(settings.max_tokens), settings.companies, repr(reading))
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder = wiring.data_dir(settings) / FOLDER / key
    own = msgspec.structs.replace(settings, data_dir=str(folder), store="embedded", broker="embedded", model=model)
    done = folder / "scored.json"
    if not done.exists():
        report: BackfillReport = load(files, own, reading, stop, show)
        if report.interrupted:
            raise TocsinError("interrupted; run the same command again to continue")
        done.write_bytes(msgspec.json.encode(report))
    with contextlib.closing(wiring.make_store(own)) as store:
        yield store


def run(
    history: ReplayData, rules: AlertRules, outage_rule: OutageRule, store: Store, since: datetime, until: datetime, show: Progress
) -> Iterator[BacktestAlert | BacktestSummary]:
    """Replay the history. Yields each alert, then the summary. Raises StoreError."""
    alerts, outages, threshold = 0, 0, 0.0
    whole = max((until - since).total_seconds(), 1.0)
    outage_minutes = (ReplayedMinute(at, found, threshold=0.0) for at, found in replay_outages(history.activity, outage_rule, since, until))
    spike_minutes = replay(history, rules.detector, since, until, limit_alerts(history, rules, store, since, until))
    for moment in heapq.merge(spike_minutes, outage_minutes, key=lambda moment: moment.at):
        threshold = moment.threshold or threshold
        show((moment.at - since).total_seconds() / whole)
        for alert in moment.alerts:
            alerts += 1
            outages += alert.measure == "outage"
            yield _with_evidence(alert, moment, history, store, threshold)
    yield BacktestSummary(
        since=since,
        until=until,
        series=len(history.counts),
        articles=len(history.between(MARKET, since, until)),
        alerts=alerts,
        outages=outages,
        alerts_per_week=round((alerts - outages) / (whole / WEEK.total_seconds()), 2),
        false_per_week=rules.detector.false_per_week,
        threshold=round(threshold, 3),
    )


def _with_evidence(alert: Alert, moment: ReplayedMinute, history: ReplayData, store: Store, threshold: float) -> BacktestAlert:
    if alert.measure == "outage":
        return _backtest_alert(alert, [], 0.0, [])
    if alert.measure in LEVELS:
        return _backtest_alert(alert, [item.id for item in limit_evidence(store, alert)], 0.0, [])
    articles = history.between(alert.series, alert.window_start, alert.window_start + timedelta(seconds=alert.window_s))
    decision = moment.decisions.get(alert.id)
    decisive = decisive_stories(group_stories(articles), decision) if decision is not None else []
    return _backtest_alert(alert, [mention.id for mention in articles], threshold, [story.article for story in decisive])


def _backtest_alert(alert: Alert, evidence: Sequence[str], threshold: float, decisive: Sequence[str]) -> BacktestAlert:
    return BacktestAlert(
        id=alert.id,
        rule=alert.rule,
        series=alert.series,
        start=alert.window_start,
        window_s=alert.window_s,
        detected_at=alert.detected_at,
        severity=alert.severity,
        observed=alert.observed,
        expected=alert.expected,
        surprise=alert.surprise,
        threshold=round(threshold, 3),
        total=alert.total,
        sources=alert.sources,
        measure=alert.measure,
        value=alert.value,
        limit=alert.limit,
        event=alert.event,
        evidence=tuple(evidence),
        decisive_count=len(decisive),
        decisive_article_ids=tuple(decisive),
    )
