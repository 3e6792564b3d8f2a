"""Scheduled jobs, on APScheduler: roll-ups, retention and model refreshes. One scheduler per installation.

    DATA_DIR/schedule.json   the schedule of each job and its next run; a missed run is made up for once, however late
             schedule.lock   held by the scheduler

The settings define the jobs; the file has only times, so that a restored or changed one cannot run anything else. Jobs work on the
store and the settings of the scheduler that runs in this process (`_Context`).
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec

from core import log
from core.errors import SettingsError, StoreError
from core.files import locked_or_raise, write_atomically
from core.settings import Settings
from storage.store import Store
from tocsin import wiring
from tocsin.runtime.threads import stop_on_signal
from tocsin.services.refresh_process import environment_with, refresh_command, write_label_snapshot

REFRESH, RETENTION, ROLLUPS = "refresh", "retention", "rollups"
ROLLUPS_EVERY_S = 60
ROLLUPS_PER_RUN = 100
"""Hours rolled up per run; only a loaded archive has more."""
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_log = log.get_logger(__name__)


@dataclass(slots=True)
class _Context:
    """What the jobs of this process work on. children: programs that jobs are waiting for"""

    settings: Settings
    store: Store
    children: list[subprocess.Popen[str]] = field(default_factory=list)
    stopping: bool = False


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stored of a job. schedule: its trigger as text; next_run_at: aware"""

    schedule: str
    next_run_at: Annotated[datetime, msgspec.Meta(tz=True)]


_context: _Context | None = None


def retire_old_months(store: Store, retention_days: int, now: datetime) -> list[str]:
    """Drop months that ended more than `retention_days` before `now`. Returns their names. Raises StoreError."""
    dropped = store.retire(now - timedelta(days=retention_days))
    if dropped:
        _log.info("months_dropped", months=dropped)
    return dropped


def retention_job(retention_days: int) -> None:
    """Job `retention`: drop old months."""
    if _context is None:
        return
    try:
        retire_old_months(_context.store, retention_days, datetime.now(UTC))
    except StoreError as error:
        _log.warning("retention_postponed", reason=str(error))


def rollups_job() -> None:
    """Job `rollups`, every minute and not stored: charts of weeks read roll-ups, and are correct without them."""
    if _context is None:
        return
    try:
        count = _context.store.rollups.refresh(datetime.now(UTC), ROLLUPS_PER_RUN)
    except StoreError as error:
        _log.warning("rollups_postponed", reason=str(error))
        return
    if count:
        _log.info("rollups_refreshed", hours=count)


def refresh_job() -> None:
    """Job `refresh`: run `tocsin refresh` in a separate process, so that training shares no memory with the scheduler.

    The labels are passed in a file, as an embedded store can only be open in one process.
    """
    if _context is None:
        return
    try:
        path = write_label_snapshot(_context.settings, _context.store, "snapshot.json")
    except StoreError as error:
        _log.warning("refresh_postponed", reason=str(error))
        return
    code, stdout, stderr = _run(_context, refresh_command(path, actor="scheduler"))
    path.unlink(missing_ok=True)
    if code:
        _log.error("refresh_failed", exit_code=code, reason=(stderr.strip().splitlines() or [""])[-1])
        return
    outcome = msgspec.json.decode(stdout, type=dict[str, Any])
    _log.info("refresh_finished", **{name: outcome[name] for name in ("action", "champion", "challenger", "new_labels", "reasons")})


def _run(context: _Context, command: list[str]) -> tuple[int, str, str]:
    """Run a program with our settings. Returns status, stdout and stderr. The scheduler's shutdown terminates it."""
    env = environment_with(context.settings)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as child:
        context.children.append(child)
        if context.stopping:
            child.terminate()
        stdout, stderr = child.communicate()
        context.children.remove(child)
    return child.returncode, stdout, stderr


def cron_trigger(text: str, now: datetime | None = None) -> Any:
    """Parse a crontab line (minute, hour, day, month, weekday; UTC) to an APScheduler trigger with cron's usual meaning.

    Weekdays count from Sunday, 0 or 7; APScheduler itself counts from Monday. If both day fields are restricted, the job runs
    when either matches.

    Args:
        text: such as "0 3 * * 0", Sundays at 03:00.
        now: the time from which the next run is searched, aware; None for the current time.

    Raises:
        SettingsError: the line is malformed, or it never matches a date.
    """
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    fields = text.split()
    try:
        if len(fields) != 5:
            raise ValueError(f"{len(fields)} fields instead of 5")
        minute, hour, day, month, weekday = fields
        weekday = _weekday_names(weekday)
        rest = {"minute": minute, "hour": hour, "month": month, "timezone": UTC}
        if day.startswith("*") or weekday.startswith("*") or fields[4].startswith("*"):
            trigger: Any = CronTrigger(day=day, day_of_week=weekday, **rest)
        else:
            trigger = OrTrigger([CronTrigger(day=day, **rest), CronTrigger(day_of_week=weekday, **rest)])
        if trigger.get_next_fire_time(None, now or datetime.now(UTC)) is None:
            raise ValueError("no date matches the schedule")
    except ValueError as error:
        message = f'refresh_cron {text!r}: {error}; expected minute, hour, day, month and weekday, such as "0 3 * * 0" (Sundays at 03:00)'
        raise SettingsError(message) from error
    return trigger


def _weekday_names(field: str) -> str:
    """A cron weekday field as a list of names, which APScheduler reads as cron does; "*" for all. Raises ValueError."""
    days: set[int] = set()
    for part in field.lower().split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if slash and not (step.isdecimal() and int(step)):
            raise ValueError(f"weekday {part!r}: the step must be a positive number")
        if span == "*":
            start, end = 0, 6
        else:
            start = _weekday(first)
            end = _weekday(last) if dash else start
            if dash and last == "sun":
                end = 7
            if slash and not dash:
                raise ValueError(f"weekday {part!r}: a step needs a range or *")
        if end < start:
            raise ValueError(f"weekday {part!r}: the range is reversed")
        days |= {day % 7 for day in range(start, end + 1, int(step) if slash else 1)}
    return "*" if len(days) == 7 else ",".join(WEEKDAYS[day] for day in sorted(days))


def _weekday(text: str) -> int:
    """A weekday as a number from 0 (Sunday) to 7 (Sunday). Raises ValueError."""
    if text in WEEKDAYS:
        return WEEKDAYS.index(text)
    if not text.isdecimal() or int(text) > 7:
        raise ValueError(f"weekday {text!r}: expected 0 to 7 (0 and 7 are Sunday) or sun to sat")
    return int(text)


def make_scheduler(settings: Settings, file: Path) -> Any:
    """A scheduler with the jobs of the settings, started but paused. `file` stores their next runs.

    Raises SettingsError for an invalid refresh_cron.
    """
    from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, EVENT_JOB_SUBMITTED
    from apscheduler.jobstores.memory import MemoryJobStore
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.cron import CronTrigger

    refresh_at = cron_trigger(settings.refresh_cron) if settings.refresh_cron.strip() else None
    scheduler = BackgroundScheduler(
        timezone=UTC,
        jobstores={"default": MemoryJobStore(), "memory": MemoryJobStore()},
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )
    scheduler.add_listener(
        lambda event: _log.error("job_not_run", job=event.job_id, reason=str(getattr(event, "exception", ""))),
        EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES,
    )
    scheduler.start(paused=True)
    rows, now, days = _read_rows(file), datetime.now(UTC), settings.retention_days
    if days:
        scheduler.add_job(retention_job, CronTrigger(hour=3, timezone=UTC), args=[days], id=RETENTION, next_run_time=now)  # at each start
    if refresh_at is not None:
        row = rows.get(REFRESH)
        missed = row is not None and row.schedule == str(refresh_at) and row.next_run_at <= now
        scheduler.add_job(refresh_job, refresh_at, id=REFRESH, **({"next_run_time": now} if missed else {}))
    scheduler.add_job(rollups_job, "interval", seconds=ROLLUPS_EVERY_S, id=ROLLUPS, jobstore="memory", next_run_time=now)
    _write_rows(file, scheduler)
    # a run counts from when it begins: the listener is called when the job already has its next time
    scheduler.add_listener(lambda event: _write_rows(file, scheduler) if event.jobstore == "default" else None, EVENT_JOB_SUBMITTED)
    return scheduler


def _read_rows(file: Path) -> dict[str, _Row]:
    """The stored rows by job; none, with a warning, if the file is not readable."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, _Row])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        _log.warning("schedule_unreadable", file=str(file), reason=str(error), effect="a run that was missed is not made up for")
        return {}


def _write_rows(file: Path, scheduler: Any) -> None:
    rows = {job.id: _Row(str(job.trigger), job.next_run_time) for job in scheduler.get_jobs("default") if job.next_run_time}
    try:
        write_atomically(file, msgspec.json.format(msgspec.json.encode(rows)))
    except OSError as error:
        _log.error("schedule_not_stored", file=str(file), reason=str(error), effect="a run may be repeated after a restart")


def next_runs(scheduler: Any) -> dict[str, datetime]:
    """Next run of each stored job, soonest first."""
    return {
        job.id: job.next_run_time for job in sorted(scheduler.get_jobs("default"), key=lambda job: job.next_run_time) if job.next_run_time
    }


@contextlib.contextmanager
def running_scheduler(settings: Settings, store: Store) -> Iterator[dict[str, datetime]]:
    """Run the jobs in threads of this process while inside; yields the next run of each.

    Raises SettingsError if another scheduler uses the data folder.
    """
    global _context  # noqa: PLW0603  APScheduler calls jobs with no more than their arguments
    folder = wiring.data_dir(settings)
    busy = SettingsError(f"another scheduler runs on the data folder {folder}; stop it, or set data_dir to another folder")
    with locked_or_raise(folder / "schedule.lock", busy):
        scheduler = make_scheduler(settings, folder / "schedule.json")
        context = _context = _Context(settings, store)
        try:
            runs = next_runs(scheduler)
            scheduler.resume()
            yield runs
        finally:
            context.stopping = True
            for child in list(context.children):
                child.terminate()
            scheduler.shutdown(wait=True)
            _context = None


def run_scheduler(settings: Settings, store: Store, notify: Callable[[str], None] = lambda _: None) -> None:
    """Run the scheduler until SIGTERM or SIGINT. notify: called with the next run of each job."""
    stop = stop_on_signal()
    with running_scheduler(settings, store) as runs:
        for job, moment in runs.items():
            notify(f"{job}: next run at {moment:%Y-%m-%d %H:%M:%S} UTC")
        if not runs:
            notify("no jobs are scheduled; see the settings refresh_cron and retention_days")
        _log.info("scheduler_ready", **{job: moment.isoformat(timespec="seconds") for job, moment in runs.items()})
        stop.wait()
