"""The analysts' own topics on disk: what each is, and what was learned for it. No torch is needed to read their names.

    DATA_DIR/models/topics/  KEY.json (what it is, the hash of its weights; written last)  KEY.safetensors (what was learned)

The examples stay in the file, so that the topic is learned anew when another model takes over: vectors of two models do not compare.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path

import msgspec

from core.errors import ModelError
from core.files import write_whole
from core.taxonomy import BY_KEY, Topic

_KEY = re.compile(r"[a-z][a-z0-9_]{1,39}")


class OwnTopic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a topic is.

    description: what it is about, in any of the two languages; with no examples it is all that is known (zero-shot)
    examples: texts of the topic
    model: the version that it was learned on; weights: SHA-256 of its safetensors file
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
    """`key` itself. Raises ModelError when no own topic can be called so."""
    if not _KEY.fullmatch(key) or key in BY_KEY:
        taken = "is one of Tocsin's own topics" if key in BY_KEY else "has 2 to 40 small letters, digits and underscores, a letter first"
        message = f"topic {key!r}: a key {taken}; choose another"
        raise ModelError(message)
    return key


def write_topic(folder: Path, topic: OwnTopic, weights: bytes) -> OwnTopic:
    """Write a topic, its description last and by rename, so that half a topic is never read. Raises ModelError."""
    complete = msgspec.structs.replace(topic, weights=hashlib.sha256(weights).hexdigest())
    path = folder / f"{check_key(topic.key)}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.with_suffix(".safetensors").write_bytes(weights)
        write_whole(path, msgspec.json.format(msgspec.json.encode(complete), indent=2) + b"\n")
    except OSError as error:
        message = f"{path}: the topic cannot be written ({error})"
        raise ModelError(message) from error
    return complete


def read_topic(path: Path) -> OwnTopic:
    """The topic that a KEY.json describes. Raises ModelError."""
    try:
        topic = msgspec.json.decode(path.read_bytes(), type=OwnTopic)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{path}: not a topic of this version of Tocsin ({error}); `tocsin topics remove {path.stem}` takes it away"
        raise ModelError(message) from error
    if topic.key != path.stem:
        message = f"{path}: describes the topic {topic.key!r}; a topic's file has its name"
        raise ModelError(message)
    check_key(topic.key)
    return topic


def read_topics(folder: Path) -> list[OwnTopic]:
    """The topics of a folder by key; none when it is not there. Raises ModelError."""
    return [read_topic(path) for path in sorted(folder.glob("*.json"))]


def read_weights(folder: Path, topic: OwnTopic) -> bytes:
    """What was learned for a topic, its hash checked. Raises ModelError."""
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
    """Take a topic away; whether it was there."""
    there = False
    for suffix in (".json", ".safetensors", ".json.part"):
        path = folder / f"{check_key(key)}{suffix}"
        there |= path.exists()
        path.unlink(missing_ok=True)
    return there


def names_of(folder: Path) -> list[Topic]:
    """The names of the topics of a folder, for people. A file that cannot be read is passed over: the worker complains of it."""
    named = []
    for path in sorted(folder.glob("*.json")):
        try:
            topic = read_topic(path)
        except ModelError:
            continue
        named.append(Topic(topic.key, topic.name_en, topic.name_zh))
    return named
