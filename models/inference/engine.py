"""Inference engines, which run many texts through a network, and the choice of the fastest correct one.

CPU (PackedEngine): texts are packed without padding, one pack per core.

    token ids ─▶ packs of similar lengths ─▶ lanes: [tokens of a pack, one after the other] ─▶ encoder ─▶ mean of each text ─▶ heads

Matrix products see one long row of tokens without padding. Attention, a tenth of the work, runs over groups of texts padded to one of
few widths, because a kernel is compiled and cached for every shape (0.7 MB and 0.5 ms each, as much as running it ten times). Weights
are laid out once for oneDNN's kernels; `torch.nn.Linear` repeats that at every call, which takes three times as long as the product
itself (docs/performance.md).

GPU (DeviceEngine): large batches of similar lengths are queued without waiting for a result, so that the GPU is never idle.

    token ids ─▶ batches of similar lengths ─▶ pinned memory ─▶ device: encoder with fused attention, heads ─▶ one table ─▶ one copy back

Workers that share a GPU are separate processes, each with its own copy of the network (40 MB).

Choice (`choose_engine`): bf16 on a GPU; else, or if its labels differ from fp32, bf16 on the CPU if the CPU multiplies it in hardware
(AMX, AVX512-BF16); else fp32; else the network as it is. Agreement is recorded (models/inference/agreement_record.py).
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from core.log import get_logger
from models.heads import TAGS
from models.inference.agreement_record import AgreementRecord
from models.inference.encoding import PAD_ID, encode_pairs, pack, pad, rows_of, width_of
from models.inference.network import Layer, Network
from models.templates import fill_templates, read_templates

Floats = npt.NDArray[np.float32]

PACK_TOKENS = 2048
FEWEST_TOKENS = 256  # smallest pack worth giving to another core
TOKEN_STEP = 256
"""Packs are padded to a multiple of this, because compiling a kernel for a new shape takes longer than running it."""

SCORE_LIMIT = 60.0
TINY = 1e-30
"""Smaller than any sum of attention weights; avoids a division by zero in the padding rows of a group."""
CORES = torch.get_num_threads()
"""Read at import, because torch's answer later depends on the calling thread."""


class EngineOutput(NamedTuple):
    """Outputs for N texts in order: logits (N, size) by head, without tags, and pooled vectors (N, H)."""

    logits: dict[str, Floats]
    pooled: Floats


class InferenceEngine(Protocol):
    """Runs texts through a network."""

    @property
    def device(self) -> torch.device:
        """Device of the computation."""
        ...

    def read(self, ids: Sequence[Sequence[int]]) -> EngineOutput:
        """Compute the outputs for N texts, given as non-empty lists of token ids."""
        ...


def padded_batches(ids: Sequence[Sequence[int]], budget_tokens: int = PACK_TOKENS) -> Iterator[tuple[list[int], Tensor]]:
    """Batches of similar lengths in few shapes.

    Yields:
        Indices into `ids`, and their token ids padded to (B, L) with B * L <= budget_tokens. B may exceed the number of indices; the
        rows beyond them are padding.
    """
    widths = [width_of(len(row)) for row in ids]
    for batch in pack(widths, budget_tokens):
        width = widths[batch[0]]
        yield batch, pad([ids[i] for i in batch], (rows_of(len(batch), width, budget_tokens), width))


class PaddedEngine:
    """The network unchanged, on padded batches. The slowest engine: a reference for the others, and the fallback without oneDNN."""

    def __init__(self, network: Network, *, batch_tokens: int = PACK_TOKENS) -> None:
        self._network = network.eval()
        self._batch_tokens = batch_tokens
        self.device = network.words.weight.device

    def read(self, ids: Sequence[Sequence[int]]) -> EngineOutput:
        """As InferenceEngine.read."""
        shape_of = self._network.shape
        logits = {name: np.zeros((len(ids), size), np.float32) for name, size in shape_of.outputs.items() if name != TAGS}
        pooled = np.zeros((len(ids), shape_of.hidden), np.float32)
        with torch.inference_mode():
            for batch, padded in padded_batches(ids, self._batch_tokens):
                outputs = self._network(padded.to(self.device))
                pooled[batch] = outputs.pooled[: len(batch)].cpu().numpy()
                for name, rows in logits.items():
                    rows[batch] = outputs.logits[name][: len(batch)].cpu().numpy()
        return EngineOutput(logits, pooled)


class PackedEngine:
    """Runs packs of texts, one pack per core; cores that share a product would wait for each other at every operation.

    Args:
        network: the network in fp32.
        dtype: precision of the encoder.
        lanes: packs that run at the same time; None: one per core.
        pack_tokens: tokens in a pack.
    """

    def __init__(self, network: Network, dtype: torch.dtype, *, lanes: int | None = None, pack_tokens: int = PACK_TOKENS) -> None:
        self.device = torch.device("cpu")
        self._encoder = Encoder(network, dtype)
        self._lanes = lanes or CORES
        self._pack_tokens = pack_tokens
        heads = {name: network.head(name) for name in network.shape.outputs if name != TAGS}
        self._heads = {name: (head.weight.detach().float(), head.bias.detach().float()) for name, head in heads.items()}
        self._pool = ThreadPoolExecutor(self._lanes, "engine", initializer=torch.set_num_threads, initargs=(1,))

    def read(self, ids: Sequence[Sequence[int]]) -> EngineOutput:
        """As InferenceEngine.read."""
        lengths = [len(row) for row in ids]
        turns = max(1, -(-sum(lengths) // (self._lanes * self._pack_tokens)))
        share = -(-sum(lengths) // (self._lanes * turns))  # so that all lanes finish at the same time
        packs = pack_tokens(lengths, max(FEWEST_TOKENS, share + max(lengths, default=0) // 2))
        pooled = torch.zeros(len(ids), self._encoder.hidden)
        for rows, vectors in zip(packs, self._pool.map(lambda rows: self._encoder([ids[i] for i in rows]), packs), strict=True):
            pooled[rows] = vectors
        with torch.inference_mode():
            logits = {name: functional.linear(pooled, weight, bias).numpy() for name, (weight, bias) in self._heads.items()}
        return EngineOutput(logits, pooled.numpy())


def pack_tokens(lengths: Sequence[int], budget_tokens: int) -> list[list[int]]:
    """Packs of indices into `lengths`, longest first, each with at most `budget_tokens` in total, or with one text."""
    packs: list[list[int]] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if packs and tokens + lengths[index] <= budget_tokens:
            packs[-1].append(index)
            tokens += lengths[index]
        else:
            packs.append([index])
            tokens = lengths[index]
    return packs


class AttentionGroup(NamedTuple):
    """Texts of a pack whose attention is computed at one width W, as R rows, of which the last may be padding.

    tokens: slice of the pack; rows, width: R and W
    places: (R * W,), index in the pack of the token at each position (gather)
    present: (R, 1, 1, W), 1 for a token, 0 for padding
    back: (T,), position of each token (scatter)
    """

    tokens: slice
    rows: int
    width: int
    places: Tensor
    present: Tensor
    back: Tensor


def attention_groups(lengths: Sequence[int], dtype: torch.dtype) -> list[AttentionGroup]:
    """The groups of a pack of texts of these lengths, which must be sorted."""
    found, start = [], 0
    for width, group in groupby(lengths, attention_width):
        mine = np.array(list(group))
        rows, tokens = padded_row_count(len(mine)), int(mine.sum())
        ends = np.cumsum(mine)
        within = np.arange(width)
        present = within < np.pad(mine, (0, rows - len(mine)))[:, None]
        places = start + np.where(present, np.pad(ends - mine, (0, rows - len(mine)))[:, None] + within, 0)
        back = np.flatnonzero(present)
        found.append(
            AttentionGroup(
                slice(start, start + tokens),
                rows,
                width,
                torch.from_numpy(places.reshape(-1)),
                torch.from_numpy(present).to(dtype)[:, None, None, :],
                torch.from_numpy(back),
            )
        )
        start += tokens
    return found


def attention_width(length: int) -> int:
    """Padded width for a text of `length` tokens: the next multiple of 8, or of an eighth of the next power of two if that is more."""
    step = max(8, 1 << max(0, length - 1).bit_length() >> 3)
    return -(-length // step) * step


def padded_row_count(texts: int) -> int:
    """The number of texts rounded up to 2^n or 3 * 2^n."""
    power = 1 << (texts - 1).bit_length()
    return power * 3 // 4 if power >= 4 and texts <= power * 3 // 4 else power


class Encoder:
    """The encoder of a network for packs of tokens. The scale of attention, 1/sqrt(d), is folded into the query weights."""

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        shape = network.shape
        self.hidden = shape.hidden
        self._words = network.words.weight.detach().to(dtype)
        self._places = network.places.weight.detach().to(dtype)
        self._norm = _Norm(network.norm, dtype)
        self._layers = [_PackedLayer(layer, dtype) for layer in network.layers if isinstance(layer, Layer)]

    def __call__(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Pooled vectors (N, H) in fp32 of N texts, given as token ids and sorted by length."""
        lengths = [len(row) for row in rows]
        tokens = sum(lengths)
        room = -(-tokens // TOKEN_STEP) * TOKEN_STEP
        ids = np.full(room, PAD_ID, dtype=np.int64)
        ids[:tokens] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        places = np.zeros(room, dtype=np.int64)
        places[:tokens] = np.concatenate([np.arange(length) for length in lengths])
        with torch.inference_mode():
            groups = attention_groups(lengths, self._words.dtype)
            x = functional.embedding(torch.from_numpy(ids), self._words) + functional.embedding(torch.from_numpy(places), self._places)
            x = self._norm(x)
            for layer in self._layers:
                x = layer(x, groups)
            counts = torch.tensor(lengths)
            sums = torch.zeros(len(rows), self.hidden).index_add_(0, torch.arange(len(rows)).repeat_interleave(counts), x[:tokens].float())
            return sums / counts[:, None]


class _Norm:
    """LayerNorm in a given precision."""

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        self._weight, self._bias, self._eps = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype), norm.eps

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], self._weight, self._bias, self._eps)


class _Linear:
    """A linear layer whose weights are laid out once for oneDNN."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous(), PACK_TOKENS)
        self._bias = bias.detach().to(dtype)

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """x W + b, plus `add` if given."""
        ops = torch.ops.mkldnn._linear_pointwise
        found: Tensor = (
            ops(x, self._weight, self._bias, "none", [], "none") if add is None else ops.binary(x, add, self._weight, self._bias, "add")
        )
        return found


class _PackedLayer:
    """One transformer layer for packed tokens."""

    def __init__(self, layer: Layer, dtype: torch.dtype) -> None:
        hidden = layer.attended.in_features
        self._heads, self._size = layer.heads, hidden // layer.heads
        scale = torch.ones(3 * hidden, device=layer.qkv.weight.device)
        scale[:hidden] = 1.0 / math.sqrt(self._size)
        self._qkv = _Linear(layer.qkv.weight.float() * scale[:, None], layer.qkv.bias.float() * scale, dtype)
        self._attended = _Linear(layer.attended.weight, layer.attended.bias, dtype)
        self._wide = _Linear(layer.wide.weight, layer.wide.bias, dtype)
        self._narrow = _Linear(layer.narrow.weight, layer.narrow.bias, dtype)
        self._attended_norm, self._norm = _Norm(layer.attended_norm, dtype), _Norm(layer.norm, dtype)

    def __call__(self, x: Tensor, groups: Sequence[AttentionGroup]) -> Tensor:
        """x: (T, H), the tokens of a pack; returns (T, H)."""
        x = self._attended_norm(self._attended(self._mixed(self._qkv(x), groups), add=x))
        return self._norm(self._narrow(functional.gelu(self._wide(x)), add=x))

    def _mixed(self, qkv: Tensor, groups: Sequence[AttentionGroup]) -> Tensor:
        """Attention within each text: queries, keys and values (T, 3H) to (T, H)."""
        heads, size = self._heads, self._size
        out = qkv.new_zeros(len(qkv), heads * size)
        for tokens, rows, width, places, present, back in groups:
            part = qkv.index_select(0, places).view(rows, width, 3, heads, size)
            q, k, v = part.permute(2, 0, 3, 1, 4).reshape(3, rows * heads, width, size)
            scores = torch.bmm(q, k.transpose(1, 2))
            # torch's softmax is optimised for long rows: for 24 numbers it takes six times as long as this, and subtracting the row's
            # maximum three times. The limit keeps the sum positive and finite; scores of real encoders stay far below it.
            weights = scores.clamp_(-SCORE_LIMIT, SCORE_LIMIT).exp_()
            weights.view(rows, heads, width, width).mul_(present)
            mixed = torch.bmm(weights, v).div_(weights.sum(-1, keepdim=True).clamp_(min=TINY))
            out[tokens] = mixed.view(rows, heads, width, size).transpose(1, 2).reshape(rows * width, -1).index_select(0, back)
        return out


BATCH_TOKENS = 32_768
"""Tokens of a batch including padding; with fewer, a large GPU waits for kernel launches."""


class DeviceEngine:
    """Runs a copy of a network on a device.

    Args:
        network: the network in fp32.
        device: usually a GPU.
        dtype: precision of the encoder; the heads stay in fp32.
        batch_tokens: tokens of a batch, padding included.

    Raises:
        RuntimeError: the device cannot run it, for example for lack of memory.
    """

    def __init__(self, network: Network, device: torch.device, dtype: torch.dtype, *, batch_tokens: int = BATCH_TOKENS) -> None:
        self._network = copy.deepcopy(network).eval().cast_encoder(dtype).to(device)
        for layer in self._network.layers:
            if isinstance(layer, Layer):
                layer.fused = True
        self.device = device
        self._batch_tokens = batch_tokens

    def read(self, ids: Sequence[Sequence[int]]) -> EngineOutput:
        """As InferenceEngine.read."""
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
        return EngineOutput(dict(zip(sizes, columns, strict=True)), pooled)


MIN_AGREEMENT = 0.995
AGREEMENT_TEXTS = 200
"""Number of built-in texts, in both languages, on whose sentiment an engine must agree with fp32."""
_log = get_logger(__name__)


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices in hardware; otherwise fp32 is as fast and more exact."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("amx_bf16", False) or known.get("avx512_bf16", False))


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def choose_engine(
    network: Network, tokenizer: Tokenizer, lanes: int | None = None, record: AgreementRecord | None = None
) -> tuple[InferenceEngine, torch.dtype]:
    """The fastest engine whose predicted sentiments agree with PaddedEngine in fp32 on the sample.

    Args:
        network: the network in fp32.
        tokenizer: its tokenizer.
        lanes: CPU cores to use; None: all.
        record: CPU engines that agreed at an earlier start, which are not compared again; None: compare in any case.

    Returns:
        The engine and the precision of its encoder.
    """
    sample: tuple[list[list[int]], torch.Tensor] | None = None
    for make, dtype in _candidates(network, lanes):
        try:
            engine = make()
            recorded = record if engine.device.type == "cpu" else None
            name = type(engine).__name__
            if recorded and recorded.agreed(name, dtype):
                return engine, dtype
            if sample is None:
                ids = agreement_sample(tokenizer)
                sample = ids, _sentiments(PaddedEngine(network), ids)
            ids, exact = sample
            agreement = float((_sentiments(engine, ids) == exact).float().mean())
        except RuntimeError as error:  # a GPU with too little memory, or without the operations needed
            _log.warning("engine_failed", precision=str(dtype), error=str(error))
            continue
        if agreement >= MIN_AGREEMENT:
            if recorded:
                recorded.add(name, dtype)
            return engine, dtype
        _log.warning("engine_disagrees", engine=name, precision=str(dtype), agreement=round(agreement, 4), required=MIN_AGREEMENT)
    return PaddedEngine(network), torch.float32


def engine_in(dtype: torch.dtype, network: Network, lanes: int | None = None) -> InferenceEngine:
    """The fastest CPU engine of a given precision."""
    return PackedEngine(network, dtype, lanes=lanes) if _has_onednn() else PaddedEngine(network.cast_encoder(dtype))


def _candidates(network: Network, lanes: int | None) -> Iterator[tuple[Callable[[], InferenceEngine], torch.dtype]]:
    if torch.cuda.is_available():  # CUDA_VISIBLE_DEVICES selects the GPU, or none
        yield lambda: DeviceEngine(network, torch.device("cuda"), torch.bfloat16), torch.bfloat16
    if _has_onednn():
        if has_fast_bf16():
            yield lambda: PackedEngine(network, torch.bfloat16, lanes=lanes), torch.bfloat16
        yield lambda: PackedEngine(network, torch.float32, lanes=lanes), torch.float32


def agreement_sample(tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids of the built-in texts, always the same."""
    texts = [seed.text for seed in fill_templates(read_templates(), 1, random.Random(0))]  # noqa: S311
    return encode_pairs(tokenizer, [(text, "") for text in texts[:: max(1, len(texts) // AGREEMENT_TEXTS)]], 64)


def _sentiments(engine: InferenceEngine, ids: Sequence[Sequence[int]]) -> torch.Tensor:
    return torch.from_numpy(engine.read(ids).logits["sentiment"]).argmax(1)
