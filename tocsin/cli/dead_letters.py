"""Command `dead-letters`: records that could not be used, with their reasons, and what to make of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from actions.account_service import COMMAND_LINE
from core.errors import InvalidInput
from storage.store import AuditEntry
from tocsin.cli.common import ExampleCommand, ExampleGroup, opened_store, person, print_json, progress_printer, results, table_of

if TYPE_CHECKING:
    from storage.store import DeadLetter, Store

STAGES = ("decode", "model", "store", "watch", "notify", "gap")
STATES = ("open", "replayed", "dropped")
STAGE = click.option("--stage", type=click.Choice(STAGES), help="Only those that this stage refused.")
ALL = 100_000


@click.group(
    "dead-letters",
    cls=ExampleGroup,
    examples="tocsin dead-letters list\ntocsin dead-letters replay --stage model\ntocsin dead-letters drop articles/0/123",
)
def dead_letters() -> None:
    """Records that could not be used: set aside with their reason, while all others went on."""


@dead_letters.command("list", cls=ExampleCommand, examples="tocsin dead-letters list --stage decode\ntocsin dead-letters list --json")
@STAGE
@click.option(
    "--state", type=click.Choice(["open", "replayed", "dropped"]), default="open", show_default=True, help="What was made of them."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_(ctx: click.Context, stage: str | None, state: Any, limit: int, as_json: bool) -> None:
    """The newest of them."""
    with opened_store(ctx) as (_, store):
        found = store.dead_letters.latest(limit, stage=stage or "", state=state)
    if as_json:
        for letter in found:
            print_json(_public(letter))
        return
    if not found:
        click.echo(f"no dead letters are {state}")
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
    """One of them, with its bytes as text."""
    from tocsin.services.dead_letter_service import find

    with opened_store(ctx) as (_, store):
        letter = find(store, [name])[0]
    if as_json:
        print_json(_public(letter))
        return
    for key, value in _public(letter).items():
        click.echo(f"{key}: {value}")


@dead_letters.command(cls=ExampleCommand, examples="tocsin dead-letters replay articles/0/123\ntocsin dead-letters replay --stage model")
@click.argument("names", nargs=-1)
@STAGE
@click.pass_context
def replay(ctx: click.Context, names: Sequence[str], stage: str | None) -> None:
    """Send them once more, when what refused them is mended. With the embedded broker: while `tocsin up` is stopped."""
    from tocsin.services.dead_letter_service import replay as send

    with opened_store(ctx) as (settings, store):
        letters = _chosen(store, names, stage)
        send(store, letters, settings)
        _note(store, letters, "replayed")
    progress_printer()(f"{len(letters)} sent once more" + ("; `tocsin up` scores them" if settings.broker == "embedded" else ""))


@dead_letters.command(cls=ExampleCommand, examples="tocsin dead-letters drop articles/0/123\ntocsin dead-letters drop --stage decode --yes")
@click.argument("names", nargs=-1)
@STAGE
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def drop(ctx: click.Context, names: Sequence[str], stage: str | None, yes: bool) -> None:
    """Forget their bytes for good; that they were there stays known."""
    with opened_store(ctx) as (_, store):
        letters = _chosen(store, names, stage)
        if letters and not yes:
            click.confirm(f"forget the bytes of {len(letters)} dead letters for good?", abort=True)
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
        raise InvalidInput("name dead letters, or a --stage whose open ones are all meant")
    return find(store, names) if names else store.dead_letters.latest(ALL, stage=stage or "")


def _public(letter: DeadLetter) -> dict[str, Any]:
    """As people read it: bytes as text, what is no text marked."""
    shown = {name: value for name, value in msgspec.structs.asdict(letter).items() if name not in ("key", "value")}
    texts = {name: getattr(letter, name).decode("utf-8", "backslashreplace") for name in ("key", "value")}
    return {"name": letter.name, **shown, **texts}


COMMANDS = (dead_letters,)
