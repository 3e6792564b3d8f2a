"""Who computes the gradients of a step? Threads of this process on a CPU, or the processes of `accelerate launch` on GPUs.

Every thread computes with one core on the same weights and gradients of its own: threads that share every matrix wait for each
other at every operation, and a busy neighbour then costs ten times its share (models/LOG.md).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch import Tensor

from core.errors import ModelError
from models.inference.network import Network, Outputs
from models.training.losses import Batch, to_device

Loss = Callable[[Outputs, Batch], Tensor]
"""The loss of a batch, summed over its rows."""


class Engine(Protocol):
    """Computes the gradients of one step from `lanes` batches of each process."""

    lanes: int

    def gradients(self, batches: Sequence[Batch]) -> float:
        """Leave the gradient of the mean loss over all rows in the network; that loss."""
        ...

    def share(self, groups: Sequence[Any]) -> Sequence[Any]:
        """The groups of batches that this process computes."""
        ...

    def close(self) -> None:
        """Release what was taken."""
        ...


class Crew:
    """Threads that each compute the gradients of one batch, on weights they share."""

    def __init__(self, network: Network, loss: Loss, threads: int) -> None:
        self.lanes = threads
        self._network = network
        self._loss = loss
        self._copies = [network]
        for _ in range(threads - 1):
            twin = copy.deepcopy(network)
            for theirs, ours in zip(twin.parameters(), network.parameters(), strict=True):
                theirs.data = ours.data
            self._copies.append(twin)
        cores = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(max(1, cores // threads)))

    def gradients(self, batches: Sequence[Batch]) -> float:
        """Leave the gradient of the mean loss over all rows in the network; that loss. At most one batch a thread."""
        rows = sum(len(batch.ids) for batch in batches)

        def work(twin: Network, batch: Batch) -> float:
            twin.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                outputs = twin(batch.ids)
            loss = self._loss(outputs, batch) / rows
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        twins = self._copies[: len(batches)]
        total = sum(self._pool.map(work, twins, batches))
        for twin in twins[1:]:
            for theirs, ours in zip(twin.parameters(), self._network.parameters(), strict=True):
                if theirs.grad is not None:
                    ours.grad = theirs.grad if ours.grad is None else ours.grad.add_(theirs.grad)
        return total

    def share(self, groups: Sequence[Any]) -> Sequence[Any]:
        """All of them."""
        return groups

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class Accelerated:
    """One batch a process, on the device that `accelerate launch` gave it, gradients averaged over the processes."""

    lanes = 1

    def __init__(self, network: Network, loss: Loss, accelerator: Any) -> None:
        self._accelerator = accelerator
        self._loss = loss
        network.to(accelerator.device)
        self._network = accelerator.prepare_model(network)

    def gradients(self, batches: Sequence[Batch]) -> float:
        """Leave the gradient of the mean loss over all rows in the network; that loss."""
        device = self._accelerator.device
        batch = to_device(batches[0], device)
        self._network.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            outputs = self._network(batch.ids)
        loss = self._loss(outputs, batch) / len(batch.ids)
        self._accelerator.backward(loss)
        return float(loss.detach())

    def share(self, groups: Sequence[Any]) -> Sequence[Any]:
        """Every n-th of them; all processes get as many."""
        count = self._accelerator.num_processes
        return groups[self._accelerator.process_index : len(groups) // count * count : count]

    def close(self) -> None:
        """Wait for the others."""
        self._accelerator.wait_for_everyone()


def is_main() -> bool:
    """Whether this process is the one that writes: the first of those that `accelerate launch` started, or the only one."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def engine_for(network: Network, loss: Loss, threads: int, *, timed: bool = False) -> Engine:
    """The processes of `accelerate launch` when it started this one or there is a GPU, else threads.

    timed: the run ends by the clock. Raises ModelError where that cannot be.
    """
    from accelerate import Accelerator

    accelerator = Accelerator()
    if accelerator.num_processes > 1 and timed:
        message = "a run of several processes cannot end by the clock, for their clocks differ: leave out limit_s"
        raise ModelError(message)
    if accelerator.num_processes > 1 or accelerator.device.type != "cpu":
        return Accelerated(network, loss, accelerator)
    return Crew(network, loss, threads)
