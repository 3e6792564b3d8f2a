"""How are 26 million weights kept in 26 MB? Matrices as int8 with one scale per row, the rest as they are.

    w (R, C) fp32  ⇄  w.int8 (R, C) int8, w.scale (R,) fp32      w ≈ w.int8 * w.scale

Row-wise absmax rounding; models/LOG.md has what it costs. Safetensors only: reading it runs no code.
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
    """A safetensors file of `state`."""
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
    """The fp32 state in a safetensors file. Raises ModelError when it is not one."""
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
