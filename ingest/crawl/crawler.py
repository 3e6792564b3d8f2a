"""The crawler: visits due sources and puts their new articles into the outbox.

    due source ─▶ fetch (304: nothing new) ─▶ feeds.parse ─▶ identity: new or changed entries, the newest ─▶ (page, where full_text says so)
        ─▶ build_article ─▶ outbox.put(articles, seen entries, next visit) ─▶ Publisher ─▶ Kafka `articles`

The list of sources and the records of visits: ingest/crawl/sources.py. Which entries are one article: ingest/crawl/identity.py.

A visit ends in one transaction, so a crash never leaves half a visit. A failing source is visited less and less often, and never
before its server's Retry-After has passed.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from core.errors import BadRecord, LocalStoreError, SourceError
from core.log import get_logger, mask
from core.metrics import DEAD_LETTERS, FETCHES, SKIPPED_ENTRIES
from core.records import CLOCK_TOLERANCE, Article, Trust, domain_owner, hash63, sha
from ingest.articles import MAX_RAW_CHARS, RawArticle, build_article
from ingest.companies.gazetteer import Gazetteer
from ingest.crawl import feeds, identity, pages
from ingest.crawl.crawler_mailbox import CrawlerMailbox, HeartbeatWriter
from ingest.crawl.feeds import Entry
from ingest.crawl.fetcher import Fetched, Fetcher
from ingest.crawl.identity import Identified
from ingest.crawl.parsers import InProcess, Parsers
from ingest.crawl.sources import Source, SourceList
from ingest.kafka.outbox import Outbox, SeenEntry, SourceState
from ingest.text import clean_text, dates
from ingest.text.urls import is_same_server, registrable_domain
from storage.tables.feeds import Outcome, SkipReason

SHORT_TEXT_CHARS = 280
"""With `full_text = "when_short"` the article page is fetched if the feed's text is shorter than this."""

MAX_SKIPPED = 10_000
"""Unread entries of one visit that are remembered: a hostile feed has hundreds of thousands, and others at each visit."""
MAX_BACKOFF_S = 6 * 3600.0
HOUSEKEEPING = timedelta(hours=6)
MAILBOX_POLL_INTERVAL = timedelta(seconds=5)
"""How often the mailbox is polled for added and removed feeds."""

log = get_logger(__name__)


class Visit(NamedTuple):
    """Result of one visit to a source.

    outcome: "ok", "not_modified" or "failed"; skipped: entries skipped for the first time, by reason
    """

    source: str
    outcome: Outcome
    entries: int = 0
    published: int = 0
    skipped: Mapping[SkipReason, int] = {}
    error: str = ""


class Crawler:
    """Visits each source when it is due. Every method but `run` takes `now` as a parameter.

    Args:
        sources: the sources of the configuration file.
        fetcher: HTTP client.
        outbox: where new articles are written.
        gazetteer: finds companies in texts.
        workers: how many sources are visited at the same time.
        mailbox: exchange with the store: feeds added on the dashboard, records of visits; None for neither.
        parsers: parses what was fetched; None parses in the threads of the crawler.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        fetcher: Fetcher,
        outbox: Outbox,
        gazetteer: Gazetteer,
        *,
        workers: int = 8,
        mailbox: CrawlerMailbox | None = None,
        parsers: Parsers | None = None,
    ) -> None:
        self._source_list = SourceList(sources, mailbox)
        self._heartbeat = HeartbeatWriter(mailbox, outbox)
        self.sources = self._source_list.sources()
        self._fetcher = fetcher
        self._parsers = parsers or InProcess()
        self._outbox = outbox
        self._gazetteer = gazetteer
        self._workers = workers
        self._date_orders: dict[str, bool] = {}
        self._stopping = threading.Event()
        self._random = random.Random()  # noqa: S311 -- spreads visits, guards nothing

    def run(self, stop: threading.Event) -> None:
        """Crawl until `stop` is set. The fetcher is closed then, and visits in progress leave no trace."""
        due = {source.name: self._outbox.state(source.name).next_due for source in self.sources}
        busy: dict[str, Future[Visit]] = {}
        wake = threading.Event()
        tidy = look = datetime.now(UTC)
        with self._heartbeat, ThreadPoolExecutor(self._workers, thread_name_prefix="crawl") as pool:
            while not stop.is_set():
                now = datetime.now(UTC)
                for name in [name for name, future in busy.items() if future.done()]:
                    busy.pop(name).result()
                    if name in due:
                        due[name] = self._outbox.state(name).next_due
                if now >= look:
                    self._apply_source_changes(due, now)
                    self._heartbeat.write(now)
                    look = now + MAILBOX_POLL_INTERVAL
                if self._outbox.full:
                    log.warning("outbox_full", size=self._outbox.counts().size)
                    stop.wait(5.0)
                    continue
                if now >= tidy:
                    self._outbox.forget_seen(now)
                    tidy = now + HOUSEKEEPING
                wake.clear()
                for source in self.sources:
                    if source.name not in busy and due[source.name] <= now.timestamp():
                        future = pool.submit(self.visit, source, now)
                        busy[source.name] = future
                        future.add_done_callback(lambda _: wake.set())
                soonest = min((moment for name, moment in due.items() if name not in busy), default=now.timestamp() + 1.0)
                wake.wait(min(max(soonest - now.timestamp(), 0.02), 0.5))
            self._stopping.set()
            self._fetcher.close()

    def _apply_source_changes(self, due: dict[str, float], now: datetime) -> None:
        """Update `due` to the current sources. A new one is due at once, even if an earlier source of its name has stored state."""
        self.sources = self._source_list.sources()
        names = {source.name for source in self.sources}
        for name in [name for name in due if name not in names]:
            log.info("source_removed", source=name)
            del due[name]
        for name in names - due.keys():
            log.info("source_added", source=name)
            with suppress(LocalStoreError):
                self._outbox.put([], source=name, state=SourceState(), now=now)
            due[name] = 0.0

    def crawl_once(self, now: datetime) -> list[Visit]:
        """Visit each source that is due at `now`, one after another."""
        self.sources = self._source_list.sources()
        return [self.visit(source, now) for source in self.sources if self._outbox.state(source.name).next_due <= now.timestamp()]

    def visit(self, source: Source, now: datetime) -> Visit:
        """One visit, from the request to the transaction. Never raises: a failure is recorded and delays the next visit."""
        state = self._outbox.state(source.name)
        try:
            visit = self._read(source, state, now)
        except (SourceError, LocalStoreError) as error:
            visit = self._failed(source, state, now, error)
        except Exception as error:  # an unexpected error of one source must not stop the others
            log.exception("visit_error", source=source.name)
            visit = self._failed(source, state, now, error)
        FETCHES.labels(source.name, visit.outcome).inc()
        (log.info if visit.published or visit.outcome == "failed" else log.debug)("visit", **visit._asdict())
        if not self._stopping.is_set():
            self._record(source, visit, state, now)
        return visit

    def _record(self, source: Source, visit: Visit, state: SourceState, now: datetime) -> None:
        with suppress(LocalStoreError):
            state = self._outbox.state(source.name)
        self._source_list.record_visit(
            source,
            visit.outcome,
            state,
            now,
            error=visit.error,
            entries=visit.entries,
            published=visit.published,
            skipped=visit.skipped,
        )

    def _read(self, source: Source, state: SourceState, now: datetime) -> Visit:
        fetched = self._fetcher.get(
            source.url, etag=state.etag, last_modified=state.last_modified, allow_private=source.allow_private, limit=feeds.MAX_FEED_BYTES
        )
        after = self._after(source, fetched, state, now)
        if fetched.not_modified:
            self._outbox.put([], source=source.name, state=after, now=now)
            return Visit(source.name, "not_modified")
        entries = self._parsers.feed(fetched.body, url=fetched.url, content_type=fetched.content_type, kind=source.kind).entries
        keys = [identity.keys_of(entry) for entry in entries]
        known = self._outbox.seen(source.name, keys)
        document = identity.identify(entries, keys, known)
        day_first = self._date_order(source, entries, now)
        read, passed_over = identity.newest(document.entries, _times(source, document.entries, now, day_first), source.max_items)
        seen = _Seen(known)
        for each in document.repeated:
            seen.skip(each, "repeated")
        for each in passed_over:
            seen.keep(each) if each.known else seen.skip(each, "passed_over")
        articles = [article for each in read if (article := self._changed(source, each, seen, now, fetched.url, day_first))]
        self._outbox.put(articles, source=source.name, state=after, seen=seen.entries, now=now)
        for reason, count in seen.skipped.items():
            SKIPPED_ENTRIES.labels(source.name, reason).inc(count)
        return Visit(source.name, "ok", len(entries), len(articles), dict(seen.skipped))

    def _date_order(self, source: Source, entries: Sequence[Entry], now: datetime) -> bool | None:
        """The order of day and month that the entries of this visit prove, else those of an earlier visit."""
        found = dates.day_first((entry.published for entry in entries), source.zone, now)
        if found is not None:
            self._date_orders[source.name] = found
        return self._date_orders.get(source.name)

    def _changed(
        self, source: Source, each: Identified, seen: _Seen, now: datetime, feed_url: str, day_first: bool | None
    ) -> Article | None:
        """The article of an entry that is new or changed; None for others and for those that cannot be converted, which are recorded."""
        if each.known and each.known.keys.raw == each.keys.raw:
            seen.keep(each)
            return None
        if seen.is_refused(each):
            seen.skip(each, "unusable")
            return None
        mark = fingerprint(each.entry) if each.known else None
        if each.known and each.known.fingerprint == mark:
            seen.keep(each)
            return None
        try:
            article = self._article(source, each, now, feed_url, day_first)
        except BadRecord as error:
            seen.skip(each, "unusable" if clean_text.clean((each.entry.title + each.entry.summary)[:MAX_RAW_CHARS]) else "empty")
            DEAD_LETTERS.labels(error.stage).inc()
            log.warning("entry_refused", source=source.name, entry=(each.entry.guid or each.entry.link)[:200], reason=error.reason)
            return None
        if article is None:
            seen.keep(each, changed=True)
        else:
            seen.entries.append(SeenEntry(article.id, article.owner, each.keys, fingerprint(each.entry) if mark is None else mark))
        return article

    def _after(self, source: Source, fetched: Fetched, state: SourceState, now: datetime) -> SourceState:
        next_due = now.timestamp() + source.interval_s * self._random.uniform(0.9, 1.1)
        etag, last_modified = (fetched.etag, fetched.last_modified)
        if fetched.not_modified:  # a 304 need not repeat them
            etag, last_modified = etag or state.etag, last_modified or state.last_modified
        return SourceState(etag, last_modified, next_due, 0)

    def _failed(self, source: Source, state: SourceState, now: datetime, error: Exception) -> Visit:
        wait_s = backoff_s(source.interval_s, state.failures + 1, error.retry_after_s if isinstance(error, SourceError) else None)
        if self._stopping.is_set():  # we cancelled it ourselves
            return Visit(source.name, "failed", error=mask(str(error)))
        after = state._replace(next_due=now.timestamp() + wait_s, failures=state.failures + 1)
        try:
            self._outbox.put([], source=source.name, state=after, now=now)
        except LocalStoreError as second:
            log.error("outbox_error", source=source.name, error=str(second))
        return Visit(source.name, "failed", error=mask(str(error)) or type(error).__name__)

    def _article(self, source: Source, each: Identified, now: datetime, feed_url: str, day_first: bool | None) -> Article | None:
        """The article of an entry; None where it has to wait for its page. Raises BadRecord."""
        entry, known = each.entry, each.known
        title, body, published = entry.title, entry.summary, entry.published
        flags: tuple[str, ...] = ()
        domain = registrable_domain(entry.link)
        trust: Trust = "domain" if domain and domain == registrable_domain(feed_url) else "feed"
        owner = known.owner if known else ""
        if entry.link and (owner or wants_page(source, body)):
            try:
                private = source.allow_private and is_same_server(entry.link, source.url)
                fetched = self._fetcher.get(entry.link, allow_private=private, limit=pages.MAX_PAGE_BYTES)
                page = self._parsers.page(fetched.body, url=fetched.url, content_type=fetched.content_type)
            except SourceError as error:
                log.info("page_failed", source=source.name, error=str(error))
                if self._stopping.is_set():
                    raise
                if owner:  # other sources may revise it too, so only the page decides what it says
                    return None
                flags = ("no_page",)  # publish the feed's text now: waiting for the page would delay the news
            else:
                title = title or page.title
                published = published or page.published
                body = page.text if len(page.text) > len(clean_text.clean(body[:MAX_RAW_CHARS])) else body
                if known is None and each.link and trust == "domain" and body is page.text and registrable_domain(fetched.url) == domain:
                    owner = domain_owner(domain)
        raw = RawArticle(
            source=source.name,
            url=entry.link,
            guid=entry.guid,
            title=title,
            text=body,
            published=published,
            language=source.language,
            genre=source.genre,
            flags=flags,
            day_first=day_first,
            id=known.id if known else each.article_id(source.name, owner),
            trust=trust,
            owner=owner,
        )
        return build_article(raw, fetched_at=now, zone=source.zone, gazetteer=self._gazetteer)


class _Seen:
    """The entries of a visit, for the next one. known: those of earlier visits"""

    def __init__(self, known: Sequence[SeenEntry]) -> None:
        self._skipped_before = {each.id: each.skipped for each in known if each.skipped}
        self._unread = 0
        self.entries: list[SeenEntry] = []
        self.skipped: Counter[SkipReason] = Counter()

    def keep(self, each: Identified, *, changed: bool = False) -> None:
        """An entry whose article stays as it is. changed: it is to be processed again on the next visit"""
        if each.known:
            self.entries.append(each.known if changed else each.known._replace(keys=each.keys))

    def skip(self, each: Identified, reason: SkipReason) -> None:
        """An entry without an article, counted on the first visit that skips it. Unread ones beyond MAX_SKIPPED leave no trace."""
        if reason in ("repeated", "passed_over"):
            if self._unread == MAX_SKIPPED:
                return
            self._unread += 1
        entry_id = _skipped_id(each)
        if entry_id not in self._skipped_before:
            self.skipped[reason] += 1
        self.entries.append(SeenEntry(entry_id, "", each.keys, skipped=self._skipped_before.get(entry_id) or reason))

    def is_refused(self, each: Identified) -> bool:
        """Whether an earlier visit could not convert the same entry."""
        return self._skipped_before.get(_skipped_id(each)) in ("empty", "unusable")


def _skipped_id(each: Identified) -> str:
    return sha("skipped", *map(str, each.keys._replace(time=0)))


def _times(source: Source, entries: Sequence[Identified], now: datetime, day_first: bool | None) -> list[datetime | None]:
    """When each entry was published; None if it does not say or names a time in the future. Only read where it decides something."""
    if len(entries) <= source.max_items:
        return [None] * len(entries)
    times = [dates.parse(each.entry.published, source.zone, now, day_first=day_first) for each in entries]
    return [moment if moment is not None and moment <= now + CLOCK_TOLERANCE else None for moment in times]


def wants_page(source: Source, summary: str) -> bool:
    """Whether the article page has to be fetched."""
    if source.full_text == "when_short":
        return len(clean_text.clean(summary[:MAX_RAW_CHARS])) < SHORT_TEXT_CHARS
    return source.full_text == "always"


def fingerprint(entry: Entry) -> int:
    """63-bit hash of the visible text: changed markup or tracking pixels are no new version."""
    words = f"{clean_text.clean(entry.title[:MAX_RAW_CHARS])}\n{clean_text.clean(entry.summary[:MAX_RAW_CHARS])}"
    return hash63(words)


def backoff_s(interval_s: float, failures: int, retry_after_s: float | None) -> float:
    """Seconds until a failing source is visited again.

    The interval, doubled with each failure up to six hours, or the server's Retry-After if that is longer.
    """
    return max(min(max(interval_s, 1.0) * 2.0 ** min(failures, 16), max(MAX_BACKOFF_S, interval_s)), retry_after_s or 0.0)
