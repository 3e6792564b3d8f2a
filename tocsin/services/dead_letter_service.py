"""What people do with records that could not be used: send them once more, after mending what refused them.

    Kafka ─▶ the same bytes into the topic they came from
    embedded ─▶ into the outbox: `tocsin up` sends what waits there

A replayed record that is refused again is a new dead letter, at its new place.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from core.errors import BadRecord, BrokerError, Conflict, NotFound
from core.records import Article, decode
from core.settings import Settings
from ingest.kafka.outbox import Outbox
from ingest.kafka.producer import BoundedProducer
from storage.store import DeadLetter, Store
from tocsin.runtime import wiring
from tocsin.runtime.embedded import sole_owner

TIMEOUT_S = 60.0


def find(store: Store, names: Sequence[str]) -> list[DeadLetter]:
    """The dead letters of these names, in order. Raises UserError for one that there is not."""
    found = []
    for name in names:
        topic, partition, offset = [*name.rsplit("/", 2), "", ""][:3]
        letter = store.dead.get(topic, int(partition), int(offset)) if partition.isdecimal() and offset.isdecimal() else None
        if letter is None:
            raise NotFound(f"{name}: there is no such dead letter; `tocsin dead-letters list` names them")
        found.append(letter)
    return found


def replay(store: Store, letters: Sequence[DeadLetter], settings: Settings) -> None:
    """Send `letters` once more, and note that. Raises UserError where one has no bytes or cannot go there, BrokerError."""
    for letter in letters:
        if letter.state == "dropped":
            raise Conflict(f"{letter.name} was dropped: its bytes are gone")
        if not letter.value:
            raise Conflict(f"{letter.name} has no bytes to send: {letter.reason}")
    if settings.broker == "embedded":
        _to_outbox(letters, settings)
    else:
        _to_kafka(letters, settings)
    store.dead.settle(letters, "replayed")


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
        to = topic if topic in names else names.articles  # an archive that was loaded directly was never in Kafka
        with contextlib.closing(BoundedProducer(settings.broker, to)) as sender:
            for number, letter in enumerate(each for each in letters if each.topic == topic):
                sender.send(number, letter.key, letter.value)
            deadline = time.monotonic() + TIMEOUT_S
            while sender.in_flight:
                failed = [done.error for done in sender.finished() if done.error]
                if failed or time.monotonic() > deadline:
                    raise BrokerError(f"Kafka at {settings.broker} did not take all: {failed[0] if failed else 'no answer'}")
                sender.wake.wait(0.1)
