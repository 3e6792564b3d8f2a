"""`tocsin models`, `label` and `refresh`: results on stdout, one clear message for an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.records import Article, CompanyScore, Mention, Score, Scored, sha
from core.taxonomy import TOPIC_KEYS
from models.registry.manifest import FILES, Manifest, write_version
from models.registry.versions import SHIPPED, Versions
from storage.store import open_store
from tests.helpers.command import run_tocsin
from tocsin.cli.main import main

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
Call = Callable[..., tuple[int, list[dict[str, Any]], str]]


def write(folder: Path, version: str) -> None:
    """Write a version with complete files."""
    sentiments = ("negative", "neutral", "positive")
    contents = {name: name.encode() for name in FILES}
    write_version(folder, contents, Manifest(version, NOON, sentiments, TOPIC_KEYS, {}, {}, 8, {}, {}, {}, {}))


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command with --json on a new data folder: (exit code, lines of stdout as JSON, stderr)."""
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TOCSIN_CONFIG", raising=False)

    def ask(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        status = main([*arguments, "--json"])
        output = capsys.readouterr()
        return status, [json.loads(line) for line in output.out.splitlines()], output.err

    return ask


def test_versions_are_listed_promoted_and_rolled_back(call: Call, tmp_path: Path):
    for name in ("v1", "v2"):
        write(Versions(tmp_path).folder(name), name)
    assert [row["version"] for row in call("models", "list")[1] if row["champion"]] == [SHIPPED]
    assert call("models", "promote", "v1", "--why", "better")[:2] == (0, [{"champion": "v1", "from": SHIPPED, "changed": True}])
    assert call("models", "promote", "v1")[1] == [{"champion": "v1", "from": "v1", "changed": False}]
    call("models", "promote", "v2")
    assert call("models", "rollback")[1] == [{"champion": "v1", "from": "v2", "changed": True}]
    assert [row["version"] for row in call("models", "list")[1] if row["champion"]] == ["v1"]
    history = call("models", "list", "--history")[1]
    assert [(row["action"], row["from"], row["version"]) for row in history] == [
        ("promote", SHIPPED, "v1"),
        ("promote", "v1", "v2"),
        ("rollback", "v2", "v1"),
    ]
    assert history[0]["why"] == "better"


def test_errors_about_versions_are_one_sentence(call: Call):
    for arguments, message in [(("promote", "nowhere"), "tocsin models list"), (("rollback",), "nothing to roll back to")]:
        status, rows, output = call("models", *arguments)
        assert (status, rows) == (1, [])
        assert message in output
        assert len(output.strip().splitlines()) == 1


def test_a_damaged_champion_is_reported_with_a_fix(call: Call, tmp_path: Path):
    versions = Versions(tmp_path)
    write(versions.folder("v1"), "v1")
    call("models", "promote", "v1")
    (versions.folder("v1") / "tokenizer.json").write_bytes(b"changed")
    status, _, output = call("classify", "Lender defaults")
    assert status == 1
    assert "v1/tokenizer.json" in output
    assert "tocsin models rollback" in output
    assert call("models", "rollback")[:2] == (0, [{"champion": SHIPPED, "from": "v1", "changed": True}])


def store_an_article(folder: Path) -> str:
    ident = sha("labelled")
    article = Article(
        id=ident, source="wire", language="en", title="Acme falls", published_at=NOON, fetched_at=NOON,
        mentions=(Mention(company="ACME", surface="Acme"),),
    )  # fmt: skip
    sure: dict[str, Any] = {"p_negative": 0.0, "p_neutral": 1.0, "p_positive": 0.0}
    score = Score(
        id=ident, source="wire", language="en", published_at=NOON, story=ident, topics={"markets": 0.9}, model="m1", scored_at=NOON,
        companies=(CompanyScore(company="ACME", **sure),), **sure,
    )  # fmt: skip
    store = open_store("embedded", folder)
    store.migrate()
    store.articles.insert([Scored(article=article, score=score)])
    store.close()
    return ident


def test_a_label_is_stored_and_an_invalid_one_rejected(call: Call, tmp_path: Path):
    ident = store_an_article(tmp_path)
    assert call("label", ident, "--sentiment", "negative", "--company", "ACME", "--author", "ann")[0] == 0
    status, rows, _ = call("label", ident, "--topics", "markets, earnings", "--risks", "none", "--author", "bob")
    assert status == 0
    labels: Any = rows[0]
    assert [(row["task"], row["labels"], row["author"], row["model"]) for row in labels] == [
        ("topic", ["markets", "earnings"], "bob", "m1"),
        ("risk", [], "bob", "m1"),
    ]
    for arguments, message in [
        ((ident,), "no labels"),
        ((ident, "--topics", "weather"), "weather"),
        ((ident, "--sentiment", "negative", "--company", "OTHER"), "it names ACME"),
        ((ident, "--topics", "markets", "--company", "ACME"), "requires --sentiment"),
        (("0" * 32, "--sentiment", "negative"), "no article"),
    ]:
        status, rows, output = call("label", *arguments)
        assert (status, rows) == (2, []), output
        assert message in output
    store = open_store("embedded", tmp_path)
    found = store.labels.read()
    store.close()
    assert sorted((each.label.task, each.label.company, each.label.labels, each.article.companies["ACME"]) for each in found) == [
        ("risk", "", (), "Acme"),
        ("sentiment", "ACME", ("negative",), "Acme"),
        ("topic", "", ("markets", "earnings"), "Acme"),
    ]


def test_a_refresh_without_labels_has_nothing_to_do(tmp_path: Path):
    done = run_tocsin("refresh", "--force", "--json", folder=tmp_path)  # a separate process, as a refresh lowers its priority
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["action"], outcome["champion"]) == ("skip", SHIPPED)
