"""Which alerts go out together, to the endpoints that ask for it: stream/delivery/grouping.py over the store.

    notify ─▶ take: kept as waiting ─▶ plan, when something is due ─▶ gate ─▶ due ─▶ kept, with id and members ─▶ the courier

What waits and what was planned are in the store before anything is sent, so that a restart sends the same groups with the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from core import log
from core.records import Alert
from storage.store import AlertGroup, Store, SuppressedDelivery
from stream.delivery.digests import said
from stream.delivery.formats.base import Bundle, Member
from stream.delivery.grouping import Grouping, Item, due, item_of, names_of, next_due
from stream.delivery.suppression import Ask, Gate, Judged

REACH = timedelta(days=31)
"""What began to wait longer ago is not asked after any more."""
LOOK_AGAIN = timedelta(minutes=1)
WAITING = ("group", "digest")
_log = log.get_logger(__name__)


class Planner:
    """What endpoints that do not get each alert alone are told, and when. One thread at a time."""

    def __init__(self, store: Store, gate: Gate, groupings: Mapping[str, Grouping]) -> None:
        """groupings: by endpoint"""
        self._store, self._gate, self._groupings = store, gate, groupings
        self._released: dict[tuple[str, str], datetime] = {}
        self._next: datetime | None = None

    @property
    def endpoints(self) -> frozenset[str]:
        """Those that are told by plan."""
        return frozenset(self._groupings)

    def known(self, alert_ids: Sequence[str]) -> set[tuple[str, str]]:
        """(alert id, endpoint) of what was planned, or waits to be, for these alerts. Raises StoreError."""
        planned = self._store.alert_groups.of(alert_ids)
        found = {(ident, group.endpoint) for group in planned for ident in group.members}
        if self._groupings:
            waiting = self._store.alert_lifecycle.suppressed(alert_ids)
            found |= {(each.alert_id, each.endpoint) for each in waiting if each.cause in WAITING and each.endpoint in self._groupings}
        return found

    def hear_of(self, alert: Alert, endpoints: Sequence[str], now: datetime) -> None:
        """Keep that the alert waits for others at these endpoints. Raises StoreError."""
        items = [_waits(alert, label, self._groupings[label], now) for label in endpoints]
        self._store.alert_lifecycle.suppress(items)
        if items:
            self._next = None

    def plan(self, now: datetime, may: Callable[[str, Alert], bool]) -> list[AlertGroup]:
        """The groups that are due, kept in the store; looked for when one may be. Raises StoreError.

        may: whether an endpoint is to be told of an alert at all
        """
        if not self._groupings or (self._next is not None and now < self._next):
            return []
        waiting = self._waiting(now)
        alerts = {each.id: each for each in self._store.alerts.many([ident for ident, _ in waiting])}
        log = self._store.alert_groups.since(now - REACH)
        told = {(ident, group.endpoint) for group in log for ident in group.members}
        asks = [
            Ask(endpoint, alerts[ident], (ident, endpoint) not in told)
            for ident, endpoint in waiting
            if ident in alerts and may(endpoint, alerts[ident])
        ]
        judged = self._gate.judged(asks, now)
        self._gate.keep([each for each in judged if each.ask.first])
        made, following = [], [now + LOOK_AGAIN]
        for endpoint, grouping in self._groupings.items():
            items = [
                self._item(each, grouping, waiting[each.ask.alert.id, endpoint], now)
                for each in judged
                if each.ask.endpoint == endpoint and each.verdict is None
            ]
            found = due(items, log, grouping, endpoint, now)
            made += found
            following += [at for at in [next_due(items, [*log, *found], grouping, endpoint)] if at is not None]
        self._store.alert_groups.keep(made)
        self._next = min(following)
        for group in made:
            counts = {"firing": len(group.firing), "new": len(group.fresh), "resolved": len(group.resolved)}
            _log.info("group planned", endpoint=group.endpoint, group=group.id, **counts)
        return made

    def _waiting(self, now: datetime) -> dict[tuple[str, str], datetime]:
        """(alert id, endpoint) to since when it waits, of all that may be told of."""
        rows = self._store.alert_lifecycle.suppressed_since(now - REACH)
        over = {(each.alert_id, each.endpoint) for each in rows if each.final}
        return {
            (each.alert_id, each.endpoint): each.at
            for each in rows
            if each.cause in WAITING and each.endpoint in self._groupings and (each.alert_id, each.endpoint) not in over
        }

    def _item(self, judged: Judged, grouping: Grouping, since: datetime, now: datetime) -> Item:
        """What was silenced or spoken for waits from when that is over; it is known to the minute where nobody foresaw it."""
        ask = judged.ask
        held = [each for each in judged.before if each.cause in ("silence", "inhibition")]
        if ask.first and held:
            ends = [each.until for each in held]
            known = max((end for end in ends if end is not None), default=now)
            at = known if known <= now and None not in ends else now
            since = max(since, self._released.setdefault((ask.alert.id, ask.endpoint), at))
        else:
            self._released.pop((ask.alert.id, ask.endpoint), None)
        return item_of(ask.alert, judged.life, grouping.by, since, anyhow=judged.life.resolved is not None)

    def untried(self, now: datetime) -> list[AlertGroup]:
        """Groups that were planned and never sent: whoever planned them ended before. Raises StoreError."""
        log = self._store.alert_groups.since(now - REACH)
        made = self._store.alerts.deliveries([group.subject for group in log])
        tried = {each.alert_id for each in made}
        return [group for group in log if group.subject not in tried]

    def bundle(self, group_id: str) -> Bundle | None:
        """What is sent, the same whenever it is asked for; None: there is no such group. Raises StoreError."""
        group = self._store.alert_groups.get(group_id)
        if group is None:
            return None
        alerts = {each.id: each for each in self._store.alerts.many(group.members)}
        ended = dict(zip(group.resolved, group.ended, strict=True))
        members = [Member(alerts[ident], ended.get(ident), ident in group.fresh) for ident in group.members if ident in alerts]
        return Bundle(group.id, group.at, tuple(members), names_of(group.key), group.digest) if members else None

    def may_go(self, endpoint: str, bundle: Bundle, now: datetime) -> bool:
        """Whether anything in it may be sent now, of what fires where anything does; why it may not is kept. Raises StoreError."""
        speaking = [each for each in bundle.members if each.resolved_at is None] or bundle.members
        return bool(self._gate.let_through([Ask(endpoint, each.alert, first=False) for each in speaking], now))


def _waits(alert: Alert, endpoint: str, grouping: Grouping, now: datetime) -> SuppressedDelivery:
    until = grouping.digest.first(now) if grouping.digest else now + timedelta(seconds=grouping.wait_s)
    text = f"waits for the digest of {said(until)}" if grouping.digest else f"waits up to {grouping.wait_s:g} s for others"
    cause = "digest" if grouping.digest else "group"
    return SuppressedDelivery(alert_id=alert.id, endpoint=endpoint, cause=cause, owner=cause, at=now, until=until, text=text)  # type: ignore[arg-type]
