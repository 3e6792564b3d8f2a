"""Headlines for benchmarks: real ones from a folder of streams, or built-in ones from templates."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable
from pathlib import Path

from core.errors import SettingsError
from models.inference.classifier import Document
from models.templates import fill_templates, read_templates


def headlines(count: int, data: Path | None = None) -> tuple[str, list[Document]]:
    """Up to `count` different headlines.

    Args:
        count: maximum number.
        data: folder with stream/*.jsonl.gz; None for the built-in headlines.

    Returns:
        The origin of the headlines, and the headlines in random but fixed order.

    Raises:
        SettingsError: `data` has no streams.
    """
    if data is None:
        filled_templates = fill_templates(read_templates(), max(1, count // 100), random.Random(0))
        found = {filled.text: Document("", filled.text, filled.language) for filled in filled_templates}
        return "built-in templates", _mixed(found.values())[:count]
    files = sorted((data / "stream").glob("*.jsonl.gz"))
    if not files:
        message = f"{data}: no stream/*.jsonl.gz in it"
        raise SettingsError(message)
    share = -(-count // len(files))
    titles: dict[str, Document] = {}
    for path in files:
        of_file: dict[str, Document] = {}
        with gzip.open(path, "rt", encoding="utf8") as lines:
            for line in lines:
                row = json.loads(line)
                text = str(row.get("title") or row.get("text") or "").strip()
                if text:
                    of_file.setdefault(text, Document("", text, str(row.get("lang") or "en")))
                if len(of_file) == share:
                    break
        titles |= of_file
    return ", ".join(path.name for path in files), _mixed(titles.values())[:count]


def _mixed(documents: Iterable[Document]) -> list[Document]:
    """The documents in a random but fixed order, so that all parts of the list are alike."""
    mixed = list(documents)
    random.Random(0).shuffle(mixed)
    return mixed
