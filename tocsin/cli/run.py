"""Commands that run the system: `demo` and `up` on one machine; `crawl`, `work`, `dashboard` and `schedule` as single roles."""

from __future__ import annotations

import contextlib
import sys
import time
from functools import partial
from pathlib import Path

import click

from core import log, metrics
from core.errors import SettingsError, TocsinError
from core.settings import Settings
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, print_first_login, print_json, progress_printer, settings_of
from tocsin.runtime.crawler_bridge import MAILBOX_FILE, running_bridge
from tocsin.runtime.heartbeat import heartbeats
from tocsin.runtime.threads import interrupt_on_signal, stop_on_signal, supervised_thread


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin demo
    tocsin demo --headless --until-alert --json
    tocsin demo --seed 11 --port 9000
    """,
)
@click.option("--headless", is_flag=True, help="Do not start the dashboard.")
@click.option("--until-alert", is_flag=True, help="Exit after the crisis alert. This is the default if stdout is not a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
@click.option("--seed", type=int, default=7, show_default=True, help="Random seed of the newswire.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the dashboard; 0 for any free port.  [default: 8050, or a free port]")
@click.option(
    "--timeout",
    type=click.FloatRange(10),
    default=300.0,
    show_default=True,
    help="Number of seconds after which the command fails if there is no alert.",
)
@click.pass_context
def demo(ctx: click.Context, headless: bool, until_alert: bool, as_json: bool, seed: int, port: int | None, timeout: float) -> None:
    """Run Tocsin on a simulated newswire.

    Crawls a simulated bilingual newswire and raises an alert when a crisis breaks out on it. Everything runs on this machine with
    an embedded broker and store in a temporary folder: no Docker, Java, GPU or network needed.
    """
    from tocsin.runtime.demo import Demo, summary_line
    from tocsin.runtime.embedded_broker import accepts, free_port

    interrupt_on_signal()
    settings = settings_of(ctx, broker="embedded", store="embedded", dashboard_port=port)
    if not settings.dashboard_port or (port is None and accepts(settings.dashboard_host, settings.dashboard_port)):
        settings = settings_of(ctx, broker="embedded", store="embedded", dashboard_port=free_port())
    log.configure(settings.log_format, "warning")  # the demo prints its own messages
    notify = progress_printer()
    forever = sys.stdout.isatty() and not until_alert
    if forever:
        notify("press Ctrl-C to stop")
    demo_run = Demo(
        settings,
        notify=notify,
        show_login=print_first_login,
        seed=seed,
        forever=forever,
        dashboard=not headless,
        timeout_s=timeout,
    )
    summary = demo_run.run()
    notify(summary_line(summary))
    if as_json:
        print_json(summary)


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin up --sources sources.toml
    tocsin --config tocsin.toml up
    TOCSIN_BROKER=kafka:9092 tocsin up --sources sources.toml
    """,
)
@click.option("--sources", type=click.Path(), help="TOML file of the feeds to crawl; see deploy/sources.example.toml.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the dashboard.  [default: the setting dashboard_port]")
@click.option("--headless", is_flag=True, help="Do not start the dashboard.")
@click.pass_context
def up(ctx: click.Context, sources: str | None, port: int | None, headless: bool) -> None:
    """Run everything: crawler, worker and dashboard.

    Crawls your feeds, classifies articles, raises alerts and serves the dashboard until you press Ctrl-C. By default, the broker and the
    store are embedded, and all data is kept in data_dir.
    """
    from ingest.crawl.sources import load_sources
    from tocsin.runtime.embedded import Stack
    from tocsin.runtime.first_login import dashboard_address, for_terminal

    interrupt_on_signal()
    settings = settings_of(ctx, sources=sources, dashboard_port=port)
    if not settings.sources:
        raise SettingsError("no sources: specify --sources FILE; see deploy/sources.example.toml, or try `tocsin demo`")
    feeds = load_sources(Path(settings.sources).expanduser())
    notify = progress_printer()
    first = None if headless else for_terminal(settings)
    with Stack(settings, sources=feeds, dashboard=not headless, notify=notify, first=first) as stack:
        notify(f"crawling {len(feeds)} feeds; the worker's log is in {stack.log_file}")
        stack.wait_ready()
        if not headless:
            notify(f"dashboard on {dashboard_address(settings)}")
            if first is not None and stack.worker.metrics().get("tocsin_first_login"):
                print_first_login(first, dashboard_address(settings))
        notify("ready; press Ctrl-C to stop")
        try:
            while True:
                stack.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            notify("stopping")


_EXTERNAL = "a single role needs external servers: set `{name}` to the address of a {what}; `tocsin up` runs everything embedded"


def _external(settings: Settings, *, broker: bool = True, store: bool = True) -> Settings:
    """Check that broker and store are external: embedded ones can only be used by one process."""
    if broker and settings.broker == "embedded":
        raise SettingsError(_EXTERNAL.format(name="broker", what="Kafka"))
    if store and settings.store == "embedded":
        raise SettingsError(_EXTERNAL.format(name="store", what="ClickHouse server"))
    return settings


@click.command(
    cls=ExampleCommand, examples="TOCSIN_BROKER=kafka:9092 TOCSIN_STORE=clickhouse://default:@clickhouse:9000/tocsin tocsin work"
)
@click.pass_context
def work(ctx: click.Context) -> None:
    """Run one worker.

    A worker classifies articles, evaluates rules and delivers alerts. Run at most one worker per partition.
    """
    from tocsin.runtime.worker_process import WorkerProcessPlan, run_worker_process

    run_worker_process(WorkerProcessPlan(settings=_external(settings_of(ctx)), dashboard=False, schedule=False))


@click.command(cls=ExampleCommand, examples="TOCSIN_BROKER=kafka:9092 tocsin crawl --sources sources.toml")
@click.option("--sources", type=click.Path(), help="TOML file of the feeds to crawl.")
@click.pass_context
def crawl(ctx: click.Context, sources: str | None) -> None:
    """Run the crawler.

    The crawler publishes the articles of feeds to Kafka through an outbox on disk. With a ClickHouse server in the setting `store`, it also
    crawls feeds added on the dashboard and reports the state of all feeds.
    """
    from ingest.crawl.crawler import Crawler
    from ingest.crawl.crawler_mailbox import CrawlerMailbox
    from ingest.crawl.fetcher import Fetcher
    from ingest.crawl.parsers import ParserPool
    from ingest.crawl.sources import load_sources
    from ingest.kafka.outbox import Outbox
    from ingest.kafka.producer import BoundedProducer
    from ingest.kafka.publisher import Publisher

    settings = _external(settings_of(ctx, sources=sources), store=False)
    if not settings.sources:
        raise SettingsError("no sources: specify --sources FILE or set `sources`")
    feeds = load_sources(Path(settings.sources).expanduser())
    gazetteer = wiring.make_gazetteer(settings)
    stop = stop_on_signal()
    outbox = Outbox(wiring.data_dir(settings) / "outbox.sqlite", durable_broker=True)
    publisher = Publisher(outbox, BoundedProducer(settings.broker, wiring.names(settings).articles))
    failures: list[str] = []

    def give_up(why: str) -> None:
        failures.append(why)
        stop.set()

    thread = supervised_thread("publisher", partial(publisher.run, stop), give_up)
    thread.start()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(metrics.served(settings.metrics_host, settings.metrics_port, publisher.unhealthy_reason))
            path = wiring.data_dir(settings) / MAILBOX_FILE
            if settings.store != "embedded":
                stack.enter_context(running_bridge(path, lambda: contextlib.closing(wiring.make_store(settings, migrate=False))))
            fetcher = stack.enter_context(contextlib.closing(Fetcher()))
            mailbox = stack.enter_context(contextlib.closing(CrawlerMailbox(path)))
            parsers = stack.enter_context(contextlib.closing(ParserPool()))
            Crawler(feeds, fetcher, outbox, gazetteer, mailbox=mailbox, parsers=parsers).run(stop)
    finally:
        stop.set()
        thread.join()
        publisher.close()
        outbox.close()
    if failures:
        raise TocsinError(failures[0])


@click.command(cls=ExampleCommand, examples="TOCSIN_STORE=clickhouse://default:@clickhouse:9000/tocsin tocsin dashboard")
@click.option("--host", help="Address to listen on.  [default: the setting dashboard_host]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: the setting dashboard_port]")
@click.pass_context
def dashboard(ctx: click.Context, host: str | None, port: int | None) -> None:
    """Run the dashboard on a ClickHouse server."""
    from tocsin.runtime.first_login import for_terminal, store_first_account
    from tocsin.runtime.worker_process import dashboard_of

    settings = _external(settings_of(ctx, dashboard_host=host, dashboard_port=port), broker=False)
    stop = stop_on_signal()
    store = wiring.make_store(settings)
    try:
        first = for_terminal(settings)
        waits = store_first_account(store, first.account if first else None)
        with (
            metrics.served(settings.metrics_host, settings.metrics_port, lambda: ""),
            heartbeats(store, ("dashboard",)),
            dashboard_of(settings, store) as url,
        ):
            progress_printer()(f"dashboard on {url}")
            if first is not None and waits:
                print_first_login(first, url)
            stop.wait()
    finally:
        store.close()


@click.command(cls=ExampleCommand, examples="TOCSIN_STORE=clickhouse://default:@clickhouse:9000/tocsin tocsin schedule")
@click.pass_context
def schedule(ctx: click.Context) -> None:
    """Run the scheduler.

    The scheduler deletes old months (retention_days) and refreshes the model (refresh_cron). Run one scheduler per installation.
    """
    from tocsin.runtime.scheduler import run_scheduler

    settings = _external(settings_of(ctx), broker=False)
    store = wiring.make_store(settings)
    try:
        with metrics.served(settings.metrics_host, settings.metrics_port, lambda: ""), heartbeats(store, ("schedule",)):
            run_scheduler(settings, store, progress_printer())
    finally:
        store.close()


COMMANDS = (demo, up, crawl, work, dashboard, schedule)
