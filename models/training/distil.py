"""Knowledge distillation: soft targets from larger models, also for unlabelled texts.

    teachers ─▶ mean of their logits ─▶ soft targets ─▶ added to the student's loss

Source: Hinton et al. (2015), Distilling the Knowledge in a Neural Network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from core.errors import ModelError
from models.heads import SENTIMENT_HEADS, SET_SENTIMENTS
from models.inference.network import Network, Outputs, unpack_weights
from models.registry.manifest import CONFIG, TOKENIZER, WEIGHTS, read_shape, read_verified
from models.training.losses import LOSS_WEIGHTS

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
