"""The embedded store: one process owns a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import StoreError
from storage.clickhouse import Embedded

OWNER = """
import subprocess, sys
from pathlib import Path
from storage.clickhouse import Embedded
store = Embedded(Path(sys.argv[1]))
store.command("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
store.insert("t", {"x": [1, 2, 3]})
again = [sys.executable, "-c", "import sys; from pathlib import Path; from storage.clickhouse import Embedded; Embedded(Path(sys.argv[1]))"]
second = subprocess.run([*again, sys.argv[1]], capture_output=True, text=True)
print(second.returncode, second.stderr)
store.insert("t", {"x": [4]})
print("whole", store.query("SELECT sum(x) FROM t"))
store.close()
print("after", subprocess.run([*again, sys.argv[1]], capture_output=True, text=True).returncode)
"""


def test_a_second_process_on_one_folder_is_rejected_with_the_reason(tmp_path: Path):
    """F20, and what the owner has stays whole."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", OWNER, str(tmp_path / "store")], check=True, capture_output=True, text=True, timeout=120, cwd=root
    )
    assert done.stdout.startswith("1 ")
    assert "is another tocsin running on it?" in done.stdout
    assert "whole [(10,)]" in done.stdout
    assert done.stdout.rstrip().endswith("after 0")


def test_a_second_folder_in_one_process_is_rejected_and_the_first_stays_open(tmp_path: Path):
    """F20: the engine is one a process."""
    first = Embedded(tmp_path / "first")
    first.command("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
    first.insert("t", {"x": [7]})
    with pytest.raises(StoreError, match=f"second cannot be opened: this process has {tmp_path}/first open"):
        Embedded(tmp_path / "second")
    assert first.query("SELECT x FROM t") == [(7,)]
    first.close()
    second = Embedded(tmp_path / "second")
    assert second.query("SELECT 1") == [(1,)]
    second.close()
