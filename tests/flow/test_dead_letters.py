"""Dead letters are listed, shown, replayed and dropped with `tocsin dead-letters`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.records import Article, decode, encode
from core.settings import Settings
from ingest.kafka.outbox import Outbox
from storage.store import DeadLetter, open_store
from tests.helpers.servers import ClickHouseServer, Kafka
from tests.helpers.worker import Installation, article
from tocsin.cli import main
from tocsin.services.dead_letter_service import find, replay

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def letter(offset: int, stage: str, value: bytes) -> DeadLetter:
    return DeadLetter(
        topic="articles",
        partition=0,
        offset=offset,
        failed_at=NOON,
        stage=stage,
        reason=f"no. {offset} [bold]中文[/bold]",
        key=b"k",
        value=value,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedded installation with three dead letters: a malformed record, and two articles that the model rejected."""
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    store = open_store("embedded", tmp_path)
    store.migrate()
    good = [letter(n, "model", encode(article(f"a{n}"))) for n in (2, 3)]
    store.dead_letters.insert([letter(1, "decode", b"\xff{not json \xe4\xb8\xad"), *good])
    store.close()
    return tmp_path


def test_dead_letters_are_listed_and_shown_unchanged(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["dead-letters", "list"]) == 0
    output = capsys.readouterr().out
    assert "articles/0/1" in output and "articles/0/3" in output and "[bold]中文[/bold]" in output
    assert main(["dead-letters", "list", "--stage", "decode", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == ["articles/0/1"]
    assert main(["dead-letters", "show", "articles/0/1"]) == 0
    assert "value: \\xff{not json 中" in capsys.readouterr().out
    assert main(["dead-letters", "list", "--state", "replayed"]) == 0
    assert "no replayed dead letters" in capsys.readouterr().out


def test_replayed_letters_go_to_the_outbox_and_dropped_ones_lose_their_bytes(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["dead-letters", "replay", "--stage", "model"]) == 0
    box = Outbox(folder / "outbox.sqlite", durable_broker=False)
    assert {decode(row.body, Article).id for row in box.pending(10)} == {article(f"a{n}").id for n in (2, 3)}
    box.close()
    assert main(["dead-letters", "drop", "articles/0/1", "--yes"]) == 0
    store = open_store("embedded", folder)
    assert store.dead_letters.count() == 0
    assert [(each.offset, each.state, each.value) for each in store.dead_letters.latest(9, state="dropped")] == [(1, "dropped", b"")]
    assert {each.offset for each in store.dead_letters.latest(9, state="replayed")} == {2, 3}
    entries = [(each.action, each.target, each.before) for each in store.audit.latest()]
    assert entries[0] == ("dead letter dropped", "articles/0/1", "open")
    assert len(entries) == 3
    store.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "articles/0/1"], "cannot be replayed, only dropped"),
        (["replay", "articles/0/77"], "no such dead letter"),
        (["replay", "nonsense"], "no such dead letter"),
        (["drop"], "specify the names of dead letters, or --stage"),
    ],
)
def test_an_impossible_action_is_rejected_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(["dead-letters", *arguments]) == 2
    assert message in capsys.readouterr().err
    store = open_store("embedded", folder)
    assert store.dead_letters.count() == 3
    store.close()


def test_a_replay_over_kafka_sends_the_same_bytes_and_a_new_failure_is_a_new_letter(
    kafka_server: Kafka, clickhouse_server: ClickHouseServer, tmp_path: Path
):
    installation = Installation(kafka_server.bootstrap, tmp_path)
    address = f"{clickhouse_server.address}/{installation.plan.prefix.rstrip('.')}"
    worker = installation.worker(store=address)
    worker.expect("ready")
    installation.publish([article("fine"), article("bad", text="poison")])
    worker.until_sum("score", "dead", 1)
    store = open_store(address, tmp_path)
    (dead,) = store.dead_letters.latest(9)
    assert "poison" in dead.value.decode()
    settings = Settings(broker=installation.plan.broker, store=address, topic_prefix=installation.plan.prefix, data_dir=str(tmp_path))
    replay(store, find(store, [dead.name]), settings)
    worker.until_sum("score", "dead", 2)
    (again,) = store.dead_letters.latest(9)
    assert again.value == dead.value and (again.partition, again.offset) != (dead.partition, dead.offset)
    assert [each.name for each in store.dead_letters.latest(9, state="replayed")] == [dead.name]
    contents = worker.stop()
    assert (contents["articles"], contents["doubled"]) == (1, 0)
    store.close()
