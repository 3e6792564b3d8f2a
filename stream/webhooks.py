"""The HTTP door: alerts to webhooks, as Standard Webhooks 1.0.0 has it.

A few quick attempts are made here; the specification's long schedule (up to a day later) is not: an alert that no attempt
delivered stays visible in the delivery log with its reason, and is tried again only if it comes again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from spine import log as logs
from spine import metrics
from spine.errors import SettingsError
from spine.records import Alert
from spine.settings import Webhook
from spine.store import Delivery
from stream.egress import Refused, Resolve, addresses, vetted
from stream.payload import body_of, message_id, sign, signing_key

TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be taken. A redirect is none: it is not followed, as it leads out of the egress rules."""


class Endpoint(NamedTuple):
    """One webhook, ready to send to. label: what the delivery log calls it; key: b"" when it is not signed."""

    label: str
    url: httpx.URL
    key: bytes
    allow_private: bool


class Answer(NamedTuple):
    """What came of one attempt. status: 0 when there was none; again: whether another attempt may help."""

    status: int
    error: str
    again: bool
    retry_after_s: float = 0.0


class Webhooks:
    """All endpoints. Safe to use from several threads."""

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        *,
        attempts: int = 3,
        timeout_s: float = 15.0,
        patience_s: float = 25.0,
        first_wait_s: float = 0.5,
        resolve: Resolve = addresses,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """timeout_s: of one attempt; patience_s: no attempt begins later than this after the first."""
        self._endpoints = tuple(endpoints(webhooks))
        self._attempts, self._patience_s, self._first_wait_s = attempts, patience_s, first_wait_s
        self._resolve, self._clock = resolve, clock
        self._closing = threading.Event()
        # no connection is kept: one to an address must not serve another host that shares it
        self._client = httpx.Client(
            timeout=timeout_s, trust_env=False, follow_redirects=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._threads = ThreadPoolExecutor(max_workers=min(8, len(self._endpoints) or 1), thread_name_prefix="webhook")

    def deliver(self, alert: Alert, done: Sequence[Delivery], log: Callable[[Delivery], None]) -> list[Delivery]:
        """Send `alert` to every endpoint that has not taken it, all at once; every attempt, by endpoint.

        done: what was tried before for this alert
        log: called with each attempt as it ends, from several threads; what it raises is raised here
        """
        body = body_of(alert)

        def to(endpoint: Endpoint) -> list[Delivery]:
            before = [delivery for delivery in done if delivery.endpoint == endpoint.label]
            if any(delivery.delivered for delivery in before):
                return []
            first = max((delivery.attempt for delivery in before), default=0) + 1
            made = []
            for delivery in self._attempts_at(endpoint, alert, body, first):
                log(delivery)
                made.append(delivery)
            return made

        return [delivery for made in self._threads.map(to, self._endpoints) for delivery in made]

    def close(self) -> None:
        """Give up waiting, and release the connections."""
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _attempts_at(self, endpoint: Endpoint, alert: Alert, body: bytes, first: int) -> Iterator[Delivery]:
        end = time.monotonic() + self._patience_s
        for attempt in range(first, first + self._attempts):
            sent_at = self._clock()
            answer = self._post(endpoint, message_id(alert), int(sent_at.timestamp()), body)
            metrics.WEBHOOKS.labels("delivered" if not answer.error else "failed").inc()
            yield Delivery(
                alert_id=alert.id, endpoint=endpoint.label, attempt=attempt, sent_at=sent_at, status=answer.status, error=answer.error
            )
            wait_s = max(answer.retry_after_s, self._first_wait_s * 4 ** (attempt - first) * random.uniform(0.5, 1.0))  # noqa: S311
            if not answer.again or time.monotonic() + wait_s > end or self._closing.wait(wait_s):
                return

    def _post(self, endpoint: Endpoint, ident: str, timestamp: int, body: bytes) -> Answer:
        """One attempt. Never raises: what went wrong is the answer."""
        url = endpoint.url
        headers = {
            "host": url.netloc.decode(),
            "content-type": "application/json",
            "user-agent": "tocsin",
            "webhook-id": ident,
            "webhook-timestamp": str(timestamp),
        }
        if endpoint.key:
            headers["webhook-signature"] = sign(endpoint.key, ident, timestamp, body)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            address = vetted(url.host, port, allow_private=endpoint.allow_private, resolve=self._resolve)
            with self._client.stream(
                "POST", url.copy_with(host=address), content=body, headers=headers, extensions={"sni_hostname": url.host}
            ) as response:
                return _answer(response)
        except Refused as error:
            return Answer(0, f"not sent: {error}", again=False)
        except httpx.TimeoutException:
            return Answer(0, "no answer in time", again=True)
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            return Answer(0, logs.mask(f"{type(error).__name__}: {error}")[:300], again=True)


def _answer(response: httpx.Response) -> Answer:
    status = response.status_code
    if response.is_success:
        return Answer(status, "", again=False)
    if response.is_redirect:
        return Answer(status, f"HTTP {status}: redirects are not followed; set the endpoint's final URL", again=False)
    if status == 410:
        return Answer(status, "HTTP 410: the endpoint is gone; take it out of the settings", again=False)
    wanted = response.headers.get("retry-after", "")
    return Answer(status, f"HTTP {status}", status in TRY_AGAIN, float(wanted) if wanted.isascii() and wanted.isdigit() else 0.0)


def endpoints(webhooks: Sequence[Webhook]) -> Iterator[Endpoint]:
    """The endpoints of the settings, each with a label of its own. Raises SettingsError."""
    labels: set[str] = set()
    for number, webhook in enumerate(webhooks, 1):
        try:
            url = httpx.URL(webhook.url)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise SettingsError(f"webhook {number}: its url cannot be read: {error}") from error
        if (
            url.scheme not in ("http", "https")
            or not url.host
            or urlsplit(webhook.url).username is not None
            or not 0 < (url.port or 80) < 65536
        ):
            raise SettingsError(f"webhook {number}: its url must be http(s)://host:port/… without a user name")
        label = webhook.name or url.host
        if label in labels:
            raise SettingsError(f"webhook {number}: two are called {label!r}; give each a name of its own")
        labels.add(label)
        try:
            key = signing_key(webhook.secret) if webhook.secret else b""
        except SettingsError as error:
            raise SettingsError(f"webhook {label}: {error}") from error
        yield Endpoint(label, url, key, webhook.allow_private)
