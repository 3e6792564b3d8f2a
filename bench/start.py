"""Benchmark: time from the command to the first classified article, and size of the installation, for the embedded default."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from core.errors import TocsinError


class StartTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Start of the demo.

    first_scored_s, demo_total_s: seconds from the start of the process; alert_delay_s: from the last article to the alert
    model_mb, install_mb: size on disk in 10^6 bytes
    """

    first_scored_s: float
    demo_total_s: float
    alert_delay_s: float
    model_mb: float
    install_mb: float


def measure() -> StartTimes:
    """Run the demo in a separate process until its alert. Raises TocsinError if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "demo", "--headless", "--until-alert", "--json"], check=False, capture_output=True, env=environment
    )
    if done.returncode:
        raise TocsinError(f"the demo failed: {done.stderr.decode(errors='replace')[-500:]}")
    summary = msgspec.json.decode(done.stdout.splitlines()[-1])
    from models.registry.manifest import shipped

    return StartTimes(
        first_scored_s=summary["first_scored_s"],
        demo_total_s=summary["total_s"],
        alert_delay_s=summary["alert_delay_s"],
        model_mb=_size_mb(shipped()),
        install_mb=_size_mb(Path(sys.prefix)),
    )


def _size_mb(folder: Path) -> float:
    return round(sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)
