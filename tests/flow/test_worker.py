"""The worker as its own process between a real broker and a real store: from published articles to a verified webhook."""

from __future__ import annotations

import base64
import contextlib
import random
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import standardwebhooks

from core.records import Article, Score, Scored, encode
from core.settings import Webhook
from storage.store import open_store
from tests.helpers.webhook_server import WebhookServer
from tests.helpers.worker import Installation, article
from tocsin.runtime.embedded_broker import EmbeddedBroker

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
OLD = 2 * 24 * 60
"""Minutes: the quiet past starts two days ago."""


@pytest.fixture(params=["tansu", "kafka"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """An installation on each broker that Tocsin runs on."""
    if request.param == "tansu":
        return Installation(request.getfixturevalue("tansu").address, tmp_path)
    return Installation(request.getfixturevalue("kafka_server").bootstrap, tmp_path)


def test_from_published_articles_to_a_verified_webhook(place: Installation, receiver: WebhookServer):
    past = [article(f"calm-{n}", minutes_ago=OLD - 60 * n, source=f"s{n % 3}") for n in range(40)]
    crisis = [article(f"crisis-{n}", bad=True, minutes_ago=1, source=f"s{n % 3}") for n in range(9)]
    copies = [article(f"copy-{n}", bad=True, minutes_ago=1, source="s9", bands=[77]) for n in range(5)]
    worker = place.worker(webhooks=(Webhook(url=receiver.url, secret=SECRET, allow_private=True, name="desk"),), warmup_s=3600.0)
    worker.expect("ready")
    place.publish(past)
    worker.until_sum("watch", "messages", 40)
    place.publish(copies + crisis + crisis)  # twice: at least once is what Kafka gives
    worker.until_idle(articles=40 + len(copies) + 2 * len(crisis))
    held = worker.stop()

    everything = past + crisis + copies
    assert held["ids"] == sorted(item.id for item in everything)
    assert (held["articles"], held["doubled"], held["dead"]) == (len(everything), 0, [])
    assert held["stories"] == len(everything) - 4  # five copies are one story
    rang = {alert["series"]: alert for alert in held["alerts"]}
    assert {"company:STAR", "sector:energy", "market:all"} <= set(rang)
    assert len(rang) == len(held["alerts"])  # each series once, though the crisis came in several batches
    star = rang["company:STAR"]
    assert 3 <= star["observed"] <= 10 and star["sources"] >= 2 and 1 <= len(star["evidence"]) <= 6
    assert len({item["id"] for item in star["evidence"]}) == len(star["evidence"])

    told = {}
    for request in receiver.requests:
        judged = standardwebhooks.Webhook(SECRET).verify(request.body.decode(), request.headers)
        told[judged["data"]["id"]] = judged["data"]["series"]
    assert told == {alert["id"]: alert["series"] for alert in held["alerts"]}
    assert len(receiver.requests) == len(told)
    assert sorted(d["alert_id"] for d in held["deliveries"] if 200 <= d["status"] < 300) == sorted(told)


def test_a_source_that_fell_silent_rings_though_no_message_comes(tansu: EmbeddedBroker, tmp_path: Path, receiver: WebhookServer):
    """Nothing is ever published: the worker asks of itself."""
    now, dice = datetime.now(UTC), random.Random(7)
    with contextlib.closing(open_store("embedded", tmp_path)) as store:
        store.migrate()
        for source, ended_h in (("新浪财经", 40), ("reuters", 0)):
            ago = [24 * 20 * dice.random() for _ in range(2_000)] + [0.0]
            past = [article(f"{source} {n}", minutes_ago=60 * hours, source=source) for n, hours in enumerate(ago) if hours >= ended_h]
            store.articles.insert([Scored(article=one, score=score(one, now)) for one in past])
    place = Installation(tansu.address, tmp_path)
    worker = place.worker(webhooks=(Webhook(url=receiver.url, allow_private=True, name="desk", language="zh"),))
    worker.expect("ready")
    worker.until_sum("notify", "delivered", 1)
    (alert,) = worker.stop()["alerts"]
    assert (alert["rule"], alert["series"], alert["measure"]) == ("source-outage", "source:新浪财经", "outage")
    (request,) = receiver.requests
    assert msgspec.json.decode(request.body)["data"]["id"] == alert["id"]


def score(one: Article, now: datetime) -> Score:
    """As calm as can be."""
    return Score(
        id=one.id, source=one.source, language=one.language, published_at=one.published_at, story=one.id,
        p_negative=0.1, p_neutral=0.8, p_positive=0.1, topics={}, model="m", scored_at=now,
    )  # fmt: skip


def test_bad_messages_end_in_dead_letters_and_the_rest_go_on(place: Installation):
    good = [article(f"good-{n}") for n in range(20)]
    poison = article("poison", text="poison")
    wrong = msgspec.json.encode(msgspec.to_builtins(good[0]) | {"title": 5})
    future = msgspec.json.encode(msgspec.to_builtins(good[0]) | {"v": 2})
    bad: list[tuple[bytes | None, bytes | None]] = [
        (b"k", b"not json"),
        (b"k", b"[]"),
        (b"k", b"null"),
        (b"k", None),
        (b"k", wrong),
        (b"k", future),
        (None, b"\xff"),
    ]
    worker = place.worker()
    worker.expect("ready")
    place.publish([*good[:10], *bad, poison, *good[10:]])
    place.publish([(b"x", b"{}")], place.names.scores)
    place.publish([(b"x", b"{}")], place.names.alerts)
    worker.until_idle(articles=28)
    worker.until_sum("watch", "messages", 21)
    worker.until_sum("notify", "messages", 1)
    held = worker.stop()
    assert held["ids"] == sorted(item.id for item in good)
    reasons = [(stage, value) for stage, _, value in held["dead"]]
    assert sorted(reasons) == sorted(
        [("model", encode(poison).decode()), ("decode", "{}"), ("decode", "{}")]
        + [("decode", (value or b"").decode("utf-8", "replace")) for _, value in bad]
    )
    assert any("tombstone" in reason for _, reason, _ in held["dead"])


def test_a_new_version_replaces_the_old_one_and_keeps_its_first_time(place: Installation):
    first = article("story", minutes_ago=30)
    later = article("story", bad=True, minutes_ago=2, text="Its refinery stands still.")
    assert first.id == later.id and first.title != later.title
    worker = place.worker()
    worker.expect("ready")
    place.publish([first])
    worker.until_sum("score", "scored", 1)
    place.publish([later, later, later])
    worker.until_sum("score", "messages", 4)
    worker.until_sum("score", "scored", 2)
    held = worker.stop()
    assert (held["articles"], held["doubled"], held["stories"]) == (1, 0, 1)
    with contextlib.closing(open_store("embedded", Path(place.plan.data_dir))) as store:
        (row,) = store.articles.latest(5)
    assert (row.title, row.text, row.published_at) == (later.title, later.text, first.published_at)
    assert row.p_negative > 0.5
