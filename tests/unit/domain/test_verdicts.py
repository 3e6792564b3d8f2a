"""Verdicts of people on alerts: the latest of each person, the majority, and counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.records import Alert
from domain.alert_lifecycle import AlertEvent, event, lifecycle_of
from domain.alert_lifecycle.verdicts import KINDS, VERDICTS, Verdict, VerdictCounts, latest_verdicts, tally, verdict_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def verdict_event(actor: str, verdict: Verdict, minute: int, text: str = "") -> AlertEvent:
    return event("a", KINDS[verdict], actor, NOW + timedelta(minutes=minute), text)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ([], None),
        ([("Ann", "right")], "right"),
        ([("Ann", "false"), ("Ann", "right")], "right"),  # a later verdict replaces an earlier one
        ([("Ann", "right"), ("Bob", "false"), ("Eve", "false")], "false"),
        ([("Ann", "right"), ("Bob", "false")], "false"),  # a tie is decided by the latest verdict
        ([("Bob", "false"), ("Ann", "right")], "right"),
        ([("Ann", "late"), ("Bob", "false"), ("Ann", "right"), ("Bob", "right"), ("Eve", "late")], "right"),
    ],
)
def test_the_majority_of_the_latest_verdict_of_each_person_decides(given: list[tuple[str, Verdict]], verdict: Verdict | None):
    events = [verdict_event(actor, each, minute) for minute, (actor, each) in enumerate(given)]
    noise = [event("a", "note", "Ann", NOW + timedelta(hours=1), "x"), event("a", "acknowledged", "Bob", NOW)]
    assert verdict_of(events[::-1] + noise) == verdict
    assert len(latest_verdicts(events + noise)) == len({actor for actor, _ in given})


def test_a_verdict_does_not_change_the_state():
    alert = Alert(
        id="a", rule="r", series="topic:credit", window_start=NOW, window_s=900, detected_at=NOW, severity="info",
        observed=3, expected=0.1, surprise=4.0, total=3, sources=2,
    )  # fmt: skip
    events = [event("a", "resolved", "Ann", NOW + timedelta(minutes=1))]
    assert lifecycle_of(alert, events) == lifecycle_of(alert, [*events, *(verdict_event("Bob", verdict, 5) for verdict in VERDICTS)])


def test_counts_include_alerts_without_a_verdict():
    found = tally({"spike": 4, "own": 1}, [("spike", "right"), ("spike", "right"), ("spike", "late")])
    assert found == {"spike": VerdictCounts(4, 2, 0, 1), "own": VerdictCounts(1)}
    known = found["spike"].precision
    assert known is not None
    assert known.share == pytest.approx(2 / 3)
    assert found["own"].precision is None
