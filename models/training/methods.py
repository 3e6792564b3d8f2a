"""Fine-tuning methods: which weights are trained. Adapters are merged into the network at the end.

    full      every weight
    lora      low-rank updates of every matrix of the encoder         Hu et al. 2021
    adalora   the same, with ranks allocated to important matrices    Zhang et al. 2023
    ia3       a scale per output of keys, values and feed-forward     Liu et al. 2022
    heads     the heads only, with the encoder frozen

The adapters are those of peft. The heads are always trained. Pruning sets the smallest weights over all matrices of the encoder to 0
and keeps them there (Han et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import nn

from models.inference.network import Network

Method = Literal["full", "lora", "adalora", "ia3", "heads"]
METHODS: tuple[Method, ...] = get_args(Method)
MATRICES = ("qkv", "attended", "wide", "narrow")
RANK = 16


class Adapter:
    """Prepares a network for a method. Call `after_step(step)` after every step and `merge()` at the end."""

    def __init__(self, network: Network, method: Method, *, steps: int) -> None:
        """steps: total number of steps, for the rank schedule of AdaLoRA."""
        self._network = network
        self._method = method
        self._wrapped: Any = None
        if method in ("lora", "adalora", "ia3"):
            self._wrapped = _wrap(network, method, steps)
        elif method == "heads":
            network.requires_grad_(False)
        if method != "full":
            for name in network.shape.outputs:
                network.head(name).requires_grad_(True)

    @property
    def trained(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self._network.parameters() if p.requires_grad)

    def after_step(self, step: int) -> None:
        """Reallocate ranks, if the method does."""
        if self._method == "adalora":
            self._wrapped.base_model.update_and_allocate(step)

    def merge(self) -> None:
        """Merge the adapter into the network's matrices, and make all weights trainable again."""
        if self._wrapped is not None:
            self._wrapped.merge_and_unload()
        self._network.requires_grad_(True)


def _wrap(network: Network, method: Method, steps: int) -> Any:
    from peft import AdaLoraConfig, IA3Config, LoraConfig, get_peft_model

    config: Any
    if method == "lora":
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(MATRICES))
    elif method == "adalora":
        warm = max(1, steps // 10)
        config = AdaLoraConfig(
            target_r=RANK // 2,
            init_r=RANK,
            tinit=warm,
            tfinal=max(1, steps // 4),
            deltaT=max(1, steps // 50),
            lora_alpha=2 * RANK,
            total_step=max(steps, 4 * warm),
            target_modules=list(MATRICES),
        )
    else:
        config = IA3Config(target_modules=["qkv", "narrow"], feedforward_modules=["narrow"])
    return get_peft_model(network, config)


def prune(network: Network, share: float) -> Callable[[int], None]:
    """Set the smallest `share` of the encoder's matrix weights to 0. Call the returned function after each step to keep them 0."""
    matrices = [module.weight for layer in network.layers for module in layer.modules() if isinstance(module, nn.Linear)]
    with torch.no_grad():
        sizes = torch.cat([matrix.abs().flatten() for matrix in matrices])
        cut = sizes.kthvalue(max(1, int(share * sizes.numel()))).values
        masks = [matrix.abs() > cut for matrix in matrices]

    def keep(_step: int) -> None:
        with torch.no_grad():
            for matrix, mask in zip(matrices, masks, strict=True):
                matrix.mul_(mask)

    keep(0)
    return keep
