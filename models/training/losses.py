"""How wrong is the network about a batch? Every head is asked only what a row's set knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.heads import LABELS, SENTIMENT_HEADS, TAGS, LabelSet, label_columns

UNTAGGED = -100
#: How much a row's loss counts by head. Topics and risks are sums over many yes-or-no questions, tags a mean over pieces.
SHARES: Mapping[str, float] = {"sentiment": 1.5, "topics": 0.25, "risks": 0.3, "labels": 0.7, "tags": 2.0}


@dataclass(frozen=True, slots=True)
class Batch:
    """What is known of B rows. A row that a head knows nothing about has nothing possible, zero weights, no set, no tags.

    ids: (B, L) int64
    right, possible: (B, 3) bool, for the sentiment head numbered in `head` (B,) of SENTIMENT_HEADS; `weight` (B,) balances the classes
    topics, topic_weights: (B, 21); risks, risk_weights: (B, 16)
    label_set: (B,) int, the place of the row's set among the label sets, -1 for none; labels: (B, all own labels), 0 or 1
    tags: (B, L) int64, UNTAGGED where unknown
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


def sentiment_loss(logits: Tensor, right: Tensor, possible: Tensor) -> Tensor:
    """-log p(right | possible) of each row (N,); right, possible: (N, 3) bool.

    A set without a neutral class makes only the other two possible; "not negative" makes two classes right.
    """
    wanted = logits.masked_fill(~right, -1e4)
    return logits.masked_fill(~possible, -1e4).logsumexp(1) - wanted.logsumexp(1)


def yes_no_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted binary cross-entropy of each row (N,), summed over its questions."""
    return (functional.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weights).sum(1)


def batch_loss(logits: Mapping[str, Tensor], batch: Batch, label_sets: Mapping[str, LabelSet]) -> Tensor:
    """The loss summed over rows: a scalar."""
    total = torch.stack([each.sum() * 0.0 for each in logits.values()]).sum()  # every head has a gradient at every step
    known = batch.possible.any(1)
    for number, name in enumerate(SENTIMENT_HEADS):
        rows = known & (batch.head == number)
        if bool(rows.any()):
            each = sentiment_loss(logits[name][rows], batch.right[rows], batch.possible[rows])
            total = total + SHARES["sentiment"] * (each * batch.weight[rows]).sum()
    for name, targets, weights in (("topics", batch.topics, batch.topic_weights), ("risks", batch.risks, batch.risk_weights)):
        rows = weights.sum(1) > 0
        if bool(rows.any()):
            total = total + SHARES[name] * yes_no_loss(logits[name][rows], targets[rows], weights[rows]).sum()
    for number, (source, columns) in enumerate(label_columns(label_sets).items()):
        rows = batch.label_set == number
        if bool(rows.any()):
            own, truth = logits[LABELS][rows][:, columns], batch.labels[rows][:, columns]
            if label_sets[source].exclusive:
                loss = functional.cross_entropy(own, truth.argmax(1), reduction="sum")
            else:
                loss = functional.binary_cross_entropy_with_logits(own, truth, reduction="sum")
            total = total + SHARES["labels"] * loss
    tagged = batch.tags != UNTAGGED
    rows = tagged.any(1)
    if bool(rows.any()):
        each = functional.cross_entropy(logits[TAGS][rows].transpose(1, 2), batch.tags[rows], ignore_index=UNTAGGED, reduction="none")
        total = total + SHARES["tags"] * (each.sum(1) / tagged[rows].sum(1)).sum()
    return total


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on another device."""
    return Batch(**{name: getattr(batch, name).to(device, non_blocking=True) for name in Batch.__slots__})
