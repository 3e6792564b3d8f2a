"""TOML files that people write: what every reader of one says when it cannot be used."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from core.errors import SettingsError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table of a file. what: the word for its content, in messages. Raises SettingsError."""
    try:
        return parse_toml(path.read_text("utf-8"), f"{what} {path}")
    except OSError as error:
        raise SettingsError(f"{what} {path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{what} {path}: is not TOML ({error})") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The table of a text. where: what it is called in messages. Raises SettingsError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: is not TOML ({error})") from error


def read_rows(path: Path, what: str, name: str) -> list[Any]:
    """The [[name]] tables of a file that holds nothing else, one at least. Raises SettingsError."""
    return rows_of(read_toml(path, what), f"{what} {path}", name)


def rows_of(table: dict[str, Any], where: str, name: str) -> list[Any]:
    """The [[name]] tables of a table that holds nothing else, one at least. Raises SettingsError."""
    unknown = sorted(set(table) - {name})
    if unknown:
        raise SettingsError(f"{where}: there is no {unknown[0]!r} here, only [[{name}]] tables")
    rows = table.get(name)
    if not isinstance(rows, list) or not rows:
        raise SettingsError(f"{where}: holds no [[{name}]] table")
    return rows
