"""Why does the model say so? What each word of a text adds to, or takes from, the log odds of one class.

    text ─▶ word vectors ─▶ some points on the way from blank vectors to them, one batch ─▶ gradients ─▶ weights of pieces ─▶ words

Integrated gradients (Sundararajan, Taly and Yan 2017, Axiomatic attribution for deep networks): the weights of all words add up to
the log odds of the text less those of the same text with every word blank, to the accuracy of the integral (`Explanation.gap`).
Places, marks and the company that the text is read for stay as they are. bench/explanations.py holds the weights against the model.
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
from models.inference.classifier import Document
from models.inference.encoding import CHARACTERS_PER_TOKEN, compose, encode_pairs
from models.inference.entities import Piece, pieces_of
from models.inference.probabilities import sigmoid, softmax
from models.inference.transformer import TransformerClassifier, company_pair

POINT_TOKENS = 1536
"""Tokens in all points of one integral together: a title gets MOST_STEPS points, a full text of 96 tokens 16."""
FEWEST_STEPS, MOST_STEPS = 8, 32
BLANK = "<mask>"
EXPLAINED = ("sentiment", "topics", "risks")

#: What is joined to one word: letters and digits of scripts that have spaces, with marks inside such as in 3.5, don't, AT&T.
_WORD = re.compile(r"[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+(?:['’.,&/-][^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+)*")


class Word(NamedTuple):
    """text[start:end] of the explained text, and how much it adds to the log odds of the class (negative: takes away)."""

    start: int
    end: int
    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why `label` has `probability`.

    text: what was explained; all places are places in it
    words: in order, all that was read and is not space; what follows the last word was beyond the model's length
    head: the head that was asked, such as "company" when the sentiment was towards one
    probability: calibrated, as `classify` says it
    gap: log odds that the words' weights do not account for: the integral's own error
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
) -> Explanation:
    """The words of an article behind one class of one head.

    company: a name in the text that the sentiment is towards; head: one of EXPLAINED; label: the class, by default the likeliest
    steps: points of the integral, by default as many as POINT_TOKENS allows; time grows with them
    Raises ModelError for a text without words, and for a head or a class that the model does not have.
    """
    whole = compose(title, text) if title.strip() and text.strip() else title or text
    name = head_of(classifier, head, company, genre)
    labels = labels_of(classifier, name)
    if label is not None and label not in labels:
        message = f"{label!r} is no class of {name}; its classes are {', '.join(labels)}"
        raise ModelError(message)
    read, company = company_pair(whole, company if name in SENTIMENT_HEADS else "", language)
    before = len(whole) - len(read)
    ids = encode_pairs(classifier.tokenizer, [(read, company)], classifier.max_tokens)[0]
    limit = classifier.max_tokens
    encoding = classifier.tokenizer.encode(read[: limit * CHARACTERS_PER_TOKEN])
    kept = len(ids) if not company else min(len(encoding.ids), limit)
    pieces = [piece for piece in pieces_of(read, encoding) if piece.place < kept - 1]
    if not pieces:
        message = "a text with words is wanted: there is nothing to explain"
        raise ModelError(message)
    temperature = classifier.temperature(name, language)
    odds = classifier.logits([(read, company)])[name][0].astype(np.float64) / temperature
    chances = softmax(odds) if name in SENTIMENT_HEADS else sigmoid(odds)
    chosen = labels.index(label) if label is not None else int(chances.argmax())
    weights, gap = integrate(classifier, ids, [piece.place for piece in pieces], name, chosen, steps or steps_for(len(ids)))
    words = tuple(
        Word(start + before, end + before, read[start:end], weight / temperature)
        for start, end, weight in join_words(read, pieces, weights)
    )
    return Explanation(whole, words, name, labels[chosen], float(chances[chosen]), gap / temperature)


def explain_document(classifier: TransformerClassifier, document: Document) -> Explanation:
    """The words behind the likeliest sentiment of a document, towards its first company when it has one. Raises ModelError."""
    company = document.companies[0] if document.companies else ""
    return explain(classifier, document.title, document.text, document.language, company, genre=document.genre)


def head_of(classifier: TransformerClassifier, head: str, company: str = "", genre: str = "news") -> str:
    """The network's name of the head that is meant. Raises ModelError when the model does not have it."""
    present = classifier.network.shape.outputs
    name = sentiment_head(company, genre, present) if head == "sentiment" else head
    if head not in EXPLAINED or name not in present:
        message = (
            f"the model {classifier.version} has no head {head!r} to explain; it has {', '.join(h for h in EXPLAINED if h in present)}"
        )
        raise ModelError(message)
    return name


def labels_of(classifier: TransformerClassifier, head: str) -> tuple[str, ...]:
    """The classes of a head of EXPLAINED or of a kind of sentiment, in the order of its outputs."""
    return {"topics": classifier.manifest.topics, "risks": classifier.manifest.risks}.get(head, SENTIMENTS)


def steps_for(tokens: int) -> int:
    """How many points an integral over so many tokens gets."""
    return max(FEWEST_STEPS, min(MOST_STEPS, POINT_TOKENS // tokens))


def integrate(
    classifier: TransformerClassifier, ids: Sequence[int], places: Sequence[int], head: str, chosen: int, steps: int
) -> tuple[list[float], float]:
    """(weight of the token at each of `places`, the integral's error), in log odds before calibration.

    The points are those of Gauss and Legendre. Blank is `<mask>`: from `<pad>` the error is a third, but the words found heavy count
    for less when they are deleted (models/LOG.md).
    """
    network = classifier.network
    blank = classifier.tokenizer.token_to_id(BLANK)
    points, shares = np.polynomial.legendre.leggauss(steps)
    try:
        with torch.no_grad():
            there = network.words(torch.tensor([list(ids)]))[0].float()  # (L, H)
            here = there.clone()
            here[list(places)] = network.words(torch.tensor(blank)).float()
        way = there - here
        alphas = torch.tensor([*((points + 1) / 2), 0.0, 1.0], dtype=torch.float32)  # the two ends only for the error
        vectors = (here + alphas[:, None, None] * way).requires_grad_()  # (steps + 2, L, H)
        present = torch.ones(vectors.shape[:2], dtype=torch.bool)
        odds = log_odds(network.read(vectors.to(network.words.weight.dtype), present).logits[head], head)[:, chosen]
        gradients = torch.autograd.grad(odds[:-2].sum(), vectors)[0][:-2]
        weight = torch.tensor(shares / 2, dtype=torch.float32)
        found = ((weight[:, None, None] * gradients).sum(0) * way).sum(-1).tolist()  # (L)
    except RuntimeError as error:
        message = f"the model {classifier.version} could not explain a text of {len(ids)} tokens ({error})"
        raise ModelError(message) from error
    weights = [found[place] for place in places]
    return weights, float((odds[-1] - odds[-2]).detach()) - sum(weights)


def log_odds(logits: Tensor, head: str) -> Tensor:
    """Log odds (N, size) of each class: against all others where one class is right, else its logit."""
    if head not in SENTIMENT_HEADS:
        return logits
    others = [logits[:, [j for j in range(logits.shape[1]) if j != i]].logsumexp(-1) for i in range(logits.shape[1])]
    return logits - torch.stack(others, -1)


def join_words(text: str, pieces: Sequence[Piece], weights: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    """(start, end, weight) of each word: pieces of one word of a script with spaces are one, and so are pieces of one character."""
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
