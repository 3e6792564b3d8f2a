"""The HTTP door: alerts to webhooks, as Standard Webhooks 1.0.0 has it. One attempt at a time: stream/courier.py says when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import httpcore
import httpx

from spine import log as logs
from spine import metrics
from spine.deadline import BoundedBackend, Deadline
from spine.errors import SettingsError
from spine.records import Alert
from spine.retry_after import retry_after_s
from spine.settings import Webhook
from spine.store import Delivery
from stream.egress import Refused, Resolve, addresses, vetted
from stream.payload import body_of, message_id, sign, signing_key

GONE = 410
NOT_SENT = "not sent: "

MOST_AT_ONCE = 32


class Endpoint(NamedTuple):
    """One webhook, ready to send to. label: what the delivery log calls it; key: b"" when it is not signed."""

    label: str
    url: httpx.URL
    key: bytes
    allow_private: bool


class Answer(NamedTuple):
    """What came of one attempt. status: 0 when there was none."""

    status: int
    error: str
    retry_after_s: float = 0.0


class Job(NamedTuple):
    """One attempt to make. endpoint: its label; number: 1 for the first"""

    endpoint: str
    alert: Alert
    number: int


class Webhooks:
    """All endpoints. Safe to use from several threads."""

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        *,
        timeout_s: float = 15.0,
        resolve: Resolve = addresses,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """timeout_s: of one attempt, connecting included."""
        self._endpoints = {endpoint.label: endpoint for endpoint in endpoints(webhooks)}
        self._resolve, self._clock = resolve, clock
        self._timeout_s = timeout_s
        self._client = httpx.Client(transport=_transport(), timeout=timeout_s, trust_env=False, follow_redirects=False)
        self._threads = ThreadPoolExecutor(max_workers=min(MOST_AT_ONCE, len(self._endpoints) or 1), thread_name_prefix="webhook")

    @property
    def labels(self) -> tuple[str, ...]:
        """What the endpoints are called."""
        return tuple(self._endpoints)

    def send(self, jobs: Sequence[Job]) -> list[Delivery]:
        """One attempt each, all at once; what came of them, in order."""
        return list(self._threads.map(self._attempt, jobs))

    def close(self) -> None:
        """Release the connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _attempt(self, job: Job) -> Delivery:
        sent_at = self._clock()
        answer = self._post(self._endpoints[job.endpoint], message_id(job.alert), int(sent_at.timestamp()), body_of(job.alert))
        metrics.WEBHOOKS.labels("delivered" if not answer.error else "failed").inc()
        return Delivery(
            alert_id=job.alert.id,
            endpoint=job.endpoint,
            attempt=job.number,
            sent_at=sent_at,
            status=answer.status,
            error=answer.error,
            retry_after_s=answer.retry_after_s,
        )

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
            to, extensions = url.copy_with(host=address), {"sni_hostname": url.host}
            with (
                Deadline(self._timeout_s),  # httpx bounds each read: headers that drip would hold up the alerts behind this one for ever
                self._client.stream("POST", to, content=body, headers=headers, extensions=extensions) as response,
            ):
                return _answer(response)
        except Refused as error:
            return Answer(0, f"{NOT_SENT}{error}")
        except (httpx.TimeoutException, TimeoutError):
            return Answer(0, "no answer in time")
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            return Answer(0, logs.mask(f"{type(error).__name__}: {error}")[:300])


def _answer(response: httpx.Response) -> Answer:
    status = response.status_code
    if response.is_success:
        return Answer(status, "")
    if response.is_redirect:
        return Answer(status, f"HTTP {status}: redirects are not followed; set the endpoint's final URL")
    if status == GONE:
        return Answer(status, "HTTP 410: the endpoint is gone, nothing more is sent to it; `tocsin webhooks test` tries it again")
    wait_s = retry_after_s(response.headers.get("retry-after", ""), response.headers.get("date", ""))
    return Answer(status, f"HTTP {status}", wait_s or 0.0)


def _transport() -> httpx.BaseTransport:
    """A transport of httpx whose connections end with the deadline. None is kept, and no proxy of the environment is used."""
    transport = httpx.HTTPTransport(trust_env=False)
    transport.close()
    transport._pool = httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False),
        max_connections=MOST_AT_ONCE,
        max_keepalive_connections=0,  # a connection to an address must not serve another host that shares it
        network_backend=BoundedBackend(),
    )
    return transport


def is_final(delivery: Delivery) -> bool:
    """Whether no other attempt may help: it is gone, it lies where we may not go, or it leads elsewhere."""
    return delivery.status == GONE or 300 <= delivery.status < 400 or delivery.error.startswith(NOT_SENT)


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
