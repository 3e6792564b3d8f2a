"""Reading of the rows of labelled files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import ModelError

Row = dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a .jsonl or .jsonl.gz file. Raises ModelError with the line number of an invalid row."""
    with gzip.open(path, "rt", encoding="utf8") if path.suffix == ".gz" else path.open(encoding="utf8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                message = f"{path}, line {number}: not JSON ({error})"
                raise ModelError(message) from error
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                message = f"{path}, line {number}: expected an object with a text"
                raise ModelError(message)
            yield row
