"""Losses of a batch over all heads: from labels, and from the soft targets of teachers, also for unlabelled texts.

    labels ─▶ batch_loss, each head only on rows whose set labels it
    teachers ─▶ mean of their logits ─▶ soft targets ─▶ soft_loss

Source of the soft targets: Hinton et al. (2015), Distilling the Knowledge in a Neural Network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from core.errors import ModelError
from models.heads import (
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
from models.inference.network import Network, Outputs, unpack_weights
from models.registry.manifest import CONFIG, TOKENIZER, WEIGHTS, read_shape, read_verified

UNTAGGED = -100
#: Weight of a row's loss by head. The losses of topics and risks are sums over many binary labels, that of tags a mean over pieces.
LOSS_WEIGHTS: Mapping[str, float] = {"sentiment": 1.5, "topics": 0.25, "risks": 0.3, "labels": 0.7, "tags": 2.0, MATERIALITY: 0.5}


@dataclass(frozen=True, slots=True)
class Batch:
    """B rows and their labels. A row without labels for a head has `possible` all False, weights 0, label set -1, or no tags.

    ids: (B, L) int64
    right, possible: (B, 3) bool, for the sentiment head with index `head` (B,) in SENTIMENT_HEADS followed by the sentiment sets
    weight: (B,), weight of the sentiment: of its class, times that of the example
    topics, topic_weights: (B, 21); risks, risk_weights: (B, 17)
    label_set: (B,) int, index of the row's set among the label sets, -1 for none; labels: (B, all original labels), 0 or 1
    tags: (B, L) int64, UNTAGGED where unknown
    materiality: (B,) int, 0 to 3, or -1 where unknown
    """

    ids: Tensor
    right: Tensor
    possible: Tensor
    head: Tensor
    weight: Tensor
    topics: Tensor
    topic_weights: Tensor
    risks: Tensor
    risk_weights: Tensor
    label_set: Tensor
    labels: Tensor
    tags: Tensor
    materiality: Tensor


def sentiment_loss(logits: Tensor, right: Tensor, possible: Tensor) -> Tensor:
    """-log p(right | possible) of each row, (N,).

    Args:
        logits: (N, 3).
        right: (N, 3) bool; several classes may be right, as for "not negative".
        possible: (N, 3) bool; in a set without a neutral class only the other two are possible.
    """
    wanted = logits.masked_fill(~right, -1e4)
    return logits.masked_fill(~possible, -1e4).logsumexp(1) - wanted.logsumexp(1)


def binary_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted binary cross-entropy of each row, (N,), summed over its labels; all arguments: (N, C)."""
    return (functional.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weights).sum(1)


def batch_loss(
    logits: Mapping[str, Tensor], batch: Batch, label_sets: Mapping[str, LabelSet], sentiment_sets: Sequence[str] = ()
) -> Tensor:
    """The loss of a batch, summed over rows and heads: a scalar."""
    total = torch.stack([each.sum() * 0.0 for each in logits.values()]).sum()  # every head has a gradient at every step
    known = batch.possible.any(1)
    columns_of = sentiment_columns(sentiment_sets)
    for number, name in enumerate((*SENTIMENT_HEADS, *sentiment_sets)):
        rows = known & (batch.head == number)
        if bool(rows.any()):
            three = logits[SET_SENTIMENTS][:, columns_of[name]] if name in columns_of else logits[name]
            each = sentiment_loss(three[rows], batch.right[rows], batch.possible[rows])
            total = total + LOSS_WEIGHTS["sentiment"] * (each * batch.weight[rows]).sum()
    for name, targets, weights in (("topics", batch.topics, batch.topic_weights), ("risks", batch.risks, batch.risk_weights)):
        rows = weights.sum(1) > 0
        if bool(rows.any()):
            total = total + LOSS_WEIGHTS[name] * binary_loss(logits[name][rows], targets[rows], weights[rows]).sum()
    for number, (source, columns) in enumerate(label_columns(label_sets).items()):
        rows = batch.label_set == number
        if bool(rows.any()):
            own, truth = logits[LABELS][rows][:, columns], batch.labels[rows][:, columns]
            if label_sets[source].exclusive:
                loss = functional.cross_entropy(own, truth.argmax(1), reduction="sum")
            else:
                loss = functional.binary_cross_entropy_with_logits(own, truth, reduction="sum")
            total = total + LOSS_WEIGHTS["labels"] * loss
    rows = batch.materiality >= 0
    if bool(rows.any()):
        levels = torch.tensor(MATERIALITY_LEVELS, device=batch.materiality.device)
        reached = (batch.materiality[rows][:, None] >= levels).float()
        each = functional.binary_cross_entropy_with_logits(logits[MATERIALITY][rows], reached, reduction="none").sum(1)
        total = total + LOSS_WEIGHTS[MATERIALITY] * each.sum()
    tagged = batch.tags != UNTAGGED
    rows = tagged.any(1)
    if bool(rows.any()):
        each = functional.cross_entropy(logits[TAGS][rows].transpose(1, 2), batch.tags[rows], ignore_index=UNTAGGED, reduction="none")
        total = total + LOSS_WEIGHTS["tags"] * (each.sum(1) / tagged[rows].sum(1)).sum()
    return total


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to another device."""
    return Batch(**{name: getattr(batch, name).to(device, non_blocking=True) for name in Batch.__slots__})


TEMPERATURE = 2.0
"""Softmax temperature of teachers and student; the loss is multiplied by its square (Hinton et al. 2015, section 2)."""


class TeacherEnsemble:
    """Networks whose mean logits are the student's targets."""

    def __init__(self, folders: Sequence[Path], vocabulary: Mapping[str, int]) -> None:
        """Load version folders. vocabulary: the student's piece -> id, which must be the same. Raises ModelError."""
        self._networks = []
        for folder in folders:
            _, contents = read_verified(folder)
            if Tokenizer.from_buffer(contents[TOKENIZER]).get_vocab() != vocabulary:  # bytes differ after serialising again
                message = f"{folder}: teacher and student differ in token ids; start the student from the teacher's version"
                raise ModelError(message)
            network = Network(read_shape(contents[CONFIG]))
            network.load_state_dict(unpack_weights(contents[WEIGHTS]))
            self._networks.append(network.eval().requires_grad_(False))

    def mean_logits(self, ids: Tensor) -> dict[str, Tensor]:
        """Mean logits by head of padded ids (B, L), under the caller's autocast."""
        with torch.no_grad(), torch.autocast(ids.device.type, dtype=torch.bfloat16):
            each = [network.to(ids.device)(ids).logits for network in self._networks]
        return {name: torch.stack([logits[name] for logits in each]).mean(0) for name in each[0]}


def soft_loss(outputs: Outputs, mean_logits: dict[str, Tensor]) -> Tensor:
    """Distillation loss summed over rows, a scalar: KL divergence, or binary cross-entropy for multi-label heads."""
    total = outputs.pooled.sum() * 0.0
    for name, teacher in mean_logits.items():
        student = outputs.logits.get(name)
        if student is None or student.shape != teacher.shape or name == SET_SENTIMENTS:
            continue
        if name in SENTIMENT_HEADS:
            targets = functional.softmax(teacher / TEMPERATURE, -1)
            loss = functional.kl_div(functional.log_softmax(student / TEMPERATURE, -1), targets, reduction="none").sum(-1) * TEMPERATURE**2
        elif name == "tags":
            each = functional.kl_div(functional.log_softmax(student, -1), functional.softmax(teacher, -1), reduction="none")
            loss = each.sum(-1).mean(-1)
        else:
            loss = functional.binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="none").sum(-1)
        total = total + LOSS_WEIGHTS.get(name, LOSS_WEIGHTS["sentiment"]) * loss.sum()
    return total
