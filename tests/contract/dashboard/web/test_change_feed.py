"""The change feed over a real store, with a manual clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from core.cache import TRACKING_TIMEOUT_S, TTL_S, Cache
from dashboard.reads.queries import InboxRow, Reads
from dashboard.web import change_feed as module
from dashboard.web.change_feed import ARTICLES_INTERVAL_S, REFRESH_S, SETTLE_S, ChangeFeed, TooManyViewers, alert_notices
from domain.alert_lifecycle import event
from storage.store import Store
from tests.helpers.dashboard import EmptyClickHouse, ManualClock
from tests.helpers.stores import NOON, alert, sample_silence, save, scored

NOW = NOON + timedelta(minutes=5)
TABLES = ("articles", "mentions", "alerts", "alert_events", "silences")


@pytest.fixture
def store(embedded_store: Store) -> Store:
    for table in TABLES:
        embedded_store.client.command(f"TRUNCATE TABLE {table}")
    return embedded_store


class Viewer:
    """A subscriber with a manual clock."""

    def __init__(self, store: Store, **more: Any) -> None:
        self.clock, self.store = ManualClock(), store
        self.cache = Cache(self.clock)
        self.reads = Reads(store, lambda: NOW, self.cache)
        self.feed = ChangeFeed(
            store.changes, self.reads, self.cache, lambda: NOW, clock=self.clock, **{"max_viewers": 2, "build": "b", **more}
        )
        self.snapshot = self.feed.wait(-1, 0)[1]

    def after(self, seconds: float) -> set[str]:
        """The kinds of data whose versions changed when the store is polled so many seconds later."""
        self.clock.time += seconds
        self.feed.poll()
        before = self.snapshot.versions
        self.snapshot = self.feed.wait(-1, 0)[1]
        return {kind for kind, version in self.snapshot.versions.items() if before.get(kind) != version}


def test_only_kinds_of_data_that_changed_get_a_new_version(store: Store):
    viewer = Viewer(store)
    assert viewer.after(0) == {"articles", "alerts", "actions", "all"}, "the first poll counts everything as changed"
    assert viewer.after(1) == set()
    save(store, scored("a"))
    assert viewer.after(1) == {"articles"}
    firing = alert(at=NOON)
    store.alerts.insert([firing])
    assert viewer.after(1) == {"alerts"}
    assert (viewer.snapshot.open_alerts, [each.id for each in viewer.snapshot.notices or ()]) == (1, [firing.id])
    store.alert_lifecycle.add([event(firing.id, "acknowledged", "王芳", NOW)])
    assert viewer.after(1) == {"actions"}
    assert (viewer.snapshot.open_alerts, viewer.snapshot.notices) == (1, ()), "an acknowledged alert raises no notification"
    store.client.command("OPTIMIZE TABLE articles FINAL")
    assert viewer.after(1) == set(), "a merge is no change"


def test_articles_change_at_most_every_two_seconds_and_alerts_at_once(store: Store):
    viewer = Viewer(store)
    viewer.after(0)
    changes = []
    for number in range(6):
        save(store, scored(str(number)))
        changes.append(viewer.after(ARTICLES_INTERVAL_S / 2))
    assert changes == [set(), {"articles"}] * 3
    save(store, scored("late"))
    store.alerts.insert([alert(at=NOON)])
    assert viewer.after(0.5) == {"alerts"}
    assert viewer.after(ARTICLES_INTERVAL_S) == {"articles"}, "a postponed change is not lost"


def test_everything_is_refreshed_after_changes_settle_and_periodically(store: Store):
    viewer = Viewer(store)
    viewer.after(0)
    viewer.after(5)
    save(store, scored("a"))
    assert viewer.after(1) == {"articles"}
    assert viewer.after(SETTLE_S - 1) == set()
    assert viewer.after(1) == {"all"}, "expensive reads were cached for longer"
    assert viewer.after(REFRESH_S) == {"articles", "alerts", "actions", "all"}
    assert viewer.after(REFRESH_S - 1) == set()


def test_only_changed_data_is_read_again(store: Store):
    viewer = Viewer(store)
    viewer.after(0)
    rows, alerts = viewer.reads.articles("24h"), viewer.reads.alerts()
    for _ in range(4):  # longer than any value is cached without a change feed
        viewer.after(TTL_S)
    assert viewer.reads.articles("24h") is rows
    save(store, scored("a"))
    assert viewer.reads.articles("24h") is rows
    assert viewer.after(TTL_S) == {"articles"}
    assert [row.id for row in viewer.reads.articles("24h")] == [scored("a").article.id]
    assert viewer.reads.alerts() == alerts
    viewer.clock.time += TRACKING_TIMEOUT_S + 1  # the change feed stopped
    save(store, scored("b"))
    assert len(viewer.reads.articles("24h")) == 2


def test_an_outage_of_the_store_and_its_end_are_published_once():
    client = EmptyClickHouse()
    viewer = Viewer(Store(client))
    viewer.after(0)
    client.down = True
    assert (viewer.after(1), viewer.snapshot.store_ok) == ({"all"}, False)
    assert (viewer.after(1), viewer.snapshot.store_ok) == (set(), False)
    client.down = False
    assert "all" in viewer.after(TTL_S)
    assert viewer.snapshot.store_ok


def test_a_missing_table_counts_as_an_outage(store: Store):
    viewer = Viewer(store)
    viewer.after(0)
    store.alerts.insert([alert(at=NOON)])
    viewer.after(1)
    store.client.command("RENAME TABLE alerts TO alerts_gone")
    try:
        viewer.after(1)
        assert not viewer.snapshot.store_ok
    finally:
        store.client.command("RENAME TABLE alerts_gone TO alerts")
    viewer.after(TTL_S)
    assert viewer.snapshot.store_ok


def test_only_recent_alerts_that_are_not_silenced_raise_notifications(store: Store):
    recent, silenced, old = alert("company:A", at=NOON), alert("topic:credit", at=NOON), alert("company:B", at=NOON - timedelta(hours=1))
    store.alerts.insert([recent, silenced, old])
    store.silences.add([msgspec.structs.replace(sample_silence(), starts_at=NOON, ends_at=NOW + timedelta(hours=1))])
    viewer = Viewer(store)
    viewer.after(0)
    assert viewer.snapshot.open_alerts == 3
    (found,) = viewer.snapshot.notices or ()
    assert (found.id, found.severity) == (recent.id, "warning")
    assert found.texts["en"] == ("A", "9 negative stories, 1.2 expected")
    assert found.texts["zh"][1] == "负面报道 9 条，预期 1.2 条"


def test_a_notice_is_one_line_of_plain_text(store: Store):
    store.alerts.insert([alert("company:<b>\u202eevil\nname", at=NOON)])
    (inboxed,) = Reads(store, lambda: NOW).inbox()
    assert isinstance(inboxed, InboxRow)
    assert alert_notices([inboxed], NOW)[0].texts["en"][0] == "<b> evil name"


def test_viewers_are_limited_and_the_thread_ends_after_the_last_one_left(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LINGER_S", 0.0)
    viewer = Viewer(store, poll_s=0.02)
    viewer.feed.subscribe()
    viewer.feed.subscribe()
    with pytest.raises(TooManyViewers):
        viewer.feed.subscribe()
    thread = viewer.feed._thread
    assert thread is not None
    viewer.feed.unsubscribe()
    viewer.feed.unsubscribe()
    thread.join(20)
    assert not thread.is_alive()
    viewer.feed.subscribe()
    assert viewer.feed._thread not in (None, thread), "a later viewer starts it again"
    viewer.feed.close()
    assert viewer.feed.wait(-1, 0)[0] < 0
