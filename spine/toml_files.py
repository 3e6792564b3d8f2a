"""TOML files that people write: what every reader of one says when it cannot be used."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from spine.errors import SettingsError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table of a file. what: the word for its content, in messages. Raises SettingsError."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{what} {path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what} {path}: is not TOML ({error})") from error


def read_rows(path: Path, what: str, name: str) -> list[Any]:
    """The [[name]] tables of a file that holds nothing else, one at least. Raises SettingsError."""
    table = read_toml(path, what)
    unknown = sorted(set(table) - {name})
    if unknown:
        raise SettingsError(f"{what} {path}: there is no {unknown[0]!r} here, only [[{name}]] tables")
    rows = table.get(name)
    if not isinstance(rows, list) or not rows:
        raise SettingsError(f"{what} {path}: holds no [[{name}]] table")
    return rows
