"""How good does the encoder become on any labelled set? A fresh head and a copy of the encoder, fine-tuned on its own labels.

    TRAIN ─▶ rows ─┬─ nine in ten ─▶ models.training.fit ─▶ best on dev ─▶ temperature ─▶ figures on DATA
                   └─ one in ten, by hash of the text ─▶ dev

Texts of DATA are taken out of TRAIN first. The classifier itself is left as it was. The same files, options and number of
threads give the same figures, unless the run was ended by the clock.
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
from models.evaluation.evaluate import Evaluation, Judged, entity_tally, evaluation_of, own_tally, read_rows_of
from models.evaluation.labelled_files import NEWS, Labelled, Tagged
from models.evaluation.metrics import RESAMPLES, report_of
from models.heads import LABELS, TAG_NAMES, TAGS, LabelSet
from models.inference.network import Network
from models.inference.transformer import TransformerClassifier
from models.training.calibrate import DevRows, own_temperature, read_dev
from models.training.data import Example
from models.training.fit import Hooks, Pace, encode, fit
from models.training.losses import batch_loss
from models.training.progress import Stopper

Floats = npt.NDArray[np.float64]

OWN = "own"
FEWEST_DEV = 20  # rows, below which dev says nothing and the last weights are kept
MOST_DEV = 2000  # evenly spaced: enough to stop by


@dataclass(frozen=True, slots=True)
class Options:
    """One fine-tuning. patience: looks at dev, two an epoch, without a better one before it stops; limit_s: the clock ends it earlier."""

    epochs: int = 3
    lr: float = 8e-5
    head_lr_scale: float = 10.0
    seed: int = 13
    batch_tokens: int = 2048
    threads: int = 2
    patience: int = 2
    limit_s: float | None = None

    def pace(self) -> Pace:
        """The settings of the loop."""
        return Pace(self.lr, self.head_lr_scale, 0.06, 0.01, self.batch_tokens, 0.0, self.threads, self.limit_s)


@dataclass(frozen=True, slots=True)
class Trained:
    """A fine-tuned copy behind the port, the labels of its fresh head, what their logits are divided by, and how it came about."""

    classifier: TransformerClassifier
    labels: LabelSet
    temperature: float
    training: dict[str, float | int | str]


def evaluate_trained(
    classifier: TransformerClassifier,
    train: Path,
    data: Path,
    task: str,
    *,
    options: Options | None = None,
    genre: str = NEWS,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Fine-tune a copy on `train`, measure it on `data`. Raises SettingsError when a file has no usable row or one label only."""
    own = "entities" if task == "entities" else "topic"  # their own labels, whatever they are
    rows, learned = read_rows_of(data, own, genre=genre), read_rows_of(train, own, genre=genre)
    started = monotonic()
    trained = fine_tune(classifier, unseen(learned.rows, rows.rows), where=str(train), options=options or Options())
    judged = judge_trained(trained, rows.rows, f"trained:{train.name}")
    found = evaluation_of(judged, rows.bad, task, classifier.version, data, monotonic() - started, resamples=resamples)
    counted = {"bad_rows": len(learned.bad), "seen_in_data": len(learned.rows) - len(unseen(learned.rows, rows.rows))}
    return msgspec.structs.replace(found, training=trained.training | counted)


def unseen(rows: Sequence[Any], tests: Sequence[Any]) -> list[Any]:
    """The rows whose text is not among those of `tests`, compared without case and white space."""
    held = {_plain(row.text) for row in tests}
    return [row for row in rows if _plain(row.text) not in held]


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


def in_dev(text: str) -> bool:
    """Whether a text belongs to the tenth that is not trained on: by its hash, so always the same."""
    return int(hashlib.sha256(_plain(text).encode("utf-8", "surrogatepass")).hexdigest()[:8], 16) % 10 == 0


def fine_tune(classifier: TransformerClassifier, rows: Sequence[Any], *, where: str, options: Options) -> Trained:
    """A copy of the encoder with a fresh head, trained on rows (all Labelled, or all Tagged). Raises SettingsError."""
    started = monotonic()
    dev = [row for row in rows if in_dev(row.text)]
    learned = [row for row in rows if not in_dev(row.text)]
    labels = LabelSet(("entities",), exclusive=True) if _tagged(rows) else labels_of(learned, where)
    if not learned:
        message = f"{where}: no row is left to train on; those of the test file are taken out"
        raise SettingsError(message)
    torch.manual_seed(options.seed)
    network = _fresh(classifier, {TAGS: len(TAG_NAMES)} if _tagged(rows) else {LABELS: len(labels.names)})
    label_sets = {} if _tagged(rows) else {OWN: labels}
    examples = [_example(row) for row in learned]
    watch = _Watch(network, classifier, dev[:: max(1, -(-len(dev) // MOST_DEV))], labels, options.patience)
    steps = fit(
        network,
        classifier.tokenizer,
        lambda: examples,
        label_sets,
        lambda outputs, batch: batch_loss(outputs.logits, batch, label_sets),
        epochs=options.epochs,
        max_tokens=classifier.manifest.max_tokens,
        class_power=0.0,
        pace=options.pace(),
        seed=options.seed,
        hooks=Hooks(watch, 2 * options.epochs),
    )
    if watch.best:
        network.load_state_dict(watch.best)
    network.to("cpu")
    training: dict[str, float | int | str] = {
        "file": Path(where).name,
        "rows": len(learned),
        "dev_rows": len(dev),
        "labels": len(labels.names),
        "steps": steps,
        "seed": options.seed,
        "dev": round(watch.score, 4),
        "temperature": watch.temperature,
        "seconds": round(monotonic() - started, 1),
    }
    manifest = msgspec.structs.replace(classifier.manifest, temperatures={})
    dtype = getattr(torch, classifier.precision)  # what was found good for the encoder that this one was copied from
    return Trained(TransformerClassifier(network, classifier.tokenizer, manifest, dtype=dtype), labels, watch.temperature, training)


def judge_trained(trained: Trained, rows: Sequence[Any], label_space: str) -> Judged:
    """What a fine-tuned copy says of rows, against their labels."""
    languages = [row.language if row.named else "" for row in rows]
    if _tagged(rows):
        return Judged(entity_tally(trained.classifier, rows), languages, label_space)
    logits = trained.classifier.logits([(row.text, row.target) for row in rows])[LABELS].astype(np.float64) / trained.temperature
    truth = [frozenset(row.labels) for row in rows]
    return Judged(own_tally(truth, logits, trained.labels.names, exclusive=trained.labels.exclusive), languages, label_space)


def labels_of(rows: Sequence[Labelled], where: str) -> LabelSet:
    """The labels of rows, the commonest first. Raises SettingsError when there are fewer than two."""
    own = LabelSet.of([row.labels for row in rows])
    if len(own.names) < 2:
        message = f"{where}: its rows have {len(own.names)} label ({', '.join(own.names)}); two at least are wanted to learn a difference"
        raise SettingsError(message)
    return own


def _tagged(rows: Sequence[Any]) -> bool:
    return bool(rows) and isinstance(rows[0], Tagged)


def _example(row: Labelled | Tagged) -> Example:
    if isinstance(row, Tagged):
        return Example(OWN, row.language, row.text, spans=row.spans)
    return Example(OWN, row.language, row.text, row.target, labels=row.labels)


def _fresh(classifier: TransformerClassifier, outputs: dict[str, int]) -> Network:
    """A copy of the encoder in fp32 with new heads."""
    network = Network(replace(classifier.network.shape, outputs=outputs))
    kept = {name: value.float() for name, value in classifier.network.state_dict().items() if name.startswith(_ENCODER)}
    network.load_state_dict(kept, strict=False)
    return network


_ENCODER = ("words.", "places.", "norm.", "layers.")


class _Watch:
    """Looks at dev now and then, and keeps the best weights with their temperature."""

    def __init__(self, network: Network, classifier: TransformerClassifier, dev: Sequence[Any], labels: LabelSet, patience: int) -> None:
        self._network = network
        self._labels = labels
        self._stopper = Stopper(patience)
        self._truth = [frozenset(row.labels) for row in dev if isinstance(row, Labelled)]
        examples = [_example(row) for row in dev]
        self._rows = DevRows(examples, *encode(classifier.tokenizer, examples, classifier.manifest.max_tokens))
        self.best: dict[str, Tensor] = {}
        self.score = -1.0
        self.temperature = 1.0

    def __call__(self, step: int, total: int) -> bool:
        """Whether to go on: there was a better one among the last looks, or dev is too small to say."""
        del step, total
        if len(self._rows.examples) < FEWEST_DEV:
            return True
        logits, tags = read_dev(self._network, self._rows)
        score, temperature = tags, 1.0
        if self._truth:
            own = logits[LABELS].astype(np.float64)
            report = report_of(own_tally(self._truth, own, self._labels.names, exclusive=self._labels.exclusive))
            score = report.macro_f1 + report.micro_f1
            temperature = own_temperature(own, self._truth, self._labels)
        go_on = self._stopper.go_on(score)
        if self._stopper.improved:
            self.score, self.temperature = score, temperature
            self.best = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        return go_on
