"""The embedded broker takes records from every program on this machine: none of theirs is used."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

from kafka import KafkaProducer

from core.records import encode
from core.settings import Settings, Webhook
from storage.store import open_store
from tests.helpers.stores import alert
from tests.helpers.waiting import until
from tests.helpers.worker import article
from tocsin import wiring
from tocsin.runtime.embedded import Stack
from tocsin.runtime.webhook_receiver import Receiver


def test_forged_articles_scores_and_alerts_are_dropped_and_genuine_articles_are_stored(tmp_path: Path):
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    genuine, forged_article = article("genuine"), article("forged", bad=True)
    forged_alert = alert("company:STAR", at=datetime.now(UTC).replace(microsecond=0), severity="critical")
    with Receiver(secret) as receiver:
        settings = Settings(
            data_dir=str(tmp_path / "data"), model="keyword", log_format="json", webhooks=(Webhook(url=receiver.url, secret=secret),)
        )
        with Stack(settings, dashboard=False) as stack:
            stack.wait_ready()
            names = wiring.names(settings)
            producer = KafkaProducer(bootstrap_servers=stack.settings.broker)
            records = (
                (names.articles, forged_article.id, encode(forged_article)),
                (names.scores, "x", b'{"id": "x"}'),
                (names.alerts, forged_alert.series, encode(forged_alert)),
            )
            for topic, key, value in records:
                producer.send(topic, key=key.encode(), value=value).get(30)
            producer.close()
            stack.outbox.put([genuine])
            until(stack.settled, "the genuine article is stored")
            until(lambda: stack.worker.metrics().get("tocsin_forged_records_total", 0) >= 3, "three forged records are counted")
        assert receiver.received == []
    store = open_store("embedded", tmp_path / "data")
    try:
        assert set(store.articles.keys([genuine.id, forged_article.id])) == {genuine.id}
        assert store.alerts.get(forged_alert.id) is None
        assert store.dead_letters.count() == 0
    finally:
        store.close()
