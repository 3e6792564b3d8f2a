"""What can a small network learn from larger ones? Their answers, also about texts that nobody labelled.

    teachers ─▶ mean of their logits ─▶ soft targets ─▶ the student's loss, beside that of the labels

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
from models.heads import SENTIMENT_HEADS
from models.inference.network import Network, Outputs
from models.inference.weight_packing import unpack_weights
from models.registry.manifest import CONFIG, TOKENIZER, WEIGHTS, read_shape, read_verified
from models.training.losses import SHARES

HEAT = 2.0
"""Logits are divided by it, so that the less likely answers are heard too; the loss is multiplied by its square."""


class Teachers:
    """Networks whose mean opinion a student learns."""

    def __init__(self, folders: Sequence[Path], vocabulary: Mapping[str, int]) -> None:
        """vocabulary: the student's pieces and their ids, which must be theirs. Raises ModelError."""
        self._networks = []
        for folder in folders:
            _, contents = read_verified(folder)
            if Tokenizer.from_buffer(contents[TOKENIZER]).get_vocab() != vocabulary:  # its bytes change when it is written again
                message = f"{folder}: the teacher reads other token ids than the student; start the student from the teacher's version"
                raise ModelError(message)
            network = Network(read_shape(contents[CONFIG]))
            network.load_state_dict(unpack_weights(contents[WEIGHTS]))
            self._networks.append(network.eval().requires_grad_(False))

    def opinion(self, ids: Tensor) -> dict[str, Tensor]:
        """Mean logits by head of padded ids (B, L), under the caller's autocast."""
        with torch.no_grad(), torch.autocast(ids.device.type, dtype=torch.bfloat16):
            each = [network.to(ids.device)(ids).logits for network in self._networks]
        return {name: torch.stack([logits[name] for logits in each]).mean(0) for name in each[0]}


def soft_loss(outputs: Outputs, opinion: dict[str, Tensor]) -> Tensor:
    """How far the student is from its teachers, summed over rows: a scalar."""
    total = outputs.pooled.sum() * 0.0
    for name, wanted in opinion.items():
        said = outputs.logits[name]
        if name in SENTIMENT_HEADS:
            warm = functional.softmax(wanted / HEAT, -1)
            loss = functional.kl_div(functional.log_softmax(said / HEAT, -1), warm, reduction="none").sum(-1) * HEAT**2
        elif name == "tags":
            each = functional.kl_div(functional.log_softmax(said, -1), functional.softmax(wanted, -1), reduction="none")
            loss = each.sum(-1).mean(-1)
        else:
            loss = functional.binary_cross_entropy_with_logits(said, wanted.sigmoid(), reduction="none").sum(-1)
        total = total + SHARES.get(name, SHARES["sentiment"]) * loss.sum()
    return total
