"""The worker process of any mode: score, watch and notify on Faust, and, when asked, the dashboard and the scheduler beside them.

`python -m tocsin.runtime.worker_process` is how the embedded mode runs it: one JSON line on stdin says what to run, and the end of stdin
(the parent is gone) ends it. The process may die at any point and nothing is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from core import log, metrics
from core.errors import EXIT_LATER, EXIT_MEND, BrokerError, StoreBusy, TocsinError
from core.settings import Settings
from domain.accounts import Account
from storage.store import Store
from tocsin.runtime import wiring
from tocsin.runtime.crawler_bridge import BOARD, connected
from tocsin.runtime.first_login import keep
from tocsin.runtime.heartbeat import beating
from tocsin.services.explanation_service import Explainer

if TYPE_CHECKING:
    from dashboard.services import Explain
    from models.inference.classifier import Classifier

_log = log.get_logger(__name__)


class NodePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one process runs.

    session_timeout_s: after which the broker gives a dead worker's partitions away
    broker_pid: of the embedded broker, to be ended with us should the parent be gone; 0: none
    era: of the embedded broker, which numbers its messages anew at each start; "": Kafka's numbers are for ever
    first: the account to make for the dashboard where nobody has one; its password stays with the parent
    outbox: whether the parent publishes what is put into the outbox of data_dir, and its crawler looks at the board there
    """

    settings: Settings
    dashboard: bool = True
    schedule: bool = True
    session_timeout_s: float = 12.0
    broker_pid: int = 0
    era: str = ""
    first: Account | None = None
    outbox: bool = False


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


def run_node(plan: NodePlan, stop: threading.Event | None = None) -> None:
    """Run until SIGTERM, SIGINT or `stop`. On the main thread. Raises TocsinError for what a person has to mend."""
    from stream.worker.app import run_worker

    settings = plan.settings
    wiring.know_names(settings)
    ready = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.enter_context(metrics.served(settings.metrics_host, settings.metrics_port, lambda: "" if ready.is_set() else "starting"))
        store = wiring.make_store(settings)
        stack.callback(store.close)
        current: list[Classifier] = []
        roles = ["work", *(["dashboard"] if plan.dashboard else []), *(["schedule"] if plan.schedule else [])]
        stack.enter_context(beating(store, roles, ready=ready.is_set, model=lambda: current[0].version if current else ""))
        if plan.outbox:
            stack.enter_context(connected(wiring.data_dir(settings) / BOARD, lambda: contextlib.nullcontext(store)))
        explainer = Explainer()
        model: Future[Classifier] | None = None
        if plan.dashboard:
            metrics.FIRST_LOGIN.set(keep(store, plan.first))
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
            from models.inference.locked_classifier import InTurn

            classifier = InTurn(classifier)  # the API asks it too
            model.set_result(classifier)
        _log.info("model ready", model=classifier.version)
        pipeline = wiring.make_pipeline(settings, store, classifier, era=plan.era)

        async def main() -> None:
            wanted = asyncio.Event()
            with _stopping(asyncio.get_running_loop(), wanted.set, stop):
                await run_worker(
                    pipeline,
                    broker=settings.broker,
                    names=wiring.names(settings),
                    group=settings.consumer_group,
                    batch_max=settings.batch_max,
                    batch_wait_s=settings.batch_wait_ms / 1000,
                    data_dir=wiring.data_dir(settings) / "faust",
                    stop=wanted,
                    session_timeout_s=plan.session_timeout_s,
                    on_ready=ready.set,
                )

        asyncio.run(main())


@contextlib.contextmanager
def dashboard_of(
    settings: Settings,
    store: Store,
    *,
    explain: Explain | None = None,
    outbox: Path | None = None,
    model: Future[Classifier] | None = None,
) -> Iterator[str]:
    """The dashboard and the API served from threads of this process; its address. Raises SettingsError.

    explain: of the model that runs in it; outbox, model: as tocsin.services.api_backends.backends has them
    """
    from dashboard.app import create_app
    from dashboard.web.server import serve
    from tocsin.services.api_backends import backends
    from tocsin.services.factory import desks_of

    public = urlsplit(settings.dashboard_url).hostname  # a proxy on this machine asks for it by that name
    if settings.dashboard_login == "password" and not store.accounts.all():
        _log.warning("nobody has an account for the dashboard", mend="tocsin users add NAME --role admin")
    with backends(settings, store, outbox=outbox, model=model) as able, desks_of(settings, store, utc_now, explain) as desks:
        app = create_app(store, settings, now=utc_now, backends=able, desks=desks)
        running = serve(app, settings.dashboard_host, settings.dashboard_port, hosts=(public,) if public else ())
        _log.info("dashboard ready", url=running.url)
        try:
            yield running.url
        finally:
            running.close()


@contextlib.contextmanager
def _stopping(loop: asyncio.AbstractEventLoop, ask: Callable[[], None], stop: threading.Event | None) -> Iterator[None]:
    """While inside, a signal or `stop` calls `ask` on the loop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    if stop is not None:

        def wait() -> None:
            stop.wait()
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(ask)

        threading.Thread(target=wait, name="stop", daemon=True).start()
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _watch_parent(stop: threading.Event) -> None:
    """The parent holds our stdin open; when it is gone, so are we."""
    while os.read(sys.stdin.fileno(), 4096):  # not through the buffer: a thread that waits in it would abort our own exit
        pass
    stop.set()


def main() -> int:
    """Entry of the embedded mode's child."""
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stdin:
        plan = msgspec.json.decode(stdin.readline(), type=NodePlan)
    log.configure(plan.settings.log_format, plan.settings.log_level)
    stop, parent = threading.Event(), os.getppid()
    threading.Thread(target=_watch_parent, args=(stop,), name="parent", daemon=True).start()
    try:
        run_node(plan, stop)
    except TocsinError as error:
        _log.error("node ends", reason=str(error))
        return EXIT_LATER if isinstance(error, StoreBusy | BrokerError) else EXIT_MEND
    finally:
        if plan.broker_pid and os.getppid() != parent:  # it was killed and could not tidy up
            with contextlib.suppress(ProcessLookupError):
                os.kill(plan.broker_pid, signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main())
