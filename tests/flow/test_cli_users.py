"""`tocsin users` and `tocsin audit`, in this process over a real store; and the first start in a terminal."""

from __future__ import annotations

import http.cookiejar
import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.accounts import FREE, Failures, account_subject
from domain.passwords import verify
from storage.store import Store, open_store
from tests.helpers.servers import ROOT, ClickHouseServer
from tests.helpers.terminal import Terminal
from tocsin.cli import main
from tocsin.cli.common import results


@pytest.fixture
def store(clickhouse_server: ClickHouseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    address = f"{clickhouse_server.address}/cli_users"
    monkeypatch.setenv("TOCSIN_STORE", address)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(results, "width", 240)
    made = open_store(address, tmp_path)
    made.migrate()
    for table in ("accounts", "sessions", "login_failures", "audit"):
        made.client.command(f"TRUNCATE TABLE {table}")
    yield made
    made.close()


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(arguments) == code
    output = capsys.readouterr()
    return output.out if code == 0 else output.err


def test_an_account_is_added_changed_and_disabled(store: Store, capsys: pytest.CaptureFixture[str]):
    assert "no accounts" in output_of(capsys, "users", "list")
    password = output_of(capsys, "users", "add", "王芳", "--role", "analyst", "--who", "root").split()[-1]
    account = store.accounts.get("王芳")
    assert account is not None
    assert account.must_change
    assert verify(account.hash, password)
    assert "already" in output_of(capsys, "users", "add", "王芳", code=2)
    assert output_of(capsys, "users", "role", "王芳", "viewer") == "王芳 now has the role viewer\n"
    another = output_of(capsys, "users", "passwd", "王芳").split()[-1]
    assert another != password
    store.login_failures.put([Failures(subject=account_subject("王芳"), count=FREE["account"], last_at=datetime.now(UTC))])
    assert "failed logins" in output_of(capsys, "users", "list")
    assert output_of(capsys, "users", "unlock", "王芳") == "王芳 is unlocked\n"
    assert store.login_failures.get([account_subject("王芳")]) == {}
    assert output_of(capsys, "users", "logout", "王芳") == "王芳: 0 sessions ended\n"
    assert output_of(capsys, "users", "disable", "王芳") == "王芳 is disabled\n"
    (row,) = map(json.loads, output_of(capsys, "users", "list", "--json").splitlines())
    assert {name: row[name] for name in ("name", "role", "disabled", "must_change", "sessions", "failed_logins")} == {
        "name": "王芳",
        "role": "viewer",
        "disabled": True,
        "must_change": True,
        "sessions": 0,
        "failed_logins": 0,
    }
    assert "hash" not in row
    assert output_of(capsys, "users", "enable", "王芳") == "王芳 is enabled\n"
    assert "there is no account 'lee'" in output_of(capsys, "users", "role", "lee", "admin", code=2)
    log = output_of(capsys, "audit", "list", "--json", "--target", "王芳")
    assert [json.loads(line)["action"] for line in log.splitlines()] == [
        "account enabled",
        "account disabled",
        "sessions ended",
        "account unlocked",
        "account password",
        "account role",
        "account added",
    ]
    assert not any(secret in log for secret in (password, another, "argon2"))
    assert "root" in output_of(capsys, "audit", "list", "--action", "account added")
    assert "no audit entries" in output_of(capsys, "audit", "list", "--actor", "nobody")


def get(url: str, jar: http.cookiejar.CookieJar, form: dict[str, str] | None = None) -> tuple[str, str]:
    """The path after redirects and the response body."""
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)).open(url, data, timeout=30) as answer:
        return urllib.parse.urlsplit(answer.url).path, answer.read().decode()


def test_the_first_start_on_a_terminal_shows_the_password_once(store: Store):
    terminal = Terminal("dashboard", "--port", "0")
    try:
        link = terminal.expect(r"(http://127\.0\.0\.1:\d+/)login#admin:([a-z0-9-]{19})")
        url, password, jar = link[1], link[2], http.cookiejar.CookieJar()
        assert get(url, jar)[0] == "/login"
        assert get(url + "login", jar, {"name": "admin", "password": password})[0] == "/password"
        assert (
            get(url + "password", jar, {"old": password, "new": "七只灰鹭站在浅水里等鱼来", "again": "七只灰鹭站在浅水里等鱼来"})[0] == "/"
        )
    finally:
        assert terminal.stop() == 0
    again = Terminal("dashboard", "--port", "0")
    try:
        again.expect(r"dashboard on http")
    finally:
        assert again.stop() == 0
    assert "login#" not in again.text
    assert password not in repr(store.audit.latest()) + repr(store.client.query("SELECT * FROM accounts"))


def test_no_password_is_shown_without_a_terminal(store: Store):
    process = subprocess.Popen([sys.executable, "-m", "tocsin", "dashboard", "--port", "0"], stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stderr is not None
    log = ""
    while "dashboard on" not in log:
        line = process.stderr.readline()
        assert line, log
        log += line
    process.terminate()
    log += process.communicate(timeout=30)[1]
    assert "login#" not in log
    assert store.accounts.all() == []
    assert "tocsin users add" in log
