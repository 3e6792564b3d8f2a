"""The rules of the house, held by the syntax tree: who imports whom, one door per library, SQL in one folder, settings documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from spine.settings import Webhook, rows

ROOT = Path(__file__).resolve().parents[2]
OURS = ("tocsin", "spine", "ingest", "models", "stream", "dashboard", "bench")

MAY_IMPORT = {
    "spine": {"spine"},
    "ingest": {"ingest", "spine"},
    "models": {"models", "spine"},
    "stream": {"stream", "models", "spine"},
    "dashboard": {"dashboard", "spine"},
    "bench": set(OURS),
    "tocsin": set(OURS),
}

DOORS = {
    "faust": {"stream/app.py", "stream/agents.py"},
    "mode": {"stream/app.py", "stream/agents.py"},
    "aiokafka": {"stream/presence.py"},
    "chdb": {"spine/clickhouse.py"},
    "clickhouse_driver": {"spine/clickhouse.py", "bench/naive.py", "bench/streamed.py"},  # what others would write
    "kafka": {"ingest/kafka.py", "bench/naive.py", "bench/streamed.py"},
    "torch": {"models/", "tocsin/doctor.py", "bench/"},
    "transformers": {"models/", "bench/"},
    "tokenizers": {"models/", "bench/"},
    "accelerate": {"models/training/crew.py"},
    "peft": {"models/training/methods.py"},
    "sklearn": {"models/measuring/baselines.py"},
    "opencc": {"models/measuring/robustness.py"},
    "dash": {"dashboard/"},
    "plotly": {"dashboard/"},
    "flask": {"dashboard/"},
    "httpx": {"ingest/fetch.py", "ingest/", "stream/webhooks.py", "stream/egress.py", "tocsin/client.py"},
    "smtplib": {"stream/smtp.py"},
    "exchange_calendars": {"stream/calendars.py"},
    "feedparser": {"ingest/feeds.py"},
    "trafilatura": {"ingest/pages.py"},
    "apscheduler": {"tocsin/schedule.py"},
    "sqlalchemy": {"tocsin/schedule.py"},
    "sqlite3": {"ingest/outbox.py", "ingest/board.py"},
    "argon2": {"spine/passwords.py"},
}


def names() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]


def parsed(name: str) -> ast.Module:
    """Not kept: the trees of all modules are most of what the collector would look through after each test of a flow."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


@pytest.mark.parametrize("name", names())
def test_each_module_imports_only_what_its_folder_may(name: str):
    tree = parsed(name)
    package = name.split("/", maxsplit=1)[0]
    for imported in imports(tree):
        top = imported.split(".", maxsplit=1)[0]
        if top in OURS:
            assert top in MAY_IMPORT[package], f"{name} imports {imported}: {package} may import {sorted(MAY_IMPORT[package])}"
        if top in DOORS:
            assert any(name == door or (door.endswith("/") and name.startswith(door)) for door in DOORS[top]), (
                f"{name} imports {imported}: the door of {top} is {sorted(DOORS[top])}"
            )


SQL = re.compile(r"\b(SELECT|INSERT INTO|CREATE TABLE|ALTER TABLE)\s+[\w{(*]")


@pytest.mark.parametrize("name", names())
def test_sql_stands_in_the_store_only(name: str):
    allowed = (
        "spine/store/",
        "spine/clickhouse.py",
        "spine/migrations.py",
        "ingest/outbox.py",
        "ingest/board.py",
        "tocsin/doctor.py",
        "bench/",
    )
    if name.startswith(allowed):
        return
    tree = parsed(name)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            assert not SQL.search(node.value), f"{name}:{node.lineno} holds SQL"


def test_modules_stay_small():
    too_long = {name: lines for name, lines in lengths() if lines > 400}
    assert too_long == {}


def lengths() -> Iterator[tuple[str, int]]:
    for package in OURS:
        for path in (ROOT / package).rglob("*.py"):
            yield path.relative_to(ROOT).as_posix(), len(path.read_text(encoding="utf-8").splitlines())


def test_every_setting_is_documented_with_its_default():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for row in [*rows(), *rows(Webhook)]:
        assert row.help, f"setting {row.name} has no help"
        line = f"| `{row.name}` | `{row.default}` | {row.help} |" if row.default else f"| `{row.name}` | required | {row.help} |"
        assert line in page, f"docs/settings.md lacks: {line}"


def test_the_example_settings_are_real_settings():
    import tomllib

    from spine.settings import build

    build(tomllib.loads((ROOT / "deploy" / "tocsin.example.toml").read_text(encoding="utf-8")), {})


def test_nothing_of_ours_loads_pickles_or_remote_code():
    for name in names():
        for node in ast.walk(parsed(name)):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant)
                assert node.value.value is False, name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("pickle", "load"), ("pickle", "loads"), ("yaml", "load")}, (
                    name
                )
