"""Benchmark: a version on annotated news items, published sets, contrast sentences and disguised texts.

    python -m bench.signal --model FOLDER [--data DATA] [--split dev] [--published] [--stability] [--cases FILE]

Prints one JSON object per line: each task on DATA/wire, risk events on the annotated items that are joined to DATA/stream, the
published sets, accuracy by language and kind on the hold-out of contrast sentences (models/evaluation/contrast_holdout.tsv, or another
file of the same columns) and on the held-out templates, and the shares of predictions that disguises change. The hold-out and the risk
items are test data: nothing is trained on them or chosen by them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models.evaluation.evaluate import evaluation_of, read_rows_of, score_rows
from models.evaluation.metrics import expected_calibration_error
from models.evaluation.robustness import dateline_changes, disguise_changes
from models.evaluation.wire import read_wire
from models.heads import MATERIALITY, SENTIMENTS
from models.inference.classifier import Document
from models.inference.transformer import TransformerClassifier
from models.training.contrast import generate
from models.training.label_files import join, read_label_file

TASKS = ("sentiment", "topic", "company", "risk", MATERIALITY)
PUBLISHED = ("fpb", "twitter_fin", "sentfin", "semeval2017", "gold_commodity", "cfsc", "wwwxmu", "finfe")
TOPIC_SETS = ("twitter_topic", "finnl", "finese", "thucnews")
METRICS = ("n", "accuracy", "macro_f1", "micro_f1", "weighted_f1", "ece")
EVALUATION = Path(__file__).parents[1] / "models" / "evaluation"
HOLDOUT = EVALUATION / "contrast_holdout.tsv"
RISK_ITEMS = EVALUATION / "risk_items.tsv.gz"
"""Annotated items chosen by keywords of trouble: wire.test has too few risk events for a figure. Never trained on."""
TEMPLATE_SEED, PER_TEMPLATE = 16, 8

Sentence = tuple[str, str, str, str]
"""(language, kind, label, text)"""


def report(name: str, **figures: object) -> None:
    """Print one JSON line."""
    print(json.dumps({"what": name, **figures}, ensure_ascii=False), flush=True)


def read_sentences(path: Path) -> list[Sentence]:
    """Rows of a file of four columns separated by tabs: language, kind, label, text."""
    sentences = []
    for line in path.read_text(encoding="utf8").splitlines():
        if line:
            language, kind, label, text = line.split("\t")
            sentences.append((language, kind, label, text))
    return sentences


def measure_file(classifier: TransformerClassifier, path: Path, task: str) -> None:
    """Report the metrics of one labelled file."""
    rows = read_rows_of(path, task)
    scored = score_rows(classifier, rows.rows, task, where=str(path))
    found = evaluation_of(scored, rows.bad, task, classifier.version, path, 0.0, resamples=0)
    figures = {
        name: {**{key: round(getattr(part, key), 4) for key in METRICS}, **found.details.get(name, {})}
        for name, part in {"all": found, **found.by_language}.items()
    }
    report(f"{path.name} {task}", space=scored.label_space, **figures)


def measure_sentences(classifier: TransformerClassifier, sentences: Sequence[Sentence], name: str) -> None:
    """Report the accuracy by language and kind."""
    predictions = classifier.classify([Document("", text, language) for language, _, _, text in sentences])
    probabilities = [prediction.sentiment for prediction in predictions]
    right = [SENTIMENTS[int(np.argmax(p))] == label for p, (_, _, label, _) in zip(probabilities, sentences, strict=True)]
    groups: defaultdict[str, list[bool]] = defaultdict(list)
    for correct, (language, kind, _, _) in zip(right, sentences, strict=True):
        groups[language].append(correct)
        groups[f"{language}.{kind}"].append(correct)
    ece = expected_calibration_error(np.array([max(p) for p in probabilities]), np.array(right))
    report(name, n=len(sentences), ece=round(ece, 4), **{key: round(float(np.mean(each)), 4) for key, each in sorted(groups.items())})


def measure_risk_items(classifier: TransformerClassifier, streams: Path) -> None:
    """Report the metrics of RISK_ITEMS, joined to the texts of the streams."""
    rows = join(list(read_label_file(RISK_ITEMS)), streams)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "risk_items.jsonl")
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
        measure_file(classifier, path, "risk")


def measure_stability(classifier: TransformerClassifier, wire: Path) -> None:
    """Report the shares of predictions on annotated news items that disguises and datelines change."""
    items = read_wire(wire, "sentiment")
    if items is not None:
        texts = [(row.language, f"{row.title} {row.text}".strip()) for row in items.rows]
        report("wire in disguise", **disguise_changes(classifier, texts))
        report("wire datelines", **dateline_changes(classifier, [(row.language, row.title, row.text) for row in items.rows]))


def main() -> None:
    """Run the measurements of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--cases", type=Path, default=HOLDOUT)
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--stability", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    classifier = TransformerClassifier.load(args.model, threads=1)
    sentences = read_sentences(args.cases)
    measure_sentences(classifier, sentences, args.cases.name)
    report(f"{args.cases.name} in disguise", **disguise_changes(classifier, [(language, text) for language, _, _, text in sentences]))
    held_out = generate(TEMPLATE_SEED, PER_TEMPLATE, held_out=True)
    measure_sentences(classifier, [(s.language, s.kind, s.label, s.text) for s in held_out], "held-out templates")
    if args.data is None:
        return
    wire = args.data / "wire" / f"wire.{args.split}.jsonl.gz"
    for task in TASKS:
        if task != MATERIALITY or task in classifier.network.shape.outputs:
            measure_file(classifier, wire, task)
    measure_risk_items(classifier, args.data / "stream")
    if args.stability:
        measure_stability(classifier, wire)
    if args.published:
        for name in PUBLISHED:
            path = args.data / "sentiment" / f"{name}.{args.split}.jsonl.gz"
            if path.is_file():
                measure_file(classifier, path, "sentiment")
        for name in TOPIC_SETS:
            measure_file(classifier, args.data / "topic" / f"{name}.{args.split}.jsonl.gz", "topic")


if __name__ == "__main__":
    main()
