"""What is sent when, and together with what: Alertmanager's group_wait, group_interval and repeat_interval. Pure: no clock, no store.

    alerts of one group    a b   c            d
    ───────────────────────┼─┼───┼────────────┼──────────────▶ time
                           └─wait─▶ [a b c]   │
                                   └── interval ──▶ [d]
                                                   └── repeat ──▶ [what still fires and nobody acknowledged]

A digest is a group whose moments are those of the clock:  a b c ── 08:00 ──▶ [a b c]

What was planned before is part of the question. Whoever plans keeps the plan in the store, with its id and members, before it is
sent: a restart then sends the same group with the same id, and plans no alert a second time.
Source: https://prometheus.io/docs/alerting/latest/configuration/#route; the state is kept for each endpoint on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import msgspec

from core.errors import SettingsError
from core.records import Alert, sha
from core.series import kind_of
from domain.alert_lifecycle import AlertLifecycle
from storage.store import AlertGroup
from stream.delivery.digests import Digest

By = Literal["rule", "series", "kind", "severity"]
ALONE = "alert"
_NAMES = (*get_args(By), ALONE)


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """How alerts are put together for one endpoint.

    by: alerts that agree in all of these are one group; (): all alerts are
    wait_s: a new group waits this long for others; 0: nothing is put together, every alert is sent alone and at once
    interval_s: how often a group that was sent is looked at again for alerts that came since
    repeat_s: what still fires, and nobody acknowledged, is sent again so long after its group was sent last; 0: never
    tell_resolved: whether a group is sent when alerts of it that were sent are over
    digest: when all that came since the last one is sent, in place of all of these
    """

    by: tuple[By, ...] = ()
    wait_s: float = 0.0
    interval_s: float = 300.0
    repeat_s: float = 0.0
    tell_resolved: bool = False
    digest: Digest | None = None

    def __post_init__(self) -> None:
        if self.wait_s < 0 or self.interval_s <= 0 or (self.repeat_s and self.repeat_s < self.interval_s):
            raise SettingsError(
                "group_wait_s must not be negative, group_interval_s must be over 0, repeat_interval_s 0 or no shorter than that"
            )
        if self.digest and (self.by or self.wait_s or self.repeat_s or self.tell_resolved):
            raise SettingsError("a digest has its own times: leave group_by, group_wait_s, repeat_interval_s and tell_resolved out")
        if self.by and not self.wait_s:
            raise SettingsError("group_by needs a group_wait_s: without one every alert is sent alone and at once")

    @property
    def alone(self) -> bool:
        """Whether every alert is a group of its own."""
        return not (self.wait_s or self.digest)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as grouping sees it.

    at: since when it may be told of; resolved_at: None while it fires
    anyhow: it is told of though it was over before anybody was told
    """

    alert_id: str
    key: str
    at: datetime
    acknowledged: bool = False
    resolved_at: datetime | None = None
    anyhow: bool = False


def item_of(alert: Alert, life: AlertLifecycle, by: Sequence[By] = (), since: datetime | None = None, *, anyhow: bool = False) -> Item:
    """An alert with its life, for groups by these. since: when it might be told of; None: when it was detected"""
    parts = {"rule": alert.rule, "series": alert.series, "kind": kind_of(alert.series), "severity": alert.severity}
    return Item(
        alert_id=alert.id,
        key="\x1f".join(f"{name}={parts[name]}" for name in by),
        at=since or alert.detected_at,
        acknowledged=life.acknowledged is not None,
        resolved_at=life.resolved.at if life.resolved else None,
        anyhow=anyhow,
    )


def names_of(key: str) -> tuple[str, ...]:
    """In what the alerts of a group with this key agree: rule, series ..., as `by` has it; ALONE where it is the alert itself."""
    return tuple(name for part in key.split("\x1f") if (name := part.partition("=")[0]) in _NAMES)


def due(items: Iterable[Item], planned: Iterable[AlertGroup], grouping: Grouping, endpoint: str, now: datetime) -> list[AlertGroup]:
    """The groups that are to be sent to `endpoint` by `now`, the earliest first; asked again with them in `planned`, none.

    One of each key at most: after a pause, what would have been several is one. An alert that was resolved before anybody was told of
    it is in none, unless it is told of anyhow.
    planned: all groups ever planned whose alerts are in `items`; those of other endpoints are passed over
    """
    found = []
    for key, own, log in _by_key(items, planned, grouping, endpoint):
        at = _due_at(own, log, grouping)
        if at is not None and at <= now:
            found.append(_group(endpoint, key, own, log, grouping, _last_look(at, grouping, now)))
    return sorted(found, key=lambda group: (group.at, group.key))


def next_due(items: Iterable[Item], planned: Iterable[AlertGroup], grouping: Grouping, endpoint: str) -> datetime | None:
    """When `due` will have something if nothing else happens; None: never."""
    times = [_due_at(own, log, grouping) for _, own, log in _by_key(items, planned, grouping, endpoint)]
    return min((at for at in times if at is not None), default=None)


def _by_key(
    items: Iterable[Item], planned: Iterable[AlertGroup], grouping: Grouping, endpoint: str
) -> list[tuple[str, list[Item], list[AlertGroup]]]:
    """(key, items, groups planned, the oldest first) of each group; a group of its own for every alert when nothing is put together.

    What was planned under another key, before the settings changed, counts for the alerts that were in it: they were told of.
    """
    own: dict[str, list[Item]] = {}
    for item in {item.alert_id: item for item in items}.values():
        own.setdefault(f"{ALONE}={item.alert_id}" if grouping.alone else item.key, []).append(item)
    logs: dict[str, dict[str, AlertGroup]] = {}
    for group in (group for group in planned if group.endpoint == endpoint):
        for name in ("key\x1f" + group.key, *group.members):
            logs.setdefault(name, {})[group.id] = group

    def log(key: str) -> list[AlertGroup]:
        found = dict(logs.get("key\x1f" + key, {}))
        for item in own[key]:
            found |= logs.get(item.alert_id, {})
        return sorted(found.values(), key=lambda group: (group.at, group.id))

    return [(key, own[key], log(key)) for key in sorted(own)]


def _told(log: Sequence[AlertGroup]) -> dict[str, bool]:
    """Alert id to whether it fired, of all that the endpoint was told of, by what it was told last."""
    told: dict[str, bool] = {}
    for group in log:
        told |= dict.fromkeys(group.firing, True) | dict.fromkeys(group.resolved, False)
    return told


def _is_news(item: Item, told: Mapping[str, bool]) -> bool:
    """Whether the endpoint was not told of it, and is to be."""
    return not told.get(item.alert_id) if item.resolved_at is None else item.anyhow and item.alert_id not in told


def _due_at(items: Sequence[Item], log: Sequence[AlertGroup], grouping: Grouping) -> datetime | None:
    """When the group of these items is due next."""
    told = _told(log)
    times = [_tick(item.at, items, log, grouping) for item in items if _is_news(item, told)]
    if grouping.tell_resolved:
        over = [item.resolved_at for item in items if item.resolved_at is not None and told.get(item.alert_id)]
        times += [_tick(at, items, log, grouping) for at in over]
    if log and grouping.repeat_s and any(item.resolved_at is None and not item.acknowledged and told.get(item.alert_id) for item in items):
        times.append(log[-1].at + timedelta(seconds=grouping.repeat_s))
    return min(times, default=None)


def _tick(at: datetime, items: Sequence[Item], log: Sequence[AlertGroup], grouping: Grouping) -> datetime:
    """When what happened at `at` is told: at the group's next look; after the wait, where the group is new or was over before."""
    if grouping.digest:
        return grouping.digest.first(max(at, log[-1].at + timedelta(microseconds=1)) if log else at)
    wait, interval = timedelta(seconds=grouping.wait_s), timedelta(seconds=grouping.interval_s)
    if not log:
        return at + wait
    last, told = log[-1].at, _told(log)
    if any(told.get(item.alert_id) and (item.resolved_at is None or item.resolved_at >= at) for item in items):
        return last + max(1, -((last - at) // interval)) * interval
    return max(at + wait, last + interval)


def _last_look(at: datetime, grouping: Grouping, now: datetime) -> datetime:
    """The last look by `now` of a group that is due at `at`: what nobody asked for in time is sent as one."""
    if grouping.digest:
        return grouping.digest.last(now)
    interval = timedelta(seconds=grouping.interval_s)
    return at + (now - at) // interval * interval


def _group(endpoint: str, key: str, items: Sequence[Item], log: Sequence[AlertGroup], grouping: Grouping, at: datetime) -> AlertGroup:
    told = _told(log)
    news = {item.alert_id for item in items if _is_news(item, told) and item.at <= at}
    still = {item.alert_id for item in items if told.get(item.alert_id)} if not grouping.digest else set()
    firing = sorted(item.alert_id for item in items if item.resolved_at is None and item.alert_id in news | still)
    over = sorted(
        (item.alert_id, item.resolved_at)
        for item in items
        if item.resolved_at is not None and (item.alert_id in news or (grouping.tell_resolved and item.alert_id in still))
    )
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    return AlertGroup(
        id=sha("group", endpoint, key, moment, *firing, "resolved", *(ident for ident, _ in over)),
        endpoint=endpoint,
        key=key,
        at=at,
        firing=tuple(firing),
        fresh=tuple(sorted(news)),
        resolved=tuple(ident for ident, _ in over),
        ended=tuple(ended for _, ended in over),
        digest=grouping.digest is not None,
    )
