"""The delivery log, replays and test deliveries, for the dashboard and the command line.

The worker sends replays and tests (stream/delivery/delivery_scheduler.py): the dashboard's process may have no access to the
endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from actions.audited_actions import AuditedActions
from core.errors import Conflict, InvalidInput, NotFound
from core.settings import Settings
from dashboard.services import DAYS, OUTCOMES, DeliveryLog, DeliveryOutcome, DeliveryRecord, EndpointStatus
from storage.store import AlertGroup, Delivery, Replay, Store
from stream.delivery.delivery_scheduler import MAX_DELIVERY_AGE, next_attempt, open_replays
from stream.delivery.endpoints import endpoints as parsed
from stream.delivery.formats.base import GONE, is_rate_limited
from stream.delivery.formats.generic import TEST

MOST_AT_ONCE = 500


class EndpointState(msgspec.Struct, frozen=True, kw_only=True):
    """Current state of an endpoint.

    state: ok, waiting (rate limited), failing, gone (410: nothing more is sent), paused (by its setting) or unused
    keyword: the setting of this name
    """

    endpoint: str
    state: str
    last_at: datetime | None = None
    status: int = 0
    error: str = ""
    waiting: int = 0
    keyword: str = ""


def states(settings: Settings, lasts: Sequence[Delivery]) -> list[EndpointState]:
    """The state of every configured endpoint. Raises UserError. lasts: last attempts of a period"""
    found = []
    for endpoint in parsed(settings.webhooks):
        own = sorted((last for last in lasts if last.endpoint == endpoint.label), key=lambda last: last.sent_at)
        last: Delivery | None = own[-1] if own else None
        state = "unused" if last is None else "ok" if last.delivered else "gone" if last.status == GONE else "failing"
        state = "waiting" if last is not None and is_rate_limited(last) else state
        state = "paused" if endpoint.filter.paused else state
        found.append(
            EndpointState(
                endpoint=endpoint.label,
                state=state,
                keyword=endpoint.options.keyword,
                last_at=last.sent_at if last else None,
                status=last.status if last else 0,
                error=last.error if last else "",
                waiting=sum(next_attempt(each) is not None for each in own),
            )
        )
    return found


class StoredDeliveryService:
    """Implements dashboard.services.DeliveryService."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], datetime]) -> None:
        self._settings, self._store, self._now = settings, store, now

    def log(self) -> DeliveryLog:
        """The deliveries of the last DAYS. Raises UserError for invalid webhooks, StoreError."""
        now = self._now()
        since = now - timedelta(days=DAYS)
        lasts = self._store.alerts.last_attempts(since)
        known = states(self._settings, lasts)
        groups = {group.subject: group for group in self._store.alert_groups.since(since)}
        requested = {
            (each.alert_id, each.endpoint): each for each in open_replays(self._store.replays.since(now - MAX_DELIVERY_AGE), lasts)
        }
        by_name = {each.endpoint: each for each in known}
        sent = sorted((_sent(last, by_name.get(last.endpoint), groups, requested, now) for last in lasts), key=_newest_first)
        gone = sorted({each.endpoint for each in sent} - set(by_name))
        places = [_place(each.endpoint, each.state, sent, each.keyword) for each in known] + [_place(name, "", sent) for name in gone]
        return DeliveryLog(tuple(places), tuple(sent))

    def replay(self, endpoint: str, subjects: Sequence[str], actions: AuditedActions) -> int:
        """Request a replay of these deliveries. Returns how many. Raises UserError, StoreError."""
        self._must_be_open(endpoint)
        if len(subjects) > MOST_AT_ONCE:
            raise InvalidInput(f"{len(subjects)} deliveries are too many; the limit is {MOST_AT_ONCE}")
        made = self._store.alerts.deliveries(list(subjects))
        last = {each.alert_id: each.attempt for each in made if each.endpoint == endpoint}
        unknown = [subject for subject in subjects if subject not in last or subject == TEST]
        if unknown:
            raise NotFound(f"{unknown[0][:64]!r} was never sent to {endpoint}")
        actions.replay(endpoint, last)
        return len(last)

    def replay_failed(self, endpoint: str, actions: AuditedActions) -> int:
        """Request a replay of all failed and dead deliveries, the newest if there are too many. Raises UserError, StoreError."""
        self._must_be_open(endpoint)
        found = [each.subject for each in self.log().deliveries if each.endpoint == endpoint and each.outcome in ("failed", "dead")]
        subjects = [subject for subject in found if subject != TEST][:MOST_AT_ONCE]
        return self.replay(endpoint, subjects, actions) if subjects else 0

    def send_test(self, endpoint: str, actions: AuditedActions) -> None:
        """Request a test delivery. Raises UserError, StoreError."""
        self._state(endpoint)
        made = [each.attempt for each in self._store.alerts.deliveries([TEST]) if each.endpoint == endpoint]
        actions.send_test(endpoint, TEST, max(made, default=0))

    def _state(self, endpoint: str) -> str:
        found = states(self._settings, self._store.alerts.last_attempts(self._now() - timedelta(days=DAYS)))
        state = next((each.state for each in found if each.endpoint == endpoint), None)
        if state is None:
            raise NotFound(f"no webhook {endpoint[:64]!r}: {', '.join(each.endpoint for each in found) or 'none are configured'}")
        return state

    def _must_be_open(self, endpoint: str) -> None:
        state = self._state(endpoint)
        if state == "paused":
            raise Conflict(f"{endpoint} is paused in the settings")
        if state == "gone":
            raise Conflict(f"{endpoint} is gone (410); send a test first: it is used again once a test succeeds")


def _newest_first(each: DeliveryRecord) -> tuple[float, str, str]:
    return -each.sent_at.timestamp(), each.endpoint, each.subject


def _sent(
    last: Delivery, place: EndpointState | None, groups: dict[str, AlertGroup], requested: dict[tuple[str, str], Replay], now: datetime
) -> DeliveryRecord:
    group, wanted = groups.get(last.alert_id), requested.get((last.alert_id, last.endpoint))
    due = next_attempt(last) if last.alert_id != TEST else None
    outcome: DeliveryOutcome
    if wanted is not None and place is not None:
        outcome, due = "waiting", now
    elif last.delivered:
        outcome = "delivered"
    elif place is None or place.state == "gone" or due is None or last.sent_at < now - MAX_DELIVERY_AGE:
        outcome, due = "dead", None
    else:
        outcome = "waiting" if is_rate_limited(last) else "failed"
    alone = () if last.alert_id == TEST else (last.alert_id,)
    return DeliveryRecord(
        subject=last.alert_id,
        endpoint=last.endpoint,
        attempt=last.attempt,
        sent_at=last.sent_at,
        status=last.status,
        error=last.error,
        outcome=outcome,
        alert_ids=group.members if group else alone,
        next_at=due,
        requested_by=wanted.actor if wanted else "",
    )


def _place(name: str, state: str, sent: Sequence[DeliveryRecord], keyword: str = "") -> EndpointStatus:
    own = [each for each in sent if each.endpoint == name]
    counts = {outcome: sum(each.outcome == outcome for each in own) for outcome in OUTCOMES}
    return EndpointStatus(name, state, own[0].sent_at if own else None, counts, keyword)
