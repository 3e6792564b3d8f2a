"""Checkpoints of a training run, so that it can be resumed after an interruption.

FOLDER/network.safetensors, optimizer.safetensors   weights and moments, written to a temporary folder that is then renamed
FOLDER/state.json                                   written last; a checkpoint without it is ignored
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from time import monotonic

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.errors import ModelError
from models.inference.network import Network

STATE = "state.json"
EVERY_S = 600.0


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """State of a run. run: hash of its options, by which a checkpoint of another run is recognised; step, elapsed_s: done so far."""

    run: str
    step: int
    elapsed_s: float


class Checkpointer:
    """Writes a checkpoint regularly, and restores an existing one.

    Args:
        folder: folder of the checkpoint.
        run: identifies the run, such as the repr of its options.
        resume: whether to restore an existing checkpoint.
        every_s: seconds between two checkpoints.
    """

    def __init__(self, folder: Path, run: str, *, resume: bool, every_s: float = EVERY_S) -> None:
        self._folder = folder
        self._run = hashlib.sha256(run.encode()).hexdigest()
        self._resume = resume
        self._every_s = every_s
        self._last = monotonic()

    def restore(self, network: Network, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
        """Restore weights and optimizer moments.

        Returns:
            Steps done and seconds elapsed; (0, 0) if there is nothing to restore.

        Raises:
            ModelError: the checkpoint belongs to another run, or is damaged.
        """
        if not self._resume or not (self._folder / STATE).is_file():
            return 0, 0.0
        try:
            state = msgspec.json.decode((self._folder / STATE).read_bytes(), type=State)
            if state.run != self._run:
                message = f"{self._folder}: the checkpoint is of a run with other options or data; remove it, or use the same options"
                raise ModelError(message)
            network.load_state_dict(load_file(self._folder / "network.safetensors"))
            moments = load_file(self._folder / "optimizer.safetensors")
        except (SafetensorError, OSError, RuntimeError, msgspec.MsgspecError) as error:
            message = f"{self._folder}: the checkpoint cannot be read ({error}); remove it to start again"
            raise ModelError(message) from error
        own = optimizer.state_dict()
        own["state"] = {}
        for name, value in moments.items():
            number, part = name.split(".")
            own["state"].setdefault(int(number), {})[part] = value
        optimizer.load_state_dict(own)
        return state.step, state.elapsed_s

    def tick(self, network: Network, optimizer: torch.optim.Optimizer, step: int, elapsed_s: float) -> None:
        """Write a checkpoint if it is due."""
        if monotonic() - self._last >= self._every_s:
            self.write(network, optimizer, step, elapsed_s)

    def write(self, network: Network, optimizer: torch.optim.Optimizer, step: int, elapsed_s: float) -> None:
        """Write a checkpoint now. The old one stays valid until the new one is complete."""
        partial = self._folder.with_name(self._folder.name + ".part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, partial / "network.safetensors")
        state = optimizer.state_dict()["state"]
        moments = {f"{number}.{part}": value for number, parts in state.items() for part, value in parts.items()}
        save_file({name: value.contiguous() for name, value in moments.items()}, partial / "optimizer.safetensors")
        (partial / STATE).write_bytes(msgspec.json.encode(State(self._run, step, elapsed_s)))
        self.clear()
        partial.rename(self._folder)
        self._last = monotonic()

    def clear(self) -> None:
        """Remove the checkpoint after a successful run."""
        shutil.rmtree(self._folder, ignore_errors=True)
