"""Names of the Kafka topics."""

from __future__ import annotations

from typing import NamedTuple


class TopicNames(NamedTuple):
    """Topic names of one installation.

    Attributes:
        articles: Article, keyed by article id
        scores: Score, keyed by article id
        alerts: Alert, keyed by series
    """

    articles: str
    scores: str
    alerts: str


def topic_names(prefix: str = "") -> TopicNames:
    """The topic names with a prefix such as "tocsin.", which separates installations on one broker."""
    return TopicNames(f"{prefix}articles", f"{prefix}scores", f"{prefix}alerts")
