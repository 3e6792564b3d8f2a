"""Readers of TOML files with uniform error messages."""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any

from core.errors import SettingsError

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

MAX_KEY_PARTS = 16
"""Most parts of a dotted key: tomllib takes a time proportional to their square."""
MAX_DEPTH = 16
"""Deepest nesting of arrays and tables."""
_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:{_PART}){{{MAX_KEY_PARTS - 1}}}")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        what: name of the content in messages, such as "rules"

    Raises:
        SettingsError: the file cannot be read or is not TOML
    """
    try:
        return parse_toml(toml_text(path.read_bytes(), f"{what} {path}"), f"{what} {path}")
    except OSError as error:
        raise SettingsError(f"{what} {path}: cannot be read ({error.strerror or error})") from error


def toml_text(data: bytes, where: str) -> str:
    """Decode a TOML file: UTF-8, or what editors on Windows write with a byte order mark.

    Raises:
        SettingsError: another encoding, which is named as far as it can be recognized; TOML files are UTF-8
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data.decode(name, "replace").removeprefix("\ufeff")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        import chardet

        name = str(chardet.detect(data[:100_000]).get("encoding") or "")
        line = data.count(b"\n", 0, error.start) + 1
        looks = f" but probably {name}" if name else ""
        raise SettingsError(f"{where}: is not UTF-8{looks} (line {line}, byte 0x{data[error.start]:02X}); save it as UTF-8") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Parse a TOML text. where: its name in messages. Raises SettingsError, also for nesting and integers beyond any use."""
    if key := _LONG_KEY.search(text):
        line = text.count("\n", 0, key.start()) + 1
        raise SettingsError(f"{where}: line {line}: a key has more than {MAX_KEY_PARTS} parts")
    try:
        found = tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise SettingsError(f"{where}: arrays or tables are nested more than {MAX_DEPTH} deep") from error
    except ValueError as error:  # TOMLDecodeError, or an integer with too many digits for Python
        digits = "" if isinstance(error, tomllib.TOMLDecodeError) else "an integer has too many digits: "
        raise SettingsError(f"{where}: is not valid TOML ({digits}{error})") from error
    _check_values(found, where)
    return found


def _check_values(table: dict[str, Any], where: str) -> None:
    """Raise SettingsError for deep nesting, and for integers of more than 64 bits, which TOML does not have."""
    level: list[tuple[str, Any]] = list(table.items())
    for _ in range(MAX_DEPTH):
        for name, value in level:
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise SettingsError(f"{where}: {name}: an integer has more than 64 bits")
        level = [
            (name, inner)
            for name, value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise SettingsError(f"{where}: {level[0][0]}: arrays or tables are nested more than {MAX_DEPTH} deep")


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
