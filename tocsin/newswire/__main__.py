"""`python -m tocsin.newswire`: the newswire alone, for testing crawlers, or its history as a file."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click
import msgspec

from core.errors import TocsinError
from core.files import use_private_umask
from tocsin.newswire.cast import PAPERS, sectors
from tocsin.newswire.script import Plan, weeks_of_history
from tocsin.newswire.site import Newswire

_DEFAULT = Plan()
_EXAMPLES = """
\b
Examples:
  python -m tocsin.newswire                                   serve on any free port until Ctrl-C
  python -m tocsin.newswire --port 8099 --seed 3              fixed port and seed
  python -m tocsin.newswire --config .                        also write ./sources.toml for `tocsin up`
  python -m tocsin.newswire --crisis banks --crisis-after 60  a banking crisis after a minute
  python -m tocsin.newswire --archive month.jsonl             four weeks of history for `tocsin backfill`
  python -m tocsin.newswire --crisis none --lively 0          no crisis
"""


def write_archive(path: Path, seed: int, *, days: int, per_day: int) -> int:
    """Write a history that ends now as JSONL, in the format of `tocsin backfill`. Returns the number of articles."""
    hosts = {paper.name: f"https://{paper.slug}.newswire.invalid" for paper in PAPERS}
    articles = weeks_of_history(seed, datetime.now(UTC).replace(microsecond=0), days=days, per_day=per_day)
    with path.open("wb") as file:
        for article in articles:
            row = {
                "url": hosts[article.source] + article.url,
                "title": article.title,
                "text": article.text,
                "source": article.source,
                "published": article.published_at.isoformat(),
                "language": article.language,
            }
            file.write(msgspec.json.encode(row) + b"\n")
    return len(articles)


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0: any free one.")
@click.option("--seed", type=int, default=7, help="Random seed.")
@click.option("--per-minute", type=click.FloatRange(0, 10_000), default=_DEFAULT.per_minute, help="Articles per minute, copies included.")
@click.option("--lively", type=click.FloatRange(0), default=_DEFAULT.lively_s, help="Seconds at that rate; then the rate of the history.")
@click.option("--history-hours", type=click.FloatRange(0, 24 * 60), default=_DEFAULT.history_h, help="Length of the back-dated history.")
@click.option(
    "--history-articles", type=click.IntRange(0, 50_000), default=_DEFAULT.history_articles, help="Number of articles in the history."
)
@click.option("--crisis", type=click.Choice([*sectors(), "none"]), default=_DEFAULT.crisis_sector, help="Sector of the crisis.")
@click.option("--crisis-after", type=click.FloatRange(0), default=_DEFAULT.crisis_after_s, help="Seconds from the start to the crisis.")
@click.option("--config", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Write sources.toml into this folder.")
@click.option(
    "--archive", type=click.Path(dir_okay=False, path_type=Path), help="Write a history as JSONL for `tocsin backfill`, and exit."
)
@click.option("--days", type=click.IntRange(1, 366), default=28, help="Length of the --archive history, with a crisis each week.")
@click.option("--per-day", type=click.IntRange(1, 10_000), default=500, help="Articles per day in the --archive history.")
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
    archive: Path | None,
    days: int,
    per_day: int,
) -> None:
    """Serve a simulated bilingual newswire: RSS and Atom feeds and article pages, with a crisis in one sector.

    The first line printed is its address; it serves until Ctrl-C or SIGTERM. With --archive it writes a long history and exits.
    """
    if archive is not None:
        click.echo(f"{write_archive(archive, seed, days=days, per_day=per_day)} articles written to {archive}")
        return
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
    use_private_umask()
    main()
