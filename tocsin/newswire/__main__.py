"""`python -m tocsin.newswire`: the newswire alone, for any crawler to try itself on."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import click

from core.errors import TocsinError
from tocsin.newswire.cast import sectors
from tocsin.newswire.script import Plan
from tocsin.newswire.site import Newswire

_DEFAULT = Plan()
_EXAMPLES = """
\b
Examples:
  python -m tocsin.newswire                                   any free port, until Ctrl-C
  python -m tocsin.newswire --port 8099 --seed 3              always the same stories there
  python -m tocsin.newswire --config .                        also writes ./sources.toml for `tocsin up`
  python -m tocsin.newswire --crisis banks --crisis-after 60  a run on the banks after a minute
  python -m tocsin.newswire --crisis none --lively 0          a quiet day
"""


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0: any free one.")
@click.option("--seed", type=int, default=7, help="The same seed tells the same stories.")
@click.option("--per-minute", type=click.FloatRange(0, 10_000), default=_DEFAULT.per_minute, help="Articles a minute, copies included.")
@click.option("--lively", type=click.FloatRange(0), default=_DEFAULT.lively_s, help="Seconds of that pace; then that of the history.")
@click.option(
    "--history-hours", type=click.FloatRange(0, 24 * 60), default=_DEFAULT.history_h, help="How far the back-dated history reaches."
)
@click.option("--history-articles", type=click.IntRange(0, 50_000), default=_DEFAULT.history_articles, help="Articles in the history.")
@click.option("--crisis", type=click.Choice([*sectors(), "none"]), default=_DEFAULT.crisis_sector, help="The sector that breaks.")
@click.option("--crisis-after", type=click.FloatRange(0), default=_DEFAULT.crisis_after_s, help="Seconds from the start to the crisis.")
@click.option("--config", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Write sources.toml into this folder.")
def main(
    port: int,
    seed: int,
    per_minute: float,
    lively: float,
    history_hours: float,
    history_articles: int,
    crisis: str,
    crisis_after: float,
    config: Path | None,
) -> None:
    """Serve a simulated bilingual newswire: RSS and Atom feeds and article pages, with a crisis in one sector.

    The first line printed is its address; it serves until Ctrl-C or SIGTERM.
    """
    plan = Plan(
        history_h=history_hours,
        history_articles=history_articles,
        per_minute=per_minute,
        lively_s=lively,
        crisis_sector="" if crisis == "none" else crisis,
        crisis_after_s=crisis_after,
    )
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    newswire = Newswire(seed=seed, plan=plan, port=port)
    try:
        click.echo(newswire.start())
        if config is not None:
            click.echo(f"sources written to {newswire.write_config(config)}")
        for row in newswire.sources():
            click.echo(f"{row['name']}: {row['url']}")
    except (TocsinError, OSError) as error:
        newswire.stop()
        raise click.UsageError(str(error)) from error
    ended.wait()
    newswire.stop()


if __name__ == "__main__":
    main()
