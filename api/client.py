"""A client of the API, typed: it is asked with what api/requests.py has, and answers with api/types.py.

    with Client("http://127.0.0.1:8050", token) as client:
        for article in client.articles(series="company:600519.SH", since=yesterday):
            ...
        for event in client.stream():
            ...

Lists are read page by page as they are walked. What is only read is asked again where the server says when to come (429, 503).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from api import requests, types
from core.errors import TocsinError
from core.records import Alert
from domain.alert_lifecycle import EventKind
from storage.store import Label

T = TypeVar("T")
ATTEMPTS = 4
LONGEST_WAIT_S = 60.0
REMEMBERED = 20_000
"""Ids of events: after a restart of the server the last ones come again, and are left out."""


class ApiError(TocsinError):
    """The API refused, or did not answer. status: of HTTP, 0 where there was no answer; errors: the fields that are wrong"""

    def __init__(self, status: int, detail: str, errors: Sequence[types.FieldError] = ()) -> None:
        super().__init__(f"{detail} (HTTP {status})" if status else detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)


class StreamEvent(NamedTuple):
    """One event of the stream. id: of where to go on after it; "": of a gap"""

    id: str
    data: types.ScoreEvent | Alert | types.GapEvent


class Client:
    """The API of one Tocsin. For one thread at a time; close it, or use it as a context manager.

    url: the dashboard's address; token: a secret of `tocsin tokens create`
    Every method raises ApiError.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = 30.0, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=timeout_s, follow_redirects=False
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; calling it twice is fine."""
        self._http.close()

    def articles(
        self,
        *,
        series: str = "market:all",
        language: Literal["zh", "en"] | None = None,
        source: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        text: Literal["lead", "full"] = "lead",
        as_of: datetime | None = None,
        page: int = 100,
    ) -> Iterator[types.ArticleOut]:
        """Articles, the newest first."""
        query = {"series": series, "language": language, "source": source, "since": since, "until": until, "text": text, "as_of": as_of}
        for each in self._pages("/articles", types.Articles, page, query):
            yield from each.items

    def article(self, ident: str, *, as_of: datetime | None = None) -> types.ArticleOut:
        """One article with all of its text."""
        return self._get(f"/articles/{quote(ident, safe='')}", types.ArticleOut, as_of=as_of)

    def push(self, articles: Sequence[requests.ArticleIn]) -> types.PushedAll:
        """Push articles; those with the same url, or guid, are the same ones. What is accepted is safe."""
        return self._post("/articles", requests.ArticlesIn(articles=tuple(articles)), types.PushedAll)

    def series(
        self,
        *,
        kind: requests.Kind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        page: int = 100,
    ) -> Iterator[types.SeriesOut]:
        """Series with their totals, by name; of the last day unless told otherwise."""
        query = {"kind": kind, "since": since, "until": until, "as_of": as_of}
        for each in self._pages("/series", types.SeriesPage, page, query):
            yield from each.items

    def mood(
        self,
        series: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step_s: int = 3600,
        as_of: datetime | None = None,
    ) -> types.Mood:
        """The mood of a series over time; over the last day unless told otherwise."""
        return self._get(f"/series/{quote(series)}", types.Mood, since=since, until=until, step_s=step_s, as_of=as_of)

    def alerts(
        self,
        *,
        series: str | None = None,
        state: Literal["pending", "firing", "acknowledged", "resolved"] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        page: int = 50,
    ) -> Iterator[types.AlertOut]:
        """Alerts with what became of them, the newest first."""
        query = {"series": series, "state": state, "since": since, "until": until, "as_of": as_of}
        for each in self._pages("/alerts", types.Alerts, page, query):
            yield from each.items

    def alert(self, ident: str, *, as_of: datetime | None = None) -> types.AlertStory:
        """All that is known of one alert."""
        return self._get(f"/alerts/{quote(ident, safe='')}", types.AlertStory, as_of=as_of)

    def act(self, ident: str, kind: EventKind, text: str = "") -> types.AlertOut:
        """Do something to an alert: "acknowledged", "assigned" (text: to whom), "note", "resolved", "reopened" or "unacknowledged"."""
        return self._post(f"/alerts/{quote(ident, safe='')}/events", requests.EventIn(kind=kind, text=text), types.AlertOut)

    def silences(self, *, ended: bool = False, as_of: datetime | None = None, page: int = 100) -> Iterator[types.SilenceOut]:
        """Who silenced what, the newest first."""
        for each in self._pages("/silences", types.Silences, page, {"ended": ended, "as_of": as_of}):
            yield from each.items

    def silence(self, silence: requests.SilenceIn) -> types.SilenceOut:
        """Silence what is known for a while."""
        return self._post("/silences", silence, types.SilenceOut)

    def end_silence(self, ident: str) -> types.SilenceOut:
        """End a silence before its time."""
        return self._ask("DELETE", f"/silences/{quote(ident, safe='')}", types.SilenceOut)

    def rules(self) -> tuple[types.RuleOut, ...]:
        """The rules in force."""
        return self._get("/rules", types.Rules).items

    def watchlists(self) -> tuple[types.WatchlistOut, ...]:
        """The watchlists in force."""
        return self._get("/watchlists", types.Watchlists).items

    def labels(self, *, as_of: datetime | None = None, page: int = 100) -> Iterator[Label]:
        """People's labels, the newest first."""
        for each in self._pages("/feedback", types.Labels, page, {"as_of": as_of}):
            yield from each.items

    def label(self, labels: Sequence[requests.LabelIn]) -> int:
        """Say what articles should have been called; how many labels were kept: all, or it raises."""
        return self._post("/feedback", requests.LabelsIn(labels=tuple(labels)), types.Labelled).kept

    def classify(self, texts: Sequence[str]) -> types.Classified:
        """What the model says of texts, in order."""
        return self._post("/classify", requests.TextsIn(texts=tuple(texts)), types.Classified)

    def stream(
        self,
        *,
        events: Literal["all", "score", "alert"] = "all",
        series: str = "*",
        last_id: str = "",
        attempts: int = ATTEMPTS,
        on_open: Callable[[], None] = lambda: None,
    ) -> Iterator[StreamEvent]:
        """Scores and alerts as they come, each once, as long as it is walked; a GapEvent says what could not be told.

        last_id: of the last event of an earlier stream: go on behind it
        on_open: called whenever the server listens: what is written from then on will be told
        A connection that breaks is made again; raises ApiError when `attempts` in a row did not come about.
        """
        seen, order = set[str](), deque[str]()
        failed = 0
        while True:
            try:
                for ident, data in self._listen({"events": events, "series": series}, last_id):
                    failed = 0
                    last_id = ident or last_id
                    if data is None:
                        on_open()
                        continue
                    name = ident.rpartition("-")[0]  # less the part that a restart changes
                    if name in seen:
                        continue
                    if name:
                        seen.add(name)
                        order.append(name)
                    if len(order) > REMEMBERED:
                        seen.discard(order.popleft())
                    yield StreamEvent(ident, data)
            except (httpx.HTTPError, _Later) as error:
                failed += 1
                if failed >= attempts:
                    raise ApiError(getattr(error, "status", 0), f"the stream does not come about: {error}") from error
                self._sleep(getattr(error, "wait_s", 0.0) or min(2.0**failed, LONGEST_WAIT_S))
            else:
                self._sleep(1.0)  # the server ended it: it is being restarted, perhaps

    def _listen(self, query: dict[str, str], last_id: str) -> Iterator[tuple[str, types.ScoreEvent | Alert | types.GapEvent | None]]:
        """Ids and events of one connection; the place at which it begins comes first, and is none."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = httpx.Timeout(self._http.timeout.connect, read=60.0)  # a sign of life comes every ten seconds
        with self._http.stream("GET", "/stream", params=query, headers=headers, timeout=timeout) as answer:
            if answer.status_code != 200:
                answer.read()
                _refuse(answer)
            event: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line and name:
                    event[name] = value
                elif not line and event.keys() <= {"id", "retry"} and "id" in event:
                    yield event["id"], None
                    event = {}
                elif not line and "data" in event:
                    try:
                        data = msgspec.json.decode(event["data"], type=_KINDS[event["event"]])
                    except (msgspec.DecodeError, ValueError, KeyError) as error:
                        raise ApiError(200, f"not an event of this API: {error}") from error
                    yield event.get("id", ""), data
                    event = {}

    def _pages(self, path: str, answer: type[T], size: int, query: dict[str, Any]) -> Iterator[T]:
        cursor = ""
        while True:
            page = self._get(path, answer, **query, limit=size, cursor=cursor)
            yield page
            cursor = page.next  # type: ignore[attr-defined]
            if not cursor:
                return

    def _get(self, path: str, answer: type[T], **query: Any) -> T:
        given = {name: _written(value) for name, value in query.items() if value is not None and value != ""}
        for _ in range(ATTEMPTS - 1):
            try:
                return self._ask("GET", path, answer, params=given)
            except _Later as error:
                self._sleep(error.wait_s)
        return self._ask("GET", path, answer, params=given)

    def _post(self, path: str, body: msgspec.Struct, kind: type[T]) -> T:
        return self._ask("POST", path, kind, content=msgspec.json.encode(body), headers={"Content-Type": "application/json"})

    def _ask(self, method: str, path: str, kind: type[T], **more: Any) -> T:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise ApiError(0, f"{method} {path}: no answer from {self._http.base_url} ({error or type(error).__name__})") from error
        if not answer.is_success:
            _refuse(answer)
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.DecodeError, ValueError) as error:
            raise ApiError(answer.status_code, f"{method} {path}: not an answer of this API: {error}") from error


_KINDS: dict[str, Any] = {"score": types.ScoreEvent, "alert": Alert, "gap": types.GapEvent}


class _Later(ApiError):
    """The server says when to come again."""

    wait_s = 0.0


def _refuse(answer: httpx.Response) -> None:
    """Raises ApiError for an answer that is none."""
    try:
        problem = msgspec.json.decode(answer.content, type=types.Problem)
    except (msgspec.DecodeError, ValueError):
        raise ApiError(answer.status_code, f"{answer.request.url}: {answer.text[:200] or answer.reason_phrase}") from None
    wait = answer.headers.get("Retry-After", "")
    if answer.status_code in (429, 503) and wait.isdecimal() and int(wait) <= LONGEST_WAIT_S:
        later = _Later(problem.status, problem.detail, problem.errors)
        later.wait_s = float(wait)
        raise later
    raise ApiError(problem.status, problem.detail, problem.errors)


def _written(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value).lower() if isinstance(value, bool) else str(value)
