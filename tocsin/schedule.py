"""What happens by the clock, on APScheduler: old months leave the store. One scheduler per installation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from spine import log
from spine.errors import StoreError
from spine.settings import Settings
from spine.store import Store

_log = log.get_logger(__name__)


def retire_old_months(store: Store, retention_days: int, now: datetime) -> list[str]:
    """Drop the months that ended more than `retention_days` before `now`; their names. Raises StoreError."""
    dropped = store.retire(now - timedelta(days=retention_days))
    if dropped:
        _log.info("old months dropped", months=dropped)
    return dropped


def make_scheduler(settings: Settings, store: Store, scheduler: Any) -> Any:
    """Put every job on `scheduler` (an APScheduler one). A job that was missed runs once as soon as it can, however late."""
    from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED

    def retention() -> None:
        try:
            retire_old_months(store, settings.retention_days, datetime.now(UTC))
        except StoreError as error:
            _log.warning("retention postponed", reason=str(error))

    if settings.retention_days:
        scheduler.add_job(
            retention,
            "cron",
            hour=3,
            id="retention",
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
            next_run_time=datetime.now(UTC),
        )
    scheduler.add_listener(
        lambda event: _log.error("job failed or missed", job=event.job_id, reason=str(getattr(event, "exception", ""))),
        EVENT_JOB_ERROR | EVENT_JOB_MISSED,
    )
    return scheduler


@contextlib.contextmanager
def running_scheduler(settings: Settings, store: Store) -> Iterator[None]:
    """The jobs run in threads of this process while inside."""
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = make_scheduler(settings, store, BackgroundScheduler(timezone=UTC))
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=True)


def run_scheduler(settings: Settings, store: Store) -> None:
    """The scheduler as a process of its own, until SIGTERM or SIGINT."""
    import signal
    import threading

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with running_scheduler(settings, store):
        _log.info("scheduler ready", retention_days=settings.retention_days)
        stop.wait()
