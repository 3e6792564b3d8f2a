"""Command `bench`: the benchmarks of docs/performance.md."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import click
import msgspec

from core.errors import InvalidInput
from tocsin.cli.archives import interruptible, parse_zone, progress_bars
from tocsin.cli.common import ExampleCommand, ExampleGroup, console, echo, print_json, progress_printer, results, settings_of, table_of
from tocsin.cli.topics import ours

STREAMS = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with stream/*.jsonl.gz.  [default: built-in headlines]",
)
ALERT_COLUMNS = ("false_per_week", "recall", "delay_p50", "delay_p90", "precision", "decoys")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(cls=ExampleGroup, examples="tocsin bench start --json\ntocsin bench archives news-2026.jsonl.gz --json")
def bench() -> None:
    """Run benchmarks on this machine."""


@bench.command("all", cls=ExampleCommand, examples="tocsin bench all --data ~/data\ntocsin bench all --only classify --only store")
@STREAMS
@click.option("--only", multiple=True, help="Name of a benchmark; may be repeated.  [default: all, about an hour]")
@click.pass_context
def all_(ctx: click.Context, data: Path | None, only: tuple[str, ...]) -> None:
    """Run the benchmarks of docs/performance.md and update its table."""
    from bench import classify, latency, peer, pipeline, report, start, store
    from models.registry.manifest import shipped

    settings = settings_of(ctx)
    benchmarks = {
        "classify": lambda: classify.measure(shipped(), data=data),
        "pipeline": lambda: pipeline.measure(settings, data=data),
        "latency": lambda: latency.measure(settings, data=data),
        "overload": lambda: pipeline.measure_overload(settings, data=data),
        "peer": lambda: peer.measure(settings, data=data),
        "scale": lambda: pipeline.measure_scale(settings, data=data),
        "store": lambda: store.measure(data=data),
        "start": start.measure,
    }
    report.run(benchmarks, only, progress_printer())


@bench.command(
    cls=ExampleCommand, examples="tocsin bench alerts --data ~/data --json\ntocsin bench alerts news-2023.jsonl.gz --episodes 60"
)
@click.argument("files", nargs=-1)
@STREAMS
@click.option(
    "--episodes",
    type=click.IntRange(min=12),
    default=600,
    show_default=True,
    help="Number of episodes that are injected into each archive.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Random seed.")
@JSON
@click.pass_context
def alerts(ctx: click.Context, files: tuple[str, ...], data: Path | None, episodes: int, seed: int, as_json: bool) -> None:
    """Measure recall, delay and false alarms of spike alerts.

    Injects negative episodes into real archives and measures recall, delay and false alarms of the default rule and of baselines.

    FILES, or the archives of --data, are classified once and kept in the data folder (ten minutes for 100,000 articles).
    """
    from bench.alerts import ARCHIVES, measure
    from ingest.archive.files import ReadOptions
    from stream.detection.spike_rule import SpikeRule
    from tocsin.runtime.backtest import archive_store
    from tocsin.services.replay import load_history

    paths = list(files) or [str(data / "stream" / f"{name}.jsonl.gz") for name in ARCHIVES if data]
    if not paths:
        raise InvalidInput("specify FILES, or their folder with --data")
    settings, report, reading = settings_of(ctx), progress_printer(), ReadOptions(fields={}, source="", zone=parse_zone("UTC"))
    found, rule = [], SpikeRule(min_materiality=settings.alert_min_materiality)
    for path in paths:
        with interruptible() as stop, progress_bars() as show, archive_store([path], settings, reading, stop, show) as store:
            history, _, _ = load_history(store, rule, None, None)
        found.append(measure(Path(path).name.partition(".")[0], history, rule, episodes=episodes, seed=seed, step=report))
    if as_json:
        print_json(found)
        return
    for figures in found:
        table = table_of("detector", "false alarms per week", "recall", "delay p50", "p90", "precision", "decoys")
        for each in figures.detectors:
            table.add_row(each.name, *(str(getattr(each, name)) for name in ALERT_COLUMNS))
        results.print(f"{figures.archive}: {figures.weeks} weeks, {figures.series} series; medium and large episodes")
        results.print(table)


@bench.command(
    "outages", cls=ExampleCommand, examples="tocsin bench outages --data ~/data --json\ntocsin bench outages news.jsonl.gz --outages 20"
)
@click.argument("files", nargs=-1)
@STREAMS
@click.option(
    "--outages",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Number of simulated outages of each source and of the whole feed.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Random seed.")
@JSON
@click.pass_context
def outages_(ctx: click.Context, files: tuple[str, ...], data: Path | None, outages: int, seed: int, as_json: bool) -> None:
    """Measure delay and false alarms of outage alerts.

    Measures false outage alerts on real archives (FILES, or those of --data), and the delay until simulated outages are detected.
    """
    from bench.alerts import ARCHIVES
    from bench.outage import measure
    from stream.detection.outage import OutageRule

    paths = [*map(Path, files)] or [data / "stream" / f"{name}.jsonl.gz" for name in ARCHIVES if data]
    if not paths:
        raise InvalidInput("specify FILES, or their folder with --data")
    rule = OutageRule.from_settings(settings_of(ctx))
    with console.status("replaying"):
        found = [measure(path, rule, outages=outages, seed=seed) for path in paths]
    if as_json:
        print_json(found)
        return
    for figures in found:
        table = table_of("series", "slots per day", "outages", "detected", "hours p50", "p90")
        for each in figures.injected:
            table.add_row(*map(str, msgspec.structs.astuple(each)))
        results.print(
            f"{figures.archive}: {figures.weeks} weeks, {figures.false_per_week} false alarms per week, {figures.gaps} in real gaps"
        )
        results.print(table)


@bench.command(cls=ExampleCommand, examples="tocsin bench start --json")
@JSON
@click.pass_context
def start(ctx: click.Context, as_json: bool) -> None:
    """Measure the time to the first scored article and the size of the installation."""
    from bench.start import measure

    settings_of(ctx)
    with console.status("running the demo until its alert"):
        _show(measure(), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench classify --json\ntocsin bench classify --data ~/data --docs 8192")
@STREAMS
@click.option("--docs", type=click.IntRange(64), default=4096, show_default=True, help="Number of headlines per round for Tocsin's engine.")
@click.option(
    "--hf-docs",
    type=click.IntRange(32),
    default=512,
    show_default=True,
    help="Number of headlines per round for the transformers pipeline.",
)
@click.option(
    "--repeats", type=click.IntRange(1), default=5, show_default=True, help="Number of rounds, of which the medians are reported."
)
@JSON
@click.pass_context
def classify(ctx: click.Context, data: Path | None, docs: int, hf_docs: int, repeats: int, as_json: bool) -> None:
    """Measure how many headlines the model scores per second.

    Compares the throughput with that of the transformers pipeline on the same weights and texts.
    """
    from bench.classify import measure
    from models.registry.manifest import shipped

    settings_of(ctx)
    _show(measure(shipped(), data=data, docs=docs, hf_docs=hf_docs, repeats=repeats), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench pipeline --json\ntocsin bench pipeline --data ~/data --seconds 1200")
@STREAMS
@click.option("--seconds", type=click.FloatRange(1.0), default=60.0, show_default=True, help="Duration after the warm-up in seconds.")
@JSON
@click.pass_context
def pipeline(ctx: click.Context, data: Path | None, seconds: float, as_json: bool) -> None:
    """Measure the throughput from Kafka to the store.

    Measures articles per second from Kafka to the store and for the model alone, memory and lag. Uses real servers if they are installed.
    """
    from bench.pipeline import measure

    _show(measure(settings_of(ctx), data=data, seconds=seconds), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench latency --json")
@STREAMS
@click.option("--seconds", type=click.FloatRange(1.0), default=30.0, show_default=True, help="Duration at each rate in seconds.")
@JSON
@click.pass_context
def latency(ctx: click.Context, data: Path | None, seconds: float, as_json: bool) -> None:
    """Measure the latency from publication to alert.

    Measures latency from publication to storage and to alert at 10, 50 and 90% of the sustained rate. Needs a ClickHouse server.
    """
    from bench.latency import measure

    _show(measure(settings_of(ctx), data=data, seconds=seconds), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench scale --json\ntocsin bench scale --workers 1 --workers 2")
@STREAMS
@click.option("--workers", type=click.IntRange(1, 64), multiple=True, help="Number of workers; may be repeated.  [default: 1, 2 and 4]")
@click.option("--count", type=click.IntRange(1), default=4000, show_default=True, help="Articles per run.")
@JSON
@click.pass_context
def scale(ctx: click.Context, data: Path | None, workers: tuple[int, ...], count: int, as_json: bool) -> None:
    """Measure the throughput of one, two and four workers.

    Processes the same articles with one, two and four workers and checks that none is lost or duplicated.
    """
    from bench.pipeline import WORKERS, measure_scale

    _show(measure_scale(settings_of(ctx), data=data, workers=workers or WORKERS, count=count), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench overload --json\ntocsin bench overload --seconds 60 --times 2")
@STREAMS
@click.option("--seconds", type=click.FloatRange(1.0), default=300.0, show_default=True, help="Duration of the overload in seconds.")
@click.option(
    "--times", type=click.FloatRange(1.1), default=3.0, show_default=True, help="Offered load as a multiple of the sustained rate."
)
@JSON
@click.pass_context
def overload(ctx: click.Context, data: Path | None, seconds: float, times: float, as_json: bool) -> None:
    """Measure behaviour under three times the sustained rate.

    Offers three times the sustained rate for five minutes, then measures how the backlog drains. Needs a ClickHouse server.
    """
    from bench.pipeline import measure_overload

    _show(measure_overload(settings_of(ctx), data=data, seconds=seconds, times=times), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench peer --json")
@STREAMS
@click.option("--docs", type=click.IntRange(512), default=8000, show_default=True, help="Number of articles for Tocsin's worker.")
@click.option("--naive-docs", type=click.IntRange(64), default=1000, show_default=True, help="Number of articles for the naive program.")
@JSON
@click.pass_context
def peer(ctx: click.Context, data: Path | None, docs: int, naive_docs: int, as_json: bool) -> None:
    """Compare the worker with a naive program.

    The naive program uses kafka-python, the transformers pipeline and one insert per row.
    """
    from bench.peer import measure

    _show(measure(settings_of(ctx), data=data, docs=docs, naive_docs=naive_docs), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench store --json\ntocsin bench store --size 1000000")
@STREAMS
@click.option(
    "--size", "sizes", type=click.IntRange(1), multiple=True, help="Number of articles; may be repeated.  [default: 1 and 10 million]"
)
@click.option(
    "--seed",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Number of articles that are inserted in the same way as by the worker.",
)
@JSON
@click.pass_context
def store(ctx: click.Context, data: Path | None, sizes: tuple[int, ...], seed: int, as_json: bool) -> None:
    """Measure inserts and dashboard queries on millions of articles.

    Measures inserts per second and every dashboard query, cold and warm, with millions of articles. Needs a ClickHouse server.
    """
    from bench.store import SIZES, measure

    settings_of(ctx)
    _show(measure(seed=seed, sizes=sorted(sizes) or SIZES, data=data), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench archives zh.jsonl.gz en.jsonl.gz --json")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@JSON
@click.pass_context
def archives(ctx: click.Context, files: tuple[str, ...], as_json: bool) -> None:
    """Backfill whole archives and check that nothing is lost.

    Backfills whole archives into a new store and compares distinct ids in files and store, and measures articles per second.
    """
    from bench.archives import measure

    with console.status("backfilling"):
        _show(measure(files, settings_of(ctx)), as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench methods --data ~/data --json\ntocsin bench methods --data ~/data --only lora")
@click.option("--data", type=click.Path(exists=True, file_okay=False), required=True, help="Folder of the labelled data sets.")
@click.option("--start", type=click.Path(exists=True, file_okay=False), help="Version to start from.  [default: the shipped one]")
@click.option("--rows", type=click.IntRange(10), default=1500, show_default=True, help="Number of rows of the new slice.")
@click.option("--old-rows", type=click.IntRange(10), default=400, show_default=True, help="Number of rows of each old test file.")
@click.option("--only", multiple=True, help="Name of a method; may be repeated.  [default: all]")
@JSON
@click.pass_context
def methods(ctx: click.Context, data: str, start: str | None, rows: int, old_rows: int, only: tuple[str, ...], as_json: bool) -> None:
    """Compare fine-tuning methods.

    Compares fine-tuning methods on a new data slice: quality, forgetting, trained parameters, size and time.
    """
    from bench.methods import measure

    settings_of(ctx)
    found = measure(Path(data), rows=rows, old_rows=old_rows, start=Path(start) if start else None, only=only)
    if as_json:
        print_json(found)
        return
    table = table_of("method", "new", "old", "lost", "trained", "MB", "s")
    for each in found.methods:
        table.add_row(
            each.name,
            f"{each.new:.3f}",
            f"{each.old:.3f}",
            f"{each.lost:+.2f}",
            f"{each.trained:,}",
            f"{each.megabytes}",
            f"{each.seconds}",
        )
    results.print(table)


@bench.command(cls=ExampleCommand, examples="tocsin bench explain --json")
@click.option("--texts", type=click.IntRange(2), default=50, show_default=True, help="Number of built-in sentences per language.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def explain(ctx: click.Context, texts: int, as_json: bool) -> None:
    """Measure the quality of explanations.

    Measures deletion curves: how fast the class probability falls if the explained words are deleted, compared with random words.
    """
    from bench.explanations import measure_deletion
    from models.templates import fill_templates, read_templates

    dice = random.Random(0)  # noqa: S311
    seeds = fill_templates(read_templates(), 1, dice)
    drawn = [seed for language in ("en", "zh") for seed in dice.sample([each for each in seeds if each.language == language], texts)]
    with console.status("explaining"):
        found = measure_deletion(ours(settings_of(ctx)), drawn, dice)
    for each in found:
        _show(each, as_json)


@bench.command(cls=ExampleCommand, examples="tocsin bench topics --data ~/data --json")
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False), required=True, help="Folder of labelled data sets, with the subfolder topic/."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def topics(ctx: click.Context, data: str, as_json: bool) -> None:
    """Measure user-defined topics learned from eight texts.

    Measures the quality of topics learned from eight texts, with and without contrastive training, and from the name alone.
    """
    from bench.own_topics import measure

    with console.status("learning"):
        found = measure(ours(settings_of(ctx)), Path(data))
    table = table_of("set", "class", "method", "average precision", "F1", "base rate")
    for mark in found:
        if as_json:
            print_json(mark)
        else:
            table.add_row(mark.source, mark.label, mark.method, f"{mark.average_precision:.3f}", f"{mark.f1:.3f}", f"{mark.base:.3f}")
    if not as_json:
        results.print(table)


@bench.command(cls=ExampleCommand, examples="tocsin bench linking zh_flash.jsonl.gz --json")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@JSON
@click.pass_context
def linking(ctx: click.Context, file: str, as_json: bool) -> None:
    """Measure how many companies are found in texts.

    Compares the companies found in 2,000 texts of FILE with those that the source attached (`stocks`).
    """
    from bench.linking import measure
    from tocsin import wiring

    with console.status("searching"):
        _show(measure(wiring.make_gazetteer(settings_of(ctx)), Path(file)), as_json)


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for name, value in msgspec.to_builtins(result).items():
        echo(f"{name}: {value}")


COMMANDS = (bench,)
