"""Which articles tell the same story? Pure: near-duplicates share a MinHash band; the first of them names the story."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from core.records import Article


def candidates(articles: Iterable[Article], stored: Mapping[int, str]) -> set[str]:
    """Stored stories among which one article has to choose: their beginnings decide (`assign`)."""
    found: set[str] = set()
    for article in articles:
        stories = {stored[band] for band in article.bands if band in stored}
        if len(stories) > 1:
            found |= stories
    return found


def assign(articles: Sequence[Article], stored: Mapping[int, str], began: Mapping[str, datetime]) -> dict[str, str]:
    """Article id to story: the earliest stored story that shares a band, else the earliest in the batch, else the article itself.

    The order of `articles` changes nothing: the earlier published one comes first, then the smaller id.

    stored: band to story, from the store
    began: when stored stories were published, for those of `candidates`
    """
    bands: dict[int, str] = {}
    stories: dict[str, str] = {}
    turn: dict[str, int] = {}
    for article in sorted(articles, key=lambda article: (article.published_at, article.id)):
        kept = {stored[band] for band in article.bands if band in stored}
        if kept:
            story = min(kept, key=lambda story: (began.get(story, article.published_at), story))
        else:
            story = min((bands[band] for band in article.bands if band in bands), key=turn.__getitem__, default=article.id)
        stories[article.id] = story
        turn.setdefault(story, len(turn))
        for band in article.bands:
            bands.setdefault(band, story)
    return stories
