"""What every command shares: the settings, the way to speak, and help with examples."""

from __future__ import annotations

import contextlib
import getpass
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core import log
from core.errors import InvalidInput, StoreUnavailable
from core.settings import Settings
from storage.store import Store
from tocsin.runtime.first_login import FirstLogin
from tocsin.runtime.wiring import make_store, read_settings, register_names

console = Console(stderr=True, highlight=False)
"""What happens is told on stderr, so that stdout holds nothing but results."""

results = Console(highlight=False)


def table_of(*headings: str) -> Table:
    """A plain table whose cells are folded, never cut."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


class _Examples(click.Command):
    """Help that ends with examples, kept as they are written."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples after the options."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")


class ExampleCommand(_Examples):
    """A command with examples."""


class ExampleGroup(_Examples, click.Group):
    """A group of commands with examples."""


def settings_of(ctx: click.Context, **changes: Any) -> Settings:
    """The settings of this call with the options that were given put over them; logging is set up as they say."""
    settings = read_settings(ctx.find_root().params.get("config"))
    given = {name: value for name, value in changes.items() if value is not None}
    if given:
        settings = msgspec.convert({**msgspec.structs.asdict(settings), **given}, Settings)
    log.configure(settings.log_format, settings.log_level)
    register_names(settings)
    return settings


def progress_printer() -> Callable[[str], None]:
    """A function that says a line with the seconds since now in front."""
    began = time.monotonic()

    def notify(message: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {escape(log.mask(message))}", soft_wrap=True)

    return notify


def print_first_login(first: FirstLogin, url: str) -> None:
    """Print the first login to the terminal, not through the log, which would mask the password."""
    validity = "once; you will then choose your own" if first.account.must_change else "until this command ends"
    console.print(f"log in as {first.account.name} with password {first.password} (valid {validity}):", markup=False, soft_wrap=True)
    console.print(f"    {first.link(url)}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def opened_store(ctx: click.Context) -> Iterator[tuple[Settings, Store]]:
    """The settings of this call and the store that they name, brought up to date. Raises SettingsError, StoreError."""
    settings = settings_of(ctx)
    with contextlib.closing(make_store(settings)) as store:
        yield settings, store


@contextlib.contextmanager
def in_force(settings: Settings) -> Iterator[Store | None]:
    """The store, to ask it what was written on the dashboard; None where there is none yet, or its owner runs: then that is said."""
    if settings.store == "embedded" and not any(Path(settings.data_dir).expanduser().glob("*")):
        yield None
        return
    try:
        store = make_store(settings, migrate=False)
    except StoreUnavailable:
        if settings.store != "embedded":
            raise
        console.print("the store is in use by `tocsin up`: what was written on the dashboard is shown there, here is what the settings say")
        yield None
        return
    with contextlib.closing(store):
        yield None if store.pending() else store


def person(actor: str | None) -> str:
    """Who does this: as the option says, else the name on this computer. Raises SettingsError where nobody knows."""
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise InvalidInput("nobody knows who you are: give --who NAME") from error


def plain(text: str) -> str:
    """Words of others on a terminal: what would move the cursor or turn the text around is no letter."""
    return "".join(each if each.isprintable() else " " if each.isspace() else "\ufffd" for each in text)


def print_json(value: Any) -> None:
    """One JSON object on one line of stdout."""
    click.echo(msgspec.json.encode(value).decode())
