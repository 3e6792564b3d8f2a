"""The worker process of any mode, and the handle by which the embedded mode runs it as a child.

It classifies, evaluates and delivers on Faust, and optionally serves the dashboard and runs the scheduler. The embedded mode starts
`python -m tocsin.runtime.worker_process`: one JSON line on stdin is the plan, and the end of stdin (the parent is gone) ends it. The
process may be killed at any time without losing data.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from core import log, metrics
from core.errors import EXIT_TEMPFAIL, EXIT_USAGE, TocsinError
from core.files import use_private_umask
from core.record_seals import RecordSeal
from core.settings import Settings
from domain.accounts import Account
from storage.store import Store
from tocsin import wiring
from tocsin.runtime.crawler_bridge import MAILBOX_FILE, running_bridge
from tocsin.runtime.first_login import store_first_account
from tocsin.runtime.heartbeat import heartbeats
from tocsin.services.explanation_service import ScoreExplainer

if TYPE_CHECKING:
    from dashboard.services import ExplanationService
    from models.inference.classifier import Classifier

_log = log.get_logger(__name__)

STOP_TIMEOUT_S = 40.0
"""Longer than the worker's own shutdown watchdog (30 s)."""


class WorkerProcess:
    """Handle of the child process.

    Args:
        make_plan: called at each start.
        log_file: takes its output; None inherits ours.
    """

    def __init__(self, make_plan: Callable[[], WorkerProcessPlan], log_file: Path | None) -> None:
        self._make_plan = make_plan
        self._metrics = ""
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start or restart it. It is not ready yet; see `ready`."""
        self._close_stdin()
        plan = self._make_plan()
        host = plan.settings.metrics_host
        self._metrics = f"{'127.0.0.1' if host == '0.0.0.0' else host}:{plan.settings.metrics_port}"  # noqa: S104
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self._log_file.open("ab")) if self._log_file else None
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tocsin.runtime.worker_process"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has exited already: see `returncode`
                stdin.write(msgspec.json.encode(plan) + b"\n")
                stdin.flush()

    @property
    def returncode(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int | None:
        """Process id."""
        return self._process.pid if self._process else None

    def ready(self) -> bool:
        """Whether it is in the consumer group, with its model loaded."""
        return _get(self._metrics, "/healthz") == "ok"

    def metrics(self) -> dict[str, float]:
        """Its counters, summed over labels; empty while it does not respond."""
        return counters(_get(self._metrics, "/metrics"))

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Send SIGTERM and wait; SIGKILL after `timeout_s`."""
        if self._process is None:
            return
        self._close_stdin()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                _log.warning("worker_killed", timeout_s=timeout_s)
                self._process.kill()
                self._process.wait()

    def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def counters(exposition: str) -> dict[str, float]:
    """Parse Prometheus text to {metric: sum over labels}."""
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if not sample.name.endswith(("_created", "_bucket")):
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals


def _get(address: str, path: str) -> str:
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(f"http://{address}{path}", timeout=2) as response:
        return str(response.read().decode())
    return ""


def last_reason(log_file: Path) -> str:
    """The last error in the worker's log, for an error message."""
    with contextlib.suppress(OSError):
        for line in reversed(log_file.read_text(errors="replace").splitlines()[-200:]):
            with contextlib.suppress(msgspec.DecodeError):
                entry = msgspec.json.decode(line, type=dict[str, object])
                if entry.get("level") in ("error", "critical") and entry.get("reason"):
                    return " ".join(
                        str(entry[supervised_thread]) for supervised_thread in ("reason", "error") if entry.get(supervised_thread)
                    )
    return f"see {log_file}"


class WorkerProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker process runs.

    Attributes:
        settings: of this installation.
        dashboard: whether it serves the dashboard.
        schedule: whether it runs the scheduler.
        session_timeout_s: seconds after which the broker reassigns a dead worker's partitions.
        broker_pid: the embedded broker, terminated with this process if the parent is gone; 0 for none.
        broker_run: names one run of the embedded broker, whose offsets start from zero at each start; "" for Kafka.
        seal_key: key of the records on the embedded broker; "" for Kafka.
        first: account to create if there are none; its password stays in the parent.
        outbox: whether the parent publishes the outbox in data_dir and its crawler reads the mailbox there.
    """

    settings: Settings
    dashboard: bool = True
    schedule: bool = True
    session_timeout_s: float = 12.0
    broker_pid: int = 0
    broker_run: str = ""
    seal_key: str = ""
    first: Account | None = None
    outbox: bool = False


def utc_now() -> datetime:
    """The current time, aware UTC."""
    return datetime.now(UTC)


def run_worker_process(plan: WorkerProcessPlan, stop: threading.Event | None = None) -> None:
    """Run until SIGTERM, SIGINT or `stop`. Call it on the main thread. Raises TocsinError for errors that an operator must fix."""
    from stream.worker.app import run_worker
    from tocsin.runtime.pipeline import make_pipeline

    settings = plan.settings
    wiring.register_names(settings)
    ready = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.enter_context(metrics.served(settings.metrics_host, settings.metrics_port, lambda: "" if ready.is_set() else "starting"))
        store = wiring.make_store(settings)
        stack.callback(store.close)
        current: list[Classifier] = []
        roles = ["work", *(["dashboard"] if plan.dashboard else []), *(["schedule"] if plan.schedule else [])]
        stack.enter_context(heartbeats(store, roles, ready=ready.is_set, model=lambda: current[0].version if current else ""))
        if plan.outbox:
            stack.enter_context(running_bridge(wiring.data_dir(settings) / MAILBOX_FILE, lambda: contextlib.nullcontext(store)))
        explainer = ScoreExplainer()
        model: Future[Classifier] | None = None
        if plan.dashboard:
            metrics.FIRST_LOGIN.set(store_first_account(store, plan.first))
            model = Future()
            outbox = wiring.data_dir(settings) / "outbox.sqlite" if plan.outbox else None
            stack.enter_context(dashboard_of(settings, store, explain=explainer, outbox=outbox, model=model))
        if plan.schedule:
            from tocsin.runtime.scheduler import running_scheduler

            stack.enter_context(running_scheduler(settings, store))
        classifier = stack.enter_context(wiring.following_classifier(settings))
        explainer.use(classifier)
        current.append(classifier)
        if model is not None:
            from models.inference.classifier import LockedClassifier

            classifier = LockedClassifier(classifier)  # the API uses it too
            model.set_result(classifier)
        _log.info("model_ready", model=classifier.version)
        pipeline = make_pipeline(settings, store, classifier, broker_run=plan.broker_run)

        async def main() -> None:
            stop_requested = asyncio.Event()
            with _stopping(asyncio.get_running_loop(), stop_requested.set, stop):
                await run_worker(
                    pipeline,
                    broker=settings.broker,
                    names=wiring.names(settings),
                    group=settings.consumer_group,
                    batch_max=settings.batch_max,
                    batch_wait_s=settings.batch_wait_ms / 1000,
                    data_dir=wiring.data_dir(settings) / "faust",
                    stop=stop_requested,
                    session_timeout_s=plan.session_timeout_s,
                    seal=RecordSeal(plan.seal_key),
                    on_ready=ready.set,
                )

        asyncio.run(main())


@contextlib.contextmanager
def dashboard_of(
    settings: Settings,
    store: Store,
    *,
    explain: ExplanationService | None = None,
    outbox: Path | None = None,
    model: Future[Classifier] | None = None,
) -> Iterator[str]:
    """Serve the dashboard and the API from threads of this process; yields the address.

    Args:
        settings: of this installation.
        store: what they read and write.
        explain: explains scores; None if no model runs in this process.
        outbox, model: see tocsin.services.api_backends.backends.

    Raises:
        SettingsError: the address or a setting is invalid.
    """
    from dashboard.app import create_app
    from dashboard.web.server import serve
    from tocsin.services.api_backends import backends
    from tocsin.services.factory import services_of

    public = urlsplit(settings.dashboard_url).hostname  # a proxy on this machine uses that host name
    if settings.dashboard_login == "password" and not store.accounts.all():
        _log.warning("no_dashboard_accounts", fix="tocsin users add NAME --role admin")
    with backends(settings, store, outbox=outbox, model=model) as api_backends, services_of(settings, store, utc_now, explain) as services:
        app = create_app(store, settings, now=utc_now, backends=api_backends, services=services)
        running = serve(app, settings.dashboard_host, settings.dashboard_port, hosts=(public,) if public else ())
        _log.info("dashboard_ready", url=running.url)
        try:
            yield running.url
        finally:
            running.close()


@contextlib.contextmanager
def _stopping(loop: asyncio.AbstractEventLoop, ask: Callable[[], None], stop: threading.Event | None) -> Iterator[None]:
    """While inside, SIGTERM, SIGINT or `stop` calls `ask` on the loop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    if stop is not None:

        def wait() -> None:
            stop.wait()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(ask)

        threading.Thread(target=wait, name="stop", daemon=True).start()
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _watch_parent(stop: threading.Event) -> None:
    """Set `stop` when the parent, which holds our stdin open, is gone."""
    while os.read(sys.stdin.fileno(), 4096):  # unbuffered: a thread waiting in the buffer would abort the interpreter's exit
        pass
    stop.set()


def main() -> int:
    """Entry point of the embedded mode's child process."""
    use_private_umask()
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stdin:
        plan = msgspec.json.decode(stdin.readline(), type=WorkerProcessPlan)
    log.configure(plan.settings.log_format, plan.settings.log_level)
    stop, parent = threading.Event(), os.getppid()
    threading.Thread(target=_watch_parent, args=(stop,), name="parent", daemon=True).start()
    try:
        run_worker_process(plan, stop)
    except TocsinError as error:
        _log.error("worker_failed", reason=str(error))
        return EXIT_TEMPFAIL if error.exit_code == EXIT_TEMPFAIL else EXIT_USAGE
    finally:
        if plan.broker_pid and os.getppid() != parent:  # the parent was killed and could not stop the broker
            with contextlib.suppress(ProcessLookupError):
                os.kill(plan.broker_pid, signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main())
