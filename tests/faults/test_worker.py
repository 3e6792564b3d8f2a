"""Workers are killed and broken at critical moments: nothing is lost or duplicated, and no offset is committed early."""

from __future__ import annotations

from collections import Counter

import pytest
from kafka.admin import KafkaAdminClient

from core.settings import Webhook
from tests.helpers.webhook_server import WebhookServer
from tests.helpers.worker import Installation, article
from tocsin.runtime.embedded_broker import free_port


@pytest.mark.parametrize("moment", ["articles", "remember"])
def test_a_worker_killed_in_a_batch_loses_and_duplicates_nothing(place: Installation, moment: str):
    """F1: killed after storing articles and before storing mentions; and after storing and before publishing."""
    articles = [article(f"a{n}", bad=n % 2 == 0, source=f"s{n % 3}") for n in range(60)] + [article("calm", minutes_ago=600)]
    first = place.worker(hang_after=moment, session_timeout_s=3.0)  # its partitions stay assigned for so long
    first.expect("ready")
    place.publish(articles)
    first.expect("hanging")
    first.kill()
    second = place.worker()
    second.expect("ready")
    second.until_idle(len(articles))
    contents = second.stop()
    assert contents["ids"] == sorted(item.id for item in articles)
    assert (contents["articles"], contents["doubled"], contents["dead"]) == (len(articles), 0, [])
    assert len({alert["series"] for alert in contents["alerts"]}) == len(contents["alerts"]) > 0


@pytest.mark.parametrize("moment", ["alerts", "webhook"])
def test_a_worker_killed_around_a_delivery_delivers_each_alert_once(on_kafka: Installation, receiver: WebhookServer, moment: str):
    """F23, and F1 in `watch`: killed between storing and publishing an alert; and between sending and logging its webhook.

    A delivery that was not logged is sent again with the same id, so that the receiver can drop it.
    """
    webhooks = (Webhook(url=receiver.url, allow_private=True, name="webhooks"),)
    first = on_kafka.worker(hang_after=moment, webhooks=webhooks)
    first.expect("ready")
    on_kafka.publish([article("calm", minutes_ago=600), *(article(f"a{n}", bad=True, source=f"s{n % 3}") for n in range(12))])
    first.expect("hanging")
    first.kill()
    sent = len(receiver.requests)
    assert sent == (1 if moment == "webhook" else 0)
    second = on_kafka.worker(webhooks=webhooks)
    second.expect("ready")
    second.until_event("watch_started")
    on_kafka.until_read(second, topics=on_kafka.names)
    contents = second.stop()
    assert (contents["articles"], contents["doubled"], contents["dead"]) == (13, 0, [])
    alerts = sorted(alert["id"] for alert in contents["alerts"])
    assert len({alert["series"] for alert in contents["alerts"]}) == len(alerts) > 0
    received = Counter(request.headers["webhook-id"] for request in receiver.requests)
    again = {request.headers["webhook-id"] for request in receiver.requests[:sent]}
    assert {ident: count for ident, count in received.items() if count > 1} == dict.fromkeys(again, 2)
    assert len(received) == len(alerts) == len({request.body for request in receiver.requests})
    assert sorted(delivery["alert_id"] for delivery in contents["deliveries"]) == alerts


@pytest.mark.parametrize("fault", ["store down", "store refuses all"])
def test_a_fatal_error_exits_with_70_and_commits_nothing(on_kafka: Installation, fault: str):
    """F4: neither a store that stays unavailable nor one that rejects every row may fill the dead letters."""
    articles = [article(f"a{n}") for n in range(30)]
    on_kafka.publish(articles)
    broken = on_kafka.worker(store_down=True, patience_s=2.0) if fault == "store down" else on_kafka.worker(hang_after="refuse all")
    broken.expect("ready")
    assert broken.wait() == 70
    last = [line for line in broken.log if line["event"] == "worker_failed"]
    assert len(last) == 1 and last[0]["exit_code"] == 70
    assert on_kafka.committed() == 0
    second = on_kafka.worker()
    second.expect("ready")
    second.until_sum("score", "messages", 30)
    contents = second.stop()
    assert contents["ids"] == sorted(item.id for item in articles)
    assert contents["dead"] == []
    assert on_kafka.committed() == 30


def test_a_batch_that_never_ends_is_detected(on_kafka: Installation):
    """The progress watchdog restarts the process, as a stuck thread cannot be interrupted."""
    on_kafka.publish([article("a")])
    stuck = on_kafka.worker(hang_after="articles", stuck_s=2.0)
    stuck.expect("ready")
    stuck.expect("hanging")
    assert stuck.wait(30) == 70
    assert "score has been working on one batch" in stuck.log[-1]["reason"]
    assert on_kafka.committed() == 0


def test_a_blocked_event_loop_is_detected(on_kafka: Installation):
    """A blocked loop delays commits and timers: the process exits, and the batch is delivered again."""
    blocked = on_kafka.worker(block_loop=True, stall_s=2.0)
    blocked.expect("ready")
    assert blocked.wait(30) == 70
    assert "the event loop was blocked" in blocked.log[-1]["reason"]


def test_the_circuit_breaker_stops_the_worker_before_it_drains_the_topic(on_kafka: Installation):
    """It stops at every start, without writing further dead letters, until the setting is changed."""
    good, bad = [article(f"a{n}") for n in range(40)], [(b"k", f"no record {n}".encode()) for n in range(400)]
    on_kafka.publish([*good, *bad])
    for _ in range(2):
        stopped = on_kafka.worker(dead_letter_max_ratio=0.5, batch_max=32)
        stopped.expect("ready")
        assert stopped.wait() == 70
        assert "are unusable" in stopped.log[-1]["error"]
    moved = on_kafka.committed()
    assert moved < len(good) + 200
    unlimited = on_kafka.worker(dead_letter_max_ratio=1.0)
    unlimited.expect("ready")
    unlimited.until_sum("score", "messages", len(good) + len(bad) - moved)
    contents = unlimited.stop()
    assert contents["ids"] == sorted(item.id for item in good)
    assert len(contents["dead"]) == 400


def test_messages_deleted_before_they_were_read_are_counted_and_logged(on_kafka: Installation):
    """F14: retention deletes messages while no worker runs; the next worker must report them."""
    articles = [article(f"a{n}") for n in range(90)]
    first = on_kafka.worker()
    first.expect("ready")
    on_kafka.publish(articles[:30])
    first.until_sum("score", "messages", 30)
    first.stop()
    on_kafka.publish(articles[30:])
    read = left = 0
    admin = KafkaAdminClient(bootstrap_servers=on_kafka.plan.broker)
    for place, at in admin.list_group_offsets([on_kafka.plan.group])[on_kafka.plan.group].items():
        if place.topic == on_kafka.names.articles:
            read, left = read + at.offset, left + 10
            admin.delete_records({place: at.offset + 10})
    admin.close()
    assert (read, left) == (30, 20)
    second = on_kafka.worker()
    second.expect("ready")
    second.until_sum("score", "messages", 40)
    contents = second.stop()
    assert len(contents["ids"]) == 70
    assert [stage for stage, _, _ in contents["dead"]] == ["gap", "gap"]
    assert all("10 messages, offsets" in reason for _, reason, _ in contents["dead"])
    lines = [line for line in second.log if line["event"] == "messages_lost"]
    assert sum(line["count"] for line in lines) == left
    assert on_kafka.committed() == 90


def test_an_unreachable_broker_is_a_fatal_error(on_kafka: Installation):
    worker = on_kafka.worker(broker=f"127.0.0.1:{free_port()}")
    assert worker.wait(60) == 70
    assert "worker_failed" in [line["event"] for line in worker.log]
