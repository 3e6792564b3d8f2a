"""Scheduled jobs: cron expressions, missed runs, and one scheduler per installation."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core import log
from core.errors import SettingsError
from core.settings import Settings, build, environment
from storage.store import Store, open_store
from tests.helpers.waiting import until
from tocsin.runtime import scheduler
from tocsin.runtime.scheduler import REFRESH, RETENTION, make_scheduler, next_runs, refresh_job, running_scheduler

NIGHTLY = "30 2 * * *"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "schedule.json"


def executed(scheduler: Any, run_s: float = 0.5) -> list[str]:
    """The stored jobs that ran within `run_s` after a resume; then the scheduler is shut down."""
    from apscheduler.events import EVENT_JOB_EXECUTED

    ran: list[str] = []
    scheduler.add_listener(lambda event: ran.append(event.job_id) if event.jobstore == "default" else None, EVENT_JOB_EXECUTED)
    scheduler.resume()
    time.sleep(run_s)
    scheduler.shutdown(wait=True)
    return ran


def as_if_down_since(database: Path, name: str, moment: datetime) -> None:
    """Make the stored job due since `moment`."""
    rows = json.loads(database.read_bytes())
    rows[name]["next_run_at"] = moment.isoformat()
    database.write_text(json.dumps(rows))


def test_jobs_follow_the_settings(database: Path):
    scheduler = make_scheduler(Settings(refresh_cron=NIGHTLY, retention_days=90), database)
    runs = next_runs(scheduler)
    scheduler.shutdown()
    assert set(runs) == {REFRESH, RETENTION}
    assert (runs[REFRESH].hour, runs[REFRESH].minute, runs[REFRESH].utcoffset()) == (2, 30, timedelta())
    assert runs[REFRESH] > datetime.now(UTC) >= runs[RETENTION] - timedelta(seconds=5)
    off = make_scheduler(Settings(), database)
    assert next_runs(off) == {}
    off.shutdown()


def test_a_missed_run_is_made_up_for_once(database: Path):
    settings = Settings(refresh_cron=NIGHTLY)
    make_scheduler(settings, database).shutdown()
    as_if_down_since(database, REFRESH, datetime.now(UTC) - timedelta(days=3))
    again = make_scheduler(settings, database)
    assert next_runs(again)[REFRESH] < datetime.now(UTC)
    assert executed(again) == [REFRESH]
    later = make_scheduler(settings, database)
    assert next_runs(later)[REFRESH] > datetime.now(UTC)
    assert executed(later) == []


def test_a_run_due_while_all_threads_are_busy_runs_once(database: Path):
    """APScheduler's default drops runs that start a second late."""
    settings = Settings(refresh_cron=NIGHTLY)
    make_scheduler(settings, database).shutdown()
    as_if_down_since(database, REFRESH, datetime.now(UTC) - timedelta(seconds=0.5))
    scheduler = make_scheduler(settings, database)
    began: list[float] = []
    over = threading.Event()

    def hog() -> None:
        began.append(time.monotonic())
        over.wait(3.0)

    for number in range(10):  # as many as it has threads
        scheduler.add_job(hog, id=f"hog {number}", jobstore="memory")
    ran = executed(scheduler, run_s=5.0)
    over.set()
    assert (ran, len(began)) == ([REFRESH], 10)


def test_a_changed_time_replaces_the_job(database: Path):
    make_scheduler(Settings(refresh_cron=NIGHTLY), database).shutdown()
    other = make_scheduler(Settings(refresh_cron="15 5 * * *"), database)
    moment = next_runs(other)[REFRESH]
    other.shutdown()
    assert (moment.hour, moment.minute) == (5, 15)


@pytest.mark.parametrize("cron", ["61 3 * * *", "a b c d e"])
def test_an_invalid_refresh_cron_is_rejected(database: Path, cron: str):
    with pytest.raises(SettingsError, match="refresh_cron"):
        make_scheduler(Settings(refresh_cron=cron), database)


def test_settings_are_passed_unchanged_to_a_child_process():
    settings = Settings(refresh_cron=NIGHTLY, gate_margin=0.02, retention_days=7, data_dir="/a b/c", topic_prefix="x.")
    assert build({}, environment(settings)) == settings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(open_store("embedded", tmp_path)) as made:
        made.migrate()
        yield made


def test_a_second_scheduler_is_rejected(store: Store, tmp_path: Path):
    settings = Settings(data_dir=str(tmp_path), refresh_cron=NIGHTLY)
    with running_scheduler(settings, store) as runs:
        assert list(runs) == [REFRESH]
        with pytest.raises(SettingsError, match="another scheduler runs"), running_scheduler(settings, store):
            pass
    with running_scheduler(settings, store):
        pass


def test_the_refresh_runs_in_a_separate_process_beside_an_open_store(store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """The child cannot open the store, which this process owns; it reads the labels from a file, which has none."""
    settings = Settings(data_dir=str(tmp_path), refresh_cron=NIGHTLY)
    log.configure("human", "info")  # to the captured stderr
    with running_scheduler(settings, store):
        refresh_job()
    output = "".join(capfd.readouterr())
    assert "action=skip" in output
    assert "no labels to learn from" in output
    assert not (tmp_path / "models" / "snapshot.json").exists()


def test_child_processes_end_with_the_scheduler(store: Store, tmp_path: Path):
    settings = Settings(data_dir=str(tmp_path))
    codes: list[int] = []
    with running_scheduler(settings, store):
        context = scheduler._context
        assert context is not None
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        thread = threading.Thread(target=lambda: codes.append(scheduler._run(context, command)[0]))
        thread.start()
        until(lambda: bool(context.children), "the command runs", 30)
    thread.join(20)
    assert codes == [-15]
