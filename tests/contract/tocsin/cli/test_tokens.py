"""`tocsin tokens` in this process, with a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.tokens import digest_of
from storage.store import open_store
from tocsin.cli import main
from tocsin.cli.common import results


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(results, "width", 240)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[str, str]:
    assert main(["tokens", *arguments]) == status
    return tuple(capsys.readouterr())  # type: ignore[return-value]


def test_a_token_is_made_listed_and_revoked(folder: Path, capsys: pytest.CaptureFixture[str]):
    out, err = run(capsys, "create", "风控", "--scope", "read", "--scope", "alerts", "--for", "90d", "--who", "王芳")
    secret = out.strip()
    assert secret.startswith("tocsin_")
    assert "shown only once" in err
    listed = json.loads(run(capsys, "list", "--json")[0])
    assert (listed["name"], listed["scopes"], listed["author"], listed["used_at"]) == ("风控", ["read", "alerts"], "王芳", None)
    assert "digest" not in listed
    store = open_store("embedded", folder)
    (kept,) = store.tokens.all()
    store.close()
    assert kept.digest == digest_of(secret)
    assert kept.expires_at is not None
    shown = run(capsys, "list")[0]
    assert "风控" in shown
    assert secret not in shown
    assert "is revoked" in run(capsys, "revoke", listed["id"][:8], "--who", "Li")[0]
    assert "already revoked at" in run(capsys, "revoke", listed["id"], status=2)[1]
    assert "no tokens" in run(capsys, "list")[0]
    assert "revoked by Li" in run(capsys, "list", "--all")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "a", "--scope", "write"), "there is no scope 'write'"),
        (("create", "tocsin", "--scope", "read"), "reserved for the program"),
        (("create", "a", "--scope", "read", "--for", "soon"), "not a duration"),
        (("revoke", "3f9c"), "no such token"),
    ],
)
def test_an_error_is_reported_in_one_sentence(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]):
    assert message in run(capsys, *arguments, status=2)[1]
