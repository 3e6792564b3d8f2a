"""Versions that are made of others without training: read anew by other dev sets, or the mean of several.

The mean of two stops on one way of training is often better than either: what the later one learned by heart is halved, what both
learned stays (Wortsman et al., Model soups, 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from tokenizers import Tokenizer
from torch import Tensor

from core.errors import ModelError
from models.inference.network import Network
from models.inference.weight_packing import pack_weights, unpack_weights
from models.registry.manifest import CONFIG, TOKENIZER, WEIGHTS, Manifest, read_shape, read_verified, write_version
from models.training.data import read_split
from models.training.train import dev_rows, measured


def recalibrate(data: Path, start: Path, out: Path, *, now: datetime, version: str) -> Manifest:
    """Write to `out` the version in `start` with its weights as they are, read anew by the dev sets in `data`; its manifest.

    Raises ModelError.
    """
    parent, contents = read_verified(start)
    return _write(data, out, contents, msgspec.structs.replace(parent, version=version, created=now, parent=parent.version))


def average(data: Path, starts: Sequence[tuple[Path, float]], out: Path, *, now: datetime, version: str) -> Manifest:
    """Write to `out` the mean of versions of one shape, each with its share, calibrated by the dev sets in `data`; its manifest.

    Raises ModelError where they are not of one shape, tokenizer and set of labels.
    """
    read = [(*read_verified(folder), share) for folder, share in starts]
    last, contents, _ = read[-1]
    total = sum(share for *_, share in read)
    mean: dict[str, Tensor] = {}
    for manifest, theirs, share in read:
        if (read_shape(theirs[CONFIG]), _pieces(theirs), manifest.labels) != (read_shape(contents[CONFIG]), _pieces(contents), last.labels):
            message = f"{manifest.version} and {last.version} differ in shape, vocabulary or labels: they have no mean"
            raise ModelError(message)
        for name, value in unpack_weights(theirs[WEIGHTS]).items():
            part = value.float() * (share / total)
            mean[name] = mean[name] + part if name in mean else part
    made_of = ", ".join(f"{manifest.version} {share / total:.2f}" for manifest, _, share in read)
    settings = {**last.settings, "version": version, "average": made_of}
    changed = msgspec.structs.replace(last, version=version, created=now, parent=last.version, settings=settings)
    return _write(data, out, {**contents, WEIGHTS: pack_weights(mean)}, changed)


def _pieces(contents: dict[str, bytes]) -> dict[str, int]:
    return Tokenizer.from_buffer(contents[TOKENIZER]).get_vocab()


def _write(data: Path, out: Path, contents: dict[str, bytes], manifest: Manifest) -> Manifest:
    """Calibrate by dev, and write."""
    network = Network(read_shape(contents[CONFIG]))
    network.load_state_dict(unpack_weights(contents[WEIGHTS]))
    tokenizer = Tokenizer.from_buffer(contents[TOKENIZER])
    dev = {source: dev_rows(tokenizer, found) for source, found in read_split(data, "dev").items()}
    found, scores = measured(network, dev, manifest.labels, None)
    changed = msgspec.structs.replace(
        manifest, temperatures=found.temperatures, thresholds=found.thresholds, abstain=found.abstain, dev=scores
    )
    return write_version(out, contents, changed)
