"""What may come of an attempt to hand an alert to an endpoint, and whether another one can help. Pure."""

from __future__ import annotations

from typing import NamedTuple

from storage.store import Delivery

GONE = 410
NOT_SENT = "not sent: "
WAITS = "waits: "
PARTLY = "some were refused: "
IN_TIME = "no answer in time"


class Answer(NamedTuple):
    """What came of one message. status: 0 when there was no answer; wait_s: how long the endpoint asked to be left alone."""

    status: int
    error: str
    wait_s: float = 0.0


def is_final(delivery: Delivery) -> bool:
    """Whether no other attempt may help: it is gone, it lies where we may not go, it leads elsewhere, or some people have it already."""
    return delivery.status == GONE or 300 <= delivery.status < 400 or delivery.error.startswith((NOT_SENT, PARTLY))


def is_waiting(delivery: Delivery) -> bool:
    """Whether the endpoint was spared for now, as it takes only so many messages a minute: no attempt was used up."""
    return delivery.error.startswith(WAITS)
