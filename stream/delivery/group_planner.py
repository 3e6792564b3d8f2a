"""Plans groups and digests for the endpoints that ask for them: stream/delivery/grouping.py over the store.

    notify ─▶ add_waiting: stored as waiting ─▶ plan, when a group is due ─▶ suppression ─▶ groups, stored ─▶ the delivery scheduler

Waiting alerts and planned groups are stored before anything is sent, so that a restart sends the same groups with the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from core import log
from core.records import Alert
from storage.store import AlertGroup, Store, SuppressedDelivery
from stream.delivery.formats.alert_text import format_utc
from stream.delivery.formats.base import Bundle, Member
from stream.delivery.grouping import Grouping, GroupItem, due_groups, group_item, group_labels, next_due_at
from stream.delivery.suppression import DeliveryRequest, SuppressionDecision, Suppressor

MAX_AGE = timedelta(days=31)
"""Alerts that have waited for longer are not sent any more."""
REFRESH_INTERVAL = timedelta(minutes=1)
WAITING = ("group", "digest")
_log = log.get_logger(__name__)


class GroupPlanner:
    """Plans what is sent to the endpoints with a grouping. Not thread-safe."""

    def __init__(self, store: Store, suppressor: Suppressor, groupings: Mapping[str, Grouping]) -> None:
        """groupings: by endpoint"""
        self._store, self._suppressor, self._groupings = store, suppressor, groupings
        self._released: dict[tuple[str, str], datetime] = {}
        self._next: datetime | None = None

    @property
    def endpoints(self) -> frozenset[str]:
        """The endpoints with a grouping."""
        return frozenset(self._groupings)

    def planned_or_waiting(self, alert_ids: Sequence[str]) -> set[tuple[str, str]]:
        """(alert id, endpoint) of all groups with these alerts, and of all that wait for a group. Raises StoreError."""
        planned = self._store.alert_groups.of(alert_ids)
        found = {(ident, group.endpoint) for group in planned for ident in group.members}
        if self._groupings:
            waiting = self._store.alert_lifecycle.suppressed(alert_ids)
            found |= {(each.alert_id, each.endpoint) for each in waiting if each.cause in WAITING and each.endpoint in self._groupings}
        return found

    def add_waiting(self, alert: Alert, endpoints: Sequence[str], now: datetime) -> None:
        """Stores that the alert waits for a group at these endpoints. Raises StoreError."""
        rows = [_waiting(alert, label, self._groupings[label], now) for label in endpoints]
        self._store.alert_lifecycle.suppress(rows)
        if rows:
            self._next = None

    def plan(self, now: datetime, accepts: Callable[[str, Alert], bool]) -> list[AlertGroup]:
        """The groups that are due, stored. Reads the store only when a group may be due.

        Args:
            now: the time.
            accepts: whether an endpoint receives an alert at all.

        Raises:
            StoreError.
        """
        if not self._groupings or (self._next is not None and now < self._next):
            return []
        waiting = self._waiting(now)
        alerts = {each.id: each for each in self._store.alerts.many([ident for ident, _ in waiting])}
        log = self._store.alert_groups.since(now - MAX_AGE)
        sent = {(ident, group.endpoint): group.at for group in log for ident in group.members}
        requests = [
            DeliveryRequest(endpoint, alerts[ident], (ident, endpoint) not in sent)
            for ident, endpoint in waiting
            if ident in alerts and accepts(endpoint, alerts[ident])
        ]
        decisions = self._suppressor.decide(requests, now)
        self._suppressor.record([each for each in decisions if each.request.first or _is_unsent_again(each, sent)])
        groups, next_times = [], [now + REFRESH_INTERVAL]
        for endpoint, grouping in self._groupings.items():
            items = [
                self._item(each, grouping, waiting[each.request.alert.id, endpoint], now, again=_is_unsent_again(each, sent))
                for each in decisions
                if each.request.endpoint == endpoint and each.suppressed is None
            ]
            found = due_groups(items, log, grouping, endpoint, now)
            groups += found
            next_times += [at for at in [next_due_at(items, [*log, *found], grouping, endpoint)] if at is not None]
        self._store.alert_groups.insert(groups)
        self._next = min(next_times)
        for group in groups:
            counts = {"firing": len(group.firing), "new": len(group.new_alerts), "resolved": len(group.resolved)}
            _log.info("group_planned", endpoint=group.endpoint, group=group.id, **counts)
        return groups

    def _waiting(self, now: datetime) -> dict[tuple[str, str], datetime]:
        """From (alert id, endpoint) to the start of its wait, of all that may still be sent."""
        rows = self._suppressor.open_rows(now)
        return {(each.alert_id, each.endpoint): each.at for each in rows if each.cause in WAITING and each.endpoint in self._groupings}

    def _item(self, decision: SuppressionDecision, grouping: Grouping, since: datetime, now: datetime, *, again: bool) -> GroupItem:
        """The item of an alert. One that was silenced or inhibited waits from the end of that, known to the minute if it was unforeseen.

        again: whether it fires again and is not sent yet; it waits from then, known to the minute
        """
        request, lifecycle = decision.request, decision.lifecycle
        earlier = [each for each in decision.earlier if each.cause in ("silence", "inhibition")]
        if request.first and earlier:
            ends = [each.until for each in earlier]
            known = max((end for end in ends if end is not None), default=now)
            at = known if known <= now and None not in ends else now
            since = max(since, self._released.setdefault((request.alert.id, request.endpoint), at))
        elif again:
            since = self._released.setdefault((request.alert.id, request.endpoint), now.replace(second=0, microsecond=0))
        else:
            self._released.pop((request.alert.id, request.endpoint), None)
        return group_item(request.alert, lifecycle, grouping.by, since, send_if_resolved=lifecycle.resolved is not None)

    def unsent(self, now: datetime) -> list[AlertGroup]:
        """Groups that were planned and never sent, because the process ended in between. Raises StoreError."""
        log = self._store.alert_groups.since(now - MAX_AGE)
        attempts = self._store.alerts.deliveries([group.subject for group in log])
        tried = {each.alert_id for each in attempts}
        return [group for group in log if group.subject not in tried]

    def bundle(self, group_id: str) -> Bundle | None:
        """The content of a group, the same at every call; None for an unknown group. Raises StoreError."""
        group = self._store.alert_groups.get(group_id)
        if group is None:
            return None
        alerts = {each.id: each for each in self._store.alerts.many(group.members)}
        ended = dict(zip(group.resolved, group.ended, strict=True))
        members = [Member(alerts[ident], ended.get(ident), ident in group.new_alerts) for ident in group.members if ident in alerts]
        return Bundle(group.id, group.at, tuple(members), group_labels(group.key), group.digest) if members else None

    def may_send(self, endpoint: str, bundle: Bundle, now: datetime) -> bool:
        """Whether any of its firing alerts, or of all if none fires, may be sent now; stores why others may not. Raises StoreError."""
        members = [each for each in bundle.members if each.resolved_at is None] or bundle.members
        return bool(self._suppressor.allowed([DeliveryRequest(endpoint, each.alert, first=False) for each in members], now))


def _is_unsent_again(decision: SuppressionDecision, sent: Mapping[tuple[str, str], datetime]) -> bool:
    """Whether the alert fires again and has not been sent to the endpoint since."""
    lifecycle = decision.lifecycle
    at = sent.get((decision.request.alert.id, decision.request.endpoint))
    return lifecycle.resolved is None and lifecycle.refired_after is not None and at is not None and at < lifecycle.refired_after


def _waiting(alert: Alert, endpoint: str, grouping: Grouping, now: datetime) -> SuppressedDelivery:
    if grouping.digest:
        until = grouping.digest.next_at(now)
        text = f"waits for the digest of {format_utc(until)}"
        return SuppressedDelivery(alert_id=alert.id, endpoint=endpoint, cause="digest", owner="digest", at=now, until=until, text=text)
    until = now + timedelta(seconds=grouping.wait_s)
    text = f"waits up to {grouping.wait_s:g} s for further alerts"
    return SuppressedDelivery(alert_id=alert.id, endpoint=endpoint, cause="group", owner="group", at=now, until=until, text=text)
