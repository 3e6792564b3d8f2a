"""Sends alerts and groups of alerts over HTTP, in each endpoint's format. delivery_scheduler.py decides when.

Job ─▶ messages of the format ─▶ rate limiter ─▶ address check ─▶ POST (Standard Webhooks 1.0.0), or SMTP (smtp.py) ─▶ Delivery
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpcore
import httpx

from core import log as logs
from core import metrics
from core.errors import SettingsError
from core.records import Alert
from core.settings import Webhook
from net.address_policy import ForbiddenAddress, Resolve, permitted_address, resolve
from net.timeouts import BoundedBackend, Deadline, retry_after_s
from storage.store import Delivery
from stream.delivery import smtp
from stream.delivery.endpoints import DeliveryEndpoint, endpoints
from stream.delivery.formats.base import (
    GONE,
    NOT_SENT,
    RATE_LIMITED,
    TIMED_OUT,
    Bundle,
    Limit,
    Message,
    SendResult,
    message_id,
    subject,
)
from stream.delivery.grouping import Grouping
from stream.delivery.signing import signatures

MAX_THREADS = 32
MAX_RESPONSE_BYTES = 16_384
"""Bytes that are read of a response body, for formats that parse it."""
MAX_PAUSE_S = 600.0
"""Longest pause of a chat that answers "too many messages"."""
RATE_MARGIN_S = 0.5
"""Added to each window of a rate limit: messages sent at even intervals may arrive at uneven ones."""


class Job(NamedTuple):
    """One attempt to make.

    endpoint: its label
    attempt: 1 for the first
    parts_delivered: messages of the payload that the endpoint has accepted already
    first_attempt: the attempt of which this is a retry
    """

    endpoint: str
    payload: Alert | Bundle
    attempt: int
    parts_delivered: int = 0
    first_attempt: int = 1


class MessageRateLimiter:
    """Counts the messages to one endpoint. Safe to use from several threads.

    It counts those of this process only: after a restart, the endpoint's own "too many messages" applies.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = limits
        self._sent: deque[datetime] = deque(maxlen=max((limit.messages for limit in limits), default=1))
        self._paused_until: datetime | None = None
        self._lock = threading.Lock()

    def acquire(self, now: datetime) -> float:
        """Counts a message and returns 0 if it may be sent now; otherwise returns the seconds to wait, and counts nothing."""
        with self._lock:
            wait_s = max([self._pause_s(now), *(self._wait_s(limit, now) for limit in self._limits)])
            if wait_s <= 0:
                self._sent.append(now)
            return wait_s

    def pause(self, now: datetime, seconds: float) -> None:
        """Sends nothing for so long, as the endpoint asked."""
        with self._lock:
            until = now + timedelta(seconds=seconds)
            self._paused_until = until if self._paused_until is None else max(self._paused_until, until)

    def _pause_s(self, now: datetime) -> float:
        return (self._paused_until - now).total_seconds() if self._paused_until else 0.0

    def _wait_s(self, limit: Limit, now: datetime) -> float:
        if len(self._sent) < limit.messages:
            return 0.0
        window_s = limit.seconds + RATE_MARGIN_S
        age_s = (now - self._sent[-limit.messages]).total_seconds()
        return min(window_s, window_s - age_s)  # at most one window, also after the clock was set back


class Webhooks:
    """All endpoints of the settings. Safe to use from several threads."""

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        *,
        link_base: str = "",
        timeout_s: float = 15.0,
        resolve: Resolve = resolve,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Builds the endpoints.

        Args:
            webhooks: the settings.
            link_base: URL of the dashboard, for links to alerts.
            timeout_s: limit of one attempt, including the connection and all messages.
            resolve: from (host, port) to addresses.
            clock: the current time, UTC.

        Raises:
            SettingsError: for an endpoint that cannot work.
        """
        self._endpoints = {endpoint.label: endpoint for endpoint in endpoints(webhooks, link_base)}
        for endpoint in self._endpoints.values():
            _check_url(endpoint)
        # several endpoints with different filters may share one bot, whose limit counts for all of them
        limiters = {endpoint.url: MessageRateLimiter(endpoint.format.limits) for endpoint in self._endpoints.values()}
        self._limiters = {label: limiters[endpoint.url] for label, endpoint in self._endpoints.items()}
        self._resolve, self._clock = resolve, clock
        self._timeout_s = timeout_s
        self._client = httpx.Client(transport=_transport(), timeout=timeout_s, trust_env=False, follow_redirects=False)
        self._threads = ThreadPoolExecutor(max_workers=min(MAX_THREADS, len(self._endpoints) or 1), thread_name_prefix="webhook")

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of all endpoints."""
        return tuple(self._endpoints)

    @property
    def groupings(self) -> dict[str, Grouping]:
        """From label to grouping, for the endpoints with grouping, repetition, resolved notices or a digest."""
        return {label: endpoint.grouping for label, endpoint in self._endpoints.items() if endpoint.grouping is not None}

    def is_active(self, label: str) -> bool:
        """Whether the endpoint exists and is not paused."""
        return label in self._endpoints and not self._endpoints[label].filter.paused

    def accepts(self, label: str, alert: Alert) -> bool:
        """Whether the endpoint exists, is not paused, and its filters match the alert."""
        return label in self._endpoints and self._endpoints[label].filter.matches(alert)

    def send(self, jobs: Sequence[Job]) -> list[Delivery]:
        """Makes one attempt per job, all in parallel; returns their results in order."""
        return list(self._threads.map(self._attempt, jobs))

    def close(self) -> None:
        """Closes the connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _attempt(self, job: Job) -> Delivery:
        """Sends the messages that the endpoint has not accepted yet, up to the first failure."""
        sent_at = self._clock()
        endpoint, limiter = self._endpoints[job.endpoint], self._limiters[job.endpoint]
        messages = endpoint.format.messages(job.payload, endpoint.options._replace(first_attempt=job.first_attempt), sent_at)
        deadline, done, result = Deadline(self._timeout_s), min(job.parts_delivered, len(messages) - 1), SendResult(0, "")
        while done < len(messages) and not result.error:
            wait_s = limiter.acquire(self._clock())
            if wait_s > 0:
                result = SendResult(0, f"{RATE_LIMITED}the endpoint accepts a limited number of messages per minute", wait_s)
            else:
                ident = message_id(job.payload, done + 1, job.first_attempt)
                result = self._send_message(endpoint, messages[done], ident, int(sent_at.timestamp()), deadline)
                if result.wait_s and endpoint.format.parse_response:
                    limiter.pause(self._clock(), min(result.wait_s, MAX_PAUSE_S))
            done += not result.error
        part = f" (message {done + 1} of {len(messages)})" if result.error and len(messages) > 1 else ""
        outcome = "delivered" if not result.error else "waiting" if result.error.startswith(RATE_LIMITED) else "failed"
        metrics.WEBHOOKS.labels(outcome).inc()
        return Delivery(
            alert_id=subject(job.payload),
            endpoint=job.endpoint,
            attempt=job.attempt,
            sent_at=sent_at,
            status=result.status,
            error=result.error + part,
            parts_delivered=done,
            retry_after_s=result.wait_s,
            first_attempt=job.first_attempt,
        )

    def _send_message(self, endpoint: DeliveryEndpoint, message: Message, ident: str, timestamp: int, deadline: Deadline) -> SendResult:
        """Sends one message. Never raises: an error is part of the result."""
        try:
            address = permitted_address(endpoint.host, endpoint.port, allow_private=endpoint.allow_private, resolve=self._resolve)
            if endpoint.format.transport == "smtp":
                return smtp.send_mail(endpoint, address, message.body, deadline)
            with deadline:  # httpx limits each read only: a slow trickle of headers would block the next alerts forever
                return self._post(endpoint, address, message, ident, timestamp)
        except ForbiddenAddress as error:
            return SendResult(0, f"{NOT_SENT}{error}")
        except (httpx.TimeoutException, TimeoutError):
            return SendResult(0, TIMED_OUT)
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            return SendResult(0, logs.mask(f"{type(error).__name__}: {error}")[:300])

    def _post(self, endpoint: DeliveryEndpoint, address: str, message: Message, ident: str, timestamp: int) -> SendResult:
        url = _url(endpoint, message)
        headers = {
            **message.headers,
            "host": url.netloc.decode(),
            "user-agent": "tocsin",
            "accept-encoding": "identity",
            "webhook-id": ident,
            "webhook-timestamp": str(timestamp),
        }
        if endpoint.keys:
            headers["webhook-signature"] = signatures(endpoint.keys, ident, timestamp, message.body)
        to, extensions = url.copy_with(host=address), {"sni_hostname": url.host}
        with self._client.stream("POST", to, content=message.body, headers=headers, extensions=extensions) as response:
            return _result(response, endpoint)


def _result(response: httpx.Response, endpoint: DeliveryEndpoint) -> SendResult:
    status = response.status_code
    if response.is_redirect:
        return SendResult(status, f"HTTP {status}: redirects are not followed; set the endpoint's final URL")
    if status == GONE:
        return SendResult(status, "HTTP 410: the endpoint is gone and receives no more alerts; `tocsin webhooks test` tries it again")
    retry_s = retry_after_s(response.headers.get("retry-after", ""), response.headers.get("date", "")) or 0.0
    if endpoint.format.parse_response is None:
        return SendResult(status, "") if response.is_success else SendResult(status, f"HTTP {status}", retry_s)
    _, error, wait_s = endpoint.format.parse_response(status, _body_start(response))
    return SendResult(status, logs.mask(error), max(wait_s, retry_s) if error else 0.0)


def _body_start(response: httpx.Response) -> bytes:
    """The first MAX_RESPONSE_BYTES of the body."""
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) >= MAX_RESPONSE_BYTES:
            break
    return body[:MAX_RESPONSE_BYTES]


def _url(endpoint: DeliveryEndpoint, message: Message) -> httpx.URL:
    join = "&" if "?" in endpoint.url else "?"
    return httpx.URL(endpoint.url + (join + message.query if message.query else ""))


def _check_url(endpoint: DeliveryEndpoint) -> None:
    """Raises SettingsError for a URL that httpx cannot parse."""
    try:
        httpx.URL(endpoint.url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise SettingsError(f"webhook {endpoint.label}: its url is invalid: {logs.mask(str(error))}") from error


def _transport() -> httpx.BaseTransport:
    """An httpx transport whose connections respect the deadline; no connection is reused, and no proxy of the environment is used."""
    context = httpx.create_ssl_context(trust_env=False)
    transport = httpx.HTTPTransport(context, trust_env=False)
    transport.close()
    transport._pool = httpcore.ConnectionPool(
        ssl_context=context,
        max_connections=MAX_THREADS,
        max_keepalive_connections=0,  # a connection to an address must not serve another host with the same address
        network_backend=BoundedBackend(),
    )
    return transport
