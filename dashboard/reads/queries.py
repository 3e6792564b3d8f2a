"""The reads of the dashboard, cached briefly and shared by all viewers: 50 open pages cost the store about as much as one.

callback ─▶ Reads.overview / alerts / article / series / … ─▶ Cache (one reader per key at a time) ─▶ storage.store
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

import msgspec

from actions.alert_lifecycles import read_lifecycles
from core.cache import DATA_KINDS, TTL_S, Cache, DataKind
from core.errors import StoreUnavailable
from core.records import Alert
from core.series import company_series
from dashboard.reads import details
from dashboard.reads.details import ArticleView, Choices, SeriesView
from dashboard.reads.movers import Mover, UsualActivities, candidates, read_moved, read_usual_activities
from dashboard.reads.overviews import OFFERED, Overview, read_names, read_overview
from dashboard.time_ranges import DEFAULT_RANGE, RANGES, Range, bounds, exact, range_of
from dashboard.view import Kind
from domain.alert_lifecycle import AlertEvent, AlertLifecycle, Inhibition
from storage.store import (
    ArticleRow,
    Criteria,
    Delivery,
    Label,
    SearchCursor,
    SearchPage,
    SentimentPoint,
    SeriesTotal,
    Store,
    SuppressedDelivery,
    WindowCount,
)

T = TypeVar("T")
NEWS: tuple[DataKind, ...] = ("articles",)
LIFECYCLE_CHANGES: tuple[DataKind, ...] = ("alerts", "actions")
"""Kinds of changes that affect the lifecycle of alerts."""
STORED_TTL_S = 15.0
INBOX_DAYS, INBOX_ROWS = 31, 500
"""Period of the inbox in days, and its maximum number of alerts."""
SEARCH_TTL_S = 10.0
DETAIL_TTL_S = 10.0
PAST_TTL_S = 600.0
"""Baselines change slowly and take longest to read."""
SLOWER = 4
"""Factor by which the cache of less viewed reads lives longer than the overview's."""
CHOICES_TTL_S = 60.0
PAGE_ROWS = 100
BUSIEST = 10
GRID_ROWS = 200
EXPORT_ROWS = 10_000
EXPORT_BUDGET_S, EXPORT_PATIENCE_S = 20.0, 5.0
WINDOWS_BEFORE, WINDOWS_AFTER = 48, 16
"""Number of windows before and after an alert's window in its chart."""


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """One alert with its data.

    Attributes:
        counts: stories of its series per window of its width, before and after its window.
        articles: all articles of its window, most negative first.
    """

    alert: Alert
    since: datetime
    until: datetime
    counts: list[WindowCount]
    articles: list[ArticleRow]
    deliveries: list[Delivery]
    revision: str = ""


class InboxRow(NamedTuple):
    """An alert and its lifecycle."""

    alert: Alert
    life: AlertLifecycle


class AlertTimeline(msgspec.Struct, frozen=True, kw_only=True):
    """Lifecycle of one alert, its events, oldest first, and its suppressed deliveries."""

    life: AlertLifecycle
    events: list[AlertEvent]
    withheld: list[SuppressedDelivery]


def _chosen(range_key: str) -> Range:
    return range_of(range_key) or RANGES[DEFAULT_RANGE]


def revision(value: object) -> str:
    """A hash of a value; equal values have equal hashes."""
    return hashlib.blake2b(msgspec.json.encode(value), digest_size=8).hexdigest()


class Reads:
    """The cached reads of the pages. Thread safe. Every method raises StoreError."""

    def __init__(
        self, store: Store, now: Callable[[], datetime], cache: Cache | None = None, inhibitions: Sequence[Inhibition] = ()
    ) -> None:
        self._store = store
        self._now = now
        self._cache = cache or Cache()
        self._inhibitions = inhibitions
        self._exporting = threading.Lock()

    def now(self) -> datetime:
        """The current time."""
        return self._now()

    def overview(self, range_key: str, kind: Kind = "topic") -> Overview:
        """Sentiment and volume over a range."""
        chosen = _chosen(range_key)
        ttl_s = chosen.ttl_s if kind == "topic" else SLOWER * chosen.ttl_s

        def load() -> Overview:
            found = read_overview(self._store, chosen, kind, self._now())
            return msgspec.structs.replace(found, revision=revision(found))

        return self._cache.get(("overview", range_key, kind), ttl_s, load, NEWS)

    def tones(self, series: tuple[str, ...], range_key: str) -> list[SentimentPoint]:
        """Sentiment of the selected series over a range."""
        chosen = _chosen(range_key)
        since, until = bounds(chosen, self._now())

        def load() -> list[SentimentPoint]:
            return self._store.rollups.sentiment(series, since, until, chosen.width_s)

        return self._cache.get(("moods", series, range_key), SLOWER * chosen.ttl_s, load, NEWS) if series else []

    def forget(self, *keys: object) -> None:
        """Drop these keys from the cache."""
        self._cache.discard(*keys)

    def shared(self, key: object, ttl_s: float, load: Callable[[Store], T]) -> T:
        """The result of `load`, cached for ttl_s and shared by all viewers."""
        return self._cache.get(key, ttl_s, lambda: load(self._store))

    def once(self, load: Callable[[Store], T]) -> T:
        """The result of `load`, not cached."""
        return load(self._store)

    def inbox(self) -> list[InboxRow]:
        """The alerts of the last INBOX_DAYS with their lifecycle, newest first."""
        return self._cache.get("inbox", TTL_S, self._inbox, LIFECYCLE_CHANGES)

    def alerts(self) -> list[Alert]:
        """The open alerts, newest first."""
        return [each.alert for each in self.inbox() if each.life.resolved is None]

    def timeline(self, alert_id: str) -> AlertTimeline | None:
        """The timeline of one alert; None where there is no such alert."""
        return self._cache.get(("timeline", alert_id), TTL_S, lambda: self._timeline(alert_id), LIFECYCLE_CHANGES)

    def detected(self, range_key: str) -> list[Alert]:
        """The alerts that were detected in a range, newest first."""
        since, until = self._open(range_key)
        return self._cache.get(
            ("detected", range_key), TTL_S, lambda: self._store.alerts.latest(200, since=since, until=until), ("alerts",)
        )

    def articles(self, range_key: str, limit: int = GRID_ROWS) -> list[ArticleRow]:
        """The newest articles of a range, newest first."""
        since, until = self._open(range_key)

        def load() -> list[ArticleRow]:
            return self._store.articles.latest(limit, since=since, until=until)

        return self._cache.get(("articles", range_key, limit), TTL_S, load, NEWS)

    def newest(self) -> datetime | None:
        """Publication time of the newest article; None where there is none."""
        return self._cache.get("newest", TTL_S, self._store.articles.newest, NEWS)

    def stored(self) -> int:
        """The number of stored articles."""
        return self._cache.get("stored", STORED_TTL_S, self._store.articles.count, NEWS)

    def open_dead_letters(self) -> int:
        """The number of open dead letters."""
        return self._cache.get("set aside", STORED_TTL_S, self._store.dead_letters.count)

    def alert(self, alert_id: str) -> AlertView | None:
        """One alert with its data; None where there is no such alert."""
        return self._cache.get(("alert", alert_id), TTL_S, lambda: self._alert(alert_id), DATA_KINDS)

    def find(self, range_key: str, criteria: Criteria, before: SearchCursor | None, limit: int = PAGE_ROWS) -> SearchPage:
        """A page of the matching articles of a range, newest first."""
        since, until = self._moments(range_key)
        key = ("find", range_key, criteria, before, limit)
        return self._cache.get(key, SEARCH_TTL_S, lambda: self._store.search.find(criteria, since, until, limit, before=before), NEWS)

    def found(self, range_key: str, criteria: Criteria) -> list[ArticleRow]:
        """All matching articles of a range, newest first, at most EXPORT_ROWS. One export at a time; not cached, as it may be large."""
        if not self._exporting.acquire(timeout=EXPORT_PATIENCE_S):
            raise StoreUnavailable("another export is being written")
        try:
            since, until = self._moments(range_key)
            return self._store.search.find(criteria, since, until, EXPORT_ROWS, budget_s=EXPORT_BUDGET_S).articles
        finally:
            self._exporting.release()

    def choices(self, range_key: str) -> Choices:
        """The options of the search filters."""
        since, until = self._moments(range_key)
        return self._cache.get(("choices", range_key), CHOICES_TTL_S, lambda: details.read_choices(self._store, since, until), NEWS)

    def busiest(self, range_key: str) -> dict[str, list[SeriesTotal]]:
        """Companies, sectors and watchlists with the most stories in a range, by kind."""
        chosen = _chosen(range_key)
        since, until = bounds(chosen, self._now())
        ttl_s = SLOWER * chosen.ttl_s
        return self._cache.get(("busiest", range_key), ttl_s, lambda: details.read_busiest(self._store, since, until, OFFERED), NEWS)

    def movers(self, range_key: str) -> list[Mover]:
        """The most active series of a range against their baselines; [] where the history is too short."""
        chosen, now = _chosen(range_key), self._now()
        series = candidates(self.overview(range_key).members, self.busiest(range_key))

        def learnt(names: tuple[str, ...], key: object) -> UsualActivities:
            return self._cache.get(
                ("usual activities", range_key, key), PAST_TTL_S, lambda: read_usual_activities(self._store, names, chosen, now)
            )

        def load() -> list[Mover]:
            known = learnt(series, "")
            late = tuple(name for name in series if name not in known)  # became active since the baselines were cached
            known = {name: known[name] for name in series if name in known} | dict(learnt(late, late) if late and known else {})
            return read_moved(self._store, known, chosen, now) if known else []

        return self._cache.get(("movers", range_key), SLOWER * chosen.ttl_s, load, NEWS)

    def company_names(self, range_key: str) -> dict[str, str]:
        """Series of the most active companies of a range to their names in the news."""
        since, until = bounds(_chosen(range_key), self._now())
        series = [item.series for item in self.busiest(range_key).get("company", [])]

        def load() -> dict[str, str]:
            found = read_names(self._store, series, since, until)
            return {company_series(key): about.name for key, about in found.items() if about.name}

        return self._cache.get(("names", range_key), CHOICES_TTL_S, load, NEWS)

    def article(self, article_id: str) -> ArticleView | None:
        """One article with its data; None where there is none with this ID."""

        def load() -> ArticleView | None:
            found = details.read_article(self._store, article_id)
            return None if found is None else msgspec.structs.replace(found, revision=revision(found))

        return self._cache.get(("article", article_id), DETAIL_TTL_S, load, DATA_KINDS)

    def series(self, series: str, range_key: str) -> SeriesView:
        """One series over a range."""
        chosen, now = _chosen(range_key), self._now()
        since, until = bounds(chosen, now)
        end = min(until, now)

        def load() -> SeriesView:
            past = self._cache.get(
                ("past", series, range_key),
                PAST_TTL_S,
                lambda: details.read_past(self._store, series, chosen.width_s, since, end),
            )
            found = details.read_series(self._store, series, chosen, now, past, self._store.rollups.first_hour())
            return msgspec.structs.replace(found, revision=revision(found))

        return self._cache.get(("series", series, range_key), SLOWER * chosen.ttl_s, load, DATA_KINDS)

    def labels(self, article_id: str) -> list[Label]:
        """The labels of an article."""
        return self._cache.get(("labels", article_id), TTL_S, lambda: self._store.labels.of_article(article_id), ("actions",))

    def _moments(self, range_key: str) -> tuple[datetime, datetime]:
        """[since, until) of a range, to the minute."""
        return exact(_chosen(range_key), self._now())

    def _open(self, range_key: str) -> tuple[datetime, datetime | None]:
        """As `_moments`; until is None where the range ends now."""
        since, until = self._moments(range_key)
        return since, until if _chosen(range_key).since is not None else None

    def _inbox(self) -> list[InboxRow]:
        alerts = self._store.alerts.latest(INBOX_ROWS, since=self._now() - timedelta(days=INBOX_DAYS))
        lives = read_lifecycles(self._store, alerts, self._now(), self._inhibitions)
        return [InboxRow(alert, lives[alert.id]) for alert in alerts]

    def _timeline(self, alert_id: str) -> AlertTimeline | None:
        alert = self._store.alerts.get(alert_id)
        if alert is None:
            return None
        return AlertTimeline(
            life=read_lifecycles(self._store, [alert], self._now(), self._inhibitions)[alert_id],
            events=self._store.alert_lifecycle.events([alert_id]),
            withheld=self._store.alert_lifecycle.suppressed([alert_id]),
        )

    def _alert(self, alert_id: str) -> AlertView | None:
        alert = self._store.alerts.get(alert_id)
        if alert is None:
            return None
        width = timedelta(seconds=alert.window_s)
        since, until = alert.window_start - WINDOWS_BEFORE * width, alert.window_start + (WINDOWS_AFTER + 1) * width
        found = AlertView(
            alert=alert,
            since=since,
            until=until,
            counts=self._store.mentions.counting(alert.min_materiality).window_counts(alert.series, since, until, alert.window_s),
            articles=self._store.articles.of_series(
                alert.series, alert.window_start, alert.window_start + width, min_materiality=alert.min_materiality
            ),
            deliveries=self._store.deliveries_of(alert_id),
        )
        return msgspec.structs.replace(found, revision=revision(found))
