"""When the model says 0.9, is it right nine times in ten? Temperatures per head and language, thresholds per topic, from dev.

logits ─▶ / temperature ─▶ softmax (sentiment, company) or sigmoid (topics) ─▶ >= threshold
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.batching import pack
from models.data import Example
from models.encoding import pad
from models.network import SENTIMENTS, Network
from spine.taxonomy import TOPIC_KEYS

LANGUAGES = ("en", "zh")
LOOK = 400  # rows of a dev set that early stopping looks at, evenly spaced: the files are sorted by class


@dataclass(frozen=True, slots=True)
class DevRows:
    """A dev set: its examples and their token ids."""

    examples: list[Example]
    ids: list[list[int]]


Floats = npt.NDArray[np.floating]


def run(network: Network, ids: Sequence[Sequence[int]], budget_tokens: int = 4096) -> tuple[Floats, Floats]:
    """(sentiment logits (N, 3), topic logits (N, 21)) in the order of `ids`, under bf16 autocast."""
    sentiment, topics = np.zeros((len(ids), len(SENTIMENTS)), np.float32), np.zeros((len(ids), len(TOPIC_KEYS)), np.float32)
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for batch in pack([len(row) for row in ids], budget_tokens):
            one, two = network(pad([ids[i] for i in batch]))
            sentiment[batch], topics[batch] = one.numpy(), two.numpy()
    return sentiment, topics


def dev_score(network: Network, dev: Mapping[str, DevRows]) -> tuple[float, dict[str, float]]:
    """(mean over sets, each set's score) on the first rows of each: macro F1 of sentiment, micro F1 at 0.5 of topics."""
    parts: dict[str, float] = {}
    for source, rows in dev.items():
        step = max(1, len(rows.ids) // LOOK)
        examples = rows.examples[::step]
        sentiment, topics = run(network, rows.ids[::step])
        parts.update(_score_set(source, examples, sentiment, 1 / (1 + np.exp(-topics)), dict.fromkeys(TOPIC_KEYS, 0.5)))
    return float(np.mean(list(parts.values()))), {name: round(value, 3) for name, value in parts.items()}


def _score_set(
    source: str, examples: Sequence[Example], sentiment: Floats, topics: Floats, thresholds: Mapping[str, float]
) -> dict[str, float]:
    parts = {}
    labelled = [i for i, e in enumerate(examples) if sum(e.right) == 1 and sum(e.possible) > 1]
    if labelled and source not in ("finese", "finnsp"):
        truth = np.array([examples[i].right.index(True) for i in labelled])
        possible = np.array([examples[i].possible for i in labelled])
        said = np.where(possible, sentiment[labelled], -1e9).argmax(1)
        parts[f"{source}.sentiment"] = _macro_f1(truth, said)
    weights = np.array([e.topic_weights for e in examples])
    if (weights >= 1.0).any():
        truth = np.array([e.topics for e in examples]) > 0.5
        cut = np.array([thresholds[key] for key in TOPIC_KEYS])
        counted = weights >= 0.5
        guessed = (topics >= cut) & counted
        truth &= counted
        parts[f"{source}.topics"] = float(2 * (truth & guessed).sum() / max(1, truth.sum() + guessed.sum()))
    return parts


def _macro_f1(truth: npt.NDArray[np.int_], said: npt.NDArray[np.int_]) -> float:
    scores = []
    for c in set(truth.tolist()):
        hits = int(((truth == c) & (said == c)).sum())
        scores.append(2 * hits / max(1, int((truth == c).sum() + (said == c).sum())))
    return float(np.mean(scores))


def calibrate(network: Network, dev: Mapping[str, DevRows]) -> tuple[dict[str, float], dict[str, float]]:
    """(temperatures by "HEAD.LANGUAGE", thresholds by topic) that fit dev best; each set has the same say."""
    logits = {source: run(network, rows.ids) for source, rows in dev.items()}
    temperatures: dict[str, float] = {}
    for language in LANGUAGES:
        for head in ("sentiment", "company"):
            losses = []
            for source, rows in dev.items():
                chosen = [
                    i
                    for i, e in enumerate(rows.examples)
                    if e.language == language and bool(e.target) == (head == "company") and any(e.possible) and source != "finese"
                ]
                if len(chosen) >= 50:
                    losses.append(_sentiment_nll(rows.examples, chosen, logits[source][0]))
            temperatures[f"{head}.{language}"] = _best_temperature(losses)
        topic_losses = [
            _topic_nll(rows.examples, logits[source][1])
            for source, rows in dev.items()
            if rows.examples[0].language == language and any(max(e.topic_weights) >= 1.0 for e in rows.examples)
        ]
        temperatures[f"topics.{language}"] = _best_temperature(topic_losses)
    return temperatures, _thresholds(dev, logits, temperatures)


def _sentiment_nll(examples: Sequence[Example], chosen: list[int], logits: Floats) -> Callable[[float], float]:
    right = torch.tensor([examples[i].right for i in chosen])
    possible = torch.tensor([examples[i].possible for i in chosen])
    x = torch.from_numpy(logits[chosen])

    def nll(temperature: float) -> float:
        scaled = x / temperature
        wanted, all_ = scaled.masked_fill(~right, -1e4), scaled.masked_fill(~possible, -1e4)
        return float((all_.logsumexp(1) - wanted.logsumexp(1)).mean())

    return nll


def _topic_nll(examples: Sequence[Example], logits: Floats) -> Callable[[float], float]:
    targets = torch.tensor([e.topics for e in examples])
    weights = torch.tensor([e.topic_weights for e in examples])
    known: Tensor = (weights >= 1.0).float()
    x = torch.from_numpy(logits)

    def nll(temperature: float) -> float:
        each = torch.nn.functional.binary_cross_entropy_with_logits(x / temperature, targets, reduction="none")
        return float((each * known).sum() / known.sum().clamp(min=1.0))

    return nll


def _best_temperature(losses: Sequence[Callable[[float], float]]) -> float:
    """The temperature in [0.5, 4] with the least mean loss; 1 where dev says nothing."""
    if not losses:
        return 1.0
    grid = [round(0.5 * math.pow(8.0, step / 60), 4) for step in range(61)]
    return min(grid, key=lambda temperature: math.fsum(loss(temperature) for loss in losses))


def _thresholds(
    dev: Mapping[str, DevRows], logits: Mapping[str, tuple[Floats, Floats]], temperatures: Mapping[str, float]
) -> dict[str, float]:
    """Per topic the probability in [0.3, 0.7] with the best F1 over the dev rows that know it; 0.5 under 30 positives."""
    thresholds = {}
    for column, key in enumerate(TOPIC_KEYS):
        truth: list[bool] = []
        chance: list[float] = []
        for source, rows in dev.items():
            for example, row in zip(rows.examples, logits[source][1], strict=True):
                if example.topic_weights[column] >= 0.5:
                    truth.append(example.topics[column] > 0.5)
                    chance.append(1 / (1 + math.exp(-float(row[column]) / temperatures[f"topics.{example.language}"])))
        thresholds[key] = _best_threshold(np.array(truth, dtype=np.bool_), np.array(chance)) if truth.count(True) >= 30 else 0.5
    return thresholds


def _best_threshold(truth: npt.NDArray[np.bool_], chance: npt.NDArray[np.float64]) -> float:
    def f1(cut: float) -> float:
        said = chance >= cut
        return float(2 * (truth & said).sum() / max(1, truth.sum() + said.sum()))

    return max((round(0.30 + 0.02 * i, 2) for i in range(21)), key=f1)


def dev_metrics(
    network: Network, dev: Mapping[str, DevRows], temperatures: Mapping[str, float], thresholds: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Set -> metric -> value on whole dev sets, calibrated as the manifest says."""
    found: dict[str, dict[str, float]] = {}
    for source, rows in dev.items():
        sentiment, topics = run(network, rows.ids)
        scale = np.array([temperatures[f"topics.{e.language}"] for e in rows.examples])[:, None]
        parts = _score_set(source, rows.examples, sentiment, 1 / (1 + np.exp(-topics / scale)), thresholds)
        found[source] = {
            name.split(".")[1] + ("_macro_f1" if "sentiment" in name else "_micro_f1"): round(v, 4) for name, v in parts.items()
        }
    return found
