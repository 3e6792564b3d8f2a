"""Named entities: persons, organisations and locations of a text as character spans, from the head `tags`.

    text ─▶ pieces with offsets ─▶ overlapping windows ─▶ tag logits, each piece from the window with most context around it
         ─▶ Viterbi over valid BIO sequences ─▶ [Span]

Offsets refer to the given text, not to its normalised form: NFKC turns "㈱" into three pieces, and all three have the offset of that
one character. The piece "▁" alone stands for a space or the beginning of the text; it is not part of any span.
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
"""The target that torch's cross entropy ignores; used for <s>, </s> and bare spaces."""
SPACE = "▁"
OVERLAP = 4
"""Neighbouring windows share a quarter of their pieces (1 in 4)."""

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


class TokenPiece(NamedTuple):
    """One piece of the tokenizer: text[start:end], without the leading space.

    place: its position among the text's token ids
    """

    place: int
    start: int
    end: int


def pieces_of(text: str, encoding: Encoding) -> list[TokenPiece]:
    """The pieces of an encoded text, in order, without special tokens and bare spaces.

    Several pieces may share one character. A combining mark that NFKC joined to its letter belongs to that letter's piece.
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
            found.append(TokenPiece(place, start, end))
    return found


def spans_of_bio(tokens: Sequence[str], tags: Sequence[str], language: str) -> tuple[str, list[Span]]:
    """Convert BIO tags of tokens to a text and its spans.

    Args:
        tokens: joined without spaces in Chinese, else with a space between two.
        tags: one for each token. I-X after O or another type begins a span; unknown types count as O.
        language: language of the sentence.

    Raises:
        ModelError: the numbers of tokens and tags differ.
    """
    if len(tokens) != len(tags):
        message = f"{len(tokens)} tokens have {len(tags)} tags; one tag per token is required ({' '.join(tokens[:5])} ...)"
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
    """The tag id of each token that `encode_pairs(tokenizer, [(text, "")], max_tokens)` returns; IGNORED for special tokens and spaces.

    A piece belongs to the span that covers at least half of it. Pieces beyond `max_tokens` are dropped; the last token stays </s>.
    """
    encoding = tokenizer.encode(text[: max_tokens * CHARACTERS_PER_TOKEN])
    ids = [IGNORED] * len(encoding.ids)
    ordered, current, last_span = sorted(spans), 0, -1
    for piece in pieces_of(text, encoding):
        while current < len(ordered) and ordered[current].end <= piece.start:
            current += 1
        covered, within = max(((_overlap(piece, ordered[i]), -i) for i in range(current, min(current + 2, len(ordered)))), default=(0, 0))
        within = -within
        if 2 * covered < piece.end - piece.start:
            ids[piece.place] = _IDS["O"]
            continue
        ids[piece.place] = _IDS[f"{'I' if within == last_span else 'B'}-{ordered[within].kind}"]
        last_span = within
    return ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], IGNORED]


def _overlap(piece: TokenPiece, span: Span) -> int:
    return max(0, min(piece.end, span.end) - max(piece.start, span.start))


def tag_spans(classifier: TransformerClassifier, texts: Sequence[str], *, max_tokens: int | None = None) -> list[list[Span]]:
    """Find the entities of texts.

    Args:
        classifier: the model.
        texts: N texts of any length.
        max_tokens: length of a window; None for the length used in training. A longer text is read in several windows.

    Returns:
        The spans of each text, by position. They do not depend on the other texts.

    Raises:
        ModelError: the model has no head `tags`, or fails.
    """
    network = classifier.network
    if TAGS not in network.shape.outputs:
        message = f"the model {classifier.version} has no head {TAGS!r} for entities; choose or train a version that has it"
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
    """A window over the pieces [start, end), of which the tags of [first, last) are used."""

    start: int
    end: int
    first: int
    last: int


def _windows(pieces: int, size: int) -> list[_Window]:
    """Windows of `size` over all pieces. Each piece is used from one window, away from its edge where two windows overlap."""
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
    """Tag logits (L, 7) of each row of L token ids."""
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


def _spans(pieces: Sequence[TokenPiece], logits: Floats) -> list[Span]:
    """The spans of the most probable valid tag sequence. logits: (L, 7) for the token ids of the text."""
    if not pieces:
        return []
    rows = logits[[piece.place for piece in pieces]]
    probabilities = np.exp(rows - rows.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    spans: list[Span] = []
    parts: list[float] = []
    last = ""
    for piece, tag, row in zip(pieces, viterbi(np.log(probabilities + 1e-30)), probabilities, strict=True):
        kind = _KINDS[tag]
        if kind:
            confidence = float(row[_IDS[f"B-{kind}"]] + row[_IDS[f"I-{kind}"]])
            if kind == last and TAG_NAMES[tag].startswith("I"):
                parts.append(confidence)
                spans[-1] = Span(spans[-1].start, max(spans[-1].end, piece.end), kind, sum(parts) / len(parts))
            else:
                parts = [confidence]
                spans.append(Span(piece.start, piece.end, kind, confidence))
        last = kind
    return spans


def viterbi(scores: Floats) -> list[int]:
    """The best tag sequence in which I-X follows only B-X or I-X; all valid transitions have the same weight.

    Args:
        scores: log probabilities (N, 7), N >= 1.

    Returns:
        N tag ids.

    Source: Forney (1973), The Viterbi algorithm.
    """
    likeliest: list[int] = scores.argmax(1).tolist()
    if _FIRST[likeliest[0]] == 0 and not _NEXT[likeliest[:-1], likeliest[1:]].any():
        return likeliest
    best = _FIRST + scores[0]
    back_pointers = np.zeros(scores.shape, np.int64)
    for i in range(1, len(scores)):
        through = best[:, None] + _NEXT
        back_pointers[i] = through.argmax(0)
        best = through.max(0) + scores[i]
    path = [int(best.argmax())]
    for i in range(len(scores) - 1, 0, -1):
        path.append(int(back_pointers[i][path[-1]]))
    return path[::-1]
