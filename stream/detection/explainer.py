"""Adds evidence and an explanation to alerts, from the store.

An alert is raised whether or not it can be explained: a failure is logged, and the alert has no explanation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import msgspec

from core.log import get_logger
from core.records import Alert, Chart, Measure, WordCount
from core.series import key_of, kind_of
from models.inference.boilerplate import clean
from models.inference.repeats import NO_REPEATS, Repeats, repeats_by_source
from storage.store import ArticleRow, Store
from stream.detection.attribution import SpikeDecision, WindowStory, decisive_stories, explanation, group_stories
from stream.detection.salient_terms import MAX_CHARS, Segmenter, extract_terms, salient_terms
from stream.detection.spike_rule import evidence_of

MAX_ARTICLES = 2_000
"""Articles of a window that are looked at."""
MAX_READ = 300
"""Stories of a window, the most negative ones, whose texts are read."""
REFERENCE_ARTICLES = 300
SERIES_SPAN = timedelta(days=2)
FEED_SPAN = timedelta(days=7)
MIN_REFERENCE = 100
"""Reference texts are REFERENCE_ARTICLES of the series from SERIES_SPAN before the window; with fewer than this, of the whole feed."""
ALL_SENTIMENTS: frozenset[Measure] = frozenset({"mean_tone", "volume", "risk_event"})
"""Measures of rules that count all stories, not only negative ones."""

_log = get_logger(__name__)


class Explainer:
    """Reads the window of an alert and the articles before it, in four or five queries. One thread at a time.

    Args:
        store: Where articles are read from.
        segment: Cuts Chinese into words; models.inference.segmentation.segment by default.
    """

    def __init__(self, store: Store, segment: Segmenter | None = None) -> None:
        self._mentions, self._articles, self._repeats, self._segment = store.mentions, store.articles, store.repeats, segment

    def explain(self, alert: Alert, decision: SpikeDecision | None = None, chart: Callable[[], Chart | None] = lambda: None) -> Alert:
        """The alert with an explanation, and with evidence where it has none yet.

        Args:
            alert: The alert.
            decision: What a spike was decided by; without it no story is decisive.
            chart: Draws the chart of the series.

        Raises:
            StoreError: The articles of the window cannot be read.
        """
        end = alert.window_start + timedelta(seconds=alert.window_s)
        every = alert.measure in ALL_SENTIMENTS
        mentions = self._mentions.counting(alert.min_materiality).articles_of(
            alert.series, alert.window_start, end, MAX_ARTICLES + 1, every=every
        )
        more, stories = len(mentions) > MAX_ARTICLES, group_stories(mentions[:MAX_ARTICLES])
        articles = self._read(alert, stories)
        shown = msgspec.structs.replace(alert, evidence=alert.evidence or evidence_of(articles, len(articles)))
        try:
            decisive = decisive_stories(stories, decision) if decision is not None and not more else []
            own = key_of(alert.series) if kind_of(alert.series) == "company" else ""
            ids = {story.article for story in decisive}
            ordered = sorted(articles, key=lambda article: article.id not in ids)
            words = self._salient_terms(alert, articles)
            return msgspec.structs.replace(
                shown,
                evidence=alert.evidence or evidence_of(ordered, len(ordered)),
                why=explanation(stories, articles, words, decisive=decisive, more=more, own=own, chart=chart()),
            )
        except Exception as error:
            _log.exception("alert_not_explained", alert=alert.id, series=alert.series, error=str(error))
            return shown

    def _read(self, alert: Alert, stories: Sequence[WindowStory]) -> list[ArticleRow]:
        """One article of each story, in the order of the stories."""
        rank = {story.article: number for number, story in enumerate(stories[:MAX_READ])}
        end = alert.window_start + timedelta(seconds=alert.window_s)
        return sorted(self._articles.by_id(list(rank), alert.window_start, end), key=lambda article: rank[article.id])

    def _salient_terms(self, alert: Alert, articles: Sequence[ArticleRow]) -> list[WordCount]:
        if len(articles) < 2:
            return []
        names = {surface for article in articles for surface in article.surfaces}
        repeats = repeats_by_source((each.source, each.place, each.text) for each in self._repeats.all())
        terms = extract_terms((_text(article, repeats) for article in articles), self._segment or _segment)
        return salient_terms(terms, [_text(article, repeats) for article in self._reference(alert)], names)

    def _reference(self, alert: Alert) -> list[ArticleRow]:
        """Articles before the window, one of each story."""
        start, own = alert.window_start, list[ArticleRow]()
        if kind_of(alert.series) not in ("market", "language", "genre"):  # these series are the feed
            own = _one_per_story(self._articles.newest_of(alert.series, start - SERIES_SPAN, start, REFERENCE_ARTICLES))
        if len(own) >= MIN_REFERENCE:
            return own
        return _one_per_story(self._articles.latest(REFERENCE_ARTICLES, since=start - FEED_SPAN, until=start))


def _one_per_story(articles: Sequence[ArticleRow]) -> list[ArticleRow]:
    return list({article.story: article for article in articles}.values())


def _text(article: ArticleRow, repeats: Mapping[str, Repeats]) -> str:
    """Title and text without boilerplate, whose words name the publisher."""
    parts = clean(article.title, article.text[:MAX_CHARS], repeats.get(article.source, NO_REPEATS))
    return f"{parts.title}\n{parts.text}"


def _segment(runs: Sequence[str]) -> list[list[str]]:
    from models.inference.segmentation import segment

    return segment(runs)
