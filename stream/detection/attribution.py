"""Attribution of an alert: its decisive stories, first source, salient terms, companies and chart. Pure.

    articles of the window ─▶ stories ─┬─▶ decisive stories: the fewest without which the alert would not have been raised
                                       ├─▶ first story and its source
          their texts, usual texts ────┼─▶ salient terms, companies
          counts of the series, its baseline ─▶ chart

`explanation` works for any alert; decisive stories need the decision of the spike detector (`SpikeDecision`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from core.records import MAX_DECISIVE, Alert, Chart, CompanyCount, Why, WordCount
from stats.minute_counts import MINUTE_S, IntArray, StoryCounts
from stats.spikes import Spike, surprise
from storage.store import ArticleRow, SeriesArticle, SourceStories
from storage.timestamps import from_epoch, to_epoch
from stream.detection.spike_rule import MAX_SOURCE_RATIO, SpikeRule, corroborated, is_alert, required_sources

MAX_COMPANIES = 8
CHART_STEPS = 36
STEPS_PER_WINDOW = 4
MIN_STEP_S = 300
MAX_COMBINATIONS = 1_000
"""Choices of the sources that remain are tried up to this number; many sources and a rule that asks for three have more."""


class SpikeDecision(NamedTuple):
    """What a spike alert was decided by.

    Attributes:
        rule: The rule in force.
        spike: The spike as counted, before corroboration.
        threshold: The alert threshold in force.
        feed_sources: Number of sources of the feed.
    """

    rule: SpikeRule
    spike: Spike
    threshold: float
    feed_sources: int


class WindowStory(NamedTuple):
    """A story in a window.

    Attributes:
        article: Its most negative article in the window.
        p_negative: Probability that this article is negative.
        at: When the story first appeared in the window, seconds since 1970.
        first_source: The source of that article.
        origin: The source of the story's first article; "" where it was published before the window. Such a story is not counted, but
            corroborates others.
        sources: All sources of the story in the window.
    """

    article: str
    p_negative: float
    at: int
    first_source: str
    origin: str
    sources: frozenset[str]


def group_stories(mentions: Iterable[SeriesArticle]) -> list[WindowStory]:
    """The stories of these articles, the most negative first. The order of the articles does not matter."""
    by_story: dict[str, list[SeriesArticle]] = {}
    for mention in sorted(mentions):
        by_story.setdefault(mention.story, []).append(mention)
    found = []
    for story, articles in by_story.items():
        worst = min(articles, key=lambda mention: (-mention.p_negative, mention.id))
        origin = next((mention.source for mention in articles if mention.id == story), "")
        sources = frozenset(mention.source for mention in articles)
        found.append(WindowStory(worst.id, worst.p_negative, articles[0].at, articles[0].source, origin, sources))
    return sorted(found, key=lambda story: (-story.p_negative, story.article))


def sources_of(stories: Iterable[WindowStory]) -> dict[str, SourceStories]:
    """Stories of each source."""
    first: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for story in stories:
        every.update(story.sources)
        first.update([story.origin] if story.origin else [])
    return {source: SourceStories(first[source], number) for source, number in every.items()}


def exceeds_threshold(stories: Sequence[WindowStory], decision: SpikeDecision) -> bool:
    """Whether these stories alone would have raised the alert."""
    observed = sum(bool(story.origin) for story in stories)
    if observed < _min_counted(decision):
        return False
    spike = corroborated(_spike_of(decision, observed), sources_of(stories).values(), decision.rule, decision.feed_sources)
    return spike is not None and is_alert(spike, decision.threshold, decision.rule)


def decisive_stories(stories: Sequence[WindowStory], decision: SpikeDecision) -> list[WindowStory]:
    """The fewest stories without which the alert would not have been raised; of sets of one size the most negative one.

    An alert is prevented in three ways, each with its own smallest set: too few new stories, too few corroborated ones, or too few
    sources.

    Args:
        stories: All stories of the window, the most negative first.
        decision: What the alert was decided by.

    Returns:
        [] where all stories together do not exceed the threshold.
    """
    if not exceeds_threshold(stories, decision):
        return []
    counts = range(1, len(stories) + 1)
    corroborated_min = counts[
        bisect_left(counts, True, key=lambda count: is_alert(_spike_of(decision, count), decision.threshold, decision.rule))
    ]
    counted = {story: int(bool(story.origin)) for story in stories}
    sets = [_largest_first(counted, max(_min_counted(decision), corroborated_min))]
    if decision.feed_sources >= 2 and decision.rule.min_sources >= 2:
        origins = sorted({story.origin for story in stories} - {""})
        sets += [_largest_first(_weights_against(stories, origin), corroborated_min) for origin in origins]
    sets += _without_sources(stories, required_sources(decision.rule, decision.feed_sources) - 1)
    fewest = min(sets, key=lambda some: (len(some), -sum(story.p_negative for story in some)))
    return [story for story in stories if story in set(fewest)]


def _spike_of(decision: SpikeDecision, observed: int) -> Spike:
    spike = decision.spike
    return spike._replace(observed=observed, surprise=surprise(observed, spike.expected, spike.dispersion))


def _min_counted(decision: SpikeDecision) -> int:
    """New stories that a window needs to be tested at all."""
    return max(decision.rule.min_stories, math.ceil(decision.rule.min_ratio * decision.spike.expected))


def _weights_against(stories: Sequence[WindowStory], largest: str) -> dict[WindowStory, int]:
    """What each story adds to the corroborated count where `largest` is the source with most stories.

    One for each new story of the others, and MAX_SOURCE_RATIO for each report by them (stream.detection.spike_rule.corroborated).
    """
    return {story: int(story.origin not in ("", largest)) + MAX_SOURCE_RATIO * len(story.sources - {largest}) for story in stories}


def _largest_first(weights: dict[WindowStory, int], least: int) -> list[WindowStory]:
    """The fewest stories without which the others weigh less than `least`; the most negative first where weights are equal."""
    left, found = sum(weights.values()), list[WindowStory]()
    for story in sorted(weights, key=lambda story: (-weights[story], -story.p_negative, story.article)):
        if left < least:
            break
        left -= weights[story]
        found.append(story)
    return found


def _without_sources(stories: Sequence[WindowStory], remaining: int) -> list[list[WindowStory]]:
    """For each choice of `remaining` sources: the stories to remove so that no other source reports."""
    names = sorted({name for story in stories if len(story.sources) <= remaining for name in story.sources})
    remaining = min(remaining, len(names))
    if math.comb(len(names), remaining) > MAX_COMBINATIONS:
        return []
    return [[story for story in stories if not story.sources <= set(kept)] for kept in combinations(names, remaining)]


def first_story(stories: Iterable[WindowStory]) -> WindowStory | None:
    """The story that appeared first in the window."""
    return min(stories, key=lambda story: (story.at, story.article), default=None)


def chart_steps(alert: Alert) -> tuple[IntArray, int]:
    """The steps of an alert's chart, whose last ones are the window.

    Returns:
        Starts of the steps, seconds since 1970, [CHART_STEPS], and their width in seconds.
    """
    width = max(MIN_STEP_S, -(-alert.window_s // STEPS_PER_WINDOW // MINUTE_S) * MINUTE_S)
    end = to_epoch(alert.window_start) + alert.window_s
    starts: IntArray = end - width * np.arange(CHART_STEPS, 0, -1, dtype=np.int64)
    return starts, width


def chart_for(alert: Alert, counts: StoryCounts, expected: Sequence[float] = ()) -> Chart:
    """The chart of an alert.

    Args:
        alert: The alert.
        counts: Stories of its series.
        expected: Negative stories to expect in each of `chart_steps`; () where there is no baseline.
    """
    starts, width = chart_steps(alert)
    return Chart(
        start=from_epoch(int(starts[0])),
        step_s=width,
        negative=tuple(int(count) for count in counts.count(starts, starts + width)),
        expected=tuple(round(float(amount), 3) for amount in expected),
    )


def explanation(
    stories: Sequence[WindowStory],
    articles: Sequence[ArticleRow],
    words: Sequence[WordCount] = (),
    *,
    decisive: Sequence[WindowStory] = (),
    more: bool = False,
    own: str = "",
    chart: Chart | None = None,
) -> Why:
    """The explanation of an alert.

    Args:
        stories: Stories of the window.
        articles: One article of each story that was read.
        words: Salient terms.
        decisive: As `decisive_stories` returns them.
        more: Whether the window has more articles than were looked at.
        own: The company that the alert is about; it is not listed.
        chart: As `chart_for` returns it.
    """
    first = first_story(stories)
    named = Counter(company for article in articles for company in dict.fromkeys(article.companies) if company != own)
    companies = sorted(named.items(), key=lambda item: (-item[1], item[0]))[:MAX_COMPANIES]
    return Why(
        stories=len(stories),
        more=more,
        decisive_count=len(decisive),
        decisive_article_ids=tuple(story.article for story in decisive[:MAX_DECISIVE]),
        read=len(articles),
        words=tuple(words),
        companies=tuple(CompanyCount(company=company, stories=count) for company, count in companies),
        first_source=first.first_source if first else "",
        first_at=from_epoch(first.at) if first else None,
        chart=chart,
    )
