"""Small models for tests: the shipped tokenizer with an untrained network of one layer, as a classifier and as version folders."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
import torch
from tokenizers import Tokenizer

from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS, Shape
from models.inference.network import Network, pack_weights
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import CONFIG, README, TOKENIZER, WEIGHTS, Manifest, shipped, write_version

HEADS = {"sentiment": 3, "topics": len(TOPIC_KEYS)}


@cache
def shipped_tokenizer() -> Tokenizer:
    """The tokenizer of the shipped model."""
    return Tokenizer.from_file(str(shipped() / TOKENIZER))


def tiny_network(outputs: Mapping[str, int] = HEADS, *, seed: int = 0, hidden: int = 32, positions: int = 128) -> Network:
    """An untrained network of one layer with these heads; deterministic for a seed."""
    torch.manual_seed(seed)
    vocabulary = shipped_tokenizer().get_vocab_size()
    return Network(Shape(vocabulary, hidden, 1, 2, 2 * hidden, positions, 1e-5, dict(outputs)))


def tiny_classifier(network: Network | None = None, *, max_tokens: int = 64, version: str = "tiny") -> TransformerClassifier:
    """A classifier with that network, or the given one, in fp32."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    manifest = Manifest(version, now, SENTIMENTS, TOPIC_KEYS, {}, {}, max_tokens, {}, {}, {}, {})
    return TransformerClassifier(network or tiny_network(), shipped_tokenizer(), manifest, dtype=torch.float32)


def nan_network() -> Network:
    """A network as left by a diverged training run: every head outputs NaN."""
    network = tiny_network()
    for name in HEADS:
        torch.nn.init.constant_(network.head(name).weight, torch.nan)
    return network


def write_tiny(
    folder: Path, version: str, *, network: Network | None = None, seed: int = 0, outputs: Mapping[str, int] = HEADS, parent: str = ""
) -> Manifest:
    """Write a valid version folder with the given network, or with an untrained one."""
    network = network or tiny_network(outputs, seed=seed)
    manifest = Manifest(
        version=version,
        created=datetime(2026, 1, 1, seed % 24, tzinfo=UTC),
        sentiments=SENTIMENTS,
        topics=TOPIC_KEYS,
        risks=RISK_KEYS if "risks" in network.shape.outputs else (),
        temperatures={},
        thresholds={},
        max_tokens=32,
        data={},
        dev={},
        settings={},
        files={},
        parent=parent,
    )
    contents = {
        WEIGHTS: pack_weights(network.state_dict()),
        TOKENIZER: shipped_tokenizer().to_str().encode(),
        CONFIG: msgspec.json.encode(network.shape),
        README: b"made in a test\n",
    }
    return write_version(folder, contents, manifest)
