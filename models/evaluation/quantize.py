"""What would int8 arithmetic cost in quality? The encoder's matrices by torch's own quantisation, to be measured beside bf16.

    dynamic   activations are scaled anew at every matrix
    static    by scales that were observed on sample texts

Not what workers run: the measured answer is in models/LOG.md. torch has announced the end of this interface; nothing else uses it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.inference.network import Network, Outputs
from models.training.methods import MATRICES


class _Exact(Network):
    """A network whose activations between int8 matrices are fp32, whatever the caller's autocast says."""

    def read(self, vectors: Tensor, present: Tensor) -> Outputs:
        """As Network has it."""
        with torch.autocast(vectors.device.type, enabled=False):
            return super().read(vectors, present)


def _twin(network: Network) -> Network:
    twin = copy.deepcopy(network).float().eval()
    twin.__class__ = _Exact
    return twin


def dynamic_int8(network: Network) -> Network:
    """A copy with int8 matrices, activations scaled as they come."""
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = _twin(network)
        twin.layers = quantize_dynamic(twin.layers, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    return twin


def static_int8(network: Network, samples: Sequence[Tensor]) -> Network:
    """A copy with int8 matrices, activations scaled by what the padded token ids (B, L) in `samples` showed."""
    from torch.ao.quantization import QuantWrapper, convert, get_default_qconfig, prepare

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = _twin(network)
        qconfig = get_default_qconfig("x86")  # type: ignore[no-untyped-call]
        for layer in twin.layers:  # the matrices alone: norms stay exact
            for name in MATRICES:
                wrapped = QuantWrapper(getattr(layer, name))
                wrapped.qconfig = qconfig
                setattr(layer, name, wrapped)
        prepare(twin.layers, inplace=True)  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            for ids in samples:
                twin(ids)
        convert(twin.layers, inplace=True)  # type: ignore[no-untyped-call]
    return twin
