"""Attribution of alerts, compared with brute force on small windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import MAX_DECISIVE, Alert, CompanyCount, WordCount, alert_id, decode, encode
from stats.minute_counts import StoryCounts
from stats.spikes import Spike, surprise
from storage.store import ArticleRow, SeriesArticle
from stream.detection.attribution import (
    CHART_STEPS,
    SpikeDecision,
    WindowStory,
    chart_for,
    chart_steps,
    decisive_stories,
    exceeds_threshold,
    explanation,
    first_story,
    group_stories,
    sources_of,
)
from stream.detection.spike_rule import SpikeRule, build_alert, corroborated
from tests.helpers.strategies import examples

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
START = int(NOON.timestamp())
RULE = SpikeRule()


def decision(*, rule: SpikeRule = RULE, threshold: float = 3.0, expected: float = 0.3, feed_sources: int = 5) -> SpikeDecision:
    return SpikeDecision(rule, Spike(START + 900, 900, 0, expected, 0.25, 0.0), threshold, feed_sources)


def mention(story: str, source: str, *, at: int = 0, p: float = 0.9, copy: str = "") -> SeriesArticle:
    return SeriesArticle(START + at, copy or story, story, source, p)


def alert_of(stories: Sequence[WindowStory], by: SpikeDecision) -> Alert | None:
    """The alert of these stories, computed as stream/detection/detector.py and stats/spikes.py do."""
    observed = sum(bool(story.origin) for story in stories)
    if observed < by.rule.min_stories or observed < by.rule.min_ratio * by.spike.expected:
        return None
    spike = by.spike._replace(observed=observed, surprise=surprise(observed, by.spike.expected, by.spike.dispersion))
    sources = sources_of(stories)
    spike_after = corroborated(spike, sources.values(), by.rule, by.feed_sources)
    return spike_after and build_alert(
        "topic:credit", spike_after, threshold=by.threshold, total=observed, sources=len(sources), rule=by.rule, now=NOON
    )


@st.composite
def windows(draw: st.DrawFn) -> list[SeriesArticle]:
    """Up to eight stories, each with its first source ("": only copies are in the window) and the sources that copied it."""
    names = ["s0", "s1", "新浪", "s3"]
    found = []
    for n in range(draw(st.integers(1, 8))):
        origin = draw(st.sampled_from(["s0", "s0", *names, ""]))
        copies = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
        p = draw(st.sampled_from([0.6, 0.8, 0.95]))
        if origin:
            found.append(mention(f"story{n}", origin, at=n, p=p))
        for k, source in enumerate(copies if origin else copies or ["s1"]):
            found.append(mention(f"story{n}", source, at=20 + n + k, p=p - 0.05, copy=f"copy{n}.{k}"))
    return found


rules = st.builds(
    lambda least, sources, ratio: replace(RULE, min_stories=least, min_sources=sources, min_ratio=ratio),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([1.0, 2.0, 4.0]),
)
decisions = st.builds(
    lambda rule, threshold, expected, feed: decision(rule=rule, threshold=threshold, expected=expected, feed_sources=feed),
    rules,
    st.floats(0.0, 6.0),
    st.sampled_from([0.05, 0.3, 1.2]),
    st.integers(0, 5),
)


@examples(300)
@given(windows(), decisions)
def test_decisive_stories_are_the_smallest_set_without_which_no_alert_is_raised(mentions: list[SeriesArticle], by: SpikeDecision):
    stories = group_stories(mentions)
    raised = alert_of(stories, by) is not None
    assert exceeds_threshold(stories, by) is raised
    decisive = decisive_stories(stories, by)
    assert bool(decisive) is raised
    if not raised:
        return
    assert alert_of([story for story in stories if story not in decisive], by) is None
    for size in range(len(decisive)):
        for fewer in combinations(stories, size):
            assert alert_of([story for story in stories if story not in fewer], by) is not None


@examples(60)
@given(windows(), decisions, st.randoms(use_true_random=False))
def test_attribution_does_not_depend_on_the_order_of_articles(mentions: list[SeriesArticle], by: SpikeDecision, chance):
    stories = group_stories(mentions)
    again = group_stories(chance.sample(mentions, len(mentions)))
    assert again == stories
    assert decisive_stories(again, by) == decisive_stories(stories, by)


def test_of_equally_small_sets_the_most_negative_stories_are_decisive():
    mentions = [mention(f"story{n}", f"s{n % 4}", p=0.5 + 0.05 * n) for n in range(8)]
    stories = group_stories(mentions)
    decisive = decisive_stories(stories, decision(threshold=0.0, rule=replace(RULE, min_stories=6)))
    assert [story.article for story in decisive] == ["story7", "story6", "story5"]


def test_a_flood_that_one_other_source_corroborates_depends_on_that_source():
    """s0 has twelve stories, s1 two. Without one of s1's only three count, which is too few; of s0's, eleven would have to go."""
    mentions = [mention(f"flood{n}", "s0", p=0.99) for n in range(12)] + [mention(f"other{n}", "s1", p=0.7) for n in range(2)]
    assert {story.article for story in decisive_stories(group_stories(mentions), decision())} == {"other0"}


def test_copies_of_earlier_stories_corroborate_and_may_be_decisive():
    mentions = [mention(f"flood{n}", "s0", p=0.99) for n in range(6)] + [
        mention("old", "s1", copy="a copy"),
        mention("old", "s2", copy="another"),
    ]
    stories = group_stories(mentions)
    assert [story.origin for story in stories if story.article == "a copy"] == [""]
    assert [story.article for story in decisive_stories(stories, decision())] == ["a copy"]


def test_decisive_stories_of_a_large_window_are_minimal():
    mentions = [mention(f"story{n:04}", f"s{n % 30}") for n in range(1_500)]
    decisive = decisive_stories(group_stories(mentions), decision(threshold=5.0, feed_sources=30))
    left = [story for story in group_stories(mentions) if story not in set(decisive)]
    assert not exceeds_threshold(left, decision(threshold=5.0, feed_sources=30))
    assert exceeds_threshold([*left, decisive[0]], decision(threshold=5.0, feed_sources=30))


def alert(*, window_s: int = 900) -> Alert:
    return Alert(
        id=alert_id("r", "topic:credit", NOON), rule="r", series="topic:credit", window_start=NOON, window_s=window_s, detected_at=NOON,
        severity="info", observed=9, expected=0.3, surprise=6.0, total=9, sources=3,
    )  # fmt: skip


@pytest.mark.parametrize("window_s", [300, 900, 3_600, 7_260, 86_400, 366 * 86_400])
def test_a_chart_ends_with_the_window_and_has_steps_before_it(window_s: int):
    starts, width = chart_steps(alert(window_s=window_s))
    end = START + window_s
    assert (len(starts), int(starts[-1]) + width) == (CHART_STEPS, end)
    assert width * CHART_STEPS > window_s and width % 60 == 0
    bad = StoryCounts.of([START, START, end - 60, end, int(starts[0])], [1, 1, 1, 1, 1])
    made = chart_for(alert(window_s=window_s), bad, [0.25] * CHART_STEPS)
    assert sum(made.negative) == 4, "stories after the window are not counted"
    assert (made.negative[0], made.step_s, made.expected) == (1, width, (0.25,) * CHART_STEPS)
    assert chart_for(alert(window_s=window_s), bad).expected == ()


def row(name: str, *companies: str) -> ArticleRow:
    return ArticleRow(
        id=name, url="", source="wire", language="zh", title=name, text="", published_at=NOON, story=name, topics=(), companies=companies,
        p_negative=0.9, p_neutral=0.1, p_positive=0.0, model="m",
    )  # fmt: skip


def test_an_explanation_counts_stories_and_not_articles():
    mentions = [mention("a", "新浪财经", at=30), mention("a", "wire", at=5, copy="a2"), mention("b", "wire", at=40, p=0.99)]
    stories = group_stories(mentions)
    assert [(story.article, sorted(story.sources)) for story in stories] == [("b", ["wire"]), ("a", ["wire", "新浪财经"])]
    first = first_story(stories)
    assert first is not None and (first.article, first.first_source) == ("a", "wire")
    made = explanation(
        stories,
        [row("b", "600519.SH", "ACME", "ACME"), row("a", "ACME", "NLS")],
        [WordCount(word="违约", stories=2)],
        decisive=stories[:1],
        own="600519.SH",
    )
    assert (made.stories, made.read, made.more, made.decisive_count, made.decisive_article_ids) == (2, 2, False, 1, ("b",))
    assert made.companies == (CompanyCount(company="ACME", stories=2), CompanyCount(company="NLS", stories=1))
    assert (made.first_source, made.first_at, made.words[0].word) == ("wire", NOON + timedelta(seconds=5), "违约")
    many = explanation(stories, [], decisive=stories * MAX_DECISIVE)
    assert (many.decisive_count, len(many.decisive_article_ids)) == (2 * MAX_DECISIVE, MAX_DECISIVE)
    explained = msgspec.structs.replace(alert(), why=made)
    assert decode(encode(explained), Alert) == explained


def test_a_window_without_articles_has_an_empty_explanation():
    made = explanation([], [])
    assert (made.stories, made.decisive_article_ids, made.words, made.companies, made.first_source, made.first_at) == (
        0,
        (),
        (),
        (),
        "",
        None,
    )
    assert decisive_stories([], decision()) == []
