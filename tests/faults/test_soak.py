"""F28, short: the soak harness for a minute on each kind of installation. `make soak` runs it for as long as told."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers.servers import or_skip
from tests.soak.__main__ import soak
from tests.soak.cluster import Cluster

PAUSE_S = (1.0, 5.0)


def test_three_brokers_a_store_and_two_workers_under_faults_lose_and_double_nothing(tmp_path: Path):
    with or_skip():
        verdict = soak(Cluster(tmp_path, 3, 25, model="keyword", rate=40), 25, 3, pause_s=PAUSE_S)
    assert verdict["ok"], json.dumps(verdict, indent=1)
    assert verdict["published"] > 600
    assert sum(verdict["faults"].values()) >= 4
