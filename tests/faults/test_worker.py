"""The worker is killed, stopped and broken at the worst moments: nothing is lost, nothing is doubled, no offset moves early."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from spine.settings import Webhook
from spine.store import open_store
from tests.flow.worker_tools import Installation, Receiver, Worker, article
from tests.servers import ClickHouseServer, Kafka
from tocsin.broker import free_port


@pytest.fixture(params=["tansu", "kafka"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """An installation on each broker that Tocsin runs on."""
    if request.param == "tansu":
        return Installation(request.getfixturevalue("tansu").address, tmp_path)
    return Installation(request.getfixturevalue("kafka_server").bootstrap, tmp_path)


@pytest.fixture
def on_kafka(kafka_server: Kafka, tmp_path: Path) -> Installation:
    """Where the broker makes no difference, the real one."""
    return Installation(kafka_server.bootstrap, tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.mark.parametrize("moment", ["articles", "remember"])
def test_a_worker_killed_in_a_batch_loses_and_doubles_nothing(place: Installation, moment: str):
    """F1. After the articles are in and before the mentions are; and after all is stored and before anything is published."""
    articles = [article(f"a{n}", bad=n % 2 == 0, source=f"s{n % 3}") for n in range(60)] + [article("calm", minutes_ago=600)]
    first = place.worker(hang_after=moment)
    first.says("ready")
    place.publish(articles)
    first.says("hanging")
    first.kill()
    second = place.worker()
    second.says("ready")
    second.until_idle(len(articles))
    held = second.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert (held["articles"], held["doubled"], held["dead"]) == (len(articles), 0, [])
    assert len({alert["series"] for alert in held["alerts"]}) == len(held["alerts"]) > 0


@pytest.mark.parametrize("moment", ["alerts", "webhook"])
def test_a_worker_killed_before_an_alert_is_told_or_logged_tells_it_once(on_kafka: Installation, receiver: Receiver, moment: str):
    """F23, and F1 in `watch`: after an alert is stored and before it is published; and after its webhook is sent and before that is noted.

    What was sent and not noted is sent again, under the same id, which is how its receiver knows it.
    """
    desk = (Webhook(url=receiver.url, allow_private=True, name="desk"),)
    first = on_kafka.worker(hang_after=moment, webhooks=desk)
    first.says("ready")
    on_kafka.publish([article("calm", minutes_ago=600), *(article(f"a{n}", bad=True, source=f"s{n % 3}") for n in range(12))])
    first.says("hanging")
    first.kill()
    sent = len(receiver.requests)
    assert sent == (1 if moment == "webhook" else 0)
    second = on_kafka.worker(webhooks=desk)
    second.says("ready")
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


def test_sigterm_between_batches_ends_cleanly_and_the_next_worker_goes_on(on_kafka: Installation):
    """F2."""
    articles = [article(f"a{n}") for n in range(300)]
    first = on_kafka.worker(batch_max=16, slow_s=0.2)
    first.says("ready")
    on_kafka.publish(articles[:200])
    first.until_sum("score", "messages", 16)
    some = first.stop(timeout_s=30)
    assert 16 <= len(some["ids"]) < 200
    on_kafka.publish(articles[200:])
    second = on_kafka.worker()
    second.says("ready")
    second.until_sum("score", "messages", len(articles) - len(some["ids"]))
    held = second.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert held["doubled"] == 0


def test_sigterm_in_a_batch_waits_for_it_and_commits_it(on_kafka: Installation):
    """F2: the signal comes while the batch is being stored."""
    articles = [article(f"a{n}") for n in range(32)]
    worker = on_kafka.worker(slow_s=3.0)
    worker.says("ready")
    on_kafka.publish(articles)
    worker.until_event("slow")
    held = worker.stop(timeout_s=30)
    begun = [line["event"] for line in worker.log].count("slow")
    done = sum(line["messages"] for line in worker.log if line["event"] == "score")
    assert [line["event"] for line in worker.log].count("score") == begun
    assert len(held["ids"]) == done == on_kafka.committed() > 0


def test_a_stop_that_takes_too_long_is_cut_off_and_its_batch_comes_again(on_kafka: Installation):
    """F2: a batch that does not end must not hold up whoever waits for the worker."""
    articles = [article(f"a{n}") for n in range(10)]
    on_kafka.publish(articles)
    stuck = on_kafka.worker(hang_after="articles", stop_s=1.0)
    stuck.says("ready")
    stuck.says("hanging")
    stuck.terminate()
    assert stuck.ends(20) == 70
    assert stuck.log[-1]["reason"] == "the worker did not stop within 1 s"
    assert on_kafka.committed() == 0
    second = on_kafka.worker()
    second.says("ready")
    second.until_sum("score", "messages", 10)
    held = second.stop()
    assert (len(held["ids"]), held["doubled"], held["dead"]) == (10, 0, [])


@pytest.mark.parametrize("how", ["refused", "never answered"])
def test_a_stop_without_its_last_commit_is_a_stop_and_that_batch_comes_again(on_kafka: Installation, how: str):
    """As when workers leave together and the group is rebalancing: what is not committed is done again, and doubles nothing."""
    articles = [article(f"a{n}") for n in range(200)]
    first = on_kafka.worker(batch_max=16, last_commit=how)
    first.says("ready")
    on_kafka.publish(articles)
    first.until_sum("score", "messages", 16)
    first.terminate()
    assert first.ends(25) == 0
    assert "worker stopped without its last commit" in [line["event"] for line in first.log]
    done = sum(line["messages"] for line in first.log if line["event"] == "score")
    left = len(articles) - on_kafka.committed()
    assert left > len(articles) - done
    second = on_kafka.worker()
    second.says("ready")
    second.until_sum("score", "messages", left)
    held = second.stop()
    assert (held["ids"], held["doubled"], held["dead"]) == (sorted(item.id for item in articles), 0, [])


@pytest.mark.parametrize("fault", ["store down", "store refuses all"])
def test_a_fatal_error_exits_70_with_the_offsets_unmoved(on_kafka: Installation, fault: str):
    """F4: neither a store that stays away nor one that takes no row at all may fill the dead letters."""
    articles = [article(f"a{n}") for n in range(30)]
    on_kafka.publish(articles)
    broken = on_kafka.worker(store_down=True, patience_s=2.0) if fault == "store down" else on_kafka.worker(hang_after="refuse all")
    broken.says("ready")
    assert broken.ends() == 70
    last = [line for line in broken.log if line["event"] == "worker ends"]
    assert len(last) == 1 and last[0]["exit_code"] == 70
    assert on_kafka.committed() == 0
    mended = on_kafka.worker()
    mended.says("ready")
    mended.until_sum("score", "messages", 30)
    held = mended.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert held["dead"] == []
    assert on_kafka.committed() == 30


def test_a_batch_that_never_ends_is_noticed(on_kafka: Installation):
    """The progress watchdog: a stuck thread cannot be woken, only replaced."""
    on_kafka.publish([article("a")])
    stuck = on_kafka.worker(hang_after="articles", stuck_s=2.0)
    stuck.says("ready")
    stuck.says("hanging")
    assert stuck.ends(30) == 70
    assert "score has worked on one batch" in stuck.log[-1]["reason"]
    assert on_kafka.committed() == 0


def test_an_event_loop_that_stands_still_is_noticed(on_kafka: Installation):
    """What blocks it holds up commits and heartbeats of Faust's own timers: the process ends, and the batch comes again."""
    blocked = on_kafka.worker(block_loop=True, stall_s=2.0)
    blocked.says("ready")
    assert blocked.ends(30) == 70
    assert "the event loop has stood still" in blocked.log[-1]["reason"]


def test_a_flood_of_bad_records_ends_the_worker_before_it_drains_the_topic(on_kafka: Installation):
    """And so it does at each start, without setting more aside, until the person lets it."""
    good, bad = [article(f"a{n}") for n in range(40)], [(b"k", f"no record {n}".encode()) for n in range(400)]
    on_kafka.publish([*good, *bad])
    for _ in range(2):
        flooded = on_kafka.worker(dead_share=0.5, batch_max=32)
        flooded.says("ready")
        assert flooded.ends() == 70
        assert "cannot be used" in flooded.log[-1]["error"]
    moved = on_kafka.committed()
    assert moved < len(good) + 200
    resigned = on_kafka.worker(dead_share=1.0)
    resigned.says("ready")
    resigned.until_sum("score", "messages", len(good) + len(bad) - moved)
    held = resigned.stop()
    assert held["ids"] == sorted(item.id for item in good)
    assert len(held["dead"]) == 400


def test_messages_that_left_the_topic_unread_are_counted_and_said(on_kafka: Installation):
    """F14. The first worker reads some; retention takes more than that while nobody reads; the second must not jump in silence."""
    articles = [article(f"a{n}") for n in range(90)]
    first = on_kafka.worker()
    first.says("ready")
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
    second.says("ready")
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
    assert worker.ends(60) == 70
    assert "worker ends" in [line["event"] for line in worker.log]


def shared(place: Installation, server: ClickHouseServer) -> str:
    """The address of a store that all workers of an installation share."""
    return f"{server.address}/{place.plan.prefix.rstrip('.')}"


def test_workers_without_a_partition_are_well_and_stop_in_good_order(kafka_server: Kafka, tmp_path: Path):
    """F6: one partition, three workers: one works, two stand by."""
    place = Installation(kafka_server.bootstrap, tmp_path, partitions=1)
    workers = [place.worker(roles=("score",), data_dir=str(tmp_path / str(number))) for number in range(3)]
    for worker in workers:
        worker.says("ready")
    place.publish([article(f"a{n}") for n in range(60)])
    place.until_read(*workers)
    found = [len(worker.stop()["ids"]) for worker in workers]
    assert sorted(found) == [0, 0, 60]
    assert not any(line["event"] == "worker ends" for worker in workers for line in worker.log)
    assert place.committed() == 60


@pytest.mark.parametrize(("beside", "slow_s"), [("nobody", 5.0), ("one who waits", 7.0), ("one who does not wait", 12.0)])
def test_a_batch_longer_than_the_session_costs_work_at_worst(
    kafka_server: Kafka, clickhouse_server: ClickHouseServer, tmp_path: Path, beside: str, slow_s: float
):
    """F7: heartbeats go on beside it, and a rebalance waits for it; where that does not wait long enough, it is done twice."""
    place = Installation(kafka_server.bootstrap, tmp_path, partitions=1)
    waits_s = 2.0 if beside == "one who does not wait" else 30.0
    common = {"store": shared(place, clickhouse_server), "session_timeout_s": 2.0, "rebalance_timeout_s": waits_s}
    articles = [article(f"a{n}") for n in range(20)]
    place.publish(articles[:1])
    slow = place.worker(slow_s=slow_s, slow_batches=1, **common)
    slow.says("ready")
    slow.until_event("slow")
    workers = [slow]
    if beside != "nobody":
        workers.append(place.worker(data_dir=str(tmp_path / "second"), **common))
        workers[1].says("ready")
    if beside == "one who does not wait":
        workers[1].until_sum("score", "messages", 1)
        assert not any(line["event"] == "score" for line in slow.log)
        slow.until_event("score")
    place.publish(articles[1:])
    place.until_read(*workers)
    held = [worker.stop() for worker in workers][-1]
    assert held["ids"] == sorted(item.id for item in articles)
    assert (held["articles"], held["doubled"], held["dead"], place.committed()) == (20, 0, [], 20)


def test_workers_that_come_and_go_lose_and_double_nothing(kafka_server: Kafka, clickhouse_server: ClickHouseServer, tmp_path: Path):
    """F5: workers join, leave and die while messages come, over one server; three workers share two partitions."""
    place = Installation(kafka_server.bootstrap, tmp_path)
    store = shared(place, clickhouse_server)
    articles = [article(f"a{n}", bad=n % 9 == 0, source=f"s{n % 3}") for n in range(900)]

    def publish(part: int) -> None:
        place.publish(articles[150 * part : 150 * part + 150])

    def worker() -> Worker:
        return place.worker(store=store, data_dir=str(tmp_path / uuid.uuid4().hex), batch_max=16)

    first = worker()
    first.says("ready")
    publish(0)
    second, third = worker(), worker()
    publish(1)
    second.says("ready")
    third.says("ready")
    publish(2)
    first.stop()
    publish(3)
    second.kill()
    publish(4)
    fourth = worker()
    publish(5)
    fourth.says("ready")
    reader = open_store(store, tmp_path)
    ids = sorted(item.id for item in articles)
    deadline = time.monotonic() + 60
    while reader.articles.totals().articles < len(ids) and time.monotonic() < deadline:
        third.until_more("score", 5.0)
    held = fourth.stop()
    third.stop()
    assert held["ids"] == ids
    assert (held["articles"], held["doubled"], held["dead"]) == (len(ids), 0, [])
    reader.close()
