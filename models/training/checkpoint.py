"""What is kept of a run so that it can go on after an end it did not choose? Weights and moments in safetensors, the rest in JSON.

FOLDER/network.safetensors, optimizer.safetensors   each written whole beside its place, then moved there
FOLDER/state.json                                   last: a checkpoint without it does not count
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
    """Where a run was. run: what it was a run of; another run does not go on from it."""

    run: str
    step: int
    elapsed_s: float


class Keeper:
    """Writes a checkpoint every EVERY_S seconds into `folder`, and restores the one that is there.

    run: anything that tells runs apart, such as the repr of their options
    """

    def __init__(self, folder: Path, run: str, *, resume: bool, every_s: float = EVERY_S) -> None:
        self._folder = folder
        self._run = hashlib.sha256(run.encode()).hexdigest()
        self._resume = resume
        self._every_s = every_s
        self._last = monotonic()

    def restore(self, network: Network, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
        """(steps made, seconds they took) with weights and moments put back; (0, 0) when there is nothing to go on from.

        Raises ModelError when the checkpoint is another run's, or damaged.
        """
        if not self._resume or not (self._folder / STATE).is_file():
            return 0, 0.0
        try:
            state = msgspec.json.decode((self._folder / STATE).read_bytes(), type=State)
            if state.run != self._run:
                message = f"{self._folder}: the checkpoint is of a run with other options or data; remove it or repeat its options"
                raise ModelError(message)
            network.load_state_dict(load_file(self._folder / "network.safetensors"))
            moments = load_file(self._folder / "optimizer.safetensors")
        except (SafetensorError, OSError, RuntimeError, msgspec.MsgspecError) as error:
            message = f"{self._folder}: the checkpoint cannot be read ({error}); remove it to begin anew"
            raise ModelError(message) from error
        own = optimizer.state_dict()
        own["state"] = {}
        for name, value in moments.items():
            number, part = name.split(".")
            own["state"].setdefault(int(number), {})[part] = value
        optimizer.load_state_dict(own)
        return state.step, state.elapsed_s

    def tick(self, network: Network, optimizer: torch.optim.Optimizer, step: int, elapsed_s: float) -> None:
        """Write when it is time."""
        if monotonic() - self._last >= self._every_s:
            self.write(network, optimizer, step, elapsed_s)

    def write(self, network: Network, optimizer: torch.optim.Optimizer, step: int, elapsed_s: float) -> None:
        """Write now. The old checkpoint counts until the new one is whole."""
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
        """Remove the checkpoint: the run ended well."""
        shutil.rmtree(self._folder, ignore_errors=True)
