"""The HTTP door, and who sends: alerts, or groups of them, in each endpoint's format. One attempt at a time:
delivery_scheduler.py says when.

Job ─▶ messages of the format ─▶ allowance ─▶ address vetted ─▶ POST (Standard Webhooks 1.0.0), or stream/delivery/smtp.py ─▶ Delivery
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple

import httpcore
import httpx

from core import log as logs
from core import metrics
from core.errors import SettingsError
from core.records import Alert
from core.settings import Webhook
from net.address_policy import Refused, Resolve, addresses, vetted
from net.deadline import BoundedBackend, Deadline
from net.retry_after import retry_after_s
from storage.store import Delivery
from stream.delivery import smtp
from stream.delivery.endpoints import Endpoint, endpoints
from stream.delivery.formats.base import Bundle, Message, subject
from stream.delivery.grouping import Grouping
from stream.delivery.outcomes import GONE, IN_TIME, NOT_SENT, WAITS, Answer
from stream.delivery.rate_limit import Allowance
from stream.delivery.signing import message_id, signatures

MOST_AT_ONCE = 32
MAX_ANSWER_BYTES = 16_384
"""What is read of an answer whose body counts."""
MAX_QUIET_S = 600.0
"""A chat that says "too many" is spared so long at most."""


class Job(NamedTuple):
    """One attempt to make. endpoint: its label; number: 1 for the first; taken: messages of what is sent that it has taken already"""

    endpoint: str
    sent: Alert | Bundle
    number: int
    taken: int = 0


class Webhooks:
    """All endpoints. Safe to use from several threads."""

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        *,
        link_base: str = "",
        timeout_s: float = 15.0,
        resolve: Resolve = addresses,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """timeout_s: of one attempt, connecting and all its messages included; link_base: where people reach the dashboard."""
        self._endpoints = {endpoint.label: endpoint for endpoint in endpoints(webhooks, link_base)}
        for endpoint in self._endpoints.values():
            _checked(endpoint)
        # one robot may have two tables with other filters: it is the robot that is called too often
        allowances = {endpoint.url: Allowance(endpoint.format.limits) for endpoint in self._endpoints.values()}
        self._allowances = {label: allowances[endpoint.url] for label, endpoint in self._endpoints.items()}
        self._resolve, self._clock = resolve, clock
        self._timeout_s = timeout_s
        self._client = httpx.Client(transport=_transport(), timeout=timeout_s, trust_env=False, follow_redirects=False)
        self._threads = ThreadPoolExecutor(max_workers=min(MOST_AT_ONCE, len(self._endpoints) or 1), thread_name_prefix="webhook")

    @property
    def labels(self) -> tuple[str, ...]:
        """What the endpoints are called."""
        return tuple(self._endpoints)

    @property
    def groupings(self) -> dict[str, Grouping]:
        """By endpoint, of those that do not get each alert alone and at once."""
        return {label: endpoint.grouping for label, endpoint in self._endpoints.items() if endpoint.grouping is not None}

    def is_open(self, label: str) -> bool:
        """Whether there is such an endpoint, and it is not paused."""
        return label in self._endpoints and not self._endpoints[label].wanted.paused

    def wants(self, label: str, alert: Alert) -> bool:
        """Whether there is such an endpoint, it is not paused, and its filters let the alert through."""
        return label in self._endpoints and self._endpoints[label].wanted.fits(alert)

    def send(self, jobs: Sequence[Job]) -> list[Delivery]:
        """One attempt each, all at once; what came of them, in order."""
        return list(self._threads.map(self._attempt, jobs))

    def close(self) -> None:
        """Release the connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _attempt(self, job: Job) -> Delivery:
        """The messages that the endpoint has not taken yet, until one is not taken."""
        sent_at = self._clock()
        endpoint, allowance = self._endpoints[job.endpoint], self._allowances[job.endpoint]
        messages = endpoint.format.messages(job.sent, endpoint.options, sent_at)
        deadline, taken, answer = Deadline(self._timeout_s), min(job.taken, len(messages) - 1), Answer(0, "")
        while taken < len(messages) and not answer.error:
            wait_s = allowance.spend(self._clock())
            if wait_s > 0:
                answer = Answer(0, f"{WAITS}it takes only so many messages a minute", wait_s)
            else:
                answer = self._hand_over(endpoint, messages[taken], message_id(job.sent, taken + 1), int(sent_at.timestamp()), deadline)
                if answer.wait_s and endpoint.format.verdict:
                    allowance.rest(self._clock(), min(answer.wait_s, MAX_QUIET_S))
            taken += not answer.error
        where = f" (message {taken + 1} of {len(messages)})" if answer.error and len(messages) > 1 else ""
        metrics.WEBHOOKS.labels("delivered" if not answer.error else "waiting" if answer.error.startswith(WAITS) else "failed").inc()
        return Delivery(
            alert_id=subject(job.sent),
            endpoint=job.endpoint,
            attempt=job.number,
            sent_at=sent_at,
            status=answer.status,
            error=answer.error + where,
            taken=taken,
            retry_after_s=answer.wait_s,
        )

    def _hand_over(self, endpoint: Endpoint, message: Message, ident: str, timestamp: int, deadline: Deadline) -> Answer:
        """One message. Never raises: what went wrong is the answer."""
        try:
            address = vetted(endpoint.host, endpoint.port, allow_private=endpoint.allow_private, resolve=self._resolve)
            if endpoint.format.transport == "smtp":
                return smtp.hand_in(endpoint, address, message.body, deadline)
            with deadline:  # httpx bounds each read: headers that drip would hold up the alerts behind this one for ever
                return self._post(endpoint, address, message, ident, timestamp)
        except Refused as error:
            return Answer(0, f"{NOT_SENT}{error}")
        except (httpx.TimeoutException, TimeoutError):
            return Answer(0, IN_TIME)
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            return Answer(0, logs.mask(f"{type(error).__name__}: {error}")[:300])

    def _post(self, endpoint: Endpoint, address: str, message: Message, ident: str, timestamp: int) -> Answer:
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
            return _answer(response, endpoint)


def _answer(response: httpx.Response, endpoint: Endpoint) -> Answer:
    status = response.status_code
    if response.is_redirect:
        return Answer(status, f"HTTP {status}: redirects are not followed; set the endpoint's final URL")
    if status == GONE:
        return Answer(status, "HTTP 410: the endpoint is gone, nothing more is sent to it; `tocsin webhooks test` tries it again")
    asked_s = retry_after_s(response.headers.get("retry-after", ""), response.headers.get("date", "")) or 0.0
    if endpoint.format.verdict is None:
        return Answer(status, "") if response.is_success else Answer(status, f"HTTP {status}", asked_s)
    error, wait_s = endpoint.format.verdict(status, _start(response))
    return Answer(status, logs.mask(error), max(wait_s, asked_s) if error else 0.0)


def _start(response: httpx.Response) -> bytes:
    """The first bytes of the body, as they came."""
    body = b""
    for chunk in response.iter_raw():
        body += chunk
        if len(body) >= MAX_ANSWER_BYTES:
            break
    return body[:MAX_ANSWER_BYTES]


def _url(endpoint: Endpoint, message: Message) -> httpx.URL:
    join = "&" if "?" in endpoint.url else "?"
    return httpx.URL(endpoint.url + (join + message.query if message.query else ""))


def _checked(endpoint: Endpoint) -> None:
    """Raises SettingsError for a URL that cannot be called."""
    try:
        httpx.URL(endpoint.url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise SettingsError(f"webhook {endpoint.label}: its url cannot be read: {error}") from error


def _transport() -> httpx.BaseTransport:
    """A transport of httpx whose connections end with the deadline. None is kept, and no proxy of the environment is used."""
    context = httpx.create_ssl_context(trust_env=False)
    transport = httpx.HTTPTransport(context, trust_env=False)
    transport.close()
    transport._pool = httpcore.ConnectionPool(
        ssl_context=context,
        max_connections=MOST_AT_ONCE,
        max_keepalive_connections=0,  # a connection to an address must not serve another host that shares it
        network_backend=BoundedBackend(),
    )
    return transport
