"""Atomic writes of files, and locks between processes that the system releases when the holder dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that after a crash either the old or the complete new content is there. Raises OSError."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: it is on disk once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` inside the block; waits for the holder. Makes the folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


@contextlib.contextmanager
def locked_or_raise(path: Path, error: Exception) -> Iterator[None]:
    """Hold the lock file `path` inside the block; raises `error` at once if somebody else holds it. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise error from None
    try:
        yield
    finally:
        lock.release()
