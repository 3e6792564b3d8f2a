"""The outbox with a real SQLite file: kills, rewinds, pruning and limits."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import LocalStoreError, SettingsError
from core.records import Article, decode
from ingest.archive.backfill import BackfillReport, OutboxSink, backfill
from ingest.archive.files import ReadOptions
from ingest.companies.gazetteer import Gazetteer
from ingest.kafka.outbox import Counts, EntryKeys, Outbox, SeenEntry, SourceState

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[4]


def article(number: int, title: str = "涨停") -> Article:
    return Article(id=f"{number:032d}", source="wire", language="zh", title=title, published_at=NOW, fetched_at=NOW)


def seen(*numbers: int) -> list[SeenEntry]:
    """Entries with these guids."""
    return [SeenEntry(str(number), "source wire", EntryKeys(guid=number, title=1)) for number in numbers]


def guids(*numbers: int) -> list[EntryKeys]:
    return [EntryKeys(guid=number) for number in numbers]


@pytest.fixture
def volatile(tmp_path):
    """An outbox for an in-memory broker."""
    box = Outbox(tmp_path / "o.sqlite", durable_broker=False)
    yield box
    box.close()


def test_articles_are_pending_in_order_until_sent(tmp_path):
    box = Outbox(tmp_path / "o.sqlite", durable_broker=True)
    box.put([article(number) for number in range(5)])
    assert box.wake.is_set()
    rows = box.pending(10)
    assert [int(row.key) for row in rows] == [0, 1, 2, 3, 4]
    assert [row.number for row in box.pending(2, after=rows[1].number)] == [rows[2].number, rows[3].number]
    box.sent([(row.number, 0, place) for place, row in enumerate(rows[:3])])
    assert box.counts()[:2] == (2, 0), "a broker that keeps what it took lets us forget at once"
    box.sent([(rows[0].number, 0, 0), (10_000, 0, 9)])
    assert box.counts()[:2] == (2, 0)
    box.close()


def test_sent_rows_are_kept_until_committed_with_an_in_memory_broker(volatile):
    volatile.put([article(number) for number in range(6)])
    rows = volatile.pending(10)
    volatile.sent([(row.number, place % 2, place // 2) for place, row in enumerate(rows)])
    assert volatile.counts()[:2] == (0, 6)
    assert volatile.prune({0: 2}) == 2
    assert volatile.rewind() == 4
    assert [int(row.key) for row in volatile.pending(10)] == [1, 3, 4, 5]
    assert volatile.counts()[:2] == (4, 0)
    assert volatile.prune({0: 100, 1: 100}) == 0, "what waits is never pruned"


def test_a_rewind_keeps_only_the_newest_version(volatile):
    volatile.put([article(1, "old")])
    (row,) = volatile.pending(10)
    volatile.sent([(row.number, 0, 0)])
    volatile.put([article(1, "new")])
    volatile.rewind()
    assert [decode(row.body, Article).title for row in volatile.pending(10)] == ["new"]
    volatile.put([article(1, "newest")])
    assert [decode(row.body, Article).title for row in volatile.pending(10)] == ["newest"]
    assert volatile.counts() == Counts(1, 0, len(volatile.pending(1)[0].body))


def test_article_and_source_state_are_stored_in_one_transaction(volatile):
    class Failing:
        def __iter__(self):
            yield article(1)
            raise LocalStoreError("the disk is full")

    with pytest.raises(LocalStoreError):
        volatile.put(Failing(), source="wire", state=SourceState("e", "", 9.0, 0), seen=seen(1), now=NOW)
    assert (volatile.counts().pending, volatile.state("wire"), volatile.seen("wire", guids(1))) == (0, SourceState(), [])
    volatile.put([article(1)], source="wire", state=SourceState("e", "m", 9.0, 2), seen=seen(1), now=NOW)
    assert (volatile.state("wire"), volatile.seen("wire", guids(1, 2))) == (SourceState("e", "m", 9.0, 2), seen(1))
    assert volatile.seen("other", guids(1)) == []
    assert volatile.seen("wire", [EntryKeys(title=1)]) == seen(1)
    assert volatile.seen("wire", [EntryKeys()]) == []


def test_old_seen_entries_are_deleted(volatile):
    volatile.put([], source="wire", seen=seen(*range(1, 1_201)), now=NOW)
    volatile.put([], source="wire", seen=seen(7), now=NOW + timedelta(days=20))
    assert len(volatile.seen("wire", guids(*range(1, 1_201)))) == 1_200
    assert volatile.forget_seen(NOW + timedelta(days=40)) == 1_199
    assert volatile.seen("wire", guids(6, 7)) == seen(7)


def test_of_a_source_with_too_many_entries_skipped_and_old_ones_are_deleted(volatile):
    skipped = [each._replace(id=f"skipped {number}", skipped="passed_over") for number, each in enumerate(seen(4, 5, 6))]
    volatile.put([], source="wire", seen=seen(1), now=NOW)
    volatile.put([], source="wire", seen=[*seen(2, 3), *skipped], now=NOW + timedelta(days=1))
    volatile.put([], source="other", seen=seen(1), now=NOW)
    assert volatile.forget_seen(NOW + timedelta(days=2), most=2) == 4
    assert volatile.seen("wire", guids(1, 2, 3, 4, 5, 6)) == seen(2, 3)
    assert volatile.seen("other", guids(1)) == seen(1)


def test_full_is_reported_and_counts_survive_a_restart(tmp_path):
    box = Outbox(tmp_path / "o.sqlite", durable_broker=False, max_bytes=500)
    found = [box.full]
    box.put([article(number) for number in range(5)])
    assert [*found, box.full] == [False, True]
    before = box.counts()
    box.close()
    again = Outbox(tmp_path / "o.sqlite", durable_broker=False, max_bytes=500)
    assert again.counts() == before
    assert again.full
    again.close()


def test_an_append_only_outbox_works_beside_its_owner(tmp_path):
    """In the embedded mode the API adds articles from another process; each connection stands for a process."""
    owner = Outbox(tmp_path / "o.sqlite", durable_broker=False)
    append_only = Outbox(tmp_path / "o.sqlite", durable_broker=False, append_only=True)
    done = threading.Event()

    def push():
        for number in range(150):
            append_only.put([article(number % 100, f"第{number}版"), article(1_000 + number)])
        done.set()

    thread = threading.Thread(target=push)
    thread.start()
    place = last = 0
    over = False
    while not over:
        over = done.is_set()
        while rows := owner.pending(50, after=last):
            for row in rows:
                owner.sent([(row.number, 0, place)])
                place, last = place + 1, row.number
    thread.join()
    counted = Outbox(tmp_path / "o.sqlite", durable_broker=False)  # an owner counts anew when it begins
    assert owner.counts() == append_only.counts() == counted.counts()
    counted.close()
    assert owner.pending(1_000) == []
    assert owner.prune({0: place}) >= 250
    assert append_only.counts() == Counts(0, 0, 0)
    append_only.close()
    owner.close()
    assert owner.counts() == Counts(0, 0, 0), "who asks too late gets what was known last"


def test_threads_can_share_the_outbox(volatile):
    def work(start):
        for number in range(start, start + 50):
            volatile.put([article(number)], source=f"s{start}", state=SourceState(next_due=number), seen=seen(number), now=NOW)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert volatile.counts().pending == len(volatile.pending(1_000)) == 200


def test_a_killed_process_leaves_whole_transactions(tmp_path):
    """After SIGKILL during a put, every stored article is marked as seen and vice versa."""
    program = textwrap.dedent("""
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from ingest.kafka.outbox import EntryKeys, Outbox, SeenEntry, SourceState
        from core.records import Article
        now = datetime(2026, 11, 22, tzinfo=UTC)
        box = Outbox(Path(sys.argv[1]), durable_broker=True)
        for number in range(1_000_000):
            item = Article(id=f"{number:032d}", source="wire", language="zh", title="涨停", published_at=now, fetched_at=now)
            seen = [SeenEntry(item.id, "", EntryKeys(guid=number + 1))]
            box.put([item], source="wire", state=SourceState(next_due=number), seen=seen, now=now)
            print(number, flush=True)
    """)
    path = tmp_path / "o.sqlite"
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    output = -1
    while output < 200:
        output = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    output = int((process.stdout.read().split() or [str(output).encode()])[-1])
    process.stdout.close()
    box = Outbox(path, durable_broker=True)
    numbers = [int(row.key) for row in box.pending(1_000_000)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) - 1 in (output, output + 1), "what was output to be kept is kept"
    assert len(box.seen("wire", guids(*range(1, len(numbers) + 10)))) == len(numbers)
    assert box.state("wire").next_due == numbers[-1]
    box.close()


def test_an_invalid_path_is_a_settings_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="data_dir"):
        Outbox(tmp_path / "file" / "o.sqlite", durable_broker=True)


def test_an_interrupted_backfill_continues(tmp_path):
    """Stopped after the first batch and run again: each row once; a third run has nothing to do."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(f'{{"id": {number}, "title": "第{number}条"}}\n' + ("not json\n" if number % 500 == 3 else "") for number in range(2_000))
    )
    box, stop = Outbox(tmp_path / "o.sqlite", durable_broker=True), threading.Event()

    def run(progress: Callable[[BackfillReport], None] = lambda _: None) -> BackfillReport:
        return backfill(
            [str(path)],
            OutboxSink(box),
            reading=ReadOptions({}, "wire", UTC),
            gazetteer=Gazetteer([]),
            now=NOW,
            progress=progress,
            stop=stop,
        )

    first = run(lambda _: stop.set())
    assert first.interrupted
    assert 0 < first.published < 2_000
    stop.clear()
    second = run()
    assert (first.published + second.published, first.rejected_count + second.rejected_count) == (2_000, 4)
    assert second.resumed == first.read
    assert len({row.key for row in box.pending(10_000)}) == box.counts().pending == 2_000
    third = run()
    assert (third.read, third.resumed) == (0, 2_004)
    box.close()
