from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.files import locked, locked_or_raise, write_atomically

HOLDER = """
import sys
from pathlib import Path
from core.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_an_atomic_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    for content in (b"old", b"new"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_lock_that_is_held_is_refused_and_released_when_its_holder_is_killed(tmp_path: Path):
    path = tmp_path / "folder" / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="held by another"), locked_or_raise(path, ValueError("held by another")):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with (
        locked_or_raise(path, ValueError("held by another")),
        pytest.raises(ValueError, match="held"),
        locked_or_raise(path, ValueError("held")),
    ):
        pass
    with locked_or_raise(path, ValueError("released after the block")):
        pass


def test_locked_waits_for_the_holder(tmp_path: Path):
    path, order = tmp_path / "lock", []

    def wait() -> None:
        with locked(path):
            order.append("second")

    with locked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
