"""Gives alerts their evidence and their why, from the store.

An alert rings whatever becomes of its explanation: what fails there is a line in the log, and the alert has no `why`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec

from core.log import get_logger
from core.records import Alert, Chart, Measure, WordCount
from core.series import key_of, kind_of
from storage.store import ArticleRow, Store
from stream.detection.attribution import Judged, Story, needed, stories_of, why
from stream.detection.salient_terms import Cut, said, telling
from stream.detection.spike_rule import evidence

MOST_ARTICLES = 2_000
"""Of a window so many articles are looked at, and the texts of MOST_READ stories, the most negative ones, are read."""
MOST_READ = 300
USUAL = 300
USUAL_SPAN = timedelta(days=2)
FEED_SPAN = timedelta(days=7)
LEAST_USUAL = 100
"""What is usual is what the series said before the window (USUAL articles of USUAL_SPAN); where it said little, what the feed did."""
ALL_SENTIMENTS: frozenset[Measure] = frozenset({"mean_tone", "volume", "risk_event"})
"""Rules that look at all stories, not at negative ones."""

log = get_logger("stream.detection.explainer")


class Reasons:
    """Reads the window of an alert, and what was said before it: four queries or five. One thread at a time.

    cut: Chinese into words, by default models.inference.segments.segments
    """

    def __init__(self, store: Store, cut: Cut | None = None) -> None:
        self._mentions, self._articles, self._cut = store.mentions, store.articles, cut

    def give(self, alert: Alert, judged: Judged | None = None, chart: Callable[[], Chart | None] = lambda: None) -> Alert:
        """The alert with why, and with evidence where it has none yet. Raises StoreError where its articles cannot be read.

        judged: what a spike was judged by; without it no story is said to be needed
        chart: how its series came there, if anybody knows
        """
        end = alert.window_start + timedelta(seconds=alert.window_s)
        every = alert.measure in ALL_SENTIMENTS
        told = self._mentions.told(alert.series, alert.window_start, end, MOST_ARTICLES + 1, every=every)
        more, stories = len(told) > MOST_ARTICLES, stories_of(told[:MOST_ARTICLES])
        articles = self._read(alert, stories)
        shown = msgspec.structs.replace(alert, evidence=alert.evidence or evidence(articles, len(articles)))
        try:
            carried = needed(stories, judged) if judged is not None and not more else []
            own = key_of(alert.series) if kind_of(alert.series) == "company" else ""
            first = {story.article for story in carried}
            ordered = sorted(articles, key=lambda article: article.id not in first)
            return msgspec.structs.replace(
                shown,
                evidence=alert.evidence or evidence(ordered, len(ordered)),
                why=why(stories, articles, self._words(alert, articles), carried=carried, more=more, own=own, chart=chart()),
            )
        except Exception as error:
            log.exception("an alert could not be explained", alert=alert.id, series=alert.series, error=str(error))
            return shown

    def _read(self, alert: Alert, stories: Sequence[Story]) -> list[ArticleRow]:
        """One article of each story, in the order of the stories."""
        rank = {story.article: number for number, story in enumerate(stories[:MOST_READ])}
        end = alert.window_start + timedelta(seconds=alert.window_s)
        return sorted(self._articles.by_id(list(rank), alert.window_start, end), key=lambda article: rank[article.id])

    def _words(self, alert: Alert, articles: Sequence[ArticleRow]) -> list[WordCount]:
        if len(articles) < 2:
            return []
        names = {surface for article in articles for surface in article.surfaces}
        told = said(map(_text, articles), self._cut or _segments)
        return telling(told, [_text(article) for article in self._usual(alert)], names)

    def _usual(self, alert: Alert) -> list[ArticleRow]:
        """What was said before the window, one article of each story."""
        start, own = alert.window_start, list[ArticleRow]()
        if kind_of(alert.series) not in ("market", "language", "genre"):  # they are the feed
            own = _one_each(self._articles.newest_of(alert.series, start - USUAL_SPAN, start, USUAL))
        if len(own) >= LEAST_USUAL:
            return own
        return _one_each(self._articles.latest(USUAL, since=start - FEED_SPAN, until=start))


def _one_each(articles: Sequence[ArticleRow]) -> list[ArticleRow]:
    return list({article.story: article for article in articles}.values())


def _text(article: ArticleRow) -> str:
    return f"{article.title}\n{article.text}"


def _segments(runs: Sequence[str]) -> list[list[str]]:
    from models.inference.segments import segments

    return segments(runs)
