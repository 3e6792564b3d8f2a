"""Adjustment of the guided heads to the class frequencies of real news.

    logits on guided dev rows ─▶ a shift per class and a temperature per language, by maximum likelihood ─▶ bias of the head

Training rows were chosen by the model's doubt and by trouble keywords, so their class frequencies are not those of a stream. Only
biases change. Source: Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori probabilities;
fitted here by the likelihood of labelled rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.heads import GUIDED_HEADS, MATERIALITY, MATERIALITY_LEVELS
from models.inference.network import Network
from models.training.calibrate import GUIDED_SETS, LANGUAGES, DevOutputs, DevRows
from models.training.examples import Example

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
