"""`tocsin webhooks test` and `list` with an endpoint of every format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from stream.delivery.formats import FORMATS
from tests.helpers.chat_servers import DingTalk, Feishu, Slack, WeCom
from tests.helpers.mail_server import LOGIN, PEM, MailServer, parse_mail
from tests.helpers.webhook_server import WebhookServer
from tocsin.cli import main

ROOT = Path(__file__).resolve().parents[2]
FEISHU, DINGTALK = "f3ishu-s3cr3t", "SEC" + "ab" * 32


def table(name: str, url: str, **more: str) -> str:
    rows = {"name": name, "format": name, "url": url} | more
    return "[[webhooks]]\nallow_private = true\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items())


def test_a_test_message_reaches_every_format_and_no_secret_is_shown(
    receiver: WebhookServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with ExitStack() as stack:
        slack, wecom = stack.enter_context(Slack()), stack.enter_context(WeCom())
        feishu, dingtalk = stack.enter_context(Feishu(FEISHU)), stack.enter_context(DingTalk(DINGTALK))
        mail = stack.enter_context(MailServer("starttls", auth=True))
        tables = [
            table("json", receiver.url, min_severity="critical"),
            table("alertmanager", receiver.url + "/am"),
            table("slack", slack.url, language="zh"),
            table("feishu", feishu.url, secret=FEISHU, language="zh"),
            table("dingtalk", dingtalk.url, secret=DINGTALK),
            table("wecom", wecom.url),
            table("email", f"smtp://{LOGIN}localhost:{mail.port}?from=tocsin@b.example&to=risk@b.example", language="zh"),
        ]
        assert len(tables) == len(FORMATS)
        config = tmp_path / "tocsin.toml"
        config.write_text("\n".join(tables), encoding="utf-8")
        tested = {row["endpoint"]: row for row in run(config, "test", "--json")}
        listed = {row["endpoint"]: row["state"] for row in run(config, "list", "--json")}
    assert {name: (row["status"], row["error"]) for name, row in tested.items()} == {
        name: (250 if name == "email" else 204 if name in ("json", "alertmanager") else 200, "") for name in FORMATS
    }
    assert listed == dict.fromkeys(FORMATS, "ok")
    assert slack.messages[0][0] == "Tocsin 测试消息"
    assert all(chat.messages[0][0].startswith("Tocsin · 20") for chat in (feishu, dingtalk, wecom))
    assert parse_mail(mail.mails[0][2])["Subject"] == "Tocsin 测试消息"
    bodies = {request.path: json.loads(request.body) for request in receiver.requests}
    assert bodies["/hook"]["type"] == "alert.test" and bodies["/hook/am"]["version"] == "4"
    assert main(["--config", str(config), "settings", "--json"]) == 0
    shown = capsys.readouterr().out
    assert not any(secret in shown for secret in (FEISHU, DINGTALK, "p%40ss", "t0ken", "k3y"))


def run(config: Path, *arguments: str) -> list[dict[str, object]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    environment = {**clean, "TOCSIN_DATA_DIR": str(config.parent / "data"), "SSL_CERT_FILE": str(PEM)}
    command = [sys.executable, "-m", "tocsin", "--config", str(config), "webhooks", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
