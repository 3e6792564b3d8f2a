"""The demo as a person starts it: the whole path, with the shipped model, over real HTTP, Kafka protocol and ClickHouse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.servers import ROOT


def test_the_demo_alerts_the_crisis_without_loss_or_duplicates(tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "demo", "--headless", "--until-alert", "--json", "--seed", "11"],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        env={**environment, "HOME": str(tmp_path)},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["lost"] == 0
    assert summary["duplicates"] == 0
    assert summary["dead_letters"] == 0
    assert summary["articles"] == summary["stored"] >= 700
    assert summary["scored"] >= summary["articles"]
    assert summary["webhooks"] >= 1
    assert summary["alerts"] >= summary["webhooks"]
    assert summary["model"].startswith("tocsin-")
    assert 0 < summary["alert_delay_s"] < summary["total_s"]
    assert "ALERT" in done.stderr
    assert "Traceback" not in done.stderr
