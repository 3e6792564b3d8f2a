from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Alert, alert_id
from core.settings import Settings
from stats.spikes import Spike, surprise
from storage.store import ArticleRow, SourceStories
from stream.detection.spike_rule import MAX_EVIDENCE, SpikeRule, build_alert, corroborated, evidence_of, severity_of
from tests.helpers.strategies import examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULE = SpikeRule()
SERIES = "company:600519.SH"


def spike(observed: int, *, expected: float = 0.05, width_s: int = 900) -> Spike:
    end = int(NOON.timestamp()) + width_s
    return Spike(end, width_s, observed, expected, 0.25, surprise(observed, expected, 0.25))


def alert_of(observed: int = 12, threshold: float = 6.0) -> Alert | None:
    return build_alert(
        SERIES, spike(observed), threshold=threshold, total=observed + 3, sources=4, rule=RULE, now=NOON + timedelta(minutes=9)
    )


def test_an_alert_holds_the_figures_of_its_spike():
    alert = alert_of()
    assert alert is not None
    assert (alert.observed, alert.total, alert.sources, alert.window_start, alert.window_s) == (12, 15, 4, NOON, 900)
    assert (alert.id, alert.rule, alert.series) == (alert_id(RULE.name, SERIES, NOON), RULE.name, SERIES)
    assert (alert.expected, alert.detected_at) == (0.05, NOON + timedelta(minutes=9))
    assert alert.surprise == pytest.approx(spike(12).surprise, abs=1e-3)


def test_a_spike_below_the_threshold_or_min_stories_raises_no_alert():
    surprise_ = spike(12).surprise
    assert alert_of(threshold=surprise_) is not None
    assert alert_of(threshold=surprise_ + 0.001) is None
    assert alert_of(2, threshold=0.0) is None
    assert alert_of(3, threshold=0.0) is not None


@examples(60)
@given(st.integers(0, 60), st.floats(0, 30))
def test_more_negative_stories_never_prevent_an_alert(observed: int, threshold: float):
    if alert_of(observed, threshold) is not None:
        assert alert_of(observed + 1, threshold) is not None


@pytest.mark.parametrize(
    ("over", "observed", "want"),
    [(0.0, 50, "info"), (2.5, 5, "info"), (2.5, 6, "warning"), (9.0, 8, "warning"), (4.0, 9, "critical"), (1.9, 99, "info")],
)
def test_severity_needs_both_surprise_and_stories(over: float, observed: int, want: str):
    assert severity_of(over, observed, RULE) == want


def corroborate(*stories: tuple[int, int], feed_sources: int = 9, rule: SpikeRule = RULE) -> Spike | None:
    """stories: (stories that it published first, all its stories) of each source."""
    found = spike(max(1, sum(first for first, _ in stories)))
    return corroborated(found, [SourceStories(*each) for each in stories], rule, feed_sources)


def test_stories_of_balanced_sources_count_in_full():
    assert corroborate((4, 4), (3, 3), (2, 4)) == spike(9)
    assert corroborate((4, 4), (2, 2)) == spike(6)


def test_stories_of_one_source_count_up_to_twice_those_of_the_others():
    assert corroborate((40, 40)) is None
    flooded = corroborate((40, 40), (1, 1))
    assert flooded is not None
    assert flooded.observed == 3  # twice the other's story, and that one
    assert flooded.surprise == surprise(3, 0.05, 0.25) < spike(41).surprise
    copied = corroborate((18, 18), (0, 5), (0, 4))  # others copy the stories of one source
    assert copied == spike(18)


def test_a_feed_of_one_source_needs_no_corroboration():
    assert corroborate((12, 12), feed_sources=1) == spike(12)
    assert corroborate((12, 12), feed_sources=0) == spike(12)
    assert corroborate((12, 12), feed_sources=2) is None
    assert corroborate((12, 12), rule=SpikeRule(min_sources=1)) == spike(12)
    assert corroborate((6, 6), (6, 6), rule=SpikeRule(min_sources=3)) is None
    assert corroborate((6, 6), (6, 6), rule=SpikeRule(min_sources=3), feed_sources=2) == spike(12)


reported = st.tuples(st.integers(0, 30), st.integers(0, 10)).map(lambda each: (each[0], sum(each))).filter(lambda each: each[1] > 0)
sources = st.lists(reported, min_size=1, max_size=5)  # a source is known by at least one story


@examples(200)
@given(sources, st.integers(0, 5), st.booleans())
def test_one_more_story_or_copy_never_lowers_the_corroborated_count(stories: list[tuple[int, int]], place: int, new: bool):
    before = corroborate(*stories)
    first, every = stories[place] if place < len(stories) else (0, 0)
    more = [*stories[:place], (first + new, every + 1), *stories[place + 1 :]]
    after = corroborate(*more)
    if before is not None:
        assert after is not None
        assert after.observed >= before.observed
        assert after.surprise >= before.surprise - 1e-9
    if after is not None:
        assert after.observed <= max(1, sum(first for first, _ in more))


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


def test_evidence_has_one_article_per_story_up_to_the_limit():
    shown = evidence_of([row("a", "s1"), row("b", "s1"), row("c", "s2"), row("d", "s3")], limit=2)
    assert [item.id for item in shown] == ["a", "c"]
    assert shown[0].title.startswith("公司公告")
    assert len(evidence_of([row(str(n), str(n)) for n in range(20)], limit=20)) == MAX_EVIDENCE
    assert evidence_of([], limit=4) == ()


def test_the_rule_is_read_from_the_settings():
    settings = Settings(
        alert_history_days=7, alert_warmup_h=2, alert_min_sources=3, alert_cooldown_s=60, alert_max_age_s=120, alert_false_per_week=3
    )
    rule = SpikeRule.from_settings(settings)
    assert (rule.history_s, rule.warmup_s, rule.min_sources, rule.cooldown_s) == (7 * 86_400, 7200, 3, 60)
    assert (rule.max_age_s, rule.false_per_week) == (120, 3)
    assert SpikeRule.from_settings(Settings()) == SpikeRule()
