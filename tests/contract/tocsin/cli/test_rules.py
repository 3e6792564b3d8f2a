"""`tocsin rules`: check a file, list the active rules, preview alerts."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.records import Scored
from core.settings import Settings
from storage.store import Store
from tests.helpers.stores import save, scored
from tocsin import wiring
from tocsin.cli import main
from tocsin.cli.common import results

FILE = """
[[rules]]
name = "多为负面"
kind = "negative_share"
series = ["company:*", "topic:earnings"]
over = 0.6
window = "90m"
min_stories = 4

[[rules]]
name = "fraud [bold]"
kind = "risk_event"
series = ["company:AAPL"]
over = 0.8
events = ["fraud"]
paused = true
"""
SPIKE = '[[rules]]\nname = "negative-spike"\nkind = "spike"\nfalse_per_week = 0.25\ncooldown = "8h"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(results, "width", 200)
    path = tmp_path / "rules.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_check_shows_a_file_and_list_the_active_rules(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert main(["rules", "check", str(file)]) == 0
    output = capsys.readouterr().out
    for part in ("多为负面: negative_share, on company:*, topic:earnings", "over 0.6", "window 90m", "fraud [bold]: risk_event (paused)"):
        assert part in output
    assert "spike" not in output
    assert main(["rules", "list", "--json"]) == 0
    (detector,) = objects(capsys)
    assert (detector["name"], detector["kind"], detector["false_per_week"], detector["cooldown"]) == ("negative-spike", "spike", 1.0, "4h")
    file.write_text(FILE + SPIKE, encoding="utf-8")
    monkeypatch.setenv("TOCSIN_ALERT_RULES", str(file))
    assert main(["rules", "list", "--json"]) == 0
    detector, share, fraud = objects(capsys)
    assert (detector["false_per_week"], detector["cooldown"], detector["min_stories"]) == (0.25, "8h", 3)
    assert (share["over"], share["window"], share["severity"], share["cooldown"]) == (0.6, "90m", "info", "4h")
    assert (fraud["events"], fraud["paused"]) == (["fraud"], True)
    assert main(["rules", "check"]) == 0
    assert "negative-spike: spike, on *" in capsys.readouterr().out


def test_errors_are_listed_with_exit_code_2(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(FILE.replace("AAPL", "APPL").replace("0.6", "60").replace("earnings", "earning"), encoding="utf-8")
    assert main(["rules", "check", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "number 1 (多为负面): over: 60: expected a share of at least 0 and less than 1, such as 0.6; did you mean 0.6?" in lines[0]
    assert "number 1 (多为负面): series: there is no topic 'earning': did you mean 'earnings'?" in lines[1]
    assert "number 2 (fraud [bold]): series: there is no company 'APPL'" in lines[2]
    assert all(str(file) in line for line in lines)
    assert main(["rules", "check"]) == 2
    assert "specify FILE or set `alert_rules`" in capsys.readouterr().err


def recent(name: str, minutes_ago: int, **fields: Any) -> Scored:
    made, moment = scored(name, **fields), datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes_ago)
    article = msgspec.structs.replace(made.article, published_at=moment, fetched_at=moment)
    return Scored(article=article, score=msgspec.structs.replace(made.score, published_at=moment, risks={"fraud": 0.9}))


def test_preview_and_backtest_show_alerts_of_the_past(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(FILE.replace("AAPL", "*").replace("paused = true", 'severity = "critical"'), encoding="utf-8")
    folder = tmp_path / "data"
    with contextlib.closing(wiring.make_store(Settings(data_dir=str(folder)))) as store:
        fill(store)
    assert main(["rules", "preview", str(file), "--days", "7", "--json"]) == 0
    *alerts, summary = objects(capsys)
    assert summary["rules"] == {"多为负面": 2, "fraud [bold]": 1}
    assert summary["stories"] == 6
    assert {(alert["rule"], alert["series"]) for alert in alerts} == {
        ("多为负面", "company:ACME"), ("多为负面", "topic:earnings"), ("fraud [bold]", "company:ACME"),
    }  # fmt: skip
    fraud = next(alert for alert in alerts if alert["measure"] == "risk_event")
    assert (fraud["event"], fraud["severity"], fraud["value"]) == ("fraud", "critical", 0.9)
    assert fraud["evidence"][0]["title"] == "坏消息 0"
    assert main(["rules", "preview", str(file)]) == 0
    output = capsys.readouterr().out
    assert "3 alerts in the last 30 days, from 6 stories: 多为负面 2, fraud [bold] 1" in output
    assert "stored news begins at" in output
    assert "100% of 4 stories were negative" in output and "Fraud was detected with a probability of 90%" in output
    assert main(["backtest", "--store", "--rules", str(file), "--json"]) == 0
    *replayed, whole = objects(capsys)
    assert whole["alerts"] == len(replayed) == 3
    assert {(found["id"], found["measure"], found["value"]) for found in replayed} == {
        (alert["id"], alert["measure"], alert["value"]) for alert in alerts
    }
    assert main(["backtest", "--store", "--rules", str(file)]) == 0
    assert "fraud [bold]" in capsys.readouterr().out
    file.write_text(SPIKE, encoding="utf-8")
    assert main(["rules", "preview", str(file)]) == 0
    assert "0 alerts in the last 30 days, from 6 stories: negative-spike 0" in capsys.readouterr().out


def fill(store: Store) -> None:
    """Store five negative stories of one company and a positive one."""
    bad = [recent(f"b{n}", 60 - n, negative=0.9, title=f"坏消息 {n}", source=f"s{n % 2}") for n in range(5)]
    save(store, *bad, recent("good", 50, negative=0.0, title="Calm"))


def test_an_empty_store_and_invalid_rules_are_reported(file: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["rules", "preview", str(file), "--json"]) == 0
    (summary,) = objects(capsys)
    assert (summary["stories"], summary["rules"]) == (0, {"多为负面": 0})
    assert main(["backtest", "--store", "--rules", str(file.parent / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
