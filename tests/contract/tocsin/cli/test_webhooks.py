"""`tocsin webhooks replay` in this process, with a real store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.store import Delivery, open_store
from tests.helpers.stores import alert
from tocsin.cli import main


def test_replay_requests_deliveries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    config = tmp_path / "tocsin.toml"
    config.write_text('[[webhooks]]\nname = "desk"\nurl = "https://desk.example/hook"\n', encoding="utf-8")
    assert main(["--config", str(config), "webhooks", "replay", "desk"]) == 2
    assert "--failed" in capsys.readouterr().err
    store = open_store("embedded", tmp_path / "data")
    store.migrate()
    now = datetime.now(UTC)
    stored = alert("topic:credit", at=now - timedelta(hours=1))
    ident = stored.id
    store.alerts.insert([stored])
    store.alerts.log_deliveries([Delivery(alert_id=ident, endpoint="desk", attempt=1, sent_at=now, status=500, error="HTTP 500")])
    store.close()
    assert main(["--config", str(config), "webhooks", "replay", "desk", ident[:8], "--who", "王芳"]) == 0
    assert "desk: 1 will be sent again" in capsys.readouterr().out
    assert main(["--config", str(config), "webhooks", "replay", "desk", "--failed"]) == 0
    assert "desk: 0 will be" in capsys.readouterr().out, "the replay is already requested"
    store = open_store("embedded", tmp_path / "data")
    (requested,) = store.replays.since(now - timedelta(minutes=1))
    (noted,) = store.audit.latest(5)
    store.close()
    assert (requested.alert_id, requested.after, requested.actor) == (ident, 1, "王芳")
    assert (noted.actor, noted.action, noted.target, noted.address) == ("王芳", "deliveries replayed", "desk", "command line")
