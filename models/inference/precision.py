"""Where, and in which arithmetic, does this machine run the encoder? The fastest that says what fp32 says.

bf16 on a GPU ─▶ else, or where its labels differ, on the CPU where it multiplies that in hardware (AMX, AVX512-BF16)
              ─▶ else fp32 ─▶ else the network as it is
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import torch
from tokenizers import Tokenizer

from core.log import get_logger
from models.inference.encoding import encode_pairs
from models.inference.engine import DeviceEngine, Engine, PackedEngine, PaddedEngine
from models.inference.network import Network
from models.templates import grow, read_templates

AGREEMENT = 0.995
SAMPLE = 200
"""Texts of our own, in both languages, whose sentiment must come out the same."""
_log = get_logger(__name__)


def bf16_is_fast() -> bool:
    """Whether this CPU multiplies bf16 matrices in hardware; elsewhere fp32 is as fast and exact."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("amx_bf16", False) or known.get("avx512_bf16", False))


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def choose(network: Network, tokenizer: Tokenizer, lanes: int | None = None) -> tuple[Engine, torch.dtype]:
    """The fastest engine whose sentiments agree with the network's in fp32 on the sample, and its precision.

    network: in fp32; lanes: cores to use, None: all
    """
    ids = sample(tokenizer)
    exact = _sentiments(PaddedEngine(network), ids)
    for make, dtype in _candidates(network, lanes):
        try:
            engine = make()
            agreement = float((_sentiments(engine, ids) == exact).float().mean())
        except RuntimeError as error:  # a GPU without memory, or too old for what is asked
            _log.warning("engine_fails", precision=str(dtype), error=str(error))
            continue
        if agreement >= AGREEMENT:
            return engine, dtype
        _log.warning(
            "engine_disagrees", engine=type(engine).__name__, precision=str(dtype), agreement=round(agreement, 4), wanted=AGREEMENT
        )
    return PaddedEngine(network), torch.float32


def engine_in(dtype: torch.dtype, network: Network, lanes: int | None = None) -> Engine:
    """The fastest engine of a precision that somebody else has chosen."""
    return PackedEngine(network, dtype, lanes=lanes) if _has_onednn() else PaddedEngine(network.cast_encoder(dtype))


def _candidates(network: Network, lanes: int | None) -> Iterator[tuple[Callable[[], Engine], torch.dtype]]:
    if torch.cuda.is_available():  # CUDA_VISIBLE_DEVICES chooses one, or none
        yield lambda: DeviceEngine(network, torch.device("cuda"), torch.bfloat16), torch.bfloat16
    if _has_onednn():
        if bf16_is_fast():
            yield lambda: PackedEngine(network, torch.bfloat16, lanes=lanes), torch.bfloat16
        yield lambda: PackedEngine(network, torch.float32, lanes=lanes), torch.float32


def sample(tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids of the sample, always the same."""
    texts = [seed.text for seed in grow(read_templates(), 1, random.Random(0))]  # noqa: S311
    return encode_pairs(tokenizer, [(text, "") for text in texts[:: max(1, len(texts) // SAMPLE)]], 64)


def _sentiments(engine: Engine, ids: Sequence[Sequence[int]]) -> torch.Tensor:
    return torch.from_numpy(engine.read(ids).logits["sentiment"]).argmax(1)
