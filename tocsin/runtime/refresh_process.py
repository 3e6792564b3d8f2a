"""`tocsin refresh` as a process of its own, started beside an open store: by the clock, or from the dashboard."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.settings import ENV_PREFIX, Settings, environment
from storage.store import Store
from tocsin.runtime import wiring


def write_labels(settings: Settings, store: Store, name: str) -> Path:
    """Put what a refresh reads of the store into a file: an embedded store is open here, and has one owner. Raises StoreError."""
    from models.training.feedback import take_snapshot, write_snapshot

    path = wiring.data_dir(settings) / "models" / name
    write_snapshot(path, take_snapshot(store.labels))
    return path


def command(labels: Path, *, who: str, force: bool = False) -> list[str]:
    """The program and its arguments; its stdout is the outcome as one JSON object. force: on few new labels too"""
    arguments = ["refresh", "--snapshot", str(labels), f"--who={who}", "--json"]
    return [sys.executable, "-m", "tocsin", *arguments, *(["--force"] if force else [])]


def environment_of(settings: Settings) -> dict[str, str]:
    """Our own environment, with these settings in place of those that it names."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)} | environment(settings)
