"""The lives of alerts as the store has them: what domain.alert_lifecycle needs to know, asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from core.records import Alert
from core.series import key_of, kind_of
from domain.alert_lifecycle import Inhibition, Life, Muter, Silence, inhibitor, life_of
from domain.alert_lifecycle.silences import silencing
from storage.store import Store

REACH = timedelta(days=7)
"""An alert that was raised longer ago speaks for no other."""
MOST_WHOLES = 1_000


def read_lives(
    store: Store, alerts: Sequence[Alert], now: datetime, rules: Sequence[Inhibition], *, as_of: datetime | None = None
) -> dict[str, Life]:
    """Alert id to its life at `now`, with what mutes it. What is resolved is muted by nothing. Raises StoreError.

    as_of: as it was known then, by the times of events. Of the times when a series was over its bar only the last is kept: one that
        came after `as_of` says nothing of those before it.
    """
    lives = _folded(store, alerts, as_of)
    if all(lives[alert.id].resolved for alert in alerts):
        return lives
    silences = [
        each if as_of is None else each.known(as_of) for each in store.silences.all(since=now) if not as_of or each.created_at <= as_of
    ]
    lives = {alert.id: _silenced(alert, lives[alert.id], silences, now) for alert in alerts}
    muted = {kind for rule in rules for kind in rule.targets}
    members = [alert for alert in alerts if not lives[alert.id].resolved and ("*" in muted or kind_of(alert.series) in muted)]
    if not members:
        return lives
    until = as_of + timedelta(seconds=1) if as_of else None
    wholes = store.alerts.latest(MOST_WHOLES, since=now - REACH, until=until, kinds=sorted({rule.source for rule in rules}))
    others = [(whole, _silenced(whole, life, silences, now)) for whole, life in _with(wholes, _folded(store, wholes, as_of))]
    sectors = _sectors(store, members) if any(kind_of(whole.series) == "sector" and not life.resolved for whole, life in others) else {}
    for alert in members:
        by = inhibitor(alert, others, rules, sectors)
        if by is not None:
            lives[alert.id] = msgspec.structs.replace(lives[alert.id], inhibited=Muter(alert_id=by.id, series=by.series))
    return lives


def _folded(store: Store, alerts: Sequence[Alert], as_of: datetime | None) -> dict[str, Life]:
    ids = [alert.id for alert in alerts]
    events, seen = store.lives.events(ids), store.lives.last_seen(ids)
    if as_of is not None:
        events, seen = [each for each in events if each.at <= as_of], {ident: at for ident, at in seen.items() if at <= as_of}
    own: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        own.setdefault(event.alert_id, []).append(place)
    return {alert.id: life_of(alert, [events[place] for place in own.get(alert.id, ())], seen.get(alert.id)) for alert in alerts}


def _with(alerts: Sequence[Alert], lives: dict[str, Life]) -> list[tuple[Alert, Life]]:
    return [(alert, lives[alert.id]) for alert in alerts]


def _silenced(alert: Alert, life: Life, silences: Sequence[Silence], now: datetime) -> Life:
    found = () if life.resolved else silencing(silences, alert, now)
    return msgspec.structs.replace(life, silenced=found) if found else life


def _sectors(store: Store, alerts: Sequence[Alert]) -> dict[str, str]:
    """The sectors of the companies that these alerts are about, by the articles that raised them."""
    about = [alert for alert in alerts if kind_of(alert.series) == "company"]
    if not about:
        return {}
    since = min(alert.window_start for alert in about)
    until = max(alert.window_start + timedelta(seconds=alert.window_s) for alert in about)
    return store.articles.sectors([key_of(alert.series) for alert in about], since, until)
