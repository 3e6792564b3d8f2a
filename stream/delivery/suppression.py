"""Decides whether an alert may be sent to an endpoint now: silences, inhibition and quiet hours.

    a due attempt ─▶ silenced? ─▶ inhibited? ─▶ quiet hours? ─▶ sent
                         └────────────┴──────────────┴─▶ suppressed, with the reason in the store; checked again every minute

A suppressed alert is sent when nothing suppresses it any more, unless it was resolved in the meantime. The exception is an alert that
waited for the end of quiet hours and was resolved automatically: it is still sent, as it reports what happened during the night.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from actions.alert_lifecycles import read_lifecycles
from core import log, metrics
from core.records import Alert, Severity
from core.settings import Settings
from domain.alert_lifecycle import TOCSIN, AlertLifecycle, Inhibition, Silence, inhibitions
from domain.alert_lifecycle.silences import ending_soon, rank
from storage.store import Cause, Store, SuppressedDelivery
from stream.delivery.schedules import Calendars, QuietHours, parse_quiet_hours
from stream.delivery.trading_calendars import load_exchange

MAX_AGE = timedelta(days=31)
"""Alerts that have been suppressed for longer are not sent any more."""
NEVER_QUIET = QuietHours()
_log = log.get_logger(__name__)


class DeliveryRequest(NamedTuple):
    """An attempt that is due. first: whether there was none before"""

    endpoint: str
    alert: Alert
    first: bool = True


class SuppressionDecision(NamedTuple):
    """The answer to a request.

    suppressed: why the alert may not be sent now; None if it may
    earlier: what has suppressed it at this endpoint so far
    """

    request: DeliveryRequest
    lifecycle: AlertLifecycle
    suppressed: SuppressedDelivery | None
    earlier: Sequence[SuppressedDelivery]


class SuppressionPolicy(NamedTuple):
    """The settings of suppression.

    inhibition_rules: which alerts suppress others
    quiet_hours: of all endpoints; endpoint_quiet_hours: from label to the quiet hours of an endpoint with its own
    min_severity: the lowest severity that is delivered in quiet hours; "none" delivers nothing
    """

    inhibition_rules: tuple[Inhibition, ...] = inhibitions(Settings().alert_inhibit)
    quiet_hours: QuietHours = NEVER_QUIET
    endpoint_quiet_hours: Mapping[str, QuietHours] = {}
    min_severity: Severity | Literal["none"] = "critical"

    @classmethod
    def from_settings(cls, settings: Settings, labels: Sequence[str], calendars: Calendars = load_exchange) -> SuppressionPolicy:
        """The policy of the settings. Raises SettingsError. labels: of the endpoints, in the order of the settings"""
        hooks = zip(labels, settings.webhooks, strict=True)
        own = {label: parse_quiet_hours(hook.quiet_hours, calendars) for label, hook in hooks if hook.quiet_hours}
        quiet_hours = parse_quiet_hours(settings.quiet_hours, calendars)
        return cls(inhibitions(settings.alert_inhibit), quiet_hours, own, settings.quiet_hours_except)

    def quiet_until(self, alert: Alert, endpoint: str, now: datetime) -> datetime | None:
        """End of the quiet hours that suppress the alert at this endpoint; None if none do."""
        if self.min_severity != "none" and rank(alert.severity) >= rank(self.min_severity):
            return None
        return self.endpoint_quiet_hours.get(endpoint, self.quiet_hours).end_of(now)


def suppression_of(
    alert: Alert,
    lifecycle: AlertLifecycle,
    endpoint: str,
    now: datetime,
    policy: SuppressionPolicy,
    earlier: Collection[SuppressedDelivery],
) -> SuppressedDelivery | None:
    """Why the alert may not be sent to the endpoint now; None if it may. Pure.

    Args:
        alert: the alert.
        lifecycle: its state at `now`.
        endpoint: the label.
        now: the time.
        policy: of the settings.
        earlier: what has suppressed it at this endpoint so far; () if there was an attempt. An alert that waited for a digest is part
            of it even when resolved.
    """

    def suppress(cause: Cause, owner: str, until: datetime | None, text: str) -> SuppressedDelivery:
        return SuppressedDelivery(alert_id=alert.id, endpoint=endpoint, cause=cause, owner=owner, at=now, until=until, text=text)

    was_quiet = any(each.cause == "quiet hours" for each in earlier)
    resolved = lifecycle.resolved
    if any(each.cause != "digest" for each in earlier) and resolved and not (was_quiet and resolved.actor == TOCSIN):
        return suppress("resolved", resolved.actor, None, f"resolved by {resolved.actor} before it was sent")
    if lifecycle.silenced:
        silence = lifecycle.silenced[0]
        text = f"silenced by {silence.author} until {_utc(silence.until)}: {silence.comment}"
        return suppress("silence", silence.id, silence.until, text)
    if lifecycle.inhibited:
        return suppress("inhibition", lifecycle.inhibited.alert_id, None, f"inhibited by the alert on {lifecycle.inhibited.series}")
    until = policy.quiet_until(alert, endpoint, now)
    return suppress("quiet hours", "quiet hours", until, f"quiet hours until {_utc(until)}") if until else None


class Suppressor:
    """Reads from the store what suppresses alerts, and stores the reasons. Not thread-safe."""

    def __init__(self, store: Store, policy: SuppressionPolicy) -> None:
        self._store, self._policy = store, policy
        self._warned: set[str] = set()

    def allowed(self, requests: Sequence[DeliveryRequest], now: datetime) -> list[DeliveryRequest]:
        """The requests that may be sent now; stores why the others may not. Raises StoreError."""
        decisions = self.decide(requests, now)
        self.record(decisions)
        return [each.request for each in decisions if each.suppressed is None]

    def decide(self, requests: Sequence[DeliveryRequest], now: datetime) -> list[SuppressionDecision]:
        """The decisions, in order. Raises StoreError."""
        if not requests:
            return []
        alerts = list({request.alert.id: request.alert for request in requests}.values())
        lifecycles = read_lifecycles(self._store, alerts, now, self._policy.inhibition_rules)
        known: dict[tuple[str, str], list[SuppressedDelivery]] = {}
        for each in self._store.alert_lifecycle.suppressed([alert.id for alert in alerts]):
            known.setdefault((each.alert_id, each.endpoint), []).append(each)
        decisions = []
        for request in requests:
            alert, endpoint = request.alert, request.endpoint
            lifecycle, earlier = lifecycles[alert.id], known.get((alert.id, endpoint), [])
            suppressed = suppression_of(alert, lifecycle, endpoint, now, self._policy, earlier if request.first else ())
            decisions.append(SuppressionDecision(request, lifecycle, suppressed, earlier))
        return decisions

    def record(self, decisions: Sequence[SuppressionDecision]) -> None:
        """Stores the reasons that are new. Raises StoreError."""
        for each in decisions:
            new = each.suppressed
            if new is not None and not any(_is_same(new, known) for known in each.earlier):
                self._store.alert_lifecycle.suppress([new])
                metrics.WEBHOOKS.labels("suppressed").inc()
                _log.info("delivery_suppressed", endpoint=new.endpoint, alert=new.alert_id, reason=new.text)

    def pending(self, now: datetime) -> list[tuple[str, str]]:
        """(alert id, endpoint) of all suppressed deliveries that may still be sent, sorted. Raises StoreError."""
        rows = self.open_rows(now)
        return sorted({(each.alert_id, each.endpoint) for each in rows})

    def open_rows(self, now: datetime) -> list[SuppressedDelivery]:
        """What suppresses deliveries that may still be sent. Raises StoreError.

        An alert that was resolved before it was sent, and fired again since, may be sent.
        """
        rows = self._store.alert_lifecycle.suppressed_since(now - MAX_AGE)
        refired = self.refired(sorted({each.alert_id for each in rows if each.final}), now)
        final = {(each.alert_id, each.endpoint) for each in rows if each.final and each.alert_id not in refired}
        return [each for each in rows if (each.alert_id, each.endpoint) not in final]

    def refired(self, alert_ids: Sequence[str], now: datetime) -> dict[str, datetime]:
        """From the id of each of these alerts that fires again after a resolution to the time of the resolution. Raises StoreError."""
        if not alert_ids:
            return {}
        events = self._store.alert_lifecycle.events(alert_ids)
        ended = sorted({each.alert_id for each in events if each.kind in ("resolved", "reopened")})
        lifecycles = read_lifecycles(self._store, self._store.alerts.many(ended), now, ())
        return {
            ident: lifecycle.refired_after
            for ident, lifecycle in lifecycles.items()
            if lifecycle.refired_after is not None and lifecycle.resolved is None
        }

    def log_ending_silences(self, now: datetime) -> list[Silence]:
        """Logs once for each silence that it ends soon; returns those that were logged. Raises StoreError."""
        soon = ending_soon(self._store.silences.all(now), now)
        new = [each for each in soon if each.id not in self._warned]
        self._warned = {each.id for each in soon}
        for each in new:
            _log.warning("silence_ends_soon", silence=each.id, at=_utc(each.until), author=each.author, comment=each.comment)
        return new


def _is_same(one: SuppressedDelivery, other: SuppressedDelivery) -> bool:
    """Whether both are equal apart from time and text."""
    return msgspec.structs.replace(one, at=other.at, text="") == msgspec.structs.replace(other, text="")


def _utc(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "?"
