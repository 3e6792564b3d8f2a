"""F28, short: a short run of the soak test on a cluster; `make soak` runs it for longer."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers.servers import or_skip
from tests.soak.__main__ import soak
from tests.soak.cluster import Cluster

PAUSE_S = (1.0, 5.0)


def test_three_brokers_a_store_and_two_workers_under_faults_lose_and_duplicate_nothing(tmp_path: Path):
    with or_skip():
        result = soak(Cluster(tmp_path, 3, 25, model="keyword", rate=40), 25, 3, pause_s=PAUSE_S)
    assert result["ok"], json.dumps(result, indent=1)
    assert result["published"] > 600
    assert sum(result["faults"].values()) >= 4
