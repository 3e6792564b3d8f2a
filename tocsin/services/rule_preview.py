"""What rules would have raised on the stored news of some days: asked before they are put in force, by the command or a page."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import msgspec

from core.errors import SettingsError
from core.records import Alert
from core.series import MARKET
from storage.store import Store
from stream.detection.limit_evaluator import evidence_of
from stream.detection.replay import replay
from stream.detection.rules import Rules
from tocsin.services.backtest import hear, levels

WITH_EVIDENCE = 50
"""So many alerts, the newest, come with the articles behind them: each takes a question to the store."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would have rung in [since, until).

    stories: distinct ones that were told then; rules: each rule that is not paused, to how often it rang
    alerts: oldest first
    """

    since: datetime
    until: datetime
    stories: int
    rules: dict[str, int]
    alerts: tuple[Alert, ...]


def preview(store: Store, rules: Rules, since: datetime, until: datetime) -> Preview:
    """What the rules of a file would have raised in [since, until), through the code that watches the stream, with a virtual clock.

    The detector is asked only where a rule of the file gives it numbers. Raises StoreError.
    """
    detector = rules.detector if rules.renumbered else dataclasses.replace(rules.detector, paused=True)
    names = [rule.name for rule in (*((detector,) if rules.renumbered else ()), *rules.own) if not rule.paused]
    try:
        heard, begin, end = hear(store, detector, since, until, window_s=rules.window_s)
    except SettingsError:  # nothing is stored of that time
        return Preview(since=since, until=until, stories=0, rules=dict.fromkeys(names, 0), alerts=())
    own = levels(heard, rules, store, begin, end)
    alerts = [alert for moment in replay(heard, detector, begin, end, own) for alert in moment.alerts]
    shown = max(0, len(alerts) - WITH_EVIDENCE)
    told = [msgspec.structs.replace(alert, evidence=evidence_of(store, alert)) for alert in alerts[shown:]]
    return Preview(
        since=begin,
        until=until,
        stories=int(heard.tallies[MARKET].count_all(int(begin.timestamp()), int(end.timestamp()))),
        rules={name: sum(alert.rule == name for alert in alerts) for name in names},
        alerts=(*alerts[:shown], *told),
    )
