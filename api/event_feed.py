"""Scores and alerts as they come, read from the store once for all who listen.

    store ─(one poll a second, while anybody listens)─▶ the last events, in memory ─▶ each listener reads on from where it is

Nobody is waited for: a listener that reads slowly only stays behind, and is told of the gap when what it had not read is forgotten.
An event's id begins with the moment of its writing, so that a client that comes back goes on from there; to another process too, or
after a restart, where it hears the last seconds once more: what was written at nearly the same time is told there in another order.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec
from prometheus_client import Gauge

from api.problems import Refused, invalid
from api.serializers import article_out
from api.types import GapEvent, ScoreEvent
from core.errors import StoreError
from core.log import get_logger
from core.series import facts
from storage.store import New, Place, Store

STREAMS = Gauge("tocsin_api_streams", "Listeners to the API's stream")
MEMORY = timedelta(minutes=10)
MOST_EVENTS = 10_000
"""What is remembered for those who come back: so long, and so many."""
LATE = timedelta(seconds=15)
"""Writers are hosts with clocks of their own, and an insert takes a while: what was written so long ago is looked for again."""
REACH = timedelta(days=2)
"""Older news (an archive that is being loaded) is not told as it comes."""
LINGER_S = 60.0
"""The store is read for so long after the last listener left: most come back."""
AT_ONCE = 2_000
PLACE = "p"
"""Stands in an id, where an event's kind stands, for a place between events."""
log = get_logger("api.event_feed")
Kind = Literal["score", "alert"]


class Event(NamedTuple):
    """One event. written: microseconds since 1970; series: those that it touches; frame: as it goes out"""

    written: int
    id: str
    kind: Kind
    series: tuple[str, ...]
    frame: bytes


class Heard(NamedTuple):
    """What a listener reads: perhaps a gap, then events; its place behind them, and the moment of the last one."""

    gap: GapEvent | None
    events: Sequence[Event]
    place: int
    moment: datetime


def frame(kind: str, data: msgspec.Struct, ident: str = "") -> bytes:
    """One event as text/event-stream has it: JSON on one line, also for clients that see line breaks where Unicode has some."""
    head = f"id: {ident}\n" if ident else ""
    line = msgspec.json.encode(data)
    for mark in ("\x85", "\u2028", "\u2029"):
        line = line.replace(mark.encode(), f"\\u{ord(mark):04x}".encode())
    return f"{head}event: {kind}\ndata: ".encode() + line + b"\n\n"


class Feed:
    """The last events, and a thread that reads on while anybody listens. Thread safe.

    most: how many may listen at once
    """

    def __init__(self, store: Store, now: Callable[[], datetime], *, most: int, poll_s: float = 1.0) -> None:
        self._store, self._now = store, now
        self._most, self._poll_s = most, poll_s
        self._changed = threading.Condition()
        self._begin = threading.Lock()  # held while the first events are read
        self._listening = 0
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._forget()

    def _forget(self) -> None:
        self._events: list[Event] = []
        self._base = 0  # place of the first of them
        self._floor = 0  # all that was written after it is among them
        self._read_until = self._now() - MEMORY
        self._seen: set[tuple[int, str]] = set()
        self._era = secrets.token_hex(4)  # of this order of events

    def join(self, last_id: str) -> Heard:
        """Take a seat; where to read on after the event `last_id` ("": from now on). Raises Refused, StoreError. See `leave`."""
        after = _written(last_id) if last_id else None
        with self._changed:
            if self._listening >= self._most:
                raise Refused(503, f"{self._most} streams are open, as many as there may be (api_streams)", headers={"Retry-After": "10"})
            self._listening += 1
            STREAMS.set(self._listening)
        try:
            self._start()
            with self._changed:
                return self._from(last_id, after)
        except BaseException:
            self.leave()
            raise

    def mark(self, heard: Heard) -> str:
        """An id for a place at which no event is: who heard none before the line broke goes on from there all the same."""
        return f"{_micros(heard.moment):x}-{PLACE}-{heard.place}-{self._era}"

    def leave(self) -> None:
        """Give the seat back."""
        with self._changed:
            self._listening -= 1
            STREAMS.set(self._listening)

    def hear(self, before: Heard, timeout_s: float) -> Heard | None:
        """What is behind what was heard before, waiting for it; nothing after the timeout. None: it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._over.is_set() or self._base + len(self._events) > before.place, timeout_s)
            if self._over.is_set():
                return None
            gap = GapEvent(since=before.moment, until=_moment(self._floor)) if before.place < self._base else None
            first = max(0, before.place - self._base)
            events = self._events[first : first + AT_ONCE]
            return Heard(gap, events, self._base + first + len(events), _moment(events[-1].written) if events else before.moment)

    def close(self) -> None:
        """End all streams and the thread; calling it twice is fine."""
        self._over.set()
        with self._changed:
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _from(self, last_id: str, after: int | None) -> Heard:
        if after is None:
            return Heard(None, (), self._base + len(self._events), self._now())
        if (place := self._place(last_id)) is not None:
            return Heard(None, (), place, _moment(after))
        for number in range(len(self._events) - 1, -1, -1):
            if self._events[number].id == last_id:
                return Heard(None, (), self._base + number + 1, _moment(after))
        if after < self._floor:
            return Heard(GapEvent(since=_moment(after), until=_moment(self._floor)), (), self._base, _moment(after))
        late = after - LATE // timedelta(microseconds=1)
        behind = next((number for number, event in enumerate(self._events) if event.written > late), len(self._events))
        return Heard(None, (), self._base + behind, _moment(after))

    def _place(self, last_id: str) -> int | None:
        """Where a mark of this order of events stands; None for any other id."""
        _, kind, place, *era = [*last_id.split("-"), "", "", ""][:4]
        ours = kind == PLACE and era == [self._era] and place.isdecimal()
        return min(int(place), self._base + len(self._events)) if ours else None

    def _start(self) -> None:
        """Read the last minutes and start the thread, where nobody did."""
        with self._begin:
            with self._changed:
                if self._thread is not None or self._over.is_set():
                    return
                self._forget()
            self._take(self._poll())
            thread = threading.Thread(target=self._run, name="api-feed", daemon=True)
            with self._changed:
                self._thread = thread
            thread.start()

    def _run(self) -> None:
        alone_s = 0.0
        while not self._over.wait(self._poll_s):
            try:
                self._take(self._poll())
            except StoreError as error:
                log.warning("the stream waits for the store", reason=str(error))
            except Exception:
                log.exception("the stream met the unexpected")
            with self._begin, self._changed:
                alone_s = 0.0 if self._listening else alone_s + self._poll_s
                if alone_s >= LINGER_S:
                    self._thread = None
                    return

    def _take(self, events: Sequence[Event]) -> None:
        with self._changed:
            self._events += events
            self._drop(len(self._events) - MOST_EVENTS)
            if events:
                self._changed.notify_all()

    def _drop(self, count: int) -> None:
        """Forget the oldest; who had not read them is told of a gap."""
        if count > 0:
            self._floor = max(self._floor, self._events[count - 1].written)
            del self._events[:count]
            self._base += count

    def _poll(self) -> list[Event]:
        """Events that were not told yet, in the order of writing. Raises StoreError: then nothing is lost, the next poll finds them."""
        now = self._now()
        horizon = _micros(min(now, self._read_until) - LATE)
        since = now - REACH
        rows: list[New] = []
        while not rows or len(rows) % AT_ONCE == 0:
            more = self._store.past.written(horizon, since, AT_ONCE, rows[-1] if rows else None)
            rows += more
            if not more:
                break
        alerts = self._store.alerts.written(horizon, since)
        fresh = [row for row in rows if (row.version, row.id) not in self._seen]
        self._floor = self._floor or horizon
        if len(fresh) > MOST_EVENTS:  # all that is remembered would be dropped in a moment
            with self._changed:
                self._drop(len(self._events))
                self._base += len(fresh) - MOST_EVENTS
                self._floor = max(self._floor, fresh[-MOST_EVENTS - 1].version)
            fresh = fresh[-MOST_EVENTS:]
        events = [event for start in range(0, len(fresh), AT_ONCE) for event in self._scores(fresh[start : start + AT_ONCE])]
        for version, alert in alerts:
            if (version, alert.id) not in self._seen:
                ident = f"{version:x}-a-{alert.id}-{self._era}"
                events.append(Event(version, ident, "alert", (alert.series,), frame("alert", alert, ident)))
        self._seen = {(row.version, row.id) for row in rows} | {(version, alert.id) for version, alert in alerts}
        self._read_until = now
        return sorted(events, key=lambda event: (event.written, event.id))

    def _scores(self, rows: Sequence[New]) -> list[Event]:
        ids, times = [row.id for row in rows], [row.at for row in rows]
        articles = {each.id: each for each in self._store.past.articles([Place(row.at, row.id) for row in rows])}
        span = datetime.fromtimestamp(min(times), UTC), datetime.fromtimestamp(max(times) + 1, UTC)
        scores = {score.id: score for score in self._store.articles.scores(ids, *span)}
        events = []
        for row in rows:
            article, score = articles.get(row.id), scores.get(row.id)
            if article is not None and score is not None:
                series = tuple(name for name, *_ in facts(score))
                ident = f"{row.version:x}-s-{row.id}-{self._era}"
                events.append(
                    Event(
                        row.version,
                        ident,
                        "score",
                        series,
                        frame("score", ScoreEvent(article=article_out(article, "lead"), series=series), ident),
                    )
                )
        return events


def _micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC)


def _written(ident: str) -> int:
    """The moment in an event's id. Raises Refused."""
    head, _, rest = ident.partition("-")
    try:
        if rest and 0 < (micros := int(head, 16)) < _micros(datetime(2100, 1, 1, tzinfo=UTC)):
            return micros
    except ValueError:
        pass
    raise invalid("Last-Event-ID", "is the id of none of our events")
