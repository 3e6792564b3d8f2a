"""Headlines of the real streams that were carried more than once: copies of one text have one label, with the shipped model."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.records import Article
from ingest.articles import RawArticle, build_article
from ingest.companies.gazetteer import Gazetteer
from models.inference.classifier import Document, SentimentProbabilities
from models.inference.loader import load_classifier
from stream.worker.prediction_cache import PredictionCache
from stream.worker.source_boilerplate import read_article
from tests.helpers.shared_data import shared_dir

GROUPS = 120
"""Headlines of each language that are examined, and at most FEW articles of each."""
FEW = 6
MAX_DIFFERENT = 0.08
"""Maximum share of the headlines whose articles get different labels, as their texts differ."""


def label(sentiment: SentimentProbabilities) -> str:
    return max(zip(sentiment, sentiment._fields, strict=True))[1]


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if '"title": ""' not in line:
                    yield json.loads(line)


def carried_more_than_once(language: str) -> list[list[Article]]:
    """The articles of GROUPS headlines."""
    groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows(shared_dir() / "data" / "stream"):
        if row["lang"] == language:
            groups[row["title"]].append(row)
    several = [own[:FEW] for title, own in sorted(groups.items()) if len(own) > 1]
    chosen = random.Random(11).sample(several, GROUPS)
    now, gazetteer = datetime.now(UTC), Gazetteer([])
    return [
        [
            build_article(
                RawArticle(
                    source=row["source"],
                    guid=str(row["id"]),
                    title=row["title"],
                    text=row["text"],
                    published=row["published"],
                    language=language,
                ),
                fetched_at=now,
                zone=ZoneInfo("UTC"),
                gazetteer=gazetteer,
            )
            for row in own
        ]
        for own in chosen
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_copies_of_one_text_have_one_label_in_any_batch(language: str):
    groups = carried_more_than_once(language)
    articles = [article for own in groups for article in own]
    random.Random(3).shuffle(articles)
    texts = {article.id: read_article(article).model_text for article in articles}
    model, cache, found = load_classifier(), PredictionCache(), {}
    for size in (1, 3, 16, 64) * len(articles):
        batch, articles = articles[:size], articles[size:]
        for article, prediction in zip(batch, cache.classify(model, [Document("", texts[a.id], language) for a in batch]), strict=True):
            found[article.id] = prediction
        if not articles:
            break
    different = 0
    for own in groups:
        by_text: defaultdict[str, list[Any]] = defaultdict(list)
        for article in own:
            by_text[texts[article.id]].append(found[article.id])
        for copies in by_text.values():
            assert all(copy == copies[0] for copy in copies), own[0].id
        different += len({label(found[article.id].sentiment) for article in own}) > 1
    print(f"{language}: {different} of {len(groups)} headlines have different labels, all of them with different texts")
    assert different <= MAX_DIFFERENT * len(groups)
