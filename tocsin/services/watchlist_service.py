"""Watchlists that are written on the dashboard: checked, tried on the stored articles, kept in the store, taken up by workers.

    a new text ─▶ past until now ─▶ the worker matches by it ─▶ what came meanwhile ─▶ noted as filled     (Followed)

A worker gives a new watchlist its past before it follows it, beside the batches that it goes on scoring: without a past the first
ordinary day would look like a crisis (stream/watchlists/watchlist_backfill.py).
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
from stream.watchlists.matcher import Matcher
from stream.watchlists.watchlist_backfill import SLICE, due, forget, matched, pour
from tocsin.runtime import wiring
from tocsin.services.config_text import ConfigText

if TYPE_CHECKING:
    from stream.watchlists.watchlists import Watchlist

DAYS, BUDGET_S, SHOWN = 7, 20.0, 5
"""How far back a trial looks, how long it may take, and how many articles of a list it shows."""
MAX_CHARS, MAX_LISTS = 200_000, 200
ASK_EVERY_S = 30.0
SLACK = timedelta(hours=6)
"""Articles that come so late while a watchlist gets its past are found all the same."""
_log = log.get_logger(__name__)


class CurrentWatchlists:
    """The watchlists in force, read anew where others were written since; this process names them to people then. Thread safe."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._lock = threading.Lock()
        self._known: tuple[str, tuple[Watchlist, ...]] | None = None

    def __call__(self) -> tuple[Watchlist, ...]:
        """Raises UserError for a file that is wrong, StoreError."""
        newest = self._store.watchlist_texts.newest()
        now = newest.id if newest else ""
        with self._lock:
            if self._known is None or self._known[0] != now:
                found = wiring.active_watchlists(self._settings, self._store)
                wiring.register_watchlist_names(found)
                self._known = now, found
            return self._known[1]


class StoredWatchlistService:
    """As dashboard.services.Watching has it."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], datetime]) -> None:
        self._settings, self._store, self._now = settings, store, now
        self._text = ConfigText("watchlists", store.watchlist_texts, settings.watchlists, store, now, most_chars=MAX_CHARS)
        self._current = CurrentWatchlists(settings, store)

    def active(self) -> ActiveText:
        """The newest text of the store, else that of the file."""
        found = self._text.active()
        if found.id:
            self._current()
        return found

    def preview(self, text: str) -> WatchlistPreview:
        """What they would have matched, the newest articles first. Raises UserError, StoreError."""
        watchlists = self._checked(text)
        with self._text.exclusive_preview():
            return self._tried(watchlists)

    def save(self, text: str, base: str, actor: str) -> ActiveText:
        """Put them in force, with a line in the audit log. Raises UserError, StoreError."""
        watchlists = self._checked(text)
        self._check_rules(watchlists)
        made = self._text.put(text, base, actor)
        wiring.register_watchlist_names(watchlists)
        return made

    def _checked(self, text: str) -> tuple[Watchlist, ...]:
        self._text.check_length(text)
        found = wiring.make_watchlists(self._settings, text=text)
        if len(found) > MAX_LISTS:
            raise InvalidInput(f"{len(found)} watchlists are too many: at most {MAX_LISTS}")
        return found

    def _check_rules(self, watchlists: tuple[Watchlist, ...]) -> None:
        """A rule that names a watchlist which is gone could not be used any more."""
        rules = self._store.rule_texts.newest()
        try:
            wiring.make_rules(self._settings, text=rules.text if rules else None, watchlists=watchlists)
        except UserError as error:
            told = [line for line in str(error).splitlines() if "watchlist" in line]
            if told:
                raise Conflict("\n".join(f"a rule in force needs it: {line}" for line in told)) from error

    def _tried(self, watchlists: tuple[Watchlist, ...]) -> WatchlistPreview:
        matcher, until, ends = Matcher(watchlists), self._now(), time.monotonic() + BUDGET_S
        counts = {each.name: [0, 0] for each in watchlists}
        newest: dict[str, list[tuple[ArticleRow, str]]] = {each.name: [] for each in watchlists}
        read, since, first = 0, until, until - timedelta(days=DAYS)
        while since > first and watchlists and time.monotonic() < ends:
            begin = max(first, since - SLICE)
            for rows, found in matched(self._store, matcher, begin, since):
                read += len(rows)
                for row, hits in zip(reversed(rows), reversed(found), strict=True):
                    for hit in hits:
                        counts[hit.name][0] += 1
                        counts[hit.name][1] += is_negative(row.p_negative, row.p_neutral, row.p_positive)
                        if len(newest[hit.name]) < SHOWN:
                            newest[hit.name].append((row, hit.why))
            since = begin
        lists = [
            WatchlistMatches(each.name, each.title_en, each.title_zh, articles, bad, tuple(newest[each.name]))
            for each in watchlists
            for articles, bad in [counts[each.name]]
        ]
        return WatchlistPreview(since, until, read, tuple(lists))


class WatchlistFollower:
    """The watchlists of the store, for who scores: stream.watchlists.matcher.Following. The work is done in a thread beside the batches."""

    def __init__(
        self, settings: Settings, store: Store, *, every_s: float = ASK_EVERY_S, now: Callable[[], datetime] | None = None
    ) -> None:
        """Notes what is in force before anybody reads it: what is written from here on is new."""
        self._settings, self._store, self._every_s = settings, store, every_s
        self._now = now or (lambda: datetime.now(UTC))
        newest = store.watchlist_texts.newest()
        self._known = newest.id if newest else ""
        self._digests: dict[str, str] = {}
        self._asked = time.monotonic()
        self._ready: tuple[Matcher, datetime] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, matcher: Matcher) -> None:
        """What is followed at first."""
        self._digests = {each.name: each.digest for each in matcher.watchlists}

    def __call__(self) -> Matcher | None:
        """The matcher of a text that was written since, once its watchlists have their past."""
        if self._thread is not None and self._thread.is_alive():
            return None
        if self._ready is not None:
            (matcher, began), self._ready = self._ready, None
            fresh = {each.name for each in matcher.watchlists if self._digests.get(each.name) != each.digest}
            self.begin(matcher)
            self._start(lambda: self._catch_up(matcher, fresh, began))
            _log.info("watchlists in force", watchlists=[each.name for each in matcher.watchlists])
            return matcher
        if time.monotonic() - self._asked >= self._every_s:
            self._asked = time.monotonic()
            self._start(self._look)
        return None

    def wait(self, timeout_s: float = 60.0) -> None:
        """Until what is under way is done."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def close(self) -> None:
        """Stop between two slices of articles."""
        self._stop.set()
        self.wait(10.0)

    def _start(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except StoreError as error:
                self._known = ""  # from the beginning, at the next look
                _log.warning("watchlists will be asked for again", error=str(error))

        self._thread = threading.Thread(target=guarded, name="watchlists", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        found = self._store.watchlist_texts.newest()
        if found is None or found.id == self._known:
            return
        self._known = found.id
        try:
            watchlists = wiring.make_watchlists(self._settings, text=found.text)
        except UserError as error:  # a company that they name is gone from the list, perhaps
            _log.warning("watchlists cannot be used; those before stay in force", by=found.actor, error=str(error))
            return
        matcher = Matcher(watchlists)
        wiring.register_watchlist_names(watchlists)
        new, now = due(self._store, matcher), self._now()
        since = now - timedelta(days=self._settings.alert_history_days)
        if new:
            _log.info("watchlists get their past", watchlists=sorted(new), since=since.isoformat())
            forget(self._store, new, since)
            pour(self._store, matcher, set(new), since, now, self._stop.is_set)
        if not self._stop.is_set():
            self._ready = (matcher, now)

    def _catch_up(self, matcher: Matcher, fresh: set[str], began: datetime) -> None:
        """What was stored since the past was read, by who did not know of them yet."""
        if not fresh:
            return
        pour(self._store, matcher, fresh, began - SLACK, self._now() + timedelta(minutes=10), self._stop.is_set)
        if not self._stop.is_set():
            self._store.watchlists.mark({each.name: each.digest for each in matcher.watchlists if each.name in fresh})
