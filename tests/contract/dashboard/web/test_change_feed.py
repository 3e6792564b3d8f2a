"""What is told of the store, and when: over a real store, with a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from core.cache import TOLD_S, TTL_S, Cache
from dashboard.reads.queries import Inboxed, Reads
from dashboard.web import change_feed as module
from dashboard.web.change_feed import NEWS_EVERY_S, SAFETY_S, SETTLED_S, Full, Live, rings
from domain.alert_lifecycle import event
from storage.store import Store
from tests.helpers.stores import migrated_store
from tests.contract.test_alert_life_store import alert, quiet
from tests.contract.test_store import NOON, save, scored
from tests.unit.dashboard.reads.test_queries import EmptyClickHouse, Hands

NOW = NOON + timedelta(minutes=5)
TABLES = ("articles", "mentions", "alerts", "alert_events", "silences")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated_store(tmp_path_factory.mktemp("live")) as made:
        yield made


@pytest.fixture
def store(kept: Store) -> Store:
    for table in TABLES:
        kept.client.command(f"TRUNCATE TABLE {table}")
    return kept


class Ear:
    """One who listens, and moves the clock."""

    def __init__(self, store: Store, **more: Any) -> None:
        self.hands, self.store = Hands(), store
        self.cache = Cache(self.hands)
        self.reads = Reads(store, lambda: NOW, self.cache)
        self.live = Live(store.changes, self.reads, self.cache, lambda: NOW, clock=self.hands, **{"most": 2, "build": "b", **more})
        self.turn, self.pulse = -1, self.live.hear(-1, 0)[1]

    def after(self, seconds: float) -> set[str]:
        """Which marks are others when the store is asked again so much later."""
        self.hands.time += seconds
        self.live.look()
        before = self.pulse.marks
        self.turn, self.pulse = self.live.hear(-1, 0)
        return {kind for kind, mark in self.pulse.marks.items() if before.get(kind) != mark}


def test_only_what_changed_is_told_and_nothing_while_nothing_does(store: Store):
    ear = Ear(store)
    assert ear.after(0) == {"articles", "alerts", "deeds", "all"}, "the first word is about everything"
    assert ear.after(1) == set()
    save(store, scored("a"))
    assert ear.after(1) == {"articles"}
    rang = alert(at=NOON)
    store.alerts.insert([rang])
    assert ear.after(1) == {"alerts"}
    assert (ear.pulse.open, [each.id for each in ear.pulse.rang or ()]) == (1, [rang.id])
    store.alert_lifecycle.add([event(rang.id, "acknowledged", "王芳", NOW)])
    assert ear.after(1) == {"deeds"}
    assert (ear.pulse.open, ear.pulse.rang) == (1, ()), "who is told of it need not be rung for"
    store.client.command("OPTIMIZE TABLE articles FINAL")
    assert ear.after(1) == set(), "a merge is no news"


def test_news_that_pour_in_are_told_every_two_seconds_and_alerts_at_once(store: Store):
    ear = Ear(store)
    ear.after(0)
    told = []
    for number in range(6):
        save(store, scored(str(number)))
        told.append(ear.after(NEWS_EVERY_S / 2))
    assert told == [set(), {"articles"}] * 3
    save(store, scored("late"))
    store.alerts.insert([alert(at=NOON)])
    assert ear.after(0.5) == {"alerts"}
    assert ear.after(NEWS_EVERY_S) == {"articles"}, "nothing that waited is lost"


def test_pages_look_once_more_when_it_is_quiet_and_now_and_then_in_any_case(store: Store):
    ear = Ear(store)
    ear.after(0)
    ear.after(5)
    save(store, scored("a"))
    assert ear.after(1) == {"articles"}
    assert ear.after(SETTLED_S - 1) == set()
    assert ear.after(1) == {"all"}, "what costs much was shared for longer"
    assert ear.after(SAFETY_S) == {"articles", "alerts", "deeds", "all"}
    assert ear.after(SAFETY_S - 1) == set()


def test_what_is_told_to_have_changed_is_read_and_nothing_else(store: Store):
    ear = Ear(store)
    ear.after(0)
    rows, alerts = ear.reads.articles("24h"), ear.reads.alerts()
    for _ in range(4):  # longer than any value is kept where nobody tells
        ear.after(TTL_S)
    assert ear.reads.articles("24h") is rows
    save(store, scored("a"))
    assert ear.reads.articles("24h") is rows
    assert ear.after(TTL_S) == {"articles"}
    assert [row.id for row in ear.reads.articles("24h")] == [scored("a").article.id]
    assert ear.reads.alerts() == alerts
    ear.hands.time += TOLD_S + 1  # whoever told is gone
    save(store, scored("b"))
    assert len(ear.reads.articles("24h")) == 2


def test_a_lost_store_is_told_once_and_so_is_its_return():
    far_side = EmptyClickHouse()
    ear = Ear(Store(far_side))
    ear.after(0)
    far_side.down = True
    assert (ear.after(1), ear.pulse.store) == ({"all"}, False)
    assert (ear.after(1), ear.pulse.store) == (set(), False)
    far_side.down = False
    assert "all" in ear.after(TTL_S)
    assert ear.pulse.store


def test_a_table_that_is_gone_is_a_lost_store(store: Store):
    ear = Ear(store)
    ear.after(0)
    store.alerts.insert([alert(at=NOON)])
    ear.after(1)
    store.client.command("RENAME TABLE alerts TO alerts_gone")
    try:
        ear.after(1)
        assert not ear.pulse.store
    finally:
        store.client.command("RENAME TABLE alerts_gone TO alerts")
    ear.after(TTL_S)
    assert ear.pulse.store


def test_only_what_may_be_delivered_rings_and_only_while_it_is_new(store: Store):
    loud, calm, old = alert("company:A", at=NOON), alert("topic:credit", at=NOON), alert("company:B", at=NOON - timedelta(hours=1))
    store.alerts.insert([loud, calm, old])
    store.silences.add([msgspec.structs.replace(quiet(), starts_at=NOON, ends_at=NOW + timedelta(hours=1))])
    ear = Ear(store)
    ear.after(0)
    assert ear.pulse.open == 3
    (found,) = ear.pulse.rang or ()
    assert (found.id, found.severity) == (loud.id, "warning")
    assert found.words["en"] == ("A", "9 negative stories, 1.2 expected")
    assert found.words["zh"][1] == "负面报道 9 条，预期 1.2 条"


def test_a_notice_is_one_plain_line_of_what_the_web_calls_itself(store: Store):
    store.alerts.insert([alert("company:<b>\u202eevil\nname", at=NOON)])
    (inboxed,) = Reads(store, lambda: NOW).inbox()
    assert isinstance(inboxed, Inboxed)
    assert rings([inboxed], NOW)[0].words["en"][0] == "<b> evil name"


def test_seats_are_counted_and_the_thread_ends_when_all_have_left(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LINGER_S", 0.0)
    ear = Ear(store, poll_s=0.02)
    ear.live.join()
    ear.live.join()
    with pytest.raises(Full):
        ear.live.join()
    thread = ear.live._thread
    assert thread is not None
    ear.live.leave()
    ear.live.leave()
    thread.join(20)
    assert not thread.is_alive()
    ear.live.join()
    assert ear.live._thread not in (None, thread), "who comes later starts it again"
    ear.live.close()
    assert ear.live.hear(-1, 0)[0] < 0
