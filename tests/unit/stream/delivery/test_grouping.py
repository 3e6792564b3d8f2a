"""Grouping: waits, intervals, repetitions, digests, and that restarts send nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from core.records import Alert
from domain.alert_lifecycle import TOCSIN, AlertEvent, event, lifecycle_of
from storage.store import AlertGroup
from stream.delivery.grouping import Grouping, GroupItem, due_groups, group_item, group_labels, next_due_at
from stream.delivery.schedules import DigestSchedule, parse_digest_schedule
from tests.helpers.strategies import examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GROUPED = Grouping(wait_s=30.0, interval_s=300.0, repeat_s=4 * 3600.0)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def item(name: str, seconds: float = 0.0, *, key: str = "", acknowledged: bool = False, resolved: float | None = None) -> GroupItem:
    return GroupItem(
        alert_id=name,
        key=key,
        at=at(seconds),
        acknowledged=acknowledged,
        resolved_at=None if resolved is None else at(resolved),
    )


def run(items: Sequence[GroupItem], moments: Sequence[float], grouping: Grouping = GROUPED, endpoint: str = "risk") -> list[AlertGroup]:
    """The groups planned at these times, each with what was known then."""
    planned: list[AlertGroup] = []
    for moment in sorted(moments):
        planned += due_groups(known(items, at(moment)), planned, grouping, endpoint, at(moment))
    return planned


def known(items: Sequence[GroupItem], now: datetime) -> list[GroupItem]:
    return [
        msgspec.structs.replace(each, resolved_at=each.resolved_at if each.resolved_at and each.resolved_at <= now else None)
        for each in items
        if each.at <= now
    ]


def sent_groups(groups: Sequence[AlertGroup]) -> list[tuple[float, tuple[str, ...], tuple[str, ...]]]:
    return [((group.at - NOON).total_seconds(), group.firing, group.new_alerts) for group in groups]


def test_alerts_are_sent_alone_by_default():
    made = run([item("a"), item("b", 1), item("c", 1, key="other")], range(10), Grouping())
    assert sent_groups(made) == [(0, ("a",), ("a",)), (1, ("b",), ("b",)), (1, ("c",), ("c",))]


def test_a_group_waits_then_updates_then_repeats():
    """As in the diagram in the module."""
    made = run([item("a"), item("b", 10), item("c", 29), item("d", 200)], range(0, 5 * 3600, 10))
    assert sent_groups(made) == [
        (30, ("a", "b", "c"), ("a", "b", "c")),
        (330, ("a", "b", "c", "d"), ("d",)),
        (330 + 4 * 3600, ("a", "b", "c", "d"), ()),
    ]


def test_groups_are_separated_by_key():
    made = run([item("a", key="market"), item("b", 5, key="topic"), item("c", 6, key="topic")], range(100))
    assert sent_groups(made) == [(30, ("a",), ("a",)), (35, ("b", "c"), ("b", "c"))]
    assert len({group.id for group in made}) == 2


def test_acknowledged_alerts_are_not_repeated_and_resolved_ones_not_sent():
    assert len(run([item("a", acknowledged=True)], range(0, 9 * 3600, 60))) == 1
    assert run([item("a", resolved=20)], range(100)) == []
    assert len(run([item("a", resolved=3600)], range(0, 9 * 3600, 60))) == 1


def test_resolved_alerts_are_sent_with_send_resolved():
    grouping = msgspec.structs.replace(GROUPED, send_resolved=True)
    made = run([item("a", resolved=400), item("b", 1, resolved=1000)], range(0, 2000, 10), grouping)
    assert [((group.at - NOON).total_seconds(), group.firing, group.resolved) for group in made] == [
        (30, ("a", "b"), ()),
        (630, ("b",), ("a",)),
        (1230, (), ("b",)),
    ]


def test_a_resolved_group_waits_again():
    made = run([item("a", resolved=600), item("b", 7200), item("c", 7210)], range(0, 8000, 10))
    assert sent_groups(made) == [(30, ("a",), ("a",)), (7230, ("b", "c"), ("b", "c"))]


def flapping(now: float) -> GroupItem:
    """The alert as it is known at a minute: it fires at 0 and 180, and is resolved at 60, at 300, and at 420, just after firing again."""
    times = {"rule": "r", "series": "topic:x", "window_start": at(-900), "window_s": 900, "detected_at": at(0), "severity": "warning"}
    alert = Alert(id="a", observed=9, expected=0.3, surprise=8.0, total=9, sources=3, **times)  # type: ignore[arg-type]
    events = [
        AlertEvent(id=f"e{minute}", alert_id="a", at=at(minute * 60), kind="resolved", actor=TOCSIN)
        for minute in (60, 300, 420)
        if minute <= now
    ]
    breach = max((minute for minute in (0, 180, 181, 182, 240, 359) if minute <= now), default=0)
    return group_item(alert, lifecycle_of(alert, events, at(breach * 60)))


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        (Grouping(repeat_s=7 * 86_400.0), [0, 180, 359]),
        (Grouping(wait_s=30.0), [1, 180, 359]),
        (Grouping(wait_s=30.0, repeat_s=4 * 3600.0), [1, 180, 359]),
        (Grouping(wait_s=30.0, send_resolved=True), [1, 61, 180, 301, 359, 421]),
    ],
)
def test_an_alert_that_fires_again_is_sent_again(grouping: Grouping, expected: list[int]):
    """Each minute, as the planner does; twice at each, as after a restart."""
    planned: list[AlertGroup] = []
    sent = []
    for minute in range(500):
        for _ in range(2):
            made = due_groups([flapping(minute)], planned, grouping, "risk", at(minute * 60))
            planned += made
            sent += [minute] * len(made)
    assert sent == expected
    assert len({group.id for group in planned}) == len(planned)
    assert all(group.new_alerts == ("a",) for group in planned if group.firing)


def test_a_digest_has_an_alert_that_fires_again():
    hourly = parse_digest_schedule("hourly")
    planned: list[AlertGroup] = []
    for minute in range(0, 900, 5):
        planned += due_groups([flapping(minute)], planned, Grouping(digest=hourly), "risk", at(minute * 60))
    assert [(group.at - NOON, group.new_alerts) for group in planned] == [(timedelta(hours=hour), ("a",)) for hour in (0, 3, 6)]


def test_after_a_pause_missed_groups_are_sent_as_one():
    items = [item("a"), item("b", 400), item("c", 4000), item("d", 50_000)]
    (only,) = run(items, [60_000.0])
    assert only.new_alerts == ("a", "b", "c", "d")
    assert at(60_000 - 300) < only.at <= at(60_000)


MORNING = parse_digest_schedule("08:00 Asia/Shanghai")


def test_a_digest_has_all_alerts_since_the_last_one():
    """Noon in UTC is 20:00 in Shanghai: the first digest is due twelve hours later."""
    at_eight, hour = 12 * 3600.0, 3600.0
    over = msgspec.structs.replace(item("b", 60, resolved=hour), send_if_resolved=True)
    late = item("c", at_eight)
    made = run([item("a"), over, late], [0, at_eight - 1, at_eight, at_eight + 5, 2 * 24 * hour], Grouping(digest=MORNING))
    assert sent_groups(made) == [(at_eight, ("a", "c"), ("a", "b", "c"))]
    assert (made[0].resolved, made[0].ended, made[0].digest) == (("b",), (at(hour),), True)
    unseen = run([late], [at_eight], Grouping(digest=MORNING))
    after = due_groups([late, item("d", at_eight)], unseen, Grouping(digest=MORNING), "risk", at(at_eight + 60))
    assert after == [], "an alert of the same second that was not known yet is sent the next morning"
    (next_day,) = due_groups([late, item("d", at_eight)], unseen, Grouping(digest=MORNING), "risk", at(at_eight + 24 * hour))
    assert (next_day.at, next_day.firing, next_day.new_alerts) == (at(at_eight + 24 * hour), ("d",), ("d",))


def test_missed_digests_are_sent_as_one():
    (only,) = run([item("a"), item("b", 30 * 3600)], [80 * 3600.0], Grouping(digest=MORNING))
    assert (only.at, only.new_alerts) == (at((12 + 48) * 3600), ("a", "b"))


def test_alerts_sent_under_other_settings_are_not_sent_again():
    """A group planned by severity counts for its alerts after a change to one group, to no grouping, or to a digest."""
    before = run([item("a", key="severity=critical"), item("b", key="severity=info")], [40])
    for grouping in (GROUPED, Grouping(repeat_s=7200.0), Grouping(digest=MORNING)):
        assert due_groups([item("a"), item("b")], before, grouping, "risk", at(3600)) == []
    (again,) = due_groups([item("a"), item("b")], before, GROUPED, "risk", at(5 * 3600))
    assert (again.firing, again.new_alerts) == (("a", "b"), ())


def test_a_key_contains_the_labels_of_its_group():
    assert group_labels("kind=topic\x1fseverity=critical") == ("kind", "severity")
    assert group_labels("") == ()
    (alone,) = run([item("a1")], [0], Grouping())
    assert group_labels(alone.key) == ("alert",)


@pytest.mark.parametrize("wrong", [{"wait_s": -1.0}, {"interval_s": 0.0}, {"repeat_s": 5.0}, {"repeat_s": -1.0}])
def test_invalid_times_are_rejected(wrong: dict[str, float]):
    with pytest.raises(SettingsError, match="group_wait"):
        Grouping(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"wait_s": 30.0}, {"repeat_s": 7200.0}, {"send_resolved": True}])
def test_a_digest_excludes_other_settings(wrong: dict[str, float]):
    with pytest.raises(SettingsError, match="a digest has its own schedule"):
        Grouping(digest=MORNING, **wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="group_by needs"):
        Grouping(by=("severity",))


def test_an_item_has_the_state_of_its_alert():
    alert = Alert(
        id="a1",
        rule="negative-spike",
        series="company:600519.SH",
        window_start=NOON,
        window_s=900,
        detected_at=at(60),
        severity="warning",
        observed=9,
        expected=0.5,
        surprise=7.0,
        total=12,
        sources=4,
    )
    life = lifecycle_of(alert, [event("a1", "acknowledged", "王芳", at(70)), event("a1", "resolved", "bob", at(80))])
    assert group_item(alert, life) == item("a1", 60, acknowledged=True, resolved=80)
    assert group_item(alert, life, ("kind", "severity")).key == "kind=company\x1fseverity=warning"
    assert group_item(alert, life, (), at(500)).at == at(500)


histories = st.lists(
    st.builds(
        lambda seconds, key, acknowledged, lasts: (seconds, key, acknowledged, lasts),
        st.integers(0, 4000),
        st.sampled_from(["", "市场"]),
        st.booleans(),
        st.one_of(st.none(), st.integers(0, 3000)),
    ),
    min_size=1,
    max_size=9,
).map(
    lambda rows: [
        item(f"a{n}", seconds, key=key, acknowledged=acknowledged, resolved=None if lasts is None else seconds + lasts)
        for n, (seconds, key, acknowledged, lasts) in enumerate(rows)
    ]
)
groupings = st.builds(
    Grouping,
    wait_s=st.sampled_from([0.0, 30.0, 200.0, 700.0]),
    interval_s=st.sampled_from([60.0, 300.0]),
    repeat_s=st.sampled_from([0.0, 300.0, 1800.0]),
    send_resolved=st.booleans(),
)
with_digests = st.one_of(groupings, st.just(Grouping(digest=DigestSchedule(lambda _: True, tuple(range(0, 1440, 10)), ZoneInfo("UTC")))))
END = 6000
STEP = 20


@examples(30)
@given(histories, groupings, st.integers(5, STEP))
def test_each_alert_is_sent_once_in_time_and_never_early(items: list[GroupItem], grouping: Grouping, step: int):
    made = run(items, range(0, END, step), grouping)
    for each in items:
        groups = [group for group in made if each.alert_id in group.new_alerts]
        latest = at((each.at - NOON).total_seconds() + max(grouping.wait_s, grouping.interval_s) + step)
        brief = each.resolved_at is not None and each.resolved_at <= latest
        assert len(groups) <= 1
        if groups:
            assert each.at <= groups[0].at <= latest
        elif latest < at(END - step):
            assert brief
        assert all(group.at >= each.at for group in made if each.alert_id in group.firing)
        if not brief and not grouping.wait_s and groups:
            assert (groups[0].at, groups[0].firing) == (each.at, (each.alert_id,))


@examples(30)
@given(histories, groupings)
def test_groups_respect_intervals(items: list[GroupItem], grouping: Grouping):
    made = run(items, range(0, END, STEP), grouping)
    keys = {group.key for group in made}
    acknowledged = {each.alert_id for each in items if each.acknowledged}
    assert len({group.id for group in made}) == len(made)
    for key in keys:
        own = [group for group in made if group.key == key]
        for before, after in pairwise(own):
            assert after.at - before.at >= timedelta(seconds=grouping.interval_s)
            if not after.new_alerts and not after.resolved:  # a repetition
                assert grouping.repeat_s
                assert after.at - before.at >= timedelta(seconds=grouping.repeat_s)
                assert set(after.firing) - acknowledged
    for group in made:
        assert group.firing or group.resolved
        assert set(group.new_alerts) <= set(group.firing)
        assert grouping.send_resolved or not group.resolved


@examples(30)
@given(histories, with_digests, st.data())
def test_order_duplicates_and_restarts_do_not_matter(items: list[GroupItem], grouping: Grouping, data: st.DataObject):
    """A second planner with the same log plans the same groups with the same ids."""
    made = run(items, range(0, END, STEP), grouping)
    cut = data.draw(st.integers(0, len(made)))
    now = at(data.draw(st.integers(0, END)))
    log = made[:cut] + [msgspec.structs.replace(group, endpoint="another") for group in made]
    asked = known(items, now)
    first = due_groups(asked, log, grouping, "risk", now)
    again = due_groups([*reversed(asked), *asked], [*reversed(log), *log], grouping, "risk", now)
    assert first == again
    assert due_groups(asked, log + first, grouping, "risk", now) == []
    soonest = next_due_at(asked, log, grouping, "risk")
    assert bool(first) == (soonest is not None and soonest <= now)
    assert all(group.at <= now for group in first)


@examples(30)
@given(histories, with_digests, st.integers(9, STEP), st.integers(9, STEP))
def test_the_polling_interval_changes_no_id(items: list[GroupItem], grouping: Grouping, one: int, other: int):
    """Without resolutions, the content of a group does not depend on when it is polled."""
    lasting = [msgspec.structs.replace(each, resolved_at=None) for each in items]
    first, second = run(lasting, range(0, END, one), grouping), run(lasting, range(0, END, other), grouping)
    done = at(END - STEP)
    assert [group for group in first if group.at < done] == [group for group in second if group.at < done]


@examples(30)
@given(histories, with_digests, st.lists(st.tuples(st.integers(1, 600), st.booleans()), min_size=1, max_size=20))
def test_a_crash_at_any_time_sends_nothing_twice(items: list[GroupItem], grouping: Grouping, rounds: list[tuple[int, bool]]):
    """A plan is stored before it is sent. Whether the planner crashes before or after, the next one continues from what is stored."""
    planned: list[AlertGroup] = []
    sent: dict[str, AlertGroup] = {}
    now = 0
    for gap_s, dies in rounds:
        now += gap_s
        plan = due_groups(known(items, at(now)), planned, grouping, "risk", at(now))
        planned += plan[: len(plan) // 2] if dies else plan
        for group in planned:  # stored groups are sent until delivered, with the same id and members each time
            assert sent.setdefault(group.id, group) == group
    fresh = [ident for group in sent.values() for ident in group.new_alerts]
    assert len(fresh) == len(set(fresh))
