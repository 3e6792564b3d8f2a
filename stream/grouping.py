"""What is sent when, and together with what: Alertmanager's group_wait, group_interval and repeat_interval. Pure: no clock, no store.

    alerts of one group    a b   c            d
    ───────────────────────┼─┼───┼────────────┼──────────────▶ time
                           └─wait─▶ [a b c]   │
                                   └── interval ──▶ [d]
                                                   └── repeat ──▶ [what still fires and nobody acknowledged]

What was planned before is part of the question. Whoever plans keeps the plan in the store, with its id and members, before it is
sent: a restart then sends the same group with the same id, and plans no alert a second time.
Source: https://prometheus.io/docs/alerting/latest/configuration/#route; the state is kept for each endpoint on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from spine.errors import SettingsError
from spine.life import Life
from spine.records import Alert, sha
from spine.series import kind_of

By = Literal["rule", "series", "kind", "severity"]


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """How alerts are put together for one endpoint.

    by: alerts that agree in all of these are one group; (): all alerts are
    wait_s: a new group waits this long for others; 0: nothing is put together, every alert is sent alone and at once
    interval_s: how often a group that was sent is looked at again for alerts that came since
    repeat_s: what still fires, and nobody acknowledged, is sent again so long after its group was sent last; 0: never
    tell_resolved: whether a group is sent when alerts of it that were sent are over
    """

    by: tuple[By, ...] = ()
    wait_s: float = 0.0
    interval_s: float = 300.0
    repeat_s: float = 4 * 3600.0
    tell_resolved: bool = False

    def __post_init__(self) -> None:
        if self.wait_s < 0 or self.interval_s <= 0 or (self.repeat_s and self.repeat_s < self.interval_s):
            raise SettingsError("group_wait must not be negative, group_interval must be over 0, repeat_interval 0 or no shorter than that")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as grouping sees it. resolved_at: None while it fires."""

    alert_id: str
    key: str
    at: datetime
    acknowledged: bool = False
    resolved_at: datetime | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to send to one endpoint, and afterwards a line of the log of what was planned.

    id: of endpoint, key, time and members, and nothing else
    at: when it is, or was, due
    firing: all that fires then, in order of their ids; fresh: those among them that the endpoint was not told of before
    resolved: what the endpoint was told of before and is over
    """

    id: str
    endpoint: str
    key: str
    at: datetime
    firing: tuple[str, ...]
    fresh: tuple[str, ...]
    resolved: tuple[str, ...] = ()


def item_of(alert: Alert, life: Life, by: Sequence[By] = (), let_through: datetime | None = None) -> Item:
    """An alert with its life, for groups by these. let_through: when it might be sent at last, where it was withheld"""
    parts = {"rule": alert.rule, "series": alert.series, "kind": kind_of(alert.series), "severity": alert.severity}
    return Item(
        alert_id=alert.id,
        key="\x1f".join(parts[name] for name in by),
        at=let_through or alert.detected_at,
        acknowledged=life.acknowledged is not None,
        resolved_at=life.resolved.at if life.resolved else None,
    )


def due(items: Iterable[Item], planned: Iterable[Group], grouping: Grouping, endpoint: str, now: datetime) -> list[Group]:
    """The groups that are to be sent to `endpoint` by `now`, the earliest first; asked again with them in `planned`, none.

    One of each key at most: after a pause, what would have been several is one. An alert that was resolved before anybody was told of
    it is in none.
    planned: all groups ever planned whose alerts are in `items`; those of other endpoints are passed over
    """
    found = []
    for key, own, log in _by_key(items, planned, grouping, endpoint):
        at = _due_at(own, log, grouping)
        if at is not None and at <= now:
            found.append(_group(endpoint, key, own, log, grouping, _last_look(at, grouping, now)))
    return sorted(found, key=lambda group: (group.at, group.key))


def next_due(items: Iterable[Item], planned: Iterable[Group], grouping: Grouping, endpoint: str) -> datetime | None:
    """When `due` will have something if nothing else happens; None: never."""
    times = [_due_at(own, log, grouping) for _, own, log in _by_key(items, planned, grouping, endpoint)]
    return min((at for at in times if at is not None), default=None)


def _by_key(
    items: Iterable[Item], planned: Iterable[Group], grouping: Grouping, endpoint: str
) -> list[tuple[str, list[Item], list[Group]]]:
    """(key, items, groups planned, the oldest first) of each group; a group of its own for every alert when nothing is put together."""
    own: dict[str, list[Item]] = {}
    for item in {item.alert_id: item for item in items}.values():
        own.setdefault(item.key if grouping.wait_s else f"{item.key}\x1f{item.alert_id}", []).append(item)
    logs: dict[str, list[Group]] = {}
    for group in {group.id: group for group in planned if group.endpoint == endpoint}.values():
        logs.setdefault(group.key, []).append(group)
    return [(key, own[key], sorted(logs.get(key, []), key=lambda group: (group.at, group.id))) for key in sorted(own)]


def _told(log: Sequence[Group]) -> dict[str, bool]:
    """Alert id to whether it fired, of all that the endpoint was told of, by what it was told last."""
    told: dict[str, bool] = {}
    for group in log:
        told |= dict.fromkeys(group.firing, True) | dict.fromkeys(group.resolved, False)
    return told


def _due_at(items: Sequence[Item], log: Sequence[Group], grouping: Grouping) -> datetime | None:
    """When the group of these items is due next."""
    told = _told(log)
    times = [_tick(item.at, items, log, grouping) for item in items if item.resolved_at is None and not told.get(item.alert_id)]
    if grouping.tell_resolved:
        over = [item.resolved_at for item in items if item.resolved_at is not None and told.get(item.alert_id)]
        times += [_tick(at, items, log, grouping) for at in over]
    if log and grouping.repeat_s and any(item.resolved_at is None and not item.acknowledged and told.get(item.alert_id) for item in items):
        times.append(log[-1].at + timedelta(seconds=grouping.repeat_s))
    return min(times, default=None)


def _tick(at: datetime, items: Sequence[Item], log: Sequence[Group], grouping: Grouping) -> datetime:
    """When what happened at `at` is told: at the group's next look; after the wait, where the group is new or was over before."""
    wait, interval = timedelta(seconds=grouping.wait_s), timedelta(seconds=grouping.interval_s)
    if not log:
        return at + wait
    last, told = log[-1].at, _told(log)
    if any(told.get(item.alert_id) and (item.resolved_at is None or item.resolved_at >= at) for item in items):
        return last + max(1, -((last - at) // interval)) * interval
    return max(at + wait, last + interval)


def _last_look(at: datetime, grouping: Grouping, now: datetime) -> datetime:
    """The last look by `now` of a group that is due at `at`: what nobody asked for in time is sent as one."""
    interval = timedelta(seconds=grouping.interval_s)
    return at + (now - at) // interval * interval


def _group(endpoint: str, key: str, items: Sequence[Item], log: Sequence[Group], grouping: Grouping, at: datetime) -> Group:
    told = _told(log)
    firing = sorted(item.alert_id for item in items if item.resolved_at is None and (item.at <= at or told.get(item.alert_id)))
    fresh = [ident for ident in firing if not told.get(ident)]
    over = sorted(item.alert_id for item in items if item.resolved_at is not None and told.get(item.alert_id) and grouping.tell_resolved)
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    ident = sha("group", endpoint, key, moment, *firing, "resolved", *over)
    return Group(id=ident, endpoint=endpoint, key=key, at=at, firing=tuple(firing), fresh=tuple(fresh), resolved=tuple(over))
