"""Atomic writes of files, files that only their owner can read, and locks that the system releases when their holder dies."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PRIVATE_UMASK = 0o077
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def use_private_umask() -> None:
    """Let this process and its children create files that only their owner can read. Every entry point calls it first."""
    os.umask(PRIVATE_UMASK)


def make_private(folder: Path) -> bool:
    """Take the permissions of group and others from one folder.

    Returns:
        Whether that changed anything.

    Raises:
        OSError: it belongs to another user, or the file system has no permissions
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & _OTHERS:
        return False
    folder.chmod(mode & ~_OTHERS)
    return True


def make_tree_private(folder: Path) -> tuple[int, list[Path]]:
    """Take the permissions of group and others from a folder and everything in it. Symbolic links are not followed.

    Returns:
        The number of files and folders that were changed, and those that could not be.
    """
    changed, failed = 0, []
    for parent, folders, files in os.walk(folder, onerror=lambda error: failed.append(Path(str(error.filename)))):
        for path in (Path(parent), *(Path(parent) / name for name in (*files, *folders))):
            try:
                if not path.is_symlink() or path == folder:
                    changed += make_private(path)
            except FileNotFoundError:
                continue  # deleted by a running process
            except OSError:
                failed.append(path)
    return changed, sorted(set(failed))


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
