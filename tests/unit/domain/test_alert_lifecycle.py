"""The state of an alert follows from its events in any order; silences and inhibition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.records import Alert, Severity, alert_id
from domain.alert_lifecycle import (
    TOCSIN,
    AlertEvent,
    AlertLifecycle,
    Silence,
    due_to_resolve,
    event,
    inhibitions,
    inhibitor,
    lifecycle_of,
    silence,
)
from domain.alert_lifecycle.events import MAX_TEXT_CHARS
from domain.alert_lifecycle.silences import active_silences, ending_soon, matches
from tests.helpers.strategies import examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR_S = 3600.0


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def alert(series: str = "topic:credit", *, severity: Severity = "warning", minutes: float = 0, rule: str = "spike") -> Alert:
    return Alert(
        id=alert_id(rule, series, at(minutes)),
        rule=rule,
        series=series,
        window_start=at(minutes),
        window_s=900,
        detected_at=at(minutes),
        severity=severity,
        observed=9,
        expected=1.25,
        surprise=6.5,
        total=12,
        sources=4,
    )


ALERT = alert()


def did(kind: Any, minutes: float, actor: str = "王芳", text: str = "") -> AlertEvent:
    return event(ALERT.id, kind, actor, at(minutes), text or ("words" if kind == "note" else ""))


def resolved_by_tocsin(minutes: float) -> AlertEvent:
    """An automatic resolution of an alert whose last breach was an hour earlier."""
    made = due_to_resolve(lifecycle_of(ALERT, [], at(minutes - 60)), at(10_000), HOUR_S)
    assert made is not None
    assert made.at == at(minutes)
    return made


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "firing"),
        ([did("acknowledged", 1)], "acknowledged"),
        ([did("acknowledged", 1), did("unacknowledged", 2)], "firing"),
        ([did("acknowledged", 1), did("resolved", 2)], "resolved"),
        ([did("resolved", 1), did("acknowledged", 2)], "resolved"),
        ([did("acknowledged", 1), did("resolved", 2), did("reopened", 3)], "firing"),
        ([did("resolved", 2), did("reopened", 3), did("acknowledged", 4)], "acknowledged"),
        ([did("note", 1), did("assigned", 2, text="bob")], "firing"),
        ([event("another", "resolved", "bob", NOON)], "firing"),
        ([resolved_by_tocsin(60)], "resolved"),
    ],
)
def test_events_determine_the_state(events: list[AlertEvent], state: str):
    assert lifecycle_of(ALERT, events).state == state


def test_the_lifecycle_has_actors_and_times():
    lifecycle = lifecycle_of(
        ALERT,
        [did("acknowledged", 1), did("acknowledged", 2, "bob"), did("assigned", 3, "bob", "李雷"), did("note", 4, text="发行人已回应")],
    )
    assert lifecycle.acknowledged is not None
    assert (lifecycle.acknowledged.actor, lifecycle.acknowledged.at) == ("王芳", at(1))
    assert lifecycle.assignee == "李雷"
    assert [(each.actor, each.text) for each in lifecycle.notes] == [("王芳", "发行人已回应")]
    assert lifecycle_of(ALERT, [did("assigned", 1, text="bob"), event(ALERT.id, "assigned", "bob", at(2), "")]).assignee == ""


def test_an_alert_is_pending_until_the_hold_time():
    assert lifecycle_of(ALERT, [], hold_s=60).state == "pending"
    assert lifecycle_of(ALERT, [], at(0.9), hold_s=60).state == "pending"
    assert lifecycle_of(ALERT, [], at(1), hold_s=60).state == "firing"
    assert lifecycle_of(ALERT, [did("acknowledged", 0)], hold_s=60).state == "acknowledged"


def test_an_alert_resolves_automatically_an_hour_after_the_last_breach():
    lifecycle = lifecycle_of(ALERT, [], at(20))
    assert due_to_resolve(lifecycle, at(79), HOUR_S) is None
    made = due_to_resolve(lifecycle, at(80), HOUR_S)
    assert made is not None
    assert (made.actor, made.at, made.kind) == (TOCSIN, at(80), "resolved")
    assert due_to_resolve(lifecycle, at(500), HOUR_S) == made, "a late process writes the same event"
    assert due_to_resolve(lifecycle_of(ALERT, [made], at(20)), at(500), HOUR_S) is None
    assert lifecycle_of(ALERT, [made], at(20)).state == "resolved"


def test_a_new_breach_voids_only_automatic_resolutions():
    own = resolved_by_tocsin(60)
    again = lifecycle_of(ALERT, [did("acknowledged", 5), own], at(61))
    assert (again.state, again.acknowledged) == ("firing", None)
    assert due_to_resolve(again, at(121), HOUR_S) is not None
    assert lifecycle_of(ALERT, [did("acknowledged", 62), own], at(63)).state == "acknowledged"
    assert lifecycle_of(ALERT, [did("resolved", 60)], at(61)).state == "resolved"
    for minutes in (59, 70):
        both = lifecycle_of(ALERT, [own, did("resolved", minutes)])
        assert both.resolved is not None
        assert (both.resolved.actor, both.resolved.at) == ("王芳", at(minutes))


def test_a_reopened_alert_resolves_an_hour_later():
    lifecycle = lifecycle_of(ALERT, [resolved_by_tocsin(60), did("reopened", 90)])
    assert lifecycle.state == "firing"
    assert due_to_resolve(lifecycle, at(149), HOUR_S) is None
    made = due_to_resolve(lifecycle, at(150), HOUR_S)
    assert made is not None
    assert lifecycle_of(ALERT, [resolved_by_tocsin(60), did("reopened", 90), made]).state == "resolved"


KINDS = ("acknowledged", "unacknowledged", "assigned", "note", "resolved", "reopened")
happenings = st.lists(
    st.one_of(
        st.builds(did, st.sampled_from(KINDS), st.integers(0, 5), st.sampled_from(["王芳", "bob"]), st.sampled_from(["", "李雷"])),
        st.integers(60, 64).map(resolved_by_tocsin),
    ),
    max_size=8,
)


@examples(60)
@given(happenings, st.one_of(st.none(), st.integers(0, 90)), st.randoms())
def test_order_and_duplicates_of_events_do_not_matter(events: list[AlertEvent], seen: int | None, chance: Any):
    last_breach_at = None if seen is None else at(seen)
    mixed = [*events, *events[: len(events) // 2]]
    chance.shuffle(mixed)
    lifecycle = lifecycle_of(ALERT, events, last_breach_at)
    assert lifecycle_of(ALERT, mixed, last_breach_at) == lifecycle
    assert (lifecycle.state == "resolved") == (lifecycle.resolved is not None)
    assert lifecycle.last_breach_at >= ALERT.detected_at
    assert len(lifecycle.notes) == len({each.id for each in events if each.kind == "note"})


@examples(40)
@given(happenings, st.lists(st.integers(0, 200), max_size=4))
def test_every_alert_resolves_exactly_once(events: list[AlertEvent], breaches: Sequence[int]):
    """The automatic resolution applies to every alert that nobody resolved."""
    last_breach_at = max((at(breach) for breach in breaches), default=None)
    lifecycle = lifecycle_of(ALERT, events, last_breach_at)
    made = due_to_resolve(lifecycle, at(10_000), HOUR_S)
    assert (made is None) == (lifecycle.state == "resolved")
    if made is not None:
        after = lifecycle_of(ALERT, [*events, made, made], last_breach_at)
        assert after.state == "resolved"
        assert due_to_resolve(after, at(20_000), HOUR_S) is None


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("note", "bob", "  "), "needs a text"),
        (("acknowledged", "  ", ""), "needs a name"),
        (("acknowledged", "Tocsin", ""), "use your own name"),
        (("acknowledged", "a\x1b[31m", ""), "printable"),
        (("note", "bob", "长" * (MAX_TEXT_CHARS + 1)), "too long"),
    ],
)
def test_an_invalid_event_is_rejected_with_the_reason(arguments: tuple[Any, str, str], why: str):
    kind, actor, text = arguments
    with pytest.raises(UserError, match=why):
        event("a", kind, actor, NOON, text)


# silences


@pytest.mark.parametrize(
    ("pattern", "text", "does"),
    [
        ("topic:*", "topic:credit", True),
        ("topic:*", "company:topic:*", False),
        ("company:aapl", "company:AAPL", True),
        ("company:AAPL", "company:AAPL2", False),
        ("*:600*.SH", "company:600519.SH", True),
        ("*", "market:all", True),
        ("topic:稀土*", "topic:稀土永磁", True),
        ("company:[A]?", "company:A", False),
        ("a*a", "a", False),
        ("a**b", "ab", True),
    ],
)
def test_patterns_match_whole_names(pattern: str, text: str, does: bool):
    assert matches([pattern], text) is does


def test_a_pattern_with_many_stars_is_matched_quickly():
    assert not matches(["*a" * 150], "a" * 149 + "b" * 100_000)


def quiet(**changes: Any) -> Silence:
    plain: dict[str, Any] = {"series": ["topic:*"], "author": "王芳", "comment": "维护", "starts_at": NOON, "ends_at": at(60), "now": NOON}
    return silence(**{**plain, **changes})


def test_a_silence_is_active_in_a_half_open_interval():
    one = quiet(starts_at=at(10))
    assert [one.state(at(minutes)) for minutes in (9, 10, 59, 60)] == ["waiting", "active", "active", "ended"]
    assert active_silences([one], ALERT, at(9)) == ()
    assert active_silences([one], ALERT, at(10)) == (one,)
    longer = quiet(ends_at=at(90))
    assert active_silences([one, longer], ALERT, at(10)) == (longer, one)
    assert ending_soon([one, longer], at(50)) == [one]


def test_a_silence_matches_severities_and_rules():
    assert not quiet(most="info").matches(ALERT)
    assert quiet(least="warning", most="warning").matches(ALERT)
    assert not quiet(rules=["volume*"]).matches(ALERT)
    assert quiet(series=["company:*", "topic:credit"]).matches(ALERT)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"series": []}, "needs a series pattern"),
        ({"series": ["AAPL"]}, "not a series pattern"),
        ({"series": ["topic:*"] * 1 + [f"topic:{n}" for n in range(200)]}, "at most 100"),
        ({"rules": [""]}, "must not be empty"),
        ({"least": "critical", "most": "info"}, "covers nothing"),
        ({"author": " "}, "author"),
        ({"comment": ""}, "comment"),
        ({"ends_at": NOON}, "end after it starts"),
        ({"starts_at": at(-90), "ends_at": at(-60)}, "has no effect"),
    ],
)
def test_an_invalid_silence_is_rejected(wrong: dict[str, Any], why: str):
    with pytest.raises(UserError, match=why):
        quiet(**wrong)


# inhibition

RULES = inhibitions("market > *; sector > company")
SECTORS = {"600519.SH": "consumer", "AAPL": "tech"}


def firing(one: Alert, *events: AlertEvent) -> tuple[Alert, AlertLifecycle]:
    return one, lifecycle_of(one, events)


def test_the_market_inhibits_its_members_and_a_sector_its_companies():
    market, sector = firing(alert("market:all")), firing(alert("sector:consumer"))
    moutai = alert("company:600519.SH", minutes=5)
    assert inhibitor(moutai, [market, sector], RULES, SECTORS) is not None
    assert inhibitor(moutai, [sector], RULES, SECTORS) == sector[0]
    assert inhibitor(alert("company:AAPL", minutes=5), [sector], RULES, SECTORS) is None
    assert inhibitor(alert("company:000001.SZ", minutes=5), [sector], RULES, SECTORS) is None
    assert inhibitor(alert("topic:credit", minutes=5), [market, sector], RULES, SECTORS) == market[0]
    assert inhibitor(sector[0], [market, sector], RULES, SECTORS) == market[0]
    assert inhibitor(market[0], [market, sector], RULES, SECTORS) is None
    assert inhibitor(moutai, [market, sector], (), SECTORS) is None


@pytest.mark.parametrize("mine", ["info", "warning", "critical"])
@pytest.mark.parametrize("theirs", ["info", "warning", "critical"])
def test_a_more_severe_alert_is_not_inhibited(mine: Severity, theirs: Severity):
    rank = ["info", "warning", "critical"].index
    inhibiting = inhibitor(alert(severity=mine, minutes=1), [firing(alert("market:all", severity=theirs))], RULES, {})
    assert (inhibiting is None) == (rank(mine) > rank(theirs))


def test_only_a_delivered_alert_of_the_same_episode_inhibits():
    whole = alert("market:all")
    member = alert("topic:credit", minutes=5)
    assert inhibitor(alert("topic:credit", minutes=-5), [firing(whole)], RULES, {}) is None, "it was there before"
    assert inhibitor(member, [firing(whole, event(whole.id, "acknowledged", "bob", at(1)))], RULES, {}) == whole
    assert inhibitor(member, [firing(whole, event(whole.id, "resolved", "bob", at(1)))], RULES, {}) is None
    silenced_lifecycle = AlertLifecycle(alert_id=whole.id, state="firing", last_breach_at=NOON, silenced=(quiet(series=["market:*"]),))
    assert inhibitor(member, [(whole, silenced_lifecycle)], RULES, {}) is None, "neither would be delivered"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("market", "not an inhibition rule"),
        ("topic > company", "only alerts on market"),
        ("sector > topic", "a sector only company"),
        ("market > market", "other kinds"),
    ],
)
def test_an_invalid_inhibition_rule_is_rejected(text: str, why: str):
    with pytest.raises(UserError, match=why):
        inhibitions(text)


def test_inhibition_rules_may_be_empty():
    assert inhibitions(" ; ") == ()
