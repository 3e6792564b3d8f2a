"""Command `dead-letters`: list, show, replay and drop records that could not be processed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from actions.account_service import COMMAND_LINE
from core.errors import InvalidInput
from storage.store import AuditEntry
from tocsin.cli.common import ExampleCommand, ExampleGroup, echo, opened_store, person, print_json, progress_printer, results, table_of

if TYPE_CHECKING:
    from storage.store import DeadLetter, Store

STAGES = ("decode", "model", "store", "watch", "notify", "gap")
STATES = ("open", "replayed", "dropped")
STAGE = click.option("--stage", type=click.Choice(STAGES), help="Only dead letters of this stage.")
ALL = 100_000


@click.group(
    "dead-letters",
    cls=ExampleGroup,
    examples="tocsin dead-letters list\ntocsin dead-letters replay --stage model\ntocsin dead-letters drop articles/0/123",
)
def dead_letters() -> None:
    """Manage records that could not be processed. They are kept with the reason, and processing continues without them."""


@dead_letters.command("list", cls=ExampleCommand, examples="tocsin dead-letters list --stage decode\ntocsin dead-letters list --json")
@STAGE
@click.option(
    "--state",
    type=click.Choice(["open", "replayed", "dropped"]),
    default="open",
    show_default=True,
    help="Only dead letters in this state.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Maximum number of dead letters.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def list_(ctx: click.Context, stage: str | None, state: Any, limit: int, as_json: bool) -> None:
    """List dead letters, newest first."""
    with opened_store(ctx) as (_, store):
        found = store.dead_letters.latest(limit, stage=stage or "", state=state)
    if as_json:
        for letter in found:
            print_json(_public(letter))
        return
    if not found:
        echo(f"no {state} dead letters")
        return
    table = table_of("name", "when", "stage", "reason")
    for letter in found:
        table.add_row(letter.name, f"{letter.failed_at:%Y-%m-%d %H:%M:%S}", letter.stage, letter.reason)
    results.print(table, markup=False)


@dead_letters.command(cls=ExampleCommand, examples="tocsin dead-letters show articles/0/123")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one dead letter with its content as text."""
    from tocsin.services.dead_letter_service import find

    with opened_store(ctx) as (_, store):
        letter = find(store, [name])[0]
    if as_json:
        print_json(_public(letter))
        return
    for key, value in _public(letter).items():
        echo(f"{key}: {value}")


@dead_letters.command(cls=ExampleCommand, examples="tocsin dead-letters replay articles/0/123\ntocsin dead-letters replay --stage model")
@click.argument("names", nargs=-1)
@STAGE
@click.pass_context
def replay(ctx: click.Context, names: Sequence[str], stage: str | None) -> None:
    """Send dead letters again, after their cause has been fixed.

    The embedded broker can only be used while `tocsin up` is stopped.
    """
    from tocsin.services.dead_letter_service import replay as send

    with opened_store(ctx) as (settings, store):
        letters = _chosen(store, names, stage)
        send(store, letters, settings)
        _note(store, letters, "replayed")
    progress_printer()(f"{len(letters)} sent again" + ("; `tocsin up` will process them" if settings.broker == "embedded" else ""))


@dead_letters.command(cls=ExampleCommand, examples="tocsin dead-letters drop articles/0/123\ntocsin dead-letters drop --stage decode --yes")
@click.argument("names", nargs=-1)
@STAGE
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_context
def drop(ctx: click.Context, names: Sequence[str], stage: str | None, yes: bool) -> None:
    """Delete the content of dead letters permanently. Their entries remain in the list."""
    with opened_store(ctx) as (_, store):
        letters = _chosen(store, names, stage)
        if letters and not yes:
            click.confirm(f"permanently delete the content of {len(letters)} dead letters?", abort=True)
        store.dead_letters.settle(letters, "dropped")
        _note(store, letters, "dropped")
    progress_printer()(f"{len(letters)} dropped")


def _note(store: Store, letters: Sequence[DeadLetter], state: str) -> None:
    actor, now = person(None), datetime.now(UTC)
    store.audit.add(
        [
            AuditEntry(
                at=now, actor=actor, action=f"dead letter {state}", target=each.name, before=each.state, after=state, address=COMMAND_LINE
            )
            for each in letters
        ]
    )


def _chosen(store: Store, names: Sequence[str], stage: str | None) -> list[DeadLetter]:
    from tocsin.services.dead_letter_service import find

    if bool(names) == bool(stage):
        raise InvalidInput("specify the names of dead letters, or --stage for all open dead letters of a stage")
    return find(store, names) if names else store.dead_letters.latest(ALL, stage=stage or "")


def _public(letter: DeadLetter) -> dict[str, Any]:
    """As plain data, bytes decoded with backslash escapes."""
    shown = {name: value for name, value in msgspec.structs.asdict(letter).items() if name not in ("key", "value")}
    texts = {name: getattr(letter, name).decode("utf-8", "backslashreplace") for name in ("key", "value")}
    return {"name": letter.name, **shown, **texts}


COMMANDS = (dead_letters,)
