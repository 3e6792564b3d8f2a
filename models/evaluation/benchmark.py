"""Fine-tuning benchmark: a copy of the encoder with a new head, trained and evaluated on one labelled set.

    TRAIN ─▶ rows ─┬─ nine in ten ─▶ models.training.fit ─▶ best weights on dev ─▶ temperature ─▶ metrics on DATA
                   └─ one in ten, by hash of the text ─▶ dev

Texts of DATA are removed from TRAIN first. The classifier itself is not changed. The same files, options and number of threads give
the same metrics, unless the run ended by its time limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.errors import SettingsError
from models.evaluation.evaluate import Evaluation, ScoredRows, entity_counts, evaluation_of, own_label_counts, read_rows_of
from models.evaluation.labelled_files import NEWS, Labelled, Tagged
from models.evaluation.metrics import RESAMPLES, metrics_report
from models.heads import LABELS, TAG_NAMES, TAGS, LabelSet
from models.inference.network import Network
from models.inference.transformer import TransformerClassifier
from models.training.calibrate import DevRows, own_temperature, predict_dev
from models.training.examples import Example
from models.training.fit import EarlyStopping, Hooks, TrainingSchedule, encode, fit
from models.training.losses import batch_loss

Floats = npt.NDArray[np.float64]

OWN = "own"
MIN_DEV_ROWS = 20  # with fewer rows dev is not used and the last weights are kept
MAX_DEV_ROWS = 2000  # evenly spaced rows for early stopping


@dataclass(frozen=True, slots=True)
class FineTuneOptions:
    """Options of one fine-tuning run.

    patience: checks on dev, two per epoch, without improvement before it stops
    limit_s: time limit in seconds; None for none
    """

    epochs: int = 3
    lr: float = 8e-5
    head_lr_scale: float = 10.0
    seed: int = 13
    batch_tokens: int = 2048
    threads: int = 2
    patience: int = 2
    limit_s: float | None = None

    def training_schedule(self) -> TrainingSchedule:
        """The options of the training loop."""
        return TrainingSchedule(self.lr, self.head_lr_scale, 0.06, 0.01, self.batch_tokens, 0.0, self.threads, self.limit_s)


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A fine-tuned copy of a classifier.

    labels: labels of its new head; temperature: divisor of their logits; training: description of the run
    """

    classifier: TransformerClassifier
    labels: LabelSet
    temperature: float
    training: dict[str, float | int | str]


def evaluate_fine_tuned(
    classifier: TransformerClassifier,
    train: Path,
    data: Path,
    task: str,
    *,
    options: FineTuneOptions | None = None,
    genre: str = NEWS,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Fine-tune a copy of a classifier on one file and evaluate it on another.

    Args:
        classifier: supplies the encoder.
        train: training file.
        data: test file.
        task: "entities" for tagged rows; other tasks use the labels of the files as they are.
        options: options of the run; None for the defaults.
        genre: genre of rows that name none.
        resamples: bootstrap resamples.

    Raises:
        SettingsError: a file has no usable row, or the training rows have a single label.
    """
    own = "entities" if task == "entities" else "topic"  # the labels of the files, whatever they are
    rows, training_rows = read_rows_of(data, own, genre=genre), read_rows_of(train, own, genre=genre)
    started = monotonic()
    trained = fine_tune(
        classifier, without_test_texts(training_rows.rows, rows.rows), where=str(train), options=options or FineTuneOptions()
    )
    scored = score_fine_tuned(trained, rows.rows, f"trained:{train.name}")
    found = evaluation_of(scored, rows.bad, task, classifier.version, data, monotonic() - started, resamples=resamples)
    counted = {
        "bad_rows": len(training_rows.bad),
        "seen_in_data": len(training_rows.rows) - len(without_test_texts(training_rows.rows, rows.rows)),
    }
    return msgspec.structs.replace(found, training=trained.training | counted)


def without_test_texts(rows: Sequence[Any], tests: Sequence[Any]) -> list[Any]:
    """The rows whose text is not in `tests`; case and white space are ignored."""
    held = {_plain(row.text) for row in tests}
    return [row for row in rows if _plain(row.text) not in held]


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


def in_dev(text: str) -> bool:
    """Whether a text belongs to the tenth that is held out for dev, by its hash."""
    return int(hashlib.sha256(_plain(text).encode("utf-8", "surrogatepass")).hexdigest()[:8], 16) % 10 == 0


def fine_tune(classifier: TransformerClassifier, rows: Sequence[Any], *, where: str, options: FineTuneOptions) -> FineTuned:
    """Train a copy of the encoder with a new head.

    Args:
        classifier: supplies the encoder.
        rows: all Labelled or all Tagged.
        where: name of the file, for messages.
        options: options of the run.

    Raises:
        SettingsError: no row is left for training, or the rows have a single label.
    """
    started = monotonic()
    dev = [row for row in rows if in_dev(row.text)]
    training_rows = [row for row in rows if not in_dev(row.text)]
    labels = LabelSet(("entities",), exclusive=True) if _tagged(rows) else labels_of(training_rows, where)
    if not training_rows:
        message = f"{where}: no row is left for training; those of the test file are removed"
        raise SettingsError(message)
    torch.manual_seed(options.seed)
    network = _with_new_heads(classifier, {TAGS: len(TAG_NAMES)} if _tagged(rows) else {LABELS: len(labels.names)})
    label_sets = {} if _tagged(rows) else {OWN: labels}
    examples = [_example(row) for row in training_rows]
    monitor = _DevMonitor(network, classifier, dev[:: max(1, -(-len(dev) // MAX_DEV_ROWS))], labels, options.patience)
    steps = fit(
        network,
        classifier.tokenizer,
        lambda: examples,
        label_sets,
        lambda outputs, batch: batch_loss(outputs.logits, batch, label_sets),
        epochs=options.epochs,
        max_tokens=classifier.manifest.max_tokens,
        class_power=0.0,
        training_schedule=options.training_schedule(),
        seed=options.seed,
        hooks=Hooks(monitor, 2 * options.epochs),
    )
    if monitor.best:
        network.load_state_dict(monitor.best)
    network.to("cpu")
    training: dict[str, float | int | str] = {
        "file": Path(where).name,
        "rows": len(training_rows),
        "dev_rows": len(dev),
        "labels": len(labels.names),
        "steps": steps,
        "seed": options.seed,
        "dev": round(monitor.score, 4),
        "temperature": monitor.temperature,
        "seconds": round(monotonic() - started, 1),
    }
    manifest = msgspec.structs.replace(classifier.manifest, temperatures={})
    dtype = getattr(torch, classifier.precision)  # the precision that was selected for the original encoder
    return FineTuned(TransformerClassifier(network, classifier.tokenizer, manifest, dtype=dtype), labels, monitor.temperature, training)


def score_fine_tuned(trained: FineTuned, rows: Sequence[Any], label_space: str) -> ScoredRows:
    """Predict rows with a fine-tuned copy and count the results against their labels."""
    languages = [row.language if row.named else "" for row in rows]
    if _tagged(rows):
        return ScoredRows(entity_counts(trained.classifier, rows), languages, label_space)
    logits = trained.classifier.logits([(row.text, row.target) for row in rows])[LABELS].astype(np.float64) / trained.temperature
    truth = [frozenset(row.labels) for row in rows]
    return ScoredRows(own_label_counts(truth, logits, trained.labels.names, exclusive=trained.labels.exclusive), languages, label_space)


def labels_of(rows: Sequence[Labelled], where: str) -> LabelSet:
    """The labels of rows, most frequent first. Raises SettingsError for fewer than two."""
    own = LabelSet.of([row.labels for row in rows])
    if len(own.names) < 2:
        message = f"{where}: its rows have {len(own.names)} label ({', '.join(own.names)}); at least two are required for training"
        raise SettingsError(message)
    return own


def _tagged(rows: Sequence[Any]) -> bool:
    return bool(rows) and isinstance(rows[0], Tagged)


def _example(row: Labelled | Tagged) -> Example:
    if isinstance(row, Tagged):
        return Example(OWN, row.language, row.text, spans=row.spans)
    return Example(OWN, row.language, row.text, row.target, labels=row.labels)


def _with_new_heads(classifier: TransformerClassifier, outputs: dict[str, int]) -> Network:
    """A copy of the encoder in fp32 with new, random heads."""
    network = Network(replace(classifier.network.shape, outputs=outputs))
    kept = {name: value.float() for name, value in classifier.network.state_dict().items() if name.startswith(_ENCODER)}
    network.load_state_dict(kept, strict=False)
    return network


_ENCODER = ("words.", "places.", "norm.", "layers.")


class _DevMonitor:
    """Evaluates dev during training and keeps the best weights with their temperature."""

    def __init__(self, network: Network, classifier: TransformerClassifier, dev: Sequence[Any], labels: LabelSet, patience: int) -> None:
        self._network = network
        self._labels = labels
        self._stopper = EarlyStopping(patience)
        self._truth = [frozenset(row.labels) for row in dev if isinstance(row, Labelled)]
        examples = [_example(row) for row in dev]
        self._rows = DevRows(examples, *encode(classifier.tokenizer, examples, classifier.manifest.max_tokens))
        self.best: dict[str, Tensor] = {}
        self.score = -1.0
        self.temperature = 1.0

    def __call__(self, step: int, total: int) -> bool:
        """Whether to continue: the score improved recently, or dev is too small to decide."""
        del step, total
        if len(self._rows.examples) < MIN_DEV_ROWS:
            return True
        logits, tags = predict_dev(self._network, self._rows)
        score, temperature = tags, 1.0
        if self._truth:
            own = logits[LABELS].astype(np.float64)
            report = metrics_report(own_label_counts(self._truth, own, self._labels.names, exclusive=self._labels.exclusive))
            score = report.macro_f1 + report.micro_f1
            temperature = own_temperature(own, self._truth, self._labels)
        go_on = self._stopper.go_on(score)
        if self._stopper.improved:
            self.score, self.temperature = score, temperature
            self.best = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        return go_on
