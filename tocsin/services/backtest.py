"""History once more: archives are scored once, into a store of their own that is kept, and then replayed as often as is asked.

FILE... ─▶ tocsin.runtime.backfill (the worker's own pipeline) ─▶ data_dir/backtests/KEY ─┐
                                                 --store: the store of the settings ─┴─▶ Heard ─▶ stream.detection.replay ─▶ alerts

tocsin/services/replay.py asks the same of the last days, for rules that are not in force yet.
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
from stream.detection.attribution import group_stories, needed
from stream.detection.limit_evaluator import limit_evidence
from stream.detection.outage import OutageRule, replay_outages
from stream.detection.replay import ReplayData, ReplayedMinute, replay
from stream.detection.rules import Rules
from tocsin.runtime import wiring
from tocsin.runtime.backfill import Show, load
from tocsin.services.replay import limit_alerts

FOLDER = "backtests"
WEEK = timedelta(days=7)


class BacktestAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of a replay, as core.records has it.

    start: of its window; bar: the surprise that rang at that moment, 0: none was asked for
    evidence: ids of its negative articles, of an analyst's own rule those that the alert shows
    carried, needed: as core.records.Why has them
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
    bar: float
    total: int
    sources: int
    measure: Measure
    value: float
    limit: float
    event: str
    evidence: tuple[str, ...]
    carried: int = 0
    needed: tuple[str, ...] = ()


class BacktestSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A whole replay of [since, until). articles: negative ones that the detector looked at; bar: the last one.

    silences: how many of the alerts are of silence; alerts_per_week: of the others
    """

    since: datetime
    until: datetime
    series: int
    articles: int
    alerts: int
    silences: int
    alerts_per_week: float
    false_per_week: float
    bar: float


Progress = Callable[[float], None]
"""Told the share that is done."""


@contextlib.contextmanager
def archive_store(files: Sequence[str], settings: Settings, reading: ReadOptions, stop: threading.Event, show: Show) -> Iterator[Store]:
    """The store that holds `files`, scored by the model of the settings: made at the first time, kept for the next.

    Raises UserError for stdin, which cannot be read twice, and TocsinError; when it was interrupted, what was scored is kept.
    """
    if "-" in files:
        raise InvalidInput("a backtest reads its files by name: stdin cannot be told from what it was the last time")
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
            raise TocsinError("interrupted; what was scored is kept: the same command goes on from here")
        done.write_bytes(msgspec.json.encode(report))
    with contextlib.closing(wiring.make_store(own)) as store:
        yield store


def run(
    history: ReplayData, rules: Rules, silence: OutageRule, store: Store, since: datetime, until: datetime, show: Progress
) -> Iterator[BacktestAlert | BacktestSummary]:
    """Every alert, then the summary. store: the one that was heard. Raises StoreError."""
    alerts, silences, bar = 0, 0, 0.0
    whole = max((until - since).total_seconds(), 1.0)
    silent = (ReplayedMinute(at, fresh, bar=0.0) for at, fresh in replay_outages(history.spoke, silence, since, until))
    spoken = replay(history, rules.detector, since, until, limit_alerts(history, rules, store, since, until))
    for moment in heapq.merge(spoken, silent, key=lambda moment: moment.at):
        bar = moment.bar or bar
        show((moment.at - since).total_seconds() / whole)
        for alert in moment.alerts:
            alerts += 1
            silences += alert.measure == "silence"
            yield _told(alert, moment, history, store, bar)
    yield BacktestSummary(
        since=since,
        until=until,
        series=len(history.tallies),
        articles=len(history.between(MARKET, since, until)),
        alerts=alerts,
        silences=silences,
        alerts_per_week=round((alerts - silences) / (whole / WEEK.total_seconds()), 2),
        false_per_week=rules.detector.false_per_week,
        bar=round(bar, 3),
    )


def _told(alert: Alert, moment: ReplayedMinute, history: ReplayData, store: Store, bar: float) -> BacktestAlert:
    if alert.measure == "silence":
        return _backtest_alert(alert, [], 0.0, [])
    if alert.measure in LEVELS:
        return _backtest_alert(alert, [item.id for item in limit_evidence(store, alert)], 0.0, [])
    articles = history.between(alert.series, alert.window_start, alert.window_start + timedelta(seconds=alert.window_s))
    judged = moment.judged.get(alert.id)
    carried = needed(group_stories(articles), judged) if judged is not None else []
    return _backtest_alert(alert, [mention.id for mention in articles], bar, [story.article for story in carried])


def _backtest_alert(alert: Alert, evidence: Sequence[str], bar: float, carried: Sequence[str]) -> BacktestAlert:
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
        bar=round(bar, 3),
        total=alert.total,
        sources=alert.sources,
        measure=alert.measure,
        value=alert.value,
        limit=alert.limit,
        event=alert.event,
        evidence=tuple(evidence),
        carried=len(carried),
        needed=tuple(carried),
    )
