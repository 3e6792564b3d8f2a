"""What a log entry never contains: secrets, control characters, more text than a limit, more refusals than a limit."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from core.log import MAX_VALUE_CHARS, REPEATS, REPEATS_S, RefusalLog, configure, get_logger, mask, rotate, webhook_address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a.example/feed?apikey=1: HTTP 404", "https://a.example/feed?*** HTTP 404"),
        ("https://token@a.example/x#s", "https://***@a.example/x?***"),
        ("https://u:p@a.example", "https://u:***@a.example"),
        ("见 https://a.example/f?k=a@b/c 与 http://b.example?x=1", "见 https://a.example/f?*** 与 http://b.example?***"),
        ('{"url":"https://a.example/f?fid=s3cret","x":1}', '{"url":"https://a.example/f?***","x":1}'),
        ("https://a.example/新闻/1", "https://a.example/新闻/1"),
        ("no URL: a?b=c", "no URL: a?b=c"),
    ],
)
def test_of_a_url_only_scheme_host_and_path_are_shown(text: str, shown: str):
    assert mask(text) == shown


@pytest.mark.parametrize("url", ["https://chat.example/hook/s3cret?s3cret#s3cret", "https://s3cret@chat.example/", "https://chat.example"])
def test_of_a_webhook_only_its_host_is_shown(url: str):
    assert webhook_address(url) == "https://chat.example"


def test_masking_takes_linear_time():
    began = time.process_time()
    for part in ("://a@?", "://", "a:@", "://a:b@c#"):
        mask("://" + part * 200_000)
    assert time.process_time() - began < 5


def logged(capsys: pytest.CaptureFixture[str], **values: Any) -> dict[str, Any]:
    configure("json")
    get_logger("tocsin.test").warning("refused", **values)
    logging.getLogger().handlers[0].flush()
    entry: dict[str, Any] = json.loads(capsys.readouterr().err)
    return entry


def test_values_are_cut_and_have_no_control_characters(capsys: pytest.CaptureFixture[str]):
    entry = logged(capsys, path="/违约" * 10_000, name="\x1b]0;x\x07\x9b31m", tags=["https://a.example/?k=s3cret"] * 1_000, lone="\ud800")
    assert len(entry["path"]) < MAX_VALUE_CHARS + 30
    assert entry["path"].endswith("… (30000 characters)")
    assert entry["name"] == r"\x1b]0;x\x07\x9b31m"
    assert entry["tags"] == ["https://a.example/?***"] * 50
    assert entry["lone"] == r"\ud800"
    assert entry["event"] == "refused"


def test_repeated_refusals_are_counted_instead_of_logged():
    entries: list[dict[str, Any]] = []

    class Logger:
        def warning(self, event: str, **values: Any) -> None:
            entries.append({"event": event, **values})

    moment = [0.0]
    log = RefusalLog(Logger(), clock=lambda: moment[0])
    for _ in range(REPEATS + 500):
        log.warning("request_forbidden", path="/x")
    log.warning("callback_forbidden")
    assert [entry["event"] for entry in entries] == ["request_forbidden"] * REPEATS + ["callback_forbidden"]
    moment[0] = REPEATS_S
    log.warning("request_forbidden", path="/y")
    assert entries[-1] == {"event": "request_forbidden", "path": "/y", "suppressed": 500}


def test_a_log_file_is_rotated_by_size_while_it_is_written(tmp_path: Path):
    path = tmp_path / "worker.log"
    assert not rotate(path, 100)
    with path.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 30)
        assert rotate(path, 100)
        writer.write("新\n".encode())
    assert path.read_text("utf-8") == "新\n"
    assert (tmp_path / "worker.log.1").read_bytes() == b"old\n" * 30
    assert (tmp_path / "worker.log.1").stat().st_mode & 0o777 == 0o600
    assert not rotate(path, 100)
