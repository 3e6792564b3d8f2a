"""Hot swap: a promoted version takes over between two batches, and nothing is lost, doubled or scored by two of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import log
from core.errors import ModelError
from core.records import Article, encode, sha
from models.inference.champion import ChampionClassifier, load_champion
from models.inference.classifier import Classifier, Document, Prediction
from models.inference.keyword import KeywordClassifier
from models.inference.loader import load_classifier
from models.registry.manifest import WEIGHTS
from models.registry.versions import SHIPPED, Versions
from storage.clickhouse import Embedded
from storage.store import Store
from stream.detection.spike_rule import SpikeRule
from stream.worker.batches import Raw
from stream.worker.pipeline import Pipeline
from tests.helpers.waiting import until
from tests.versions import nan_network, write_tiny

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Named(KeywordClassifier):
    """Word lists under the name of a version; each call takes a little while, so that a swap falls into it."""

    def __init__(self, name: str, wait_s: float = 0.0) -> None:
        self._name, self._wait_s = name, wait_s

    @property
    def version(self) -> str:
        return self._name

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        time.sleep(self._wait_s)
        if any("poison" in document.text for document in documents):
            raise ValueError("cannot be read")
        return super().classify(documents)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two real versions, and a stand-in for the shipped one beside it."""
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

    def start(load: Callable[[Path], Classifier] = load_classifier, **training_schedule: float) -> ChampionClassifier:
        made.append(ChampionClassifier(versions, load, poll_s=0.01, **training_schedule))
        return made[-1]

    yield start
    for classifier in made:
        classifier.close()


def test_a_promoted_version_takes_over_and_a_rollback_too(versions: Versions, follow: Callable[..., ChampionClassifier]):
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


def test_a_loading_version_does_not_hold_up_the_scoring(versions: Versions, follow: Callable[..., ChampionClassifier]):
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


def test_a_version_that_does_not_load_changes_nothing_and_is_tried_again(
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
        until(lambda: "champion_not_loaded" in "".join(capfd.readouterr()), "it says so", 20)
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


def test_a_version_of_nan_is_not_used_whoever_promotes_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """By hand while a worker runs, and before one starts."""
    log.configure("human", "info")  # onto what is captured here
    versions = Versions(tmp_path, shipped=tmp_path / "shipped")
    for version, network in ((SHIPPED, None), ("nan", nan_network()), ("v2", None)):
        write_tiny(versions.folder(version), version, network=network)
    classifier = ChampionClassifier(versions, load_classifier, poll_s=0.01)
    try:
        before = classifier.classify([Document("Lender defaults", "")])
        versions.promote("nan", now=NOON, why="by hand")
        until(lambda: "champion_not_loaded" in "".join(capfd.readouterr()), "it says so", 20)
        assert classifier.version == SHIPPED
        assert classifier.classify([Document("Lender defaults", "")]) == before
        with pytest.raises(ModelError, match=r"'nan' cannot be used.*nan.*tocsin models rollback"):
            load_champion(versions, load_classifier)
        versions.promote("v2", now=NOON, why="whole")
        until(lambda: classifier.version == "v2", "v2 takes over", 20)
    finally:
        classifier.close()


def test_a_damaged_champion_at_the_start_names_the_file_and_the_way_out(versions: Versions, follow: Callable[..., ChampionClassifier]):
    versions.promote("v1", now=NOON, why="")
    weights = versions.folder("v1") / WEIGHTS
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(ModelError, match=r"v1/model\.safetensors.*tocsin models rollback"):
            follow()
    finally:
        weights.write_bytes(whole)


def article(number: int, text: str = "") -> Article:
    return Article(
        id=sha("swap", str(number)), source="wire", language="en", title=f"Lender {number} defaults", text=text, published_at=NOON,
        fetched_at=NOON,
    )  # fmt: skip


def test_promoting_while_the_pipeline_scores_loses_and_doubles_nothing(
    versions: Versions, follow: Callable[..., ChampionClassifier], tmp_path: Path
):
    """Some batches hold an article that no model can read: the batch is scored in halves, and a swap may fall between them."""
    store = Store(Embedded(tmp_path / "store"))
    store.migrate()
    classifier = follow(lambda folder: Named(folder.name, wait_s=0.004))
    pipeline = Pipeline(classifier, store, SpikeRule())
    order = [SHIPPED, "v1", "v2"]
    batches: list[set[str]] = []
    number = 0
    try:
        while classifier.version != "v2" or len(batches) < 30:
            if len(batches) in (8, 16):
                versions.promote(order[len(batches) // 8], now=NOON, why="")
            some = [article(number + n, "poison" if (number + n) % 23 == 22 else "") for n in range(8)]
            raws = [Raw("articles", 0, number + n, item.id.encode(), encode(item)) for n, item in enumerate(some)]
            number += 8
            batch = pipeline.score(raws, NOON)
            batches.append({score.model for score in batch.scores})
            assert len(batches) < 2000, "the second version never took over"
    finally:
        pipeline.close()
    assert all(len(models) == 1 for models in batches), "one batch, one version"
    said = [models.pop() for models in batches]
    assert said == sorted(said, key=order.index)
    assert set(said) == set(order)
    stored = store.client.query("SELECT id, model FROM articles")
    dead = store.dead_letters.count()
    assert len(stored) == len({row[0] for row in stored}) == number - dead
    assert {row[1] for row in stored} == set(order)
    assert {row[0]: row[1] for row in store.client.query("SELECT id, model FROM article_keys FINAL")} == dict(stored)
    assert store.articles.doubled() == 0
    store.close()
