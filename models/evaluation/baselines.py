"""Baseline classifiers, trained and evaluated on the same rows as the encoder.

    tfidf     TF-IDF of word 1- to 2-grams, in Chinese of character 1- to 3-grams, and logistic regression, with C chosen on dev
    textcnn   a convolutional network over learned word or character embeddings (Kim 2014), with early stopping on dev

Needs the extra "train".
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import SettingsError
from models.evaluation.benchmark import in_dev, labels_of, without_test_texts
from models.evaluation.evaluate import Evaluation, ScoredRows, evaluation_of, own_label_counts, read_rows_of
from models.evaluation.labelled_files import NEWS, Labelled
from models.evaluation.metrics import RESAMPLES, metrics_report
from models.heads import LabelSet

Floats = npt.NDArray[np.float64]
Logits = npt.NDArray[np.floating]

STRENGTHS = (1.0, 4.0, 16.0)  # values of C, the inverse regularisation strength
MIN_POSITIVES = 20  # a multi-label class with fewer rows is never predicted
LARGE_PROBLEM = 250_000  # rows x classes, above which stochastic gradient descent is used
FEATURES = 150_000
MIN_DEV_ROWS = 20


class BaselineClassifier(Protocol):
    """A classifier that is trained on labelled rows."""

    def fit(self, rows: Sequence[Labelled], dev: Sequence[Labelled], labels: LabelSet, seed: int) -> None:
        """Train on `rows`; `dev` is used for model selection only."""
        ...

    def logits(self, rows: Sequence[Labelled]) -> Logits:
        """Logits (N, C) over the labels, for softmax if they are exclusive, else for sigmoid."""
        ...


def evaluate_baseline(
    name: str, train: Path, data: Path, task: str, *, seed: int = 13, genre: str = NEWS, resamples: int = RESAMPLES
) -> Evaluation:
    """Train a baseline on one file and evaluate it on another.

    Args:
        name: one of BASELINES.
        train: training file.
        data: test file; texts in it are removed from the training rows.
        task: "sentiment", "topic" or "risk".
        seed: random seed.
        genre: genre of rows that name none.
        resamples: bootstrap resamples.

    Raises:
        SettingsError: a file has no usable rows, or the name is unknown.
    """
    if name not in BASELINES:
        message = f"unknown baseline {name!r}: use {' or '.join(BASELINES)}"
        raise SettingsError(message)
    kind = "sentiment" if task == "sentiment" else "topic"
    rows, training = read_rows_of(data, kind, genre=genre), read_rows_of(train, kind, genre=genre)
    started = monotonic()
    usable = without_test_texts(training.rows, rows.rows)
    dev, kept = [row for row in usable if in_dev(row.text)], [row for row in usable if not in_dev(row.text)]
    labels = labels_of(kept, str(train))
    baseline = BASELINES[name]()
    baseline.fit(kept, dev if len(dev) >= MIN_DEV_ROWS else [], labels, seed)
    row_counts = own_label_counts(
        [frozenset(row.labels) for row in rows.rows], baseline.logits(rows.rows), labels.names, exclusive=labels.exclusive
    )
    scored = ScoredRows(row_counts, [row.language if row.named else "" for row in rows.rows], f"trained:{train.name}")
    evaluation = evaluation_of(scored, rows.bad, task, name, data, monotonic() - started, resamples=resamples)
    return msgspec.structs.replace(evaluation, training={"file": train.name, "rows": len(kept), "dev_rows": len(dev), "seed": seed})


def score_of(truth: Sequence[frozenset[str]], logits: Logits, labels: LabelSet) -> float:
    """The score for model selection on dev: macro F1 plus micro F1."""
    report = metrics_report(own_label_counts(truth, logits.astype(np.float64), labels.names, exclusive=labels.exclusive))
    return report.macro_f1 + report.micro_f1


def words_of(row: Labelled) -> str:
    """The row's text with its target appended, as a bag of words has no other way to represent the target."""
    return f"{row.text} {row.target}" if row.target else row.text


def targets_of(rows: Sequence[Labelled], labels: LabelSet) -> npt.NDArray[np.int_]:
    """Indicator matrix (N, C) of the labels."""
    return np.array([[int(name in row.labels) for name in labels.names] for row in rows]).reshape(-1, len(labels.names))


class Tfidf:
    """TF-IDF and logistic regression by scikit-learn; one-vs-rest if the labels are not exclusive."""

    def fit(self, rows: Sequence[Labelled], dev: Sequence[Labelled], labels: LabelSet, seed: int) -> None:
        """Train once per value of C and keep the best on dev; without dev, use the middle value."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        chinese = 2 * sum(row.language == "zh" for row in rows) > len(rows)
        min_df = 2 if len(rows) > 500 else 1
        shape = {"analyzer": "char", "ngram_range": (1, 3)} if chinese else {"analyzer": "word", "ngram_range": (1, 2)}
        self._vectors = TfidfVectorizer(**shape, min_df=min_df, max_features=FEATURES, sublinear_tf=True, token_pattern=_WORD.pattern)
        features = self._vectors.fit_transform([words_of(row) for row in rows])
        self._labels = labels
        targets = targets_of(rows, labels)
        self._columns = np.flatnonzero(targets.sum(0) >= min(MIN_POSITIVES, len(rows) // 10))
        large = len(rows) * len(self._columns) > LARGE_PROBLEM
        best = -1.0
        for strength in STRENGTHS if dev and not large else STRENGTHS[1:2]:
            model = self._regression(strength, seed, large=large)
            model.fit(features, targets.argmax(1) if labels.exclusive else targets[:, self._columns])
            score = score_of([frozenset(row.labels) for row in dev], self._decision(model, dev), labels) if dev else 0.0
            if score > best:
                best, self._model = score, model

    def logits(self, rows: Sequence[Labelled]) -> Logits:
        """Logits (N, C)."""
        return self._decision(self._model, rows)

    def _regression(self, strength: float, seed: int, *, large: bool):  # type: ignore[no-untyped-def]  # noqa: ANN202
        from sklearn.linear_model import LogisticRegression, SGDClassifier
        from sklearn.multiclass import OneVsRestClassifier

        if large:  # the same model by stochastic gradient descent, in minutes instead of hours
            model = SGDClassifier(loss="log_loss", alpha=1e-6, random_state=seed)
            return model if self._labels.exclusive else OneVsRestClassifier(model)
        if self._labels.exclusive:
            return LogisticRegression(C=strength, max_iter=1000, random_state=seed)
        return OneVsRestClassifier(LogisticRegression(C=strength, solver="liblinear", random_state=seed))

    def _decision(self, model, rows: Sequence[Labelled]) -> Logits:  # type: ignore[no-untyped-def]  # noqa: ANN001
        scores = np.asarray(model.decision_function(self._vectors.transform([words_of(row) for row in rows])), dtype=np.float64)
        if scores.ndim == 1:  # with two classes scikit-learn returns one logit
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        out = np.full((len(rows), len(self._labels.names)), -1e9)
        out[:, model.classes_ if self._labels.exclusive else self._columns] = scores
        return out


_WORD = re.compile(r"(?u)\b\w+\b|[%$€£+-]")
_TOKEN = re.compile(r"[㐀-鿿]|[a-z]+|\d|[^\s\w]")


class TextCnn:
    """Convolutions of widths 2, 3 and 4 over embeddings of words (characters in Chinese), max pooling, and a linear layer."""

    size, filters, longest, epochs, patience, rate, vocabulary = 128, 100, 160, 12, 2, 1e-3, 30_000

    def fit(self, rows: Sequence[Labelled], dev: Sequence[Labelled], labels: LabelSet, seed: int) -> None:
        """Train with early stopping on dev; without dev, for half the epochs."""
        torch.manual_seed(seed)
        rng = random.Random(seed)  # noqa: S311
        counts = Counter(token for row in rows for token in tokens_of(row))
        self._ids = {token: i + 2 for i, (token, n) in enumerate(counts.most_common(self.vocabulary)) if n > 1 or len(rows) < 500}
        self._net = _Convolutions(len(self._ids) + 2, self.size, self.filters, len(labels.names))
        optimizer = torch.optim.Adam(self._net.parameters(), lr=self.rate)
        ids, targets = [self._encode(row) for row in rows], torch.tensor(targets_of(rows, labels), dtype=torch.float32)
        best, stale, kept = -1.0, 0, None
        for _ in range(self.epochs if dev else self.epochs // 2):
            self._net.train()
            for batch in _batches_of_similar_length(ids, rng):
                scores = self._net(_padded([ids[i] for i in batch]))
                expected = targets[batch]
                if labels.exclusive:
                    loss = functional.cross_entropy(scores, expected.argmax(1))
                else:
                    loss = functional.binary_cross_entropy_with_logits(scores, expected)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            if dev:
                score = score_of([frozenset(row.labels) for row in dev], self.logits(dev), labels)
                stale = 0 if score > best else stale + 1
                if score > best:
                    best, kept = score, {name: value.clone() for name, value in self._net.state_dict().items()}
                if stale >= self.patience:
                    break
        if kept is not None:
            self._net.load_state_dict(kept)

    def logits(self, rows: Sequence[Labelled]) -> Logits:
        """Logits (N, C)."""
        self._net.eval()
        with torch.inference_mode():
            parts = [self._net(_padded([self._encode(row) for row in rows[i : i + 256]])).numpy() for i in range(0, len(rows), 256)]
        return np.asarray(np.concatenate(parts), dtype=np.float64)

    def _encode(self, row: Labelled) -> list[int]:
        return [self._ids.get(token, 1) for token in tokens_of(row)[: self.longest]]


def tokens_of(row: Labelled) -> list[str]:
    """Lower-case words, single Chinese characters, digits and punctuation marks."""
    return _TOKEN.findall(words_of(row).lower())


class _Convolutions(nn.Module):
    def __init__(self, vocabulary: int, size: int, filters: int, labels: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, size, padding_idx=0)
        self.widths = nn.ModuleList(nn.Conv1d(size, filters, width, padding=width - 1) for width in (2, 3, 4))
        self.out = nn.Linear(3 * filters, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (B, L); logits (B, C)."""
        x = functional.dropout(self.words(ids).transpose(1, 2), 0.2, self.training)
        evaluation = torch.cat([functional.relu(width(x)).amax(2) for width in self.widths], 1)  # (B, 3 F)
        out: Tensor = self.out(functional.dropout(evaluation, 0.5, self.training))
        return out


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    out = torch.zeros((len(rows), max(1, *(len(row) for row in rows), 1)), dtype=torch.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return out


def _batches_of_similar_length(ids: Sequence[Sequence[int]], rng: random.Random, size: int = 64) -> list[list[int]]:
    """Batches of texts of similar lengths, in random order."""
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]) // 8, rng.random()))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    rng.shuffle(batches)
    return batches


BASELINES: Mapping[str, type[Tfidf] | type[TextCnn]] = {"tfidf": Tfidf, "textcnn": TextCnn}
