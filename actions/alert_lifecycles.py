"""Reads the lifecycles of alerts from the store, with the silences and inhibitions that apply."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from core.records import Alert
from core.series import key_of, kind_of
from domain.alert_lifecycle import AlertLifecycle, Inhibition, Inhibitor, Silence, inhibitor, lifecycle_of
from domain.alert_lifecycle.silences import active_silences
from storage.store import Store

INHIBITOR_MAX_AGE = timedelta(days=7)
"""An alert that was detected longer ago inhibits no other."""
MAX_INHIBITORS = 1_000


def read_lifecycles(
    store: Store, alerts: Sequence[Alert], now: datetime, rules: Sequence[Inhibition], *, as_of: datetime | None = None
) -> dict[str, AlertLifecycle]:
    """The lifecycle of each alert at `now`, by id. Resolved alerts are neither silenced nor inhibited.

    Args:
        rules: inhibition rules
        as_of: as known at that time, by the times of events. Only the last breach of each alert is stored, so one after
            `as_of` hides those before it.

    Raises:
        StoreError
    """
    lifecycles = _from_events(store, alerts, as_of)
    if all(lifecycles[alert.id].resolved for alert in alerts):
        return lifecycles
    silences = [
        each if as_of is None else each.known(as_of) for each in store.silences.all(since=now) if not as_of or each.created_at <= as_of
    ]
    lifecycles = {alert.id: _with_silences(alert, lifecycles[alert.id], silences, now) for alert in alerts}
    inhibited_kinds = {kind for rule in rules for kind in rule.targets}
    members = [
        alert
        for alert in alerts
        if not lifecycles[alert.id].resolved and ("*" in inhibited_kinds or kind_of(alert.series) in inhibited_kinds)
    ]
    if not members:
        return lifecycles
    until = as_of + timedelta(seconds=1) if as_of else None
    kinds = sorted({rule.source for rule in rules})
    candidates = store.alerts.latest(MAX_INHIBITORS, since=now - INHIBITOR_MAX_AGE, until=until, kinds=kinds)
    own = _from_events(store, candidates, as_of)
    others = [(alert, _with_silences(alert, own[alert.id], silences, now)) for alert in candidates]
    has_sector = any(kind_of(alert.series) == "sector" and not lifecycle.resolved for alert, lifecycle in others)
    sectors = _sectors(store, members) if has_sector else {}
    for alert in members:
        by = inhibitor(alert, others, rules, sectors)
        if by is not None:
            lifecycles[alert.id] = msgspec.structs.replace(lifecycles[alert.id], inhibited=Inhibitor(alert_id=by.id, series=by.series))
    return lifecycles


def _from_events(store: Store, alerts: Sequence[Alert], as_of: datetime | None) -> dict[str, AlertLifecycle]:
    ids = [alert.id for alert in alerts]
    events, breaches = store.alert_lifecycle.events(ids), store.alert_lifecycle.last_breaches(ids)
    if as_of is not None:
        events, breaches = [each for each in events if each.at <= as_of], {ident: at for ident, at in breaches.items() if at <= as_of}
    by_alert: dict[str, list[int]] = {}
    for position, event in enumerate(events):
        by_alert.setdefault(event.alert_id, []).append(position)
    return {
        alert.id: lifecycle_of(alert, [events[position] for position in by_alert.get(alert.id, ())], breaches.get(alert.id))
        for alert in alerts
    }


def _with_silences(alert: Alert, lifecycle: AlertLifecycle, silences: Sequence[Silence], now: datetime) -> AlertLifecycle:
    found = () if lifecycle.resolved else active_silences(silences, alert, now)
    return msgspec.structs.replace(lifecycle, silenced=found) if found else lifecycle


def _sectors(store: Store, alerts: Sequence[Alert]) -> dict[str, str]:
    """Company key to sector for the companies of these alerts, from the articles behind them."""
    of_companies = [alert for alert in alerts if kind_of(alert.series) == "company"]
    if not of_companies:
        return {}
    since = min(alert.window_start for alert in of_companies)
    until = max(alert.window_start + timedelta(seconds=alert.window_s) for alert in of_companies)
    return store.articles.sectors([key_of(alert.series) for alert in of_companies], since, until)
