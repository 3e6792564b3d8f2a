"""Training rows for a refresh: analysts' labels, and rehearsal rows against forgetting.

    analysts' labels ─▶ by hash of the story ─┬─▶ 4 in 5: rows with the source "feedback"
                                              └─▶ 1 in 5: frozen, for testing only
    labelled sets, or stored articles with confident predictions of the champion ─▶ rehearsal rows

A row has the fields of a labelled file, {text, label | labels, lang, genre, entity?, source}, and `task`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from core.errors import ModelError
from core.files import write_atomically
from models.heads import SENTIMENTS
from models.inference.classifier import Classifier, Document, Prediction
from models.inference.encoding import compose
from models.training.data import SAMPLING_PLANS
from models.training.examples import Row, read_rows
from storage.store import ArticleText, LabelledText, LabelTable

CONFIDENT = 0.9
SAMPLED = 3000
"""Stored articles per language; the champion is confident about roughly half of them."""
BATCH_SIZE = 256
FEEDBACK, REHEARSAL = "feedback", "rehearsal"


class Snapshot(msgspec.Struct, frozen=True):
    """The data of a refresh from the store. It is a value, so that a refresh can run in another process than the embedded store.

    labels: all labels of analysts; articles: a sample for rehearsal
    """

    labels: tuple[LabelledText, ...]
    articles: tuple[ArticleText, ...]


def take_snapshot(labels: LabelTable, sampled: int = SAMPLED) -> Snapshot:
    """Take a snapshot of a store. sampled: articles per language. Raises StoreError."""
    return Snapshot(tuple(labels.read()), tuple(text for language in ("en", "zh") for text in labels.sample(language, sampled)))


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot as JSON, for `tocsin refresh --snapshot`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.encode(snapshot))


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot. Raises ModelError when the file is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{path}: not a snapshot of labels and articles ({error})"
        raise ModelError(message) from error


def is_frozen(article: ArticleText) -> bool:
    """Whether the labels of an article are for testing only: a fixed fifth of stories, with all copies of a story together."""
    return hashlib.blake2b(article.story.encode(), digest_size=8).digest()[0] % 5 == 0


def labelled_since(labels: Iterable[LabelledText], moment: datetime | None) -> list[LabelledText]:
    """The labels given at or after `moment`; all for None."""
    return [each for each in labels if moment is None or each.label.labelled_at >= moment]


def document_of(article: ArticleText, company: str = "") -> Document | None:
    """The article as a document for a classifier; None if it does not mention the company."""
    if company and company not in article.companies:
        return None
    return Document(article.title, article.text, article.language, (article.companies[company],) if company else (), article.genre)


def feedback_rows(labels: Iterable[LabelledText]) -> list[Row]:
    """The rows of analysts' labels, in order, without labels for companies that the article does not mention."""
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


def rehearsal_from_sets(data: Path, wanted: int, rng: random.Random) -> list[Row]:
    """Draw up to `wanted` rows from the training splits of the labelled sets, in the proportions of training.

    Raises:
        ModelError: `data` has none of the sets.
    """
    pools = []
    for plan in SAMPLING_PLANS:
        path = data / plan.folder / f"{plan.source}.train.jsonl.gz"
        if path.is_file() and plan.cap != 0:
            rows = list(read_rows(path))
            pools.append((rows, plan.cap or len(rows)))
    if not pools:
        message = f"{data}: has none of the labelled sets (train split); see models/training/data.py for their names"
        raise ModelError(message)
    total = sum(share for _, share in pools)
    drawn = [row for rows, share in pools for row in rng.sample(rows, min(len(rows), max(1, wanted * share // total)))]
    return rng.sample(drawn, min(wanted, len(drawn)))


def rehearsal_from_articles(
    champion: Classifier, articles: Sequence[ArticleText], exclude: frozenset[str], wanted: int, rng: random.Random
) -> list[Row]:
    """Draw up to `wanted` rows from the champion's confident predictions on stored articles.

    Args:
        champion: the current model.
        articles: stored articles.
        exclude: labelled stories, which are left out.
        wanted: maximum number of rows.
        rng: random generator.

    Raises:
        ModelError: the champion fails.
    """
    known = [article for article in articles if article.story not in exclude]
    rows: list[Row] = []
    for start in range(0, len(known), BATCH_SIZE):
        some = known[start : start + BATCH_SIZE]
        documents = [Document(a.title, a.text, a.language, tuple(a.companies.values()), a.genre) for a in some]
        for article, prediction in zip(some, champion.classify(documents), strict=True):
            rows += _confident_rows(article, prediction)
    return rng.sample(rows, min(wanted, len(rows)))


def _confident_rows(article: ArticleText, prediction: Prediction) -> Iterator[Row]:
    if max(prediction.sentiment) >= CONFIDENT:
        yield _row(article, "sentiment", (_likeliest(prediction.sentiment),), "", REHEARSAL)
    for surface, sentiment in zip(article.companies.values(), prediction.companies, strict=True):
        if max(sentiment) >= CONFIDENT:
            yield _row(article, "sentiment", (_likeliest(sentiment),), surface, REHEARSAL)
    for task, predicted in (("topic", prediction.topics), ("risk", prediction.risks)):
        if all(p >= CONFIDENT for p in predicted.values()) and (predicted or task == "risk"):
            yield _row(article, task, sorted(predicted), "", REHEARSAL)


def _likeliest(sentiment: Sequence[float]) -> str:
    return SENTIMENTS[max(range(3), key=lambda i: sentiment[i])]
