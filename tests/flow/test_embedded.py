"""The embedded mode under its supervisor: any process may be killed, and every article is stored once in the end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import string
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.errors import EXIT_TEMPFAIL, BrokerError, SettingsError, TocsinError
from core.records import Article
from core.settings import Settings
from ingest.archive.backfill import BackfillReport
from ingest.archive.files import ReadOptions
from ingest.kafka.outbox import Outbox
from storage.store import open_store
from tests.helpers.servers import ROOT
from tests.helpers.waiting import until
from tocsin.runtime.backfill import Backfill, load
from tocsin.runtime.embedded import Stack
from tocsin.runtime.embedded_broker import free_port
from tocsin.runtime.threads import supervised_thread
from tocsin.runtime.worker_process import WorkerProcess, WorkerProcessPlan, counters, last_reason
from tocsin.wiring import sole_owner

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
"""kafka-python leaves sockets to a broker that is gone to the garbage collector, also while a test still runs (see conftest.py)."""
READING = ReadOptions(fields={}, source="archive", zone=ZoneInfo("UTC"))
TIMEOUT_S = 120.0
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


def settings(folder: Path, **changes: object) -> Settings:
    return Settings(data_dir=str(folder / "data"), model="keyword", log_format="json", batch_max=64, **changes)  # type: ignore[arg-type]


def wording(number: int) -> str:
    """Words that no other number has: only the same text is the same story."""
    dice = random.Random(number)
    if number % 2:
        return "公司股价下跌" + "".join(chr(dice.randrange(0x4E00, 0x9000)) for _ in range(40))
    return "Company shares fall sharply " + " ".join("".join(dice.choices(string.ascii_lowercase, k=7)) for _ in range(20))


def archive(folder: Path, rows: int, name: str = "news.jsonl", padding: str = "") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):  # every tenth repeats the previous story
            text = wording(number - (number % 10 == 9))
            moment = datetime.fromtimestamp(1_700_000_000 + number * 60, UTC).isoformat()
            file.write(
                json.dumps(
                    {"id": str(number), "source": "desk", "title": text, "text": text + padding, "published": moment}, ensure_ascii=False
                )
                + "\n"
            )
    return path


def stored(folder: Path) -> tuple[int, int]:
    store = open_store("embedded", folder / "data")
    try:
        return store.articles.totals().articles, store.articles.duplicates()
    finally:
        store.close()


@pytest.mark.parametrize("victim", ["worker", "broker"])
def test_a_killed_process_is_restarted_without_loss_or_duplicates(victim: str, tmp_path: Path):
    rows, killed = 3000, threading.Event()
    messages: list[str] = []

    def kill_once(report: BackfillReport, _total: int | None, waiting: int) -> None:
        """Kill it when some articles are stored and many are not."""
        if killed.is_set() or not 700 < waiting < report.read - 300:
            return
        stack = stacks[0]
        pid = stack.worker.pid if victim == "worker" else stack.broker.pid if stack.broker else None
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        killed.set()

    stacks: list[Stack] = []
    calls: list[int] = []

    class Observed(Stack):
        def __enter__(self) -> Stack:  # type: ignore[override]
            stacks.append(self)
            return super().__enter__()

        def _ensure_topics(self) -> None:
            """The second call, after the broker was killed, fails: the restart must be repeated."""
            calls.append(len(calls))
            if len(calls) == 2:
                raise BrokerError("no answer")
            super()._ensure_topics()

    job = Backfill(settings(tmp_path), notify=messages.append, show=kill_once, stack=Observed)
    report = job.run([str(archive(tmp_path, rows))], READING, threading.Event(), wait=True)
    assert killed.is_set()
    assert any("restarting" in line for line in messages), messages
    assert (report.read, report.published) == (rows, rows)
    assert stored(tmp_path) == (rows, 0)
    log = (tmp_path / "data" / "worker.log").read_text(encoding="utf-8")
    assert not re.search("did not stop within|without its last commit", log), "the stop must not wait for the dead broker"


def test_a_large_broker_is_restarted_without_loss_or_duplicates(tmp_path: Path):
    """Tansu never frees memory: 17 MB when idle, about 34 MB with these articles."""
    messages: list[str] = []
    rows = 750
    job = Backfill(settings(tmp_path, broker_max_mb=24), notify=messages.append, show=lambda *_: None)
    report = job.run([str(archive(tmp_path, rows, padding=" 油价" * 2000))], READING, threading.Event(), wait=True)
    assert any("uses more than 24 MB" in line for line in messages), messages
    assert (report.read, report.published) == (rows, rows)
    assert stored(tmp_path) == (rows, 0)


def test_an_interrupted_backfill_continues_and_reports_bad_rows(tmp_path: Path):
    path = archive(tmp_path, 2000)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[10], lines[20] = "{not json", '{"title": "", "text": ""}'
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    stop = threading.Event()

    def stop_early(report: BackfillReport, _total: int | None, _waiting: int) -> None:
        if report.read >= 500:
            stop.set()

    first = Backfill(settings(tmp_path), notify=lambda _: None, show=stop_early).run([str(path)], READING, stop, wait=True)
    assert first.interrupted
    assert [row.line for row in first.rejected] == [11, 21]
    again = Backfill(settings(tmp_path), notify=lambda _: None, show=lambda *_: None).run(
        [str(path)], READING, threading.Event(), wait=True
    )
    assert not again.interrupted
    assert again.resumed == first.read
    assert first.read + again.read == 2000
    assert stored(tmp_path) == (1998, 0)
    third = Backfill(settings(tmp_path), notify=lambda _: None, show=lambda *_: None).run(
        [str(path)], READING, threading.Event(), wait=True
    )
    assert (third.read, third.resumed) == (0, 2000)


def test_a_direct_backfill_equals_the_worker_and_continues(tmp_path: Path):
    path = archive(tmp_path, 1500)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[10] = "{not json"
    path.write_text("\n".join([*lines, *lines[200:300]]) + "\n", encoding="utf-8")
    through, direct = settings(tmp_path / "through"), settings(tmp_path / "direct")
    Backfill(through, notify=lambda _: None, show=lambda *_: None).run([str(path)], READING, threading.Event(), wait=True)
    stop = threading.Event()

    def stop_early(report: BackfillReport, _total: int | None, _waiting: int) -> None:
        if report.read >= 500:
            stop.set()

    first = load([str(path)], direct, READING, stop, stop_early)
    assert first.interrupted and [row.line for row in first.rejected] == [11]
    again = load([str(path)], direct, READING, threading.Event(), lambda *_: None)
    assert (again.interrupted, again.resumed, first.read + again.read) == (False, first.read, 1600)
    assert contents(tmp_path / "direct") == contents(tmp_path / "through")
    assert len({story for story, *_ in contents(tmp_path / "direct")}) == 1350 - 1  # one line was broken
    third = load([str(path)], direct, READING, threading.Event(), lambda *_: None)
    assert (third.read, third.resumed) == (0, 1600)
    with contextlib.closing(Outbox(tmp_path / "direct" / "data" / "outbox.sqlite", durable_broker=False)) as outbox:
        outbox.put([Article(id="a", source="s", language="en", title="t", published_at=NOW, fetched_at=NOW)])
    with pytest.raises(SettingsError, match="1 articles of an earlier run are not classified"):
        load([str(path)], direct, READING, threading.Event(), lambda *_: None)


def contents(folder: Path) -> list[tuple[object, ...]]:
    """All of articles, their identity and mentions, but the times and versions of writing.

    A story bears the name of its smallest id here: in the store it is named by whichever came first.
    """
    store = open_store("embedded", folder / "data")
    try:
        articles = store.client.query(
            "SELECT story, id, source, title, text, toUInt32(published_at), p_negative, model FROM articles FINAL ORDER BY id"
        )
        keys = store.client.query("SELECT story, id, fingerprint, model FROM article_keys FINAL ORDER BY id")
        mentions = store.client.query("SELECT story, id, series, negative, tone FROM mentions FINAL ORDER BY series, id")
    finally:
        store.close()
    first = {story: id_ for story, id_, *_ in reversed(articles)}
    return [(first[story], *rest) for story, *rest in (*articles, *keys, *mentions)]


def test_a_worker_that_cannot_start_ends_everything_with_its_reason(tmp_path: Path):
    (tmp_path / "model").mkdir()
    broken = Settings(data_dir=str(tmp_path / "data"), model=str(tmp_path / "model"), log_format="json")
    with Stack(broken, dashboard=False) as stack, pytest.raises(TocsinError, match="manifest"):
        stack.wait_ready()


def test_a_worker_without_its_servers_exits_with_a_temporary_failure(tmp_path: Path):
    """Exit 75, not 2: a supervisor restarts it, as no setting is wrong."""
    away = settings(tmp_path, broker=f"127.0.0.1:{free_port()}", store=f"clickhouse://127.0.0.1:{free_port()}/tocsin")
    worker = WorkerProcess(lambda: WorkerProcessPlan(settings=away, dashboard=False, schedule=False), tmp_path / "log")
    worker.start()
    until(lambda: worker.returncode is not None, "the worker ends", TIMEOUT_S)
    assert worker.returncode == EXIT_TEMPFAIL
    assert "cannot be reached" in last_reason(tmp_path / "log")
    worker.stop()


def test_a_failed_thread_is_reported():
    def run() -> None:
        raise OSError("no such disk")

    errors: list[str] = []
    thread = supervised_thread("publisher", run, errors.append)
    thread.start()
    thread.join(5)
    assert errors == ["the publisher failed (OSError: no such disk)"]


def test_a_data_folder_has_one_owner(tmp_path: Path):
    with sole_owner(tmp_path), pytest.raises(SettingsError, match="another tocsin process uses the data folder"), sole_owner(tmp_path):
        pass


def test_all_processes_end_when_the_parent_is_killed(tmp_path: Path):
    code = f"""
import os, signal
from core.settings import Settings
from tocsin.runtime.embedded import Stack
stack = Stack(Settings(data_dir={str(tmp_path / "data")!r}, model="keyword", log_format="json"), dashboard=False)
stack.__enter__()
stack.wait_ready()
print(stack.worker.pid, stack.broker.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120, cwd=ROOT)
    for name, pid in zip(("worker", "broker"), done.stdout.split(), strict=True):
        until(lambda pid=pid: ended(int(pid)), f"the {name} ended", TIMEOUT_S)  # type: ignore[misc]


def ended(pid: int) -> bool:
    """Whether the process is gone or a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" in status.read_text()


def test_counters_are_summed_over_labels():
    text = '# TYPE tocsin_scored counter\ntocsin_scored_total{language="en"} 3\ntocsin_scored_total{language="zh"} 4\n'
    assert counters(text)["tocsin_scored_total"] == 7
