"""Files and messages are data: none of them, a restored backup included, can run code."""

from __future__ import annotations

import ast
import json
import pickle
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.settings import Settings
from tests.helpers.servers import ROOT
from tocsin.runtime.scheduler import REFRESH, make_scheduler, next_runs

ROOMS = ("tocsin", "core", "storage", "domain", "actions", "stats", "net", "ingest", "models", "stream", "api", "dashboard", "bench")
UNPICKLING = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "sqlalchemy", "jsonpickle"}
UNPICKLING_NAMES = {"SQLAlchemyJobStore", "RedisJobStore", "MongoDBJobStore", "read_pickle", "allow_pickle"}


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def test_a_schedule_with_a_pickle_in_it_runs_no_code(tmp_path: Path):
    mark = tmp_path / "ran"
    bomb = pickle.dumps(Bomb(mark))
    with sqlite3.connect(tmp_path / "schedule.sqlite") as old:  # as a job store of APScheduler 3
        old.execute("CREATE TABLE apscheduler_jobs (id VARCHAR(191) PRIMARY KEY, next_run_time FLOAT, job_state BLOB)")
        old.execute("INSERT INTO apscheduler_jobs VALUES ('refresh', 0.0, ?)", (bomb,))
    old.close()
    for content in (bomb, (tmp_path / "schedule.sqlite").read_bytes()):
        for name in ("schedule.json", "schedule.sqlite"):
            (tmp_path / name).write_bytes(content)
            scheduler = make_scheduler(Settings(refresh_cron="30 2 * * *"), tmp_path / name)
            assert list(next_runs(scheduler)) == [REFRESH]
            scheduler.shutdown()
    assert not mark.exists()


@pytest.mark.parametrize(
    "row",
    [
        {"schedule": "interval[0:00:01]", "next_run_at": "1970-01-01T00:00:00Z"},
        {"schedule": "x", "next_run_at": "1970-01-01T00:00:00"},
        {"schedule": "x", "next_run_at": "9999-12-31T23:59:59Z", "func": "os:system", "args": ["true"]},
        [[]],
        None,
    ],
)
def test_a_changed_schedule_neither_adds_jobs_nor_moves_them(tmp_path: Path, row: object):
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps({"refresh": row, "other": row}))
    scheduler = make_scheduler(Settings(refresh_cron="30 2 * * *"), file)
    runs = next_runs(scheduler)
    scheduler.shutdown()
    assert list(runs) == [REFRESH]
    assert datetime.now(UTC) < runs[REFRESH] <= datetime.now(UTC) + timedelta(days=1)


def test_no_module_reads_a_pickle():
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not UNPICKLING & {module.partition(".")[0] for module in modules}, path
            names = {getattr(node, "attr", ""), getattr(node, "id", ""), getattr(node, "arg", ""), getattr(node, "name", "")}
            assert not UNPICKLING_NAMES & {str(name) for name in names}, path
