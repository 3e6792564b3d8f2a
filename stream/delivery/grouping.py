"""Which alerts are sent together, and when: Alertmanager's group_wait, group_interval and repeat_interval. Pure: no clock, no store.

    alerts of one group    a b   c            d
    ───────────────────────┼─┼───┼────────────┼──────────────▶ time
                           └─wait─▶ [a b c]   │
                                   └── interval ──▶ [d]
                                                   └── repeat ──▶ [firing and not acknowledged]

A digest is a group whose times are those of a schedule:  a b c ── 08:00 ──▶ [a b c]

An alert that fires again after it was resolved is sent again, as Alertmanager does, whether or not its resolution was sent:

    fires        resolves   fires again
    ──┼─────────────┼───────────┼────────▶ time
      └─▶ [a]                   └─▶ [a]

Earlier groups are part of the input. The planner stores a group, with its id and members, before it is sent: after a restart the same
group is sent with the same id, and no alert is planned twice.
Source: https://prometheus.io/docs/alerting/latest/configuration/#route; the state is kept per endpoint.
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
from stream.delivery.schedules import DigestSchedule

GroupBy = Literal["rule", "series", "kind", "severity"]
ALONE = "alert"
"""The label in the key of a group that is a single alert by definition."""
_LABELS = (*get_args(GroupBy), ALONE)


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """The grouping of an endpoint.

    by: labels that the alerts of a group share; () puts all alerts into one group
    wait_s: how long a new group waits for further alerts; 0 sends every alert alone, at once
    interval_s: interval between updates to a group already sent
    repeat_s: interval until firing alerts that nobody acknowledged are sent again; 0 for never
    send_resolved: whether a group is sent when alerts of it are resolved
    digest: sends all alerts since the last digest at these times, instead of all of the above
    """

    by: tuple[GroupBy, ...] = ()
    wait_s: float = 0.0
    interval_s: float = 300.0
    repeat_s: float = 0.0
    send_resolved: bool = False
    digest: DigestSchedule | None = None

    def __post_init__(self) -> None:
        if self.wait_s < 0 or self.interval_s <= 0 or (self.repeat_s and self.repeat_s < self.interval_s):
            raise SettingsError("group_wait_s must be >= 0, group_interval_s > 0, and repeat_interval_s 0 or >= group_interval_s")
        if self.digest and (self.by or self.wait_s or self.repeat_s or self.send_resolved):
            raise SettingsError("a digest has its own schedule; remove group_by, group_wait_s, repeat_interval_s and send_resolved")
        if self.by and not self.wait_s:
            raise SettingsError("group_by needs a group_wait_s; without one, every alert is sent alone")

    @property
    def alone(self) -> bool:
        """Whether every alert is a group of its own."""
        return not (self.wait_s or self.digest)


class GroupItem(msgspec.Struct, frozen=True, kw_only=True):
    """An alert, reduced to what grouping needs.

    at: from when it may be sent
    resolved_at: None while it fires
    send_if_resolved: whether it is sent even if it was resolved before it was first sent
    refired_after: what was sent before this time is sent again, because the alert was resolved then and fires again
    """

    alert_id: str
    key: str
    at: datetime
    acknowledged: bool = False
    resolved_at: datetime | None = None
    send_if_resolved: bool = False
    refired_after: datetime | None = None


def group_item(
    alert: Alert, lifecycle: AlertLifecycle, by: Sequence[GroupBy] = (), since: datetime | None = None, *, send_if_resolved: bool = False
) -> GroupItem:
    """The item of an alert.

    Args:
        alert: the alert.
        lifecycle: its state.
        by: the labels of its group.
        since: from when it may be sent; None for its detection.
        send_if_resolved: see GroupItem.
    """
    labels = {"rule": alert.rule, "series": alert.series, "kind": kind_of(alert.series), "severity": alert.severity}
    return GroupItem(
        alert_id=alert.id,
        key="\x1f".join(f"{name}={labels[name]}" for name in by),
        at=max(since or alert.detected_at, lifecycle.refired_after or alert.detected_at),
        acknowledged=lifecycle.acknowledged is not None,
        resolved_at=lifecycle.resolved.at if lifecycle.resolved else None,
        send_if_resolved=send_if_resolved,
        refired_after=lifecycle.refired_after,
    )


def group_labels(key: str) -> tuple[str, ...]:
    """The labels in the key of a group, as in `by`; (ALONE,) for a group that is a single alert."""
    return tuple(name for part in key.split("\x1f") if (name := part.partition("=")[0]) in _LABELS)


def due_groups(
    items: Iterable[GroupItem], planned: Iterable[AlertGroup], grouping: Grouping, endpoint: str, now: datetime
) -> list[AlertGroup]:
    """The groups that are due for `endpoint` by `now`, earliest first. Called again with them in `planned`, it returns none.

    At most one group per key: after a pause, what would have been several groups is one. An alert that was resolved before it was first
    sent is in no group, unless it has send_if_resolved.

    Args:
        items: the alerts that may be sent.
        planned: all earlier groups with these alerts; those of other endpoints are ignored.
        grouping: of the endpoint.
        endpoint: its label.
        now: the time.
    """
    found = []
    for key, own, log in _by_key(items, planned, grouping, endpoint):
        at = _due_at(own, log, grouping)
        if at is not None and at <= now:
            found.append(_group(endpoint, key, own, log, grouping, _last_tick(at, grouping, now)))
    return sorted(found, key=lambda group: (group.at, group.key))


def next_due_at(items: Iterable[GroupItem], planned: Iterable[AlertGroup], grouping: Grouping, endpoint: str) -> datetime | None:
    """When `due_groups` will next return a group, if nothing else happens; None for never."""
    times = [_due_at(own, log, grouping) for _, own, log in _by_key(items, planned, grouping, endpoint)]
    return min((at for at in times if at is not None), default=None)


def _by_key(
    items: Iterable[GroupItem], planned: Iterable[AlertGroup], grouping: Grouping, endpoint: str
) -> list[tuple[str, list[GroupItem], list[AlertGroup]]]:
    """(key, items, earlier groups, oldest first) of each group; without grouping, of each alert.

    Groups that were planned with another key, before the settings changed, count for their alerts, as these have been sent.
    """
    own: dict[str, list[GroupItem]] = {}
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


def _sent_alerts(items: Iterable[GroupItem], log: Sequence[AlertGroup], grouping: Grouping) -> dict[str, bool]:
    """From the ids of all alerts sent to whether each was firing when it was last sent, without those to be sent again."""
    sent: dict[str, bool] = {}
    times: dict[str, datetime] = {}
    for group in log:
        sent |= dict.fromkeys(group.firing, True) | dict.fromkeys(group.resolved, False)
        times |= dict.fromkeys(group.members, group.at)
    for item in items:  # one that was resolved again in the meantime is part of digests only
        again = item.refired_after is not None and (item.resolved_at is None or grouping.digest is not None)
        if again and item.refired_after is not None and times.get(item.alert_id, item.refired_after) < item.refired_after:
            del sent[item.alert_id]
    return sent


def _is_new(item: GroupItem, sent: Mapping[str, bool]) -> bool:
    """Whether the endpoint has not received the alert in this state, and should."""
    return not sent.get(item.alert_id) if item.resolved_at is None else item.send_if_resolved and item.alert_id not in sent


def _due_at(items: Sequence[GroupItem], log: Sequence[AlertGroup], grouping: Grouping) -> datetime | None:
    """When the group of these items is next due."""
    sent = _sent_alerts(items, log, grouping)
    times = [_tick(item.at, items, log, grouping) for item in items if _is_new(item, sent)]
    if grouping.send_resolved:
        resolved = [item.resolved_at for item in items if item.resolved_at is not None and sent.get(item.alert_id)]
        times += [_tick(at, items, log, grouping) for at in resolved]
    if log and grouping.repeat_s and any(item.resolved_at is None and not item.acknowledged and sent.get(item.alert_id) for item in items):
        times.append(log[-1].at + timedelta(seconds=grouping.repeat_s))
    return min(times, default=None)


def _tick(at: datetime, items: Sequence[GroupItem], log: Sequence[AlertGroup], grouping: Grouping) -> datetime:
    """When an event at `at` is sent: at the next interval of the group, or after the wait for a new or completely resolved group."""
    if grouping.digest:
        return grouping.digest.next_at(max(at, log[-1].at + timedelta(microseconds=1)) if log else at)
    wait, interval = timedelta(seconds=grouping.wait_s), timedelta(seconds=grouping.interval_s)
    if not log:
        return at + wait
    last, sent = log[-1].at, _sent_alerts(items, log, grouping)
    if any(sent.get(item.alert_id) and (item.resolved_at is None or item.resolved_at >= at) for item in items):
        return last + max(1, -((last - at) // interval)) * interval
    return max(at + wait, last + interval)


def _last_tick(at: datetime, grouping: Grouping, now: datetime) -> datetime:
    """The last tick by `now` of a group that was due at `at`: missed ticks are sent as one group."""
    if grouping.digest:
        return grouping.digest.last_at(now)
    interval = timedelta(seconds=grouping.interval_s)
    return at + (now - at) // interval * interval


def _group(endpoint: str, key: str, items: Sequence[GroupItem], log: Sequence[AlertGroup], grouping: Grouping, at: datetime) -> AlertGroup:
    sent = _sent_alerts(items, log, grouping)
    new = {item.alert_id for item in items if _is_new(item, sent) and item.at <= at}
    earlier = {item.alert_id for item in items if sent.get(item.alert_id)} if not grouping.digest else set()
    firing = sorted(item.alert_id for item in items if item.resolved_at is None and item.alert_id in new | earlier)
    resolved = sorted(
        (item.alert_id, item.resolved_at)
        for item in items
        if item.resolved_at is not None and (item.alert_id in new or (grouping.send_resolved and item.alert_id in earlier))
    )
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    return AlertGroup(
        id=sha("group", endpoint, key, moment, *firing, "resolved", *(ident for ident, _ in resolved)),
        endpoint=endpoint,
        key=key,
        at=at,
        firing=tuple(firing),
        new_alerts=tuple(sorted(new)),
        resolved=tuple(ident for ident, _ in resolved),
        ended=tuple(ended for _, ended in resolved),
        digest=grouping.digest is not None,
    )
