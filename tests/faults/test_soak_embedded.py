"""F28, short, for `tocsin up`; see test_soak.py."""

from __future__ import annotations

import json
from pathlib import Path

from tests.soak.__main__ import soak
from tests.soak.embedded import EmbeddedUp


def test_the_embedded_installation_killed_completely_and_in_parts_loses_and_duplicates_nothing(tmp_path: Path):
    result = soak(EmbeddedUp(tmp_path, 3, 25, model="keyword", rate=20), 25, 3, pause_s=(4.0, 9.0))
    assert result["ok"], json.dumps(result, indent=1)
    assert result["published"] > 300
    assert sum(result["faults"].values()) >= 2
