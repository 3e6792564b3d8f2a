"""The state of an alert follows from what was done to it: the same for all who know the same, in whatever order they heard of it."""

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
    """As Tocsin writes it for an alert that was last seen an hour earlier."""
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
def test_states_follow_one_another(events: list[AlertEvent], state: str):
    assert lifecycle_of(ALERT, events).state == state


def test_who_did_what_and_when_is_told():
    life = lifecycle_of(
        ALERT,
        [did("acknowledged", 1), did("acknowledged", 2, "bob"), did("assigned", 3, "bob", "李雷"), did("note", 4, text="发行人已回应")],
    )
    assert life.acknowledged is not None
    assert (life.acknowledged.actor, life.acknowledged.at) == ("王芳", at(1))
    assert life.assignee == "李雷"
    assert [(each.actor, each.text) for each in life.notes] == [("王芳", "发行人已回应")]
    assert lifecycle_of(ALERT, [did("assigned", 1, text="bob"), event(ALERT.id, "assigned", "bob", at(2), "")]).assignee == ""


def test_it_is_pending_until_it_lasted_as_long_as_is_wanted():
    assert lifecycle_of(ALERT, [], hold_s=60).state == "pending"
    assert lifecycle_of(ALERT, [], at(0.9), hold_s=60).state == "pending"
    assert lifecycle_of(ALERT, [], at(1), hold_s=60).state == "firing"
    assert lifecycle_of(ALERT, [did("acknowledged", 0)], hold_s=60).state == "acknowledged"


def test_it_resolves_of_itself_an_hour_after_it_was_last_seen():
    life = lifecycle_of(ALERT, [], at(20))
    assert due_to_resolve(life, at(79), HOUR_S) is None
    made = due_to_resolve(life, at(80), HOUR_S)
    assert made is not None
    assert (made.actor, made.at, made.kind) == (TOCSIN, at(80), "resolved")
    assert due_to_resolve(life, at(500), HOUR_S) == made, "whoever notices it late writes the same event"
    assert due_to_resolve(lifecycle_of(ALERT, [made], at(20)), at(500), HOUR_S) is None
    assert lifecycle_of(ALERT, [made], at(20)).state == "resolved"


def test_over_its_bar_again_it_fires_again_but_a_persons_word_stands():
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


def test_reopened_it_has_another_hour():
    life = lifecycle_of(ALERT, [resolved_by_tocsin(60), did("reopened", 90)])
    assert life.state == "firing"
    assert due_to_resolve(life, at(149), HOUR_S) is None
    made = due_to_resolve(life, at(150), HOUR_S)
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
def test_order_and_doubles_change_nothing(events: list[AlertEvent], seen: int | None, chance: Any):
    last_seen = None if seen is None else at(seen)
    mixed = [*events, *events[: len(events) // 2]]
    chance.shuffle(mixed)
    life = lifecycle_of(ALERT, events, last_seen)
    assert lifecycle_of(ALERT, mixed, last_seen) == life
    assert (life.state == "resolved") == (life.resolved is not None)
    assert life.last_breach_at >= ALERT.detected_at
    assert len(life.notes) == len({each.id for each in events if each.kind == "note"})


@examples(40)
@given(happenings, st.lists(st.integers(0, 200), max_size=4))
def test_in_the_end_everything_resolves_and_once(events: list[AlertEvent], sights: Sequence[int]):
    """Whatever was done: Tocsin resolves what nobody did, and writing its event makes it so."""
    last_seen = max((at(sight) for sight in sights), default=None)
    life = lifecycle_of(ALERT, events, last_seen)
    made = due_to_resolve(life, at(10_000), HOUR_S)
    assert (made is None) == (life.state == "resolved")
    if made is not None:
        after = lifecycle_of(ALERT, [*events, made, made], last_seen)
        assert after.state == "resolved"
        assert due_to_resolve(after, at(20_000), HOUR_S) is None


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        (("note", "bob", "  "), "needs words"),
        (("acknowledged", "  ", ""), "must be named"),
        (("acknowledged", "Tocsin", ""), "say who you are"),
        (("acknowledged", "a\x1b[31m", ""), "printable"),
        (("note", "bob", "长" * (MAX_TEXT_CHARS + 1)), "too long"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_sentence(given_: tuple[Any, str, str], why: str):
    kind, actor, text = given_
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
def test_patterns_are_about_the_whole_of_a_series(pattern: str, text: str, does: bool):
    assert matches([pattern], text) is does


def test_a_pattern_of_many_stars_takes_no_time():
    assert not matches(["*a" * 150], "a" * 149 + "b" * 100_000)


def quiet(**changes: Any) -> Silence:
    plain: dict[str, Any] = {"series": ["topic:*"], "author": "王芳", "comment": "维护", "starts_at": NOON, "ends_at": at(60), "now": NOON}
    return silence(**{**plain, **changes})


def test_a_silence_lasts_from_its_start_to_before_its_end():
    one = quiet(starts_at=at(10))
    assert [one.state(at(minutes)) for minutes in (9, 10, 59, 60)] == ["waiting", "active", "active", "ended"]
    assert active_silences([one], ALERT, at(9)) == ()
    assert active_silences([one], ALERT, at(10)) == (one,)
    longer = quiet(ends_at=at(90))
    assert active_silences([one, longer], ALERT, at(10)) == (longer, one)
    assert ending_soon([one, longer], at(50)) == [one]


def test_a_silence_is_about_its_severities_and_rules():
    assert not quiet(most="info").matches(ALERT)
    assert quiet(least="warning", most="warning").matches(ALERT)
    assert not quiet(rules=["volume*"]).matches(ALERT)
    assert quiet(series=["company:*", "topic:credit"]).matches(ALERT)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"series": []}, "needs a pattern"),
        ({"series": ["AAPL"]}, "no pattern of series"),
        ({"series": ["topic:*"] * 1 + [f"topic:{n}" for n in range(200)]}, "at most 100"),
        ({"rules": [""]}, "must not be empty"),
        ({"least": "critical", "most": "info"}, "about nothing"),
        ({"author": " "}, "author"),
        ({"comment": ""}, "comment"),
        ({"ends_at": NOON}, "end after it starts"),
        ({"starts_at": at(-90), "ends_at": at(-60)}, "silences nothing"),
    ],
)
def test_a_silence_that_could_not_be_is_refused(wrong: dict[str, Any], why: str):
    with pytest.raises(UserError, match=why):
        quiet(**wrong)


# inhibition

RULES = inhibitions("market > *; sector > company")
SECTORS = {"600519.SH": "consumer", "AAPL": "tech"}


def firing(one: Alert, *events: AlertEvent) -> tuple[Alert, AlertLifecycle]:
    return one, lifecycle_of(one, events)


def test_the_market_speaks_for_its_members_and_a_sector_for_its_companies():
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
def test_nothing_mutes_what_is_more_severe(mine: Severity, theirs: Severity):
    rank = ["info", "warning", "critical"].index
    spoken = inhibitor(alert(severity=mine, minutes=1), [firing(alert("market:all", severity=theirs))], RULES, {})
    assert (spoken is None) == (rank(mine) > rank(theirs))


def test_only_an_alert_of_the_same_episode_that_people_hear_of_speaks():
    whole = alert("market:all")
    member = alert("topic:credit", minutes=5)
    assert inhibitor(alert("topic:credit", minutes=-5), [firing(whole)], RULES, {}) is None, "it was there before"
    assert inhibitor(member, [firing(whole, event(whole.id, "acknowledged", "bob", at(1)))], RULES, {}) == whole
    assert inhibitor(member, [firing(whole, event(whole.id, "resolved", "bob", at(1)))], RULES, {}) is None
    hushed = AlertLifecycle(alert_id=whole.id, state="firing", last_breach_at=NOON, silenced=(quiet(series=["market:*"]),))
    assert inhibitor(member, [(whole, hushed)], RULES, {}) is None, "nobody would hear of either"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("market", "no rule"),
        ("topic > company", "only alerts on market"),
        ("sector > topic", "for company only"),
        ("market > market", "other kinds"),
    ],
)
def test_a_rule_of_inhibition_that_cannot_be_is_refused(text: str, why: str):
    with pytest.raises(UserError, match=why):
        inhibitions(text)


def test_rules_of_inhibition_may_be_none():
    assert inhibitions(" ; ") == ()
