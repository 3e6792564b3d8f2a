"""Benchmark of own topics: classes unknown to the model, trained on 8 texts each, or on their names only.

DATA/topic/SET ─▶ vectors of examples, of 300 unlabelled texts and of test texts ─▶ zero-shot, regression, contrastive training
               ─▶ average precision, and F1 at the threshold, over three draws of the examples
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
import torch
from torch import Tensor

from models.inference.own_topics import background, few_shot, zero_shot
from models.inference.transformer import TransformerClassifier
from models.training.examples import Row, read_rows

SHOTS, DRAWS, OTHERS, TESTED = 8, 3, 300, 700

#: Set -> class -> its name and description in English and Chinese, written for this benchmark.
CLASSES: dict[str, dict[str, tuple[str, str]]] = {
    "thucnews": {
        "sports": ("Sports: matches, teams, players and results", "体育：比赛、球队、球员和赛果"),
        "education": ("Education: schools, universities, exams", "教育：学校、高考、招生、考试"),
        "game": ("Video games", "游戏：网络游戏、电子竞技"),
    },
    "finnl": {
        "新冠": ("Covid-19: cases, lockdowns, vaccines", "新冠疫情：确诊病例、防控、疫苗"),
        "期货": ("Futures markets", "期货：主力合约、期货交易"),
    },
    "cls_subjects": {
        "人工智能": ("Artificial intelligence: models, chatbots", "人工智能：大模型、算力、智能体"),
        "中东冲突": ("Conflict in the Middle East: Israel, Iran, strikes", "中东冲突：以色列、伊朗、袭击"),
    },
    "reuters21578": {
        "ship": ("Shipping: vessels, ports, freight", "航运：船舶、港口、运费"),
        "grain": ("Grain: wheat, corn, crops", "粮食：小麦、玉米、收成"),
        "sugar": ("Sugar: sugar production and trade", "食糖：糖产量与贸易"),
    },
    "twitter_topic": {
        "IPO": ("Initial public offerings", "首次公开募股、新股上市"),
        "Currencies": ("Currencies: dollar, euro, exchange rates", "外汇：美元、欧元、汇率"),
        "Personnel": ("Personnel: appointments and resignations of executives", "人事：高管任命与辞职"),
    },
    "ag_news": {
        "Sports": ("Sports: matches, teams, players and results", "体育：比赛、球队、球员和赛果"),
        "Sci-Tech": ("Science and technology: software, internet, space", "科技：软件、互联网、航天"),
    },
}


class TopicScore(msgspec.Struct, frozen=True):
    """Scores of one method on one class. f1: at a probability of 0.5; base: share of the test texts that belong to the class."""

    source: str
    label: str
    method: str
    average_precision: float
    f1: float
    base: float


def measure(classifier: TransformerClassifier, data: Path) -> list[TopicScore]:
    """Scores of all methods on all classes whose set is in `data`. Raises ModelError."""
    background_vectors = torch.from_numpy(classifier.vectors(background()))
    scores = []
    for source, classes in CLASSES.items():
        paths = [data / "topic" / f"{source}.{split}.jsonl.gz" for split in ("train", "test")]
        if all(path.is_file() for path in paths):
            scores += _of_set(classifier, source, classes, [list(read_rows(path)) for path in paths], background_vectors)
    return scores


def _of_set(
    classifier: TransformerClassifier, source: str, classes: dict[str, tuple[str, str]], rows: list[list[Row]], background_vectors: Tensor
) -> list[TopicScore]:
    rng = random.Random(0)
    train, test = (rng.sample(part, len(part)) for part in rows)
    tested_rows = test[:TESTED] + [row for label in classes for row in [row for row in test[TESTED:] if label in row["labels"]][:40]]

    def vectors(texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(classifier.vectors(texts))

    tested = vectors([row["text"] for row in tested_rows])
    others = torch.cat([background_vectors, vectors([row["text"] for row in train[:OTHERS]])])
    scores = []
    for label, names in classes.items():
        truth = np.array([label in row["labels"] for row in tested_rows])
        pool = vectors([row["text"] for row in train if label in row["labels"]][: 3 * SHOTS])
        draws = [pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(i))[:SHOTS]] for i in range(DRAWS)]
        methods = {
            "zero-shot": [zero_shot("x", vectors(names), others)],
            "regression": [few_shot("x", drawn, others, steps=0) for drawn in draws],
            "contrastive": [few_shot("x", drawn, others) for drawn in draws],
        }
        for method, learned in methods.items():
            predicted = [each.probabilities(tested).numpy() for each in learned]
            precision = fmean(average_precision(truth, each) for each in predicted)
            scores.append(
                TopicScore(source, label, method, precision, fmean(f1(truth, each >= 0.5) for each in predicted), float(truth.mean()))
            )
    return scores


def average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean precision at the rank of each text of the class (N,), with ties in the given order; 0 without any.

    Equals scikit-learn's `average_precision_score` if no probabilities are equal.
    """
    hits = truth[np.argsort(-probabilities, kind="stable")]
    ranks = np.flatnonzero(hits) + 1
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else 0.0


def f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """F1 of predictions (N,): the harmonic mean of precision and recall; 0 without a true positive."""
    both = int((truth & predicted).sum())
    return 2 * both / int(truth.sum() + predicted.sum()) if both else 0.0
