"""F28, short, for `tocsin up`; see test_soak.py."""

from __future__ import annotations

import json
from pathlib import Path

from tests.soak.__main__ import soak
from tests.soak.embedded import EmbeddedUp


def test_everything_embedded_killed_whole_and_in_parts_loses_and_doubles_nothing(tmp_path: Path):
    verdict = soak(EmbeddedUp(tmp_path, 3, 25, model="keyword", rate=20), 25, 3, pause_s=(4.0, 9.0))
    assert verdict["ok"], json.dumps(verdict, indent=1)
    assert verdict["published"] > 300
    assert sum(verdict["faults"].values()) >= 2
