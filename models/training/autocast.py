"""Choice of the data type for training on the CPU, measured at the start of a run.

With AMX or AVX512-BF16 a step in bf16 takes half the time of fp32; without them bf16 is emulated and takes twice as long. Weights,
moments of the optimizer and heads stay in fp32 in both cases.
"""

from __future__ import annotations

from time import monotonic

import torch

from core.log import get_logger
from models.inference.network import Network

ROWS, WIDTH = 16, 48
"""Shape of the batch that is timed: (rows, tokens)."""
PASSES = 2
"""Timed passes per data type, after one that compiles the kernels; the fastest counts."""
MIN_SPEEDUP = 1.1
"""bf16 is less precise, so it is chosen only if it is faster than fp32 by this factor."""
_chosen: dict[tuple[int, int, int], torch.dtype] = {}
"""(hidden, layers, ffn) -> data type. Kept for the process, so that two runs of one program give the same weights."""
_log = get_logger(__name__)


def autocast_dtype(network: Network) -> torch.dtype:
    """torch.bfloat16 if a forward and backward pass of `network` is faster in it by MIN_SPEEDUP on this machine, else torch.float32."""
    key = network.shape.hidden, network.shape.layers, network.shape.ffn
    if key not in _chosen:
        exact_s, mixed_s = _seconds(network, torch.float32), _seconds(network, torch.bfloat16)
        _chosen[key] = torch.bfloat16 if exact_s > MIN_SPEEDUP * mixed_s else torch.float32
        _log.info("autocast_chosen", dtype=str(_chosen[key]), float32_s=round(exact_s, 3), bfloat16_s=round(mixed_s, 3))
    return _chosen[key]


def _seconds(network: Network, dtype: torch.dtype) -> float:
    """Duration of the fastest of PASSES forward and backward passes."""
    width = min(WIDTH, network.shape.positions)
    ids = (torch.arange(ROWS * width).reshape(ROWS, width) + 5) % network.shape.vocabulary
    passes = []
    for _ in range(PASSES + 1):
        network.zero_grad(set_to_none=True)
        started = monotonic()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            outputs = network(ids)
        total = torch.stack([logits.float().square().mean() for logits in outputs.logits.values()]).sum()
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        passes.append(monotonic() - started)
    network.zero_grad(set_to_none=True)
    return min(passes[1:])
