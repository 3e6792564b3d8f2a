"""The Kafka topics, and what each carries."""

from __future__ import annotations

from typing import NamedTuple


class TopicNames(NamedTuple):
    """Names of the topics of one installation; `prefix` keeps several apart on one broker.

    articles: Article, keyed by article id
    scores: Score, keyed by article id
    alerts: Alert, keyed by series
    """

    articles: str
    scores: str
    alerts: str


def topic_names(prefix: str = "") -> TopicNames:
    """The names under `prefix` (such as "tocsin."), which may be ""."""
    return TopicNames(f"{prefix}articles", f"{prefix}scores", f"{prefix}alerts")
