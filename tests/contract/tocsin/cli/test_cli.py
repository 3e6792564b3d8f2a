"""The command line: help with examples, one clear message and an exit code for every error, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.helpers.command import run_tocsin
from tests.helpers.servers import ROOT
from tocsin.cli.main import group, main
from tocsin.runtime.embedded_broker import free_port


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]):
    assert main([name, "--help"]) == 0
    output = capsys.readouterr().out
    assert "Examples:" in output
    assert f"tocsin {name}" in output or f"tocsin --config tocsin.toml {name}" in output
    command = group.commands[name]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in (
            "help",
            "sources",
            "host",
            "port",
            "data",
            "out",
            "task",
            "check",
        ):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"


ERRORS = [
    (["up"], {}, 2, "no sources: specify --sources FILE"),
    (["up", "--sources", "/nowhere/s.toml"], {}, 2, "/nowhere/s.toml"),
    (["--config", "/nowhere/t.toml", "settings", "--json"], {}, 2, "/nowhere/t.toml cannot be read"),
    (["settings", "--json"], {"TOCSIN_BATCH_MAX": "many"}, 2, "TOCSIN_BATCH_MAX"),
    (["migrate"], {"TOCSIN_STORE": "postgres://x"}, 2, "expected clickhouse://"),
    (["migrate"], {"TOCSIN_STORE": f"clickhouse://u:s3cr3t@127.0.0.1:{free_port()}/t"}, 75, "cannot be reached"),
    (["migrate"], {"TOCSIN_DATA_DIR": "/proc/nowhere"}, 2, "data_dir /proc/nowhere cannot be created"),
    (["backfill", "/nowhere/a.jsonl"], {}, 2, "/nowhere/a.jsonl"),
    (["backfill", "--map", "title", "x.jsonl"], {}, 2, "expected FIELD=COLUMN"),
    (["backfill", "--timezone", "Mars/Base", "x.jsonl"], {}, 2, "no such time zone"),
    (["backfill", "x.jsonl"], {"TOCSIN_BROKER": "127.0.0.1:1"}, 2, "x.jsonl"),
    (["classify", "x"], {"TOCSIN_MODEL": "/nowhere/model"}, 2, "no such folder"),
    (["nonsense"], {}, 2, "No such command 'nonsense'"),
    (["demo", "--port", "70000"], {}, 2, "70000"),
]


@pytest.mark.parametrize(("arguments", "environment", "status", "message"), ERRORS, ids=lambda value: str(value)[:40])
def test_an_error_ends_with_one_clear_message(arguments: list[str], environment: dict[str, str], status: int, message: str, tmp_path: Path):
    done = run_tocsin(*arguments, folder=tmp_path, **environment)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cr3t" not in done.stderr + done.stdout


def test_an_invalid_settings_file_is_reported_with_the_line(tmp_path: Path):
    (tmp_path / "t.toml").write_text("batch_max = = 3\n")
    done = run_tocsin("--config", str(tmp_path / "t.toml"), "settings", "--json", folder=tmp_path)
    assert done.returncode == 2
    assert "line 1" in done.stderr


def test_migrate_twice_and_check(tmp_path: Path):
    assert run_tocsin("migrate", "--check", folder=tmp_path).returncode == 1
    first = run_tocsin("migrate", folder=tmp_path)
    assert "applied 0001_" in first.stdout
    assert run_tocsin("migrate", folder=tmp_path).stdout.strip() == "the tables are up to date"
    assert run_tocsin("migrate", "--check", folder=tmp_path).returncode == 0


def test_doctor_finds_problems_and_fixes(tmp_path: Path):
    done = run_tocsin(
        "doctor", "--json", folder=tmp_path, TOCSIN_BROKER=f"127.0.0.1:{free_port()}", TOCSIN_SOURCES=str(tmp_path / "none.toml")
    )
    assert done.returncode == 1
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert set(found) == {"Python", "data folder", "model", "device", "broker", "store", "dashboard port", "companies", "sources"}
    assert found["broker"]["state"] == "wrong"
    assert "cannot be reached" in found["broker"]["detail"] or "Kafka" in found["broker"]["detail"]
    assert found["sources"]["state"] == "wrong"
    assert found["model"]["state"] == found["Python"]["state"] == found["companies"]["state"] == "ok", found
    assert found["store"]["fix"] == "run `tocsin migrate`"
    assert all(row["fix"] for row in found.values() if row["state"] != "ok")


def test_classify_reads_both_languages_from_stdin(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "classify", "--json", "-"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        input="Lender defaults on bonds as losses mount, shares plunge\n\n债券违约，亏损扩大，股价暴跌\n",
        env={**os.environ, "TOCSIN_DATA_DIR": str(tmp_path)},
        cwd=ROOT,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert row["sentiment"]["negative"] > 0.5
        assert sum(row["sentiment"].values()) == pytest.approx(1.0, abs=1e-3)
