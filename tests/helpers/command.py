"""Run `tocsin` as a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.servers import ROOT


def run_tocsin(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`tocsin ARGUMENTS` with a data folder below `folder` and without our TOCSIN_ variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return subprocess.run(
        [sys.executable, "-m", "tocsin", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**clean, "TOCSIN_DATA_DIR": str(folder / "data"), **environment},
        cwd=ROOT,
    )
