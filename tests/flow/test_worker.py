"""The worker process with a real broker and a real store: from published articles to a verified webhook."""

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
"""Start of the uneventful history, minutes ago."""


@pytest.fixture(params=["tansu", "kafka"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """An installation on each broker that Tocsin runs on."""
    if request.param == "tansu":
        return Installation(request.getfixturevalue("tansu").address, tmp_path)
    return Installation(request.getfixturevalue("kafka_server").bootstrap, tmp_path)


def test_from_published_articles_to_a_verified_webhook(installation: Installation, receiver: WebhookServer):
    past = [article(f"calm-{n}", minutes_ago=OLD - 60 * n, source=f"s{n % 3}") for n in range(40)]
    crisis = [article(f"crisis-{n}", bad=True, minutes_ago=1, source=f"s{n % 3}") for n in range(9)]
    copies = [article(f"copy-{n}", bad=True, minutes_ago=1, source="s9", bands=[77]) for n in range(5)]
    worker = installation.worker(webhooks=(Webhook(url=receiver.url, secret=SECRET, allow_private=True, name="risk"),), warmup_s=3600.0)
    worker.expect("ready")
    installation.publish(past)
    worker.until_sum("watch", "messages", 40)
    installation.publish(copies + crisis + crisis)  # twice, as Kafka delivers at least once
    worker.until_idle(articles=40 + len(copies) + 2 * len(crisis))
    contents = worker.stop()

    everything = past + crisis + copies
    assert contents["ids"] == sorted(item.id for item in everything)
    assert (contents["articles"], contents["doubled"], contents["dead"]) == (len(everything), 0, [])
    assert contents["stories"] == len(everything) - 4  # five copies are one story
    alerts = {alert["series"]: alert for alert in contents["alerts"]}
    assert {"company:STAR", "sector:energy", "market:all"} <= set(alerts)
    assert len(alerts) == len(contents["alerts"])  # one alert per series, although the crisis arrived in several batches
    star = alerts["company:STAR"]
    assert 3 <= star["observed"] <= 10 and star["sources"] >= 2 and 1 <= len(star["evidence"]) <= 6
    assert len({item["id"] for item in star["evidence"]}) == len(star["evidence"])

    delivered = {}
    for request in receiver.requests:
        event = standardwebhooks.Webhook(SECRET).verify(request.body.decode(), request.headers)
        delivered[event["data"]["id"]] = event["data"]["series"]
    assert delivered == {alert["id"]: alert["series"] for alert in contents["alerts"]}
    assert len(receiver.requests) == len(delivered)
    assert sorted(d["alert_id"] for d in contents["deliveries"] if 200 <= d["status"] < 300) == sorted(delivered)


def test_a_source_outage_raises_an_alert_without_any_message(tansu: EmbeddedBroker, tmp_path: Path, receiver: WebhookServer):
    """Nothing is published; a timer of the worker detects the outage."""
    now, rng = datetime.now(UTC), random.Random(7)
    with contextlib.closing(open_store("embedded", tmp_path)) as store:
        store.migrate()
        for source, ended_h in (("新浪财经", 40), ("reuters", 0)):
            ago = [24 * 20 * rng.random() for _ in range(2_000)] + [0.0]
            past = [article(f"{source} {n}", minutes_ago=60 * hours, source=source) for n, hours in enumerate(ago) if hours >= ended_h]
            store.articles.insert([Scored(article=one, score=score(one, now)) for one in past])
    installation = Installation(tansu.address, tmp_path)
    worker = installation.worker(webhooks=(Webhook(url=receiver.url, allow_private=True, name="risk", language="zh"),))
    worker.expect("ready")
    worker.until_sum("notify", "delivered", 1)
    (alert,) = worker.stop()["alerts"]
    assert (alert["rule"], alert["series"], alert["measure"]) == ("source-outage", "source:新浪财经", "outage")
    (request,) = receiver.requests
    assert msgspec.json.decode(request.body)["data"]["id"] == alert["id"]


def score(one: Article, now: datetime) -> Score:
    """A neutral score."""
    return Score(
        id=one.id, source=one.source, language=one.language, published_at=one.published_at, story=one.id,
        p_negative=0.1, p_neutral=0.8, p_positive=0.1, topics={}, model="m", scored_at=now,
    )  # fmt: skip


def test_bad_messages_become_dead_letters_and_the_others_are_processed(installation: Installation):
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
    worker = installation.worker()
    worker.expect("ready")
    installation.publish([*good[:10], *bad, poison, *good[10:]])
    installation.publish([(b"x", b"{}")], installation.names.scores)
    installation.publish([(b"x", b"{}")], installation.names.alerts)
    worker.until_idle(articles=28)
    worker.until_sum("watch", "messages", 21)
    worker.until_sum("notify", "messages", 1)
    contents = worker.stop()
    assert contents["ids"] == sorted(item.id for item in good)
    reasons = [(stage, value) for stage, _, value in contents["dead"]]
    assert sorted(reasons) == sorted(
        [("model", encode(poison).decode()), ("decode", "{}"), ("decode", "{}")]
        + [("decode", (value or b"").decode("utf-8", "replace")) for _, value in bad]
    )
    assert any("tombstone" in reason for _, reason, _ in contents["dead"])


def test_a_new_version_replaces_the_old_one_and_keeps_its_publication_time(installation: Installation):
    first = article("story", minutes_ago=30)
    later = article("story", bad=True, minutes_ago=2, text="Its refinery is shut down.")
    assert first.id == later.id and first.title != later.title
    worker = installation.worker()
    worker.expect("ready")
    installation.publish([first])
    worker.until_sum("score", "scored", 1)
    installation.publish([later, later, later])
    worker.until_sum("score", "messages", 4)
    worker.until_sum("score", "scored", 2)
    contents = worker.stop()
    assert (contents["articles"], contents["doubled"], contents["stories"]) == (1, 0, 1)
    with contextlib.closing(open_store("embedded", Path(installation.plan.data_dir))) as store:
        (row,) = store.articles.latest(5)
    assert (row.title, row.text, row.published_at) == (later.title, later.text, first.published_at)
    assert row.p_negative > 0.5
