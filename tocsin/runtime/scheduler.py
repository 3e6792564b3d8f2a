"""What happens by the clock, on APScheduler: moods are summed up, old months leave, the model is refreshed. One scheduler an installation.

    DATA_DIR/schedule.sqlite   the jobs and when each runs next: what was missed while nothing ran is done once, however late
             schedule.lock     held by the one scheduler

Jobs are kept as the names of functions here and plain arguments. What a job works on, the store and the settings, is that of
the scheduler that runs in this process (`_Here`).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from core import log
from core.errors import SettingsError, StoreError
from core.files import sole
from core.settings import ENV_PREFIX, Settings, environment
from storage.store import Store
from tocsin.runtime import wiring
from tocsin.runtime.threads import stop_on_signal


def write_label_snapshot(settings: Settings, store: Store, name: str) -> Path:
    """Put what a refresh reads of the store into a file: an embedded store is open here, and has one owner. Raises StoreError."""
    from models.training.feedback import take_snapshot, write_snapshot

    path = wiring.data_dir(settings) / "models" / name
    write_snapshot(path, take_snapshot(store.labels))
    return path


def refresh_command(labels: Path, *, who: str, force: bool = False) -> list[str]:
    """The program and its arguments; its stdout is the outcome as one JSON object. force: on few new labels too"""
    arguments = ["refresh", "--snapshot", str(labels), f"--who={who}", "--json"]
    return [sys.executable, "-m", "tocsin", *arguments, *(["--force"] if force else [])]


def environment_with(settings: Settings) -> dict[str, str]:
    """Our own environment, with these settings in place of those that it names."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)} | environment(settings)


REFRESH, RETENTION, SUMS = "refresh", "retention", "sums"
SUMS_EVERY_S = 60
SUMS_AT_ONCE = 100
"""Of an archive that was loaded, so many stretches are summed up in a minute."""
_log = log.get_logger(__name__)


@dataclass(slots=True)
class _Here:
    """What the jobs of this process work on. children: programs that a job waits for."""

    settings: Settings
    store: Store
    children: list[subprocess.Popen[str]] = field(default_factory=list)
    stopping: bool = False


_here: _Here | None = None


def retire_old_months(store: Store, retention_days: int, now: datetime) -> list[str]:
    """Drop the months that ended more than `retention_days` before `now`; their names. Raises StoreError."""
    dropped = store.retire(now - timedelta(days=retention_days))
    if dropped:
        _log.info("old months dropped", months=dropped)
    return dropped


def retention_job(retention_days: int) -> None:
    """The job `retention`."""
    if _here is None:
        return
    try:
        retire_old_months(_here.store, retention_days, datetime.now(UTC))
    except StoreError as error:
        _log.warning("retention postponed", reason=str(error))


def sums_job() -> None:
    """The job `sums`, every minute and never kept: charts of weeks read sums, and are right without them."""
    if _here is None:
        return
    try:
        count = _here.store.moods.refresh(datetime.now(UTC), SUMS_AT_ONCE)
    except StoreError as error:
        _log.warning("sums postponed", reason=str(error))
        return
    if count:
        _log.info("summed up", stretches=count)


def refresh_job() -> None:
    """The job `refresh`: `tocsin refresh` in a process of its own, so that a training shares no memory with the scheduler.

    The labels go there in a file: an embedded store is open here, and has one owner.
    """
    if _here is None:
        return
    try:
        path = write_label_snapshot(_here.settings, _here.store, "snapshot.json")
    except StoreError as error:
        _log.warning("refresh postponed", reason=str(error))
        return
    code, message, stderr = _run(_here, refresh_command(path, who="scheduler"))
    path.unlink(missing_ok=True)
    if code:
        _log.error("refresh failed", exit_code=code, reason=(stderr.strip().splitlines() or [""])[-1])
        return
    outcome = msgspec.json.decode(message, type=dict[str, Any])
    _log.info("refresh", **{name: outcome[name] for name in ("action", "champion", "challenger", "new_labels", "reasons")})


def _run(here: _Here, command: list[str]) -> tuple[int, str, str]:
    """Run a program with our settings until it ends: its status, stdout and stderr. It is ended with the scheduler."""
    env = environment_with(here.settings)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as child:
        here.children.append(child)
        if here.stopping:
            child.terminate()
        message, stderr = child.communicate()
        here.children.remove(child)
    return child.returncode, message, stderr


def make_scheduler(settings: Settings, database: Path) -> Any:
    """A scheduler whose jobs are those of the settings, started but paused; `database` keeps them from run to run.

    Raises SettingsError for a time that is none.
    """
    from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
    from apscheduler.jobstores.memory import MemoryJobStore
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.cron import CronTrigger

    try:
        refresh_at = CronTrigger.from_crontab(settings.refresh_cron, timezone=UTC) if settings.refresh_cron.strip() else None
    except ValueError as error:
        raise SettingsError(
            f'refresh_cron {settings.refresh_cron!r}: {error}; minute, hour, day, month and day of the week are wanted, such as "0 3 * * *"'
        ) from error
    scheduler = BackgroundScheduler(
        timezone=UTC,
        jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{database}"), "memory": MemoryJobStore()},
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )
    scheduler.add_listener(
        lambda event: _log.error("job failed, missed or still running", job=event.job_id, reason=str(getattr(event, "exception", ""))),
        EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES,
    )
    scheduler.start(paused=True)
    days = settings.retention_days
    retention = CronTrigger(hour=3, timezone=UTC) if days else None
    _put(scheduler, RETENTION, retention_job, [days], retention)
    if days:
        scheduler.modify_job(RETENTION, next_run_time=datetime.now(UTC))  # at each start too
    _put(scheduler, REFRESH, refresh_job, [], refresh_at)
    scheduler.add_job(sums_job, "interval", seconds=SUMS_EVERY_S, id=SUMS, jobstore="memory", next_run_time=datetime.now(UTC))
    return scheduler


def _put(scheduler: Any, name: str, job: Callable[..., None], arguments: list[int], trigger: Any) -> None:
    """Make the stored job what the settings say. One that is so already is left alone: it knows what it missed."""
    known = scheduler.get_job(name)
    if trigger is None:
        if known is not None:
            scheduler.remove_job(name)
        return
    if known is None or str(known.trigger) != str(trigger) or list(known.args) != arguments:
        scheduler.add_job(job, trigger, args=arguments, id=name, replace_existing=True)


def next_runs(scheduler: Any) -> dict[str, datetime]:
    """Job to the time of its next run, the soonest first; without those of every minute."""
    return {
        job.id: job.next_run_time for job in sorted(scheduler.get_jobs("default"), key=lambda job: job.next_run_time) if job.next_run_time
    }


@contextlib.contextmanager
def running_scheduler(settings: Settings, store: Store) -> Iterator[dict[str, datetime]]:
    """The jobs run in threads of this process while inside; when each runs next.

    Raises SettingsError when another scheduler has this data folder.
    """
    global _here  # noqa: PLW0603  kept jobs are names: they find what they work on here
    folder = wiring.data_dir(settings)
    busy = SettingsError(f"another scheduler runs on the data folder {folder}: one is enough; stop it, or set data_dir to another folder")
    with sole(folder / "schedule.lock", busy):
        scheduler = make_scheduler(settings, folder / "schedule.sqlite")
        here = _here = _Here(settings, store)
        try:
            runs = next_runs(scheduler)
            scheduler.resume()
            yield runs
        finally:
            here.stopping = True
            for child in list(here.children):
                child.terminate()
            scheduler.shutdown(wait=True)
            _here = None


def run_scheduler(settings: Settings, store: Store, notify: Callable[[str], None] = lambda _: None) -> None:
    """The scheduler as a process of its own, until SIGTERM or SIGINT. say: told when each job runs next."""
    stop = stop_on_signal()
    with running_scheduler(settings, store) as runs:
        for job, moment in runs.items():
            notify(f"{job} runs next at {moment:%Y-%m-%d %H:%M:%S} UTC")
        if not runs:
            notify("nothing is scheduled: see the settings refresh_cron and retention_days")
        _log.info("scheduler ready", **{job: moment.isoformat(timespec="seconds") for job, moment in runs.items()})
        stop.wait()
