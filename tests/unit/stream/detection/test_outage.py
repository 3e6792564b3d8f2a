"""Who is silent: a source, or the feed. More silence never surprises less, nights and weekends say nothing, and one outage rings once."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Alert
from core.series import MARKET, source_series
from stats.minute_counts import HOUR_S
from stats.outage_model import DAY, STRETCH_S, WEEK, GapModel, rhythm
from storage.store import Rung, Spoke
from stream.detection.outage import OutageDetector, OutageRule, replay_outages, settle
from tests.helpers.strategies import examples

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
"""00:00; stretch 0 of these tests."""
FIRST = int(MONDAY.timestamp()) // STRETCH_S
RULE = OutageRule()
REACH = 28 * DAY


def moment(days: float) -> int:
    """Seconds since 1970, so many days after MONDAY."""
    return int((MONDAY + timedelta(days=days)).timestamp())


def told(days: Sequence[float]) -> Spoke:
    at = sorted({moment(day) for day in days})
    return Spoke(sorted({second // STRETCH_S for second in at}), at[-1])


def wire(
    per_day: float, until: float, *, since: float = 0.0, seed: int = 0, hours: tuple[int, int] = (0, 24), days: int = 7
) -> list[float]:
    """Moments of a source that publishes by chance, at these hours of the first `days` days of the week."""
    dice = random.Random(f"{seed} {per_day}")
    every = [since + dice.random() * (until - since) for _ in range(round(per_day * (until - since)))]
    return [at for at in every if int(at) % 7 < days and hours[0] <= at % 1 * 24 < hours[1]]


def rang(sources: Mapping[str, Spoke], since: float, until: float, rule: OutageRule = RULE) -> list[tuple[str, float, Alert]]:
    """Series, when it rang in days after MONDAY, and the alert."""
    found = replay_outages(sources, rule, MONDAY + timedelta(days=since), MONDAY + timedelta(days=until))
    return [(alert.series, (at - MONDAY) / timedelta(days=1), alert) for at, fresh in found for alert in fresh]


def known(days: Sequence[float], day: int = 28) -> GapModel:
    found = rhythm(np.asarray(told(days).stretches, np.int64), FIRST // DAY * DAY + day * DAY, REACH)
    assert found is not None
    return found


# -- a silence's surprise ----------------------------------------------------------------------------------------------------


@examples(100)
@given(st.integers(0, 3 * WEEK), st.integers(0, 2 * WEEK), st.integers(0, 2 * WEEK))
def test_more_silence_never_surprises_less_and_its_parts_add_up(last: int, some: int, more: int):
    one = BUSINESS_HOURS
    first, whole = float(one.surprise(last, last + 1 + some)), float(one.surprise(last, last + 1 + some + more))
    assert 0 <= first <= whole
    assert whole == pytest.approx(first + float(one.surprise(last + some, last + 1 + some + more)))


@examples(60)
@given(st.integers(0, 2 * WEEK), st.floats(0.5, 60))
def test_a_silence_reaches_a_surprise_when_it_has_it(last: int, wanted: float):
    one = BUSINESS_HOURS
    end = one.reached(last, wanted)
    assert float(one.surprise(last, end)) >= wanted - 1e-9
    assert float(one.surprise(last, end - 1)) < wanted + 1e-9


BUSINESS_HOURS = known(wire(80, 28, hours=(8, 18), days=5))


def test_nights_and_weekends_in_which_nobody_is_heard_say_nothing():
    noon, night, sunday = (FIRST + round((28 + at) * DAY) for at in (0.5, 0.9, 6.5))
    hour = 12
    assert float(BUSINESS_HOURS.surprise(noon, noon + 4 * hour)) > 5
    assert float(BUSINESS_HOURS.surprise(night, night + 4 * hour)) < 0.3
    assert float(BUSINESS_HOURS.surprise(sunday, sunday + 4 * hour)) < 0.3


def test_a_burst_is_one_sign_of_life():
    """Forty articles in a minute do not make their source look busy."""
    slow = wire(6, 28)
    burst = [at + n / 86_400 / 2 for at in slow for n in range(40)]
    stretches = np.asarray(told(burst).stretches)
    assert len(stretches) == pytest.approx(len(told(slow).stretches), rel=0.1)
    assert known(burst).due[-1] == pytest.approx(known(slow).due[-1], rel=0.1)


def test_too_little_is_known_in_the_first_week_and_of_who_was_hardly_ever_heard():
    day = FIRST // DAY * DAY
    for days, until in ((wire(100, 6.5), 6), (wire(100, 20, since=15), 20), ([0.5 * n for n in range(9)], 28), ([], 28)):
        stretches = np.asarray(told(days).stretches if days else [], np.int64)
        assert rhythm(stretches, day + until * DAY, REACH) is None


def test_a_source_that_was_never_silent_is_so_after_ten_minutes():
    """Heard in every stretch, and nobody else is there."""
    every = {"busy": told([n / DAY for n in range(28 * DAY)])}
    ((series, at, _),) = rang(every, 20, 28.5)
    assert series == MARKET
    assert 600 <= (at - 28) * 86_400 + STRETCH_S <= 1_200


def test_outages_of_the_past_do_not_make_the_next_one_wait():
    quiet = wire(150, 28)
    gaps = [at for at in quiet if not (9 <= at < 10 or 16 <= at < 17.5 or 23 <= at < 24)]
    assert known(gaps).bar(0.05) < 1.5 * known(quiet).bar(0.05)


# -- who is silent -----------------------------------------------------------------------------------------------------------

NAMES = ("新浪财经", "reuters", "cls", "wire d", "wire e")


def feed(until: float = 30.0, **ends: float) -> dict[str, Spoke]:
    """Five sources that publish by chance, the first 60 times a day and each next one half as often again, until `until` or its own end."""
    return {name: told(wire(60 * 1.5**n, ends.get(f"s{n}", until), seed=n)) for n, name in enumerate(NAMES)}


def test_one_source_that_falls_silent_rings_once_and_alone():
    ((series, at, alert),) = rang(feed(s0=25.3), 24, 30)
    assert series == source_series("新浪财经")
    assert 25.3 < at < 25.6
    assert alert.measure == "silence" and alert.rule == "feed-silent" and alert.severity == "info"
    assert alert.window_start == datetime.fromtimestamp(feed(s0=25.3)["新浪财经"].last, UTC)
    assert alert.value >= alert.limit > 0.5
    assert (alert.observed, alert.total, alert.sources) == (0, 0, 1)
    assert int(alert.window_start.timestamp()) + alert.window_s == int(alert.detected_at.timestamp())


def test_a_feed_that_speaks_as_ever_rings_seldom():
    """Twenty-eight weeks, by chance alone: the budget, and two standard deviations."""
    feeds = [{name: told(wire(20 + 30 * n, 63, seed=seed * 9 + n)) for n, name in enumerate(NAMES)} for seed in range(4)]
    alarms, due = sum(len(rang(sources, 14, 63)) for sources in feeds), 28 * RULE.per_week
    assert alarms <= due + 2 * due**0.5


def test_the_whole_feed_is_one_alert_of_the_market():
    ((series, at, alert),) = rang(feed(25.3), 24, 27)
    assert series == MARKET
    assert 25.3 < at < 25.36
    assert (alert.severity, alert.sources) == ("warning", 5)


def test_most_of_the_feed_is_one_alert_of_the_market_though_somebody_still_speaks():
    ends = {f"s{n}": 25.3 for n in range(4)}
    ((series, _, alert),) = rang(feed(**ends), 24, 26.5)
    assert series == MARKET
    assert 3 <= alert.sources <= 4


def test_when_the_feed_is_back_each_source_has_its_limit_once_more():
    """All were away; four are back at once, the fifth an hour later, in time; a sixth never."""
    sources = {name: told(wire(80, 25.3, seed=n) + wire(80, 30, since=25.8 + (n == 4) / 24, seed=n + 50)) for n, name in enumerate(NAMES)}
    dead = sources | {"dead": told(wire(80, 25.3, seed=99))}
    assert [series for series, _, _ in rang(sources, 24, 30)] == [MARKET]
    (market, back), (series, at) = [(series, at) for series, at, _ in rang(dead, 24, 30)]
    assert (market, series) == (MARKET, source_series("dead"))
    assert back < 25.5 and at > 25.8 + 1 / 24


def test_who_is_silent_already_is_not_waited_for_by_the_market():
    """The loudest of all is gone; what the feed says from then on is what the others say."""
    loud = {"loud": told(wire(280, 21, seed=1)), "slow": told(wire(30, 35, seed=2)), "slower": told(wire(20, 35, seed=3))}
    assert [series for series, at, _ in rang(loud, 20, 35)] == [source_series("loud")]


def test_a_source_of_a_few_articles_a_week_is_silent_for_days_before_it_rings():
    for seed in range(5):
        sources = feed(40) | {"rare": told(wire(0.5, 24.0, seed=seed))}
        assert all(series != source_series("rare") or alert.value > 3 * 24 for series, _, alert in rang(sources, 20, 40))


def test_who_was_not_heard_for_two_weeks_is_gone():
    hearing = OutageDetector(RULE, feed(60) | {"gone": told(wire(50, 40))})
    assert [found.series for found in hearing.silent(moment(50))] == [source_series("gone")]
    assert hearing.silent(moment(54.5)) == []


def test_weekends_ring_nothing_from_the_third_on():
    """A feed of business hours: five days are heard, two are not."""
    sources = {name: told(wire(200, 33, seed=n, hours=(7, 19), days=5)) for n, name in enumerate(NAMES)}
    assert [alert.series for _, _, alert in rang(sources, 15, 33) if alert.value > 4] == []


def test_nothing_rings_where_no_false_alarm_is_accepted():
    assert rang(feed(25.3), 24, 27, replace(RULE, per_week=0.0)) == []


def test_what_always_comes_late_is_not_silent():
    sources = feed(s0=25.3)
    late = sources | {"新浪财经": sources["新浪财经"]._replace(late_s=3_000)}
    (_, prompt, _), (_, patient, alert) = rang(sources, 24, 30)[0], rang(late, 24, 30)[0]
    assert patient == pytest.approx(prompt + 3_000 / 86_400, abs=2 * STRETCH_S / 86_400)
    assert alert.limit * HOUR_S >= 3_000


@examples(25)
@given(st.permutations(NAMES), st.floats(25.0, 26.5))
def test_the_order_of_sources_changes_nothing_and_the_day_after_is_not_looked_at(order: Sequence[str], day: float):
    sources = feed(s1=24.9, s3=24.95)
    one = OutageDetector(RULE, sources).silent(moment(day))
    assert OutageDetector(RULE, {name: sources[name] for name in order}).silent(moment(day)) == one
    past = {name: [at for at in one.stretches if at <= moment(day) // STRETCH_S] for name, one in sources.items()}
    cut = {name: Spoke(at, min(sources[name].last, at[-1] * STRETCH_S)) for name, at in past.items()}
    seen = {found.series: found.surprise for found in OutageDetector(RULE, cut).silent(moment(day))}
    assert seen == {found.series: found.surprise for found in one}


# -- alerts ------------------------------------------------------------------------------------------------------------------


def test_an_outage_has_one_alert_and_what_falls_silent_again_soon_belongs_to_it():
    hearing = OutageDetector(RULE, feed(s0=25.3))
    now = moment(25.8)
    silences = hearing.silent(now)
    (alert,) = settle(silences, {}, RULE, now).fresh
    again = settle(silences, {alert.series: Rung(alert.id, now)}, RULE, now + 60)
    assert (again.fresh, again.ongoing_ids) == ([], {alert.id})
    long_ago = {alert.series: Rung("before", silences[0].since - int(RULE.cooldown_s) - 1)}
    assert settle(silences, long_ago, RULE, now).fresh == [alert]
    held = [silence._replace(rings=False) for silence in silences]
    assert settle(held, {}, RULE, now) == ([], set(), {})
