"""The lifecycle of an alert: events, the state that follows from them, and what suppresses its delivery. No clock, no store.

events       acknowledged, assigned, resolved ... and the resulting state, independent of the order of arrival
silences     time-limited mutes with an author and a comment
inhibition   rules by which one alert suppresses others
verdicts     feedback of people on alerts, and the precision that follows
"""

from __future__ import annotations

from domain.alert_lifecycle.events import (
    TOCSIN,
    AlertEvent,
    AlertLifecycle,
    EventKind,
    Inhibitor,
    LifecycleAction,
    State,
    due_to_resolve,
    event,
    lifecycle_of,
)
from domain.alert_lifecycle.inhibition import Inhibition, inhibitions, inhibitor
from domain.alert_lifecycle.silences import Silence, silence

__all__ = [
    "TOCSIN",
    "AlertEvent",
    "AlertLifecycle",
    "EventKind",
    "Inhibition",
    "Inhibitor",
    "LifecycleAction",
    "Silence",
    "State",
    "due_to_resolve",
    "event",
    "inhibitions",
    "inhibitor",
    "lifecycle_of",
    "silence",
]
