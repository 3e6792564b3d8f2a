"""The progress file of a refresh: while it runs, after its end, and after it was killed."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import ModelError
from models.training.refresh_status import (
    FILE,
    MAX_LINES,
    STALE_S,
    GateMeasurement,
    ProgressFile,
    RefreshOutcome,
    read_measurement,
    read_progress,
    save_measurement,
)
from tests.helpers.waiting import until

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OUTCOME = RefreshOutcome(action="skip", champion="shipped", reasons=("few labels",), new_labels=3)


def test_a_refresh_reports_its_steps_and_its_outcome(tmp_path: Path):
    reported: list[str] = []
    assert read_progress(tmp_path) is None
    with ProgressFile(tmp_path, now=NOON, started_by="王芳", report=reported.append) as progress_file:
        progress_file("training on 80 labels")
        found = read_progress(tmp_path)
        assert found is not None
        progress, alive = found
        assert (alive, progress.started_by, progress.ended) == (True, "王芳", None)
        assert [line for _, line in progress.lines] == reported == ["training on 80 labels"]
        progress_file.end(OUTCOME)
    found = read_progress(tmp_path)
    assert found is not None
    assert (found[0].outcome, found[0].error, found[1]) == (OUTCOME, "", False)
    assert found[0].ended is not None
    assert found[0].ended >= NOON


def test_a_failed_refresh_has_the_error(tmp_path: Path):
    with pytest.raises(ModelError), ProgressFile(tmp_path, now=NOON, started_by="", report=lambda _: None):
        raise ModelError("the disk is full")
    found = read_progress(tmp_path)
    assert found is not None
    assert (found[0].error, found[0].outcome, found[1]) == ("the disk is full", None, False)


def test_a_killed_refresh_is_not_reported_as_running(tmp_path: Path):
    with ProgressFile(tmp_path, now=NOON, started_by="", report=lambda _: None, heartbeat_s=0.01) as progress_file:
        old = time.time() - STALE_S - 5
        os.utime(tmp_path / FILE, (old, old))
        until(lambda: (read_progress(tmp_path) or (None, False))[1], "the heartbeat touches the file", 30)
        progress_file("x")
        kept = (tmp_path / FILE).read_bytes()
        progress_file.end(OUTCOME)
    (tmp_path / FILE).write_bytes(kept)  # as a killed process leaves it
    os.utime(tmp_path / FILE, (old, old))
    found = read_progress(tmp_path)
    assert found is not None
    assert (found[0].ended, found[1]) == (None, False)


def test_the_file_keeps_the_last_lines_and_an_incomplete_one_is_ignored(tmp_path: Path):
    with ProgressFile(tmp_path, now=NOON, started_by="", report=lambda _: None) as progress_file:
        for number in range(MAX_LINES + 3):
            progress_file(str(number))
        found = read_progress(tmp_path)
        assert found is not None
        assert [line for _, line in found[0].lines] == [str(number) for number in range(3, MAX_LINES + 3)]
        progress_file.end(OUTCOME)
    (tmp_path / FILE).write_bytes(b'{"began"')
    assert read_progress(tmp_path) is None


def test_a_measurement_is_stored_and_read(tmp_path: Path):
    measured = GateMeasurement(version="v1", against="shipped", at=NOON, reasons=("better",), comparisons=())
    save_measurement(tmp_path, measured)
    assert read_measurement(tmp_path, "v1") == measured
    assert read_measurement(tmp_path, "v2") is None
