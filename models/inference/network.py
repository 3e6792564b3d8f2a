"""The network: a BERT encoder, mean pooling, and linear heads, in one forward pass; and the formats of its weights.

    ids (B, L) ─▶ encoder ─┬─▶ (B, L, H) ─▶ tags (B, L, 7)
                           └─▶ mean over tokens ─▶ (B, H) ─▶ sentiment, social, company (B, 3), topics (B, 21), risks ...

`company` reads the pair `text </s> </s> company`; models/heads.py defines the heads. The encoder computes what
`transformers.BertModel` does without dropout, token types and pooler. It is written out here because importing that class takes
longer than the whole start of a worker; a test compares the two. Attribute names are also the names of the stored weights.

On disk, matrices of the encoder are int8 with one scale per row, everything else is fp32, in safetensors:

    w (R, C) fp32  ⇄  w.int8 (R, C) int8, w.scale (R,) fp32      w ≈ w.int8 * w.scale,  w.scale = max |w| of the row / 127

Reading a safetensors file executes no code. The loss of quality by rounding is in models/LOG.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from core.errors import ModelError
from models.heads import TAGS, Shape
from models.inference.encoding import PAD_ID


class Layer(nn.Module):
    """One transformer layer, normalised after attention and after the feed-forward part (post-LN)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.fused = False  # fused attention kernel: fastest on a GPU, twice as slow as its parts on a CPU
        self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.attended = nn.Linear(shape.hidden, shape.hidden)
        self.attended_norm = nn.LayerNorm(shape.hidden, eps=shape.eps)
        self.wide = nn.Linear(shape.hidden, shape.ffn)
        self.narrow = nn.Linear(shape.ffn, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, H); mask: (B, 1, 1, L), 0 for tokens and -1e4 for padding. Returns (B, L, H)."""
        rows, length, hidden = x.shape
        qkv = self.qkv(x).view(rows, length, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]  # each (B, heads, L, d)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(hidden // self.heads) + mask  # (B, heads, L, L)
            mixed = scores.softmax(-1).to(v.dtype) @ v
        mixed = mixed.transpose(1, 2).reshape(rows, length, hidden)
        x = self.attended_norm(x + self.attended(mixed))
        out: Tensor = self.norm(x + self.narrow(functional.gelu(self.wide(x))))
        return out


class Outputs(NamedTuple):
    """Outputs of one forward pass in fp32: pooled vectors (B, H), and logits by head, (B, size), or (B, L, size) for tags."""

    pooled: Tensor
    logits: dict[str, Tensor]


class Network(nn.Module):
    """The encoder and its heads, each a linear layer named after the head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.hidden)
        self.places = nn.Embedding(shape.positions, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.eps)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        for name, size in shape.outputs.items():
            self.add_module(name, nn.Linear(shape.hidden, size))

    def head(self, name: str) -> nn.Linear:
        """The linear layer of a head. Raises AttributeError when the network has no such head."""
        layer: nn.Linear = getattr(self, name)
        return layer

    def cast_encoder(self, dtype: torch.dtype) -> Network:
        """Convert the encoder to `dtype` in place, leaving the heads in fp32, and return the network."""
        for part in (self.words, self.places, self.norm, self.layers):
            part.to(dtype)
        return self

    def forward(self, ids: Tensor) -> Outputs:
        """Compute all heads for padded token ids (B, L)."""
        return self.read(self.words(ids), ids != PAD_ID)

    def read(self, vectors: Tensor, present: Tensor) -> Outputs:
        """Compute all heads for word embeddings (B, L, H); `present` (B, L) marks tokens. Attributions start from embeddings."""
        places = torch.arange(present.shape[1], device=present.device)
        x = self.norm(vectors + self.places(places))
        mask = torch.zeros(present.shape, dtype=x.dtype, device=x.device).masked_fill(~present, -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        with torch.autocast(x.device.type, enabled=False):  # the heads are small and stay exact
            exact = x.to(torch.float32)
            weight = present.unsqueeze(-1).to(torch.float32)
            pooled: Tensor = (exact * weight).sum(1) / weight.sum(1).clamp(min=1.0)
            logits = {}
            for name in self.shape.outputs:
                head = self.head(name)
                logits[name] = functional.linear(exact if name == TAGS else pooled, head.weight.float(), head.bias.float())
        return Outputs(pooled, logits)


_PARTS = {
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "wide",
    "output.dense": "narrow",
    "output.LayerNorm": "norm",
}
"""BertModel's name of each part of a layer -> its name here."""


def from_bert(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Convert a BertModel state to this network's encoder state. The one token type in use is added to the positions."""
    types = state["embeddings.token_type_embeddings.weight"][0]
    mine = {
        "words.weight": state["embeddings.word_embeddings.weight"],
        "places.weight": state["embeddings.position_embeddings.weight"] + types,
    }
    for part in ("weight", "bias"):
        mine[f"norm.{part}"] = state[f"embeddings.LayerNorm.{part}"]
        for i in range(layers):
            theirs, ours = f"encoder.layer.{i}.", f"layers.{i}."
            qkv = [state[f"{theirs}attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            mine[f"{ours}qkv.{part}"] = torch.cat(qkv)
            for their, our in _PARTS.items():
                mine[f"{ours}{our}.{part}"] = state[f"{theirs}{their}.{part}"]
    return mine


def to_bert(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Convert an encoder state to BertModel's names: the inverse of `from_bert`, with a token type of zeros."""
    theirs = {
        "embeddings.word_embeddings.weight": state["words.weight"],
        "embeddings.position_embeddings.weight": state["places.weight"],
        "embeddings.token_type_embeddings.weight": torch.zeros(1, state["words.weight"].shape[1]),
    }
    for part in ("weight", "bias"):
        theirs[f"embeddings.LayerNorm.{part}"] = state[f"norm.{part}"]
        for i in range(layers):
            ours, prefix = f"layers.{i}.", f"encoder.layer.{i}."
            for name, value in zip(("query", "key", "value"), state[f"{ours}qkv.{part}"].chunk(3), strict=True):
                theirs[f"{prefix}attention.self.{name}.{part}"] = value
            for their, our in _PARTS.items():
                theirs[f"{prefix}{their}.{part}"] = state[f"{ours}{our}.{part}"]
    return theirs


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
