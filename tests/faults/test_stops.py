"""Workers stop, join, leave, stand by and take too long: nothing is lost or duplicated."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from storage.store import open_store
from tests.helpers.servers import ClickHouseServer, Kafka
from tests.helpers.waiting import until
from tests.helpers.worker import Installation, Worker, article


def shared(place: Installation, server: ClickHouseServer) -> str:
    """Address of a store that all workers of an installation share."""
    return f"{server.address}/{place.plan.prefix.rstrip('.')}"


def test_sigterm_between_batches_stops_cleanly_and_the_next_worker_continues(on_kafka: Installation):
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
    contents = second.stop()
    assert contents["ids"] == sorted(item.id for item in articles)
    assert contents["doubled"] == 0


def test_sigterm_during_a_batch_finishes_and_commits_it(on_kafka: Installation):
    """F2: the signal arrives while the batch is being stored."""
    articles = [article(f"a{n}") for n in range(32)]
    worker = on_kafka.worker(slow_s=3.0)
    worker.expect("ready")
    on_kafka.publish(articles)
    worker.until_event("batch_delayed")
    contents = worker.stop(timeout_s=30)
    begun = [line["event"] for line in worker.log].count("batch_delayed")
    done = sum(line["messages"] for line in worker.log if line["event"] == "score")
    assert [line["event"] for line in worker.log].count("score") == begun
    assert len(contents["ids"]) == done == on_kafka.committed() > 0


def test_a_stop_that_takes_too_long_is_aborted_and_its_batch_repeated(on_kafka: Installation):
    """F2: a batch that never ends must not block the stop."""
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
    contents = second.stop()
    assert (len(contents["ids"]), contents["doubled"], contents["dead"]) == (10, 0, [])


@pytest.mark.parametrize("how", ["refused", "never answered"])
def test_a_stop_without_its_last_commit_repeats_the_batch(on_kafka: Installation, how: str):
    """As when workers leave together during a rebalance: uncommitted batches are repeated without duplicates."""
    articles = [article(f"a{n}") for n in range(200)]
    first = on_kafka.worker(batch_max=16, last_commit=how, leave_s=2.0)
    first.expect("ready")
    on_kafka.publish(articles)
    first.until_sum("score", "messages", 16)
    first.terminate()
    assert first.wait(25) == 0
    assert "worker_stopped_uncommitted" in [line["event"] for line in first.log]
    done = sum(line["messages"] for line in first.log if line["event"] == "score")
    left = len(articles) - on_kafka.committed()
    assert left > len(articles) - done
    second = on_kafka.worker()
    second.expect("ready")
    second.until_sum("score", "messages", left)
    contents = second.stop()
    assert (contents["ids"], contents["doubled"], contents["dead"]) == (sorted(item.id for item in articles), 0, [])


def test_workers_without_a_partition_stand_by_and_stop_cleanly(kafka_server: Kafka, tmp_path: Path):
    """F6: one partition, three workers: one works and two stand by."""
    place = Installation(kafka_server.bootstrap, tmp_path, partitions=1)
    workers = [place.worker(roles=("score",), data_dir=str(tmp_path / str(number))) for number in range(3)]
    for worker in workers:
        worker.expect("ready")
    place.publish([article(f"a{n}") for n in range(60)])
    place.until_read(*workers)
    found = [len(worker.stop()["ids"]) for worker in workers]
    assert sorted(found) == [0, 0, 60]
    assert not any(line["event"] == "worker_failed" for worker in workers for line in worker.log)
    assert place.committed() == 60


@pytest.mark.parametrize(("other", "slow_s"), [("none", 3.5), ("waits", 7.0), ("does not wait", 12.0)])
def test_a_batch_longer_than_the_session_timeout_is_at_worst_repeated(
    kafka_server: Kafka, clickhouse_server: ClickHouseServer, tmp_path: Path, other: str, slow_s: float
):
    """F7: heartbeats continue, and a rebalance waits for the batch; if it does not wait long enough, the batch is processed twice."""
    place = Installation(kafka_server.bootstrap, tmp_path, partitions=1)
    waits_s = 2.0 if other == "does not wait" else 30.0
    common = {"store": shared(place, clickhouse_server), "session_timeout_s": 2.0, "rebalance_timeout_s": waits_s}
    articles = [article(f"a{n}") for n in range(20)]
    place.publish(articles[:1])
    slow = place.worker(slow_s=slow_s, slow_batches=1, **common)
    slow.expect("ready")
    slow.until_event("batch_delayed")
    workers = [slow]
    if other != "none":
        workers.append(place.worker(data_dir=str(tmp_path / "second"), **common))
        workers[1].expect("ready")
    if other == "does not wait":
        workers[1].until_sum("score", "messages", 1)
        assert not any(line["event"] == "score" for line in slow.log)
        slow.until_event("score")
    place.publish(articles[1:])
    place.until_read(*workers)
    contents = [worker.stop() for worker in workers][-1]
    assert contents["ids"] == sorted(item.id for item in articles)
    assert (contents["articles"], contents["doubled"], contents["dead"], place.committed()) == (20, 0, [], 20)


def test_workers_that_join_leave_and_die_lose_and_duplicate_nothing(
    kafka_server: Kafka, clickhouse_server: ClickHouseServer, tmp_path: Path
):
    """F5: workers join, leave and are killed while messages arrive; three workers share two partitions and one store."""
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
    until(lambda: len(reader.articles.keys(ids)) == len(ids), "all articles are stored, their keys last")
    third.stop()
    contents = fourth.stop()
    assert contents["ids"] == ids
    assert (contents["articles"], contents["doubled"], contents["dead"]) == (len(ids), 0, [])
    reader.close()
