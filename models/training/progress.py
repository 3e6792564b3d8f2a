"""Progress of a training run: TensorBoard's log, and early stopping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Board:
    """TensorBoard's log of one run; without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Note figures at a step."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not written."""
        if self._writer is not None:
            self._writer.close()


class Stopper:
    """Early stopping: says when `patience` looks in a row brought nothing better."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._best = float("-inf")
        self._stale = 0
        self.improved = False
        """Whether the last look was the best so far."""

    def go_on(self, score: float) -> bool:
        """Whether to go on after a look that gave `score`."""
        self.improved = score > self._best
        self._stale = 0 if self.improved else self._stale + 1
        self._best = max(score, self._best)
        return self._stale < self._patience
