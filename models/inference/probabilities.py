"""Softmax and sigmoid in fp64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def softmax(logits: npt.NDArray[Any]) -> Floats:
    """Probabilities (..., C) of mutually exclusive classes from logits (..., C)."""
    exact = logits.astype(np.float64)
    weights = np.exp(exact - exact.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def sigmoid(logits: npt.NDArray[Any]) -> Floats:
    """Probabilities of independent labels from their logits, of any shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))
