"""SQL of labels: feedback of people on articles, and the texts for training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from core.chunks import chunks
from core.errors import BadRecord
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, new_version, to_epoch

Task = Literal["sentiment", "topic", "risk"]
SENTIMENTS = ("negative", "neutral", "positive")
KNOWN: dict[str, tuple[str, ...]] = {"sentiment": SENTIMENTS, "topic": TOPIC_KEYS, "risk": RISK_KEYS}


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A label of a person for one article.

    Attributes:
        id: id of the article
        labels: one sentiment, or all topics that apply (at least one), or all risk events that apply
        company: company whose sentiment it is; "" for the whole text
        model: version whose prediction the person saw; "" without one
    """

    id: str
    task: Task
    labels: tuple[str, ...]
    company: str = ""
    author: str
    model: str = ""
    labelled_at: datetime


class ArticleText(msgspec.Struct, frozen=True, kw_only=True):
    """The text of one article. story: shared by its near-duplicates; companies: key to the words that name it in the text"""

    id: str
    story: str
    title: str
    text: str
    language: str
    genre: str
    companies: dict[str, str]


class LabelledText(msgspec.Struct, frozen=True, kw_only=True):
    """A label with its article."""

    label: Label
    article: ArticleText


class LabelTable:
    """Labels of people, one per article, task and company; a later one replaces it."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def add(self, labels: Sequence[Label]) -> None:
        """Store labels. Raises BadRecord for an invalid label, before any is stored, and StoreError."""
        for label in labels:
            check(label)
        self._client.insert(
            "labels",
            {
                "id": [label.id for label in labels],
                "task": [label.task for label in labels],
                "company": [label.company for label in labels],
                "labels": [list(label.labels) for label in labels],
                "author": [label.author for label in labels],
                "model": [label.model for label in labels],
                "labelled_at": [to_epoch(label.labelled_at) for label in labels],
                "version": [new_version()] * len(labels),
            },
        )

    def read(self, since: datetime | None = None) -> list[LabelledText]:
        """Labels since then with their articles, oldest first; labels of deleted articles are left out. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT id, task, company, labels, author, model, toUInt32(labelled_at) FROM labels FINAL
            WHERE labelled_at >= toDateTime({since:UInt32}) ORDER BY labelled_at, id, task, company
            """,
            since=to_epoch(since) if since else 0,
        )
        labels = [_label(row) for row in rows]
        texts = self.texts(list(dict.fromkeys(label.id for label in labels)))
        return [LabelledText(label=label, article=texts[label.id]) for label in labels if label.id in texts]

    def of_article(self, article_id: str) -> list[Label]:
        """Labels of one article by task and company. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT id, task, company, labels, author, model, toUInt32(labelled_at) FROM labels FINAL
            WHERE id = {id:String} ORDER BY task, company
            """,
            id=article_id,
        )
        return [_label(row) for row in rows]

    def page(self, limit: int, *, until: datetime | None = None, after: tuple[int, str, str, str] | None = None) -> list[Label]:
        """Labels given before `until`, newest first, those behind `after` only. Raises StoreError.

        after: of the last one of the page before: when it was given (seconds since 1970), id, task and company
        """
        at, ident, task, company = after or (2**32 - 1, "", "", "")
        rows = self._client.query(
            """
            SELECT id, task, company, labels, author, model, toUInt32(labelled_at) FROM labels FINAL
            WHERE labelled_at < toDateTime({until:UInt32})
              AND (toUInt32(labelled_at) < {at:UInt32} OR (toUInt32(labelled_at) = {at:UInt32}
                   AND (id, task, company) > ({id:String}, {task:String}, {company:String})))
            ORDER BY labelled_at DESC, id, task, company LIMIT {limit:UInt32}
            """,
            limit=limit,
            until=to_epoch(until) if until else 2**32 - 1,
            at=at,
            id=ident,
            task=task,
            company=company,
        )
        return [_label(row) for row in rows]

    def texts(self, ids: Sequence[str]) -> dict[str, ArticleText]:
        """Texts of those of `ids` that are stored. Raises StoreError."""
        found: dict[str, ArticleText] = {}
        for some in chunks(ids):
            rows = self._client.query(
                f"SELECT {_COLUMNS} FROM articles WHERE id IN {{ids:Array(String)}} ORDER BY id, version DESC LIMIT 1 BY id",
                ids=some,
            )
            found |= {row[0]: _text(row) for row in rows}
        return found

    def sample(self, language: str, limit: int) -> list[ArticleText]:
        """A reproducible uniform sample of up to `limit` stored articles of a language. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT DISTINCT id, cityHash64(id) FROM articles WHERE language = {language:String}
            ORDER BY cityHash64(id), id LIMIT {limit:UInt32}
            """,
            language=language,
            limit=limit,
        )
        return list(self.texts([str(row[0]) for row in rows]).values())


_COLUMNS = "id, story, title, text, language, genre, companies, surfaces"


def check(label: Label) -> None:
    """Raises BadRecord for a label that is not valid for its task."""
    if label.task not in get_args(Task):
        raise BadRecord(f"unknown task {label.task!r}; the tasks are {', '.join(get_args(Task))}", stage="label")
    unknown = [name for name in label.labels if name not in KNOWN[label.task]]
    if unknown:
        raise BadRecord(f"unknown {label.task} {unknown[0]!r}; expected one of {', '.join(KNOWN[label.task])}", stage="label")
    if label.task == "sentiment" and len(label.labels) != 1:
        raise BadRecord(f"expected exactly one sentiment of {', '.join(SENTIMENTS)}, not {len(label.labels)}", stage="label")
    if label.task == "topic" and not label.labels:
        raise BadRecord('an article needs at least one topic; "other" is a topic too', stage="label")
    if label.company and label.task != "sentiment":
        raise BadRecord(f"a {label.task} label applies to the whole text and must not name a company", stage="label")
    if not (label.id and label.author):
        raise BadRecord("a label needs an article id and an author", stage="label")


def _label(row: Sequence[Any]) -> Label:
    return Label(id=row[0], task=row[1], company=row[2], labels=tuple(row[3]), author=row[4], model=row[5], labelled_at=from_epoch(row[6]))


def _text(row: Sequence[Any]) -> ArticleText:
    ident, story, title, text, language, genre, companies, surfaces = row
    return ArticleText(
        id=ident,
        story=story,
        title=title,
        text=text,
        language=language,
        genre=genre or "news",
        companies=dict(zip(companies, surfaces, strict=False)) if len(companies) == len(surfaces) else {},
    )
