"""F28, short: the soak harness for a minute on each kind of installation. `make soak` runs it for as long as told."""

from __future__ import annotations

import json
from pathlib import Path

from tests.servers import or_skip
from tests.soak.__main__ import soak
from tests.soak.cluster import Cluster
from tests.soak.embedded import EmbeddedUp

PAUSE_S = (1.0, 5.0)


def test_three_brokers_a_store_and_two_workers_under_faults_lose_and_double_nothing(tmp_path: Path):
    with or_skip():
        verdict = soak(Cluster(tmp_path, 3, 40, model="keyword", rate=40), 40, 3, pause_s=PAUSE_S)
    assert verdict["ok"], json.dumps(verdict, indent=1)
    assert verdict["published"] > 1_000
    assert sum(verdict["faults"].values()) >= 6


def test_everything_embedded_killed_whole_and_in_parts_loses_and_doubles_nothing(tmp_path: Path):
    verdict = soak(EmbeddedUp(tmp_path, 3, 40, model="keyword", rate=20), 40, 3, pause_s=(4.0, 9.0))
    assert verdict["ok"], json.dumps(verdict, indent=1)
    assert verdict["published"] > 500
    assert sum(verdict["faults"].values()) >= 3
