"""Small but real model versions on disk, made inside a test: the shipped tokenizer under an untrained network of one layer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import torch

from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS
from models.inference.network import Network
from models.inference.weight_packing import pack_weights
from models.registry.manifest import CONFIG, README, TOKENIZER, WEIGHTS, Manifest, write_version
from tests.tiny import HEADS, shipped_tokenizer, tiny_network


def nan_network() -> Network:
    """A network as a training leaves it whose loss went to infinity: every head says NaN."""
    network = tiny_network()
    for name in HEADS:
        torch.nn.init.constant_(network.head(name).weight, torch.nan)
    return network


def write_tiny(
    folder: Path, version: str, *, network: Network | None = None, seed: int = 0, outputs: Mapping[str, int] = HEADS, parent: str = ""
) -> Manifest:
    """Write a version folder that loads and scores, with this network or an untrained one."""
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
