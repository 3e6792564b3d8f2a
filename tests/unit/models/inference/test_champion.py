"""The champion changes between two batches; nothing is lost, duplicated or scored by two versions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import log
from core.errors import ModelError
from models.inference.champion import ChampionClassifier, load_champion
from models.inference.classifier import Classifier, Document, Prediction
from models.inference.keyword import KeywordClassifier
from models.inference.loader import load_classifier
from models.registry.manifest import WEIGHTS
from models.registry.versions import SHIPPED, Versions
from tests.helpers.tiny_model import nan_network, write_tiny
from tests.helpers.waiting import until

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Named(KeywordClassifier):
    """A keyword classifier with the name of a version; each call takes a while, so that a change happens during it."""

    def __init__(self, name: str, wait_s: float = 0.0) -> None:
        self._name, self._wait_s = name, wait_s

    @property
    def version(self) -> str:
        return self._name

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        time.sleep(self._wait_s)
        return super().classify(documents)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two real versions, and a replacement for the shipped one."""
    root = tmp_path_factory.mktemp("versions")
    made = Versions(root, shipped=root / "shipped")
    for seed, version in enumerate((SHIPPED, "v1", "v2")):
        write_tiny(made.folder(version), version, seed=seed)
    return root


@pytest.fixture
def versions(tiny: Path) -> Versions:
    made = Versions(tiny, shipped=tiny / "shipped")
    for path in (made.champion_file, made.root / "history.jsonl"):
        path.unlink(missing_ok=True)
    return made


@pytest.fixture
def follow(versions: Versions) -> Iterator[Callable[..., ChampionClassifier]]:
    made: list[ChampionClassifier] = []

    def start(load: Callable[[Path], Classifier] = load_classifier, **timing: float) -> ChampionClassifier:
        made.append(ChampionClassifier(versions, load, poll_s=0.01, **timing))
        return made[-1]

    yield start
    for classifier in made:
        classifier.close()


def test_a_promotion_and_a_rollback_change_the_classifier(versions: Versions, follow: Callable[..., ChampionClassifier]):
    classifier = follow()
    documents = [Document("Lender defaults", "", "en"), Document("某公司违约", "", "zh")]
    assert classifier.version == SHIPPED
    for version in ("v1", "v2", "v1"):
        versions.promote(version, now=NOON, why="")
        until(lambda wanted=version: classifier.version == wanted, f"{version} takes over", 20)  # type: ignore[misc]
        alone = load_classifier(versions.folder(version)).classify(documents)
        assert classifier.classify(documents) == alone
    versions.rollback(now=NOON, why="")
    until(lambda: classifier.version == "v2", "v2 takes over", 20)


def test_loading_a_version_does_not_block_scoring(versions: Versions, follow: Callable[..., ChampionClassifier]):
    loading, go = threading.Event(), threading.Event()

    def load(folder: Path) -> Classifier:
        if folder.name == "v1":
            loading.set()
            assert go.wait(20)
        return Named(folder.name)

    classifier = follow(load)
    versions.promote("v1", now=NOON, why="")
    assert loading.wait(20)
    began = time.monotonic()
    assert len(classifier.classify([Document("still scored", "")])) == 1
    assert time.monotonic() - began < 5
    assert classifier.version == SHIPPED
    go.set()
    until(lambda: classifier.version == "v1", "v1 takes over", 20)


def test_a_version_that_does_not_load_is_retried_and_the_old_one_stays(
    versions: Versions, capfd: pytest.CaptureFixture[str], follow: Callable[..., ChampionClassifier]
):
    log.configure("human", "info")  # onto what is captured here, until the thread that `follow` started has ended
    classifier = follow(retry_s=0.05)
    weights = versions.folder("v1") / WEIGHTS
    whole = weights.read_bytes()
    versions.promote("v1", now=NOON, why="")
    until(lambda: classifier.version == "v1", "v1 takes over", 20)
    versions.promote("v2", now=NOON, why="")
    until(lambda: classifier.version == "v2", "v2 takes over", 20)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        versions.champion_file.write_text("v1\n")
        until(lambda: "champion_not_loaded" in "".join(capfd.readouterr()), "the failed load is logged", 20)
        assert classifier.version == "v2"
        assert classifier.classify([Document("goes on", "")])
    finally:
        weights.write_bytes(whole)
    until(lambda: classifier.version == "v1", "v1 takes over", 20)


def test_a_version_that_cannot_score_is_not_used(versions: Versions, follow: Callable[..., ChampionClassifier]):
    tried: list[str] = []

    class Broken(Named):
        def classify(self, documents: Sequence[Document]) -> list[Prediction]:
            tried.append(self.version)
            raise ModelError("no")

    classifier = follow(lambda folder: Broken("v1") if folder.name == "v1" else Named(folder.name))
    versions.promote("v1", now=NOON, why="")
    until(lambda: bool(tried), "it is tried", 20)
    versions.promote("v2", now=NOON, why="")
    until(lambda: classifier.version == "v2", "v2 takes over", 20)


def test_a_version_with_nan_weights_is_never_used(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Promoted by hand while a worker runs, and before one starts."""
    log.configure("human", "info")  # onto what is captured here
    versions = Versions(tmp_path, shipped=tmp_path / "shipped")
    for version, network in ((SHIPPED, None), ("nan", nan_network()), ("v2", None)):
        write_tiny(versions.folder(version), version, network=network)
    classifier = ChampionClassifier(versions, load_classifier, poll_s=0.01)
    try:
        before = classifier.classify([Document("Lender defaults", "")])
        versions.promote("nan", now=NOON, why="by hand")
        until(lambda: "champion_not_loaded" in "".join(capfd.readouterr()), "the failed load is logged", 20)
        assert classifier.version == SHIPPED
        assert classifier.classify([Document("Lender defaults", "")]) == before
        with pytest.raises(ModelError, match=r"'nan' cannot be used.*nan.*tocsin models rollback"):
            load_champion(versions, load_classifier)
        versions.promote("v2", now=NOON, why="whole")
        until(lambda: classifier.version == "v2", "v2 takes over", 20)
    finally:
        classifier.close()


def test_the_error_for_a_damaged_champion_names_the_file_and_the_rollback(versions: Versions, follow: Callable[..., ChampionClassifier]):
    versions.promote("v1", now=NOON, why="")
    weights = versions.folder("v1") / WEIGHTS
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(ModelError, match=r"v1/model\.safetensors.*tocsin models rollback"):
            follow()
    finally:
        weights.write_bytes(whole)
