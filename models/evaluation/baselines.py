"""How much of a figure is the set, and how much the encoder? Two plain classifiers, trained on the same rows and measured alike.

    tfidf     TF-IDF of words (1 to 2) or, in Chinese, characters (1 to 3), and logistic regression, its C chosen on dev
    textcnn   a convolution over learned word or character vectors (Kim 2014), stopped by dev

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
from models.evaluation.benchmark import in_dev, labels_of, unseen
from models.evaluation.evaluate import Evaluation, Judged, evaluation_of, own_tally, read_rows_of
from models.evaluation.labelled_files import NEWS, Labelled
from models.evaluation.metrics import RESAMPLES, report_of
from models.heads import LabelSet

Floats = npt.NDArray[np.float64]
Logits = npt.NDArray[np.floating]

STRENGTHS = (1.0, 4.0, 16.0)  # of C, the inverse of regularisation
FEWEST_POSITIVES = 20  # rows of a label that is not exclusive, below which it is never said
LARGE = 250_000  # rows times classes
FEATURES = 150_000
FEWEST_DEV = 20


class Baseline(Protocol):
    """A classifier that learns from rows."""

    def fit(self, rows: Sequence[Labelled], dev: Sequence[Labelled], labels: LabelSet, seed: int) -> None:
        """Learn from `rows`; `dev` is for choosing only."""
        ...

    def logits(self, rows: Sequence[Labelled]) -> Logits:
        """(N, C) over the labels: softmax or, where they are not exclusive, sigmoid gives probabilities."""
        ...


def evaluate_baseline(
    name: str, train: Path, data: Path, task: str, *, seed: int = 13, genre: str = NEWS, resamples: int = RESAMPLES
) -> Evaluation:
    """The figures on `data` of the baseline `name`, trained on `train`. Raises SettingsError for unusable files and unknown names."""
    if name not in BASELINES:
        message = f"unknown baseline {name!r}: {' or '.join(BASELINES)} is wanted"
        raise SettingsError(message)
    kind = "sentiment" if task == "sentiment" else "topic"
    rows, learned = read_rows_of(data, kind, genre=genre), read_rows_of(train, kind, genre=genre)
    started = monotonic()
    fresh = unseen(learned.rows, rows.rows)
    dev, kept = [row for row in fresh if in_dev(row.text)], [row for row in fresh if not in_dev(row.text)]
    labels = labels_of(kept, str(train))
    baseline = BASELINES[name]()
    baseline.fit(kept, dev if len(dev) >= FEWEST_DEV else [], labels, seed)
    tally = own_tally([frozenset(row.labels) for row in rows.rows], baseline.logits(rows.rows), labels.names, exclusive=labels.exclusive)
    judged = Judged(tally, [row.language if row.named else "" for row in rows.rows], f"trained:{train.name}")
    found = evaluation_of(judged, rows.bad, task, name, data, monotonic() - started, resamples=resamples)
    return msgspec.structs.replace(found, training={"file": train.name, "rows": len(kept), "dev_rows": len(dev), "seed": seed})


def score_of(truth: Sequence[frozenset[str]], logits: Logits, labels: LabelSet) -> float:
    """What dev chooses by: macro and micro F1 together."""
    report = report_of(own_tally(truth, logits.astype(np.float64), labels.names, exclusive=labels.exclusive))
    return report.macro_f1 + report.micro_f1


def words_of(row: Labelled) -> str:
    """The row's text with its target at the end: all that a bag of words can be told of it."""
    return f"{row.text} {row.target}" if row.target else row.text


def targets_of(rows: Sequence[Labelled], labels: LabelSet) -> npt.NDArray[np.int_]:
    """(N, C) of 0 and 1."""
    return np.array([[int(name in row.labels) for name in labels.names] for row in rows]).reshape(-1, len(labels.names))


class Tfidf:
    """TF-IDF and logistic regression, by scikit-learn; one for each label where they are not exclusive."""

    def fit(self, rows: Sequence[Labelled], dev: Sequence[Labelled], labels: LabelSet, seed: int) -> None:
        """Learn once for each strength, keep the best on dev; without dev the middle one."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        chinese = 2 * sum(row.language == "zh" for row in rows) > len(rows)
        fewest = 2 if len(rows) > 500 else 1
        shape = {"analyzer": "char", "ngram_range": (1, 3)} if chinese else {"analyzer": "word", "ngram_range": (1, 2)}
        self._vectors = TfidfVectorizer(**shape, min_df=fewest, max_features=FEATURES, sublinear_tf=True, token_pattern=_WORD.pattern)
        features = self._vectors.fit_transform([words_of(row) for row in rows])
        self._labels = labels
        targets = targets_of(rows, labels)
        self._columns = np.flatnonzero(targets.sum(0) >= min(FEWEST_POSITIVES, len(rows) // 10))
        large = len(rows) * len(self._columns) > LARGE
        best = -1.0
        for strength in STRENGTHS if dev and not large else STRENGTHS[1:2]:
            model = self._regression(strength, seed, large=large)
            model.fit(features, targets.argmax(1) if labels.exclusive else targets[:, self._columns])
            score = score_of([frozenset(row.labels) for row in dev], self._read(model, dev), labels) if dev else 0.0
            if score > best:
                best, self._model = score, model

    def logits(self, rows: Sequence[Labelled]) -> Logits:
        """(N, C)."""
        return self._read(self._model, rows)

    def _regression(self, strength: float, seed: int, *, large: bool):  # type: ignore[no-untyped-def]  # noqa: ANN202
        from sklearn.linear_model import LogisticRegression, SGDClassifier
        from sklearn.multiclass import OneVsRestClassifier

        if large:  # the same regression by stochastic gradient descent: minutes instead of hours
            model = SGDClassifier(loss="log_loss", alpha=1e-6, random_state=seed)
            return model if self._labels.exclusive else OneVsRestClassifier(model)
        if self._labels.exclusive:
            return LogisticRegression(C=strength, max_iter=1000, random_state=seed)
        return OneVsRestClassifier(LogisticRegression(C=strength, solver="liblinear", random_state=seed))

    def _read(self, model, rows: Sequence[Labelled]) -> Logits:  # type: ignore[no-untyped-def]  # noqa: ANN001
        said = np.asarray(model.decision_function(self._vectors.transform([words_of(row) for row in rows])), dtype=np.float64)
        if said.ndim == 1:  # two classes: one logit stands for both
            said = np.stack([np.zeros_like(said), said], axis=1)
        out = np.full((len(rows), len(self._labels.names)), -1e9)
        out[:, model.classes_ if self._labels.exclusive else self._columns] = said
        return out


_WORD = re.compile(r"(?u)\b\w+\b|[%$€£+-]")
_TOKEN = re.compile(r"[㐀-鿿]|[a-z]+|\d|[^\s\w]")


class TextCnn:
    """Convolutions of widths 2, 3 and 4 over learned vectors of words (characters in Chinese), their maxima, a linear layer."""

    size, filters, longest, epochs, patience, rate, vocabulary = 128, 100, 160, 12, 2, 1e-3, 30_000

    def fit(self, rows: Sequence[Labelled], dev: Sequence[Labelled], labels: LabelSet, seed: int) -> None:
        """Learn until dev is no better; without dev for half the epochs."""
        torch.manual_seed(seed)
        dice = random.Random(seed)  # noqa: S311
        counts = Counter(token for row in rows for token in tokens_of(row))
        self._ids = {token: i + 2 for i, (token, n) in enumerate(counts.most_common(self.vocabulary)) if n > 1 or len(rows) < 500}
        self._net = _Convolutions(len(self._ids) + 2, self.size, self.filters, len(labels.names))
        optimizer = torch.optim.Adam(self._net.parameters(), lr=self.rate)
        ids, targets = [self._encode(row) for row in rows], torch.tensor(targets_of(rows, labels), dtype=torch.float32)
        best, stale, kept = -1.0, 0, None
        for _ in range(self.epochs if dev else self.epochs // 2):
            self._net.train()
            for batch in _like_lengths(ids, dice):
                said = self._net(_padded([ids[i] for i in batch]))
                wanted = targets[batch]
                if labels.exclusive:
                    loss = functional.cross_entropy(said, wanted.argmax(1))
                else:
                    loss = functional.binary_cross_entropy_with_logits(said, wanted)
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
        """(N, C)."""
        self._net.eval()
        with torch.inference_mode():
            parts = [self._net(_padded([self._encode(row) for row in rows[i : i + 256]])).numpy() for i in range(0, len(rows), 256)]
        return np.asarray(np.concatenate(parts), dtype=np.float64)

    def _encode(self, row: Labelled) -> list[int]:
        return [self._ids.get(token, 1) for token in tokens_of(row)[: self.longest]]


def tokens_of(row: Labelled) -> list[str]:
    """Words, single Chinese characters, digits and marks, in lower case."""
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
        found = torch.cat([functional.relu(width(x)).amax(2) for width in self.widths], 1)  # (B, 3 F)
        out: Tensor = self.out(functional.dropout(found, 0.5, self.training))
        return out


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    out = torch.zeros((len(rows), max(1, *(len(row) for row in rows), 1)), dtype=torch.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return out


def _like_lengths(ids: Sequence[Sequence[int]], dice: random.Random, size: int = 64) -> list[list[int]]:
    """Batches of like lengths in random order."""
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]) // 8, dice.random()))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    dice.shuffle(batches)
    return batches


BASELINES: Mapping[str, type[Tfidf] | type[TextCnn]] = {"tfidf": Tfidf, "textcnn": TextCnn}
