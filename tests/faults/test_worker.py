"""The worker is killed and broken at the worst moments: nothing is lost, nothing is doubled, no offset moves early."""

from __future__ import annotations

from collections import Counter

import pytest
from kafka.admin import KafkaAdminClient

from core.settings import Webhook
from tests.helpers.webhook_server import WebhookServer
from tests.helpers.worker import Installation, article
from tocsin.runtime.embedded_broker import free_port


@pytest.mark.parametrize("moment", ["articles", "remember"])
def test_a_worker_killed_in_a_batch_loses_and_doubles_nothing(place: Installation, moment: str):
    """F1. After the articles are in and before the mentions are; and after all is stored and before anything is published."""
    articles = [article(f"a{n}", bad=n % 2 == 0, source=f"s{n % 3}") for n in range(60)] + [article("calm", minutes_ago=600)]
    first = place.worker(hang_after=moment, session_timeout_s=3.0)  # so long its partitions stay with it
    first.expect("ready")
    place.publish(articles)
    first.expect("hanging")
    first.kill()
    second = place.worker()
    second.expect("ready")
    second.until_idle(len(articles))
    held = second.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert (held["articles"], held["doubled"], held["dead"]) == (len(articles), 0, [])
    assert len({alert["series"] for alert in held["alerts"]}) == len(held["alerts"]) > 0


@pytest.mark.parametrize("moment", ["alerts", "webhook"])
def test_a_worker_killed_before_an_alert_is_told_or_logged_tells_it_once(on_kafka: Installation, receiver: WebhookServer, moment: str):
    """F23, and F1 in `watch`: after an alert is stored and before it is published; and after its webhook is sent and before that is noted.

    What was sent and not noted is sent again, under the same id, which is how its receiver knows it.
    """
    desk = (Webhook(url=receiver.url, allow_private=True, name="desk"),)
    first = on_kafka.worker(hang_after=moment, webhooks=desk)
    first.expect("ready")
    on_kafka.publish([article("calm", minutes_ago=600), *(article(f"a{n}", bad=True, source=f"s{n % 3}") for n in range(12))])
    first.expect("hanging")
    first.kill()
    sent = len(receiver.requests)
    assert sent == (1 if moment == "webhook" else 0)
    second = on_kafka.worker(webhooks=desk)
    second.expect("ready")
    second.until_event("watch begins")
    on_kafka.until_read(second, topics=on_kafka.names)
    held = second.stop()
    assert (held["articles"], held["doubled"], held["dead"]) == (13, 0, [])
    alerts = sorted(alert["id"] for alert in held["alerts"])
    assert len({alert["series"] for alert in held["alerts"]}) == len(alerts) > 0
    told = Counter(request.headers["webhook-id"] for request in receiver.requests)
    again = {request.headers["webhook-id"] for request in receiver.requests[:sent]}
    assert {ident: count for ident, count in told.items() if count > 1} == dict.fromkeys(again, 2)
    assert len(told) == len(alerts) == len({request.body for request in receiver.requests})
    assert sorted(delivery["alert_id"] for delivery in held["deliveries"]) == alerts


@pytest.mark.parametrize("fault", ["store down", "store refuses all"])
def test_a_fatal_error_exits_70_with_the_offsets_unmoved(on_kafka: Installation, fault: str):
    """F4: neither a store that stays away nor one that takes no row at all may fill the dead letters."""
    articles = [article(f"a{n}") for n in range(30)]
    on_kafka.publish(articles)
    broken = on_kafka.worker(store_down=True, patience_s=2.0) if fault == "store down" else on_kafka.worker(hang_after="refuse all")
    broken.expect("ready")
    assert broken.wait() == 70
    last = [line for line in broken.log if line["event"] == "worker ends"]
    assert len(last) == 1 and last[0]["exit_code"] == 70
    assert on_kafka.committed() == 0
    mended = on_kafka.worker()
    mended.expect("ready")
    mended.until_sum("score", "messages", 30)
    held = mended.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert held["dead"] == []
    assert on_kafka.committed() == 30


def test_a_batch_that_never_ends_is_noticed(on_kafka: Installation):
    """The progress watchdog: a stuck thread cannot be woken, only replaced."""
    on_kafka.publish([article("a")])
    stuck = on_kafka.worker(hang_after="articles", stuck_s=2.0)
    stuck.expect("ready")
    stuck.expect("hanging")
    assert stuck.wait(30) == 70
    assert "score has worked on one batch" in stuck.log[-1]["reason"]
    assert on_kafka.committed() == 0


def test_an_event_loop_that_stands_still_is_noticed(on_kafka: Installation):
    """What blocks it holds up commits and heartbeats of Faust's own timers: the process ends, and the batch comes again."""
    blocked = on_kafka.worker(block_loop=True, stall_s=2.0)
    blocked.expect("ready")
    assert blocked.wait(30) == 70
    assert "the event loop has stood still" in blocked.log[-1]["reason"]


def test_a_flood_of_bad_records_ends_the_worker_before_it_drains_the_topic(on_kafka: Installation):
    """And so it does at each start, without setting more aside, until the person lets it."""
    good, bad = [article(f"a{n}") for n in range(40)], [(b"k", f"no record {n}".encode()) for n in range(400)]
    on_kafka.publish([*good, *bad])
    for _ in range(2):
        flooded = on_kafka.worker(dead_letter_max_ratio=0.5, batch_max=32)
        flooded.expect("ready")
        assert flooded.wait() == 70
        assert "cannot be used" in flooded.log[-1]["error"]
    moved = on_kafka.committed()
    assert moved < len(good) + 200
    resigned = on_kafka.worker(dead_letter_max_ratio=1.0)
    resigned.expect("ready")
    resigned.until_sum("score", "messages", len(good) + len(bad) - moved)
    held = resigned.stop()
    assert held["ids"] == sorted(item.id for item in good)
    assert len(held["dead"]) == 400


def test_messages_that_left_the_topic_unread_are_counted_and_said(on_kafka: Installation):
    """F14. The first worker reads some; retention takes more than that while nobody reads; the second must not jump in silence."""
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
    held = second.stop()
    assert len(held["ids"]) == 70
    assert [stage for stage, _, _ in held["dead"]] == ["gap", "gap"]
    assert all("10 messages, offsets" in reason for _, reason, _ in held["dead"])
    said = [line for line in second.log if line["event"] == "messages missed"]
    assert sum(line["count"] for line in said) == left
    assert on_kafka.committed() == 90


def test_a_broker_that_is_not_there_is_a_sentence(on_kafka: Installation):
    worker = on_kafka.worker(broker=f"127.0.0.1:{free_port()}")
    assert worker.wait(60) == 70
    assert "worker ends" in [line["event"] for line in worker.log]
