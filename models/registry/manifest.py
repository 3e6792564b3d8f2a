"""Is this folder a model of ours, whole and unchanged? A manifest, written last, holds the SHA-256 of every file.

    VERSION/  model.safetensors  tokenizer.json  config.json  README.md  manifest.json

Nothing else may lie beside them: no pickle, no code, no links. What is checked is what is used: files are read once, and the
bytes that were hashed are the bytes that are loaded.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec

from core.errors import ModelError
from core.files import write_whole
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
    """From which calibrated probability a sentiment is right 19 times in 20 on dev, and on what share of texts it is that sure."""

    threshold: float
    coverage: float


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version is, where it came from, and how to read its numbers.

    sentiments, topics, risks: the order of those heads' outputs; risks is empty where the model has no such head
    labels: training set -> its own labels, as the head `labels` has them
    temperatures: "HEAD.LANGUAGE", or "labels.SET" -> what its logits are divided by
    thresholds: topic, or "risk:" and a risk event -> calibrated probability from which it applies
    abstain: "HEAD.LANGUAGE" -> where to abstain for 95 % precision
    parent: the version that training went on from
    max_tokens: the length the model was trained at; longer documents are cut
    data: set -> training rows; dev: set -> metric -> value on its dev split
    files: name -> SHA-256 in hex
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


def read_verified(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """(manifest, content of each of its files), every byte checked.

    Raises ModelError when a file is missing, changed, a link, or not one of ours, and when the labels are not this program's.
    """
    manifest = read_manifest(folder)
    extra = sorted(path.name for path in folder.iterdir() if path.name not in {*manifest.files, MANIFEST})
    if extra:
        message = f"{folder}: {extra[0]} is not in the manifest; a model folder holds safetensors and JSON only, so remove it"
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
    """What a version folder says of itself; its files are not looked at. Raises ModelError."""
    if not (folder / MANIFEST).is_file():
        message = f"{folder}: there is no {MANIFEST}: not a model of ours, or its training did not end"
        raise ModelError(message)
    try:
        manifest = msgspec.json.decode(read_plain_file(folder / MANIFEST), type=Manifest)
    except msgspec.MsgspecError as error:
        message = f"{folder / MANIFEST}: not a manifest of this version of Tocsin ({error})"
        raise ModelError(message) from error
    if sorted(manifest.files) != sorted(FILES):
        message = f"{folder / MANIFEST}: names {sorted(manifest.files)}, where {sorted(FILES)} are wanted"
        raise ModelError(message)
    if manifest.sentiments != SENTIMENTS or manifest.topics != TOPIC_KEYS or manifest.risks not in ((), RISK_KEYS):
        message = f"{folder / MANIFEST}: the model's labels are not this program's; train it again for the present taxonomy"
        raise ModelError(message)
    return manifest


def read_plain_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises ModelError for a link, a folder or an unreadable file."""
    if path.is_symlink() or not path.is_file():
        message = f"{path}: a plain file is wanted"
        raise ModelError(message)
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read ({error})"
        raise ModelError(message) from error


def write_version(folder: Path, contents: dict[str, bytes], manifest: Manifest) -> Manifest:
    """Write a version folder, its manifest last (with the hashes filled in), so that half a version is never loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    complete = msgspec.structs.replace(manifest, files=files)
    write_whole(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(complete), indent=2) + b"\n")
    return complete


def read_shape(content: bytes) -> Shape:
    """The encoder's sizes from config.json. Raises ModelError."""
    try:
        return msgspec.json.decode(content, type=Shape)
    except msgspec.MsgspecError as error:
        message = f"{CONFIG} does not give an encoder's sizes ({error})"
        raise ModelError(message) from error
