"""What was done to an alert, and the state that follows:

    pending ─▶ firing ─▶ acknowledged ─▶ resolved
                  ▲           │ unacknowledged   │ reopened, or over its bar again
                  └───────────┴──────────────────┘

Events are only ever added, each with an id of its own; the state is folded from them. So nobody's word is lost, however many
write at once, and all who read the same events see the same state.
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
    "acknowledged", "unacknowledged", "assigned", "note", "resolved", "reopened", "judged_right", "judged_false", "judged_late"
]
"""To judge an alert (domain/alert_lifecycle/verdicts.py) changes nothing of its state: what was over may be judged as well."""
State = Literal["pending", "firing", "acknowledged", "resolved"]
STATES: tuple[State, ...] = ("pending", "firing", "acknowledged", "resolved")

TOCSIN = "tocsin"
"""Who resolves what nobody else did; no person may have this name."""
MAX_WHO_CHARS = 100
MAX_TEXT_CHARS = 4_000


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done to one alert.

    id: from its content, so that the same event written twice is one
    at: aware UTC, to the microsecond: a person does two things within a second
    text: the words of a note, the assignee of "assigned" ("": nobody any more), and otherwise a reason, which may be ""
    """

    id: str
    alert_id: str
    at: datetime
    kind: EventKind
    who: str
    text: str = ""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """Who did something, and when."""

    who: str
    at: datetime


class Muter(msgspec.Struct, frozen=True, kw_only=True):
    """The alert that speaks for another."""

    alert_id: str
    series: str


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """An alert's state and what led to it.

    last_seen: when its series was over its bar for the last time, as far as is known; never before it was detected
    reopened: the last time that a person did not believe a resolution
    silenced, inhibited: what keeps it from being delivered just now; it is stored and shown all the same
    """

    alert_id: str
    state: State
    last_seen: datetime
    acknowledged: Deed | None = None
    resolved: Deed | None = None
    reopened: Deed | None = None
    assignee: str = ""
    notes: tuple[AlertEvent, ...] = ()
    silenced: tuple[Silence, ...] = ()
    inhibited: Muter | None = None


def event(alert_id: str, kind: EventKind, who: str, at: datetime, text: str = "") -> AlertEvent:
    """What a person does. Raises InvalidInput for words that cannot be kept, and for who calls themselves Tocsin."""
    who, text = who.strip(), text.strip()
    if not who or len(who) > MAX_WHO_CHARS or not who.isprintable():
        raise InvalidInput(f"who does this must be named, in at most {MAX_WHO_CHARS} printable characters")
    if who.casefold() == TOCSIN:
        raise InvalidInput(f"{TOCSIN!r} is the program's own name: say who you are")
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput(f"a text of {len(text):,} characters is too long: at most {MAX_TEXT_CHARS:,}")
    if kind == "note" and not text:
        raise InvalidInput("a note needs words")
    return _event(alert_id, kind, who, at, text)


def _event(alert_id: str, kind: EventKind, who: str, at: datetime, text: str) -> AlertEvent:
    at = at.astimezone(UTC)
    ident = sha("event", alert_id, kind, who, at.isoformat(timespec="microseconds"), text)
    return AlertEvent(id=ident, alert_id=alert_id, at=at, kind=kind, who=who, text=text)


def life_of(alert: Alert, events: Iterable[AlertEvent], last_seen: datetime | None = None, *, hold_s: float = 0.0) -> Life:
    """The life of `alert` after these events, in any order, doubles and other alerts' included; without what mutes it.

    The first to acknowledge or to resolve is the one who did, until it is taken back; but a person's resolution takes the place of
    Tocsin's own. That one is void once the series is over its bar after it, and so is what was acknowledged before; a person's stands.
    last_seen: None when nobody saw the series over its bar since it was detected
    hold_s: the alert is pending until its series has been over its bar this long
    """
    own = {each.id: each for each in events if each.alert_id == alert.id}
    seen = max(alert.detected_at, last_seen or alert.detected_at)
    acknowledged: Deed | None = None
    resolved: Deed | None = None
    reopened: Deed | None = None
    assignee = ""
    ordered = sorted(own.values(), key=lambda each: (each.at, each.id))
    for each in ordered:
        deed = Deed(who=each.who, at=each.at)
        if each.kind == "acknowledged":
            acknowledged = acknowledged or deed
        elif each.kind == "unacknowledged":
            acknowledged = None
        elif each.kind == "assigned":
            assignee = each.text
        elif each.kind == "resolved" and not (each.who == TOCSIN and seen > each.at):
            resolved = deed if resolved is None or (resolved.who == TOCSIN != each.who) else resolved
        elif each.kind == "resolved" and resolved is None:
            acknowledged = None
        elif each.kind == "reopened":
            acknowledged, resolved, reopened = None, None, deed
    holds = seen - alert.detected_at < timedelta(seconds=hold_s)
    state: State = "resolved" if resolved else "acknowledged" if acknowledged else "pending" if holds else "firing"
    return Life(
        alert_id=alert.id,
        state=state,
        last_seen=seen,
        acknowledged=acknowledged,
        resolved=resolved,
        reopened=reopened,
        assignee=assignee,
        notes=tuple(each for each in ordered if each.kind == "note"),
    )


def due_to_resolve(life: Life, now: datetime, resolve_after_s: float) -> AlertEvent | None:
    """The event by which an alert resolves of itself; None: not yet, or it is resolved.

    Its series has not been over its bar for `resolve_after_s`, nor was it reopened since. The event is of the moment when that was
    so, not of `now`: whoever notices it, and however late, writes the same event.
    """
    since = max(life.last_seen, life.reopened.at) if life.reopened else life.last_seen
    at = since + timedelta(seconds=resolve_after_s)
    if life.resolved is not None or now < at:
        return None
    return _event(life.alert_id, "resolved", TOCSIN, at, f"not over its bar since {life.last_seen.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
