"""The sources to crawl: [[sources]] tables of a TOML file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
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
from storage.tables.feeds import Origin, Outcome, Visited

FullText = Literal["never", "always", "when_short"]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feed that is read again and again."""

    name: Annotated[str, Meta(min_length=1, max_length=200, description="what articles call it; each source has its own")]
    url: Annotated[str, Meta(min_length=1, description="address of the feed, http or https")]
    kind: Annotated[Literal["auto", "rss", "atom"], Meta(description="what the feed is; auto: look")] = "auto"
    genre: Annotated[Genre, Meta(description="news, social or filing")] = "news"
    language: Annotated[Literal["", "zh", "en"], Meta(description="zh or en; empty: look at each article")] = ""
    interval_s: Annotated[float, Meta(gt=0, le=604_800, description="seconds from one visit to the next")] = 120.0
    timezone: Annotated[str, Meta(description="zone of times that name none, such as Asia/Shanghai")] = "UTC"
    full_text: Annotated[
        FullText, Meta(description="whether to read the article's page: never, always, or when the feed's text is short")
    ] = "never"
    max_items: Annotated[int, Meta(ge=1, le=10_000, description="entries read from one visit at most")] = 200
    allow_private: Annotated[bool, Meta(description="let the source lie on a loopback or private address")] = False

    @property
    def zone(self) -> ZoneInfo:
        """The zone of times that name none."""
        return ZoneInfo(self.timezone)


def load_sources(path: Path) -> list[Source]:
    """The sources of a TOML file. Raises SettingsError naming the file, the source and the field."""
    rows = read_rows(path, "sources", "sources")
    sources = [source_of(row, f"sources {path}: [[sources]] number {number}") for number, row in enumerate(rows, 1)]
    names: set[str] = set()
    for source in sources:
        if source.name in names:
            raise SettingsError(f"sources {path}: two sources are named {source.name!r}; give each its own name")
        names.add(source.name)
    return sources


def source_of(row: Any, where: str) -> Source:
    """The source of a table. where: what it is called in messages. Raises SettingsError naming the field."""
    if not isinstance(row, dict):
        raise SettingsError(f"{where}: is not a table")
    if isinstance(row.get("name"), str) and row["name"]:
        where += f" ({row['name']})"
    hints = get_type_hints(Source, include_extras=True)
    for name, value in row.items():
        if name not in hints:
            raise SettingsError(f"{where}: there is no field {name!r}; the fields are {', '.join(hints)}")
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
        raise SettingsError(f"{where}: timezone: {source.timezone!r} is not a zone such as 'Asia/Shanghai' or 'UTC'") from error
    return source


KEEP_DAYS = 7
log = get_logger(__name__)


class _Note(msgspec.Struct, frozen=True):
    """What stands on the board: the visit, and the refused entries by day (days since 1970)."""

    visit: Visited
    refused: dict[int, int] = {}


class SourceList:
    """The list of sources, asked again and again. Thread safe. What the board does not take is logged: crawling goes on.

    given: those of the file; board: None: there are no others, and nobody is told
    """

    def __init__(self, given: Sequence[Source], mailbox: CrawlerMailbox | None = None) -> None:
        self._given, self._mailbox = list(given), mailbox
        self._lock = threading.Lock()
        self._notes: dict[str, _Note] = {}
        self._bodies: dict[str, bytes] | None = None
        self._added: list[Source] = []
        if mailbox is not None:
            self._recall(mailbox)

    def sources(self) -> list[Source]:
        """All that are to be crawled now. The board is asked; where it does not answer, those of the last time."""
        if self._mailbox is None:
            return list(self._given)
        try:
            bodies = self._mailbox.all("feed")
        except LocalStoreError as error:
            log.warning("feeds will be asked for again", error=str(error))
            return [*self._given, *self._added]
        with self._lock:
            if bodies != self._bodies:
                self._bodies, self._added = bodies, added(self._given, bodies)
                self._list([*self._given, *self._added])
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
        refused: int = 0,
    ) -> None:
        """Tell how a visit went; state: of the source after it."""
        if self._mailbox is None:
            return
        today = int(now.timestamp()) // 86_400
        with self._lock:
            before = self._notes.get(source.name)
            days = {day: count for day, count in (before.refused if before else {}).items() if day > today - KEEP_DAYS}
            if refused:
                days[today] = days.get(today, 0) + refused
            visit = msgspec.structs.replace(
                self._blank(source) if before is None else before.visit,
                at=now,
                outcome=outcome,
                error=error,
                entries=entries or (before.visit.entries if before and outcome != "ok" else entries),
                published=published,
                refused=sum(days.values()),
                failures=state.failures,
                ok_at=now if outcome != "failed" else (before.visit.ok_at if before else None),
                next_at=datetime.fromtimestamp(state.next_due, UTC) if state.next_due else None,
            )
            self._notes[source.name] = note = _Note(visit, days)
        self._put({source.name: note})

    def _list(self, sources: Sequence[Source]) -> None:
        """Have the board know who is on the list, and who no longer is."""
        changed: dict[str, _Note] = {}
        wanted = {source.name: source for source in sources}
        for name, source in wanted.items():
            before, blank = self._notes.get(name), self._blank(source)
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
            changed[name] = _Note(blank, before.refused if before else {})
        for name, note in self._notes.items():
            if name not in wanted and note.visit.listed:
                changed[name] = msgspec.structs.replace(note, visit=msgspec.structs.replace(note.visit, listed=False))
        self._notes |= changed
        self._put(changed)

    def _blank(self, source: Source) -> Visited:
        origin: Origin = "file" if source in self._given else "dashboard"
        return Visited(source=source.name, url=source.url, origin=origin, interval_s=source.interval_s)

    def _recall(self, mailbox: CrawlerMailbox) -> None:
        try:
            for name, body in mailbox.all("visit").items():
                self._notes[name] = msgspec.json.decode(body, type=_Note)
        except (LocalStoreError, msgspec.MsgspecError) as error:  # told anew by the next visits
            log.warning("earlier visits are not known", error=str(error))

    def _put(self, notes: dict[str, _Note]) -> None:
        if self._mailbox is None or not notes:
            return
        try:
            self._mailbox.put("visit", {name: msgspec.json.encode(note) for name, note in notes.items()})
        except LocalStoreError as error:
            log.warning("visits are not told", error=str(error))


def added(given: Sequence[Source], bodies: dict[str, bytes]) -> list[Source]:
    """The feeds of these notes that `given` leaves room for, by name; what is none is logged and left out."""
    names, addresses = {source.name for source in given}, {canonical(source.url) for source in given}
    found = []
    for name, body in sorted(bodies.items()):
        try:
            source = source_of(msgspec.json.decode(body), f"feed {name!r}")
        except (SettingsError, msgspec.MsgspecError) as error:
            log.warning("a feed cannot be used", feed=name, error=str(error))
            continue
        if source.name != name or source.name in names or canonical(source.url) in addresses:
            continue
        names.add(source.name)
        addresses.add(canonical(source.url))
        found.append(source)
    return found


def read_visits(mailbox: CrawlerMailbox) -> dict[str, Visited]:
    """What was told of each source. Raises LocalStoreError."""
    try:
        return {name: msgspec.json.decode(body, type=_Note).visit for name, body in mailbox.all("visit").items()}
    except msgspec.MsgspecError as error:
        raise LocalStoreError(f"{mailbox.path}: {error}") from error
