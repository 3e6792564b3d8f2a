"""Calibration on dev sets: temperatures per head and language, thresholds per topic and risk event, abstention per sentiment head.

logits ─▶ / temperature ─▶ softmax (sentiment heads) or sigmoid (topics, risks) ─▶ >= threshold

Temperature scaling: Guo et al. (2017), On Calibration of Modern Neural Networks, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import LABELS, SENTIMENT_HEADS, TAGS, LabelSet, label_columns
from models.inference.encoding import pack, pad, width_of
from models.inference.network import Network
from models.inference.probabilities import sigmoid
from models.registry.manifest import Abstention, Manifest
from models.training.data import Example
from models.training.losses import UNTAGGED

LANGUAGES = ("en", "zh")
MIN_ROWS = 50  # a head of a set with fewer dev rows is not used
MIN_POSITIVES = 12
TARGET_PRECISION = 0.95
ONE_SIDED_SETS = ("finese", "finnsp")  # sets that label one sentiment only

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class DevRows:
    """A dev set: examples, their token ids, and index -> tag ids for examples with spans."""

    examples: list[Example]
    ids: list[list[int]]
    tags: dict[int, list[int]] = field(default_factory=dict)

    def some(self, rows: int) -> DevRows:
        """About `rows` of them, evenly spaced, because the files are sorted by class."""
        step = max(1, len(self.ids) // rows)
        places = range(0, len(self.ids), step)
        tags = {new: self.tags[old] for new, old in enumerate(places) if old in self.tags}
        return DevRows([self.examples[i] for i in places], [self.ids[i] for i in places], tags)


Logits = dict[str, Floats]


class DevOutputs(NamedTuple):
    """Outputs for a dev set of N rows. logits: (N, size) by head; tags: accuracy of entity tags, 1 without any."""

    logits: Logits
    tags: float


def predict_dev(network: Network, rows: DevRows, budget_tokens: int = 4096) -> DevOutputs:
    """Compute the outputs for `rows`, in order, under bf16 autocast. budget_tokens: of a batch, padding included."""
    logits: Logits = {name: np.zeros((len(rows.ids), n), np.float32) for name, n in network.shape.outputs.items() if name != TAGS}
    right = seen = 0
    network.eval()
    device = network.words.weight.device
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
        widths = [width_of(len(row)) for row in rows.ids]
        for batch in pack(widths, budget_tokens):
            ids = pad([rows.ids[i] for i in batch], (len(batch), widths[batch[0]])).to(device)
            found = {name: values.cpu() for name, values in network(ids).logits.items()}
            for name, values in logits.items():
                values[batch] = found[name].numpy()
            for place, row in enumerate(batch):
                truth = np.array(rows.tags.get(row, ()), dtype=np.int64)
                known = truth != UNTAGGED
                if known.any():
                    predicted = found[TAGS][place, : len(truth)].argmax(-1).numpy()
                    entity = known & ((truth > 0) | (predicted > 0))  # pieces outside entities are easy and numerous
                    right += int((predicted == truth)[entity].sum())
                    seen += int(entity.sum())
    return DevOutputs(logits, right / seen if seen else 1.0)


def score_set(
    source: str,
    rows: DevRows,
    dev_outputs: DevOutputs,
    label_sets: Mapping[str, LabelSet],
    thresholds: Mapping[str, float] | None = None,
    temperatures: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Metrics of one dev set: macro F1 of each sentiment head; micro F1 of topics, risks and original labels; accuracy of tags.

    Args:
        source: name of the set.
        rows: its rows.
        dev_outputs: outputs of the network for them.
        label_sets: original labels by set.
        thresholds: of the calibration; None: 0.5.
        temperatures: of the calibration; None: 1.

    Returns:
        Metric -> value in [0, 1].
    """
    logits, tags = dev_outputs
    parts = {}
    for name in SENTIMENT_HEADS:
        rows_of_head = [i for i, e in enumerate(rows.examples) if e.head == name and sum(e.right) == 1 and sum(e.possible) > 1]
        if len(rows_of_head) >= MIN_ROWS and source not in ONE_SIDED_SETS:
            truth = np.array([rows.examples[i].right.index(True) for i in rows_of_head])
            possible = np.array([rows.examples[i].possible for i in rows_of_head])
            parts[f"{name}_macro_f1"] = _macro_f1(truth, np.where(possible, logits[name][rows_of_head], -1e9).argmax(1))
    for name, keys, prefix in (("topics", TOPIC_KEYS, ""), ("risks", RISK_KEYS, "risk:")):
        weights = np.array([getattr(e, f"{name[:-1]}_weights") for e in rows.examples])
        if (weights >= 1.0).any():
            truth = np.array([getattr(e, name) for e in rows.examples]) > 0.5
            cut = np.array([(thresholds or {}).get(prefix + key, 0.5) for key in keys])
            scale = np.array([(temperatures or {}).get(f"{name}.{e.language}", 1.0) for e in rows.examples])[:, None]
            parts[f"{name}_micro_f1"] = _micro_f1(truth, sigmoid(logits[name] / scale) >= cut, weights >= 0.5)
    if source in label_sets:
        own = logits[LABELS][:, label_columns(label_sets)[source]]
        names = label_sets[source].names
        truth = np.array([[name in e.labels for name in names] for e in rows.examples])
        predicted = own == own.max(1, keepdims=True) if label_sets[source].exclusive else own >= 0.0
        parts["own_labels_micro_f1"] = _micro_f1(truth, predicted, np.ones_like(truth))
    if rows.tags:
        parts["entity_tags"] = tags
    return {name: round(float(value), 4) for name, value in parts.items()}


def _micro_f1(truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_], counted: npt.NDArray[np.bool_]) -> float:
    truth, predicted = truth & counted, predicted & counted
    return float(2 * (truth & predicted).sum() / max(1, truth.sum() + predicted.sum()))


def _macro_f1(truth: npt.NDArray[np.int_], predicted: npt.NDArray[np.int_]) -> float:
    scores = []
    for c in set(truth.tolist()):
        hits = int(((truth == c) & (predicted == c)).sum())
        scores.append(2 * hits / max(1, int((truth == c).sum() + (predicted == c).sum())))
    return float(np.mean(scores))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration part of a manifest; see `models.registry.manifest.Manifest`."""

    temperatures: dict[str, float]
    thresholds: dict[str, float]
    abstain: dict[str, Abstention]


def calibration_of(parent: Manifest) -> Calibration:
    """The calibration of an existing version."""
    return Calibration(dict(parent.temperatures), dict(parent.thresholds), dict(parent.abstain))


def calibrate(dev: Mapping[str, DevRows], outputs_by_set: Mapping[str, DevOutputs], label_sets: Mapping[str, LabelSet]) -> Calibration:
    """Fit the calibration to the outputs on dev sets. Every set has the same weight; original labels have one temperature per set."""
    logits = {source: dev_outputs.logits for source, dev_outputs in outputs_by_set.items()}
    temperatures: dict[str, float] = {}
    abstain: dict[str, Abstention] = {}
    for language in LANGUAGES:
        for head in SENTIMENT_HEADS:
            chosen = {
                source: rows_of_head
                for source, rows in dev.items()
                if source not in ONE_SIDED_SETS and len(rows_of_head := _rows_of_head(rows.examples, head, language)) >= MIN_ROWS
            }
            losses = [_sentiment_nll(dev[source].examples, rows_of_head, logits[source][head]) for source, rows_of_head in chosen.items()]
            temperatures[f"{head}.{language}"] = best_temperature(losses)
            if chosen:
                found = [
                    _confidences(dev[s].examples, rows_of_head, logits[s][head], temperatures[f"{head}.{language}"])
                    for s, rows_of_head in chosen.items()
                ]
                abstain[f"{head}.{language}"] = _abstention(np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found]))
        for head in ("topics", "risks"):
            each = [
                _binary_nll(rows.examples, head, logits[source][head])
                for source, rows in dev.items()
                if rows.examples[0].language == language and any(max(getattr(e, f"{head[:-1]}_weights")) >= 1.0 for e in rows.examples)
            ]
            temperatures[f"{head}.{language}"] = best_temperature(each)
    for source, columns in label_columns(label_sets).items():
        if source in dev:
            own = logits[source][LABELS][:, columns].astype(np.float64)
            temperatures[f"{LABELS}.{source}"] = own_temperature(
                own, [frozenset(e.labels) for e in dev[source].examples], label_sets[source]
            )
    thresholds = _thresholds("topics", TOPIC_KEYS, dev, logits, temperatures)
    risks = _thresholds("risks", RISK_KEYS, dev, logits, temperatures)
    return Calibration(temperatures, thresholds | {f"risk:{key}": cut for key, cut in risks.items()}, abstain)


def _rows_of_head(examples: Sequence[Example], head: str, language: str) -> list[int]:
    return [i for i, e in enumerate(examples) if e.language == language and e.head == head and any(e.possible)]


def _confidences(
    examples: Sequence[Example], chosen: list[int], logits: Floats, temperature: float
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Confidence and correctness of each chosen row, among the classes that its set can have."""
    possible = np.array([examples[i].possible for i in chosen])
    right = np.array([examples[i].right for i in chosen])
    scaled = np.where(possible, logits[chosen] / temperature, -1e9)
    probabilities = np.exp(scaled - scaled.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    return probabilities.max(1), right[np.arange(len(chosen)), probabilities.argmax(1)]


def _abstention(confidence: Floats, right: npt.NDArray[np.bool_]) -> Abstention:
    """The lowest confidence with a precision of TARGET_PRECISION on dev; threshold 1 and coverage 0 if there is none."""
    order = np.argsort(-confidence)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((precision >= TARGET_PRECISION) & (np.arange(1, len(order) + 1) >= 20))
    if len(enough) == 0:
        return Abstention(1.0, 0.0)
    last = int(enough[-1])
    return Abstention(round(float(confidence[order[last]]), 4), round((last + 1) / len(order), 4))


def _sentiment_nll(examples: Sequence[Example], chosen: list[int], logits: Floats) -> Callable[[float], float]:
    right = torch.tensor([examples[i].right for i in chosen])
    possible = torch.tensor([examples[i].possible for i in chosen])
    x = torch.from_numpy(logits[chosen])

    def nll(temperature: float) -> float:
        scaled = x / temperature
        wanted, all_ = scaled.masked_fill(~right, -1e4), scaled.masked_fill(~possible, -1e4)
        return float((all_.logsumexp(1) - wanted.logsumexp(1)).mean())

    return nll


def _binary_nll(examples: Sequence[Example], head: str, logits: Floats) -> Callable[[float], float]:
    targets = torch.tensor([getattr(e, head) for e in examples])
    weights = torch.tensor([getattr(e, f"{head[:-1]}_weights") for e in examples])
    known: Tensor = (weights >= 1.0).float()
    x = torch.from_numpy(logits)

    def nll(temperature: float) -> float:
        each = torch.nn.functional.binary_cross_entropy_with_logits(x / temperature, targets, reduction="none")
        return float((each * known).sum() / known.sum().clamp(min=1.0))

    return nll


def own_temperature(logits: npt.NDArray[np.float64], truth: Sequence[frozenset[str]], labels: LabelSet) -> float:
    """The temperature with the highest likelihood for logits (N, C). Rows without a label among the outputs are ignored."""
    real = np.array([[name in row for name in labels.names] for row in truth])
    labelled = real.any(1)
    if not labelled.any():
        return 1.0

    def loss(temperature: float) -> float:
        scaled = logits[labelled] / temperature
        if labels.exclusive:
            top = scaled.max(1, keepdims=True)
            return float((top[:, 0] + np.log(np.exp(scaled - top).sum(1)) - scaled[real[labelled]]).mean())
        probabilities = np.clip(sigmoid(scaled), 1e-9, 1 - 1e-9)
        return float(-np.where(real[labelled], np.log(probabilities), np.log(1 - probabilities)).mean())

    return best_temperature([loss])


def best_temperature(losses: Sequence[Callable[[float], float]], steps: int = 60) -> float:
    """The temperature in [0.5, 4] with the lowest sum of losses on a geometric grid of `steps`; 1 without any loss function."""
    if not losses:
        return 1.0
    grid = [round(0.5 * math.pow(8.0, step / steps), 4) for step in range(steps + 1)]
    return min(grid, key=lambda temperature: math.fsum(loss(temperature) for loss in losses))


def _thresholds(
    head: str, keys: Sequence[str], dev: Mapping[str, DevRows], logits: Mapping[str, Logits], temperatures: Mapping[str, float]
) -> dict[str, float]:
    """Key -> threshold in [0.1, 0.8] with the best F1 on dev rows that label it; 0.5 for fewer than MIN_POSITIVES positive rows."""
    truth, known, probabilities = [], [], []
    for source, rows in dev.items():
        weights = np.array([getattr(e, f"{head[:-1]}_weights") for e in rows.examples])
        if (weights >= 0.5).any():
            truth.append(np.array([getattr(e, head) for e in rows.examples]) > 0.5)
            known.append(weights >= 0.5)
            scale = np.array([temperatures[f"{head}.{e.language}"] for e in rows.examples])[:, None]
            probabilities.append(sigmoid(logits[source][head] / scale))
    if not truth:
        return dict.fromkeys(keys, 0.5)
    all_truth, all_known, all_probabilities = np.concatenate(truth), np.concatenate(known), np.concatenate(probabilities)
    thresholds = {}
    for column, key in enumerate(keys):
        counted = all_known[:, column]
        positive = all_truth[counted, column]
        enough = positive.sum() >= MIN_POSITIVES
        thresholds[key] = _best_threshold(positive, all_probabilities[counted, column]) if enough else 0.5
    return thresholds


def _best_threshold(truth: npt.NDArray[np.bool_], probabilities: Floats) -> float:
    def f1(cut: float) -> float:
        predicted = probabilities >= cut
        return float(2 * (truth & predicted).sum() / max(1, truth.sum() + predicted.sum()))

    return max((round(0.10 + 0.02 * i, 2) for i in range(36)), key=f1)
