"""Events of an alert, and the state that follows from them:

    pending ─▶ firing ─▶ acknowledged ─▶ resolved
                  ▲           │ unacknowledged   │ reopened, or over its threshold again
                  └───────────┴──────────────────┘

Events are only added, each under an id that follows from its content. The state is computed from all of them, so that concurrent
writers lose nothing and every reader of the same events computes the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from core.errors import InvalidInput
from core.records import Alert, sha
from domain.alert_lifecycle.silences import Silence

EventKind = Literal[
    "acknowledged", "unacknowledged", "assigned", "note", "resolved", "reopened", "verdict_right", "verdict_false", "verdict_late"
]
"""A verdict (domain/alert_lifecycle/verdicts.py) does not change the state; a resolved alert may get one too."""
State = Literal["pending", "firing", "acknowledged", "resolved"]
STATES: tuple[State, ...] = ("pending", "firing", "acknowledged", "resolved")

TOCSIN = "tocsin"
"""The actor of automatic resolution; no person may use this name."""
MAX_ACTOR_CHARS = 100
MAX_TEXT_CHARS = 4_000


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one alert.

    Attributes:
        id: hash of the content, so that the same event written twice is one
        at: aware UTC, to the microsecond, as a person may act twice within a second
        text: of "note" its text, of "assigned" the assignee ("" for none), otherwise an optional reason
    """

    id: str
    alert_id: str
    at: datetime
    kind: EventKind
    actor: str
    text: str = ""


class LifecycleAction(msgspec.Struct, frozen=True, kw_only=True):
    """Who acted on an alert, and when."""

    actor: str
    at: datetime


class Inhibitor(msgspec.Struct, frozen=True, kw_only=True):
    """The alert that suppresses another one."""

    alert_id: str
    series: str


class AlertLifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an alert and what led to it.

    Attributes:
        last_breach_at: when its series was last seen over the threshold; not before the alert was detected
        reopened: the last reopening by a person
        refired_after: the last automatic resolution after which the series was over its threshold again, or the last reopening; what was
            sent before it is sent again. None if there was none
        silenced, inhibited: what suppresses delivery now; the alert is stored and shown all the same
    """

    alert_id: str
    state: State
    last_breach_at: datetime
    acknowledged: LifecycleAction | None = None
    resolved: LifecycleAction | None = None
    reopened: LifecycleAction | None = None
    refired_after: datetime | None = None
    assignee: str = ""
    notes: tuple[AlertEvent, ...] = ()
    silenced: tuple[Silence, ...] = ()
    inhibited: Inhibitor | None = None


def event(alert_id: str, kind: EventKind, actor: str, at: datetime, text: str = "") -> AlertEvent:
    """The event of an action by a person.

    Raises:
        InvalidInput: the actor or the text is missing, too long or not printable, or the actor is "tocsin"
    """
    actor, text = actor.strip(), text.strip()
    if not actor or len(actor) > MAX_ACTOR_CHARS or not actor.isprintable():
        raise InvalidInput(f"the actor needs a name of at most {MAX_ACTOR_CHARS} printable characters")
    if actor.casefold() == TOCSIN:
        raise InvalidInput(f"{TOCSIN!r} is reserved for the program; use your own name")
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput(f"a text of {len(text):,} characters is too long; the limit is {MAX_TEXT_CHARS:,}")
    if kind == "note" and not text:
        raise InvalidInput("a note needs a text")
    return _event(alert_id, kind, actor, at, text)


def _event(alert_id: str, kind: EventKind, actor: str, at: datetime, text: str) -> AlertEvent:
    at = at.astimezone(UTC)
    ident = sha("event", alert_id, kind, actor, at.isoformat(timespec="microseconds"), text)
    return AlertEvent(id=ident, alert_id=alert_id, at=at, kind=kind, actor=actor, text=text)


def lifecycle_of(
    alert: Alert, events: Iterable[AlertEvent], last_breach_at: datetime | None = None, *, hold_s: float = 0.0
) -> AlertLifecycle:
    """The lifecycle of `alert` after these events, without silences and inhibitions.

    The first acknowledgement or resolution counts until it is undone, except that a person's resolution replaces an automatic
    one. An automatic resolution is void when the series is over its threshold after it, and so is an earlier acknowledgement;
    a person's resolution stands.

    Args:
        events: in any order; duplicates and events of other alerts are ignored
        last_breach_at: when the series was last over its threshold; None if not since detection
        hold_s: the alert is pending until its series has been over the threshold for so long, seconds
    """
    own = {each.id: each for each in events if each.alert_id == alert.id}
    breach_at = max(alert.detected_at, last_breach_at or alert.detected_at)
    acknowledged: LifecycleAction | None = None
    resolved: LifecycleAction | None = None
    reopened: LifecycleAction | None = None
    refired_after: datetime | None = None
    assignee = ""
    ordered = sorted(own.values(), key=lambda each: (each.at, each.id))
    for each in ordered:
        action = LifecycleAction(actor=each.actor, at=each.at)
        if each.kind == "acknowledged":
            acknowledged = acknowledged or action
        elif each.kind == "unacknowledged":
            acknowledged = None
        elif each.kind == "assigned":
            assignee = each.text
        elif each.kind == "resolved" and not (each.actor == TOCSIN and breach_at > each.at):
            resolved = action if resolved is None or (resolved.actor == TOCSIN != each.actor) else resolved
        elif each.kind == "resolved" and resolved is None:
            acknowledged, refired_after = None, each.at
        elif each.kind == "reopened":
            acknowledged, resolved, reopened, refired_after = None, None, action, each.at
    holds = breach_at - alert.detected_at < timedelta(seconds=hold_s)
    state: State = "resolved" if resolved else "acknowledged" if acknowledged else "pending" if holds else "firing"
    return AlertLifecycle(
        alert_id=alert.id,
        state=state,
        last_breach_at=breach_at,
        acknowledged=acknowledged,
        resolved=resolved,
        reopened=reopened,
        refired_after=refired_after,
        assignee=assignee,
        notes=tuple(each for each in ordered if each.kind == "note"),
    )


def due_to_resolve(lifecycle: AlertLifecycle, now: datetime, resolve_after_s: float) -> AlertEvent | None:
    """The event of automatic resolution, or None if it is not due or the alert is resolved already.

    It is due when the series has not been over its threshold for `resolve_after_s` seconds and the alert was not reopened since.
    The event carries the time at which it became due, not `now`, so that every process writes the same event however late.
    """
    since = max(lifecycle.last_breach_at, lifecycle.reopened.at) if lifecycle.reopened else lifecycle.last_breach_at
    at = since + timedelta(seconds=resolve_after_s)
    if lifecycle.resolved is not None or now < at:
        return None
    text = f"below its threshold since {lifecycle.last_breach_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return _event(lifecycle.alert_id, "resolved", TOCSIN, at, text)
