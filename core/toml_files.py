"""Readers of TOML files with uniform error messages."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from core.errors import SettingsError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        what: name of the content in messages, such as "rules"

    Raises:
        SettingsError: the file cannot be read or is not TOML
    """
    try:
        return parse_toml(path.read_text("utf-8"), f"{what} {path}")
    except OSError as error:
        raise SettingsError(f"{what} {path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{what} {path}: is not valid TOML ({error})") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Parse a TOML text. where: its name in messages. Raises SettingsError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: is not valid TOML ({error})") from error


def read_rows(path: Path, what: str, name: str) -> list[Any]:
    """The [[name]] tables of a file, at least one. Raises SettingsError, also for other content."""
    return rows_of(read_toml(path, what), f"{what} {path}", name)


def rows_of(table: dict[str, Any], where: str, name: str) -> list[Any]:
    """The [[name]] tables of a parsed file, at least one. Raises SettingsError, also for other content."""
    unknown = sorted(set(table) - {name})
    if unknown:
        raise SettingsError(f"{where}: unknown key {unknown[0]!r}; only [[{name}]] tables are allowed")
    rows = table.get(name)
    if not isinstance(rows, list) or not rows:
        raise SettingsError(f"{where}: has no [[{name}]] table")
    return rows
