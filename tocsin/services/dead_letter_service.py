"""Dead letters for the command line: find them, and replay them once their cause is fixed.

    Kafka ─▶ the same bytes to their topic of origin
    embedded ─▶ to the outbox, which `tocsin up` publishes

A replayed record that fails again is a new dead letter with a new offset.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from core.errors import BadRecord, BrokerError, Conflict, NotFound
from core.kafka_address import place_of
from core.records import Article, decode
from core.settings import Settings
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer
from storage.store import DeadLetter, Store
from tocsin import wiring
from tocsin.wiring import sole_owner

TIMEOUT_S = 60.0


def find(store: Store, names: Sequence[str]) -> list[DeadLetter]:
    """The dead letters of these names, in order. Raises UserError if one is missing."""
    found = []
    for name in names:
        topic, partition, offset = [*name.rsplit("/", 2), "", ""][:3]
        letter = store.dead_letters.get(topic, int(partition), int(offset)) if partition.isdecimal() and offset.isdecimal() else None
        if letter is None:
            raise NotFound(f"{name}: no such dead letter; `tocsin dead-letters list` shows the names")
        found.append(letter)
    return found


def replay(store: Store, letters: Sequence[DeadLetter], settings: Settings) -> None:
    """Send `letters` again and mark them as replayed. Raises UserError if one cannot be replayed, BrokerError."""
    for letter in letters:
        if letter.state == "dropped":
            raise Conflict(f"{letter.name} was dropped: its content is deleted")
        if not letter.value:
            raise Conflict(f"{letter.name} has no content to send: {letter.reason}")
    if settings.broker == "embedded":
        _to_outbox(letters, settings)
    else:
        _to_kafka(letters, settings)
    store.dead_letters.settle(letters, "replayed")


def _to_outbox(letters: Sequence[DeadLetter], settings: Settings) -> None:
    articles = []
    for letter in letters:
        try:
            articles.append(decode(letter.value, Article))
        except BadRecord as error:
            raise Conflict(f"{letter.name} cannot be replayed, only dropped: {error}") from error
    folder = wiring.data_dir(settings)
    with sole_owner(folder), contextlib.closing(Outbox(folder / "outbox.sqlite", durable_broker=False)) as outbox:
        outbox.put(articles)


def _to_kafka(letters: Sequence[DeadLetter], settings: Settings) -> None:
    names = wiring.names(settings)
    for topic in {letter.topic for letter in letters}:
        to = topic if topic in names else names.articles  # directly loaded archives were never in Kafka
        with contextlib.closing(BoundedProducer(settings.broker, to)) as sender:
            for number, letter in enumerate(each for each in letters if each.topic == topic):
                sender.send(number, letter.key, letter.value)
            deadline = time.monotonic() + TIMEOUT_S
            while sender.in_flight:
                failed = [done.error for done in sender.delivery_reports() if done.error]
                if failed or time.monotonic() > deadline:
                    raise BrokerError(
                        f"Kafka at {place_of(settings.broker)} did not acknowledge all: {failed[0] if failed else 'no answer'}"
                    )
                sender.wake.wait(0.1)
