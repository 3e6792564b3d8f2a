"""What people do with alerts and silences at the command line: found by the beginnings of their ids, shown with all that became of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from actions.alert_lifecycles import read_lives
from core.durations import span
from core.errors import InvalidInput, NotFound, UserError
from core.records import Alert
from core.settings import Settings
from domain.alert_lifecycle import AlertEvent, Life, Silence, inhibitions
from storage.store import Delivery, Group, Store, Withheld

SHORTEST_PREFIX = 4
SHOWN_CHARS = 10


class AlertWithLifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """An alert with its life."""

    alert: Alert
    life: Life

    def public(self) -> dict[str, Any]:
        """As one flat JSON object: the alert's own fields, and its life's."""
        return {**msgspec.to_builtins(self.alert), **msgspec.to_builtins(self.life)}


class AlertDetails(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one alert: also what was done to it, who was told, alone or in which groups, and who was not and why."""

    view: AlertWithLifecycle
    events: tuple[AlertEvent, ...]
    deliveries: tuple[Delivery, ...]
    withheld: tuple[Withheld, ...]
    groups: tuple[Group, ...] = ()


def list_alerts(store: Store, settings: Settings, now: datetime, *, since: datetime | None, limit: int) -> list[AlertWithLifecycle]:
    """The newest alerts with their lives, newest first. Raises UserError, StoreError."""
    alerts = store.alerts.latest(limit, since=since)
    lives = read_lives(store, alerts, now, inhibitions(settings.alert_inhibit))
    return [AlertWithLifecycle(alert=alert, life=lives[alert.id]) for alert in alerts]


def read_details(store: Store, settings: Settings, name: str, now: datetime) -> AlertDetails:
    """All that is known of the alert whose id begins with `name`. Raises UserError where there is none, or more than one."""
    (alert,) = find(store, [name])
    life = read_lives(store, [alert], now, inhibitions(settings.alert_inhibit))[alert.id]
    return AlertDetails(
        view=AlertWithLifecycle(alert=alert, life=life),
        events=tuple(store.lives.events([alert.id])),
        deliveries=tuple(store.told(alert.id)),
        groups=tuple(store.groups.of([alert.id])),
        withheld=tuple(store.lives.withheld([alert.id])),
    )


def find(store: Store, names: Sequence[str]) -> list[Alert]:
    """The alerts whose ids are, or begin with, these. Raises UserError for one that there is not, or that is not the only one."""
    found: dict[str, Alert] = {}
    for name in names:
        ident = _only(name, [name] if store.alerts.get(name) else store.alerts.find(_prefix(name, "alert")), "alert")
        alert = store.alerts.get(ident)
        if alert is not None:
            found[ident] = alert
    return list(found.values())


def states(store: Store, settings: Settings, alerts: Sequence[Alert], now: datetime) -> dict[str, str]:
    """What state each alert is in, by id. Raises UserError, StoreError."""
    lives = read_lives(store, alerts, now, inhibitions(settings.alert_inhibit))
    return {alert.id: lives[alert.id].state for alert in alerts}


def find_silence(store: Store, name: str) -> Silence:
    """The silence whose id is, or begins with, this. Raises UserError as `find` does."""
    found = {each.id: each for each in store.silences.find(_prefix(name, "silence"))}
    return found[_only(name, list(found), "silence")]


def _prefix(name: str, kind: str) -> str:
    if len(name) < SHORTEST_PREFIX:
        raise InvalidInput(f"{kind} {name!r}: give {SHORTEST_PREFIX} characters of its id at least")
    return name


def _only(name: str, ids: Sequence[str], kind: str) -> str:
    listed = "`tocsin alerts list`" if kind == "alert" else "`tocsin alerts silences --ended`"
    if not ids:
        raise NotFound(f"{name}: there is no such {kind}; {listed} names them")
    if len(ids) > 1:
        some = ", ".join(each[: len(name) + 4] for each in ids[:4])
        raise InvalidInput(f"{name}: {len(ids)} or more {kind}s begin so ({some}); give more of the id")
    return ids[0]


def parse_time(text: str, now: datetime) -> datetime:
    """The time in words: "2h" is two hours before `now`; else as ISO 8601 has it, in UTC where it says no zone. Raises UserError."""
    try:
        return now - span(text)
    except UserError:
        pass
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{text!r} is no time: expected such as 24h (ago) or 2026-11-20T08:00:00+08:00") from error
