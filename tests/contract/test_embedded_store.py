"""What is true of the embedded store only: one process owns a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OWNER = """
import subprocess, sys
from pathlib import Path
from spine.clickhouse import Embedded
store = Embedded(Path(sys.argv[1]))
again = [sys.executable, "-c", "import sys; from pathlib import Path; from spine.clickhouse import Embedded; Embedded(Path(sys.argv[1]))"]
second = subprocess.run([*again, sys.argv[1]], capture_output=True, text=True)
print(second.returncode, second.stderr)
store.close()
print("after", subprocess.run([*again, sys.argv[1]], capture_output=True, text=True).returncode)
"""


def test_a_second_process_is_told_who_is_in_the_way(tmp_path: Path):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", OWNER, str(tmp_path / "store")], check=True, capture_output=True, text=True, timeout=120, cwd=root
    )
    assert done.stdout.startswith("1 ")
    assert "is another tocsin running on it?" in done.stdout
    assert done.stdout.rstrip().endswith("after 0")
