"""Files of a model version and its manifest, which is written last and holds the SHA-256 of every file. Needs no torch.

    VERSION/  model.safetensors  tokenizer.json  config.json  README.md  manifest.json

No other files are accepted: no pickle, no code, no links. Each file is read once, so the bytes that were verified are the bytes that
are loaded.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec

from core.errors import ModelError
from core.files import write_atomically
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS, LabelSet, Shape

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
README = "README.md"
FILES = (WEIGHTS, TOKENIZER, CONFIG, README)


def shipped() -> Path:
    """The folder of the model that comes with Tocsin."""
    return Path(__file__).parents[1] / "weights"


class Abstention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Abstention rule of a sentiment head, from the dev sets.

    threshold: calibrated probability from which predictions have a precision of 95 %
    coverage: share of texts with a prediction at or over the threshold
    """

    threshold: float
    coverage: float


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Description of a version: labels, calibration and origin.

    sentiments, topics, risks: outputs of these heads in order; risks is empty if the model has no such head
    labels: training set -> its original labels, in the order of the head `labels`
    sentiment_sets: published sets, "SET" or "SET.company", in the order of the head `set_sentiments`
    temperatures: "HEAD.LANGUAGE" or "labels.SET" -> divisor of the logits
    thresholds: topic, or "risk:" and a risk event -> calibrated probability from which it applies
    abstain: "HEAD.LANGUAGE" -> abstention rule for a precision of 95 %
    parent: version from which training started, or ""
    max_tokens: length in training; longer documents are cut
    data: training set -> rows; dev: set -> metric -> value on its dev split
    settings: options of the training run
    files: file name -> SHA-256 in hex
    """

    version: str
    created: datetime
    sentiments: tuple[str, ...]
    topics: tuple[str, ...]
    temperatures: dict[str, float]
    thresholds: dict[str, float]
    max_tokens: int
    data: dict[str, int]
    dev: dict[str, dict[str, float]]
    settings: dict[str, float | int | str]
    files: dict[str, str]
    risks: tuple[str, ...] = ()
    labels: dict[str, LabelSet] = {}
    abstain: dict[str, Abstention] = {}
    parent: str = ""
    sentiment_sets: tuple[str, ...] = ()


def read_verified(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read a version folder and verify the hash of every file.

    Returns:
        The manifest, and file name -> content.

    Raises:
        ModelError: a file is missing, changed, a link or not in the manifest, or the labels are not those of this program.
    """
    manifest = read_manifest(folder)
    extra = sorted(path.name for path in folder.iterdir() if path.name not in {*manifest.files, MANIFEST})
    if extra:
        message = f"{folder}: {extra[0]} is not in the manifest; a model folder may hold safetensors and JSON only: remove it"
        raise ModelError(message)
    contents = {}
    for name, digest in manifest.files.items():
        content = read_plain_file(folder / name)
        if hashlib.sha256(content).hexdigest() != digest:
            message = f"{folder / name}: its SHA-256 is not the manifest's: the file is damaged or was changed; restore it"
            raise ModelError(message)
        contents[name] = content
    return manifest, contents


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a version folder without verifying its files. Raises ModelError."""
    if not (folder / MANIFEST).is_file():
        message = f"{folder}: no {MANIFEST}: not a Tocsin model, or its training did not finish"
        raise ModelError(message)
    try:
        manifest = msgspec.json.decode(read_plain_file(folder / MANIFEST), type=Manifest)
    except msgspec.MsgspecError as error:
        message = f"{folder / MANIFEST}: not a manifest of this version of Tocsin ({error})"
        raise ModelError(message) from error
    if sorted(manifest.files) != sorted(FILES):
        message = f"{folder / MANIFEST}: lists the files {sorted(manifest.files)} instead of {sorted(FILES)}"
        raise ModelError(message)
    if manifest.sentiments != SENTIMENTS or manifest.topics != TOPIC_KEYS or not set(manifest.risks) <= set(RISK_KEYS):
        message = f"{folder / MANIFEST}: the model's labels differ from this program's taxonomy; train the model again"
        raise ModelError(message)
    return manifest


def read_plain_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises ModelError for a link, a folder or an unreadable file."""
    if path.is_symlink() or not path.is_file():
        message = f"{path}: not a plain file"
        raise ModelError(message)
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read ({error})"
        raise ModelError(message) from error


def write_version(folder: Path, contents: dict[str, bytes], manifest: Manifest) -> Manifest:
    """Write a version folder, the manifest last and with all hashes, so that an incomplete version is never loaded.

    Returns:
        The manifest with the hashes of `contents`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    complete = msgspec.structs.replace(manifest, files=files)
    write_atomically(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(complete), indent=2) + b"\n")
    return complete


def read_shape(content: bytes) -> Shape:
    """Sizes of the network from the content of config.json. Raises ModelError."""
    try:
        return msgspec.json.decode(content, type=Shape)
    except msgspec.MsgspecError as error:
        message = f"{CONFIG}: not the sizes of a network ({error})"
        raise ModelError(message) from error
