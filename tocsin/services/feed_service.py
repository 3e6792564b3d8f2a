"""Preview, add and remove feeds on the dashboard and the command line, with the crawler's fetcher and parser."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec

from actions.account_service import AccountService
from core.errors import Conflict, InvalidInput, NotFound, SourceError
from core.log import mask
from core.settings import Settings
from dashboard.services import FeedEntry, FeedPreview, FeedProblem, NewFeed
from ingest.crawl import feeds
from ingest.crawl.fetcher import Fetched, Fetcher
from ingest.crawl.parsers import ParserPool
from ingest.crawl.sources import Source, source_of
from ingest.text import clean_text, dates
from ingest.text.urls import canonical
from net.guarded_transport import NO_ADDRESS, ForbiddenSource
from storage.store import Feed, Store

ADDRESS = "dashboard"
"""Origin of the audit entries."""
PREVIEW_TIMEOUT_S = 20.0
"""Longest time for a preview, including redirects and robots.txt."""
MAX_FEED_BYTES = 4 * 1024 * 1024
MAX_PREVIEWS = 2
NEWEST_SHOWN = 5
MAX_FEEDS = 500
STALE = timedelta(days=7)
SHORT_CHARS = 40
"""Shorter texts add little to the title."""
MIN_INTERVAL_S = 10.0
"""Shortest interval of a feed added on the dashboard."""
INTERVALS_S = (60, 120, 300, 600, 900, 1800, 3600)


class StoredFeedService:
    """Implements dashboard.services.FeedService.

    Args:
        given: the sources of the file, if this process reads it; otherwise those that a crawler reported are known.
        address: origin of the audit entries.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        now: Callable[[], datetime],
        *,
        given: Sequence[Source] = (),
        address: str = ADDRESS,
        timeout_s: float = PREVIEW_TIMEOUT_S,
    ) -> None:
        self._settings, self._store, self._now, self._timeout_s = settings, store, now, timeout_s
        self._given, self._address = {source.name: source.url for source in given}, address
        self._slots = threading.BoundedSemaphore(MAX_PREVIEWS)

    def preview(self, url: str, actor: str) -> FeedPreview:
        """Fetch and parse a feed without storing anything. Raises UserError, SourceError, StoreError."""
        address = _address(url)
        if not self._slots.acquire(blocking=False):
            raise Conflict("other feeds are being previewed; try again in a few seconds")
        try:
            began = time.monotonic()
            fetched = self._fetch(address)
            took_s = time.monotonic() - began
            with closing(ParserPool(processes=1)) as parsers:
                found = parsers.feed(fetched.body, url=fetched.url, content_type=fetched.content_type)
        finally:
            self._slots.release()
            AccountService(self._store, self._now).audit(actor, "feed previewed", mask(address[:500]), address=self._address)
        return preview_of(found, fetched, address, self.known(), self._now(), took_s)

    def add(self, feed: NewFeed, actor: str) -> None:
        """Add a feed to the crawler. Raises UserError, StoreError."""
        row = msgspec.to_builtins(feed) | {"url": _address(feed.url), "name": clean_text.clean(feed.name)[:200]}
        if self._settings.feeds_allow_private:
            row["allow_private"] = True
        source = source_of(row, "feed")
        if source.interval_s < MIN_INTERVAL_S:
            raise InvalidInput(f"interval_s: {source.interval_s:g} s is too short; the minimum is {MIN_INTERVAL_S:g} s")
        known = self.known()
        if source.name in known:
            raise Conflict(f"a source named {source.name!r} already exists")
        duplicate = _duplicate(source.url, known)
        if duplicate:
            raise Conflict(f"{duplicate!r} already has this address")
        if len(self._store.feeds.all()) >= MAX_FEEDS:
            raise Conflict(f"the limit of {MAX_FEEDS} added feeds is reached; put further feeds into a sources file")
        body = msgspec.json.encode(row).decode()
        self._store.feeds.put(Feed(name=source.name, url=source.url, body=body, actor=actor, at=self._now()))
        AccountService(self._store, self._now).audit(actor, "feed added", source.name, after=mask(body), address=self._address)

    def remove(self, name: str, actor: str) -> None:
        """Remove an added feed. Raises UserError, StoreError."""
        feed = next((each for each in self._store.feeds.all() if each.name == name), None)
        if feed is None:
            raise NotFound(f"{name[:100]!r} was not added on the dashboard; sources of a file are removed there")
        self._store.feeds.put(msgspec.structs.replace(feed, removed=True, actor=actor, at=self._now()))
        AccountService(self._store, self._now).audit(actor, "feed removed", name, before=mask(feed.body), address=self._address)

    def known(self) -> dict[str, str]:
        """Name to address of all current sources. Raises StoreError."""
        listed = self._given | {visit.source: visit.url for visit in self._store.visits.all() if visit.origin == "file"}
        return listed | {feed.name: feed.url for feed in self._store.feeds.all()}

    def _fetch(self, url: str) -> Fetched:
        fetcher = Fetcher(deadline_s=self._timeout_s, host_delay_s=0.2)
        with _closed_after(fetcher, self._timeout_s) as late:
            try:
                return fetcher.get(url, allow_private=self._settings.feeds_allow_private, limit=MAX_FEED_BYTES)
            except SourceError as error:
                if late.is_set():
                    raise SourceError(f"{url}: took longer than {self._timeout_s:.0f} s") from error
                if isinstance(error, ForbiddenSource) or NO_ADDRESS in str(error):  # whether an internal name exists is not disclosed
                    raise SourceError(f"{url}: its host, or that of a redirect, is unknown or not a public address") from error
                raise


def preview_of(
    found: feeds.ParsedFeed, fetched: Fetched, requested: str, known: dict[str, str], now: datetime, took_s: float
) -> FeedPreview:
    """Build the preview of a fetched feed. Pure.

    Args:
        found: the parsed feed.
        fetched: the response.
        requested: the address requested.
        known: name to address of existing sources.
        now: the current time, aware.
        took_s: duration of the request.
    """
    entries = [_entry(entry, now) for entry in found.entries]
    moments = sorted((entry.published for entry in entries if entry.published), reverse=True)
    newest = sorted(entries, key=lambda entry: entry.published or datetime.min.replace(tzinfo=UTC), reverse=True)[:NEWEST_SHOWN]
    languages = {
        clean_text.language(f"{entry.title} {clean_text.clean(raw.summary[:1_000])}")
        for entry, raw in zip(entries, found.entries, strict=True)
    }
    return FeedPreview(
        url=fetched.url,
        title=clean_text.clean(found.title[:1_000])[:300],
        kind=found.version or "?",
        language=languages.pop() if len(languages) == 1 else "",
        entries=len(entries),
        newest=tuple(newest),
        problems=tuple(problems(found, entries, moments, fetched.url, requested, known, now)),
        size_bytes=len(fetched.body),
        took_s=round(took_s, 2),
        interval_s=interval(moments),
    )


def problems(
    found: feeds.ParsedFeed,
    entries: Sequence[FeedEntry],
    moments: Sequence[datetime],
    url: str,
    requested: str,
    known: dict[str, str],
    now: datetime,
) -> Iterator[FeedProblem]:
    """Problems of a feed, most severe first. moments: publication times, newest first. Pure."""
    duplicate = _duplicate(url, known) or _duplicate(requested, known)
    if duplicate:
        yield FeedProblem("known", {"name": duplicate})
    if canonical(url) != canonical(requested):
        yield FeedProblem("moved", {"url": mask(url[:300])})
    if not entries:
        yield FeedProblem("empty")
        return
    counts = {
        "untitled": sum(not entry.title for entry in entries),
        "undated": sum(entry.published is None for entry in entries),
        "linkless": sum(not entry.link for entry in found.entries),
        "future": sum(moment > now + timedelta(hours=1) for moment in moments),
        "short": sum(len(clean_text.clean(entry.summary[:5_000])) < SHORT_CHARS for entry in found.entries),
    }
    yield from (FeedProblem(key, {"n": count, "all": len(entries)}) for key, count in counts.items() if count)
    if moments and now - moments[0] > STALE:
        yield FeedProblem("old", {"days": (now - moments[0]).days})
    most = Source(name="x", url=url).max_items
    if len(entries) > most:
        yield FeedProblem("many", {"n": len(entries), "max": most})


def interval(moments: Sequence[datetime]) -> float:
    """Suggested seconds between visits: about half the median gap between entries, from a minute to an hour."""
    gaps = sorted((later - earlier).total_seconds() for later, earlier in itertools.pairwise(moments))
    if not gaps:
        return 300.0
    half = gaps[len(gaps) // 2] / 2
    return float(max((step for step in INTERVALS_S if step <= half), default=INTERVALS_S[0]))


def _entry(entry: feeds.Entry, now: datetime) -> FeedEntry:
    return FeedEntry(clean_text.clean(entry.title[:5_000])[:500], dates.parse(entry.published, UTC, now) if entry.published else None)


def _duplicate(url: str, known: dict[str, str]) -> str:
    """Name of the source with this address; "" if none."""
    return next((name for name, address in known.items() if canonical(address) == canonical(url)), "")


def _address(url: str) -> str:
    """Normalize an address entered by a user. Raises UserError."""
    address = url.strip()
    if address and "://" not in address:
        address = f"https://{address}"
    if not canonical(address):
        raise InvalidInput(f"{url.strip()[:200]!r} is not an http or https address")
    parts = urlsplit(address)
    if parts.username or parts.password:
        raise InvalidInput("an address with a user name or password would be visible to all users; put such a feed into a sources file")
    return address


@contextmanager
def _closed_after(fetcher: Fetcher, limit_s: float) -> Iterator[threading.Event]:
    """Close the fetcher after `limit_s`, cancelling its request. The event is set if that happened."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        fetcher.close()

    timer = threading.Timer(limit_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        fetcher.close()
