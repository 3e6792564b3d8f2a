"""The life of an alert: what people and time did to it, and what keeps it from being delivered. Pure: no clock, no store.

events       acknowledged, assigned, resolved ... and the state that follows, whatever order they came in
silences     what people do not want to hear of for a while
inhibition   which alert speaks for which
"""

from __future__ import annotations

from domain.alert_lifecycle.events import TOCSIN, AlertEvent, Deed, EventKind, Life, Muter, State, due_to_resolve, event, life_of
from domain.alert_lifecycle.inhibition import Inhibition, inhibitions, inhibitor
from domain.alert_lifecycle.silences import Silence, silence

__all__ = [
    "TOCSIN",
    "AlertEvent",
    "Deed",
    "EventKind",
    "Inhibition",
    "Life",
    "Muter",
    "Silence",
    "State",
    "due_to_resolve",
    "event",
    "inhibitions",
    "inhibitor",
    "life_of",
    "silence",
]
