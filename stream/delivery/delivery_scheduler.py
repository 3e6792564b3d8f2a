"""Schedules the delivery of alerts: a first attempt at once, then retries for three days, as Standard Webhooks recommends.

    an alert ─▶ suppression ─▶ first attempt, by `notify` ─▶ delivered
                 │                └─ failed ─▶ due again ─▶ `send_due`, every second ─▶ suppression ─▶ ... ─▶ abandoned
                 └─ suppressed ─▶ `send_due`, when nothing suppresses it any more
    an alert that was sent, resolved, and fires again ─▶ `send_due`, within a minute ─▶ suppression ─▶ first attempt, as above
    a replay that somebody requested ─▶ due now ─▶ suppression ─▶ ... ; test messages are never suppressed
    an alert that waits for a group ─▶ planned by stream/delivery/group_planner.py ─▶ first attempt of the group, by `send_due`

What is due follows from the store alone, from the logs of deliveries and suppressions: the next worker that owns the topic of alerts
continues. A message that a rate limit holds back does not count as an attempt.
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
from storage.tables.notifications import PREFIX
from stream.delivery.formats.base import GONE, is_permanent_failure, is_rate_limited
from stream.delivery.formats.generic import TEST, make_test_alert
from stream.delivery.group_planner import GroupPlanner
from stream.delivery.suppression import MAX_AGE, DeliveryRequest, Suppressor
from stream.delivery.webhooks import Job, Webhooks

RETRY_SCHEDULE_S = (0.0, 5.0, 5 * 60.0, 30 * 60.0, 2 * 3600.0, 5 * 3600.0, 10 * 3600.0, 14 * 3600.0, 20 * 3600.0, 24 * 3600.0)
"""Wait before each attempt, seconds. Source: Standard Webhooks 1.0.0, "Retry schedule with exponential backoff"."""
JITTER = 0.1
"""Each wait is extended by up to this share, so that an endpoint that recovers does not get all alerts at once."""
MAX_DELIVERY_AGE = timedelta(seconds=sum(RETRY_SCHEDULE_S) * (1 + JITTER)) + timedelta(hours=1)
"""After so long, an alert has had its last attempt."""
MAX_PER_CALL = 20
REFRESH_INTERVAL = timedelta(minutes=1)
"""How often the logs are read again."""
REPLAY_POLL_INTERVAL = timedelta(seconds=5)
_log = log.get_logger(__name__)


def next_attempt(last: Delivery) -> datetime | None:
    """When an alert or a group is due again at an endpoint, after its last attempt; None if it was delivered or is abandoned."""
    if is_rate_limited(last):
        return last.sent_at + timedelta(seconds=last.retry_after_s)
    tries = last.attempt - last.first_attempt + 1
    if last.delivered or is_permanent_failure(last) or tries >= len(RETRY_SCHEDULE_S):
        return None
    name = f"{last.alert_id} {last.endpoint} {last.attempt}".encode()
    share = int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "big") / 2**32
    wait_s = max(RETRY_SCHEDULE_S[tries] * (1 + JITTER * share), last.retry_after_s)
    return last.sent_at + timedelta(seconds=wait_s)


def open_replays(replays: Sequence[Replay], deliveries: Sequence[Delivery]) -> list[Replay]:
    """The replays without an attempt since. deliveries: all attempts, or the last ones, of what is to be replayed"""
    last: dict[tuple[str, str], int] = {}
    for each in deliveries:
        key = each.alert_id, each.endpoint
        last[key] = max(each.attempt, last.get(key, 0))
    return [each for each in replays if last.get((each.alert_id, each.endpoint), 0) <= each.after]


class _Due(NamedTuple):
    """An attempt that is due. subject: an alert's id, or a group's with its prefix; released: it was suppressed before

    first_attempt: the attempt of which it is a retry; itself for the first one, also of an alert that fires again
    """

    at: datetime
    subject: str
    endpoint: str
    attempt: int
    parts_delivered: int = 0
    released: bool = False
    first_attempt: int = 1


class DeliveryScheduler:
    """Makes the attempts that are due. Not thread-safe."""

    def __init__(
        self,
        webhooks: Webhooks,
        store: AlertTable,
        suppressor: Suppressor | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        planner: GroupPlanner | None = None,
        replays: ReplayTable | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            webhooks: the endpoints.
            store: alerts and their deliveries.
            suppressor: None to send everything.
            clock: the current time, UTC.
            planner: for endpoints with a grouping.
            replays: the requested replays; None for none.
        """
        self._webhooks, self._store = webhooks, store
        self._suppressor, self._clock, self._planner = suppressor, clock, planner
        self._replays, self._polled_at, self._replays_version = replays, datetime.min.replace(tzinfo=UTC), 0
        self._due: list[_Due] = []
        self._gone: set[str] = set()
        self._refreshed_at: datetime | None = None

    def notify(self, alert: Alert) -> list[Delivery]:
        """Makes the first attempts at all endpoints that accept the alert and have had none, in parallel, and logs them in the store.

        For endpoints with a grouping, the alert is stored as waiting instead.

        Returns:
            The attempts.

        Raises:
            StoreError.
        """
        tried, now = self._tried([alert.id]), self._clock()
        new = [label for label in self._webhooks.labels if (alert.id, label) not in tried and self._accepts(label, alert)]
        if self._planner is not None:
            self._planner.add_waiting(alert, [label for label in new if self._is_grouped(label)], now)
        dues = [(_Due(now, alert.id, label, 1), alert) for label in new if not self._is_grouped(label)]
        return self._send(self._alert_jobs(dues, now))

    def send_due(self, now: datetime) -> list[Delivery]:
        """Makes the attempts that are due by `now`, and logs them in the store. Raises StoreError."""
        if self._has_new_replays(now) or self._refreshed_at is None or now - self._refreshed_at >= REFRESH_INTERVAL:
            self._refresh(now)
        if self._planner is not None:
            for group in self._planner.plan(now, self._accepts):
                heapq.heappush(self._due, _Due(now, group.subject, group.endpoint, 1))
        ready: list[_Due] = []
        while self._due and self._due[0].at <= now and len(ready) < MAX_PER_CALL:
            ready.append(heapq.heappop(self._due))
        tried = self._tried([due.subject for due in ready if due.released])  # `notify` may have sent it in the meantime
        again = sorted({due.subject for due in ready if due.attempt == due.first_attempt > 1})  # and so may another scheduler
        made = {(each.alert_id, each.endpoint, each.attempt) for each in self._store.deliveries(again) if not is_rate_limited(each)}
        alerts = []
        tests = [Job(due.endpoint, make_test_alert(now), due.attempt) for due in ready if due.subject == TEST]
        for due in (due for due in ready if not due.subject.startswith(PREFIX) and due.subject != TEST):
            alert = self._store.get(due.subject)
            already_sent = (due.released and (due.subject, due.endpoint) in tried) or (due.subject, due.endpoint, due.attempt) in made
            if alert is not None and not already_sent and self._accepts(due.endpoint, alert):
                alerts.append((due, alert))
        groups = self._group_jobs([due for due in ready if due.subject.startswith(PREFIX)], now)
        return self._send([*tests, *self._alert_jobs(alerts, now), *groups])

    def _alert_jobs(self, found: Sequence[tuple[_Due, Alert]], now: datetime) -> list[Job]:
        """Jobs for the alerts that are not suppressed."""
        dues = {(due.endpoint, alert.id): due for due, alert in found}
        requests = [DeliveryRequest(due.endpoint, alert, due.attempt == due.first_attempt) for due, alert in found]
        allowed = requests if self._suppressor is None else self._suppressor.allowed(requests, now)
        return [
            Job(request.endpoint, request.alert, due.attempt, due.parts_delivered, due.first_attempt)
            for request in allowed
            for due in [dues[request.endpoint, request.alert.id]]
        ]

    def _group_jobs(self, found: Sequence[_Due], now: datetime) -> list[Job]:
        """Jobs for the groups that are not suppressed."""
        jobs = []
        for due in found:
            bundle = self._planner.bundle(due.subject.removeprefix(PREFIX)) if self._planner else None
            if bundle is None or self._planner is None or not self._is_active(due.endpoint):
                continue
            if self._planner.may_send(due.endpoint, bundle, now):
                jobs.append(Job(due.endpoint, bundle, due.attempt, due.parts_delivered))
        return jobs

    def _tried(self, alert_ids: Sequence[str]) -> set[tuple[str, str]]:
        """(alert id, endpoint) of all attempts, and of all that is or will be part of a group."""
        attempts = self._store.deliveries(alert_ids)
        grouped = self._planner.planned_or_waiting(alert_ids) if self._planner else set[tuple[str, str]]()
        return {(each.alert_id, each.endpoint) for each in attempts} | grouped

    def _is_grouped(self, endpoint: str) -> bool:
        return self._planner is not None and endpoint in self._planner.endpoints

    def _is_active(self, endpoint: str) -> bool:
        return endpoint not in self._gone and self._webhooks.is_active(endpoint)

    def _accepts(self, endpoint: str, alert: Alert) -> bool:
        return endpoint not in self._gone and self._webhooks.accepts(endpoint, alert)

    def _refresh(self, now: datetime) -> None:
        """Reads from the logs what is due, and which endpoints are gone: those whose latest response was 410."""
        known = self._store.last_attempts(now - MAX_AGE)
        lasts = [last for last in known if last.sent_at >= now - MAX_DELIVERY_AGE]
        self._due, self._refreshed_at = self._due_replays(now), now
        replayed = {(due.subject, due.endpoint) for due in self._due}
        self._due += [due for due in self._due_again(known, now) if (due.subject, due.endpoint) not in replayed]
        heapq.heapify(self._due)
        replayed = {(due.subject, due.endpoint) for due in self._due}
        newest: dict[str, Delivery] = {}
        for last in lasts:
            if last.endpoint not in newest or last.sent_at >= newest[last.endpoint].sent_at:
                newest[last.endpoint] = last
            if (last.alert_id, last.endpoint) not in replayed:
                self._schedule_retry(last)
        self._gone = {endpoint for endpoint, last in newest.items() if last.status == GONE}
        if self._suppressor is not None:
            self._suppressor.log_ending_silences(now)
            pending = [(ident, endpoint) for ident, endpoint in self._suppressor.pending(now) if not self._is_grouped(endpoint)]
            tried = self._tried(sorted({ident for ident, _ in pending}))
            for ident, endpoint in pending:
                if (ident, endpoint) not in tried:
                    heapq.heappush(self._due, _Due(now, ident, endpoint, 1, released=True))
        if self._planner is not None:
            for group in self._planner.unsent(now):
                heapq.heappush(self._due, _Due(now, group.subject, group.endpoint, 1))

    def _due_again(self, lasts: Sequence[Delivery], now: datetime) -> list[_Due]:
        """First attempts of the alerts that fire again after a resolution, where the last attempt was before it."""
        alone = [
            each for each in lasts if each.alert_id != TEST and not each.alert_id.startswith(PREFIX) and not self._is_grouped(each.endpoint)
        ]
        refired = self._suppressor.refired(sorted({each.alert_id for each in alone}), now) if self._suppressor is not None else {}
        return [
            _Due(now, each.alert_id, each.endpoint, each.attempt + 1, first_attempt=each.attempt + 1)
            for each in alone
            if each.alert_id in refired and each.sent_at < refired[each.alert_id].replace(microsecond=0)
        ]

    def _has_new_replays(self, now: datetime) -> bool:
        if self._replays is None or now - self._polled_at < REPLAY_POLL_INTERVAL:
            return False
        version = self._replays.version()
        known, self._replays_version, self._polled_at = self._replays_version, version, now
        return version != known

    def _due_replays(self, now: datetime) -> list[_Due]:
        """The open replays: of the whole payload if it was delivered before, otherwise of the parts that were not."""
        if self._replays is None:
            return []
        replays = self._replays.since(now - MAX_DELIVERY_AGE)
        attempts = self._store.deliveries(sorted({each.alert_id for each in replays}))
        last = {(each.alert_id, each.endpoint): each for each in attempts}  # in the order of attempts
        found = []
        for each in open_replays(replays, attempts):
            before = last.get((each.alert_id, each.endpoint))
            parts = before.parts_delivered if before is not None and not before.delivered else 0
            if each.endpoint in self._webhooks.labels:
                first = before.first_attempt if before is not None else 1
                found.append(_Due(now, each.alert_id, each.endpoint, each.after + 1, parts, first_attempt=first))
        return found

    def _schedule_retry(self, last: Delivery) -> None:
        at = next_attempt(last)
        if at is not None and last.alert_id != TEST:
            attempt = last.attempt + (not is_rate_limited(last))
            due = _Due(at, last.alert_id, last.endpoint, attempt, last.parts_delivered, first_attempt=last.first_attempt)
            heapq.heappush(self._due, due)

    def _send(self, jobs: Sequence[Job]) -> list[Delivery]:
        deliveries = self._webhooks.send(jobs)
        self._store.log_deliveries(deliveries)
        for each in deliveries:
            self._schedule_retry(each)
            if each.status == GONE:
                self._gone.add(each.endpoint)
                _log.error("webhook_disabled", endpoint=each.endpoint, reason="HTTP 410: gone")
            if not each.delivered and next_attempt(each) is None:
                metrics.WEBHOOKS.labels("abandoned").inc()
                _log.error("delivery_abandoned", endpoint=each.endpoint, alert=each.alert_id, attempts=each.attempt, error=each.error)
        return deliveries
