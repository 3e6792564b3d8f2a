"""Data-parallel gradients: by threads of this process on a CPU, or by the processes of `accelerate launch` on GPUs.

Each thread uses one core, shares the weights and has its own gradients. Threads that share each matrix operation wait for each other at
every one, and another busy process then slows training tenfold (models/LOG.md).
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
from models.training.autocast import autocast_dtype
from models.training.losses import Batch, to_device

Loss = Callable[[Outputs, Batch], Tensor]
"""The loss of a batch, summed over its rows."""


class GradientEngine(Protocol):
    """Computes the gradients of one step from `lanes` batches of each process."""

    lanes: int

    def gradients(self, batches: Sequence[Batch]) -> float:
        """Compute the gradient of the mean loss over all rows, in the network's `grad`, and return that loss."""
        ...

    def share(self, groups: Sequence[Any]) -> Sequence[Any]:
        """The groups of batches that this process computes, one group per step."""
        ...

    def close(self) -> None:
        """Release threads or processes."""
        ...


class ThreadedGradients:
    """Threads that each compute the gradients of one batch, with shared weights."""

    def __init__(self, network: Network, loss: Loss, threads: int) -> None:
        self.lanes = threads
        self._network = network
        self._loss = loss
        self._replicas = [network]
        for _ in range(threads - 1):
            replica = copy.deepcopy(network)
            for replica_parameter, parameter in zip(replica.parameters(), network.parameters(), strict=True):
                replica_parameter.data = parameter.data
            self._replicas.append(replica)
        self._dtype = autocast_dtype(network)
        cores = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(max(1, cores // threads)))

    def gradients(self, batches: Sequence[Batch]) -> float:
        """Compute the gradient of the mean loss over all rows, and return that loss. At most one batch per thread."""
        rows = sum(len(batch.ids) for batch in batches)

        def work(replica: Network, batch: Batch) -> float:
            replica.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._dtype is torch.bfloat16):
                outputs = replica(batch.ids)
            loss = self._loss(outputs, batch) / rows
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        replicas = self._replicas[: len(batches)]
        total = sum(self._pool.map(work, replicas, batches))
        for replica in replicas[1:]:
            for replica_parameter, parameter in zip(replica.parameters(), self._network.parameters(), strict=True):
                if replica_parameter.grad is not None:
                    parameter.grad = replica_parameter.grad if parameter.grad is None else parameter.grad.add_(replica_parameter.grad)
        return total

    def share(self, groups: Sequence[Any]) -> Sequence[Any]:
        """All groups."""
        return groups

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class AcceleratedGradients:
    """One batch per process, on the device given by `accelerate launch`; gradients are averaged over the processes."""

    lanes = 1

    def __init__(self, network: Network, loss: Loss, accelerator: Any) -> None:
        self._accelerator = accelerator
        self._loss = loss
        network.to(accelerator.device)
        self._network = accelerator.prepare_model(network)

    def gradients(self, batches: Sequence[Batch]) -> float:
        """Compute the gradient of the mean loss over the process's rows, averaged over processes, and return that loss."""
        device = self._accelerator.device
        batch = to_device(batches[0], device)
        self._network.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            outputs = self._network(batch.ids)
        loss = self._loss(outputs, batch) / len(batch.ids)
        self._accelerator.backward(loss)
        return float(loss.detach())

    def share(self, groups: Sequence[Any]) -> Sequence[Any]:
        """Every n-th group; all processes get the same number."""
        count = self._accelerator.num_processes
        return groups[self._accelerator.process_index : len(groups) // count * count : count]

    def close(self) -> None:
        """Wait for the other processes."""
        self._accelerator.wait_for_everyone()


def is_main() -> bool:
    """Whether this process writes files: the first one of `accelerate launch`, or the only one."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def gradient_engine(network: Network, loss: Loss, threads: int, *, timed: bool = False) -> GradientEngine:
    """AcceleratedGradients if there is a GPU or several processes, else ThreadedGradients.

    Args:
        network: the network.
        loss: loss of a batch.
        threads: CPU threads.
        timed: whether the run has a time limit.

    Raises:
        ModelError: several processes with a time limit.
    """
    from accelerate import Accelerator

    accelerator = Accelerator()
    if accelerator.num_processes > 1 and timed:
        message = "a run of several processes cannot have a time limit, because their clocks differ: leave out limit_s"
        raise ModelError(message)
    if accelerator.num_processes > 1 or accelerator.device.type != "cpu":
        return AcceleratedGradients(network, loss, accelerator)
    return ThreadedGradients(network, loss, threads)
