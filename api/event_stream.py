"""Event stream of the API: scores and alerts as server-sent events.

    store ─(one poll per second while there are subscribers)─▶ EventFeed: recent events, in memory ─▶ EventStream, one per client

The feed never waits for a client: one that reads slowly falls behind, and receives a gap event once what it missed is dropped from memory.
An event id begins with the time of writing, so that a client can resume after it, also in another process or after a restart. There the
last seconds are sent again, because events written at nearly the same time may come in another order.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec
from prometheus_client import Gauge

from api.problems import ApiProblem, invalid_field
from api.requests import StreamQuery
from api.types import GapEvent, ScoreEvent, article_out
from core.errors import StoreError
from core.log import get_logger
from core.series import facts
from domain.alert_lifecycle.silences import matches
from storage.store import ArticlePosition, Store, StoredArticle

STREAMS = Gauge("tocsin_api_streams", "Open event streams of the API")
MAX_AGE = timedelta(minutes=10)
MAX_EVENTS = 10_000
"""Events kept in memory for clients that resume: this long, and this many."""
MAX_WRITE_DELAY = timedelta(seconds=15)
"""Each poll reads this far back again: the clocks of the writers differ, and an insert takes time."""
MAX_NEWS_AGE = timedelta(days=2)
"""Older news, such as an archive that is being loaded, are not sent."""
LINGER_S = 60.0
"""Polling goes on this long after the last subscriber left, because most clients come back."""
BATCH_SIZE = 2_000
HEARTBEAT_S = 10.0
"""A comment is sent after this much silence, so that proxies keep the connection open and a dead one is noticed."""
TOKEN_CHECK_S = 2.0
"""How often an open stream checks that its token is still valid."""
FIRST_LINE = b"retry: 3000\n"
POSITION_KIND = "p"
"""Stands in an event id where the kind of an event would, for a position between events."""
log = get_logger("api.event_stream")
EventKind = Literal["score", "alert"]


class StreamedEvent(NamedTuple):
    """One event.

    Attributes:
        written: time of writing, microseconds since 1970
        series: series that the event belongs to
        frame: the event as it is sent
    """

    written: int
    id: str
    kind: EventKind
    series: tuple[str, ...]
    frame: bytes


class EventBatch(NamedTuple):
    """What a subscriber reads at once.

    Attributes:
        gap: events before `events` that were dropped, or None
        position: position in the feed after the batch
        time: time of the last event, or of the subscription
    """

    gap: GapEvent | None
    events: Sequence[StreamedEvent]
    position: int
    time: datetime


def sse_frame(kind: str, data: msgspec.Struct, event_id: str = "") -> bytes:
    """One server-sent event with its data as JSON on one line. Unicode line separators are escaped: some clients split lines at them."""
    head = f"id: {event_id}\n" if event_id else ""
    line = msgspec.json.encode(data)
    for separator in ("\x85", "\u2028", "\u2029"):
        line = line.replace(separator.encode(), f"\\u{ord(separator):04x}".encode())
    return f"{head}event: {kind}\ndata: ".encode() + line + b"\n\n"


class EventFeed:
    """Recent events, and a thread that polls the store while there are subscribers. Thread safe."""

    def __init__(self, store: Store, now: Callable[[], datetime], *, max_subscribers: int, poll_s: float = 1.0) -> None:
        self._store, self._now = store, now
        self._max_subscribers, self._poll_s = max_subscribers, poll_s
        self._changed = threading.Condition()
        self._starting = threading.Lock()  # held while the first events are read
        self._subscribers = 0
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._reset()

    def subscribe(self, last_event_id: str) -> EventBatch:
        """Add a subscriber. Call `unsubscribe` when it leaves.

        Args:
            last_event_id: resume after this event; "" to begin now

        Returns:
            The position to read from, without events; with a gap if events since last_event_id were dropped.

        Raises:
            ApiProblem: 422, malformed id; 503, max_subscribers reached
            StoreError: the store did not answer
        """
        after = _time_of_id(last_event_id) if last_event_id else None
        with self._changed:
            if self._subscribers >= self._max_subscribers:
                raise ApiProblem(
                    503,
                    f"the limit of {self._max_subscribers} open streams is reached (setting api_streams)",
                    headers={"Retry-After": "10"},
                )
            self._subscribers += 1
            STREAMS.set(self._subscribers)
        try:
            self._start()
            with self._changed:
                return self._resume(last_event_id, after)
        except BaseException:
            self.unsubscribe()
            raise

    def unsubscribe(self) -> None:
        """Remove a subscriber."""
        with self._changed:
            self._subscribers -= 1
            STREAMS.set(self._subscribers)

    def position_id(self, batch: EventBatch) -> str:
        """An event id for a position, so that a client that received no event yet can resume there."""
        return f"{_micros(batch.time):x}-{POSITION_KIND}-{batch.position}-{self._era}"

    def wait_for_events(self, previous: EventBatch, timeout_s: float) -> EventBatch | None:
        """The events after the previous batch; an empty batch after the timeout; None if the feed is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed.is_set() or self._first + len(self._events) > previous.position, timeout_s)
            if self._closed.is_set():
                return None
            gap = GapEvent(since=previous.time, until=_moment(self._complete_since)) if previous.position < self._first else None
            start = max(0, previous.position - self._first)
            events = self._events[start : start + BATCH_SIZE]
            return EventBatch(gap, events, self._first + start + len(events), _moment(events[-1].written) if events else previous.time)

    def close(self) -> None:
        """End all streams and the thread. May be called twice."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _reset(self) -> None:
        self._events: list[StreamedEvent] = []
        self._first = 0  # position of the first event in memory
        self._complete_since = 0  # every event written after this time is in memory
        self._read_until = self._now() - MAX_AGE
        self._seen: set[tuple[int, str]] = set()
        self._era = secrets.token_hex(4)  # identifies this order of events

    def _resume(self, last_event_id: str, after: int | None) -> EventBatch:
        if after is None:
            return EventBatch(None, (), self._first + len(self._events), self._now())
        if (position := self._position(last_event_id)) is not None:
            return EventBatch(None, (), position, _moment(after))
        for number in range(len(self._events) - 1, -1, -1):
            if self._events[number].id == last_event_id:
                return EventBatch(None, (), self._first + number + 1, _moment(after))
        if after < self._complete_since:
            return EventBatch(GapEvent(since=_moment(after), until=_moment(self._complete_since)), (), self._first, _moment(after))
        overlap = after - MAX_WRITE_DELAY // timedelta(microseconds=1)
        start = next((number for number, event in enumerate(self._events) if event.written > overlap), len(self._events))
        return EventBatch(None, (), self._first + start, _moment(after))

    def _position(self, event_id: str) -> int | None:
        """The position in an id of `position_id`; None if the id is of an event, or of another order of events."""
        _, kind, position, *era = [*event_id.split("-"), "", "", ""][:4]
        ours = kind == POSITION_KIND and era == [self._era] and position.isdecimal()
        return min(int(position), self._first + len(self._events)) if ours else None

    def _start(self) -> None:
        """Read the last minutes and start the thread, unless it runs."""
        with self._starting:
            with self._changed:
                if self._thread is not None or self._closed.is_set():
                    return
                self._reset()
            self._append(self._poll())
            thread = threading.Thread(target=self._run, name="api-feed", daemon=True)
            with self._changed:
                self._thread = thread
            thread.start()

    def _run(self) -> None:
        unused_s = 0.0
        while not self._closed.wait(self._poll_s):
            try:
                self._append(self._poll())
            except StoreError as error:
                log.warning("event_feed_store_unavailable", reason=str(error))
            except Exception:
                log.exception("event_feed_failed")
            with self._starting, self._changed:
                unused_s = 0.0 if self._subscribers else unused_s + self._poll_s
                if unused_s >= LINGER_S:
                    self._thread = None
                    return

    def _append(self, events: Sequence[StreamedEvent]) -> None:
        with self._changed:
            self._events += events
            self._drop_oldest(len(self._events) - MAX_EVENTS)
            if events:
                self._changed.notify_all()

    def _drop_oldest(self, count: int) -> None:
        """Drop events from memory; a subscriber that has not read them receives a gap event."""
        if count > 0:
            self._complete_since = max(self._complete_since, self._events[count - 1].written)
            del self._events[:count]
            self._first += count

    def _poll(self) -> list[StreamedEvent]:
        """Events that were not sent yet, in the order of writing. After a StoreError the next poll finds them."""
        now = self._now()
        horizon = _micros(min(now, self._read_until) - MAX_WRITE_DELAY)
        since = now - MAX_NEWS_AGE
        rows: list[StoredArticle] = []
        while not rows or len(rows) % BATCH_SIZE == 0:
            more = self._store.as_of.written(horizon, since, BATCH_SIZE, rows[-1] if rows else None)
            rows += more
            if not more:
                break
        alerts = self._store.alerts.written(horizon, since)
        new = [row for row in rows if (row.version, row.id) not in self._seen]
        self._complete_since = self._complete_since or horizon
        if len(new) > MAX_EVENTS:  # these alone fill the memory: do not build events that would be dropped at once
            with self._changed:
                self._drop_oldest(len(self._events))
                self._first += len(new) - MAX_EVENTS
                self._complete_since = max(self._complete_since, new[-MAX_EVENTS - 1].version)
            new = new[-MAX_EVENTS:]
        events = [event for start in range(0, len(new), BATCH_SIZE) for event in self._score_events(new[start : start + BATCH_SIZE])]
        for version, alert in alerts:
            if (version, alert.id) not in self._seen:
                event_id = f"{version:x}-a-{alert.id}-{self._era}"
                events.append(StreamedEvent(version, event_id, "alert", (alert.series,), sse_frame("alert", alert, event_id)))
        self._seen = {(row.version, row.id) for row in rows} | {(version, alert.id) for version, alert in alerts}
        self._read_until = now
        return sorted(events, key=lambda event: (event.written, event.id))

    def _score_events(self, rows: Sequence[StoredArticle]) -> list[StreamedEvent]:
        ids, times = [row.id for row in rows], [row.at for row in rows]
        articles = {each.id: each for each in self._store.as_of.articles([ArticlePosition(row.at, row.id) for row in rows])}
        period = datetime.fromtimestamp(min(times), UTC), datetime.fromtimestamp(max(times) + 1, UTC)
        scores = {score.id: score for score in self._store.articles.scores(ids, *period)}
        events = []
        for row in rows:
            article, score = articles.get(row.id), scores.get(row.id)
            if article is not None and score is not None:
                series = tuple(name for name, *_ in facts(score))
                event_id = f"{row.version:x}-s-{row.id}-{self._era}"
                data = ScoreEvent(article=article_out(article, "lead"), series=series)
                events.append(StreamedEvent(row.version, event_id, "score", series, sse_frame("score", data, event_id)))
        return events


class EventStream:
    """The response body of one client: an iterator of server-sent events. It must be closed, because it counts as a subscriber."""

    def __init__(self, feed: EventFeed, query: StreamQuery, last_event_id: str, token_is_valid: Callable[[], bool]) -> None:
        self._feed, self._query, self._token_is_valid = feed, query, token_is_valid
        self._lock = threading.Lock()
        self._open = True
        self._batch = feed.subscribe(last_event_id)
        self._first = FIRST_LINE + f"id: {feed.position_id(self._batch)}\n\n".encode() + _gap_frame(self._batch)
        self._sent = time.monotonic()

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        while self._open and self._is_authorised():
            batch = self._feed.wait_for_events(self._batch, TOKEN_CHECK_S)
            if batch is None:
                break
            self._batch = batch
            data = _gap_frame(batch) + b"".join(event.frame for event in batch.events if self._matches(event))
            if not data and time.monotonic() - self._sent >= HEARTBEAT_S:
                data = b": heartbeat\n\n"
            if data:
                self._sent = time.monotonic()
                return data
        raise StopIteration

    def close(self) -> None:
        """Unsubscribe. May be called twice."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._feed.unsubscribe()

    def _matches(self, event: StreamedEvent) -> bool:
        if self._query.events not in ("all", event.kind):
            return False
        return self._query.series == "*" or any(matches((self._query.series,), name) for name in event.series)

    def _is_authorised(self) -> bool:
        with suppress(StoreError):  # an outage of the store must not end the stream
            return self._token_is_valid()
        return True


def _gap_frame(batch: EventBatch) -> bytes:
    return sse_frame("gap", batch.gap) if batch.gap else b""


def _micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC)


def _time_of_id(event_id: str) -> int:
    """The time in an event id, microseconds since 1970. Raises ApiProblem."""
    head, _, rest = event_id.partition("-")
    try:
        if rest and 0 < (micros := int(head, 16)) < _micros(datetime(2100, 1, 1, tzinfo=UTC)):
            return micros
    except ValueError:
        pass
    raise invalid_field("Last-Event-ID", "is not an event id of this API")
