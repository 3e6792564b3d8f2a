"""The rules of the house, held by the syntax tree: who imports whom, one door per library, SQL in one folder, settings documented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Webhook, rows

ROOT = Path(__file__).resolve().parents[2]
OURS = ("tocsin", "core", "storage", "domain", "actions", "stats", "net", "ingest", "models", "stream", "api", "dashboard", "bench")

DOORS = {
    "faust": {"stream/worker/app.py", "stream/worker/agents.py"},
    "mode": {"stream/worker/app.py", "stream/worker/agents.py"},
    "aiokafka": {"stream/worker/watchdogs.py"},
    "chdb": {"storage/clickhouse.py"},
    "clickhouse_driver": {"storage/clickhouse.py", "bench/naive.py", "bench/streamed.py"},  # what others would write
    "kafka": {"ingest/kafka/client.py", "bench/naive.py", "bench/streamed.py"},
    "torch": {"models/", "tocsin/runtime/doctor.py", "bench/"},
    "transformers": {"models/", "bench/"},
    "tokenizers": {"models/", "bench/"},
    "accelerate": {"models/training/parallel.py"},
    "peft": {"models/training/methods.py"},
    "sklearn": {"models/evaluation/baselines.py"},
    "opencc": {"models/evaluation/robustness.py"},
    "dash": {"dashboard/"},
    "plotly": {"dashboard/"},
    "flask": {"dashboard/"},
    "httpx": {"ingest/crawl/fetcher.py", "ingest/", "stream/delivery/webhooks.py", "net/", "api/client.py"},
    "smtplib": {"stream/delivery/smtp.py"},
    "exchange_calendars": {"stream/delivery/trading_calendars.py"},
    "feedparser": {"ingest/crawl/feeds.py"},
    "trafilatura": {"ingest/crawl/pages.py"},
    "apscheduler": {"tocsin/runtime/scheduler.py"},
    "sqlalchemy": {"tocsin/runtime/scheduler.py"},
    "sqlite3": {"ingest/kafka/outbox.py", "ingest/crawl/crawler_mailbox.py"},
    "argon2": {"domain/passwords.py"},
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
    for imported in imports(tree):
        top = imported.split(".", maxsplit=1)[0]
        if top in DOORS:
            assert any(name == door or (door.endswith("/") and name.startswith(door)) for door in DOORS[top]), (
                f"{name} imports {imported}: the door of {top} is {sorted(DOORS[top])}"
            )


SQL = re.compile(r"\b(SELECT|INSERT INTO|CREATE TABLE|ALTER TABLE)\s+[\w{(*]")


@pytest.mark.parametrize("name", names())
def test_sql_stands_in_the_store_only(name: str):
    allowed = (
        "storage/",
        "ingest/kafka/outbox.py",
        "ingest/crawl/crawler_mailbox.py",
        "tocsin/runtime/doctor.py",
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


def test_every_setting_is_documented_with_its_default():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for row in [*rows(), *rows(Webhook)]:
        assert row.help, f"setting {row.name} has no help"
        line = f"| `{row.name}` | `{row.default}` | {row.help} |" if row.default else f"| `{row.name}` | required | {row.help} |"
        assert line in page, f"docs/settings.md lacks: {line}"


def test_the_example_settings_are_real_settings():
    import tomllib

    from core.settings import build

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
