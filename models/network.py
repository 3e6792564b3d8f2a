"""What is computed: one BERT-shaped encoder, mean pooling, and two heads, in one forward pass.

    ids (B, L) ─▶ encoder ─▶ (B, L, H) ─▶ mean over tokens ─▶ (B, H) ─┬─▶ sentiment (B, 3)
                                                                      └─▶ topics (B, 21)

Sentiment towards a company is the same head on the pair `text </s> </s> company`. The encoder is `transformers.BertModel`
without dropout, token types and pooler, written out because importing that class costs more than a worker's whole start;
a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoding import PAD_ID
from spine.taxonomy import TOPIC_KEYS

SENTIMENTS = ("negative", "neutral", "positive")


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of an encoder."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    ffn: int
    positions: int
    eps: float


class Layer(nn.Module):
    """One transformer layer, normalised after each half (post-LN)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.attended = nn.Linear(shape.hidden, shape.hidden)
        self.attended_norm = nn.LayerNorm(shape.hidden, eps=shape.eps)
        self.wide = nn.Linear(shape.hidden, shape.ffn)
        self.narrow = nn.Linear(shape.ffn, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, H); mask: (B, 1, 1, L), 0 for a token and -inf-like for padding."""
        rows, length, hidden = x.shape
        qkv = self.qkv(x).view(rows, length, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]  # each (B, heads, L, d)
        scores = q @ k.transpose(-1, -2) / math.sqrt(hidden // self.heads) + mask  # (B, heads, L, L)
        mixed = (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(rows, length, hidden)
        x = self.attended_norm(x + self.attended(mixed))
        out: Tensor = self.norm(x + self.narrow(functional.gelu(self.wide(x))))
        return out


class Network(nn.Module):
    """The encoder and its heads."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.hidden)
        self.places = nn.Embedding(shape.positions, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.eps)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.sentiment = nn.Linear(shape.hidden, len(SENTIMENTS))
        self.topics = nn.Linear(shape.hidden, len(TOPIC_KEYS))

    def cast_encoder(self, dtype: torch.dtype) -> Network:
        """Itself, with the encoder in `dtype`; the heads stay in fp32."""
        for part in (self.words, self.places, self.norm, self.layers):
            part.to(dtype)
        return self

    def encode(self, ids: Tensor) -> Tensor:
        """Mean-pooled vectors (B, H) of padded token ids (B, L)."""
        present = ids != PAD_ID  # (B, L)
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.places(places))
        mask = torch.zeros(present.shape, dtype=x.dtype, device=ids.device).masked_fill(~present, -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        weight = present.unsqueeze(-1).to(torch.float32)
        pooled: Tensor = (x.to(torch.float32) * weight).sum(1) / weight.sum(1).clamp(min=1.0)
        return pooled

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(sentiment logits (B, 3), topic logits (B, 21)) in fp32; the heads are small and stay exact."""
        pooled = self.encode(ids)
        with torch.autocast(ids.device.type, enabled=False):
            return (
                functional.linear(pooled, self.sentiment.weight.float(), self.sentiment.bias.float()),
                functional.linear(pooled, self.topics.weight.float(), self.topics.bias.float()),
            )


def from_bert(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Encoder weights of a BertModel under our names. Its single used token type is added to the positions."""
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
            mine[f"{ours}attended.{part}"] = state[f"{theirs}attention.output.dense.{part}"]
            mine[f"{ours}attended_norm.{part}"] = state[f"{theirs}attention.output.LayerNorm.{part}"]
            mine[f"{ours}wide.{part}"] = state[f"{theirs}intermediate.dense.{part}"]
            mine[f"{ours}narrow.{part}"] = state[f"{theirs}output.dense.{part}"]
            mine[f"{ours}norm.{part}"] = state[f"{theirs}output.LayerNorm.{part}"]
    return mine


def sentiment_loss(logits: Tensor, right: Tensor, possible: Tensor) -> Tensor:
    """Mean of -log p(right | possible) over the rows that have a label; 0 when none has.

    right, possible: (B, 3) bool. A set without a neutral class makes only the other two possible; "not negative" makes
    two classes right; a row without a label has nothing possible.
    """
    rows = possible.any(1)
    if not bool(rows.any()):
        return logits.sum() * 0.0
    masked = logits[rows].masked_fill(~possible[rows], -1e4)
    wanted = logits[rows].masked_fill(~right[rows], -1e4)
    return (masked.logsumexp(1) - wanted.logsumexp(1)).mean()


def topic_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted binary cross-entropy summed over a row's known topics, mean over rows with any; 0 when none has."""
    rows = weights.sum(1) > 0
    if not bool(rows.any()):
        return logits.sum() * 0.0
    each = functional.binary_cross_entropy_with_logits(logits[rows], targets[rows], reduction="none")
    return (each * weights[rows]).sum(1).mean()
