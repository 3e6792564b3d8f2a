"""The worker is killed, stopped and broken at the worst moments: nothing is lost, nothing is doubled, no offset moves early."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from tests.flow.worker_tools import Installation, article


@pytest.fixture(params=["tansu", "kafka"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """An installation on each broker that Tocsin runs on."""
    if request.param == "tansu":
        return Installation(request.getfixturevalue("tansu").address, tmp_path)
    return Installation(request.getfixturevalue("kafka_server").bootstrap, tmp_path)


def committed(place: Installation) -> int:
    """The sum of the group's committed offsets of `articles`."""
    admin = KafkaAdminClient(bootstrap_servers=place.plan.broker)
    try:
        offsets = admin.list_group_offsets([place.plan.group])[place.plan.group]
        return sum(meta.offset for partition, meta in offsets.items() if partition.topic == place.names.articles and meta.offset > 0)
    finally:
        admin.close()


@pytest.mark.parametrize("moment", ["articles", "remember"])
def test_a_worker_killed_in_a_batch_loses_and_doubles_nothing(place: Installation, moment: str):
    """F1. After the articles are in and before the mentions are; and after all is stored and before anything is published."""
    articles = [article(f"a{n}", bad=n % 2 == 0, source=f"s{n % 3}") for n in range(60)]
    first = place.worker(hang_after=moment)
    first.says("ready")
    place.publish(articles)
    first.says("hanging")
    first.kill()
    second = place.worker()
    second.says("ready")
    second.until_sum("watch", "messages", len(articles))
    held = second.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert (held["articles"], held["doubled"], held["dead"]) == (len(articles), 0, [])
    assert len({alert["series"] for alert in held["alerts"]}) == len(held["alerts"]) > 0


def test_sigterm_in_a_batch_ends_cleanly_and_the_next_worker_goes_on(place: Installation):
    """F2."""
    articles = [article(f"a{n}") for n in range(600)]
    first = place.worker(batch_max=16)
    first.says("ready")
    place.publish(articles[:400])
    first.until_sum("score", "messages", 16)
    some = first.stop(timeout_s=30)
    assert len(some["ids"]) >= 16
    place.publish(articles[400:])
    second = place.worker()
    second.says("ready")
    second.until_sum("score", "messages", len(articles) - len(some["ids"]))
    held = second.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert held["doubled"] == 0


@pytest.mark.parametrize("fault", ["store down", "store refuses all"])
def test_a_fatal_error_exits_70_with_the_offsets_unmoved(place: Installation, fault: str):
    """F4: neither a store that stays away nor one that takes no row at all may fill the dead letters."""
    articles = [article(f"a{n}") for n in range(30)]
    place.publish(articles)
    broken = place.worker(store_down=True) if fault == "store down" else place.worker(hang_after="refuse all")
    broken.says("ready")
    assert broken.ends() == 70
    last = [line for line in broken.log if line["event"] == "worker ends"]
    assert len(last) == 1 and last[0]["exit_code"] == 70
    assert committed(place) == 0
    mended = place.worker()
    mended.says("ready")
    mended.until_sum("score", "messages", 30)
    held = mended.stop()
    assert held["ids"] == sorted(item.id for item in articles)
    assert held["dead"] == []
    assert committed(place) == 30


def test_a_batch_that_never_ends_is_noticed(place: Installation):
    """The progress watchdog: a stuck thread cannot be woken, only replaced."""
    place.publish([article("a")])
    stuck = place.worker(hang_after="articles", stuck_s=2.0)
    stuck.says("ready")
    stuck.says("hanging")
    assert stuck.ends(30) == 70
    assert "score has worked on one batch" in stuck.log[-1]["reason"]
    assert committed(place) == 0


def test_a_broker_that_is_not_there_is_a_sentence(tmp_path: Path, tansu: object):
    from tocsin.broker import free_port

    place = Installation(tansu.address, tmp_path)  # type: ignore[attr-defined]
    worker = place.worker(broker=f"127.0.0.1:{free_port()}")
    assert worker.ends(60) == 70
    assert "worker ends" in [line["event"] for line in worker.log]
