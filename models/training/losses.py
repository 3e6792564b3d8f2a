"""Loss of a batch over all heads. Each head is trained only on rows whose set labels it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

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
