"""Converts a person's feedback on an article into training labels. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from core.errors import BadRecord
from core.records import Score
from core.taxonomy import TOPIC_KEYS, sentiment_of
from core.untrusted_text import plain
from storage.store import Label
from storage.tables.labels import SENTIMENTS

LabelKind = Literal["right", "sentiment", "topics"]
NOBODY = "local"
WHOLE = "*"
"""Value that stands for the whole text instead of a company."""


def labels_of(score: Score, kind: LabelKind, company: Any, sentiment: Any, topics: Any, *, author: str, now: datetime) -> list[Label]:
    """The labels that a person's feedback on a score gives. Values from the browser are not trusted.

    Args:
        kind: "right" confirms the sentiment towards `company`, or that of the whole text and its topics; "sentiment" and "topics"
            give the correct ones.
        company: Key of a company; WHOLE for the whole text.
        author: Who gave the feedback.

    Raises:
        BadRecord: The feedback is empty or does not fit the article.
    """
    signed = {"id": score.id, "author": plain(author, 80) or NOBODY, "model": score.model, "labelled_at": now}
    if kind == "topics":
        chosen = known_topics(topics)
        if not chosen:
            raise BadRecord("no topic was chosen", stage="label")
        return [Label(task="topic", labels=chosen, **signed)]  # type: ignore[arg-type]
    about = company if isinstance(company, str) and company != WHOLE else ""
    towards = next((item for item in score.companies if item.company == about), None)
    if about and towards is None:
        raise BadRecord(f"the article does not name {plain(about, 64)}", stage="label")
    if kind == "right":
        judged = towards or score
        likeliest, _ = sentiment_of(judged.p_negative, judged.p_neutral, judged.p_positive)
        found = [Label(task="sentiment", company=about, labels=(likeliest,), **signed)]  # type: ignore[arg-type]
        known = () if towards else known_topics(list(score.topics))
        return [*found, Label(task="topic", labels=known, **signed)] if known else found  # type: ignore[arg-type]
    if sentiment not in SENTIMENTS:
        raise BadRecord("no sentiment was chosen", stage="label")
    return [Label(task="sentiment", company=about, labels=(sentiment,), **signed)]  # type: ignore[arg-type]


def known_topics(topics: Any) -> tuple[str, ...]:
    """The topics that the model is trained on, without duplicates. Topics that analysts define are trained separately."""
    given: Sequence[Any] = topics if isinstance(topics, list | tuple) else ()
    return tuple(dict.fromkeys(topic for topic in given if isinstance(topic, str) and topic in TOPIC_KEYS))
