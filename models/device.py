"""How are many texts run through a network on a GPU? In large batches of like lengths, all of them under way before one is waited for.

    token ids ─▶ batches of like lengths ─▶ pinned memory ─▶ device: encoder with fused attention, heads ─▶ one table ─▶ back, once

A GPU is told what to do and goes on by itself: while it works on one batch the next is packed and copied, and nothing waits until the
last has been handed over. Workers that share a GPU are processes of their own, each with its copy of the network (40 MB).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from models.engine import Reading, padded_batches
from models.network import Layer, Network
from models.shape import TAGS

BATCH_TOKENS = 32_768
"""Tokens of a batch, padding counted: fewer leave a large GPU waiting for its orders."""


class DeviceEngine:
    """A copy of a network on a device. Raises RuntimeError where the device cannot, such as for want of memory.

    dtype: of the encoder; the heads stay in fp32
    """

    def __init__(self, network: Network, device: torch.device, dtype: torch.dtype, *, batch_tokens: int = BATCH_TOKENS) -> None:
        self._network = copy.deepcopy(network).eval().cast_encoder(dtype).to(device)
        for layer in self._network.layers:
            if isinstance(layer, Layer):
                layer.fused = True
        self.device = device
        self._batch_tokens = batch_tokens

    def read(self, ids: Sequence[Sequence[int]]) -> Reading:
        """What the network says of texts, in order."""
        shape = self._network.shape
        sizes = {name: size for name, size in shape.outputs.items() if name != TAGS}
        order: list[int] = []
        tables = [torch.zeros(0, shape.hidden + sum(sizes.values()), device=self.device)]
        with torch.inference_mode():
            for batch, padded in padded_batches(ids, self._batch_tokens):
                rows = padded.pin_memory() if self.device.type == "cuda" else padded
                outputs = self._network(rows.to(self.device, non_blocking=True))
                tables.append(torch.cat([outputs.pooled, *(outputs.logits[name] for name in sizes)], dim=1)[: len(batch)])
                order += batch
            found = torch.cat(tables).cpu().numpy()
        table = np.empty_like(found)
        table[order] = found
        pooled, *columns = np.split(table, np.cumsum([shape.hidden, *sizes.values()])[:-1], axis=1)
        return Reading(dict(zip(sizes, columns, strict=True)), pooled)
