"""Frozen tests on which champion and challenger are compared, and both models' predictions for them.

frozen labels of analysts, filled templates, files of a folder ─▶ [FrozenTest] ─▶ both models ─▶ [PairedPredictions] ─▶ promotion_gate
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.errors import SettingsError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS
from models.inference.classifier import Classifier, Document, Prediction
from models.templates import fill_templates, read_templates
from models.training.examples import Row, read_rows
from models.training.feedback import BATCH_SIZE, document_of
from models.training.label_mapping import MAPPINGS, known_topics, risks_of, topics_of
from models.training.promotion_gate import PairedPredictions, RowLabels
from storage.store import LabelledText

TEMPLATE_SEED = 2_026
PER_TEMPLATE = 3
ROWS = 3000
"""Maximum number of rows of one file, evenly spaced."""

_UNDECIDED_BY_TEMPLATES = (
    "technology",
    "business",
    "markets",
    "macro",
)  # applies to more texts than the templates list


@dataclass(frozen=True, slots=True)
class Case:
    """One document with its true labels."""

    document: Document
    truth: RowLabels


@dataclass(frozen=True, slots=True)
class FrozenTest:
    """The cases of one test. classes: the labels that are scored; new: whether the labels are new since the last promotion."""

    name: str
    task: str
    cases: tuple[Case, ...]
    classes: tuple[str, ...]
    new: bool = False


def from_labels(name: str, labels: Iterable[LabelledText], *, new: bool) -> list[FrozenTest]:
    """Tests from analysts' labels, one per task."""
    by_task: defaultdict[str, list[Case]] = defaultdict(list)
    for each in labels:
        document = document_of(each.article, each.label.company)
        if document is not None:
            by_task[each.label.task].append(Case(document, frozenset(each.label.labels)))
    classes = {"sentiment": SENTIMENTS, "topic": TOPIC_KEYS, "risk": RISK_KEYS}
    return [FrozenTest(f"{name}: {task}", task, tuple(cases), classes[task], new) for task, cases in sorted(by_task.items())]


def from_templates() -> list[FrozenTest]:
    """Tests from filled templates in both languages, always the same."""
    filled_templates = fill_templates(read_templates(), PER_TEMPLATE, random.Random(TEMPLATE_SEED))  # noqa: S311
    topics = tuple(key for key in TOPIC_KEYS if key not in _UNDECIDED_BY_TEMPLATES)
    documents = [Document("", filled.text, filled.language) for filled in filled_templates]
    sentiment_cases = tuple(
        Case(document, frozenset((filled.sentiment,))) for document, filled in zip(documents, filled_templates, strict=True)
    )
    topic_cases = tuple(Case(document, frozenset(filled.topics)) for document, filled in zip(documents, filled_templates, strict=True))
    return [
        FrozenTest("clear cases: sentiment", "sentiment", sentiment_cases, SENTIMENTS),
        FrozenTest("clear cases: topic", "topic", topic_cases, topics),
    ]


def from_folder(folder: Path, report: Callable[[str], None] = lambda _: None) -> list[FrozenTest]:
    """A test for each .jsonl or .jsonl.gz file below a folder; only those with ".test." in the name, if there are any.

    Args:
        folder: the folder.
        report: called with a message for each file without known labels.

    Raises:
        SettingsError: no file is usable.
        ModelError: a file is not JSON.
    """
    files = sorted(path for path in folder.rglob("*") if path.name.endswith((".jsonl", ".jsonl.gz")) and path.is_file())
    named = [path for path in files if ".test." in path.name]
    tests = []
    for path in named or files:
        found = _from_rows(path.name.split(".jsonl")[0], _rows(path))
        if found is None:
            report(f"{path}: not used as a test, because its labels are not known sentiments, topics or risk events")
        else:
            tests.append(found)
    if not tests:
        message = f"{folder}: no .jsonl file with sentiments, topics or risk events; it cannot be used for frozen tests"
        raise SettingsError(message)
    return tests


def _rows(path: Path) -> list[Row]:
    rows = [row for row in read_rows(path) if "tags" not in row]
    return rows[:: max(1, -(-len(rows) // ROWS))]


def _from_rows(name: str, rows: Sequence[Row]) -> FrozenTest | None:
    sentiment_rows = [row for row in rows if row.get("label") in SENTIMENTS]
    if sentiment_rows:
        occur = tuple(label for label in SENTIMENTS if any(row["label"] == label for row in sentiment_rows))
        classes = occur if len(occur) > 1 else SENTIMENTS  # a set without the neutral class does not test it
        return FrozenTest(name, "sentiment", tuple(Case(_document(row), frozenset((row["label"],))) for row in sentiment_rows), classes)
    labelled = [row for row in rows if isinstance(row.get("labels"), list)]
    present = {str(label) for row in labelled for label in row["labels"]}
    sources = {str(row.get("source", "")) for row in labelled}
    source = sources.pop() if len(sources) == 1 else ""
    if not labelled:
        return None
    if present <= set(RISK_KEYS) and (present or all(row.get("task") == "risk" for row in labelled)):
        return _frozen_test(name, "risk", labelled, frozenset, RISK_KEYS)
    if source == "finese":
        return _frozen_test(name, "risk", labelled, risks_of, RISK_KEYS)
    if present <= set(TOPIC_KEYS):
        return _frozen_test(name, "topic", labelled, frozenset, TOPIC_KEYS)
    if source in MAPPINGS:
        mapped = [row for row in labelled if topics_of(source, [str(label) for label in row["labels"]])]
        if mapped:
            return _frozen_test(name, "topic", mapped, partial(topics_of, source), known_topics(source))
    return None


def _frozen_test(
    name: str, task: str, rows: Sequence[Row], truth: Callable[[list[str]], RowLabels], classes: tuple[str, ...]
) -> FrozenTest:
    return FrozenTest(name, task, tuple(Case(_document(row), truth([str(label) for label in row["labels"]])) for row in rows), classes)


def _document(row: Row) -> Document:
    target = str(row.get("entity") or row.get("aspect") or "")
    return Document("", row["text"], str(row.get("lang") or "en"), (target,) if target else (), str(row.get("genre") or "news"))


def predict_tests(classifier: Classifier, tests: Sequence[FrozenTest]) -> list[tuple[RowLabels, ...]]:
    """Predicted labels for the cases of each test, in order. Raises ModelError."""
    answers = []
    for test in tests:
        predicted: list[RowLabels] = []
        for start in range(0, len(test.cases), BATCH_SIZE):
            some = test.cases[start : start + BATCH_SIZE]
            predicted += [_answer(test, p) for p in classifier.classify([case.document for case in some])]
        answers.append(tuple(predicted))
    return answers


def _answer(test: FrozenTest, prediction: Prediction) -> RowLabels:
    if test.task == "sentiment":
        probabilities = prediction.companies[0] if prediction.companies else prediction.sentiment
        return frozenset((max(test.classes, key=lambda name: probabilities[SENTIMENTS.index(name)]),))
    return frozenset(prediction.topics if test.task == "topic" else prediction.risks) & frozenset(test.classes)


def paired_predictions(tests: Sequence[FrozenTest], champion: Classifier, challenger: Classifier) -> list[PairedPredictions]:
    """Predictions of both models for each test. Raises ModelError."""
    return [
        PairedPredictions(
            test.name,
            tuple(case.document.language for case in test.cases),
            tuple(case.truth for case in test.cases),
            before,
            after,
            test.classes,
            test.new,
        )
        for test, before, after in zip(tests, predict_tests(champion, tests), predict_tests(challenger, tests), strict=True)
    ]
