"""Command `alerts`: list, acknowledge, assign, resolve, label and silence alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from actions.audited_actions import AuditedActions
from core.errors import Conflict
from domain.alert_lifecycle.silences import SEVERITIES
from domain.alert_lifecycle.verdicts import KINDS, VERDICTS
from tocsin.cli.common import ExampleCommand, ExampleGroup, echo, opened_store, person, plain, print_json, results, table_of

if TYPE_CHECKING:
    from core.records import Alert
    from domain.alert_lifecycle import EventKind, Silence
    from storage.store import AlertGroup
    from tocsin.services.alert_service import AlertDetails, AlertWithLifecycle

STATES = ("pending", "firing", "acknowledged", "resolved")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
IDS = click.argument("ids", nargs=-1, required=True, metavar="ID...")
WHO = click.option("--who", "actor", metavar="NAME", help="Name of the acting user.  [default: your login name]")
BECAUSE = click.option("--because", default="", metavar="TEXT", help="Reason, shown in the alert's timeline.")


@click.group(
    cls=ExampleGroup,
    examples="""
    tocsin alerts list --state firing
    tocsin alerts ack 3f9c21 --who 王芳
    tocsin alerts silence --series "topic:*" --for 2h --comment "known maintenance"
    """,
)
def alerts() -> None:
    """List alerts and act on them.

    An ID may be abbreviated to its first characters. The embedded store can only be used while `tocsin up` is stopped.
    """


@alerts.command("list", cls=ExampleCommand, examples="tocsin alerts list --since 24h\ntocsin alerts list --state firing --json")
@click.option("--state", type=click.Choice(STATES), help="Only alerts in this state.")
@click.option(
    "--since", default="7d", show_default=True, metavar="TIME", help="Only alerts detected since this time: 24h (ago), or an ISO 8601 time."
)
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="Maximum number of alerts to read, newest first.")
@JSON
@click.pass_context
def list_(ctx: click.Context, state: str | None, since: str, limit: int, as_json: bool) -> None:
    """List the newest alerts with their states."""
    from domain.alert_lifecycle.silences import ending_soon
    from tocsin.services.alert_service import list_alerts, parse_time

    now = datetime.now(UTC)
    with opened_store(ctx) as (settings, store):
        found = [
            view
            for view in list_alerts(store, settings, now, since=parse_time(since, now), limit=limit)
            if state in (None, view.lifecycle.state)
        ]
        soon = ending_soon(store.silences.all(since=now), now)
    for each in soon:
        echo(plain(f"silence {_short(each.id)} of {each.author} ends at {_time(each.until)} UTC: {each.comment}"), err=True)
    if as_json:
        for view in found:
            print_json(view.public())
        return
    if not found:
        echo(f"no {f'{state} ' if state else ''}alerts since {since}")
        return
    table = table_of("id", "when (UTC)", "severity", "series", "state", "by", "muted")
    for view in found:
        alert, lifecycle = view.alert, view.lifecycle
        row = (_short(alert.id), _time(alert.detected_at), alert.severity, alert.series, lifecycle.state, _by(view), _muted(view))
        table.add_row(*map(plain, row))
    results.print(table, markup=False)


@alerts.command(cls=ExampleCommand, examples="tocsin alerts show 3f9c21\ntocsin alerts show 3f9c21 --json")
@click.argument("ident", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def show(ctx: click.Context, ident: str, as_json: bool) -> None:
    """Show one alert with its timeline, deliveries and suppressed deliveries."""
    from tocsin.services.alert_service import read_details

    with opened_store(ctx) as (settings, store):
        found = read_details(store, settings, ident, datetime.now(UTC))
    if as_json:
        print_json(
            {**found.view.public(), **{name: getattr(found, name) for name in ("events", "deliveries", "groups", "suppressed_deliveries")}}
        )
        return
    _print_details(found)


@alerts.command(cls=ExampleCommand, examples='tocsin alerts ack 3f9c21 88ab01 --who 王芳 --because "calling the issuer"')
@IDS
@WHO
@BECAUSE
@click.pass_context
def ack(ctx: click.Context, ids: Sequence[str], actor: str | None, because: str) -> None:
    """Acknowledge alerts."""
    _do(ctx, ids, "acknowledged", actor, because)


@alerts.command(cls=ExampleCommand, examples="tocsin alerts unack 3f9c21")
@IDS
@WHO
@BECAUSE
@click.pass_context
def unack(ctx: click.Context, ids: Sequence[str], actor: str | None, because: str) -> None:
    """Withdraw an acknowledgement."""
    _do(ctx, ids, "unacknowledged", actor, because)


@alerts.command(cls=ExampleCommand, examples='tocsin alerts assign 3f9c21 --to 王芳\ntocsin alerts assign 3f9c21 --to ""')
@IDS
@click.option("--to", required=True, metavar="NAME", help='Name of the assignee; "" removes the assignment.')
@WHO
@click.pass_context
def assign(ctx: click.Context, ids: Sequence[str], to: str, actor: str | None) -> None:
    """Assign alerts to a person."""
    _do(ctx, ids, "assigned", actor, to)


@alerts.command(cls=ExampleCommand, examples='tocsin alerts note 3f9c21 "发行人已回应"')
@click.argument("ident", metavar="ID")
@click.argument("words")
@WHO
@click.pass_context
def note(ctx: click.Context, ident: str, words: str, actor: str | None) -> None:
    """Add a comment to an alert."""
    _do(ctx, [ident], "note", actor, words)


@alerts.command(cls=ExampleCommand, examples='tocsin alerts resolve 3f9c21 --because "a false report, withdrawn"')
@IDS
@WHO
@BECAUSE
@click.pass_context
def resolve(ctx: click.Context, ids: Sequence[str], actor: str | None, because: str) -> None:
    """Resolve alerts. Other alerts are resolved automatically after the time in the setting alert_resolve_after_s."""
    _do(ctx, ids, "resolved", actor, because)


@alerts.command(cls=ExampleCommand, examples="tocsin alerts reopen 3f9c21")
@IDS
@WHO
@BECAUSE
@click.pass_context
def reopen(ctx: click.Context, ids: Sequence[str], actor: str | None, because: str) -> None:
    """Reopen resolved alerts. They are firing again and are no longer acknowledged."""
    _do(ctx, ids, "reopened", actor, because)


@alerts.command(cls=ExampleCommand, examples='tocsin alerts judge 3f9c21 false --because "an old story, republished"')
@click.argument("ident", metavar="ID")
@click.argument("verdict", type=click.Choice(VERDICTS))
@WHO
@BECAUSE
@click.pass_context
def judge(ctx: click.Context, ident: str, verdict: Any, actor: str | None, because: str) -> None:
    """Rate an alert as useful (right), a false alarm (false) or too late (late). Your latest rating counts."""
    _do(ctx, [ident], KINDS[verdict], actor, because)


@alerts.command(
    cls=ExampleCommand,
    examples="""
    tocsin alerts silence --series "topic:*" --for 2h --comment "known maintenance"
    tocsin alerts silence --series company:600519.SH --most warning --for 3d --who 王芳 --comment 年报窗口期
    """,
)
@click.option(
    "--series",
    required=True,
    multiple=True,
    metavar="PATTERN",
    help='Series or pattern to silence, such as "topic:*" or company:AAPL; may be repeated.',
)
@click.option(
    "--rule", "rules", multiple=True, metavar="PATTERN", help="Silence only alerts of rules that match this pattern; may be repeated."
)
@click.option("--least", type=click.Choice(SEVERITIES), default="info", show_default=True, help="Lowest severity to silence.")
@click.option("--most", type=click.Choice(SEVERITIES), default="critical", show_default=True, help="Highest severity to silence.")
@click.option("--for", "lasts", required=True, metavar="TIME", help="Duration of the silence, such as 45m, 2h, 3d or 1d12h.")
@click.option("--comment", required=True, metavar="TEXT", help="Reason for the silence.")
@WHO
@JSON
@click.pass_context
def silence(
    ctx: click.Context,
    series: Sequence[str],
    rules: Sequence[str],
    least: Any,
    most: Any,
    lasts: str,
    comment: str,
    actor: str | None,
    as_json: bool,
) -> None:
    """Suppress the delivery of matching alerts for some time. The alerts are still stored and shown."""
    from core.durations import parse_duration
    from domain.alert_lifecycle import silence as made

    now = datetime.now(UTC)
    one = made(
        series=series,
        rules=rules,
        least=least,
        most=most,
        author=person(actor),
        comment=comment,
        starts_at=now,
        ends_at=now + parse_duration(lasts) + timedelta(seconds=1),  # whole seconds, rounded down
        now=now,
    )
    with opened_store(ctx) as (_, store):
        AuditedActions(store, lambda: now, lambda: one.author).add_silence(one)
    if as_json:
        print_json(one)
    else:
        echo(plain(f"silence {_short(one.id)} until {_time(one.ends_at)} UTC: {', '.join(one.series)}"))


@alerts.command(cls=ExampleCommand, examples="tocsin alerts silences\ntocsin alerts silences --ended --json")
@click.option("--ended", is_flag=True, help="Also list silences that have ended.")
@JSON
@click.pass_context
def silences(ctx: click.Context, ended: bool, as_json: bool) -> None:
    """List silences, newest first."""
    now = datetime.now(UTC)
    with opened_store(ctx) as (_, store):
        found = [each for each in store.silences.all() if ended or each.state(now) != "ended"]
    if as_json:
        for each in found:
            print_json({**msgspec.to_builtins(each), "state": each.state(now)})
        return
    if not found:
        echo("no silences")
        return
    table = table_of("id", "state", "until (UTC)", "series", "rules", "severity", "author", "comment")
    for each in found:
        about = each.least if each.least == each.most else f"{each.least} to {each.most}"
        patterns = (" ".join(each.series), " ".join(each.rules) or "*")
        row = (_short(each.id), _silence_state(each, now), _time(each.until), *patterns, about, each.author, each.comment)
        table.add_row(*map(plain, row))
    results.print(table, markup=False)


@alerts.command(cls=ExampleCommand, examples="tocsin alerts unsilence 77ac04 --who 王芳")
@click.argument("ident", metavar="ID")
@WHO
@click.pass_context
def unsilence(ctx: click.Context, ident: str, actor: str | None) -> None:
    """End a silence now. `tocsin alerts silences --ended` still lists it and shows who ended it."""
    from tocsin.services.alert_service import find_silence

    now, name = datetime.now(UTC), person(actor)
    with opened_store(ctx) as (_, store):
        one = find_silence(store, ident)
        if one.state(now) == "ended":
            raise Conflict(f"silence {_short(one.id)} already ended at {_time(one.until)} UTC{_ender(one)}")
        AuditedActions(store, lambda: now, lambda: name).end_silence(one.id)
    echo(f"silence {_short(one.id)} ended")


def _do(ctx: click.Context, ids: Sequence[str], kind: EventKind, actor: str | None, text: str) -> None:
    """Record an action on all of these alerts, or on none if one is not found."""
    from tocsin.services.alert_service import find, states

    now, name = datetime.now(UTC), person(actor)
    with opened_store(ctx) as (settings, store):
        found = find(store, ids)
        actions = AuditedActions(store, lambda: now, lambda: name)
        actions.act_on([alert.id for alert in found], kind, text, lambda: states(store, settings, found, now))
    to = f" to {text or 'no one'}" if kind == "assigned" else ""
    for alert in found:
        echo(plain(f"{_short(alert.id)} {alert.series}: {kind}{to} by {name}"))


def _print_details(found: AlertDetails) -> None:
    from stream.delivery.formats.alert_text import describe_measure

    alert, lifecycle = found.view.alert, found.view.lifecycle
    lines: list[str] = [alert.id]
    lines.append(f"{alert.series} ({alert.severity}, rule {alert.rule}), detected {_time(alert.detected_at)} UTC")
    seen, _, limit = describe_measure(alert, zh=False)
    limit_text = f" (limit: {limit})" if limit else ""
    is_outage = alert.measure == "outage"
    counted = (
        f"last article at {_time(alert.window_start)} UTC"
        if is_outage
        else f"{alert.total} stories, {alert.observed} negative, {alert.sources} sources"
    )
    lines.append(f"{seen}{limit_text}; {counted}")
    lines.append(
        f"state: {lifecycle.state}{f' by {_by(found.view)}' if _by(found.view) else ''}; last breach {_time(lifecycle.last_breach_at)} UTC"
    )
    if lifecycle.assignee:
        lines.append(f"assigned to: {lifecycle.assignee}")
    lines += [f"silenced until {_time(each.until)} UTC by {each.author}: {each.comment} ({_short(each.id)})" for each in lifecycle.silenced]
    if lifecycle.inhibited:
        lines.append(f"inhibited by the alert on {lifecycle.inhibited.series} ({_short(lifecycle.inhibited.alert_id)})")
    lines += _explanation_lines(alert)
    needed = set(alert.why.decisive_article_ids) if alert.why else set()
    lines += [f"{'*' if item.id in needed else ' '} {_time(item.published_at)}  {item.source}: {item.title}" for item in alert.evidence]
    for line in lines:
        echo(plain(line))
    rows: list[tuple[datetime, str, str, str]] = [(each.at, each.actor, each.kind, each.text) for each in found.events]
    together = {group.subject: f", {_together(group)}" for group in found.groups}
    for sent in found.deliveries:
        details = (sent.error or f"delivered (HTTP {sent.status})") + together.get(sent.alert_id, "")
        rows += [(sent.sent_at, sent.endpoint, f"attempt {sent.attempt}", details)]
    rows += [(each.at, each.endpoint, "suppressed", each.text) for each in found.suppressed_deliveries]
    table = table_of("when (UTC)", "by", "event", "details")
    for at, actor, event, details in sorted(rows):
        table.add_row(_time(at), plain(actor), event, plain(details))
    if rows:
        results.print(table, markup=False)


def _explanation_lines(alert: Alert) -> list[str]:
    """Explanation of the alert, as lines; decisive stories are marked with * below."""
    why = alert.why
    if why is None or not why.stories:
        return []
    lines = []
    if why.decisive_count:
        lines.append(f"{why.decisive_count} of {why.stories} stories {'is' if why.decisive_count == 1 else 'are'} decisive (*)")
    if why.first_at is not None:
        lines.append(f"first source: {why.first_source}, {_time(why.first_at)}")
    some = f" of the {why.read} most negative stories" if why.read < why.stories else ""
    for name, counts in (
        ("words", [(each.word, each.stories) for each in why.words]),
        ("companies", [(each.company, each.stories) for each in why.companies]),
    ):
        if counts:
            lines.append(f"{name}{some}: {', '.join(f'{what} ({stories})' for what, stories in counts)}")
    if why.more:
        lines.append(f"the window has more stories than the {why.stories} that were analysed")
    return lines


def _together(group: AlertGroup) -> str:
    return f"in {'digest' if group.digest else 'group'} {_short(group.id)} of {len(group.members)}"


def _by(view: AlertWithLifecycle) -> str:
    lifecycle = view.lifecycle
    event = lifecycle.resolved if lifecycle.state == "resolved" else lifecycle.acknowledged if lifecycle.state == "acknowledged" else None
    return event.actor if event else f"for {lifecycle.assignee}" if lifecycle.assignee else ""


def _muted(view: AlertWithLifecycle) -> str:
    lifecycle = view.lifecycle
    muted = [f"silenced by {each.author} until {_time(each.until)}" for each in lifecycle.silenced[:1]]
    return "; ".join([*muted, *([f"inhibited by {lifecycle.inhibited.series}"] if lifecycle.inhibited else [])])


def _silence_state(one: Silence, now: datetime) -> str:
    from domain.alert_lifecycle.silences import SOON

    state = one.state(now)
    if state == "active" and one.until - now <= SOON:
        return f"ends in {max(1, round((one.until - now).total_seconds() / 60))} min"
    return f"{state}{_ender(one)}"


def _ender(one: Silence) -> str:
    return f", by {one.ended_by}" if one.ended_by and one.ended_at is not None and one.ended_at <= one.ends_at else ""


def _short(ident: str) -> str:
    return ident[:10]


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


COMMANDS = (alerts,)
