"""The frozen tests that champion and challenger are put to, and what each says of them.

people's frozen labels, clear cases of our own, files of a folder ─▶ [Exam] ─▶ both models ─▶ [Trial] ─▶ models.training.promotion_gate
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
from models.templates import grow, read_templates
from models.training.data import Row, read_rows
from models.training.feedback import SLICE, document_of
from models.training.label_mapping import MAPPINGS, known_topics, risks_of, topics_of
from models.training.promotion_gate import Labels, Trial
from storage.store import LabelledText

SEEDS = 2_026
PER_TEMPLATE = 3
ROWS = 3000
"""Of one file at most, evenly spaced: both models read each."""

_UNSURE_OF_SEEDS = ("technology", "business", "markets", "macro")  # our templates do not say these of every text they hold of


@dataclass(frozen=True, slots=True)
class Case:
    """One question with its answer."""

    document: Document
    truth: Labels


@dataclass(frozen=True, slots=True)
class Exam:
    """The questions of one task; classes: those that can be answered."""

    name: str
    task: str
    cases: tuple[Case, ...]
    classes: tuple[str, ...]
    new: bool = False


def from_labels(name: str, labels: Iterable[LabelledText], *, new: bool) -> list[Exam]:
    """People's labels, an exam a task."""
    by_task: defaultdict[str, list[Case]] = defaultdict(list)
    for each in labels:
        document = document_of(each.article, each.label.company)
        if document is not None:
            by_task[each.label.task].append(Case(document, frozenset(each.label.labels)))
    classes = {"sentiment": SENTIMENTS, "topic": TOPIC_KEYS, "risk": RISK_KEYS}
    return [Exam(f"{name}: {task}", task, tuple(cases), classes[task], new) for task, cases in sorted(by_task.items())]


def from_seeds() -> list[Exam]:
    """Our own clear cases in both languages, always the same ones."""
    seeds = grow(read_templates(), PER_TEMPLATE, random.Random(SEEDS))  # noqa: S311
    topics = tuple(key for key in TOPIC_KEYS if key not in _UNSURE_OF_SEEDS)
    documents = [Document("", seed.text, seed.language) for seed in seeds]
    tone = tuple(Case(document, frozenset((seed.sentiment,))) for document, seed in zip(documents, seeds, strict=True))
    about = tuple(Case(document, frozenset(seed.topics)) for document, seed in zip(documents, seeds, strict=True))
    return [Exam("clear cases: sentiment", "sentiment", tone, SENTIMENTS), Exam("clear cases: topic", "topic", about, topics)]


def from_folder(folder: Path, say: Callable[[str], None] = lambda _: None) -> list[Exam]:
    """An exam for each .jsonl or .jsonl.gz file below `folder`; of those with ".test." in the name alone, where there are any.

    say: told which files ask what nobody here answers. Raises SettingsError when none can be used, ModelError for a file that is not JSON.
    """
    files = sorted(path for path in folder.rglob("*") if path.name.endswith((".jsonl", ".jsonl.gz")) and path.is_file())
    named = [path for path in files if ".test." in path.name]
    exams = []
    for path in named or files:
        found = _from_rows(path.name.split(".jsonl")[0], _rows(path))
        if found is None:
            say(f"{path}: its labels are no sentiments, topics or risk events that are known; not used as a test")
        else:
            exams.append(found)
    if not exams:
        message = f"{folder}: no .jsonl file with sentiments, topics or risk events in it; it cannot serve as frozen tests"
        raise SettingsError(message)
    return exams


def _rows(path: Path) -> list[Row]:
    rows = [row for row in read_rows(path) if "tags" not in row]
    return rows[:: max(1, -(-len(rows) // ROWS))]


def _from_rows(name: str, rows: Sequence[Row]) -> Exam | None:
    tone = [row for row in rows if row.get("label") in SENTIMENTS]
    if tone:
        occur = tuple(label for label in SENTIMENTS if any(row["label"] == label for row in tone))
        classes = occur if len(occur) > 1 else SENTIMENTS  # a set that knows no neutral does not ask for it
        return Exam(name, "sentiment", tuple(Case(_document(row), frozenset((row["label"],))) for row in tone), classes)
    labelled = [row for row in rows if isinstance(row.get("labels"), list)]
    said = {str(label) for row in labelled for label in row["labels"]}
    sources = {str(row.get("source", "")) for row in labelled}
    source = sources.pop() if len(sources) == 1 else ""
    if not labelled:
        return None
    if said <= set(RISK_KEYS) and (said or all(row.get("task") == "risk" for row in labelled)):
        return _exam(name, "risk", labelled, frozenset, RISK_KEYS)
    if source == "finese":
        return _exam(name, "risk", labelled, risks_of, RISK_KEYS)
    if said <= set(TOPIC_KEYS):
        return _exam(name, "topic", labelled, frozenset, TOPIC_KEYS)
    if source in MAPPINGS:
        mapped = [row for row in labelled if topics_of(source, [str(label) for label in row["labels"]])]
        if mapped:
            return _exam(name, "topic", mapped, partial(topics_of, source), known_topics(source))
    return None


def _exam(name: str, task: str, rows: Sequence[Row], truth: Callable[[list[str]], Labels], classes: tuple[str, ...]) -> Exam:
    return Exam(name, task, tuple(Case(_document(row), truth([str(label) for label in row["labels"]])) for row in rows), classes)


def _document(row: Row) -> Document:
    target = str(row.get("entity") or row.get("aspect") or "")
    return Document("", row["text"], str(row.get("lang") or "en"), (target,) if target else (), str(row.get("genre") or "news"))


def sit(classifier: Classifier, exams: Sequence[Exam]) -> list[tuple[Labels, ...]]:
    """What a classifier answers to each exam's cases, in order. Raises ModelError."""
    answers = []
    for exam in exams:
        said: list[Labels] = []
        for start in range(0, len(exam.cases), SLICE):
            some = exam.cases[start : start + SLICE]
            said += [_answer(exam, p) for p in classifier.classify([case.document for case in some])]
        answers.append(tuple(said))
    return answers


def _answer(exam: Exam, prediction: Prediction) -> Labels:
    if exam.task == "sentiment":
        chances = prediction.companies[0] if prediction.companies else prediction.sentiment
        return frozenset((max(exam.classes, key=lambda name: chances[SENTIMENTS.index(name)]),))
    return frozenset(prediction.topics if exam.task == "topic" else prediction.risks) & frozenset(exam.classes)


def trials_of(exams: Sequence[Exam], champion: Classifier, challenger: Classifier) -> list[Trial]:
    """Both models' answers side by side. Raises ModelError."""
    return [
        Trial(
            exam.name,
            tuple(case.document.language for case in exam.cases),
            tuple(case.truth for case in exam.cases),
            before,
            after,
            exam.classes,
            exam.new,
        )
        for exam, before, after in zip(exams, sit(champion, exams), sit(challenger, exams), strict=True)
    ]
