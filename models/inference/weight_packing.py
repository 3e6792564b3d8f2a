"""Weights on disk: matrices as int8 with one scale per row, everything else in fp32, in safetensors.

    w (R, C) fp32  ⇄  w.int8 (R, C) int8, w.scale (R,) fp32      w ≈ w.int8 * w.scale,  w.scale = max |w| of the row / 127

Reading a safetensors file executes no code. The loss of quality is in models/LOG.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.errors import ModelError

_ROUNDED = ("words.", "places.", "layers.")  # the heads are small and stay exact


def pack_weights(state: Mapping[str, Tensor]) -> bytes:
    """Serialise a state dictionary to safetensors, with the encoder's matrices rounded to int8."""
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.dim() == 2 and name.startswith(_ROUNDED):
            scale = value.abs().amax(1).clamp(min=1e-12) / 127.0  # (R,)
            packed[f"{name}.int8"] = (value / scale[:, None]).round().clamp(-127, 127).to(torch.int8).contiguous()
            packed[f"{name}.scale"] = scale.contiguous()
        else:
            packed[name] = value.contiguous()
    return bytes(save(packed))


def unpack_weights(content: bytes) -> dict[str, Tensor]:
    """The fp32 state dictionary of a safetensors file. Raises ModelError when the content is not one."""
    try:
        packed = load(content)
    except SafetensorError as error:
        message = f"the weights are not a safetensors file ({error})"
        raise ModelError(message) from error
    state: dict[str, Tensor] = {}
    for name, value in packed.items():
        if name.endswith(".int8"):
            base = name.removesuffix(".int8")
            state[base] = value.to(torch.float32) * packed[f"{base}.scale"][:, None]
        elif not name.endswith(".scale"):
            state[name] = value
    return state
