"""Alerts to endpoints that may be away for hours: at once, then on the schedule that Standard Webhooks recommends, for three days.

    an alert ─▶ gate ─▶ first attempt, by `notify` ─▶ taken
                 │           └─ not taken ─▶ due again ─▶ `due`, every few seconds ─▶ gate ─▶ ... ─▶ given up after the last
                 └─ withheld ─▶ `due`, when nothing holds it any more
    what a person wants sent once more ─▶ due now ─▶ gate ─▶ ... ; a test goes through no gate
    one that waits for others ─▶ planned with them (stream/delivery/group_planner.py) ─▶ the group's first attempt, by `due`, and so on

What is due follows from the store alone, from the log of deliveries and of what was withheld: whoever owns the topic of alerts next
goes on with it. An endpoint that takes only so many messages a minute is spared in between: that is no attempt.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from core import log, metrics
from core.records import Alert
from storage.store import AlertTable, Delivery, Replay, ReplayTable
from storage.tables.alert_groups import PREFIX
from stream.delivery.formats.base import GONE, is_permanent_failure, is_rate_limited
from stream.delivery.formats.generic import TEST, make_test_alert
from stream.delivery.group_planner import Planner
from stream.delivery.suppression import Ask, Gate
from stream.delivery.webhooks import Job, Webhooks

SCHEDULE_S = (0.0, 5.0, 5 * 60.0, 30 * 60.0, 2 * 3600.0, 5 * 3600.0, 10 * 3600.0, 14 * 3600.0, 20 * 3600.0, 24 * 3600.0)
"""How long after the attempt before it each one is made. Source: Standard Webhooks 1.0.0, "Retry schedule with exponential backoff"."""
JITTER = 0.1
"""Each wait is longer by up to this share: endpoints that come back are not met by all alerts in one moment."""
REACH = timedelta(seconds=sum(SCHEDULE_S) * (1 + JITTER)) + timedelta(hours=1)
"""An alert that was raised longer ago has had its last attempt."""
AT_ONCE = 20
LOOK_AGAIN = timedelta(minutes=1)
ASK_AGAIN = timedelta(seconds=5)
"""How often is asked whether people want something sent once more."""
_log = log.get_logger(__name__)


def next_attempt(last: Delivery) -> datetime | None:
    """When an alert, or a group, is due again at an endpoint, after its last attempt there; None: it was taken, or is given up."""
    if is_rate_limited(last):
        return last.sent_at + timedelta(seconds=last.retry_after_s)
    if last.delivered or is_permanent_failure(last) or last.attempt >= len(SCHEDULE_S):
        return None
    name = f"{last.alert_id} {last.endpoint} {last.attempt}".encode()
    share = int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "big") / 2**32
    wait_s = max(SCHEDULE_S[last.attempt] * (1 + JITTER * share), last.retry_after_s)
    return last.sent_at + timedelta(seconds=wait_s)


def open_replays(asked: Sequence[Replay], made: Sequence[Delivery]) -> list[Replay]:
    """What was asked for and is not done: no attempt was made since. made: the attempts, or the last ones, for what was asked for"""
    last: dict[tuple[str, str], int] = {}
    for each in made:
        key = each.alert_id, each.endpoint
        last[key] = max(each.attempt, last.get(key, 0))
    return [each for each in asked if last.get((each.alert_id, each.endpoint), 0) <= each.after]


class _Due(NamedTuple):
    """subject: an alert's id, or a group's with its prefix"""

    at: datetime
    subject: str
    endpoint: str
    attempt: int
    taken: int = 0
    released: bool = False


class Courier:
    """Who tells the endpoints. One thread at a time."""

    def __init__(
        self,
        webhooks: Webhooks,
        store: AlertTable,
        gate: Gate | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        planner: Planner | None = None,
        replays: ReplayTable | None = None,
    ) -> None:
        """gate: what may be sent; None: everything. planner: of endpoints that are told of several alerts at once

        replays: what people want sent once more; None: nobody is asked
        """
        self._webhooks, self._store = webhooks, store
        self._gate, self._clock, self._planner = gate, clock, planner
        self._replays, self._asked, self._version = replays, datetime.min.replace(tzinfo=UTC), 0
        self._due: list[_Due] = []
        self._gone: set[str] = set()
        self._looked: datetime | None = None

    def notify(self, alert: Alert) -> list[Delivery]:
        """A first attempt at every endpoint that wants it and was not tried yet, all at once; what came of each, logged.

        Where alerts are put together, it begins to wait for others. Raises StoreError.
        """
        tried, now = self._tried([alert.id]), self._clock()
        new = [label for label in self._webhooks.labels if (alert.id, label) not in tried and self._may(label, alert)]
        if self._planner is not None:
            self._planner.hear_of(alert, [label for label in new if self._is_planned(label)], now)
        return self._send(self._alone([(_Due(now, alert.id, label, 1), alert) for label in new if not self._is_planned(label)], now))

    def due(self, now: datetime) -> list[Delivery]:
        """The attempts that are due by now; what came of each, logged. Raises StoreError."""
        if self._is_asked(now) or self._looked is None or now - self._looked >= LOOK_AGAIN:
            self._look(now)
        if self._planner is not None:
            for group in self._planner.plan(now, self._may):
                heapq.heappush(self._due, _Due(now, group.subject, group.endpoint, 1))
        ready: list[_Due] = []
        while self._due and self._due[0].at <= now and len(ready) < AT_ONCE:
            ready.append(heapq.heappop(self._due))
        tried = self._tried([due.subject for due in ready if due.released])  # `notify` may have been faster
        alerts = []
        tests = [Job(due.endpoint, make_test_alert(now), due.attempt) for due in ready if due.subject == TEST]
        for due in (due for due in ready if not due.subject.startswith(PREFIX) and due.subject != TEST):
            alert = self._store.get(due.subject)
            again = due.released and (due.subject, due.endpoint) in tried
            if alert is not None and not again and self._may(due.endpoint, alert):
                alerts.append((due, alert))
        together = self._together([due for due in ready if due.subject.startswith(PREFIX)], now)
        return self._send([*tests, *self._alone(alerts, now), *together])

    def _alone(self, found: Sequence[tuple[_Due, Alert]], now: datetime) -> list[Job]:
        """The attempts that the gate lets through."""
        dues = {(due.endpoint, alert.id): due for due, alert in found}
        asks = [Ask(due.endpoint, alert, due.attempt == 1) for due, alert in found]
        free = asks if self._gate is None else self._gate.let_through(asks, now)
        return [Job(ask.endpoint, ask.alert, due.attempt, due.taken) for ask in free for due in [dues[ask.endpoint, ask.alert.id]]]

    def _together(self, found: Sequence[_Due], now: datetime) -> list[Job]:
        """The same for groups."""
        jobs = []
        for due in found:
            bundle = self._planner.bundle(due.subject.removeprefix(PREFIX)) if self._planner else None
            if bundle is not None and self._planner and self._is_open(due.endpoint) and self._planner.may_go(due.endpoint, bundle, now):
                jobs.append(Job(due.endpoint, bundle, due.attempt, due.taken))
        return jobs

    def _tried(self, alert_ids: Sequence[str]) -> set[tuple[str, str]]:
        """(alert id, endpoint) of every attempt that was made, and of what is to be sent in a group."""
        made = self._store.deliveries(alert_ids)
        known = self._planner.known(alert_ids) if self._planner else set[tuple[str, str]]()
        return {(delivery.alert_id, delivery.endpoint) for delivery in made} | known

    def _is_planned(self, endpoint: str) -> bool:
        return self._planner is not None and endpoint in self._planner.endpoints

    def _is_open(self, endpoint: str) -> bool:
        return endpoint not in self._gone and self._webhooks.is_active(endpoint)

    def _may(self, endpoint: str, alert: Alert) -> bool:
        return endpoint not in self._gone and self._webhooks.accepts(endpoint, alert)

    def _look(self, now: datetime) -> None:
        """Learn from the log what is due, and which endpoints have said that they are gone (until one takes something again)."""
        lasts = self._store.last_attempts(now - REACH)
        self._due, self._looked = self._wanted(now), now
        heapq.heapify(self._due)
        wanted = {(due.subject, due.endpoint) for due in self._due}
        newest: dict[str, Delivery] = {}
        for last in lasts:
            if last.endpoint not in newest or last.sent_at >= newest[last.endpoint].sent_at:
                newest[last.endpoint] = last
            if (last.alert_id, last.endpoint) not in wanted:
                self._plan(last)
        self._gone = {endpoint for endpoint, last in newest.items() if last.status == GONE}
        if self._gate is not None:
            self._gate.warn(now)
            waiting = [(ident, endpoint) for ident, endpoint in self._gate.waiting(now) if not self._is_planned(endpoint)]
            tried = self._tried(sorted({ident for ident, _ in waiting}))
            for ident, endpoint in waiting:
                if (ident, endpoint) not in tried:
                    heapq.heappush(self._due, _Due(now, ident, endpoint, 1, released=True))
        if self._planner is not None:
            for group in self._planner.untried(now):
                heapq.heappush(self._due, _Due(now, group.subject, group.endpoint, 1))

    def _is_asked(self, now: datetime) -> bool:
        """Whether somebody has asked for something since this was called last."""
        if self._replays is None or now - self._asked < ASK_AGAIN:
            return False
        version = self._replays.version()
        known, self._version, self._asked = self._version, version, now
        return version != known

    def _wanted(self, now: datetime) -> list[_Due]:
        """What people want sent once more, and was not; all of it where it was taken, the rest where it was not."""
        if self._replays is None:
            return []
        asked = self._replays.since(now - REACH)
        made = self._store.deliveries(sorted({each.alert_id for each in asked}))
        last = {(each.alert_id, each.endpoint): each for each in made}  # in the order of attempts
        found = []
        for each in open_replays(asked, made):
            before = last.get((each.alert_id, each.endpoint))
            taken = before.taken if before is not None and not before.delivered else 0
            if each.endpoint in self._webhooks.labels:
                found.append(_Due(now, each.alert_id, each.endpoint, each.after + 1, taken))
        return found

    def _plan(self, last: Delivery) -> None:
        at = next_attempt(last)
        if at is not None and last.alert_id != TEST:
            heapq.heappush(self._due, _Due(at, last.alert_id, last.endpoint, last.attempt + (not is_rate_limited(last)), last.taken))

    def _send(self, jobs: Sequence[Job]) -> list[Delivery]:
        made = self._webhooks.send(jobs)
        self._store.log(made)
        for delivery in made:
            self._plan(delivery)
            if delivery.status == GONE:
                self._gone.add(delivery.endpoint)
                _log.error("webhook disabled", endpoint=delivery.endpoint, reason="it answered 410: gone")
            if not delivery.delivered and next_attempt(delivery) is None:
                metrics.WEBHOOKS.labels("given up").inc()
                _log.error(
                    "alert given up", endpoint=delivery.endpoint, alert=delivery.alert_id, attempts=delivery.attempt, error=delivery.error
                )
        return made
