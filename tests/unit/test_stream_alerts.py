from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine.records import Alert, alert_id
from spine.settings import Settings
from spine.store import ArticleRow, WindowCount
from stream.alerts import MAX_EVIDENCE, Rule, decide, evidence, in_episode, severity

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULE = Rule()
QUIET_PAST = [WindowCount(NOON - timedelta(minutes=15 * n), 900, 0, 1) for n in range(1, 1000)]


def ring(
    negative: int = 12,
    *,
    sources: int = 4,
    rule: Rule = RULE,
    past: list[WindowCount] | None = None,
    last_rang: datetime | None = None,
    first_seen: datetime | None = NOON - timedelta(days=20),
    n_series: int = 300,
) -> Alert | None:
    return decide(
        "company:600519.SH",
        QUIET_PAST if past is None else past,
        WindowCount(NOON, 900, negative, negative + 3),
        sources=sources,
        rule=rule,
        now=NOON + timedelta(minutes=9),
        last_rang=last_rang,
        first_seen=first_seen,
        n_series=n_series,
    )


def test_a_spike_rings_and_says_what_it_saw():
    alert = ring()
    assert alert is not None
    assert (alert.observed, alert.total, alert.sources, alert.window_start, alert.window_s) == (12, 15, 4, NOON, 900)
    assert alert.id == alert_id(RULE.name, "company:600519.SH", NOON)
    assert alert.expected == pytest.approx(0.05)
    assert alert.surprise > 6


def test_each_condition_alone_keeps_it_silent():
    assert ring(negative=2, rule=replace(RULE, false_per_week=1e9)) is None  # fewer than three stories
    assert ring(sources=1) is None
    assert ring(first_seen=NOON - timedelta(hours=11)) is None
    assert ring(first_seen=None) is None
    assert ring(last_rang=NOON - timedelta(minutes=59)) is None
    assert ring(past=[WindowCount(count.start, 900, 12, 15) for count in QUIET_PAST]) is None
    assert ring(negative=3) is None  # three stories on a series that never had one: not beyond the budget of 300 series


def test_the_ratio_is_a_floor_of_effect_size():
    """However unlikely: 130 where 100 are usual is not worth a call."""
    busy = [WindowCount(count.start, 900, 100, 120) for count in QUIET_PAST]
    generous = replace(RULE, min_ratio=1.0, false_per_week=1e6)
    assert ring(negative=130, past=busy, rule=generous) is not None
    assert ring(negative=130, past=busy, rule=replace(generous, min_ratio=2.0)) is None
    assert ring(negative=500, past=busy) is not None


def test_an_episode_rings_once_and_the_next_one_again():
    assert ring(last_rang=NOON - timedelta(minutes=60)) is not None
    assert in_episode(NOON, NOON + timedelta(minutes=30), RULE)  # a late batch judges an earlier window of the same episode
    assert not in_episode(NOON, None, RULE)
    short = replace(RULE, cooldown_s=0)
    assert in_episode(NOON, NOON - timedelta(minutes=14), short)  # windows that overlap hold the same stories
    assert not in_episode(NOON, NOON - timedelta(minutes=15), short)


@given(st.integers(0, 60))
def test_more_negative_stories_never_silence_an_alert(negative: int):
    if ring(negative) is not None:
        assert ring(negative + 1) is not None


@given(st.integers(1, 5000))
def test_more_series_never_make_it_easier_to_ring(n_series: int):
    if ring(6, n_series=n_series + 1) is not None:
        assert ring(6, n_series=n_series) is not None


@pytest.mark.parametrize(
    ("over", "observed", "want"),
    [(0.0, 50, "watch"), (2.5, 5, "watch"), (2.5, 6, "urgent"), (9.0, 8, "urgent"), (4.0, 9, "flash"), (1.9, 99, "watch")],
)
def test_severity_needs_surprise_and_size(over: float, observed: int, want: str):
    assert severity(over, observed, RULE) == want


def row(name: str, story: str, p_negative: float = 0.9) -> ArticleRow:
    return ArticleRow(
        id=name,
        url=f"https://example.org/{name}",
        source="wire",
        language="zh",
        title="",
        text="公司公告" * 100,
        published_at=NOON,
        story=story,
        topics=(),
        companies=(),
        p_negative=p_negative,
        p_neutral=0.1,
        p_positive=0.0,
        model="m",
    )


def test_evidence_shows_each_story_once_and_never_more_than_was_counted():
    shown = evidence([row("a", "s1"), row("b", "s1"), row("c", "s2"), row("d", "s3")], observed=2)
    assert [item.id for item in shown] == ["a", "c"]
    assert shown[0].title.startswith("公司公告")
    assert len(evidence([row(str(n), str(n)) for n in range(20)], observed=20)) == MAX_EVIDENCE
    assert evidence([], observed=4) == ()


def test_the_rule_is_what_the_settings_say():
    settings = Settings(alert_window_s=1800, alert_history_days=7, alert_warmup_h=2, alert_min_sources=3, alert_cooldown_s=60)
    rule = Rule.from_settings(settings)
    assert (rule.window_s, rule.history_s, rule.warmup_s, rule.min_sources, rule.cooldown_s) == (1800, 7 * 86_400, 7200, 3, 60)
    assert rule.max_age_s == 3600
    assert rule.quiet == timedelta(seconds=1800)
