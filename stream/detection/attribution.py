"""Why did an alert ring? The fewest stories that carry it, who told the first, what they say, and how it came. Pure.

    articles of the window ─▶ stories ─┬─▶ needed: without these it would not have rung, and no fewer would do
                                       ├─▶ who told the first of them, and when
          their texts, usual texts ────┼─▶ words, companies
          minutes of the series, its past ─▶ chart

What holds for any alert is `why`; which stories are needed can be said where a spike was judged (`Judged`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from core.records import MAX_NEEDED, Alert, Chart, CompanyCount, Why, WordCount
from stats.minute_counts import MINUTE_S, IntArray, Tally
from stats.spikes import Spike, surprise
from storage.store import ArticleRow, NegativeMention, SourceStories
from storage.timestamps import from_epoch, to_epoch
from stream.detection.spike_rule import Rule, corroborated, is_enough, sources_needed

MOST_COMPANIES = 8
STEPS = 36
STEPS_IN_WINDOW = 4
SHORTEST_STEP_S = 300
TRIED = 1_000
"""So many ways to choose the sources that stay are tried; where a rule asks for three and a crowd has spoken there may be more."""


class Judged(NamedTuple):
    """What an alert was judged by. spike: as it was counted, before sources had to bear it out; bar: the surprise that rang"""

    rule: Rule
    spike: Spike
    bar: float
    feed_sources: int


class Story(NamedTuple):
    """A story in a window.

    article, p_negative: of its articles there the most negative; at, teller: when it was told first there, and by whom
    origin: the source of its first article; "" where that came before the window: it is not counted there, but bears others out
    sources: who told it
    """

    article: str
    p_negative: float
    at: int
    teller: str
    origin: str
    sources: frozenset[str]


def stories_of(mentions: Iterable[NegativeMention]) -> list[Story]:
    """The stories that these articles tell, the most negative first. Their order changes nothing."""
    by_story: dict[str, list[NegativeMention]] = {}
    for mention in sorted(mentions):
        by_story.setdefault(mention.story, []).append(mention)
    found = []
    for story, told in by_story.items():
        worst = min(told, key=lambda mention: (-mention.p_negative, mention.id))
        origin = next((mention.source for mention in told if mention.id == story), "")
        sources = frozenset(mention.source for mention in told)
        found.append(Story(worst.id, worst.p_negative, told[0].at, told[0].source, origin, sources))
    return sorted(found, key=lambda story: (-story.p_negative, story.article))


def told_by(stories: Iterable[Story]) -> dict[str, SourceStories]:
    """What each source told."""
    first: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for story in stories:
        every.update(story.sources)
        first.update([story.origin] if story.origin else [])
    return {source: SourceStories(first[source], told) for source, told in every.items()}


def would_ring(stories: Sequence[Story], judged: Judged) -> bool:
    """Whether the window would ring with these stories alone."""
    observed = sum(bool(story.origin) for story in stories)
    if observed < _least_counted(judged):
        return False
    borne = corroborated(_spike(judged, observed), told_by(stories).values(), judged.rule, judged.feed_sources)
    return borne is not None and is_enough(borne, judged.bar, judged.rule)


def needed(stories: Sequence[Story], judged: Judged) -> list[Story]:
    """The fewest of `stories`, given most negative first, without which their window would not ring; [] where it does not ring with all.

    Of sets of one size that with the most negative stories. There are three ways to stay silent, each with its own fewest: too few
    stories are new, too few are borne out, too few sources speak.
    """
    if not would_ring(stories, judged):
        return []
    counts = range(1, len(stories) + 1)
    least_borne = counts[bisect_left(counts, True, key=lambda count: is_enough(_spike(judged, count), judged.bar, judged.rule))]
    counted = {story: int(bool(story.origin)) for story in stories}
    ways = [_heaviest(counted, max(_least_counted(judged), least_borne))]
    if judged.feed_sources >= 2 and judged.rule.min_sources >= 2:
        ways += [_heaviest(_borne_by_others(stories, loud), least_borne) for loud in sorted({story.origin for story in stories} - {""})]
    ways += _sources_gone(stories, sources_needed(judged.rule, judged.feed_sources) - 1)
    fewest = min(ways, key=lambda way: (len(way), -sum(story.p_negative for story in way)))
    return [story for story in stories if story in set(fewest)]


def _spike(judged: Judged, observed: int) -> Spike:
    spike = judged.spike
    return spike._replace(observed=observed, surprise=surprise(observed, spike.expected, spike.dispersion))


def _least_counted(judged: Judged) -> int:
    """So many new stories a window needs to be judged at all."""
    return max(judged.rule.min_stories, math.ceil(judged.rule.min_ratio * judged.spike.expected))


def _borne_by_others(stories: Sequence[Story], loud: str) -> dict[Story, int]:
    """What each story adds to what is borne out when `loud` is the source that told most: one for each new story of the others, and two
    for each telling by them, as the loudest counts up to twice those (stream.detection.spike_rule.corroborated)."""
    return {story: int(story.origin not in ("", loud)) + 2 * len(story.sources - {loud}) for story in stories}


def _heaviest(weights: dict[Story, int], least: int) -> list[Story]:
    """The fewest stories, most negative first where they weigh the same, without which the others weigh less than `least`."""
    left, found = sum(weights.values()), list[Story]()
    for story in sorted(weights, key=lambda story: (-weights[story], -story.p_negative, story.article)):
        if left < least:
            break
        left -= weights[story]
        found.append(story)
    return found


def _sources_gone(stories: Sequence[Story], left: int) -> list[list[Story]]:
    """For each choice of `left` sources: the stories that must go so that no others speak."""
    names = sorted({name for story in stories if len(story.sources) <= left for name in story.sources})
    left = min(left, len(names))
    if math.comb(len(names), left) > TRIED:
        return []
    return [[story for story in stories if not story.sources <= set(stay)] for stay in combinations(names, left)]


def first_told(stories: Iterable[Story]) -> Story | None:
    """The story that was told first in the window."""
    return min(stories, key=lambda story: (story.at, story.article), default=None)


def steps(alert: Alert) -> tuple[IntArray, int]:
    """The starts of an alert's chart's steps, seconds since 1970, and their width: a few in the window, which is at the end."""
    width = max(SHORTEST_STEP_S, -(-alert.window_s // STEPS_IN_WINDOW // MINUTE_S) * MINUTE_S)
    end = to_epoch(alert.window_start) + alert.window_s
    starts: IntArray = end - width * np.arange(STEPS, 0, -1, dtype=np.int64)
    return starts, width


def chart_of(alert: Alert, tally: Tally, expected: Sequence[float] = ()) -> Chart:
    """The chart of an alert on the series that `tally` counts. expected: of each of `steps`; () where that is not known"""
    starts, width = steps(alert)
    return Chart(
        start=from_epoch(int(starts[0])),
        step_s=width,
        negative=tuple(int(count) for count in tally.count(starts, starts + width)),
        expected=tuple(round(float(amount), 3) for amount in expected),
    )


def why(
    stories: Sequence[Story],
    articles: Sequence[ArticleRow],
    words: Sequence[WordCount] = (),
    *,
    carried: Sequence[Story] = (),
    more: bool = False,
    own: str = "",
    chart: Chart | None = None,
) -> Why:
    """All of it. articles: one for each story that was read; carried: as `needed` has them; own: the company that the alert is about"""
    first = first_told(stories)
    named = Counter(company for article in articles for company in dict.fromkeys(article.companies) if company != own)
    most = sorted(named.items(), key=lambda item: (-item[1], item[0]))[:MOST_COMPANIES]
    return Why(
        stories=len(stories),
        more=more,
        carried=len(carried),
        needed=tuple(story.article for story in carried[:MAX_NEEDED]),
        read=len(articles),
        words=tuple(words),
        companies=tuple(CompanyCount(company=company, stories=count) for company, count in most),
        first_source=first.teller if first else "",
        first_at=from_epoch(first.at) if first else None,
        chart=chart,
    )
