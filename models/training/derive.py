"""Versions derived from others without training: recalibration on other dev sets, and averages of weights.

The average of two checkpoints of one training run is often better than either (Wortsman et al. 2022, Model soups).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from tokenizers import Tokenizer
from torch import Tensor

from core.errors import ModelError
from core.taxonomy import RISK_KEYS
from models.inference.network import Network, pack_weights, unpack_weights
from models.registry.manifest import CONFIG, TOKENIZER, WEIGHTS, Manifest, read_shape, read_verified, write_version
from models.training.calibrate import GUIDED_SETS, predict_dev, shift_priors
from models.training.data import read_split
from models.training.train import calibrate_and_score, dev_rows_of


def recalibrate(data: Path, start: Path, out: Path, *, now: datetime, version: str, priors: bool = False) -> Manifest:
    """Recalibrate a version on other dev sets, with its weights unchanged.

    Args:
        data: folder of labelled sets.
        start: the version folder.
        out: folder of the new version.
        now: time of creation.
        version: name of the new version.
        priors: also shift the biases of the guided heads to the class frequencies of guided dev, see `models.training.calibrate`.

    Returns:
        The manifest of the new version.

    Raises:
        ModelError: the version or the data cannot be read.
    """
    parent, contents = read_verified(start)
    return _write(data, out, contents, msgspec.structs.replace(parent, version=version, created=now, parent=parent.version), priors)


def average(data: Path, starts: Sequence[tuple[Path, float]], out: Path, *, now: datetime, version: str) -> Manifest:
    """Average the weights of versions and calibrate the result.

    Args:
        data: folder of labelled sets, for calibration.
        starts: version folders with their weights in the average.
        out: folder of the new version.
        now: time of creation.
        version: name of the new version.

    Returns:
        The manifest of the new version.

    Raises:
        ModelError: the versions differ in sizes, tokenizer or labels.
    """
    read = [(*read_verified(folder), share) for folder, share in starts]
    last, contents, _ = read[-1]
    total = sum(share for *_, share in read)
    mean: dict[str, Tensor] = {}
    for manifest, theirs, share in read:
        if _signature(manifest, theirs) != _signature(last, contents):
            message = f"{manifest.version} and {last.version} differ in sizes, vocabulary or labels: they cannot be averaged"
            raise ModelError(message)
        for name, value in unpack_weights(theirs[WEIGHTS]).items():
            part = value.float() * (share / total)
            mean[name] = mean[name] + part if name in mean else part
    made_of = ", ".join(f"{manifest.version} {share / total:.2f}" for manifest, _, share in read)
    settings = {**last.settings, "version": version, "average": made_of}
    changed = msgspec.structs.replace(last, version=version, created=now, parent=last.version, settings=settings)
    return _write(data, out, {**contents, WEIGHTS: pack_weights(mean)}, changed)


def _signature(manifest: Manifest, contents: dict[str, bytes]) -> tuple[object, ...]:
    """What must be equal in two versions whose weights are averaged."""
    return read_shape(contents[CONFIG]), _pieces(contents), manifest.labels, manifest.risks, manifest.sentiment_sets


def _pieces(contents: dict[str, bytes]) -> dict[str, int]:
    return Tokenizer.from_buffer(contents[TOKENIZER]).get_vocab()


def _write(data: Path, out: Path, contents: dict[str, bytes], manifest: Manifest, priors: bool = False) -> Manifest:
    """Calibrate on dev and write the version. Raises ModelError if the version was trained with other risk events than today's."""
    if tuple(manifest.risks) != RISK_KEYS:
        message = f"{manifest.version} has other risk events than this release; train it first: tocsin train --start"
        raise ModelError(message)
    network = Network(read_shape(contents[CONFIG]))
    network.load_state_dict(unpack_weights(contents[WEIGHTS]))
    tokenizer = Tokenizer.from_buffer(contents[TOKENIZER])
    dev = {source: dev_rows_of(tokenizer, found) for source, found in read_split(data, "dev").items()}
    if priors:
        outputs_by_set = {source: predict_dev(network, dev[source]) for source in GUIDED_SETS if source in dev}
        shifts = shift_priors(network, dev, outputs_by_set)
        contents = {**contents, WEIGHTS: pack_weights(network.state_dict())}
        network.load_state_dict(unpack_weights(contents[WEIGHTS]))
        settings = {f"shift.{head}": " ".join(map(str, values)) for head, values in shifts.items()}
        manifest = msgspec.structs.replace(manifest, settings={**manifest.settings, **settings})
    found, scores = calibrate_and_score(network, dev, manifest.labels, None, manifest.sentiment_sets)
    changed = msgspec.structs.replace(
        manifest, temperatures=found.temperatures, thresholds=found.thresholds, abstain=found.abstain, dev=scores
    )
    return write_version(out, contents, changed)
