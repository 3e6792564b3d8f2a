"""Alerts and silences for the command line: found by id prefix, with lifecycle, deliveries and suppression."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from actions.alert_lifecycles import read_lifecycles
from core.durations import parse_duration
from core.errors import InvalidInput, NotFound, UserError
from core.records import Alert
from core.settings import Settings
from domain.alert_lifecycle import AlertEvent, AlertLifecycle, Silence, inhibitions
from storage.store import AlertGroup, Delivery, Store, SuppressedDelivery

SHORTEST_PREFIX = 4


class AlertWithLifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """An alert with its lifecycle state."""

    alert: Alert
    lifecycle: AlertLifecycle

    def public(self) -> dict[str, Any]:
        """One flat dict: the fields of the alert and of its lifecycle state."""
        return {**msgspec.to_builtins(self.alert), **msgspec.to_builtins(self.lifecycle)}


class AlertDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One alert with its events, deliveries (alone or in groups) and suppressed deliveries."""

    view: AlertWithLifecycle
    events: tuple[AlertEvent, ...]
    deliveries: tuple[Delivery, ...]
    suppressed_deliveries: tuple[SuppressedDelivery, ...]
    groups: tuple[AlertGroup, ...] = ()


def list_alerts(store: Store, settings: Settings, now: datetime, *, since: datetime | None, limit: int) -> list[AlertWithLifecycle]:
    """The newest alerts with their lifecycle states, newest first. Raises UserError, StoreError."""
    alerts = store.alerts.latest(limit, since=since)
    lifecycles = read_lifecycles(store, alerts, now, inhibitions(settings.alert_inhibit))
    return [AlertWithLifecycle(alert=alert, lifecycle=lifecycles[alert.id]) for alert in alerts]


def read_details(store: Store, settings: Settings, name: str, now: datetime) -> AlertDetails:
    """The alert whose id begins with `name`. Raises UserError if there is none, or more than one."""
    (alert,) = find(store, [name])
    lifecycle = read_lifecycles(store, [alert], now, inhibitions(settings.alert_inhibit))[alert.id]
    return AlertDetails(
        view=AlertWithLifecycle(alert=alert, lifecycle=lifecycle),
        events=tuple(store.alert_lifecycle.events([alert.id])),
        deliveries=tuple(store.deliveries_of(alert.id)),
        groups=tuple(store.alert_groups.of([alert.id])),
        suppressed_deliveries=tuple(store.alert_lifecycle.suppressed([alert.id])),
    )


def find(store: Store, names: Sequence[str]) -> list[Alert]:
    """The alerts with these ids or id prefixes. Raises UserError if one is missing or ambiguous."""
    found: dict[str, Alert] = {}
    for name in names:
        ident = _only(name, [name] if store.alerts.get(name) else store.alerts.find(_prefix(name, "alert")), "alert")
        alert = store.alerts.get(ident)
        if alert is not None:
            found[ident] = alert
    return list(found.values())


def states(store: Store, settings: Settings, alerts: Sequence[Alert], now: datetime) -> dict[str, str]:
    """State of each alert, by id. Raises UserError, StoreError."""
    lifecycles = read_lifecycles(store, alerts, now, inhibitions(settings.alert_inhibit))
    return {alert.id: lifecycles[alert.id].state for alert in alerts}


def find_silence(store: Store, name: str) -> Silence:
    """The silence with this id or id prefix. Raises UserError as `find` does."""
    found = {each.id: each for each in store.silences.find(_prefix(name, "silence"))}
    return found[_only(name, list(found), "silence")]


def _prefix(name: str, kind: str) -> str:
    if len(name) < SHORTEST_PREFIX:
        raise InvalidInput(f"{kind} {name!r}: enter at least {SHORTEST_PREFIX} characters of its id")
    return name


def _only(name: str, ids: Sequence[str], kind: str) -> str:
    listed = "`tocsin alerts list`" if kind == "alert" else "`tocsin alerts silences --ended`"
    if not ids:
        raise NotFound(f"{name}: no such {kind}; {listed} shows the ids")
    if len(ids) > 1:
        some = ", ".join(each[: len(name) + 4] for each in ids[:4])
        raise InvalidInput(f"{name}: {len(ids)} or more {kind}s match ({some}); give more characters")
    return ids[0]


def parse_time(text: str, now: datetime) -> datetime:
    """Parse a time: "2h" is two hours before `now`; otherwise ISO 8601, UTC if it has no zone. Raises UserError."""
    try:
        return now - parse_duration(text)
    except UserError:
        pass
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{text!r} is not a time; expected a time such as 24h (ago) or 2026-11-20T08:00:00+08:00") from error
