"""Gap models of sources, and outages of sources and of the feed."""

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
from stats.outage_model import SLOT_S, SLOTS_PER_DAY, SLOTS_PER_WEEK, GapModel, fit_gap_model
from storage.store import LastAlert, SourceActivity
from stream.detection.outage import OutageDetector, OutageRule, replay_outages, to_detections
from tests.helpers.strategies import examples

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
"""00:00; slot 0 of these tests."""
FIRST = int(MONDAY.timestamp()) // SLOT_S
RULE = OutageRule()
HISTORY = 28 * SLOTS_PER_DAY


def moment(days: float) -> int:
    """Seconds since 1970, so many days after MONDAY."""
    return int((MONDAY + timedelta(days=days)).timestamp())


def activity(days: Sequence[float]) -> SourceActivity:
    at = sorted({moment(day) for day in days})
    return SourceActivity(sorted({second // SLOT_S for second in at}), at[-1])


def wire(
    per_day: float, until: float, *, since: float = 0.0, seed: int = 0, hours: tuple[int, int] = (0, 24), days: int = 7
) -> list[float]:
    """Moments of a Poisson source that publishes at these hours of the first `days` days of the week."""
    dice = random.Random(f"{seed} {per_day}")
    every = [since + dice.random() * (until - since) for _ in range(round(per_day * (until - since)))]
    return [at for at in every if int(at) % 7 < days and hours[0] <= at % 1 * 24 < hours[1]]


def replayed(sources: Mapping[str, SourceActivity], since: float, until: float, rule: OutageRule = RULE) -> list[tuple[str, float, Alert]]:
    """Series, time of the alert in days after MONDAY, and the alert."""
    found = replay_outages(sources, rule, MONDAY + timedelta(days=since), MONDAY + timedelta(days=until))
    return [(alert.series, (at - MONDAY) / timedelta(days=1), alert) for at, alerts in found for alert in alerts]


def model_of(days: Sequence[float], day: int = 28) -> GapModel:
    found = fit_gap_model(np.asarray(activity(days).slots, np.int64), FIRST // SLOTS_PER_DAY * SLOTS_PER_DAY + day * SLOTS_PER_DAY, HISTORY)
    assert found is not None
    return found


# -- surprise of a gap ------------------------------------------------------------------------------------------------------


@examples(100)
@given(st.integers(0, 3 * SLOTS_PER_WEEK), st.integers(0, 2 * SLOTS_PER_WEEK), st.integers(0, 2 * SLOTS_PER_WEEK))
def test_surprise_of_a_gap_grows_with_its_length_and_is_additive(last: int, some: int, more: int):
    one = BUSINESS_HOURS
    first, whole = float(one.surprise(last, last + 1 + some)), float(one.surprise(last, last + 1 + some + more))
    assert 0 <= first <= whole
    assert whole == pytest.approx(first + float(one.surprise(last + some, last + 1 + some + more)))


@examples(60)
@given(st.integers(0, 2 * SLOTS_PER_WEEK), st.floats(0.5, 60))
def test_slot_at_is_the_first_slot_with_the_surprise(last: int, wanted: float):
    one = BUSINESS_HOURS
    end = one.slot_at(last, wanted)
    assert float(one.surprise(last, end)) >= wanted - 1e-9
    assert float(one.surprise(last, end - 1)) < wanted + 1e-9


BUSINESS_HOURS = model_of(wire(80, 28, hours=(8, 18), days=5))


def test_nights_and_weekends_without_articles_add_no_surprise():
    noon, night, sunday = (FIRST + round((28 + at) * SLOTS_PER_DAY) for at in (0.5, 0.9, 6.5))
    hour = 12
    assert float(BUSINESS_HOURS.surprise(noon, noon + 4 * hour)) > 5
    assert float(BUSINESS_HOURS.surprise(night, night + 4 * hour)) < 0.3
    assert float(BUSINESS_HOURS.surprise(sunday, sunday + 4 * hour)) < 0.3


def test_a_burst_counts_as_one_slot():
    """Forty articles in a minute do not make a source look busy."""
    slow = wire(6, 28)
    burst = [at + n / 86_400 / 2 for at in slow for n in range(40)]
    slots = np.asarray(activity(burst).slots)
    assert len(slots) == pytest.approx(len(activity(slow).slots), rel=0.1)
    assert model_of(burst).due[-1] == pytest.approx(model_of(slow).due[-1], rel=0.1)


def test_a_model_needs_a_week_and_ten_slots():
    day = FIRST // SLOTS_PER_DAY * SLOTS_PER_DAY
    for days, until in ((wire(100, 6.5), 6), (wire(100, 20, since=15), 20), ([0.5 * n for n in range(9)], 28), ([], 28)):
        slots = np.asarray(activity(days).slots if days else [], np.int64)
        assert fit_gap_model(slots, day + until * SLOTS_PER_DAY, HISTORY) is None


def test_a_source_without_gaps_is_in_outage_after_ten_minutes():
    """An article in every slot, and no other source."""
    every = {"busy": activity([n / SLOTS_PER_DAY for n in range(28 * SLOTS_PER_DAY)])}
    ((series, at, _),) = replayed(every, 20, 28.5)
    assert series == MARKET
    assert 600 <= (at - 28) * 86_400 + SLOT_S <= 1_200


def test_past_outages_hardly_raise_the_threshold():
    quiet = wire(150, 28)
    gaps = [at for at in quiet if not (9 <= at < 10 or 16 <= at < 17.5 or 23 <= at < 24)]
    assert model_of(gaps).threshold(0.05) < 1.5 * model_of(quiet).threshold(0.05)


# -- outages ----------------------------------------------------------------------------------------------------------------

NAMES = ("新浪财经", "reuters", "cls", "wire d", "wire e")


def feed(until: float = 30.0, **ends: float) -> dict[str, SourceActivity]:
    """Five Poisson sources, the first with 60 articles a day and each next one with half as many again, until `until` or its own end."""
    return {name: activity(wire(60 * 1.5**n, ends.get(f"s{n}", until), seed=n)) for n, name in enumerate(NAMES)}


def test_an_outage_of_one_source_raises_one_alert_for_that_source():
    ((series, at, alert),) = replayed(feed(s0=25.3), 24, 30)
    assert series == source_series("新浪财经")
    assert 25.3 < at < 25.6
    assert alert.measure == "outage" and alert.rule == "source-outage" and alert.severity == "info"
    assert alert.window_start == datetime.fromtimestamp(feed(s0=25.3)["新浪财经"].last, UTC)
    assert alert.value >= alert.limit > 0.5
    assert (alert.observed, alert.total, alert.sources) == (0, 0, 1)
    assert int(alert.window_start.timestamp()) + alert.window_s == int(alert.detected_at.timestamp())


def test_a_regular_feed_keeps_the_budget_of_false_alerts():
    """28 weeks of Poisson sources; two standard deviations over the budget are allowed."""
    feeds = [{name: activity(wire(20 + 30 * n, 63, seed=seed * 9 + n)) for n, name in enumerate(NAMES)} for seed in range(4)]
    alarms, due = sum(len(replayed(sources, 14, 63)) for sources in feeds), 28 * RULE.per_week
    assert alarms <= due + 2 * due**0.5


def test_an_outage_of_the_whole_feed_is_one_alert_of_the_market():
    ((series, at, alert),) = replayed(feed(25.3), 24, 27)
    assert series == MARKET
    assert 25.3 < at < 25.36
    assert (alert.severity, alert.sources) == ("warning", 5)


def test_an_outage_of_most_sources_is_one_alert_of_the_market():
    ends = {f"s{n}": 25.3 for n in range(4)}
    ((series, _, alert),) = replayed(feed(**ends), 24, 26.5)
    assert series == MARKET
    assert 3 <= alert.sources <= 4


def test_limits_of_sources_restart_after_an_outage_of_the_feed():
    """All are down; four come back at once, the fifth an hour later, within its limit, a sixth never."""
    sources = {
        name: activity(wire(80, 25.3, seed=n) + wire(80, 30, since=25.8 + (n == 4) / 24, seed=n + 50)) for n, name in enumerate(NAMES)
    }
    dead = sources | {"dead": activity(wire(80, 25.3, seed=99))}
    assert [series for series, _, _ in replayed(sources, 24, 30)] == [MARKET]
    (market, back), (series, at) = [(series, at) for series, at, _ in replayed(dead, 24, 30)]
    assert (market, series) == (MARKET, source_series("dead"))
    assert back < 25.5 and at > 25.8 + 1 / 24


def test_a_source_in_outage_is_left_out_of_the_market():
    """The source with most articles is down; the feed then consists of the others."""
    loud = {"loud": activity(wire(280, 21, seed=1)), "slow": activity(wire(30, 35, seed=2)), "slower": activity(wire(20, 35, seed=3))}
    assert [series for series, at, _ in replayed(loud, 20, 35)] == [source_series("loud")]


def test_a_source_with_few_articles_a_week_has_a_limit_of_days():
    for seed in range(5):
        sources = feed(40) | {"rare": activity(wire(0.5, 24.0, seed=seed))}
        assert all(series != source_series("rare") or alert.value > 3 * 24 for series, _, alert in replayed(sources, 20, 40))


def test_a_source_without_articles_for_two_weeks_is_no_longer_followed():
    detector = OutageDetector(RULE, feed(60) | {"gone": activity(wire(50, 40))})
    assert [found.series for found in detector.outages(moment(50))] == [source_series("gone")]
    assert detector.outages(moment(54.5)) == []


def test_weekends_raise_no_alert_from_the_third_one_on():
    """A feed of business hours on five days of the week."""
    sources = {name: activity(wire(200, 33, seed=n, hours=(7, 19), days=5)) for n, name in enumerate(NAMES)}
    assert [alert.series for _, _, alert in replayed(sources, 15, 33) if alert.value > 4] == []


def test_a_budget_of_zero_turns_the_rule_off():
    assert replayed(feed(25.3), 24, 27, replace(RULE, per_week=0.0)) == []


def test_the_usual_delay_of_a_source_is_added_to_its_limit():
    sources = feed(s0=25.3)
    late = sources | {"新浪财经": sources["新浪财经"]._replace(late_s=3_000)}
    (_, prompt, _), (_, delayed, alert) = replayed(sources, 24, 30)[0], replayed(late, 24, 30)[0]
    assert delayed == pytest.approx(prompt + 3_000 / 86_400, abs=2 * SLOT_S / 86_400)
    assert alert.limit * HOUR_S >= 3_000


@examples(25)
@given(st.permutations(NAMES), st.floats(25.0, 26.5))
def test_outages_depend_neither_on_the_order_of_sources_nor_on_later_articles(order: Sequence[str], day: float):
    sources = feed(s1=24.9, s3=24.95)
    one = OutageDetector(RULE, sources).outages(moment(day))
    assert OutageDetector(RULE, {name: sources[name] for name in order}).outages(moment(day)) == one
    past = {name: [at for at in one.slots if at <= moment(day) // SLOT_S] for name, one in sources.items()}
    cut = {name: SourceActivity(at, min(sources[name].last, at[-1] * SLOT_S)) for name, at in past.items()}
    seen = {found.series: found.surprise for found in OutageDetector(RULE, cut).outages(moment(day))}
    assert seen == {found.series: found.surprise for found in one}


# -- alerts ------------------------------------------------------------------------------------------------------------------


def test_an_outage_has_one_alert_and_includes_gaps_within_the_cooldown():
    detector = OutageDetector(RULE, feed(s0=25.3))
    now = moment(25.8)
    outages = detector.outages(now)
    (alert,) = to_detections(outages, {}, RULE, now).alerts
    again = to_detections(outages, {alert.series: LastAlert(alert.id, now)}, RULE, now + 60)
    assert (again.alerts, again.ongoing_ids) == ([], {alert.id})
    long_ago = {alert.series: LastAlert("before", outages[0].since - int(RULE.cooldown_s) - 1)}
    assert to_detections(outages, long_ago, RULE, now).alerts == [alert]
    held = [silence._replace(is_alert=False) for silence in outages]
    assert to_detections(held, {}, RULE, now) == ([], set(), {})
