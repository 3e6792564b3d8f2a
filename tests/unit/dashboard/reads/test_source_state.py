"""State of a source from its articles, its baseline and its visits. Pure functions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from core.records import Alert
from dashboard.figures.charts import sparkline
from dashboard.reads.operations import endpoints, is_gone, shown
from dashboard.reads.source_state import HOURS, SourceData, SourceView, due, starts, state_of, usual_today, usuals, views
from storage.store import Delivery, Feed, Heartbeat, SourceHours, SourceVisit, SuppressedDelivery

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)  # a Monday
MINUTE = timedelta(minutes=1)


def hours(counts: dict[int, int], source: str = "wire") -> SourceHours:
    """counts: so many hours back to articles, one of which is negative"""
    start = {back: NOW.replace(minute=0) - timedelta(hours=back) for back in counts}
    last = min(NOW, start[min(counts)] + timedelta(minutes=59))
    articles = {int(start[back].timestamp()): (articles, 1) for back, articles in sorted(counts.items(), reverse=True)}
    return SourceHours(source, articles, last, last + timedelta(seconds=20))


def visit(**changes: Any) -> SourceVisit:
    made = SourceVisit(
        source="wire",
        url="https://wire.example/feed",
        interval_s=120,
        at=NOW - MINUTE,
        outcome="ok",
        ok_at=NOW - MINUTE,
        next_at=NOW + MINUTE,
    )
    return msgspec.structs.replace(made, **changes)


def view(**changes: Any) -> SourceView:
    made = SourceView(
        name="wire",
        visit=visit(),
        added=None,
        hours=[4] * HOURS,
        usual=[4.0] * HOURS,
        last_at=NOW - 5 * MINUTE,
        stored_at=NOW - 4 * MINUTE,
        lag_s=None,
        recent=9,
        negative=3,
        dead=0,
        outage_alert_id="",
        state="ok",
    )
    return msgspec.structs.replace(made, **changes)


FAILED = visit(outcome="failed", error="answered 500")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "ok"),
        ({"visit": msgspec.structs.replace(FAILED, failures=1)}, "ok"),  # one visit may fail
        ({"visit": msgspec.structs.replace(FAILED, failures=2)}, "failing"),
        ({"visit": msgspec.structs.replace(FAILED, failures=1, ok_at=None)}, "failing"),  # it never did anything else
        ({"outage_alert_id": "a1"}, "silent"),
        ({"outage_alert_id": "a1", "visit": msgspec.structs.replace(FAILED, failures=3)}, "failing"),  # the cause of the outage
        ({"last_at": NOW - 61 * MINUTE}, "ok"),
        ({"last_at": NOW - 80 * MINUTE}, "late"),  # 5.3 articles were due
        ({"last_at": NOW - 80 * MINUTE, "usual": []}, "ok"),  # no baseline
        ({"last_at": NOW - 80 * MINUTE, "usual": [0.1] * HOURS}, "ok"),  # a quiet night
        ({"visit": visit(next_at=NOW - 3 * MINUTE)}, "late"),
        ({"visit": visit(next_at=NOW - MINUTE)}, "ok"),
        ({"visit": visit(interval_s=900, next_at=NOW - 10 * MINUTE)}, "ok"),
        ({"visit": visit(at=None, outcome="", next_at=None, ok_at=None), "last_at": None}, "new"),
        ({"visit": None, "last_at": None}, "new"),
        ({"visit": None, "last_at": NOW - timedelta(days=3)}, "past"),
        ({"visit": None, "last_at": NOW - MINUTE}, "ok"),
    ],
)
def test_a_source_is_in_the_state_that_wants_a_person_most(changes: dict[str, Any], state: str):
    assert state_of(view(**changes), NOW) == state


def test_what_is_due_ends_with_its_last_article_and_the_day():
    assert due(view(last_at=NOW - 30 * MINUTE), NOW) == pytest.approx(2.0)
    assert due(view(last_at=NOW - timedelta(hours=2)), NOW) == pytest.approx(8.0)
    assert due(view(last_at=None), NOW) == due(view(last_at=NOW - timedelta(days=9)), NOW) == pytest.approx(23.5 * 4)
    assert due(view(last_at=NOW + MINUTE), NOW) == 0
    assert usual_today(view(), NOW) == pytest.approx(23.5 * 4)
    assert usual_today(view(usual=[]), NOW) is None


def test_what_is_usual_follows_the_hour_of_the_week_and_begins_with_the_sources_own_past():
    busy = hours({back: 10 for back in range(24, 24 * 15) if (NOW - timedelta(hours=back)).hour in (8, 9)})
    found = usuals([busy, hours({30: 50}, "new")], NOW)
    by_hour = dict(zip((start.hour for start in starts(NOW)), found["wire"], strict=True))
    assert by_hour[8] > 6
    assert by_hour[3] < 2
    assert "new" not in found, "a day and a half is no past"


def test_sources_of_all_origins_stand_in_one_list_those_that_want_a_person_first():
    silent = Alert(
        id="ab", rule="source-outage", series="source:mute", window_start=NOW, window_s=60, detected_at=NOW, severity="info",
        observed=0, expected=0, surprise=1, total=0, sources=1, measure="outage",
    )  # fmt: skip
    known = SourceData(
        past=[hours({40: 8, 24 * 9: 100, 1: 99})],  # read before what is recent
        recent=[hours({1: 3, 0: 2}), hours({2: 5}, "mute"), hours({1: 1}, "api")],
        visits=[visit(), visit(source="bad", failures=4, outcome="failed")],
        feeds=[Feed(name="fresh", url="https://fresh.example", body="{}", actor="Ann", at=NOW)],
        lags={"wire": (3.0, 9.0)},
        dead={"wire": 2},
        left_out={"wire": 4},
        alerts=[silent],
    )
    found = {row.name: row for row in views(known, {"wire": [1.0] * HOURS}, NOW)}
    assert [(name, row.state) for name, row in found.items()] == [
        ("bad", "failing"),
        ("mute", "silent"),
        ("fresh", "new"),
        ("api", "ok"),
        ("wire", "ok"),
    ]
    wire = found["wire"]
    assert (wire.hours[-2:], wire.today, wire.recent, wire.negative, wire.dead, wire.lag_s) == ([3, 2], 5, 13, 3, 2, (3.0, 9.0))
    assert (wire.left_out, found["api"].left_out) == (4, 0)
    assert wire.last_at == NOW
    assert found["mute"].outage_alert_id == "ab"
    assert found["fresh"].added is not None


def test_a_sparkline_is_an_image_of_numbers_alone():
    full, empty = sparkline([0, 3, 9], [1.0, 2.0, 3.0], "light"), sparkline([], [], "dark")
    assert full.startswith("data:image/svg+xml,")
    assert full.count("%3Crect") == 2
    assert "polyline" in full
    assert "polyline" not in sparkline([1], [], "light")
    assert "<" not in full + empty
    assert sparkline([1, 2], [], "light") != sparkline([1, 2], [], "dark")


def heartbeat(id_: str, at: datetime, state: Any = "ready", roles: tuple[str, ...] = ("work",)) -> Heartbeat:
    return Heartbeat(id=id_, roles=roles, host="h", pid=1, version="1", started_at=NOW - timedelta(days=2), at=at, state=state)


def test_a_process_without_heartbeat_for_a_minute_is_lost_and_listed_for_an_hour():
    alive, gone = heartbeat("a", NOW - MINUTE), heartbeat("b", NOW - 61 * timedelta(seconds=1))
    ended, old = heartbeat("c", NOW - 30 * MINUTE, "ended"), heartbeat("d", NOW - 61 * MINUTE)
    assert [is_gone(each, NOW) for each in (alive, gone, ended, old)] == [False, True, False, True]
    assert [each.id for each in shown([old, ended, gone, alive], NOW)] == ["a", "b", "c"]


def test_deliveries_count_by_their_last_attempt_and_waiting_ones_separately():
    def made(alert: str, endpoint: str, status: int, error: str = "", at: int = 0) -> Delivery:
        return Delivery(alert_id=alert, endpoint=endpoint, attempt=1, sent_at=NOW - at * MINUTE, status=status, error=error)

    def held(alert: str, endpoint: str, cause: Any, until: datetime | None) -> SuppressedDelivery:
        return SuppressedDelivery(alert_id=alert, endpoint=endpoint, cause=cause, owner="x", at=NOW, until=until, text="")

    attempts = [
        made("1", "chat", 200),
        made("2", "chat", 500, at=3),
        made("3", "chat", 0, "refused", at=1),
        made("4", "chat", 429, "rate limited: 30 s"),
    ]
    holds = [
        held("1", "chat", "silence", NOW + MINUTE),  # it was delivered after all
        held("5", "chat", "quiet hours", NOW + MINUTE),
        held("5", "chat", "silence", None),
        held("6", "chat", "resolved", None),
        held("7", "mail", "digest", NOW + MINUTE),
        held("8", "mail", "digest", NOW - MINUTE),
    ]
    chat, mail = endpoints(attempts, holds, NOW)
    assert (chat.taken, chat.failed, chat.waiting, chat.last_error) == (1, 2, 2, "refused")
    assert (mail.name, mail.taken, mail.failed, mail.waiting, mail.last_at) == ("mail", 0, 0, 1, None)
