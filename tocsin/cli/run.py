"""Commands that run the whole path on one machine: demo and up."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from core import log
from core.errors import SettingsError
from tocsin.cli.common import ExampleCommand, print_json, settings_of, teller
from tocsin.runtime.threads import interrupt_on_signal


@click.command(
    cls=ExampleCommand,
    examples="""
    tocsin demo
    tocsin demo --headless --until-alert --json
    tocsin demo --seed 11 --port 9000
    """,
)
@click.option("--headless", is_flag=True, help="Without the dashboard.")
@click.option("--until-alert", is_flag=True, help="End once the crisis was alerted (the default when stdout is not a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of the newswire: the same seed tells the same stories.")
@click.option("--port", type=click.IntRange(0, 65535), help="Of the dashboard; 0 takes any free one.  [default: 8050, or a free one]")
@click.option(
    "--timeout", type=click.FloatRange(10), default=300.0, show_default=True, help="Seconds after which a missing alert is a failure."
)
@click.pass_context
def demo(ctx: click.Context, headless: bool, until_alert: bool, as_json: bool, seed: int, port: int | None, timeout: float) -> None:
    """Crawl a simulated bilingual newswire, and ring when a crisis breaks out on it.

    Everything runs here, on an embedded broker and store in a temporary folder: no Docker, no Java, no GPU, no network.
    """
    from tocsin.runtime.demo import Demo, in_words
    from tocsin.runtime.embedded_broker import accepts, free_port

    interrupt_on_signal()
    settings = settings_of(ctx, broker="embedded", store="embedded", dashboard_port=port)
    if not settings.dashboard_port or (port is None and accepts(settings.dashboard_host, settings.dashboard_port)):
        settings = settings_of(ctx, broker="embedded", store="embedded", dashboard_port=free_port())
    log.configure(settings.log_format, "warning")  # the demo tells in its own words
    say = teller()
    forever = sys.stdout.isatty() and not until_alert
    if forever:
        say("press Ctrl-C to end")
    summary = Demo(settings, say=say, seed=seed, forever=forever, dashboard=not headless, timeout_s=timeout).run()
    say(in_words(summary))
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
@click.option("--sources", type=click.Path(), help="TOML file of the feeds to crawl (deploy/sources.example.toml shows one).")
@click.option("--port", type=click.IntRange(0, 65535), help="Of the dashboard.  [default: the setting dashboard_port]")
@click.option("--headless", is_flag=True, help="Without the dashboard.")
@click.pass_context
def up(ctx: click.Context, sources: str | None, port: int | None, headless: bool) -> None:
    """Crawl your own feeds, score them, and serve the dashboard, until Ctrl-C.

    With the default settings the broker and the store are embedded; what was crawled stays in data_dir.
    """
    from ingest.crawl.sources import load_sources
    from tocsin.runtime.embedded import Stack
    from tocsin.runtime.first_login import address_of, for_terminal, tell

    interrupt_on_signal()
    settings = settings_of(ctx, sources=sources, dashboard_port=port)
    if not settings.sources:
        raise SettingsError("no sources: give --sources FILE; deploy/sources.example.toml shows one, and `tocsin demo` needs none")
    feeds = load_sources(Path(settings.sources).expanduser())
    say = teller()
    first = None if headless else for_terminal(settings)
    with Stack(settings, sources=feeds, dashboard=not headless, say=say, first=first) as stack:
        say(f"crawling {len(feeds)} feeds; the worker's log is in {stack.log_file}")
        stack.wait_ready()
        if not headless:
            say(f"dashboard on {address_of(settings)}")
            if first is not None and stack.node.metrics().get("tocsin_first_login"):
                tell(first, address_of(settings))
        say("ready; press Ctrl-C to end")
        try:
            while True:
                stack.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            say("stopping")


COMMANDS = (demo, up)
