"""Calibration on dev sets: temperatures per head and language, thresholds per topic and risk event, abstention per sentiment head.

logits ─▶ / temperature ─▶ softmax (sentiment heads) or sigmoid (topics, risks) ─▶ >= threshold

Temperature scaling: Guo et al. (2017), On Calibration of Modern Neural Networks, section 4.2.

`shift_priors` adjusts the guided heads to the class frequencies of real news. Training rows were chosen by the model's doubt and by
trouble keywords, so their class frequencies are not those of a stream:

logits on guided dev rows ─▶ a shift per class, by maximum likelihood ─▶ bias of the head

Only biases change. Source: Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori
probabilities; fitted here by the likelihood of labelled rows.
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
from torch.nn import functional

from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import (
    GUIDED_HEADS,
    LABELS,
    MATERIALITY,
    MATERIALITY_LEVELS,
    SENTIMENT_HEADS,
    SET_SENTIMENTS,
    TAGS,
    LabelSet,
    label_columns,
    sentiment_columns,
)
from models.inference.classifier import sigmoid
from models.inference.encoding import pack, pad, width_of
from models.inference.network import Network
from models.inference.transformer import FALLBACK
from models.registry.manifest import Abstention, Manifest
from models.training.examples import Example
from models.training.losses import UNTAGGED

LANGUAGES = ("en", "zh")
MIN_ROWS = 50  # a head of a set with fewer dev rows is not used
MIN_POSITIVES = 12
TARGET_PRECISION = 0.95
GUIDED_SETS = ("wire",)
"""Dev sets that are annotated by our labelling guide."""
MIN_BELOW_THRESHOLDS = 8
"""With fewer rows below all topic thresholds, no fallback threshold is fitted."""
RISK_FLOOR = 0.4
"""Least probability of a reported risk event. A threshold with the best F1 on a set full of risk events is too low for real feeds."""
TOPIC_PRECISION = 0.8
"""Precision of a predicted topic on guided dev, from which its threshold follows."""
TOPIC_THRESHOLDS = tuple(round(0.30 + 0.02 * i, 2) for i in range(34))
"""Candidates, from 0.3 to 0.96."""
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
    sentiment_sets: Sequence[str] = (),
) -> dict[str, float]:
    """Metrics of one dev set: macro F1 of each sentiment head; micro F1 of topics, risks and original labels; accuracy of tags.

    Args:
        source: name of the set.
        rows: its rows.
        dev_outputs: outputs of the network for them.
        label_sets: original labels by set.
        thresholds: of the calibration; None: 0.5.
        temperatures: of the calibration; None: 1.
        sentiment_sets: published sets with sentiment outputs of their own.

    Returns:
        Metric -> value in [0, 1].
    """
    logits, tags = dev_outputs
    parts = {}
    for name in (*SENTIMENT_HEADS, *sentiment_sets):
        rows_of_head = [i for i, e in enumerate(rows.examples) if e.head == name and sum(e.right) == 1 and sum(e.possible) > 1]
        if len(rows_of_head) >= MIN_ROWS and source not in ONE_SIDED_SETS:
            truth = np.array([rows.examples[i].right.index(True) for i in rows_of_head])
            possible = np.array([rows.examples[i].possible for i in rows_of_head])
            predicted = np.where(possible, _sentiment_logits(logits, name, sentiment_sets)[rows_of_head], -1e9).argmax(1)
            parts[f"{name}_macro_f1"] = _macro_f1(truth, predicted)
            if source in GUIDED_SETS:
                parts[f"{name}_accuracy"] = float((truth == predicted).mean())
    for name, keys, prefix in (("topics", TOPIC_KEYS, ""), ("risks", RISK_KEYS, "risk:")):
        weights = np.array([getattr(e, f"{name[:-1]}_weights") for e in rows.examples])
        if (weights >= 1.0).any():
            truth = np.array([getattr(e, name) for e in rows.examples]) > 0.5
            cut = np.array([[threshold(thresholds or {}, prefix + key, e.language) for key in keys] for e in rows.examples])
            scale = np.array([(temperatures or {}).get(f"{name}.{e.language}", 1.0) for e in rows.examples])[:, None]
            parts[f"{name}_micro_f1"] = _micro_f1(truth, sigmoid(logits[name] / scale) >= cut, weights >= 0.5)
    if MATERIALITY in logits and any(e.materiality >= 0 for e in rows.examples):
        known = [i for i, e in enumerate(rows.examples) if e.materiality >= 0]
        parts["materiality_auc"] = auc(logits[MATERIALITY][known, 1], np.array([rows.examples[i].materiality >= 2 for i in known]))
    if source in label_sets:
        own = logits[LABELS][:, label_columns(label_sets)[source]]
        names = label_sets[source].names
        truth = np.array([[name in e.labels for name in names] for e in rows.examples])
        predicted = own == own.max(1, keepdims=True) if label_sets[source].exclusive else own >= 0.0
        parts["own_labels_micro_f1"] = _micro_f1(truth, predicted, np.ones_like(truth))
    if rows.tags:
        parts["entity_tags"] = tags
    return {name: round(float(value), 4) for name, value in parts.items()}


def _sentiment_logits(logits: Logits, name: str, sentiment_sets: Sequence[str]) -> Floats:
    """(N, 3) logits of a sentiment head, or of the own sentiments of a published set."""
    return logits[SET_SENTIMENTS][:, sentiment_columns(sentiment_sets)[name]] if name in sentiment_sets else logits[name]


def threshold(thresholds: Mapping[str, float], key: str, language: str) -> float:
    """The probability from which `key` applies to texts in a language."""
    return thresholds.get(f"{key}.{language}", thresholds.get(key, 0.5))


def auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve (Fawcett 2006): the share of pairs in which the positive row scores higher; 0.5 without pairs."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return 0.5
    order = np.argsort(scores, kind="mergesort")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean = np.bincount(places, weights=ranks) / counts
    return float((mean[places][positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


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


def calibrate(
    dev: Mapping[str, DevRows],
    outputs_by_set: Mapping[str, DevOutputs],
    label_sets: Mapping[str, LabelSet],
    sentiment_sets: Sequence[str] = (),
) -> Calibration:
    """Fit the calibration to the outputs on dev sets.

    Every set has the same weight; the original labels and the own sentiments of a set have a temperature per set.
    """
    logits = {source: dev_outputs.logits for source, dev_outputs in outputs_by_set.items()}
    temperatures: dict[str, float] = {}
    abstain: dict[str, Abstention] = {}
    for language in LANGUAGES:
        for head in SENTIMENT_HEADS:
            chosen = {
                s: rows_of_head for s, rows in dev.items() if len(rows_of_head := _rows_of_head(rows.examples, head, language)) >= MIN_ROWS
            }
            losses = [_sentiment_nll(dev[source].examples, rows_of_head, logits[source][head]) for source, rows_of_head in chosen.items()]
            if all(head in each for each in logits.values()):
                temperatures[f"{head}.{language}"] = best_temperature(losses)
            if chosen:
                found = [
                    _confidences(dev[s].examples, rows_of_head, logits[s][head], temperatures[f"{head}.{language}"])
                    for s, rows_of_head in chosen.items()
                ]
                abstain[f"{head}.{language}"] = _abstention(np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found]))
        for head in ("topics", "risks", MATERIALITY):
            each = [
                _binary_nll([rows.examples[i] for i in rows_of_head], head, logits[source][head][rows_of_head])
                for source, rows in dev.items()
                if head in logits[source] and len(rows_of_head := _rows_with_targets(rows.examples, head, language)) >= MIN_ROWS
            ]
            temperatures[f"{head}.{language}"] = best_temperature(each)
    for name in sentiment_sets:
        source = name.partition(".")[0]
        rows_of_head = [i for i, e in enumerate(dev[source].examples) if e.head == name and any(e.possible)] if source in dev else []
        if len(rows_of_head) >= MIN_ROWS:
            predicted = _sentiment_logits(logits[source], name, sentiment_sets)
            temperatures[f"{SET_SENTIMENTS}.{name}"] = best_temperature([_sentiment_nll(dev[source].examples, rows_of_head, predicted)])
    for source, columns in label_columns(label_sets).items():
        if source in dev:
            own = logits[source][LABELS][:, columns].astype(np.float64)
            temperatures[f"{LABELS}.{source}"] = own_temperature(
                own, [frozenset(e.labels) for e in dev[source].examples], label_sets[source]
            )
    thresholds = _precise_thresholds("topics", TOPIC_KEYS, dev, logits, temperatures)
    risks = _thresholds("risks", RISK_KEYS, dev, logits, temperatures)
    return Calibration(temperatures, thresholds | {f"risk:{key}": max(cut, RISK_FLOOR) for key, cut in risks.items()}, abstain)


def _rows_of_head(examples: Sequence[Example], head: str, language: str) -> list[int]:
    return [i for i, e in enumerate(examples) if e.language == language and e.head == head and any(e.possible)]


def _rows_with_targets(examples: Sequence[Example], head: str, language: str) -> list[int]:
    """Indices of the rows in a language with labels for a multi-label head."""
    return [i for i, e in enumerate(examples) if e.language == language and (_targets(e, head)[1] >= 1.0).any()]


def _targets(example: Example, head: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(targets, weights) of an example for a multi-label head."""
    if head == MATERIALITY:
        levels = np.array(MATERIALITY_LEVELS)
        return (example.materiality >= levels).astype(np.float32), np.full(len(levels), float(example.materiality >= 0), np.float32)
    targets, weights = getattr(example, head), getattr(example, f"{head[:-1]}_weights")
    return np.array(targets, np.float32), np.array(weights, np.float32)


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
    targets_weights = [_targets(e, head) for e in examples]
    targets = torch.from_numpy(np.stack([each[0] for each in targets_weights]))
    known: Tensor = (torch.from_numpy(np.stack([each[1] for each in targets_weights])) >= 1.0).float()
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


def _precise_thresholds(
    head: str, keys: Sequence[str], dev: Mapping[str, DevRows], logits: Mapping[str, Logits], temperatures: Mapping[str, float]
) -> dict[str, float]:
    """Threshold per key and language ("KEY.LANGUAGE"): the lowest with a precision of TOPIC_PRECISION on guided dev.

    A key with fewer than MIN_POSITIVES rows in a language gets the threshold of both languages, or of all keys of the language. Without
    guided dev, `_thresholds` is used.
    """
    thresholds: dict[str, float] = {}
    rows = [(s, i, e) for s, each in dev.items() if s in GUIDED_SETS for i, e in enumerate(each.examples) if _known(e, head)]
    if not rows:
        return _thresholds(head, keys, dev, logits, temperatures)
    truth = np.array([getattr(e, head) for _, _, e in rows]) > 0.5
    scale = np.array([temperatures[f"{head}.{e.language}"] for _, _, e in rows])[:, None]
    probabilities = sigmoid(np.stack([logits[s][head][i] for s, i, _ in rows]) / scale)
    language = np.array([e.language for _, _, e in rows])
    for each in LANGUAGES:
        rows_of_head = language == each
        common = precise_threshold(truth[rows_of_head].ravel(), probabilities[rows_of_head].ravel())
        for column, key in enumerate(keys):
            own = truth[rows_of_head, column].sum() >= MIN_POSITIVES
            both = truth[:, column].sum() >= MIN_POSITIVES
            chosen = rows_of_head if own else np.ones_like(rows_of_head)
            found = precise_threshold(truth[chosen, column], probabilities[chosen, column]) if own or both else common
            thresholds[f"{key}.{each}"] = found
        cuts = np.array([thresholds[f"{key}.{each}"] for key in keys])
        thresholds[f"{FALLBACK}.{each}"] = _fallback(truth[rows_of_head], probabilities[rows_of_head], cuts, keys.index("other"))
    return thresholds


def _fallback(truth: npt.NDArray[np.bool_], probabilities: Floats, cuts: Floats, other: int) -> float:
    """The probability from which the most probable topic is predicted if no topic reaches its threshold.

    It is the lowest from which that topic is right more often than "other".

    Args:
        truth: (N, C).
        probabilities: (N, C).
        cuts: (C,), thresholds of the topics.
        other: column of "other".

    Returns:
        The probability; 1, which always predicts "other", if dev has fewer than MIN_BELOW_THRESHOLDS such rows.
    """
    below = np.flatnonzero(~(probabilities >= cuts).any(1))
    best = probabilities[below].argmax(1)
    top, right = probabilities[below, best], truth[below, best]
    for cut in TOPIC_THRESHOLDS:
        predicted = top >= cut
        if predicted.sum() < MIN_BELOW_THRESHOLDS:
            break
        if right[predicted].mean() > max(0.5, truth[below][predicted, other].mean()):
            return cut
    return 1.0


def _known(example: Example, head: str) -> bool:
    return bool((_targets(example, head)[1] >= 1.0).all())


def precise_threshold(truth: npt.NDArray[np.bool_], probabilities: Floats, precision: float = TOPIC_PRECISION) -> float:
    """The lowest of TOPIC_THRESHOLDS with the given precision on at least five positive predictions; else the most precise one.

    Half a hit is subtracted, so that few rows alone do not reach the precision.
    """
    best, best_precision = TOPIC_THRESHOLDS[-1], 0.0
    for cut in TOPIC_THRESHOLDS:
        predicted = probabilities >= cut
        total, hits = int(predicted.sum()), int((truth & predicted).sum())
        if total < 5:
            break
        if (hits - 0.5) / total >= precision:
            return cut
        if hits / total > best_precision:
            best, best_precision = cut, hits / total
    return best


def _best_threshold(truth: npt.NDArray[np.bool_], probabilities: Floats) -> float:
    def f1(cut: float) -> float:
        predicted = probabilities >= cut
        return float(2 * (truth & predicted).sum() / max(1, truth.sum() + predicted.sum()))

    return max((round(0.10 + 0.02 * i, 2) for i in range(36)), key=f1)


STEPS = 60
SHIFT_PENALTY = 0.02
"""Penalty on the squared shifts, so that few rows cannot move them far."""
MIN_ROWS = 100


def shift_priors(network: Network, dev: Mapping[str, DevRows], outputs_by_set: Mapping[str, DevOutputs]) -> dict[str, list[float]]:
    """Shift the biases of the guided heads in place.

    Args:
        network: the network.
        dev: dev sets.
        outputs_by_set: outputs of the network for the guided dev sets.

    Returns:
        Head -> shift of each output. Heads with fewer than MIN_ROWS rows are left out and unchanged.
    """
    found: dict[str, list[float]] = {}
    rows = [(source, i, e) for source in GUIDED_SETS if source in dev for i, e in enumerate(dev[source].examples)]
    for head in (*GUIDED_HEADS, MATERIALITY):
        labelled = [(source, i, e) for source, i, e in rows if _has_label(e, head)]
        if len(labelled) < MIN_ROWS or head not in network.shape.outputs:
            continue
        logits = torch.from_numpy(np.stack([outputs_by_set[source].logits[head][i] for source, i, _ in labelled])).float()
        shift = _fit_shift(logits, [e for _, _, e in labelled], head)
        with torch.no_grad():
            network.head(head).bias.add_(shift)
        found[head] = [round(float(value), 4) for value in shift]
    return found


def _has_label(example: Example, head: str) -> bool:
    return example.materiality >= 0 if head == MATERIALITY else example.head == head and any(example.possible)


def _fit_shift(logits: Tensor, examples: Sequence[Example], head: str) -> Tensor:
    """The shift (C,) for logits (N, C)."""
    language = torch.tensor([LANGUAGES.index(e.language) if e.language in LANGUAGES else 0 for e in examples])
    shift = torch.zeros(logits.shape[1], requires_grad=True)
    log_temperatures = torch.zeros(len(LANGUAGES), requires_grad=True)
    optimizer = torch.optim.LBFGS([shift, log_temperatures], max_iter=STEPS, line_search_fn="strong_wolfe")
    if head == MATERIALITY:
        reached = (torch.tensor([e.materiality for e in examples])[:, None] >= torch.tensor(MATERIALITY_LEVELS)).float()
    else:
        truth = torch.tensor([e.right.index(True) for e in examples])

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = (logits + shift) / log_temperatures[language].exp()[:, None]
        if head == MATERIALITY:
            loss = functional.binary_cross_entropy_with_logits(scaled, reached)
        else:
            loss = functional.cross_entropy(scaled, truth)
        total: Tensor = loss + SHIFT_PENALTY * shift.square().mean()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    moved = shift.detach()
    return moved if head == MATERIALITY else moved - moved.mean()
