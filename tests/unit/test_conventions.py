"""Conventions of the code base that no linter checks: words, SQL in storage only, documented settings, no unsafe loading."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from pathlib import Path

import pytest

from core.settings import Webhook, build, rows

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("tocsin", "core", "storage", "domain", "actions", "stats", "net"),
    *("ingest", "models", "stream", "api", "dashboard", "bench"),
)
PRIVATE_WORDS = {
    *("told", "tell", "tells", "teller", "tellers", "heard", "hear", "hears", "hearing", "said", "say", "says", "saying", "borne"),
    *("ring", "rings", "ringing", "ringer", "rung", "rang", "deed", "deeds", "desk", "desks", "hush", "unhush", "moods", "beats", "aside"),
}
"""Former names that nobody outside would search for; docs/glossary.md has the terms that replaced them."""
SQL = re.compile(r"\b(SELECT|INSERT INTO|CREATE TABLE|ALTER TABLE)\s+[\w{(*]")
WITH_SQL = ("storage/", "ingest/kafka/outbox.py", "ingest/crawl/crawler_mailbox.py", "tocsin/runtime/doctor.py", "bench/")


def sources(*folders: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def parsed(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def words_of(identifier: str) -> set[str]:
    """The lower-case parts of a snake_case or CamelCase identifier."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def test_identifiers_are_split_into_words():
    assert words_of("told_HTTPFeedX2") == {"told", "http", "feed", "x"}


@pytest.mark.parametrize("folder", [*PACKAGES, "tests"])
def test_identifiers_use_the_terms_of_the_glossary(folder: str):
    found = set()
    for name in sources(folder):
        for token in tokenize.generate_tokens(io.StringIO((ROOT / name).read_text(encoding="utf-8")).readline):
            if token.type == tokenize.NAME and words_of(token.string) & PRIVATE_WORDS:
                found.add((name, token.string))
    assert sorted(found) == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_sql_stands_in_storage_only(folder: str):
    for name in sources(folder):
        if name.startswith(WITH_SQL):
            continue
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
                assert not SQL.search(node.value), f"{name}:{node.lineno} contains SQL"


def test_no_test_module_imports_another():
    for name in sources("tests"):
        for node in ast.walk(parsed(name)):
            imported = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not any(part.startswith("test_") for part in imported.split(".")), f"{name} imports {imported}"


def test_every_setting_is_documented_with_its_default():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for row in [*rows(), *rows(Webhook)]:
        assert row.help, f"setting {row.name} has no help"
        line = f"| `{row.name}` | `{row.default}` | {row.help} |" if row.default else f"| `{row.name}` | required | {row.help} |"
        assert line in page, f"docs/settings.md lacks: {line}"


def test_the_example_settings_are_valid():
    build(tomllib.loads((ROOT / "deploy" / "tocsin.example.toml").read_text(encoding="utf-8")), {})


@pytest.mark.parametrize("folder", PACKAGES)
def test_no_pickle_and_no_remote_code_is_loaded(folder: str):
    for name in sources(folder):
        for node in ast.walk(parsed(name)):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant)
                assert node.value.value is False, name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                unsafe = {("torch", "load"), ("pickle", "load"), ("pickle", "loads"), ("yaml", "load")}
                assert (node.value.id, node.attr) not in unsafe, f"{name}:{node.lineno}"


def test_text_is_normalised_by_one_function_which_takes_linear_time():
    for name in sources(*PACKAGES):
        for node in ast.walk(parsed(name)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "unicodedata.normalize":
                assert name == "core/untrusted_text.py", f"{name}:{node.lineno}: use core.untrusted_text.normalize"
            if isinstance(node, ast.ImportFrom) and node.module == "unicodedata":
                assert not any(alias.name == "normalize" for alias in node.names), f"{name}:{node.lineno}"
