"""What a refresh learns from, and what it must not forget, as rows that training reads.

    people's labels ─▶ by the story's hash ─┬─▶ 4 in 5: rows with source "feedback"
                                            └─▶ 1 in 5: frozen, never trained on
    labelled sets, or stored articles that the champion is sure of ─▶ rows to rehearse

A row is one of the evaluation's: {text, label | labels, lang, genre, entity?, source}, and `task`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from core.errors import ModelError
from core.files import write_whole
from models.heads import SENTIMENTS
from models.inference.classifier import Classifier, Document, Prediction
from models.inference.encoding import compose
from models.training.data import PLANS, Row, read_rows
from storage.store import ArticleText, LabelledText, Labels

SURE = 0.9
SAMPLED = 3000
"""Stored articles looked at per language; about half of them are sure."""
SLICE = 256
FEEDBACK, REHEARSAL = "feedback", "rehearsal"


class Snapshot(msgspec.Struct, frozen=True):
    """What a refresh reads of the store, so that it may run in another process: the embedded store has one owner.

    labels: all that people said; articles: a sample to rehearse
    """

    labels: tuple[LabelledText, ...]
    articles: tuple[ArticleText, ...]


def take_snapshot(labels: Labels, sampled: int = SAMPLED) -> Snapshot:
    """The snapshot of a store. Raises StoreError."""
    return Snapshot(tuple(labels.read()), tuple(text for language in ("en", "zh") for text in labels.sample(language, sampled)))


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write it as JSON, for `tocsin refresh --snapshot`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(snapshot))


def read_snapshot(path: Path) -> Snapshot:
    """Raises ModelError when the file is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{path}: not a snapshot of labels and articles ({error})"
        raise ModelError(message) from error


def is_frozen(article: ArticleText) -> bool:
    """Whether its labels are for testing only: the same fifth for ever, and all copies of a story on one side."""
    return hashlib.blake2b(article.story.encode(), digest_size=8).digest()[0] % 5 == 0


def since(labels: Iterable[LabelledText], moment: datetime | None) -> list[LabelledText]:
    """Those given at or after `moment`; all for None."""
    return [each for each in labels if moment is None or each.label.labelled_at >= moment]


def document_of(article: ArticleText, company: str = "") -> Document | None:
    """The article as a classifier reads it; None where it does not name the company."""
    if company and company not in article.companies:
        return None
    return Document(article.title, article.text, article.language, (article.companies[company],) if company else (), article.genre)


def feedback_rows(labels: Iterable[LabelledText]) -> list[Row]:
    """The rows of people's labels, in order; one towards a company that its text does not name is left out."""
    rows = []
    for each in labels:
        label, article = each.label, each.article
        if document_of(article, label.company) is not None:
            rows.append(_row(article, label.task, label.labels, article.companies.get(label.company, ""), FEEDBACK))
    return rows


def _row(article: ArticleText, task: str, labels: Sequence[str], entity: str, source: str) -> Row:
    row: Row = {
        "text": compose(article.title, article.text),
        "lang": article.language,
        "genre": article.genre,
        "source": source,
        "task": task,
    }
    row |= {"label": labels[0]} if task == "sentiment" else {"labels": list(labels)}
    return row | ({"entity": entity} if entity else {})


def rehearsal_from_sets(data: Path, wanted: int, dice: random.Random) -> list[Row]:
    """Up to `wanted` rows of the labelled sets' training splits, each set with its share in training. Raises ModelError without any."""
    pools = []
    for plan in PLANS:
        path = data / plan.folder / f"{plan.source}.train.jsonl.gz"
        if path.is_file() and plan.cap != 0:
            rows = list(read_rows(path))
            pools.append((rows, plan.cap or len(rows)))
    if not pools:
        message = f"{data}: none of the labelled sets is here (train split); see models/training/data.py for their names"
        raise ModelError(message)
    total = sum(share for _, share in pools)
    drawn = [row for rows, share in pools for row in dice.sample(rows, min(len(rows), max(1, wanted * share // total)))]
    return dice.sample(drawn, min(wanted, len(drawn)))


def rehearsal_from_articles(
    champion: Classifier, articles: Sequence[ArticleText], exclude: frozenset[str], wanted: int, dice: random.Random
) -> list[Row]:
    """Up to `wanted` rows of what the champion is sure of (SURE and over) in stored articles, so that it stays sure of it.

    exclude: stories that people labelled: there they know better. Raises ModelError.
    """
    known = [article for article in articles if article.story not in exclude]
    rows: list[Row] = []
    for start in range(0, len(known), SLICE):
        some = known[start : start + SLICE]
        documents = [Document(a.title, a.text, a.language, tuple(a.companies.values()), a.genre) for a in some]
        for article, prediction in zip(some, champion.classify(documents), strict=True):
            rows += _sure(article, prediction)
    return dice.sample(rows, min(wanted, len(rows)))


def _sure(article: ArticleText, prediction: Prediction) -> Iterator[Row]:
    if max(prediction.sentiment) >= SURE:
        yield _row(article, "sentiment", (_likeliest(prediction.sentiment),), "", REHEARSAL)
    for surface, sentiment in zip(article.companies.values(), prediction.companies, strict=True):
        if max(sentiment) >= SURE:
            yield _row(article, "sentiment", (_likeliest(sentiment),), surface, REHEARSAL)
    for task, said in (("topic", prediction.topics), ("risk", prediction.risks)):
        if all(p >= SURE for p in said.values()) and (said or task == "risk"):
            yield _row(article, task, sorted(said), "", REHEARSAL)


def _likeliest(sentiment: Sequence[float]) -> str:
    return SENTIMENTS[max(range(3), key=lambda i: sentiment[i])]
