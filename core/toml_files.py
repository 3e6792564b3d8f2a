"""Readers of TOML files with uniform error messages."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from core.errors import SettingsError

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


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
    """Parse a TOML text. where: its name in messages. Raises SettingsError."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
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
