"""Explanation of a prediction: how much each word adds to the log odds of one class, by integrated gradients.

    text ─▶ embeddings ─▶ points between a blank baseline and them, one batch ─▶ gradients ─▶ weights of pieces ─▶ weights of words

Source: Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks. The weights of all words sum to the log odds of the
text minus those of the same text with every word blank, up to the error of the integral (`PredictionExplanation.gap`). Positions, special
tokens and the target company are held fixed. bench/explanations.py evaluates the weights by deleting words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.errors import ModelError
from models.heads import SENTIMENT_HEADS, SENTIMENTS, sentiment_head
from models.inference.classifier import sigmoid, softmax
from models.inference.encoding import CHARACTERS_PER_TOKEN, encode_pairs
from models.inference.entities import TokenPiece, pieces_of
from models.inference.transformer import TransformerClassifier

POINT_TOKENS = 1536
"""Token budget of one integral over all its points: a title gets MAX_STEPS points, a text of 96 tokens gets 16."""
MIN_STEPS, MAX_STEPS = 8, 32
BLANK = "<mask>"
EXPLAINED_HEADS = ("sentiment", "topics", "risks")

#: Pieces joined to one word: letters and digits of scripts with spaces, and punctuation inside words as in 3.5, don't, AT&T.
_WORD = re.compile(r"[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+(?:['’.,&/-][^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+)*")


class Word(NamedTuple):
    """One word, text[start:end] of the explained text. weight: its contribution to the log odds of the class, in either direction."""

    start: int
    end: int
    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class PredictionExplanation:
    """Explanation of one label.

    text: the explained text, as the model reads it (`TransformerClassifier.text_of`); offsets of words refer to it
    words: in order, without white space; text after the last word is beyond the model's length
    head: the network's head, such as "company" for a sentiment towards a company
    probability: of `label`, calibrated as in `classify`
    gap: log odds that the weights do not account for, the numerical error of the integral
    """

    text: str
    words: tuple[Word, ...]
    head: str
    label: str
    probability: float
    gap: float


def explain(
    classifier: TransformerClassifier,
    title: str,
    text: str,
    language: str,
    company: str = "",
    *,
    genre: str = "news",
    head: str = "sentiment",
    label: str | None = None,
    steps: int | None = None,
) -> PredictionExplanation:
    """Explain one class of one head for an article.

    Args:
        classifier: the model.
        title: title of the article.
        text: text of the article.
        language: "en" or "zh".
        company: a company named in the text, for the sentiment towards it.
        genre: genre of the article.
        head: one of EXPLAINED_HEADS.
        label: the class; None for the most probable one.
        steps: points of the integral; None for as many as POINT_TOKENS allows. Time is proportional to it.

    Raises:
        ModelError: the text has no words, or the model has no such head or class.
    """
    whole = classifier.text_of(title, text)
    name = head_of(classifier, head, company, genre)
    labels = labels_of(classifier, name)
    if label is not None and label not in labels:
        message = f"{label!r} is not a class of {name}; its classes are {', '.join(labels)}"
        raise ModelError(message)
    read, company = classifier.company_pair(whole, company if name in SENTIMENT_HEADS else "", language)
    before = len(whole) - len(read)
    ids = encode_pairs(classifier.tokenizer, [(read, company)], classifier.max_tokens)[0]
    limit = classifier.max_tokens
    encoding = classifier.tokenizer.encode(read[: limit * CHARACTERS_PER_TOKEN])
    kept = len(ids) if not company else min(len(encoding.ids), limit)
    pieces = [piece for piece in pieces_of(read, encoding) if piece.place < kept - 1]
    if not pieces:
        message = "the text has no words, so there is nothing to explain"
        raise ModelError(message)
    temperature = classifier.temperature(name, language)
    odds = classifier.logits([(read, company)])[name][0].astype(np.float64) / temperature
    probabilities = softmax(odds) if name in SENTIMENT_HEADS else sigmoid(odds)
    class_index = labels.index(label) if label is not None else int(probabilities.argmax())
    weights, gap = integrated_gradients(classifier, ids, [piece.place for piece in pieces], name, class_index, steps or steps_for(len(ids)))
    words = tuple(
        Word(start + before, end + before, read[start:end], weight / temperature)
        for start, end, weight in join_words(read, pieces, weights)
    )
    return PredictionExplanation(whole, words, name, labels[class_index], float(probabilities[class_index]), gap / temperature)


def head_of(classifier: TransformerClassifier, head: str, company: str = "", genre: str = "news") -> str:
    """The network's head for one of EXPLAINED_HEADS. Raises ModelError when the model does not have it."""
    present = classifier.network.shape.outputs
    name = sentiment_head(company, genre, present) if head == "sentiment" else head
    if head not in EXPLAINED_HEADS or name not in present:
        available = ", ".join(each for each in EXPLAINED_HEADS if each in present)
        message = f"the model {classifier.version} has no head {head!r} to explain; it has {available}"
        raise ModelError(message)
    return name


def labels_of(classifier: TransformerClassifier, head: str) -> tuple[str, ...]:
    """The classes of a head, in the order of its outputs."""
    return {"topics": classifier.manifest.topics, "risks": classifier.manifest.risks}.get(head, SENTIMENTS)


def steps_for(tokens: int) -> int:
    """Number of points of an integral over this many tokens."""
    return max(MIN_STEPS, min(MAX_STEPS, POINT_TOKENS // tokens))


def integrated_gradients(
    classifier: TransformerClassifier, ids: Sequence[int], places: Sequence[int], head: str, class_index: int, steps: int
) -> tuple[list[float], float]:
    """Integrated gradients of one output, by Gauss-Legendre quadrature.

    The baseline embedding is that of `<mask>`. With `<pad>` the numerical error is a third, but deleting the words with the largest
    weights changes the probability less (models/LOG.md).

    Args:
        classifier: the model.
        ids: token ids (L,).
        places: positions of the tokens to attribute to.
        head: name of the head.
        class_index: index of the output.
        steps: number of points.

    Returns:
        The weight of each of `places` and the error of the integral, both in log odds before calibration.
    """
    network = classifier.network
    blank = classifier.tokenizer.token_to_id(BLANK)
    points, shares = np.polynomial.legendre.leggauss(steps)
    try:
        with torch.no_grad():
            embeddings = network.words(torch.tensor([list(ids)]))[0].float()  # (L, H)
            baseline = embeddings.clone()
            baseline[list(places)] = network.words(torch.tensor(blank)).float()
        difference = embeddings - baseline
        alphas = torch.tensor([*((points + 1) / 2), 0.0, 1.0], dtype=torch.float32)  # the two ends only for the error
        vectors = (baseline + alphas[:, None, None] * difference).requires_grad_()  # (steps + 2, L, H)
        present = torch.ones(vectors.shape[:2], dtype=torch.bool)
        odds = log_odds(network.read(vectors.to(network.words.weight.dtype), present).logits[head], head)[:, class_index]
        gradients = torch.autograd.grad(odds[:-2].sum(), vectors)[0][:-2]
        weight = torch.tensor(shares / 2, dtype=torch.float32)
        found = ((weight[:, None, None] * gradients).sum(0) * difference).sum(-1).tolist()  # (L)
    except RuntimeError as error:
        message = f"the model {classifier.version} could not explain a text of {len(ids)} tokens ({error})"
        raise ModelError(message) from error
    weights = [found[place] for place in places]
    return weights, float((odds[-1] - odds[-2]).detach()) - sum(weights)


def log_odds(logits: Tensor, head: str) -> Tensor:
    """Log odds (N, size) of each class: against all other classes for a sentiment head, else the logit itself."""
    if head not in SENTIMENT_HEADS:
        return logits
    others = [logits[:, [j for j in range(logits.shape[1]) if j != i]].logsumexp(-1) for i in range(logits.shape[1])]
    return logits - torch.stack(others, -1)


def join_words(text: str, pieces: Sequence[TokenPiece], weights: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    """Merge pieces of the same word, or of the same character, and sum their weights; yields (start, end, weight)."""
    word_of = {place: match.start() for match in _WORD.finditer(text) for place in range(match.start(), match.end())}
    start = end = -1
    total = 0.0
    for piece, weight in zip(pieces, weights, strict=True):
        if end > piece.start or (end == piece.start and word_of.get(end - 1, -1) == word_of.get(piece.start, -2)):
            end, total = max(end, piece.end), total + weight
            continue
        if end > 0:
            yield start, end, total
        start, end, total = piece.start, piece.end, weight
    if end > 0:
        yield start, end, total
