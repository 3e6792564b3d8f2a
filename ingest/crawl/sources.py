"""Crawler sources: the [[sources]] tables of a TOML file, feeds added on the dashboard, and the record of each visit.

A feed added on the dashboard is ignored if a source of the file has its name or its address: the file takes precedence.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from core.errors import LocalStoreError, SettingsError
from core.log import get_logger
from core.records import Genre
from core.toml_files import read_rows
from ingest.crawl.crawler_mailbox import CrawlerMailbox
from ingest.kafka.outbox import SourceState
from ingest.text.urls import canonical
from storage.tables.feeds import Origin, Outcome, SkipReason, SourceVisit

FullText = Literal["never", "always", "when_short"]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feed that is visited at an interval."""

    name: Annotated[str, Meta(min_length=1, max_length=200, description="unique name, shown as the source of its articles")]
    url: Annotated[str, Meta(min_length=1, description="address of the feed, http or https")]
    kind: Annotated[Literal["auto", "rss", "atom"], Meta(description="feed format; auto detects it")] = "auto"
    genre: Annotated[Genre, Meta(description="news, social or filing")] = "news"
    language: Annotated[Literal["", "zh", "en"], Meta(description="zh or en; empty detects the language of each article")] = ""
    interval_s: Annotated[float, Meta(gt=0, le=604_800, description="seconds between visits")] = 120.0
    timezone: Annotated[str, Meta(description="time zone of dates without one, such as Asia/Shanghai")] = "UTC"
    full_text: Annotated[FullText, Meta(description="fetch the article page: never, always, or when_short (the feed's text is short)")] = (
        "never"
    )
    max_items: Annotated[int, Meta(ge=1, le=10_000, description="most entries read per visit")] = 200
    allow_private: Annotated[bool, Meta(description="allow a loopback or private address, of this URL's host and port only")] = False

    @property
    def zone(self) -> ZoneInfo:
        """Time zone of dates without one."""
        return ZoneInfo(self.timezone)


def load_sources(path: Path) -> list[Source]:
    """Read the sources of a TOML file. Raises SettingsError with the file, the source and the field."""
    rows = read_rows(path, "sources", "sources")
    sources = [source_of(row, f"sources {path}: [[sources]] number {number}") for number, row in enumerate(rows, 1)]
    names: set[str] = set()
    for source in sources:
        if source.name in names:
            raise SettingsError(f"sources {path}: two sources are named {source.name!r}; names must be unique")
        names.add(source.name)
    return sources


def source_of(row: Any, where: str) -> Source:
    """Parse one table. where: how messages refer to it. Raises SettingsError with the field."""
    if not isinstance(row, dict):
        raise SettingsError(f"{where} is not a table")
    if isinstance(row.get("name"), str) and row["name"]:
        where += f" ({row['name']})"
    hints = get_type_hints(Source, include_extras=True)
    for name, value in row.items():
        if name not in hints:
            raise SettingsError(f"{where}: unknown field {name!r}; the fields are {', '.join(hints)}")
        try:
            msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            raise SettingsError(f"{where}: {name}: {error}") from error
    try:
        source = msgspec.convert(row, Source)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {error}") from error
    if not canonical(source.url):
        raise SettingsError(f"{where}: url: {source.url!r} is not an http or https address")
    try:
        ZoneInfo(source.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(f"{where}: timezone: {source.timezone!r} is not a time zone such as 'Asia/Shanghai' or 'UTC'") from error
    return source


SKIPPED_DAYS = 7
"""Skipped entries are counted over this many days."""
log = get_logger(__name__)


class _VisitRecord(msgspec.Struct, frozen=True):
    """A mailbox message: the last visit, and the skipped entries by reason of each day (days since 1970)."""

    visit: SourceVisit
    skipped: dict[int, dict[SkipReason, int]] = {}


class SourceList:
    """The current sources and the record of their visits. Thread safe. Mailbox errors are logged; crawling continues.

    Args:
        given: the sources of the file.
        mailbox: holds added feeds and takes the records; None for neither.
    """

    def __init__(self, given: Sequence[Source], mailbox: CrawlerMailbox | None = None) -> None:
        self._given, self._mailbox = list(given), mailbox
        self._lock = threading.Lock()
        self._records: dict[str, _VisitRecord] = {}
        self._bodies: dict[str, bytes] | None = None
        self._added: list[Source] = []
        if mailbox is not None:
            self._load_records(mailbox)

    def sources(self) -> list[Source]:
        """All sources to crawl now. If the mailbox cannot be read, those of the last successful read."""
        if self._mailbox is None:
            return list(self._given)
        try:
            bodies = self._mailbox.all("feed")
        except LocalStoreError as error:
            log.warning("added_feeds_not_read", error=str(error))
            return [*self._given, *self._added]
        with self._lock:
            if bodies != self._bodies:
                self._bodies, self._added = bodies, added_sources(self._given, bodies)
                self._record_listing([*self._given, *self._added])
            return [*self._given, *self._added]

    def record_visit(
        self,
        source: Source,
        outcome: Outcome,
        state: SourceState,
        now: datetime,
        *,
        error: str = "",
        entries: int = 0,
        published: int = 0,
        skipped: Mapping[SkipReason, int] | None = None,
    ) -> None:
        """Record the result of a visit. state: of the source after it; skipped: entries skipped for the first time, by reason"""
        if self._mailbox is None:
            return
        today = int(now.timestamp()) // 86_400
        with self._lock:
            before = self._records.get(source.name)
            days = {day: counts for day, counts in (before.skipped if before else {}).items() if day > today - SKIPPED_DAYS}
            if skipped:
                days[today] = dict(Counter(days.get(today, {})) + Counter(skipped))
            totals = sum((Counter(counts) for counts in days.values()), Counter())
            visit = msgspec.structs.replace(
                self._blank(source) if before is None else before.visit,
                at=now,
                outcome=outcome,
                error=error,
                entries=entries or (before.visit.entries if before and outcome != "ok" else entries),
                published=published,
                skipped=dict(totals),
                failures=state.failures,
                ok_at=now if outcome != "failed" else (before.visit.ok_at if before else None),
                next_at=datetime.fromtimestamp(state.next_due, UTC) if state.next_due else None,
            )
            self._records[source.name] = record = _VisitRecord(visit, days)
        self._put({source.name: record})

    def _record_listing(self, sources: Sequence[Source]) -> None:
        """Update the records: which sources are listed now and which no longer are."""
        changed: dict[str, _VisitRecord] = {}
        wanted = {source.name: source for source in sources}
        for name, source in wanted.items():
            before, blank = self._records.get(name), self._blank(source)
            same = before is not None and (before.visit.url, before.visit.origin, before.visit.interval_s, before.visit.listed) == (
                blank.url,
                blank.origin,
                blank.interval_s,
                True,
            )
            if same:
                continue
            if before is not None and before.visit.url == source.url:
                blank = msgspec.structs.replace(before.visit, origin=blank.origin, interval_s=blank.interval_s, listed=True)
            changed[name] = _VisitRecord(blank, before.skipped if before else {})
        for name, record in self._records.items():
            if name not in wanted and record.visit.listed:
                changed[name] = msgspec.structs.replace(record, visit=msgspec.structs.replace(record.visit, listed=False))
        self._records |= changed
        self._put(changed)

    def _blank(self, source: Source) -> SourceVisit:
        origin: Origin = "file" if source in self._given else "dashboard"
        return SourceVisit(source=source.name, url=source.url, origin=origin, interval_s=source.interval_s)

    def _load_records(self, mailbox: CrawlerMailbox) -> None:
        try:
            for name, body in mailbox.all("visit").items():
                self._records[name] = msgspec.json.decode(body, type=_VisitRecord)
        except (LocalStoreError, msgspec.MsgspecError) as error:  # the next visits write them anew
            log.warning("visit_records_not_read", error=str(error))

    def _put(self, records: dict[str, _VisitRecord]) -> None:
        if self._mailbox is None or not records:
            return
        try:
            self._mailbox.put("visit", {name: msgspec.json.encode(record) for name, record in records.items()})
        except LocalStoreError as error:
            log.warning("visit_records_not_written", error=str(error))


def added_sources(given: Sequence[Source], bodies: dict[str, bytes]) -> list[Source]:
    """The added feeds whose name and address no given source has, sorted by name. Invalid ones are logged and left out."""
    names, addresses = {source.name for source in given}, {canonical(source.url) for source in given}
    found = []
    for name, body in sorted(bodies.items()):
        try:
            source = source_of(msgspec.json.decode(body), f"feed {name!r}")
        except (SettingsError, msgspec.MsgspecError) as error:
            log.warning("added_feed_invalid", feed=name, error=str(error))
            continue
        if source.name != name or source.name in names or canonical(source.url) in addresses:
            continue
        names.add(source.name)
        addresses.add(canonical(source.url))
        found.append(source)
    return found


def read_visits(mailbox: CrawlerMailbox) -> dict[str, SourceVisit]:
    """The last visit to each source, by name. Raises LocalStoreError."""
    try:
        return {name: msgspec.json.decode(body, type=_VisitRecord).visit for name, body in mailbox.all("visit").items()}
    except msgspec.MsgspecError as error:
        raise LocalStoreError(f"{mailbox.path}: {error}") from error
