"""Typed Python client of the API: requests as in api/requests.py, responses as in api/types.py.

    with Client("http://127.0.0.1:8050", token) as client:
        for article in client.articles(series="company:600519.SH", since=yesterday):
            ...
        for event in client.stream():
            ...

Lists are fetched page by page during iteration. Reads are retried if the server sends Retry-After (429, 503).
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
MAX_WAIT_S = 60.0
MAX_SEEN_EVENTS = 20_000
"""Event ids kept to drop duplicates: after a restart the server sends the last seconds again."""


class ApiError(TocsinError):
    """The API answered with an error, or did not answer.

    Attributes:
        status: HTTP status; 0 without a response
        errors: the invalid fields
    """

    def __init__(self, status: int, detail: str, errors: Sequence[types.FieldError] = ()) -> None:
        super().__init__(f"{detail} (HTTP {status})" if status else detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)


class StreamEvent(NamedTuple):
    """One event of the stream. `id` is what to resume after; "" for a gap."""

    id: str
    data: types.ScoreEvent | Alert | types.GapEvent


class Client:
    """Client of one Tocsin server. Not thread safe; close it, or use it as a context manager. Every method raises ApiError."""

    def __init__(self, url: str, token: str, *, timeout_s: float = 30.0, sleep: Callable[[float], None] = time.sleep) -> None:
        """
        Args:
            url: address of the dashboard
            token: secret printed by `tocsin tokens create`
        """
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=timeout_s, follow_redirects=False
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._http.close()

    def articles(
        self,
        *,
        series: str = "market:all",
        language: Literal["zh", "en"] | None = None,
        source: str = "",
        min_materiality: float = 0.0,
        since: datetime | None = None,
        until: datetime | None = None,
        text: Literal["lead", "full"] = "lead",
        as_of: datetime | None = None,
        page: int = 100,
    ) -> Iterator[types.ArticleOut]:
        """Articles, newest first. min_materiality: least probability that an article bears on prices"""
        query: dict[str, Any] = {"series": series, "language": language, "source": source, "since": since, "until": until, "text": text}
        query |= {"min_materiality": min_materiality or None, "as_of": as_of}
        for each in self._pages("/articles", types.Articles, page, query):
            yield from each.items

    def article(self, article_id: str, *, as_of: datetime | None = None) -> types.ArticleOut:
        """One article with its whole text."""
        return self._get(f"/articles/{quote(article_id, safe='')}", types.ArticleOut, as_of=as_of)

    def push(self, articles: Sequence[requests.ArticleIn]) -> types.PushResults:
        """Push articles. The same url, or guid, is the same article. Accepted articles are durable."""
        return self._post("/articles", requests.ArticlesIn(articles=tuple(articles)), types.PushResults)

    def series(
        self,
        *,
        kind: requests.SeriesKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        page: int = 100,
    ) -> Iterator[types.SeriesOut]:
        """Series with their totals, by name; by default of the last 24 hours."""
        query = {"kind": kind, "since": since, "until": until, "as_of": as_of}
        for each in self._pages("/series", types.SeriesPage, page, query):
            yield from each.items

    def series_history(
        self,
        series: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step_s: int = 3600,
        as_of: datetime | None = None,
    ) -> types.SeriesHistory:
        """A series over time; by default over the last 24 hours."""
        return self._get(f"/series/{quote(series)}", types.SeriesHistory, since=since, until=until, step_s=step_s, as_of=as_of)

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
        """Alerts with their lifecycles, newest first."""
        query = {"series": series, "state": state, "since": since, "until": until, "as_of": as_of}
        for each in self._pages("/alerts", types.Alerts, page, query):
            yield from each.items

    def alert(self, alert_id: str, *, as_of: datetime | None = None) -> types.AlertDetail:
        """One alert with its events and deliveries."""
        return self._get(f"/alerts/{quote(alert_id, safe='')}", types.AlertDetail, as_of=as_of)

    def add_alert_event(self, alert_id: str, kind: EventKind, text: str = "") -> types.AlertOut:
        """Act on an alert: "acknowledged", "unacknowledged", "assigned" (text: the assignee), "note", "resolved" or "reopened"."""
        return self._post(f"/alerts/{quote(alert_id, safe='')}/events", requests.EventIn(kind=kind, text=text), types.AlertOut)

    def silences(self, *, include_expired: bool = False, as_of: datetime | None = None, page: int = 100) -> Iterator[types.SilenceOut]:
        """Silences, newest first."""
        for each in self._pages("/silences", types.Silences, page, {"include_expired": include_expired, "as_of": as_of}):
            yield from each.items

    def add_silence(self, silence: requests.SilenceIn) -> types.SilenceOut:
        """Add a silence."""
        return self._post("/silences", silence, types.SilenceOut)

    def expire_silence(self, silence_id: str) -> types.SilenceOut:
        """End a silence now."""
        return self._request("DELETE", f"/silences/{quote(silence_id, safe='')}", types.SilenceOut)

    def rules(self) -> tuple[types.RuleOut, ...]:
        """The alert rules in force."""
        return self._get("/rules", types.Rules).items

    def watchlists(self) -> tuple[types.WatchlistOut, ...]:
        """The watchlists in force."""
        return self._get("/watchlists", types.Watchlists).items

    def labels(self, *, as_of: datetime | None = None, page: int = 100) -> Iterator[Label]:
        """Labels given by people, newest first."""
        for each in self._pages("/feedback", types.Labels, page, {"as_of": as_of}):
            yield from each.items

    def add_labels(self, labels: Sequence[requests.LabelIn]) -> int:
        """Store the correct labels of articles, all or none. Returns how many were stored."""
        return self._post("/feedback", requests.LabelsIn(labels=tuple(labels)), types.LabelsStored).stored

    def classify(self, texts: Sequence[str]) -> types.Classified:
        """Classify texts; one item per text, in order."""
        return self._post("/classify", requests.TextsIn(texts=tuple(texts)), types.Classified)

    def stream(
        self,
        *,
        events: Literal["all", "score", "alert"] = "all",
        series: str = "*",
        last_event_id: str = "",
        attempts: int = ATTEMPTS,
        on_open: Callable[[], None] = lambda: None,
    ) -> Iterator[StreamEvent]:
        """Scores and alerts as they are stored, each once, until iteration stops. Reconnects by itself.

        Args:
            events: only scores, or only alerts
            series: pattern of series, such as "company:*"
            last_event_id: resume after this event of an earlier stream
            attempts: failed connections in a row before it gives up
            on_open: called at each connection; what is written from then on will be received

        Yields:
            Events; a GapEvent names a period whose events may be missing.

        Raises:
            ApiError: the server rejects the request, or `attempts` connections in a row failed
        """
        seen, order = set[str](), deque[str]()
        failed = 0
        while True:
            try:
                for event_id, data in self._receive({"events": events, "series": series}, last_event_id):
                    failed = 0
                    last_event_id = event_id or last_event_id
                    if data is None:
                        on_open()
                        continue
                    name = event_id.rpartition("-")[0]  # without the part that a restart changes
                    if name in seen:
                        continue
                    if name:
                        seen.add(name)
                        order.append(name)
                    if len(order) > MAX_SEEN_EVENTS:
                        seen.discard(order.popleft())
                    yield StreamEvent(event_id, data)
            except (httpx.HTTPError, _RetryLater) as error:
                failed += 1
                if failed >= attempts:
                    raise ApiError(getattr(error, "status", 0), f"the stream cannot be opened: {error}") from error
                self._sleep(getattr(error, "wait_s", 0.0) or min(2.0**failed, MAX_WAIT_S))
            else:
                self._sleep(1.0)  # the server closed it, perhaps for a restart

    def _receive(self, query: dict[str, str], last_event_id: str) -> Iterator[tuple[str, types.ScoreEvent | Alert | types.GapEvent | None]]:
        """Ids and events of one connection. The first item is the position at which it begins, with None for the event."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        timeout = httpx.Timeout(self._http.timeout.connect, read=60.0)  # the server sends a heartbeat every ten seconds
        with self._http.stream("GET", "/stream", params=query, headers=headers, timeout=timeout) as response:
            if response.status_code != 200:
                response.read()
                _raise_for(response)
            event: dict[str, str] = {}
            for line in response.iter_lines():
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

    def _pages(self, path: str, kind: type[T], size: int, query: dict[str, Any]) -> Iterator[T]:
        cursor = ""
        while True:
            page = self._get(path, kind, **query, limit=size, cursor=cursor)
            yield page
            cursor = page.next  # type: ignore[attr-defined]
            if not cursor:
                return

    def _get(self, path: str, kind: type[T], /, **query: Any) -> T:
        given = {name: _query_value(value) for name, value in query.items() if value is not None and value != ""}
        for _ in range(ATTEMPTS - 1):
            try:
                return self._request("GET", path, kind, params=given)
            except _RetryLater as error:
                self._sleep(error.wait_s)
        return self._request("GET", path, kind, params=given)

    def _post(self, path: str, body: msgspec.Struct, kind: type[T]) -> T:
        return self._request("POST", path, kind, content=msgspec.json.encode(body), headers={"Content-Type": "application/json"})

    def _request(self, method: str, path: str, kind: type[T], **options: Any) -> T:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ApiError(0, f"{method} {path}: no response from {self._http.base_url} ({error or type(error).__name__})") from error
        if not response.is_success:
            _raise_for(response)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, ValueError) as error:
            raise ApiError(response.status_code, f"{method} {path}: the response is not one of this API: {error}") from error


_KINDS: dict[str, Any] = {"score": types.ScoreEvent, "alert": Alert, "gap": types.GapEvent}


class _RetryLater(ApiError):
    """The server sent Retry-After."""

    wait_s = 0.0


def _raise_for(response: httpx.Response) -> None:
    """Raises the ApiError of an error response."""
    try:
        problem = msgspec.json.decode(response.content, type=types.Problem)
    except (msgspec.DecodeError, ValueError):
        raise ApiError(response.status_code, f"{response.request.url}: {response.text[:200] or response.reason_phrase}") from None
    wait = response.headers.get("Retry-After", "")
    if response.status_code in (429, 503) and wait.isdecimal() and int(wait) <= MAX_WAIT_S:
        later = _RetryLater(problem.status, problem.detail, problem.errors)
        later.wait_s = float(wait)
        raise later
    raise ApiError(problem.status, problem.detail, problem.errors)


def _query_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value).lower() if isinstance(value, bool) else str(value)
