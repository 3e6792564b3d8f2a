"""The cache: one query for any number of viewers, also while the store fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.cache import Cache
from core.errors import StoreError, StoreUnavailable
from dashboard.reads.queries import NEWS, Reads
from dashboard.time_ranges import RANGES
from storage.store import Store
from tests.helpers.dashboard import NOW, EmptyClickHouse, ManualClock


def test_a_value_is_read_once_until_it_is_old():
    clock, reads = ManualClock(), []
    cache = Cache(clock)

    def load() -> int:
        reads.append(1)
        return len(reads)

    assert [cache.get("k", 2.0, load) for _ in range(3)] == [1, 1, 1]
    clock.time += 1.99
    assert cache.get("k", 2.0, load) == 1
    clock.time += 0.01
    assert cache.get("k", 2.0, load) == 2
    assert cache.get("other", 2.0, load) == 3


def test_a_failure_is_shared_and_then_tried_again():
    clock = ManualClock()
    reads: list[int] = []
    healthy: list[int] = []
    cache = Cache(clock)

    def load() -> str:
        reads.append(1)
        if not healthy:
            raise StoreUnavailable("down")
        return "up"

    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="down"):
            cache.get("k", 2.0, load)
    assert len(reads) == 1
    healthy.append(1)
    clock.time += 2
    assert cache.get("k", 2.0, load) == "up"


def test_an_error_that_is_a_mistake_of_ours_is_not_kept():
    cache = Cache(ManualClock())
    with pytest.raises(ZeroDivisionError):
        cache.get("k", 2.0, lambda: 1 // 0)
    assert cache.get("k", 2.0, lambda: 7) == 7


def test_fifty_viewers_at_once_are_one_reader():
    cache, reads, gate = Cache(), [], threading.Event()

    def load() -> str:
        reads.append(1)
        assert gate.wait(10)
        return "value"

    with ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(cache.get, "k", 60.0, load) for _ in range(50)]
        gate.set()
        assert {answer.result(10) for answer in answers} == {"value"}
    assert len(reads) == 1


def test_while_one_reads_again_the_others_get_the_value_before():
    """A slow store must not hold every thread of the server."""
    clock = ManualClock()
    cache = Cache(clock)
    cache.get("k", 2.0, lambda: "old")
    clock.time += 3
    started, gate = threading.Event(), threading.Event()

    def slow() -> str:
        started.set()
        assert gate.wait(10)
        return "new"

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(cache.get, "k", 2.0, slow)
        assert started.wait(10)
        assert cache.get("k", 2.0, lambda: "never read") == "old"
        gate.set()
        assert reader.result(10) == "new"


def test_where_it_is_known_to_have_changed_the_others_wait_for_the_new_value():
    """There is no second notification: the old value would be kept until something else changes."""
    cache, started, gate = Cache(), threading.Event(), threading.Event()
    cache.record_changes()
    cache.get("k", 2.0, lambda: "old", ["articles"])
    cache.record_changes(["articles"])

    def slow() -> str:
        started.set()
        assert gate.wait(10)
        return "new"

    with ThreadPoolExecutor(9) as pool:
        reader = pool.submit(cache.get, "k", 2.0, slow, NEWS)
        assert started.wait(10)
        others = [pool.submit(cache.get, "k", 2.0, lambda: "never read", NEWS) for _ in range(8)]
        gate.set()
        assert {each.result(10) for each in (reader, *others)} == {"new"}


def test_a_value_is_kept_until_one_of_its_kinds_changes_and_a_dear_one_for_its_time_as_well():
    clock, reads = ManualClock(), []
    cache = Cache(clock)

    def load() -> int:
        reads.append(1)
        return len(reads)

    cache.record_changes()
    assert cache.get("k", 2.0, load, ["articles"]) == cache.get("dear", 10.0, load, ["articles"]) - 1 == 1
    clock.time += 4
    cache.record_changes(["alerts"])
    assert cache.get("k", 2.0, load, ["articles"]) == 1
    cache.record_changes(["articles"])
    assert cache.get("k", 2.0, load, ["articles"]) == 3
    assert cache.get("dear", 10.0, load, ["articles"]) == 2
    clock.time += 6
    assert cache.get("dear", 10.0, load, ["articles"]) == 4
    cache.stop_tracking()
    clock.time += 2
    assert cache.get("k", 2.0, load, ["articles"]) == 5


def test_waiting_too_long_for_the_first_value_raises():
    cache = Cache(first_read_wait_s=0.01)
    started, gate = threading.Event(), threading.Event()

    def slow() -> str:
        started.set()
        assert gate.wait(10)
        return "value"

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(cache.get, "k", 2.0, slow)
        assert started.wait(10)
        with pytest.raises(StoreUnavailable):
            cache.get("k", 2.0, slow)
        gate.set()
        assert reader.result(10) == "value"


def test_the_cache_stays_small():
    cache = Cache(ManualClock(), size=3)
    for number in range(10):
        cache.get(number, 60.0, str)
    assert len(cache._entries) == 3


def test_fifty_dashboards_cost_the_store_as_much_as_one():
    clock, client = ManualClock(), EmptyClickHouse()
    reads = Reads(Store(client), lambda: NOW, Cache(clock))

    def look() -> None:
        reads.overview("24h"), reads.alerts(), reads.detected("24h"), reads.articles("24h"), reads.stored()

    look()
    once = client.queries
    for _ in range(49):
        look()
    assert client.queries == once
    clock.time += 2
    look()
    assert client.queries < 2 * once  # how many are stored is kept longer


@pytest.mark.parametrize("key", sorted(RANGES))
def test_an_empty_store_has_an_empty_overview(key: str):
    found = Reads(Store(EmptyClickHouse()), lambda: NOW).overview(key)
    assert (found.mood, found.members, found.market, found.before) == ([], [], None, None)
    assert found.revision


def test_an_unknown_alert_is_none_and_a_lost_store_is_an_error():
    client, clock = EmptyClickHouse(), ManualClock()
    reads = Reads(Store(client), lambda: NOW, Cache(clock))
    assert reads.alert("no such") is None
    client.down = True
    clock.time += 5
    with pytest.raises(StoreError):
        reads.alert("no such")
    client.down = False
    clock.time += 5
    assert reads.alert("no such") is None
