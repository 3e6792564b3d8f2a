"""Watchlists edited on the dashboard: validated, previewed on stored articles, saved, and loaded by workers.

    new text ─▶ backfill ─▶ the worker matches with it ─▶ articles stored meanwhile ─▶ marked as backfilled   (WatchlistUpdates)

A worker backfills a new watchlist before it uses it, while it continues to process batches: without history the first ordinary
day would look like a crisis (stream/watchlists/watchlist_backfill.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from core import log
from core.errors import Conflict, InvalidInput, StoreError, UserError
from core.series import is_negative
from core.settings import Settings
from dashboard.services import ActiveText, WatchlistMatches, WatchlistPreview
from storage.store import ArticleRow, Store
from stream.watchlists.keywords import regex_matches
from stream.watchlists.matcher import Matcher
from stream.watchlists.pattern_cost import MAX_COST_S, measured_cost_s
from stream.watchlists.watchlist_backfill import SLICE, add_mentions, delete_mentions, matched_articles, outdated_watchlists
from stream.watchlists.watchlists import patterns_of
from tocsin import wiring
from tocsin.services.config_text import ConfigText

if TYPE_CHECKING:
    from stream.watchlists.watchlists import Watchlist

DAYS, BUDGET_S, SHOWN = 7, 20.0, 5
"""A preview reads so many days, for at most so many seconds, and shows so many articles per list."""
MAX_CHARS, MAX_LISTS = 200_000, 200
POLL_EVERY_S = 30.0
OVERLAP = timedelta(hours=6)
"""Articles up to this late during the backfill are found too."""
_log = log.get_logger(__name__)


class CurrentWatchlists:
    """The active watchlists, reloaded when a new version is saved, with their display names registered. Thread safe."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._lock = threading.Lock()
        self._known: tuple[str, tuple[Watchlist, ...]] | None = None

    def __call__(self) -> tuple[Watchlist, ...]:
        """Raises UserError for an invalid file, StoreError."""
        newest = self._store.watchlist_texts.newest()
        now = newest.id if newest else ""
        with self._lock:
            if self._known is None or self._known[0] != now:
                found = wiring.active_watchlists(self._settings, self._store)
                wiring.register_watchlist_names(found)
                self._known = now, found
            return self._known[1]


class StoredWatchlistService:
    """Implements dashboard.services.WatchlistService."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], datetime]) -> None:
        self._settings, self._store, self._now = settings, store, now
        self._text = ConfigText("watchlists", store.watchlist_texts, settings.watchlists, store, now, most_chars=MAX_CHARS)
        self._current = CurrentWatchlists(settings, store)

    def active(self) -> ActiveText:
        """The newest saved text, else that of the file."""
        found = self._text.active()
        if found.id:
            self._current()
        return found

    def preview(self, text: str) -> WatchlistPreview:
        """Articles that these watchlists would have matched in the last DAYS, newest first. Raises UserError, StoreError."""
        watchlists = self._checked(text)
        with self._text.exclusive_preview():
            return self._tried(watchlists)

    def save(self, text: str, base: str, actor: str) -> ActiveText:
        """Save and activate the watchlists, with an audit entry. Raises UserError, StoreError."""
        watchlists = self._checked(text)
        self._check_rules(watchlists)
        made = self._text.put(text, base, actor)
        wiring.register_watchlist_names(watchlists)
        return made

    def _checked(self, text: str) -> tuple[Watchlist, ...]:
        self._text.check_length(text)
        found = wiring.make_watchlists(self._settings, text=text)
        if len(found) > MAX_LISTS:
            raise InvalidInput(f"{len(found)} watchlists are too many; the limit is {MAX_LISTS}")
        cost_s = measured_cost_s(patterns_of(found), regex_matches)
        if cost_s > MAX_COST_S:
            raise InvalidInput(
                f"the regular expressions take up to {cost_s:.1f} s for one article; the limit for all together is {MAX_COST_S:g} s"
            )
        return found

    def _check_rules(self, watchlists: tuple[Watchlist, ...]) -> None:
        """Check that no active rule refers to a removed watchlist. Raises Conflict or UserError."""
        rules = self._store.rule_texts.newest()
        try:
            wiring.make_rules(self._settings, text=rules.text if rules else None, watchlists=watchlists)
        except UserError as error:
            broken = [line for line in str(error).splitlines() if "watchlist" in line]
            if broken:
                raise Conflict("\n".join(f"an active rule refers to it: {line}" for line in broken)) from error

    def _tried(self, watchlists: tuple[Watchlist, ...]) -> WatchlistPreview:
        matcher, until, ends = Matcher(watchlists), self._now(), time.monotonic() + BUDGET_S
        counts = {each.name: [0, 0] for each in watchlists}
        newest: dict[str, list[tuple[ArticleRow, str]]] = {each.name: [] for each in watchlists}
        read, since, first = 0, until, until - timedelta(days=DAYS)
        while since > first and watchlists and time.monotonic() < ends:
            begin = max(first, since - SLICE)
            for rows, found in matched_articles(self._store, matcher, begin, since):
                read += len(rows)
                for row, hits in zip(reversed(rows), reversed(found), strict=True):
                    for hit in hits:
                        counts[hit.name][0] += 1
                        counts[hit.name][1] += is_negative(row.p_negative, row.p_neutral, row.p_positive)
                        if len(newest[hit.name]) < SHOWN:
                            newest[hit.name].append((row, hit.reason))
            since = begin
        lists = [
            WatchlistMatches(each.name, each.title_en, each.title_zh, articles, bad, tuple(newest[each.name]))
            for each in watchlists
            for articles, bad in [counts[each.name]]
        ]
        return WatchlistPreview(since, until, read, tuple(lists))


class WatchlistUpdates:
    """Polls the store for newly saved watchlists and backfills them in a thread, for a worker.

    Implements stream.watchlists.matcher.MatcherUpdates.
    """

    def __init__(
        self, settings: Settings, store: Store, *, every_s: float = POLL_EVERY_S, now: Callable[[], datetime] | None = None
    ) -> None:
        """Create it before the active watchlists are read: versions saved from now on are new."""
        self._settings, self._store, self._every_s = settings, store, every_s
        self._now = now or (lambda: datetime.now(UTC))
        newest = store.watchlist_texts.newest()
        self._known = newest.id if newest else ""
        self._digests: dict[str, str] = {}
        self._polled_at = time.monotonic()
        self._ready: tuple[Matcher, datetime] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, matcher: Matcher) -> None:
        """Set the initial watchlists."""
        self._digests = {each.name: each.digest for each in matcher.watchlists}

    def __call__(self) -> Matcher | None:
        """A matcher for newly saved watchlists once they are backfilled; None otherwise."""
        if self._thread is not None and self._thread.is_alive():
            return None
        if self._ready is not None:
            (matcher, began), self._ready = self._ready, None
            fresh = {each.name for each in matcher.watchlists if self._digests.get(each.name) != each.digest}
            self.begin(matcher)
            self._start(lambda: self._catch_up(matcher, fresh, began))
            _log.info("watchlists_activated", watchlists=[each.name for each in matcher.watchlists])
            return matcher
        if time.monotonic() - self._polled_at >= self._every_s:
            self._polled_at = time.monotonic()
            self._start(self._check_for_new)
        return None

    def wait(self, timeout_s: float = 60.0) -> None:
        """Wait for the current backfill."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def close(self) -> None:
        """Stop the current backfill at its next slice."""
        self._stop.set()
        self.wait(10.0)

    def _start(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except StoreError as error:
                self._known = ""  # retry from the start
                _log.warning("watchlists_not_read", error=str(error))

        self._thread = threading.Thread(target=guarded, name="watchlists", daemon=True)
        self._thread.start()

    def _check_for_new(self) -> None:
        found = self._store.watchlist_texts.newest()
        if found is None or found.id == self._known:
            return
        self._known = found.id
        try:
            watchlists = wiring.make_watchlists(self._settings, text=found.text)
        except UserError as error:  # such as a company that was removed from the list
            _log.warning("watchlists_invalid_keeping_previous", by=found.actor, error=str(error))
            return
        matcher = Matcher(watchlists)
        wiring.register_watchlist_names(watchlists)
        new, now = outdated_watchlists(self._store, matcher), self._now()
        since = now - timedelta(days=self._settings.alert_history_days)
        if new:
            _log.info("watchlist_backfill_started", watchlists=sorted(new), since=since.isoformat())
            delete_mentions(self._store, new, since)
            add_mentions(self._store, matcher, set(new), since, now, self._stop.is_set)
        if not self._stop.is_set():
            self._ready = (matcher, now)

    def _catch_up(self, matcher: Matcher, fresh: set[str], began: datetime) -> None:
        """Match articles stored during the backfill by workers that still had the previous watchlists."""
        if not fresh:
            return
        add_mentions(self._store, matcher, fresh, began - OVERLAP, self._now() + timedelta(minutes=10), self._stop.is_set)
        if not self._stop.is_set():
            self._store.watchlists.mark({each.name: each.digest for each in matcher.watchlists if each.name in fresh})
