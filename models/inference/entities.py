"""Which persons, organisations and places does a text name, and where? The head `tags` as spans of the text as it was given.

    text ─▶ pieces with places ─▶ overlapping windows ─▶ tag logits, each piece from the window that sees most around it
         ─▶ Viterbi over legal BIO sequences ─▶ [Span]

Places are characters of the given text, never of what the tokenizer makes of it: its NFKC turns one "㈱" into three pieces, and
all three point at that one character. The piece "▁" alone stands for a space or for the beginning of the text: it is no part of
any span, neither in training nor in reading.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Encoding, Tokenizer

from core.errors import ModelError
from models.heads import ENTITY_TYPES, TAG_NAMES, TAGS
from models.inference.encoding import CHARACTERS_PER_TOKEN
from models.inference.engine import padded_batches
from models.inference.transformer import TransformerClassifier

Floats = npt.NDArray[np.float64]

IGNORED = -100
"""The tag id that torch's cross entropy leaves out: of <s>, </s> and bare spaces."""
SPACE = "▁"
OVERLAP = 4
"""Neighbouring windows share one piece in so many."""

_IDS = {name: i for i, name in enumerate(TAG_NAMES)}
_KINDS = tuple(name[2:] for name in TAG_NAMES)  # "" for O
_ILLEGAL = -1e9
_FIRST = np.array([_ILLEGAL if name.startswith("I") else 0.0 for name in TAG_NAMES])
_NEXT = np.array([[_ILLEGAL if to.startswith("I") and to[2:] != of[2:] else 0.0 for to in TAG_NAMES] for of in TAG_NAMES])


class Span(NamedTuple):
    """One mention: text[start:end].

    kind: one of models.heads.ENTITY_TYPES
    probability: the mean over its pieces of the head's probability of that kind
    """

    start: int
    end: int
    kind: str
    probability: float = 1.0


class Piece(NamedTuple):
    """One piece of the tokenizer: text[start:end], its space left out; start == end for one that stands for no character.

    place: where it stands among the text's token ids
    """

    place: int
    start: int
    end: int


def pieces_of(text: str, encoding: Encoding) -> list[Piece]:
    """The pieces of an encoded text that stand for characters of it, in order; marks and bare spaces are left out.

    Several pieces may share one character, and a mark that NFKC joined to its letter belongs to that letter's piece.
    """
    found = []
    rows = zip(encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True)
    for place, (token, (first, last), special) in enumerate(rows):
        if special or token == SPACE:
            continue
        start, end = first, last
        while start < end and text[start].isspace():
            start += 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        if start < end:
            found.append(Piece(place, start, end))
    return found


def spans_of_bio(tokens: Sequence[str], tags: Sequence[str], language: str) -> tuple[str, list[Span]]:
    """(text, its spans) of a sentence tagged token by token; tokens are joined by nothing in Chinese and by a space elsewhere.

    An I- that follows O or another kind begins a span; kinds that are not ours are O. Raises ModelError when the two differ in length.
    """
    if len(tokens) != len(tags):
        message = f"{len(tokens)} tokens have {len(tags)} tags; one tag a token is wanted ({' '.join(tokens[:5])} ...)"
        raise ModelError(message)
    gap = "" if language == "zh" else " "
    spans: list[Span] = []
    at, last = 0, ""
    for token, tag in zip(tokens, tags, strict=True):
        mark, _, kind = tag.partition("-")
        kind = kind if kind in ENTITY_TYPES else ""
        if kind and kind == last and mark == "I":
            spans[-1] = Span(spans[-1].start, at + len(token), kind)
        elif kind:
            spans.append(Span(at, at + len(token), kind))
        at, last = at + len(token) + len(gap), kind
    return gap.join(tokens), spans


def tag_ids(tokenizer: Tokenizer, text: str, spans: Iterable[Span], max_tokens: int) -> list[int]:
    """The tag of each token id that `encode_pairs(tokenizer, [(text, "")], max_tokens)` gives; IGNORED for those without characters.

    A piece belongs to the span that covers at least half of it. Pieces beyond `max_tokens` are dropped; the last id stays </s>.
    """
    encoding = tokenizer.encode(text[: max_tokens * CHARACTERS_PER_TOKEN])
    ids = [IGNORED] * len(encoding.ids)
    ordered, current, begun = sorted(spans), 0, -1
    for piece in pieces_of(text, encoding):
        while current < len(ordered) and ordered[current].end <= piece.start:
            current += 1
        covered, within = max(((_overlap(piece, ordered[i]), -i) for i in range(current, min(current + 2, len(ordered)))), default=(0, 0))
        within = -within
        if 2 * covered < piece.end - piece.start:
            ids[piece.place] = _IDS["O"]
            continue
        ids[piece.place] = _IDS[f"{'I' if within == begun else 'B'}-{ordered[within].kind}"]
        begun = within
    return ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], IGNORED]


def _overlap(piece: Piece, span: Span) -> int:
    return max(0, min(piece.end, span.end) - max(piece.start, span.start))


def tag_spans(classifier: TransformerClassifier, texts: Sequence[str], *, max_tokens: int | None = None) -> list[list[Span]]:
    """The spans of each text, in order of their places; a text's spans do not depend on the others.

    max_tokens: the length of a window, by default what the model was trained at; a longer text is read in several, to its end
    Raises ModelError when the model has no head `tags` or cannot read.
    """
    network = classifier.network
    if TAGS not in network.shape.outputs:
        message = f"the model {classifier.version} has no head {TAGS!r}: it finds no entities; choose or train one that has it"
        raise ModelError(message)
    length = min(max_tokens or classifier.manifest.max_tokens, network.shape.positions // 2)
    encodings = classifier.tokenizer.encode_batch(list(texts))
    logits = [np.zeros((len(encoding.ids), len(TAG_NAMES))) for encoding in encodings]
    windows = [(row, window) for row, encoding in enumerate(encodings) for window in _windows(len(encoding.ids) - 2, length - 2)]
    ids = [[encodings[row].ids[0], *encodings[row].ids[1:-1][window.start : window.end], encodings[row].ids[-1]] for row, window in windows]
    for (row, window), found in zip(windows, _tag_logits(classifier, ids), strict=True):
        mine = slice(window.first + 1, window.last + 1)  # ids begin with <s>
        logits[row][mine] = found[mine.start - window.start : mine.stop - window.start]
    return [_spans(pieces_of(text, encoding), rows) for text, encoding, rows in zip(texts, encodings, logits, strict=True)]


class _Window(NamedTuple):
    """Pieces [start, end) are read together, and of them [first, last) are taken from this reading."""

    start: int
    end: int
    first: int
    last: int


def _windows(pieces: int, size: int) -> list[_Window]:
    """Windows over `pieces`: each piece is taken once, and far from a window's edge where another window overlaps."""
    shared = size // OVERLAP
    step = size - shared
    starts = range(0, max(1, pieces - shared), step)
    return [
        _Window(
            start,
            min(start + size, pieces),
            start + shared // 2 if start else 0,
            start + step + shared // 2 if start != starts[-1] else pieces,
        )
        for start in starts
    ]


def _tag_logits(classifier: TransformerClassifier, ids: Sequence[Sequence[int]]) -> list[npt.NDArray[np.float32]]:
    """Tag logits (its length, 7) of each row of token ids."""
    logits: list[npt.NDArray[np.float32]] = [np.zeros((0, len(TAG_NAMES)), np.float32)] * len(ids)
    try:
        with torch.inference_mode():
            for batch, padded in padded_batches(ids):
                found = classifier.network(padded).logits[TAGS]
                for place, i in enumerate(batch):
                    logits[i] = found[place, : len(ids[i])].numpy()
    except RuntimeError as error:
        message = f"the model {classifier.version} could not tag {len(ids)} texts ({error})"
        raise ModelError(message) from error
    return logits


def _spans(pieces: Sequence[Piece], logits: Floats) -> list[Span]:
    """The spans of the likeliest legal sequence of tags; logits: (ids of the text, 7)."""
    if not pieces:
        return []
    rows = logits[[piece.place for piece in pieces]]
    chances = np.exp(rows - rows.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    spans: list[Span] = []
    parts: list[float] = []
    last = ""
    for piece, tag, chance in zip(pieces, viterbi(np.log(chances + 1e-30)), chances, strict=True):
        kind = _KINDS[tag]
        if kind:
            sure = float(chance[_IDS[f"B-{kind}"]] + chance[_IDS[f"I-{kind}"]])
            if kind == last and TAG_NAMES[tag].startswith("I"):
                parts.append(sure)
                spans[-1] = Span(spans[-1].start, max(spans[-1].end, piece.end), kind, sum(parts) / len(parts))
            else:
                parts = [sure]
                spans.append(Span(piece.start, piece.end, kind, sure))
        last = kind
    return spans


def viterbi(scores: Floats) -> list[int]:
    """The tags of the best sequence in which I-X follows only B-X or I-X; scores: log probabilities (N, 7), N >= 1.

    All legal steps cost the same. Source: Forney (1973), The Viterbi algorithm.
    """
    likeliest: list[int] = scores.argmax(1).tolist()
    if _FIRST[likeliest[0]] == 0 and not _NEXT[likeliest[:-1], likeliest[1:]].any():
        return likeliest
    best = _FIRST + scores[0]
    came = np.zeros(scores.shape, np.int64)
    for i in range(1, len(scores)):
        through = best[:, None] + _NEXT
        came[i] = through.argmax(0)
        best = through.max(0) + scores[i]
    path = [int(best.argmax())]
    for i in range(len(scores) - 1, 0, -1):
        path.append(int(came[i][path[-1]]))
    return path[::-1]
