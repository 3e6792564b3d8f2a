"""How far a refresh is, told in a file: while it runs, when it ends, and when it is killed."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import ModelError
from models.training.refresh_status import FILE, LINES, SILENT_S, Measured, Outcome, Reporter, keep_measured, read_measured, read_progress
from tests.helpers.waiting import until

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OUTCOME = Outcome(action="skip", champion="shipped", reasons=("few labels",), new_labels=3)


def test_a_refresh_tells_its_steps_and_its_end(tmp_path: Path):
    heard: list[str] = []
    assert read_progress(tmp_path) is None
    with Reporter(tmp_path, now=NOON, who="王芳", say=heard.append) as report:
        report("training on 80 labels")
        found = read_progress(tmp_path)
        assert found is not None
        progress, alive = found
        assert (alive, progress.who, progress.ended) == (True, "王芳", None)
        assert [line for _, line in progress.told] == heard == ["training on 80 labels"]
        report.end(OUTCOME)
    found = read_progress(tmp_path)
    assert found is not None
    assert (found[0].outcome, found[0].error, found[1]) == (OUTCOME, "", False)
    assert found[0].ended is not None
    assert found[0].ended >= NOON


def test_one_that_fails_says_why(tmp_path: Path):
    with pytest.raises(ModelError), Reporter(tmp_path, now=NOON, who="", say=lambda _: None):
        raise ModelError("the disk is full")
    found = read_progress(tmp_path)
    assert found is not None
    assert (found[0].error, found[0].outcome, found[1]) == ("the disk is full", None, False)


def test_one_that_was_killed_is_told_from_one_that_runs(tmp_path: Path):
    with Reporter(tmp_path, now=NOON, who="", say=lambda _: None, beat_s=0.01) as report:
        old = time.time() - SILENT_S - 5
        os.utime(tmp_path / FILE, (old, old))
        until(lambda: (read_progress(tmp_path) or (None, False))[1], "the beat makes it young again", 30)
        report("x")
        kept = (tmp_path / FILE).read_bytes()
        report.end(OUTCOME)
    (tmp_path / FILE).write_bytes(kept)  # as a killed process leaves it
    os.utime(tmp_path / FILE, (old, old))
    found = read_progress(tmp_path)
    assert found is not None
    assert (found[0].ended, found[1]) == (None, False)


def test_the_file_stays_small_and_a_torn_one_is_none(tmp_path: Path):
    with Reporter(tmp_path, now=NOON, who="", say=lambda _: None) as report:
        for number in range(LINES + 3):
            report(str(number))
        found = read_progress(tmp_path)
        assert found is not None
        assert [line for _, line in found[0].told] == [str(number) for number in range(3, LINES + 3)]
        report.end(OUTCOME)
    (tmp_path / FILE).write_bytes(b'{"began"')
    assert read_progress(tmp_path) is None


def test_what_was_measured_of_a_version_is_read_back(tmp_path: Path):
    measured = Measured(version="v1", against="shipped", at=NOON, reasons=("better",), comparisons=())
    keep_measured(tmp_path, measured)
    assert read_measured(tmp_path, "v1") == measured
    assert read_measured(tmp_path, "v2") is None
