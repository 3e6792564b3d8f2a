"""Progress of a training run: TensorBoard's log, and early stopping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardLog:
    """TensorBoard log of one run; without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Log figures of a step."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the log."""
        if self._writer is not None:
            self._writer.close()


class EarlyStopping:
    """Early stopping after `patience` checks without improvement."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._best = float("-inf")
        self._stale = 0
        self.improved = False
        """Whether the last score was the best so far."""

    def go_on(self, score: float) -> bool:
        """Record a score; whether to continue."""
        self.improved = score > self._best
        self._stale = 0 if self.improved else self._stale + 1
        self._best = max(score, self._best)
        return self._stale < self._patience
