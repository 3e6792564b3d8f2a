"""`tocsin alerts` in this process, with a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.durations import parse_duration
from core.errors import InvalidInput
from core.records import Alert, CompanyCount, Evidence, Why, WordCount, alert_id
from domain.alert_lifecycle.verdicts import verdict_of
from storage.store import AlertGroup, Delivery, Store, SuppressedDelivery, open_store
from tests.helpers.servers import ClickHouseServer
from tocsin.cli import main
from tocsin.cli.common import results
from tocsin.services.alert_service import parse_time

NOW = datetime.now(UTC).replace(microsecond=0)


def alert(series: str, minutes: int = 10) -> Alert:
    start = NOW - timedelta(minutes=minutes)
    return Alert(
        id=alert_id("negative-spike", series, start),
        rule="negative-spike",
        series=series,
        window_start=start,
        window_s=900,
        detected_at=start,
        severity="warning",
        observed=12,
        expected=0.3,
        surprise=8.1,
        total=15,
        sources=4,
        evidence=(
            Evidence(id="e", title="债券违约 [bold]x[/bold]\x1b[2J\u202e", url="", source="wire", published_at=start, p_negative=0.97),
            Evidence(id="f", title="Calm", url="", source="wire", published_at=start, p_negative=0.6),
        ),
        why=Why(
            stories=900,
            more=True,
            decisive_count=1,
            decisive_article_ids=("e",),
            read=300,
            words=(WordCount(word="违约", stories=8), WordCount(word="default", stories=3)),
            companies=(CompanyCount(company="600519.SH", stories=2),),
            first_source="新浪\x1b[2J财经",
            first_at=start,
        ),
    )


ONE, TWO, OLD = alert("topic:credit"), alert("market:all"), alert("topic:banks", 60 * 24 * 9)
A, B = ONE.id[:8], TWO.id[:8]


@pytest.fixture
def store(clickhouse_server: ClickHouseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    address = f"{clickhouse_server.address}/cli_alerts"
    monkeypatch.setenv("TOCSIN_STORE", address)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(results, "width", 240)
    made = open_store(address, tmp_path)
    made.migrate()
    for table in ("alerts", "deliveries", "alert_events", "suppressed_deliveries", "silences", "silence_ends", "alert_groups", "audit"):
        made.client.command(f"TRUNCATE TABLE {table}")
    made.alerts.insert([ONE, TWO, OLD])
    yield made
    made.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["alerts", *arguments]) == status
    output = capsys.readouterr()
    return output.err if status else output.out


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(capsys, *arguments, "--json").splitlines()]


def test_an_alert_is_acknowledged_assigned_commented_and_resolved(store: Store, capsys: pytest.CaptureFixture[str]):
    assert {row["series"]: row["state"] for row in rows(capsys, "list")} == {"topic:credit": "firing", "market:all": "firing"}
    assert "acknowledged by 王芳" in run(capsys, "ack", A, ONE.id, "--who", "王芳", "--because", "calling the issuer")
    assert [row["id"] for row in rows(capsys, "list", "--state", "acknowledged")] == [ONE.id]
    assert "assigned to 李雷" in run(capsys, "assign", A, "--to", "李雷", "--who", "bob")
    run(capsys, "note", A, "发行人已回应", "--who", "bob")
    run(capsys, "unack", A, "--who", "王芳")
    assert "acknowledged" not in {row["state"] for row in rows(capsys, "list")}
    run(capsys, "resolve", A, B, "--who", "bob")
    assert {row["state"] for row in rows(capsys, "list")} == {"resolved"}
    run(capsys, "reopen", A)
    (row,) = rows(capsys, "show", A)
    assert (row["state"], row["assignee"], row["notes"][0]["text"]) == ("firing", "李雷", "发行人已回应")
    kinds = [each["kind"] for each in row["events"]]
    assert kinds == ["acknowledged", "assigned", "note", "unacknowledged", "resolved", "reopened"]
    assert row["events"][0]["text"] == "calling the issuer"
    assert row["events"][-1]["actor"], "the login name"
    noted = store.audit.latest(target=ONE.id)
    assert [entry.action for entry in reversed(noted)] == [f"alert {kind}" for kind in kinds]
    first = noted[-1]
    assert (first.actor, first.before, first.after) == ("王芳", "firing", "acknowledged: calling the issuer")


def test_the_last_verdict_counts(store: Store, capsys: pytest.CaptureFixture[str]):
    run(capsys, "judge", A, "false", "--who", "王芳", "--because", "旧闻")
    assert "verdict_right by 王芳" in run(capsys, "judge", A, "right", "--who", "王芳")
    assert verdict_of(store.alert_lifecycle.verdicts(OLD.detected_at)) == "right"
    assert "旧闻" in run(capsys, "show", A)
    assert [(each.actor, each.action, each.address) for each in store.audit.latest(1)] == [("王芳", "alert verdict_right", "command line")]
    assert main(["alerts", "judge", A, "perhaps"]) == 2


def test_an_alert_is_shown_with_deliveries_and_suppressions(store: Store, capsys: pytest.CaptureFixture[str]):
    store.alerts.log_deliveries([Delivery(alert_id=ONE.id, endpoint="desk", attempt=1, sent_at=NOW, status=503, error="HTTP 503")])
    store.alert_lifecycle.suppress(
        [SuppressedDelivery(alert_id=ONE.id, endpoint="夜班", cause="silence", owner="s", at=NOW, until=None, text="silenced by 王芳: x")]
    )
    output = run(capsys, "show", A)
    assert "HTTP 503" in output
    assert "夜班" in output and "silenced by 王芳: x" in output
    assert "inhibited by the alert on market:all" in output
    assert "债券违约 [bold]x[/bold]" in output
    assert "\x1b" not in output and "\u202e" not in output
    assert "1 of 900 stories is decisive (*)" in output
    assert [line[:2] for line in output.splitlines() if "wire: " in line] == ["* ", "  "]
    assert "words of the 300 most negative stories: 违约 (8), default (3)" in output and "600519.SH (2)" in output
    assert "first source: 新浪" in output and "more stories than the 900" in output
    (row,) = rows(capsys, "show", A)
    assert (row["why"]["decisive_article_ids"], row["why"]["words"][0]["word"]) == (["e"], "违约")
    assert (row["deliveries"][0]["status"], row["suppressed_deliveries"][0]["cause"], row["inhibited"]["series"]) == (
        503,
        "silence",
        "market:all",
    )


def test_an_alert_is_shown_with_its_group(store: Store, capsys: pytest.CaptureFixture[str]):
    group = AlertGroup(id="0f" * 16, endpoint="desk", key="", at=NOW, firing=(ONE.id, TWO.id), new_alerts=(ONE.id, TWO.id))
    store.alert_groups.insert([group])
    store.alerts.log_deliveries([Delivery(alert_id=group.subject, endpoint="desk", attempt=1, sent_at=NOW, status=204)])
    output = " ".join(run(capsys, "show", A).split())
    assert "delivered (HTTP 204), in group 0f0f0f0f0f of 2" in output
    (row,) = rows(capsys, "show", A)
    assert (row["groups"][0]["firing"], row["deliveries"][0]["alert_id"]) == ([ONE.id, TWO.id], group.subject)


def test_a_silence_is_created_listed_and_ended(store: Store, capsys: pytest.CaptureFixture[str]):
    command = ("silence", "--series", "topic:*", "--for", "14m", "--comment", "系统维护", "--who", "王芳")
    (made,) = rows(capsys, *command)
    assert datetime.fromisoformat(made["ends_at"]) - datetime.fromisoformat(made["starts_at"]) >= timedelta(minutes=14)
    assert main(["alerts", "list"]) == 0
    output = capsys.readouterr()
    assert "of 王芳 ends at" in output.err
    assert "silenced by 王芳 until" in output.out and "inhibited by market:all" in output.out
    table = run(capsys, "silences")
    assert "王芳" in table and "系统维护" in table and "ends in 14 min" in table
    run(capsys, "unsilence", made["id"][:6], "--who", "bob")
    assert run(capsys, "silences").strip() == "no silences"
    (ended,) = rows(capsys, "silences", "--ended")
    assert (ended["state"], ended["author"], ended["ended_by"]) == ("ended", "王芳", "bob")
    assert "ended at" in run(capsys, "unsilence", made["id"], status=2)
    assert rows(capsys, "list")[0]["silenced"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ack", "ffffffff"], "no such alert"),
        (["ack", "f"], "4 characters"),
        (["ack", A, "ffffffff", "--who", "x"], "no such alert"),
        (["show", "%%%%"], "no such alert"),
        (["note", A, " "], "needs a text"),
        (["ack", A, "--who", "tocsin"], "use your own name"),
        (["unsilence", "ffffffff"], "no such silence"),
        (["silence", "--series", "AAPL", "--for", "2h", "--comment", "x"], "not a series pattern"),
        (["silence", "--series", "*", "--for", "soon", "--comment", "x"], "not a duration"),
        (["list", "--since", "yesterday"], "is not a time"),
        (["ack"], "Missing argument"),
    ],
)
def test_an_error_is_reported_and_changes_nothing(store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str):
    assert message in run(capsys, *arguments, status=2)
    assert store.alert_lifecycle.events([ONE.id]) == []
    assert store.silences.all() == []


def test_an_ambiguous_prefix_is_rejected(store: Store, capsys: pytest.CaptureFixture[str]):
    store.alerts.insert([msgspec.structs.replace(ONE, id=f"abcdef{n}") for n in range(2)] + [msgspec.structs.replace(ONE, id="abcd")])
    assert "2 or more alerts match (abcdef0, abcdef1)" in run(capsys, "ack", "abcde", status=2)
    assert "abcd topic:credit" in run(capsys, "ack", "abcd")


@pytest.mark.parametrize(("text", "minutes"), [("45m", 45), ("2h", 120), ("1d12h", 2160), ("1W", 10_080)])
def test_durations_are_parsed(text: str, minutes: int):
    assert parse_duration(text) == timedelta(minutes=minutes)
    assert parse_time(text, NOW) == NOW - timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "0m", "-2h", "2", "2h3", "999999w", "2 h"])
def test_invalid_durations_are_rejected(text: str):
    with pytest.raises(InvalidInput, match=r"not a duration|out of range"):
        parse_duration(text)


def test_times_are_parsed_with_their_zones():
    assert parse_time("2026-11-20T08:00:00+08:00", NOW) == parse_time("2026-11-20T00:00:00", NOW) == datetime(2026, 11, 20, tzinfo=UTC)
