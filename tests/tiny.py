"""A classifier small enough to be made, and trained a little, inside a test: the shipped tokenizer under a network of one layer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

import torch
from tokenizers import Tokenizer

from core.taxonomy import TOPIC_KEYS
from models.heads import SENTIMENTS, Shape
from models.inference.network import Network
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import TOKENIZER, Manifest, shipped

HEADS = {"sentiment": 3, "topics": len(TOPIC_KEYS)}


@cache
def shipped_tokenizer() -> Tokenizer:
    """The tokenizer that comes with Tocsin."""
    return Tokenizer.from_file(str(shipped() / TOKENIZER))


def tiny_network(outputs: Mapping[str, int] = HEADS, *, seed: int = 0, hidden: int = 32, positions: int = 128) -> Network:
    """An untrained network of one layer with these heads, the same for the same seed."""
    torch.manual_seed(seed)
    vocabulary = shipped_tokenizer().get_vocab_size()
    return Network(Shape(vocabulary, hidden, 1, 2, 2 * hidden, positions, 1e-5, dict(outputs)))


def tiny_classifier(network: Network | None = None, *, max_tokens: int = 64, version: str = "tiny") -> TransformerClassifier:
    """That network behind the port, in fp32."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    manifest = Manifest(version, now, SENTIMENTS, TOPIC_KEYS, {}, {}, max_tokens, {}, {}, {}, {})
    return TransformerClassifier(network or tiny_network(), shipped_tokenizer(), manifest, dtype=torch.float32)
