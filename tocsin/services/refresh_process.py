"""`tocsin refresh` as a process of its own: its labels, its command line and its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.settings import ENV_PREFIX, Settings, environment
from storage.store import Store
from tocsin import wiring


def write_label_snapshot(settings: Settings, store: Store, name: str) -> Path:
    """Write the labels that a refresh needs to a file, as an embedded store can only be open in one process. Raises StoreError."""
    from models.training.feedback import take_snapshot, write_snapshot

    path = wiring.data_dir(settings) / "models" / name
    write_snapshot(path, take_snapshot(store.labels))
    return path


def refresh_command(labels: Path, *, actor: str, force: bool = False) -> list[str]:
    """Command line of `tocsin refresh`; it prints its outcome as one JSON object. force: even with few new labels"""
    arguments = ["refresh", "--snapshot", str(labels), f"--who={actor}", "--json"]
    return [sys.executable, "-m", "tocsin", *arguments, *(["--force"] if force else [])]


def environment_with(settings: Settings) -> dict[str, str]:
    """The environment of this process, with its settings replaced by these."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)} | environment(settings)
