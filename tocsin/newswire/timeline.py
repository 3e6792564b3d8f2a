"""What is visible at `now`? The script's articles by time, made as far as they are needed, and frozen on demand."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from datetime import datetime, timedelta
from operator import attrgetter

from tocsin.newswire.cast import PAPERS
from tocsin.newswire.script import Plan, PublishedArticle, crisis, decoys, history, live_minute

_WHEN = attrgetter("published_at")
HISTORY_IN_LIVE_FEED = 5
"""The archive holds the history but for its last few articles, so that a paper's feed is never empty and shares none with it."""


class Timeline:
    """All articles of one run. Safe for threads. `start` is a whole second: so are all times in feeds."""

    def __init__(self, seed: int, start: datetime, plan: Plan) -> None:
        self._seed, self.start, self._plan = seed, start.replace(microsecond=0), plan
        self._lock = threading.Lock()
        self._minutes = 0
        self._frozen_at: datetime | None = None
        self._all: list[PublishedArticle] = []
        self._by_paper: dict[str, list[PublishedArticle]] = {paper.name: [] for paper in PAPERS}
        self._by_path: dict[tuple[str, str], PublishedArticle] = {}
        past = history(seed, self.start, plan)
        self._crisis = crisis(seed, self.start, plan)
        self._add([*past, *decoys(seed, self.start, plan), *self._crisis])
        self._archived = {
            name: max(0, bisect_right(articles, self.start - timedelta(seconds=1), key=_WHEN) - HISTORY_IN_LIVE_FEED)
            for name, articles in self._by_paper.items()
        }

    def crisis_began(self, now: datetime) -> datetime | None:
        """When the first story of the crisis was published; None before that, and without a crisis."""
        at = self._crisis[0].published_at if self._crisis else None
        return at if at is not None and at <= min(now, self._frozen_at or now) else None

    def _add(self, articles: list[PublishedArticle]) -> None:
        for article in articles:
            insort(self._all, article, key=_WHEN)
            insort(self._by_paper[article.source], article, key=_WHEN)
            self._by_path[article.source, article.url] = article

    def freeze(self, now: datetime) -> None:
        """Publish nothing after `now`."""
        with self._lock:
            self._frozen_at = min(now, self._frozen_at or now)

    def _reach(self, now: datetime) -> datetime:
        """Make the articles up to `now` (or the freeze, if that came first), and return that moment."""
        now = min(now, self._frozen_at or now)
        while self.start + timedelta(minutes=self._minutes) <= now:
            self._add(live_minute(self._seed, self.start, self._plan, self._minutes))
            self._minutes += 1
        return now

    def published(self, now: datetime) -> list[PublishedArticle]:
        """Everything visible at `now`, oldest first."""
        with self._lock:
            return self._all[: bisect_right(self._all, self._reach(now), key=_WHEN)]

    def archive(self, source: str) -> list[PublishedArticle]:
        """The older part of a paper's history, oldest first: never changes."""
        return self._by_paper[source][: self._archived[source]]

    def latest(self, source: str, now: datetime, limit: int) -> list[PublishedArticle]:
        """The newest `limit` articles of a paper that are not in its archive, oldest first."""
        with self._lock:
            articles = self._by_paper[source]
            end = bisect_right(articles, self._reach(now), key=_WHEN)
            return articles[max(self._archived[source], end - limit) : end]

    def article(self, source: str, path: str, now: datetime) -> PublishedArticle | None:
        """The article of a paper at `path`; None where there is none yet."""
        with self._lock:
            moment = self._reach(now)
            article = self._by_path.get((source, path))
            return article if article is not None and article.published_at <= moment else None
