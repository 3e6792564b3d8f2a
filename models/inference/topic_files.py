"""Own topics on disk: definitions and trained weights. Needs no torch.

    DATA_DIR/models/topics/  KEY.json (definition, hash of the weights; written last)  KEY.safetensors (trained weights)

The examples are stored with the definition, because the topic is trained again when the model changes: pooled vectors of two models
are not comparable.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path

import msgspec

from core.errors import ModelError
from core.files import write_atomically
from core.taxonomy import BY_KEY, Topic

_KEY = re.compile(r"[a-z][a-z0-9_]{1,39}")


class OwnTopic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Definition of an own topic.

    description: what it is about, in either language; the only information about it if there are no examples (zero-shot)
    examples: texts about the topic
    model: version that it was trained on; weights: SHA-256 of its safetensors file
    """

    key: str
    name_en: str
    name_zh: str
    created: datetime
    description: str = ""
    examples: tuple[str, ...] = ()
    model: str = ""
    weights: str = ""


def check_key(key: str) -> str:
    """Return `key` if it is valid for an own topic. Raises ModelError otherwise."""
    if not _KEY.fullmatch(key) or key in BY_KEY:
        why = "it is a built-in topic" if key in BY_KEY else "a key has 2 to 40 lower-case letters, digits and underscores, a letter first"
        message = f"topic {key!r}: {why}; choose another key"
        raise ModelError(message)
    return key


def write_topic(folder: Path, topic: OwnTopic, weights: bytes) -> OwnTopic:
    """Write a topic and return it with the hash of its weights. The definition is renamed into place last. Raises ModelError."""
    complete = msgspec.structs.replace(topic, weights=hashlib.sha256(weights).hexdigest())
    path = folder / f"{check_key(topic.key)}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.with_suffix(".safetensors").write_bytes(weights)
        write_atomically(path, msgspec.json.format(msgspec.json.encode(complete), indent=2) + b"\n")
    except OSError as error:
        message = f"{path}: the topic cannot be written ({error})"
        raise ModelError(message) from error
    return complete


def read_topic(path: Path) -> OwnTopic:
    """Read the topic of a KEY.json. Raises ModelError."""
    try:
        topic = msgspec.json.decode(path.read_bytes(), type=OwnTopic)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{path}: not a topic of this version of Tocsin ({error}); `tocsin topics remove {path.stem}` removes it"
        raise ModelError(message) from error
    if topic.key != path.stem:
        message = f"{path}: contains the topic {topic.key!r}; the file of a topic must be named after its key"
        raise ModelError(message)
    check_key(topic.key)
    return topic


def read_topics(folder: Path) -> list[OwnTopic]:
    """The topics of a folder, by key; none if the folder does not exist. Raises ModelError."""
    return [read_topic(path) for path in sorted(folder.glob("*.json"))]


def read_weights(folder: Path, topic: OwnTopic) -> bytes:
    """Read the trained weights of a topic and verify their hash. Raises ModelError."""
    path = folder / f"{topic.key}.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read ({error}); add the topic again"
        raise ModelError(message) from error
    if hashlib.sha256(content).hexdigest() != topic.weights:
        message = f"{path}: its SHA-256 is not the one in {topic.key}.json: the file is damaged or was changed; add the topic again"
        raise ModelError(message)
    return content


def remove_topic(folder: Path, key: str) -> bool:
    """Remove a topic; whether it existed."""
    there = False
    for suffix in (".json", ".safetensors", ".json.part"):
        path = folder / f"{check_key(key)}{suffix}"
        there |= path.exists()
        path.unlink(missing_ok=True)
    return there


def names_of(folder: Path) -> list[Topic]:
    """The names of the topics of a folder, for display. Unreadable files are skipped; the worker reports them."""
    named = []
    for path in sorted(folder.glob("*.json")):
        try:
            topic = read_topic(path)
        except ModelError:
            continue
        named.append(Topic(topic.key, topic.name_en, topic.name_zh))
    return named
