"""Refresh: training on analysts' labels, frozen labels for testing only, and promotion through the gate only."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from core.errors import ModelError, SettingsError
from core.files import locked_or_raise
from core.records import sha
from core.taxonomy import TOPIC_KEYS
from models.heads import SENTIMENTS, head_sizes
from models.inference.classifier import Classifier, Document, Prediction, SentimentProbabilities
from models.inference.encoding import encode_pairs, pad
from models.inference.keyword import KeywordClassifier
from models.inference.loader import load_classifier
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import README, Manifest, read_verified, write_version
from models.registry.versions import SHIPPED, Versions
from models.templates import fill_templates, read_templates
from models.training.feedback import Snapshot, document_of, feedback_rows, is_frozen, read_snapshot, rehearsal_from_articles, write_snapshot
from models.training.frozen_tests import from_folder, from_labels, from_templates
from models.training.refresh import MIN_REHEARSED, RefreshPlan, TrainingTask, refresh, train_from
from models.training.refresh_status import RefreshOutcome, describe_outcome
from storage.store import ArticleText, Label, LabelledText
from tests.helpers.tiny_model import nan_network, tiny_network, write_tiny

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def article(name: str, title: str, language: str = "en", **more: object) -> ArticleText:
    fields = {"text": "", "genre": "news", "companies": {}, "story": sha(name)} | more
    return ArticleText(id=sha(name), title=title, language=language, **fields)  # type: ignore[arg-type]


def labelled(about: ArticleText, *labels: str, task: str = "sentiment", company: str = "", minute: int = 0) -> LabelledText:
    moment = NOON + timedelta(minutes=minute)
    return LabelledText(
        label=Label(id=about.id, task=task, company=company, labels=labels, author="ann", labelled_at=moment),  # type: ignore[arg-type]
        article=about,
    )


def corrections(n: int, *, minute: int = 0, word: str = "zorbles") -> tuple[LabelledText, ...]:
    """Headlines in both languages that keywords classify as neutral and analysts labelled as negative."""
    texts = [article(f"{word}-{minute}-{i}", f"Company {i} {word} its plant", "zh" if i % 2 else "en") for i in range(n)]
    return tuple(labelled(text, "negative", minute=minute) for text in texts)


class Learner(KeywordClassifier):
    """A keyword classifier that also knows the words its version was trained on; `spoilt` names a language it gets wrong."""

    def __init__(self, folder: Path) -> None:
        self._about = json.loads((folder / README).read_bytes())

    @property
    def version(self) -> str:
        return str(self._about["version"])

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        return [self._predict(document) for document in documents]

    def _predict(self, document: Document) -> Prediction:
        found = super().classify([document])[0]
        if document.language == self._about.get("spoilt"):
            return Prediction(SentimentProbabilities(0.0, 0.0, 1.0), found.topics, found.companies)
        if any(word in document.title for word in self._about["words"]):
            return Prediction(SentimentProbabilities(0.95, 0.05, 0.0), found.topics, found.companies)
        return found


def write_learner(folder: Path, version: str, **about: object) -> Manifest:
    contents = dict.fromkeys(("model.safetensors", "tokenizer.json", "config.json"), b"{}")
    contents[README] = json.dumps({"version": version, "words": [], **about}).encode()
    manifest = Manifest(version, NOON, SENTIMENTS, TOPIC_KEYS, {}, {}, 8, {}, {}, {}, {})
    return write_version(folder, contents, manifest)


class RecordingTrainer:
    """A trainer that learns words ending in "bles" from rows labelled negative, and records its tasks."""

    def __init__(self, **about: object) -> None:
        self.tasks: list[TrainingTask] = []
        self._about = about

    def __call__(self, task: TrainingTask) -> Manifest:
        self.tasks.append(task)
        words = {word for row in task.rows for word in row["text"].split() if row.get("label") == "negative" and word.endswith("bles")}
        return write_learner(task.out, task.version, words=sorted(words), **self._about)


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    write_learner(tmp_path / "shipped", "tocsin-test")
    return Versions(tmp_path / "data", shipped=tmp_path / "shipped")


def run(versions: Versions, labels: Sequence[LabelledText], trainer: RecordingTrainer, *, at: int = 0, **plan: object) -> RefreshOutcome:
    snapshot = Snapshot(tuple(labels), ())
    return refresh(versions, snapshot, RefreshPlan(resamples=200, **plan), now=NOON + timedelta(days=at), trainer=trainer, load=Learner)  # type: ignore[arg-type]


def test_a_better_challenger_is_promoted_with_reasons_in_the_history(versions: Versions):
    trainer = RecordingTrainer()
    outcome = run(versions, corrections(100), trainer)
    assert outcome.action == "promote", outcome.reasons
    assert outcome.champion == outcome.challenger == versions.champion() == "tocsin-test-r20261120-120000"
    event = versions.history()[-1]
    assert (event.action, event.origin, event.labels_until) == ("promote", SHIPPED, NOON + timedelta(seconds=1))
    assert "significantly better" in event.why
    assert outcome.learned + outcome.frozen == outcome.new_labels == 100
    assert any("promoted" in line for line in describe_outcome(outcome))


def test_the_frozen_fifth_is_never_trained_on(versions: Versions):
    labels = corrections(200)
    trainer = RecordingTrainer()
    run(versions, labels, trainer)
    frozen = {each.article.title for each in labels if is_frozen(each.article)}
    assert 20 <= len(frozen) <= 60
    assert not frozen & {row["text"] for row in trainer.tasks[0].rows}
    assert all(row["source"] == "feedback" and row["task"] == "sentiment" for row in trainer.tasks[0].rows)


def test_copies_of_a_story_are_all_frozen_or_all_trained_on():
    copies = [article(f"copy-{n}", "x", story=sha("first")) for n in range(20)]
    assert len({is_frozen(copy) for copy in copies}) == 1


def test_a_challenger_that_learned_nothing_is_rejected(versions: Versions):
    class Idle(RecordingTrainer):
        def __call__(self, task: TrainingTask) -> Manifest:
            self.tasks.append(task)
            return write_learner(task.out, task.version)

    outcome = run(versions, corrections(100), Idle())
    assert (outcome.action, outcome.champion, versions.champion()) == ("keep", SHIPPED, SHIPPED)
    assert versions.history()[-1].action == "keep"
    assert "not significantly better" in versions.history()[-1].why


def test_a_challenger_that_forgets_a_language_is_rejected(versions: Versions):
    labels = [each for each in corrections(200) if each.article.language == "en"]
    outcome = run(versions, labels, RecordingTrainer(spoilt="zh"))
    assert outcome.action == "keep"
    assert any("language zh" in reason for reason in outcome.reasons)
    assert any("significantly better" in reason for reason in outcome.reasons)


def test_frozen_tests_of_a_folder_can_prevent_promotion(versions: Versions, tmp_path: Path):
    folder = tmp_path / "frozen"
    folder.mkdir()
    rows = [{"text": f"Analysts see zorbles everywhere {n}", "label": "neutral", "lang": "en"} for n in range(60)]
    with gzip.open(folder / "calm.test.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)

    class Titles(Learner):
        def _predict(self, document: Document) -> Prediction:
            return super()._predict(Document(document.title or document.text, "", document.language, document.companies))

    snapshot = Snapshot(corrections(100), ())
    outcome = refresh(versions, snapshot, RefreshPlan(tests=folder, resamples=200), now=NOON, trainer=RecordingTrainer(), load=Titles)
    assert outcome.action == "keep"
    assert any(reason.startswith("calm.test, all: accuracy fell by 100.0 points") for reason in outcome.reasons)


def test_a_refresh_waits_for_enough_labels_unless_forced(versions: Versions):
    trainer = RecordingTrainer()
    assert run(versions, corrections(30), trainer).action == "skip"
    assert trainer.tasks == []
    assert versions.history() == []
    assert run(versions, corrections(30), trainer, force=True).action in ("promote", "keep")


def test_a_refresh_without_labels_is_skipped_even_if_forced(versions: Versions):
    assert run(versions, (), RecordingTrainer(), force=True).action == "skip"


def test_labels_are_new_until_an_attempt_and_all_are_used_for_training(versions: Versions):
    first, trainer = corrections(100), RecordingTrainer()
    run(versions, first, trainer)
    assert run(versions, first, trainer, at=1).action == "skip"
    more = corrections(60, minute=60, word="frobbles")
    outcome = run(versions, [*first, *more], trainer, at=2)
    assert (outcome.action, outcome.new_labels) == ("promote", 60), outcome.reasons
    assert {"zorbles", "frobbles"} <= {word for row in trainer.tasks[-1].rows for word in row["text"].split()}
    assert trainer.tasks[-1].start == versions.folder("tocsin-test-r20261120-120000")
    assert versions.champion() == "tocsin-test-r20261122-120000"
    assert {c.test for c in outcome.comparisons} >= {"new labels: sentiment", "earlier labels: sentiment", "clear cases: sentiment"}


def test_a_failed_training_run_leaves_no_files(versions: Versions):
    class Dies(RecordingTrainer):
        def __call__(self, task: TrainingTask) -> Manifest:
            super().__call__(task)
            raise ModelError("out of memory")

    with pytest.raises(ModelError, match="out of memory"):
        run(versions, corrections(100), Dies())
    assert list((versions.root / "versions").iterdir()) == []
    assert versions.champion() == SHIPPED


def test_a_promotion_by_a_person_during_a_refresh_is_kept(versions: Versions):
    class Slow(RecordingTrainer):
        def __call__(self, task: TrainingTask) -> Manifest:
            write_learner(versions.folder("by-hand"), "by-hand")
            versions.promote("by-hand", now=NOON, why="by hand")
            return super().__call__(task)

    outcome = run(versions, corrections(100), Slow())
    assert (outcome.action, versions.champion()) == ("keep", "by-hand")
    assert "is now" in versions.history()[-1].why


def test_a_second_refresh_at_the_same_time_is_refused(versions: Versions):
    with locked_or_raise(versions.root / "refresh.lock", ValueError("held")), pytest.raises(ModelError, match="another refresh"):
        run(versions, corrections(100), RecordingTrainer())


def test_a_challenger_that_does_not_load_is_rejected(versions: Versions):
    def load(folder: Path) -> Classifier:
        if folder.name.startswith("tocsin-test-r"):
            raise ModelError("the weights do not fit")
        return Learner(folder)

    outcome = refresh(versions, Snapshot(corrections(100), ()), RefreshPlan(resamples=200), now=NOON, trainer=RecordingTrainer(), load=load)
    assert outcome.action == "keep"
    assert "cannot be used" in outcome.reasons[0]


def test_a_challenger_with_nan_weights_is_rejected(tmp_path: Path):
    write_tiny(tmp_path / "shipped", "tiny")
    versions = Versions(tmp_path / "data", shipped=tmp_path / "shipped")

    def diverge(task: TrainingTask) -> Manifest:
        return write_tiny(task.out, task.version, network=nan_network(), parent="tiny")

    outcome = refresh(versions, Snapshot(corrections(100), ()), RefreshPlan(resamples=200), now=NOON, trainer=diverge)
    assert (outcome.action, versions.champion()) == ("keep", SHIPPED)
    assert "cannot be used" in outcome.reasons[0] and "nan" in outcome.reasons[0]


def test_labels_become_training_rows():
    text = article("f", "Lender falls", text="Rival gains.", genre="social", companies={"L": "Lender"})
    labels = [
        labelled(text, "negative"),
        labelled(text, "positive", company="L"),
        labelled(text, "neutral", company="GONE"),
        labelled(text, "earnings", "legal", task="topic"),
        labelled(text, task="risk"),
    ]
    same = {"text": "Lender falls Rival gains.", "lang": "en", "genre": "social", "source": "feedback"}
    assert feedback_rows(labels) == [
        {**same, "task": "sentiment", "label": "negative"},
        {**same, "task": "sentiment", "label": "positive", "entity": "Lender"},
        {**same, "task": "topic", "labels": ["earnings", "legal"]},
        {**same, "task": "risk", "labels": []},
    ]
    assert document_of(text, "GONE") is None
    tests = {test.task: test for test in from_labels("x", labels, new=True)}
    assert {task: len(test.cases) for task, test in tests.items()} == {"sentiment": 2, "topic": 1, "risk": 1}


def test_rehearsal_uses_confident_predictions_for_unlabelled_articles(versions: Versions):
    sure = [article(f"s{n}", f"Lender {n} defaults, shares plunge on fraud, probe, losses and recalls") for n in range(40)]
    unsure = [article(f"u{n}", f"Lender {n} falls") for n in range(40)]
    rows = rehearsal_from_articles(Learner(versions.folder(SHIPPED)), [*sure, *unsure], frozenset({sha("s0")}), 1000, random.Random(1))
    tone = [row for row in rows if row["task"] == "sentiment"]
    assert {row["text"] for row in tone} == {text.title for text in sure[1:]}
    assert {row["label"] for row in tone} == {"negative"}
    assert {row["source"] for row in rows} == {"rehearsal"}
    assert len(rehearsal_from_articles(Learner(versions.folder(SHIPPED)), sure, frozenset(), 7, random.Random(1))) == 7


def test_the_share_of_rehearsal_rows_is_as_configured(versions: Versions, tmp_path: Path):
    data = tmp_path / "sets" / "sentiment"
    data.mkdir(parents=True)
    with gzip.open(data / "fpb.train.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": f"Profit {n}", "label": "neutral", "lang": "en", "source": "fpb"}) + "\n" for n in range(3000))
    trainer = RecordingTrainer()
    outcome = run(versions, corrections(100), trainer, data=tmp_path / "sets")
    assert outcome.rehearsed == MIN_REHEARSED
    outcome = run(versions, corrections(100), trainer, data=tmp_path / "sets", rehearse=0.95, force=True, at=1)
    assert outcome.rehearsed == round(outcome.learned * 19)
    outcome = run(versions, corrections(100), trainer, data=tmp_path / "sets", rehearse=0.0, force=True, at=2)
    assert outcome.rehearsed == 0
    with pytest.raises(ModelError, match="none of the labelled sets"):
        run(versions, corrections(100), trainer, data=tmp_path, force=True, at=3)


def test_the_task_of_a_test_file_follows_from_its_labels(tmp_path: Path):
    files: dict[str, list[dict[str, Any]]] = {
        "tone.jsonl": [{"text": "a", "label": "negative"}, {"text": "b", "label": "positive", "entity": "B"}],
        "topics.jsonl": [{"text": "a", "labels": ["earnings", "legal"], "lang": "zh"}],
        "risks.jsonl": [{"text": "a", "labels": ["fraud"]}, {"text": "b", "labels": []}],
        "mapped.jsonl": [{"text": "a", "labels": ["Dividend"], "source": "twitter_topic"}],
        "odd.jsonl": [{"text": "a", "labels": ["weather"]}],
    }
    for name, rows in files.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    messages: list[str] = []
    tests = {test.name: test for test in from_folder(tmp_path, messages.append)}
    assert {name: test.task for name, test in tests.items()} == {
        "tone": "sentiment",
        "topics": "topic",
        "risks": "risk",
        "mapped": "topic",
    }
    assert tests["tone"].classes == ("negative", "positive")
    assert tests["tone"].cases[1].document.companies == ("B",)
    assert tests["mapped"].cases[0].truth == {"shareholder_returns"}
    assert "real_estate" not in tests["mapped"].classes
    assert len(messages) == 1
    assert "odd.jsonl" in messages[0]
    (tmp_path / "one.test.jsonl").write_text(json.dumps(files["tone.jsonl"][0]) + "\n")
    assert [test.name for test in from_folder(tmp_path)] == ["one.test"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SettingsError, match="frozen tests"):
        from_folder(empty)


def test_built_in_tests_are_fixed_and_in_both_languages():
    one, other = from_templates(), from_templates()
    assert one == other
    assert {case.document.language for test in one for case in test.cases} == {"zh", "en"}


def test_a_snapshot_is_written_and_read_unchanged(tmp_path: Path):
    snapshot = Snapshot(corrections(3), (article("a", "债券违约", "zh", companies={"600519.SH": "茅台"}),))
    write_snapshot(tmp_path / "x" / "snapshot.json", snapshot)
    assert read_snapshot(tmp_path / "x" / "snapshot.json") == snapshot
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(ModelError, match="not a snapshot"):
        read_snapshot(tmp_path / "bad.json")


def fine_tune(task: TrainingTask) -> Manifest:
    """A small real training run: trains all weights of the start network on the sentiments and topics of the rows."""
    classifier = load_classifier(task.start)
    assert isinstance(classifier, TransformerClassifier)
    network, rng = classifier.network.float().train(), random.Random(task.seed)
    torch.manual_seed(task.seed)
    ids = encode_pairs(classifier.tokenizer, [(row["text"], "") for row in task.rows], 32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(200):
        batch = rng.sample(range(len(ids)), 48)
        outputs = network(pad([ids[i] for i in batch])).logits
        tone = [n for n, i in enumerate(batch) if task.rows[i]["task"] == "sentiment"]
        about = [n for n, i in enumerate(batch) if task.rows[i]["task"] == "topic"]
        right = torch.tensor([SENTIMENTS.index(task.rows[batch[n]]["label"]) for n in tone])
        topics = torch.tensor([[float(key in task.rows[batch[n]]["labels"]) for key in TOPIC_KEYS] for n in about])
        loss = functional.cross_entropy(outputs["sentiment"][tone], right)
        loss = loss + 20 * functional.binary_cross_entropy_with_logits(outputs["topics"][about], topics)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return write_tiny(task.out, task.version, network=network, parent=classifier.version)


def test_a_real_network_learns_from_labels_and_is_promoted(tmp_path: Path):
    """An untrained network of one layer, trained on a few hundred labelled texts, improves and becomes the champion."""
    network = tiny_network()
    torch.nn.init.constant_(
        network.head("topics").bias, -4.0
    )  # only the most probable topic applies, as for most texts of a trained network
    write_tiny(tmp_path / "shipped", "untrained", network=network)
    versions = Versions(tmp_path / "data", shipped=tmp_path / "shipped")
    labels = []
    for n, seed in enumerate(fill_templates(read_templates(), 3, random.Random(5))):
        text = article(f"seed-{n}", seed.text, seed.language)
        labels += [labelled(text, seed.sentiment), labelled(text, *seed.topics, task="topic")]
    plan = RefreshPlan(resamples=200, margin=0.15)  # so small a network, from nothing, trades one class for another
    outcome = refresh(versions, Snapshot(tuple(labels), ()), plan, now=NOON, trainer=fine_tune)
    assert outcome.action == "promote", outcome.reasons
    assert outcome.comparisons[0].low > 0
    assert versions.open(versions.champion()).parent == "untrained"
    _, contents = read_verified(versions.folder(versions.champion()))
    assert contents
    shutil.rmtree(tmp_path / "data")


def test_the_error_for_a_champion_without_a_required_head_names_it(tmp_path: Path):
    write_tiny(tmp_path / "start", "two-heads")
    with pytest.raises(ModelError, match=r"lacks the heads company, materiality, risks, tags"):
        train_from(TrainingTask(tmp_path / "start", tmp_path / "out", "v", (), NOON, 1, None))


def test_the_trainer_starts_from_the_champion(tmp_path: Path):
    write_tiny(tmp_path / "start", "v0", outputs=head_sizes({}))
    rows = [
        {
            "text": f"Company {n} zorbles its plant",
            "label": "negative",
            "task": "sentiment",
            "lang": "en",
            "genre": "news",
            "source": "feedback",
        }
        for n in range(40)
    ]
    made = train_from(TrainingTask(tmp_path / "start", tmp_path / "out", "v1", tuple(rows), NOON, 1, 3.0))
    assert (made.version, made.parent, list(made.data)) == ("v1", "v0", ["feedback"])
    document = Document("Company 7 zorbles its plant", "")
    before, after = (load_classifier(tmp_path / name).classify([document])[0].sentiment.negative for name in ("start", "out"))
    assert after != before
