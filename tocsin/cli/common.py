"""Shared by all commands: settings, output, and help with examples."""

from __future__ import annotations

import contextlib
import getpass
import re
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
from tocsin.wiring import make_store, read_settings, register_names

console = Console(stderr=True, highlight=False)
"""For progress messages: stderr, so that stdout only has results."""

results = Console(highlight=False)


def table_of(*headings: str) -> Table:
    """A plain table that wraps long cells."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


class _Examples(click.Command):
    """A command whose help ends with examples."""

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
    """Read the settings, override them with given options, and configure logging."""
    settings = read_settings(ctx.find_root().params.get("config"))
    given = {name: value for name, value in changes.items() if value is not None}
    if given:
        settings = msgspec.convert({**msgspec.structs.asdict(settings), **given}, Settings)
    log.configure(settings.log_format, settings.log_level)
    register_names(settings)
    return settings


def progress_printer() -> Callable[[str], None]:
    """A function that prints a progress message with the seconds elapsed since now."""
    began = time.monotonic()

    def notify(message: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {escape(log.mask(message))}", soft_wrap=True)

    return notify


def print_first_login(first: FirstLogin, url: str) -> None:
    """Print the first login to the terminal, not through the log, which would mask the password."""
    validity = "once; you then choose your own password" if first.account.must_change else "until this command ends"
    console.print(f"log in as {first.account.name} with password {first.password} (valid {validity}):", markup=False, soft_wrap=True)
    console.print(f"    {first.link(url)}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def opened_store(ctx: click.Context) -> Iterator[tuple[Settings, Store]]:
    """The settings and the open, migrated store. Raises SettingsError, StoreError."""
    settings = settings_of(ctx)
    with contextlib.closing(make_store(settings)) as store:
        yield settings, store


@contextlib.contextmanager
def existing_store(settings: Settings) -> Iterator[Store | None]:
    """The store, for configuration saved on the dashboard; None if it does not exist or, with a message, if it is in use."""
    if settings.store == "embedded" and not any(Path(settings.data_dir).expanduser().glob("*")):
        yield None
        return
    try:
        store = make_store(settings, migrate=False)
    except StoreUnavailable:
        if settings.store != "embedded":
            raise
        console.print("the store is in use by `tocsin up`, so only the settings are shown here; the dashboard shows what was saved on it")
        yield None
        return
    with contextlib.closing(store):
        yield None if store.pending() else store


def person(actor: str | None) -> str:
    """The acting user: the option, else the login name. Raises SettingsError if unknown."""
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise InvalidInput("your login name is unknown; specify --who NAME") from error


def plain(text: str) -> str:
    """Untrusted text for a terminal: control and direction characters are replaced."""
    return "".join(each if each.isprintable() else " " if each.isspace() else "\ufffd" for each in text)


_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters other than line ends and tabs, and characters that change the direction: terminals act on them."""


def echo(text: str, *, err: bool = False) -> None:
    """Print text on stdout or stderr; the only output of commands besides tables. Whatever a terminal would act on is replaced."""
    click.echo(_UNSAFE.sub("\ufffd", text), err=err)


def print_json(value: Any) -> None:
    """One JSON object on one line of stdout."""
    echo(msgspec.json.encode(value).decode())
