"""`tocsin backtest` on a real archive file: classified once by the worker's pipeline, then replayed."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tocsin.cli.main import main

START = datetime(2026, 9, 1, tzinfo=UTC)
CRISIS = START + timedelta(days=20, hours=10)


def archive(folder: Path) -> Path:
    rows = []
    for hour in range(24 * 24):
        if hour % 3 == 2 and hour > 22 * 24:
            continue  # wire2 has fallen silent
        when = START + timedelta(hours=hour, minutes=7 * hour % 60)
        rows.append((when, f"Harbour weather report number {hour}: calm sea, ships {hour * 37 % 91} in port", f"wire{hour % 3}"))
    words = ["fraud", "lawsuit", "default", "bankruptcy", "losses", "probe", "recall", "crash", "plunge", "scandal", "违约", "亏损"]
    for n, word in enumerate(words):
        when = CRISIS + timedelta(minutes=4 * n)
        rows.append((when, f"{word} {word} at the quay: {word} losses, default and fraud, case {n} {word * 2}", f"wire{n % 3}"))
    path = folder / "harbour.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for n, (when, title, source) in enumerate(sorted(rows)):
            row = {"id": f"h{n}", "source": source, "published": when.isoformat(), "lang": "en", "title": title, "text": "", "url": ""}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TOCSIN_MODEL", "keyword")
    return tmp_path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_archive_is_classified_once_and_its_crisis_alerts(settings: Path, capsys: pytest.CaptureFixture[str]):
    path = str(archive(settings))
    assert main(["backtest", path, "--json"]) == 0
    *alerts, summary = lines(capsys)
    market = next(alert for alert in alerts if alert["series"] == "market:all")
    detected = datetime.fromisoformat(str(market["detected_at"]))
    assert CRISIS < detected <= CRISIS + timedelta(hours=1)
    assert isinstance(market["evidence"], list)
    assert len(market["evidence"]) >= 3
    assert isinstance(market["decisive_article_ids"], list)
    assert 1 <= len(market["decisive_article_ids"]) < len(market["evidence"])
    assert market["decisive_count"] == len(market["decisive_article_ids"])
    assert set(market["decisive_article_ids"]) < set(market["evidence"])
    assert summary["alerts"] == len(alerts)
    (outage,) = [alert for alert in alerts if alert["measure"] == "outage"]
    assert (outage["series"], summary["outages"]) == ("source:wire2", 1)
    assert START + timedelta(days=22, hours=3) < datetime.fromisoformat(str(outage["detected_at"])) < START + timedelta(days=23)
    (folder,) = (settings / "data" / "backtests").iterdir()
    stamp = (folder / "scored.json").stat().st_mtime_ns
    assert main(["backtest", path, "--json", "--to", CRISIS.isoformat()]) == 0
    assert lines(capsys)[-1]["alerts"] == 0
    assert (folder / "scored.json").stat().st_mtime_ns == stamp, "the second run scored nothing"
    assert main(["backtest", path, "--from", "2026-09-20", "--false-per-week", "50"]) == 0
    output = capsys.readouterr().out
    assert "Whole market" in output and "wire2" in output and "1 outage alerts" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either FILES or --store"),
        (["--store", "x.jsonl"], "give either"),
        (["-"], "cannot read stdin"),
        (["/nowhere/a.jsonl"], "/nowhere/a.jsonl"),
        (["--store"], "no articles to replay"),
        (["--store", "--from", "yesterday"], "--from yesterday: expected a time"),
    ],
)
def test_errors_are_reported(arguments: list[str], message: str, settings: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["backtest", *arguments]) == 2
    assert message in capsys.readouterr().err
