"""Topics with messages, and the worker as a process."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from core.errors import BrokerError
from core.kafka_topics import topic_names
from core.records import Article, Mention, encode, sha
from ingest.kafka.client import committed_offsets, lag
from tests.helpers.process import Program
from tests.helpers.waiting import until
from tests.helpers.worker_program import Plan


class Installation:
    """Topics on a broker, a data folder and a consumer group, used by one test only."""

    def __init__(self, bootstrap: str, folder: Path, partitions: int = 2, *, topics: bool = True) -> None:
        prefix = f"t{uuid.uuid4().hex[:8]}."
        self.plan = Plan(broker=bootstrap, prefix=prefix, group=prefix + "workers", data_dir=str(folder))
        self.names = topic_names(prefix)
        if topics:
            admin = KafkaAdminClient(bootstrap_servers=bootstrap)
            admin.create_topics(
                [NewTopic(self.names.articles, partitions, 1), NewTopic(self.names.scores, 1, 1), NewTopic(self.names.alerts, 1, 1)]
            )
            admin.close()

    def committed(self) -> int:
        """Sum of the committed offsets of `articles`."""
        return sum(committed_offsets(self.plan.broker, self.plan.group, self.names.articles).values())

    def until_read(self, *workers: Worker, topics: Sequence[str] = (), timeout_s: float = 90.0) -> None:
        """Wait until the group has committed all that is in these topics (else in `articles`); no worker may end meanwhile."""
        left = list(topics or [self.names.articles])

        def read() -> bool:
            for worker in workers:
                assert worker.code is None, f"exit {worker.code}: {worker.log[-5:]}"
            with contextlib.suppress(BrokerError):
                while left and lag(self.plan.broker, self.plan.group, left[0]) == 0:
                    left.pop(0)
            return not left

        until(read, f"{topics or self.names.articles} is read", timeout_s, every_s=0.1)

    def publish(self, messages: Iterable[Article | tuple[bytes | None, bytes | None]], topic: str = "") -> None:
        """Send articles, or (key, value) as they are, in order, and wait until the broker has them."""
        producer = KafkaProducer(bootstrap_servers=self.plan.broker)
        sent = []
        for message in messages:
            key, value = (message.id.encode(), encode(message)) if isinstance(message, Article) else message
            sent.append(producer.send(topic or self.names.articles, key=key, value=value))
        for future in sent:
            future.get(30)
        producer.close()

    def worker(self, **changes: Any) -> Worker:
        """Start a worker of this installation, with these changes to its plan."""
        return Worker(msgspec.structs.replace(self.plan, **changes))


class Worker(Program):
    """The worker program as a process; methods wait for lines of its log."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("tests.helpers.worker_program", plan)

    def until(self, done: Callable[[list[dict[str, Any]]], bool], timeout_s: float = 60.0) -> None:
        """Wait until `done` holds for its log."""
        with self._log_changed:
            if not self._log_changed.wait_for(lambda: done(self.log) or self._log_closed, timeout_s):
                self._late(timeout_s, "the expected log lines")
            assert done(self.log), f"exit {self._process.poll()}; {self.errors[-30:]} {self.log[-10:]}"

    def until_sum(self, event: str, field: str, at_least: int, timeout_s: float = 60.0) -> None:
        """Wait until `field` of all log lines with this event adds up to `at_least`."""
        self.until(lambda log: sum(line.get(field, 0) for line in log if line["event"] == event) >= at_least, timeout_s)

    def until_more(self, event: str, timeout_s: float) -> None:
        """Wait for another log line with this event, or for the timeout."""
        with self._log_changed:
            seen = sum(line["event"] == event for line in self.log)
            self._log_changed.wait_for(lambda: self._log_closed or sum(line["event"] == event for line in self.log) > seen, timeout_s)

    def until_idle(self, articles: int, timeout_s: float = 60.0) -> None:
        """Wait until so many messages of `articles`, and all that follows from them, are processed."""

        def total(log: list[dict[str, Any]], event: str, field: str) -> int:
            return sum(int(line.get(field, 0)) for line in log if line["event"] == event)

        def idle(log: list[dict[str, Any]]) -> bool:
            scored = total(log, "score", "messages") >= articles and total(log, "watch", "messages") >= total(log, "score", "published")
            return scored and total(log, "notify", "messages") >= total(log, "watch", "published")

        self.until(idle, timeout_s)

    def until_event(self, event: str, count: int = 1, timeout_s: float = 60.0) -> None:
        """Wait until its log has `count` lines with this event."""
        self.until(lambda log: sum(line["event"] == event for line in log) >= count, timeout_s)

    def stop(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """Sends SIGTERM; returns the contents of the store at the end."""
        began = time.monotonic()
        self.terminate()
        code = self.wait(timeout_s)
        assert code == 0, f"exit {code} after {time.monotonic() - began:.1f} s; {self.errors[-30:]} {self.log[-10:]}"
        found: dict[str, Any] = json.loads(self.next_line())
        return found


def article(
    name: str, *, bad: bool = False, minutes_ago: float = 1.0, source: str = "wire", bands: Sequence[int] = (), **more: Any
) -> Article:
    """An article in Chinese or English, by the parity of the hash of its name; copies of one text if their first bands are the same.

    bad: clearly negative for any classifier
    """
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes_ago)
    about = f"band {bands[0]}" if bands else name
    chinese = int(sha(about)[0], 16) % 2 == 0
    title = (
        ("星河石油债务违约，股价暴跌" if bad else "星河石油召开年度会议")
        if chinese
        else ("Starriver Oil plunges after default" if bad else "Starriver Oil holds its annual meeting")
    )
    return Article(
        id=sha("test", name),
        url=f"https://news.example/{name}",
        source=source,
        language="zh" if chinese else "en",
        title=f"{title} ({about})",
        text=more.pop("text", "炼油厂与油价。Refinery and oil prices."),
        published_at=more.pop("published_at", moment),
        fetched_at=datetime.now(UTC),
        mentions=(Mention(company="STAR", surface="星河石油" if chinese else "Starriver Oil", sector="energy"),),
        lsh_bands=tuple(bands),
        **more,
    )
