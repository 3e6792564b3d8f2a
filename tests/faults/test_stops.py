"""Workers stop, join, leave, stand by and take too long: nothing is lost, nothing is doubled."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from storage.store import open_store
from tests.helpers.servers import ClickHouseServer, Kafka
from tests.helpers.waiting import until
from tests.helpers.worker import Installation, Worker, article


def shared(place: Installation, server: ClickHouseServer) -> str:
    """The address of a store that all workers of an installation share."""
    return f"{server.address}/{place.plan.prefix.rstrip('.')}"


def test_sigterm_between_batches_ends_cleanly_and_the_next_worker_goes_on(on_kafka: Installation):
    """F2."""
    articles = [article(f"a{n}") for n in range(300)]
    first = on_kafka.worker(batch_max=16, slow_s=0.2)
    first.expect("ready")
    on_kafka.publish(articles[:200])
    first.until_sum("score", "messages", 16)
    some = first.stop(timeout_s=30)
    assert 16 <= len(some["ids"]) < 200
    on_kafka.publish(articles[200:])
    second = on_kafka.worker()
    second.expect("ready")
    second.until_sum("score", "messages", len(articles) - len(some["ids"]))
    held = second.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert held["doubled"] == 0


def test_sigterm_in_a_batch_waits_for_it_and_commits_it(on_kafka: Installation):
    """F2: the signal comes while the batch is being stored."""
    articles = [article(f"a{n}") for n in range(32)]
    worker = on_kafka.worker(slow_s=3.0)
    worker.expect("ready")
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
    stuck.expect("ready")
    stuck.expect("hanging")
    stuck.terminate()
    assert stuck.wait(20) == 70
    assert stuck.log[-1]["reason"] == "the worker did not stop within 1 s"
    assert on_kafka.committed() == 0
    second = on_kafka.worker()
    second.expect("ready")
    second.until_sum("score", "messages", 10)
    held = second.stop()
    assert (len(held["ids"]), held["doubled"], held["dead"]) == (10, 0, [])


@pytest.mark.parametrize("how", ["refused", "never answered"])
def test_a_stop_without_its_last_commit_is_a_stop_and_that_batch_comes_again(on_kafka: Installation, how: str):
    """As when workers leave together and the group is rebalancing: what is not committed is done again, and doubles nothing."""
    articles = [article(f"a{n}") for n in range(200)]
    first = on_kafka.worker(batch_max=16, last_commit=how, leave_s=2.0)
    first.expect("ready")
    on_kafka.publish(articles)
    first.until_sum("score", "messages", 16)
    first.terminate()
    assert first.wait(25) == 0
    assert "worker stopped without its last commit" in [line["event"] for line in first.log]
    done = sum(line["messages"] for line in first.log if line["event"] == "score")
    left = len(articles) - on_kafka.committed()
    assert left > len(articles) - done
    second = on_kafka.worker()
    second.expect("ready")
    second.until_sum("score", "messages", left)
    held = second.stop()
    assert (held["ids"], held["doubled"], held["dead"]) == (sorted(item.id for item in articles), 0, [])


def test_workers_without_a_partition_are_well_and_stop_in_good_order(kafka_server: Kafka, tmp_path: Path):
    """F6: one partition, three workers: one works, two stand by."""
    place = Installation(kafka_server.bootstrap, tmp_path, partitions=1)
    workers = [place.worker(roles=("score",), data_dir=str(tmp_path / str(number))) for number in range(3)]
    for worker in workers:
        worker.expect("ready")
    place.publish([article(f"a{n}") for n in range(60)])
    place.until_read(*workers)
    found = [len(worker.stop()["ids"]) for worker in workers]
    assert sorted(found) == [0, 0, 60]
    assert not any(line["event"] == "worker ends" for worker in workers for line in worker.log)
    assert place.committed() == 60


@pytest.mark.parametrize(("beside", "slow_s"), [("nobody", 3.5), ("one who waits", 7.0), ("one who does not wait", 12.0)])
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
    slow.expect("ready")
    slow.until_event("slow")
    workers = [slow]
    if beside != "nobody":
        workers.append(place.worker(data_dir=str(tmp_path / "second"), **common))
        workers[1].expect("ready")
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
    first.expect("ready")
    publish(0)
    second, third = worker(), worker()
    publish(1)
    second.expect("ready")
    third.expect("ready")
    publish(2)
    first.stop()
    publish(3)
    second.kill()
    publish(4)
    fourth = worker()
    publish(5)
    fourth.expect("ready")
    reader = open_store(store, tmp_path)
    ids = sorted(item.id for item in articles)
    until(lambda: reader.articles.totals().articles >= len(ids), "all are stored")
    held = fourth.stop()
    third.stop()
    assert held["ids"] == ids
    assert (held["articles"], held["doubled"], held["dead"]) == (len(ids), 0, [])
    reader.close()
