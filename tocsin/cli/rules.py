"""Command `rules`: check, list and preview alert rules."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from core.errors import InvalidInput
from core.series import series_name
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, ExampleGroup, console, existing_store, print_json, results, settings_of, table_of

if TYPE_CHECKING:
    from stream.detection.limit_rule import LimitRule
    from stream.detection.rules import AlertRules
    from stream.detection.spike_rule import SpikeRule
    from tocsin.services.replay import Preview

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


@click.group(
    cls=ExampleGroup,
    examples="""
    tocsin rules check rules.toml
    tocsin rules preview rules.toml --days 30
    tocsin rules list
    """,
)
def rules() -> None:
    """Check, list and preview alert rules.

    Workers load a changed file when they are restarted, and rules saved on the dashboard within a minute.
    """


@rules.command(cls=ExampleCommand, examples="tocsin rules check rules.toml\ntocsin rules check rules.toml --json")
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@JSON
@click.pass_context
def check(ctx: click.Context, file: str | None, as_json: bool) -> None:
    """Validate a file and show its rules.

    FILE defaults to the setting `alert_rules`. If FILE has errors, all of them are listed and the exit status is 2.
    """
    found = _load(ctx, file)
    _show(found, as_json, detector=found.detector_overridden)


@rules.command("list", cls=ExampleCommand, examples="tocsin rules list\ntocsin rules list --json")
@JSON
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the active rules.

    The active rules are the detector and the rules saved on the dashboard or, if there are none, the rules of the settings.
    """
    settings = settings_of(ctx)
    with existing_store(settings) as store:
        found = wiring.active_rules(settings, store) if store else wiring.make_rules(settings)
    _show(found, as_json, detector=True)


@rules.command(cls=ExampleCommand, examples="tocsin rules preview rules.toml\ntocsin rules preview rules.toml --days 7 --json")
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@click.option("--days", type=click.FloatRange(0, 366, min_open=True), default=30.0, show_default=True, help="Number of days to replay.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per alert, then a summary.")
@click.pass_context
def preview(ctx: click.Context, file: str | None, days: float, as_json: bool) -> None:
    """Show the alerts that rules would have raised on stored news.

    FILE defaults to the setting `alert_rules`. Replays the news through the worker's code with a virtual clock. The detector
    runs only if FILE has a rule for it.
    """
    from tocsin.services.replay import preview as preview_rules

    found, settings = _load(ctx, file), settings_of(ctx)
    now = datetime.now(UTC)
    with contextlib.closing(wiring.make_store(settings)) as store, console.status("replaying the stored news"):
        seen = preview_rules(store, found, now - timedelta(days=days), now)
    if as_json:
        for alert in seen.alerts:
            print_json(alert)
        print_json({"days": days, "since": seen.since, "until": seen.until, "stories": seen.stories, "rules": seen.rules})
        return
    _print_preview(seen, days)


def _load(ctx: click.Context, file: str | None) -> AlertRules:
    settings = settings_of(ctx)
    if not file and not settings.alert_rules:
        raise InvalidInput("no rules: specify FILE or set `alert_rules`")
    return wiring.make_rules(settings, Path(file) if file else None)


def _show(found: AlertRules, as_json: bool, *, detector: bool) -> None:
    rows = [_detector(found.detector)] if detector else []
    rows += [_row(rule) for rule in found.limit_rules]
    if as_json:
        for row in rows:
            print_json(row)
        return
    for row in rows:
        paused = " (paused)" if row["paused"] else ""
        results.print(escape(f"{row['name']}: {row['kind']}{paused}, on {', '.join(row['series']) or '*'}"), soft_wrap=True)
        figures = {field: value for field, value in row.items() if field not in ("name", "kind", "series", "paused") and value != ()}
        results.print(escape("  " + ", ".join(f"{field} {_plain(value)}" for field, value in figures.items())), soft_wrap=True)


def _row(rule: LimitRule) -> dict[str, Any]:
    """A rule as in its file, including defaults."""
    limit = "below" if rule.kind == "mean_tone" else "over"
    stories = {} if rule.kind == "volume" else {"min_stories": rule.min_stories}
    return {
        "name": rule.name,
        "kind": rule.kind,
        "series": rule.series,
        limit: rule.limit,
        "window": _span(rule.window_s),
        "severity": rule.severity,
        "cooldown": _span(rule.cooldown_s),
        **stories,
        "min_sources": rule.min_sources,
        "min_materiality": rule.min_materiality,
        **({"events": rule.events} if rule.kind == "risk_event" else {}),
        "paused": rule.paused,
    }


def _detector(rule: SpikeRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "kind": "spike",
        "series": rule.series,
        "false_per_week": rule.false_per_week,
        "min_stories": rule.min_stories,
        "min_sources": rule.min_sources,
        "min_ratio": rule.min_ratio,
        "min_materiality": rule.min_materiality,
        "cooldown": _span(rule.cooldown_s),
        "warmup": _span(rule.warmup_s),
        "paused": rule.paused,
    }


def _print_preview(seen: Preview, days: float) -> None:
    from stream.delivery.formats.alert_text import describe_measure

    n = len(seen.alerts)
    each = ", ".join(f"{name} {count}" for name, count in seen.rules.items())
    counted = f"{n} alert{'' if n == 1 else 's'} in the last {days:g} days, from {seen.stories:,} stories"
    results.print(escape(f"{counted}: {each}"), soft_wrap=True)
    if seen.stories and seen.since > seen.until - timedelta(days=days):
        results.print(f"stored news begins at {seen.since:%Y-%m-%d %H:%M} UTC", soft_wrap=True)
    if not n:
        return
    table = table_of("when (UTC)", "rule", "severity", "series", "description")
    for alert in seen.alerts:
        description = describe_measure(alert, zh=False).observation
        first = f"{alert.evidence[0].source}: {alert.evidence[0].title}" if alert.evidence else ""
        row = (
            f"{alert.detected_at:%Y-%m-%d %H:%M}",
            alert.rule,
            alert.severity,
            series_name(alert.series),
            f"{description}. {first}".strip(),
        )
        table.add_row(*map(escape, row))
    results.print(table)


def _plain(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _span(seconds: float) -> str:
    """Format a duration as in a rules file: "1h", "90m", "0m"."""
    minutes = int(seconds) // 60
    for unit, length in (("d", 1440), ("h", 60)):
        if minutes and minutes % length == 0:
            return f"{minutes // length}{unit}"
    return f"{minutes}m"


COMMANDS = (rules,)
