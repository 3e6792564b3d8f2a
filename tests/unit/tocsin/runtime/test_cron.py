"""Cron lines: weekdays, ranges, steps, and lines that are rejected."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from core.errors import SettingsError
from tocsin.runtime.scheduler import cron_trigger

MONDAY = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


def next_days(cron: str, count: int = 4) -> list[str]:
    """The next runs after MONDAY, such as "Sun 12-06 03:00"."""
    trigger, previous, now = cron_trigger(cron, MONDAY), None, MONDAY
    found = []
    for _ in range(count):
        previous = now = trigger.get_next_fire_time(previous, now)
        found.append(f"{now:%a %m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("cron", "runs"),
    [
        ("0 3 * * 0", ["Sun 12-06 03:00", "Sun 12-13 03:00"]),
        ("0 3 * * 7", ["Sun 12-06 03:00", "Sun 12-13 03:00"]),
        ("0 3 * * sun", ["Sun 12-06 03:00", "Sun 12-13 03:00"]),
        ("0 3 * * 1", ["Mon 12-07 03:00", "Mon 12-14 03:00"]),
        ("0 3 * * 5", ["Fri 12-04 03:00", "Fri 12-11 03:00"]),
        ("0 3 * * 1-5", ["Tue 12-01 03:00", "Wed 12-02 03:00", "Thu 12-03 03:00", "Fri 12-04 03:00", "Mon 12-07 03:00"]),
        ("0 3 * * MON-FRI", ["Tue 12-01 03:00", "Wed 12-02 03:00", "Thu 12-03 03:00", "Fri 12-04 03:00", "Mon 12-07 03:00"]),
        ("0 3 * * 5-7", ["Fri 12-04 03:00", "Sat 12-05 03:00", "Sun 12-06 03:00", "Fri 12-11 03:00"]),
        ("0 3 * * fri-sun", ["Fri 12-04 03:00", "Sat 12-05 03:00", "Sun 12-06 03:00", "Fri 12-11 03:00"]),
        ("0 3 * * */2", ["Tue 12-01 03:00", "Thu 12-03 03:00", "Sat 12-05 03:00", "Sun 12-06 03:00"]),
        ("0 3 * * 1-5/2", ["Wed 12-02 03:00", "Fri 12-04 03:00", "Mon 12-07 03:00"]),
        ("0 3 * * 0,wed", ["Wed 12-02 03:00", "Sun 12-06 03:00", "Wed 12-09 03:00"]),
        ("0 3 * * 0-7", ["Tue 12-01 03:00", "Wed 12-02 03:00"]),
        ("0 3 1 * *", ["Tue 12-01 03:00", "Fri 01-01 03:00"]),
        ("0 3 1 * 1", ["Tue 12-01 03:00", "Mon 12-07 03:00", "Mon 12-14 03:00"]),
        ("30 2 29 2 *", ["Tue 02-29 02:30"]),
    ],
)
def test_cron_weekdays_count_from_sunday(cron: str, runs: list[str]):
    """As in crontab(5): 0 and 7 are Sunday, and of two restricted day fields either is enough."""
    assert next_days(cron, len(runs)) == runs


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("0 3 * *", "4 fields instead of 5"),
        ("0 3 * * 8", "weekday '8'"),
        ("0 3 * * monday", "weekday 'monday'"),
        ("0 3 * * 5-1", "the range is reversed"),
        ("0 3 * * 1/2", "a step needs a range"),
        ("0 3 * * */0", "the step must be a positive number"),
        ("0 3 31 2 *", "no date matches"),
        ("61 3 * * *", "refresh_cron"),
    ],
)
def test_an_impossible_cron_line_is_rejected_with_its_reason(cron: str, reason: str):
    with pytest.raises(SettingsError, match=re.escape(reason)) as error:
        cron_trigger(cron, MONDAY)
    assert repr(cron) in str(error.value)
