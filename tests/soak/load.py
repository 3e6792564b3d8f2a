"""An endless stream of articles at a steady rate, with one percent broken records and occasional crises of a company."""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.soak.ledger import Ledger

BROKEN_SHARE = 0.01
CALM = [
    "holds its annual meeting",
    "opens a new office",
    "publishes its quarterly report",
    "召开年度股东大会",
    "发布季度报告",
    "设立新的分公司",
]
BAD = [
    "plunges 30% after accounting fraud",
    "defaults on its bonds, shares crash",
    "债务违约，股价暴跌",
    "涉嫌财务造假被立案调查，股价跌停",
]
IN_FLIGHT = 2_000


def body(ident: str, company: str, text: str, source: str, moment: datetime) -> bytes:
    """The JSON of an article."""
    when = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    article = {
        "id": ident,
        "source": source,
        "language": "zh" if any(ord(sign) > 0x2E80 for sign in text) else "en",
        "title": f"{company} {text} ({ident[:6]})",
        "published_at": when,
        "fetched_at": when,
        "mentions": [{"company": company, "surface": company, "sector": ""}],
    }
    return json.dumps(article, ensure_ascii=False).encode()


def broken(rng: random.Random, good: bytes) -> bytes:
    """An unusable record with a unique number."""
    mark = f"{rng.getrandbits(64):016x}"
    whole = json.loads(good)
    return rng.choice(
        [
            f"no record {mark}".encode(),
            good[: len(good) // 2] + mark.encode(),
            json.dumps([mark]).encode(),
            json.dumps({**whole, "v": 99, "url": mark}).encode(),
            json.dumps({**whole, "published_at": mark}).encode(),
            json.dumps({**whole, "title": "", "url": mark}).encode(),
            good.replace(b'"id"', b'"\xff' + mark.encode() + b'"'),
        ]
    )


class Load:
    """Sends from a separate thread. `ledger` has what Kafka acknowledged; rejected messages are sent again."""

    def __init__(self, bootstrap: str, topic: str, ledger: Ledger, rate: float, rng: random.Random, crises_at: list[float]) -> None:
        self._bootstrap, self._topic, self._ledger = bootstrap, topic, ledger
        self._rate, self._rng, self._crises_at = rate, rng, sorted(crises_at)
        self._stop = threading.Event()
        self._again: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.failures = 0

    def start(self) -> None:
        """Starts, with neutral news of the last two weeks, as series without a history raise no alerts."""
        self._thread.start()

    def stop(self) -> None:
        """Sends nothing new and waits until Kafka has acknowledged everything. Idempotent."""
        self._stop.set()
        self._thread.join()

    def _history(self) -> None:
        now = datetime.now(UTC)
        for number in range(60):
            self._article("Acme", CALM[number % len(CALM)], now - timedelta(hours=1 + 5 * number))

    def _article(self, company: str, text: str, moment: datetime) -> None:
        ident = f"{self._rng.getrandbits(128):032x}"
        with self._ledger.lock:
            self._ledger.sent[ident] = company
        self._send(ident, body(ident, company, text, f"source-{self._rng.randrange(5)}", moment))

    def _send(self, ident: str, value: bytes) -> None:
        while self._in_flight >= IN_FLIGHT:
            time.sleep(0.01)
        with self._lock:
            self._in_flight += 1
        try:
            future = self._producer.send(self._topic, key=ident.encode() or value[-16:], value=value)
        except KafkaError as error:
            self._rejected(ident, value, error)
            return
        future.add_callback(self._acknowledged(ident, value))
        future.add_errback(lambda error: self._rejected(ident, value, error))

    def _acknowledged(self, ident: str, value: bytes) -> Callable[[Any], None]:
        def acknowledged(at: Any) -> None:
            with self._ledger.lock:
                if ident:
                    self._ledger.acked.add(ident)
                else:
                    self._ledger.broken[at.partition, at.offset] = value
            with self._lock:
                self._in_flight -= 1

        return acknowledged

    def _rejected(self, ident: str, value: bytes, _error: BaseException) -> None:
        """Sends the message again; it may have arrived nevertheless."""
        self.failures += 1
        self._again.put((ident, value))
        with self._lock:
            self._in_flight -= 1

    def _run(self) -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=self._bootstrap.split(","), acks="all", enable_idempotence=False, delivery_timeout_ms=20_000,
            request_timeout_ms=5_000, max_block_ms=10_000, linger_ms=5,
        )  # fmt: skip
        self._history()
        began, sent = time.monotonic(), 0
        while not self._stop.is_set():
            self._resend()
            passed = time.monotonic() - began
            while self._crises_at and self._crises_at[0] <= passed:
                self._crises_at.pop(0)
                self._crisis()
            while sent < passed * self._rate:
                sent += 1
                company = f"Firm{self._rng.randrange(200)}"
                if self._rng.random() < BROKEN_SHARE:
                    self._send("", broken(self._rng, body("0" * 32, company, CALM[0], "source-0", datetime.now(UTC))))
                else:
                    text = self._rng.choice(BAD) if self._rng.random() < 0.01 else self._rng.choice(CALM)
                    self._article(company, text, datetime.now(UTC))
            self._stop.wait(0.02)
        while self._in_flight or not self._again.empty():
            self._resend()
            time.sleep(0.05)
        self._producer.close(timeout=10)

    def _resend(self) -> None:
        while not self._again.empty():
            self._send(*self._again.get())

    def _crisis(self) -> None:
        company = f"Crisis{len(self._ledger.crises)}"
        for _ in range(15):
            self._article(company, self._rng.choice(BAD), datetime.now(UTC))
        self._ledger.crises.append(company)
