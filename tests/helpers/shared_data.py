"""The folder of third-party data for development, if it exists. It is never part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_dir() -> Path:
    """The folder `shared` beside the project, or the one named by TOCSIN_SHARED; skips the test when there is none."""
    path = Path(os.environ.get("TOCSIN_SHARED", "") or Path(__file__).resolve().parents[3] / "shared")
    if not (path / "data").is_dir():
        pytest.skip(f"no data for development in {path}: set TOCSIN_SHARED to its folder")
    return path
