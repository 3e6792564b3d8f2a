"""The registry of versions: one champion, replaced atomically; rollbacks lead to a complete version."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from core.errors import ModelError
from core.taxonomy import TOPIC_KEYS
from models.registry.manifest import MANIFEST, WEIGHTS, Manifest, write_version
from models.registry.versions import KEPT_REJECTED, SHIPPED, Versions

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FILES = {name: name.encode() for name in ("model.safetensors", "tokenizer.json", "config.json", "README.md")}


def write(folder: Path, version: str, minute: int = 0) -> None:
    """A version whose files are complete."""
    sentiments = ("negative", "neutral", "positive")
    write_version(folder, FILES, Manifest(version, NOON + timedelta(minutes=minute), sentiments, TOPIC_KEYS, {}, {}, 8, {}, {}, {}, {}))


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    write(tmp_path / "shipped", "tocsin-shipped")
    made = Versions(tmp_path / "data", shipped=tmp_path / "shipped")
    for number in (3, 1, 2):
        write(made.folder(f"v{number}"), f"v{number}", number)
    return made


def test_without_a_promotion_the_shipped_version_is_the_champion(versions: Versions):
    assert versions.champion() == SHIPPED
    assert versions.history() == []
    with pytest.raises(ModelError, match="nothing to roll back to"):
        versions.rollback(now=NOON, why="")


def test_promotions_and_rollbacks_work_like_a_stack(versions: Versions):
    for version in ("v1", "v2", "v3"):
        event = versions.promote(version, now=NOON, why="better")
        assert event is not None
        assert (event.action, event.version, versions.champion()) == ("promote", version, version)
    assert versions.promote("v3", now=NOON, why="again") is None
    back = [versions.rollback(now=NOON, why="worse").version for _ in range(3)]
    assert back == ["v2", "v1", SHIPPED]
    assert versions.champion() == SHIPPED
    versions.promote("v2", now=NOON, why="after all")
    assert versions.rollback(now=NOON, why="no").version == SHIPPED
    assert [(e.action, e.origin, e.version) for e in versions.history()][:4] == [
        ("promote", SHIPPED, "v1"),
        ("promote", "v1", "v2"),
        ("promote", "v2", "v3"),
        ("rollback", "v3", "v2"),
    ]


def test_shipped_can_be_promoted_and_rolled_back(versions: Versions):
    versions.promote("v1", now=NOON, why="")
    versions.promote(SHIPPED, now=NOON, why="")
    assert versions.champion() == SHIPPED
    assert versions.rollback(now=NOON, why="").version == "v1"


@pytest.mark.parametrize("name", ["../v1", "", ".hidden", "a/b", "no-such", "x" * 101])
def test_an_invalid_name_is_not_promoted(versions: Versions, name: str):
    with pytest.raises(ModelError, match="version"):
        versions.promote(name, now=NOON, why="")
    assert versions.champion() == SHIPPED
    assert versions.history() == []


def test_a_damaged_or_renamed_version_is_not_promoted(versions: Versions):
    (versions.folder("v1") / WEIGHTS).write_bytes(b"changed")
    with pytest.raises(ModelError, match=r"v1/model\.safetensors.*SHA-256"):
        versions.promote("v1", now=NOON, why="")
    versions.folder("v2").rename(versions.folder("other"))
    with pytest.raises(ModelError, match="has the version 'v2'"):
        versions.promote("other", now=NOON, why="")
    assert versions.champion() == SHIPPED


@pytest.mark.parametrize(
    "labels",
    [{"topics": TOPIC_KEYS[::-1]}, {"topics": TOPIC_KEYS[:-1]}, {"sentiments": ("positive", "neutral", "negative")}, {"risks": ("fire",)}],
)
def test_a_version_with_other_labels_is_not_promoted(versions: Versions, labels: dict[str, tuple[str, ...]]):
    """Its outputs would get the names of other labels."""
    manifest = msgspec.structs.replace(versions.open("v1"), **labels)
    write_version(versions.folder("v1"), FILES, manifest)
    with pytest.raises(ModelError, match="labels differ from this program's taxonomy"):
        versions.promote("v1", now=NOON, why="")
    assert versions.champion() == SHIPPED


def test_a_rollback_skips_damaged_versions(versions: Versions):
    for version in ("v1", "v2", "v3"):
        versions.promote(version, now=NOON, why="")
    (versions.folder("v2") / MANIFEST).unlink()
    event = versions.rollback(now=NOON, why="bad")
    assert event.version == "v1"
    assert "skipped" in event.why
    assert "v2" in event.why


@pytest.mark.parametrize("content", [b"", b"../../etc", b"\xff\xfe", b"v1 v2"])
def test_a_rollback_repairs_a_damaged_champion_file(versions: Versions, content: bytes):
    versions.promote("v1", now=NOON, why="")
    versions.champion_file.write_bytes(content)
    with pytest.raises(ModelError, match=r"champion.*tocsin models rollback"):
        versions.champion()
    assert versions.rollback(now=NOON, why="mend").version == "v1"
    assert versions.champion() == "v1"


def test_a_crash_between_history_and_champion_file_is_tolerated(versions: Versions):
    versions.promote("v1", now=NOON, why="")
    versions.promote("v2", now=NOON, why="")
    versions.champion_file.write_text("v1\n")  # as if it had died before the rename
    assert versions.rollback(now=NOON, why="").version == SHIPPED


def test_an_incomplete_history_line_is_skipped(versions: Versions):
    versions.promote("v1", now=NOON, why="")
    with (versions.root / "history.jsonl").open("ab") as file:
        file.write(b'{"when": "2026-')
    versions.promote("v2", now=NOON, why="")
    assert [event.version for event in versions.history()] == ["v1", "v2"]


def test_a_promotion_is_refused_if_the_champion_changed(versions: Versions):
    versions.promote("v1", now=NOON, why="")
    with pytest.raises(ModelError, match="is now"):
        versions.promote("v2", now=NOON, why="", expected=SHIPPED)
    assert versions.champion() == "v1"


def test_readers_never_see_an_incomplete_champion_file(versions: Versions):
    versions.promote("v1", now=NOON, why="")
    over = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not over.is_set():
            seen.add(versions.champion())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(30):
        versions.promote(("v2", "v1")[turn % 2], now=NOON, why="")
    over.set()
    reader.join()
    assert seen <= {"v1", "v2"}


def test_versions_are_listed_by_age_with_their_faults(versions: Versions):
    versions.promote("v2", now=NOON, why="")
    (versions.folder("v9")).mkdir()
    entries = versions.entries()
    assert [entry.version for entry in entries] == [SHIPPED, "v9", "v1", "v2", "v3"]
    assert [entry.version for entry in entries if entry.champion] == ["v2"]
    assert "manifest" in entries[1].fault
    assert all(not entry.fault for entry in entries if entry.version != "v9")


def test_only_old_rejected_versions_are_deleted(versions: Versions):
    versions.promote("v1", now=NOON, why="")
    names = [f"c{number}" for number in range(KEPT_REJECTED + 2)]
    for name in names:
        write(versions.folder(name), name)
        versions.keep(name, now=NOON, why="not better")
    versions.promote("c3", now=NOON, why="after all")
    write(versions.folder("c9"), "c9")
    versions.keep("c9", now=NOON, why="not better")
    left = {path.name for path in (versions.root / "versions").iterdir()}
    assert left == {"v1", "v2", "v3", "c2", "c3", "c4", "c9"}
