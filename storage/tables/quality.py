"""SQL of model monitoring: predictions by day, versions in use, and predictions with labels of people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from core.chunks import chunks
from core.series import MARKET
from storage.clickhouse import ClickHouse
from storage.timestamps import from_epoch, to_epoch

DAY_S = 86_400
SIDE_BY_SIDE = 4
"""Number of parts of the time range that are read in parallel."""


class DailyPredictions(NamedTuple):
    """Predictions for the articles of one language and day (UTC), counted by the likeliest sentiment.

    Attributes:
        confidence: sum of the probabilities of the likeliest sentiments
    """

    day: datetime
    language: str
    articles: int
    negative: int
    positive: int
    confidence: float

    @property
    def neutral(self) -> int:
        """Number of neutral articles."""
        return self.articles - self.negative - self.positive


class ModelUse(NamedTuple):
    """A model version with the number of articles it scored and the time of the last one."""

    model: str
    articles: int
    last: datetime


class LabelledPrediction(NamedTuple):
    """A label of a person with the prediction that the person saw.

    Attributes:
        predicted: p_negative, p_neutral, p_positive towards the subject of the label
        topics, risks: predicted topics and risk events
    """

    task: str
    labels: tuple[str, ...]
    model: str
    language: str
    predicted: tuple[float, float, float]
    topics: tuple[str, ...]
    risks: tuple[str, ...]


class QualityQueries:
    """Figures of model monitoring."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def days(self, since: datetime, until: datetime) -> list[DailyPredictions]:
        """Predictions for the articles published in [since, until) by day and language. Raises StoreError.

        Reads one row per article from the mentions of the market. FINAL uses one core, so parts of the time range are read in parallel.
        """
        first, last = to_epoch(since), to_epoch(until)
        edges = {f"at{n}": first + (last - first) * n // SIDE_BY_SIDE for n in range(SIDE_BY_SIDE + 1)}
        parts = " UNION ALL ".join(
            f"""
            SELECT published_at, language, p_negative AS bad, p_negative + tone AS good, 1 - 2 * p_negative - tone AS flat
            FROM mentions FINAL
            WHERE series = {{series:String}} AND counts = 1
              AND published_at >= toDateTime({{{start}:UInt32}}) AND published_at < toDateTime({{{end}:UInt32}})
            """
            for start, end in itertools.pairwise(edges)
        )
        rows = self._client.query(
            f"""
            SELECT intDiv(toUInt32(published_at), 86400) * 86400 AS day, language, count(), sum(bad > flat AND bad > good),
                   sum(good > flat AND good >= bad), sum(greatest(greatest(bad, good), flat))
            FROM ({parts})
            GROUP BY day, language ORDER BY day, language
            """,
            series=MARKET,
            **edges,
        )
        return [DailyPredictions(from_epoch(int(row[0])), row[1], int(row[2]), int(row[3]), int(row[4]), float(row[5])) for row in rows]

    def model_uses(self, since: datetime) -> list[ModelUse]:
        """Model versions that scored articles published since then, the latest first. Raises StoreError."""
        rows = self._client.query(
            """
            SELECT model, uniqExact(id), toUInt32(max(scored_at)) AS last FROM articles
            WHERE published_at >= toDateTime({since:UInt32}) GROUP BY model ORDER BY last DESC, model
            """,
            since=to_epoch(since),
        )
        return [ModelUse(row[0], int(row[1]), from_epoch(int(row[2]))) for row in rows]

    def labelled_predictions(self, limit: int) -> list[LabelledPrediction]:
        """The newest labels of people with the predictions that they saw, newest first. Raises StoreError.

        Labels whose article or score is not stored any more are left out.
        """
        labels = self._client.query(
            """
            SELECT id, task, company, labels, model FROM labels FINAL WHERE model != ''
            ORDER BY labelled_at DESC, id, task, company LIMIT {limit:UInt32}
            """,
            limit=limit,
        )
        ids = list(dict.fromkeys(str(row[0]) for row in labels))
        scores: dict[tuple[str, str], Sequence[Any]] = {}
        for some in chunks(ids):
            scores |= {(row[0], row[1]): row for row in self._scores(some)}
        found = (_labelled_prediction(label, scores.get((label[0], label[4]))) for label in labels)
        return [each for each in found if each is not None]

    def _scores(self, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """All scores of these articles, selected by publication time too, or every article would be read."""
        times = self._client.query("SELECT DISTINCT toUInt32(published_at) FROM article_keys WHERE id IN {ids:Array(String)}", ids=ids)
        if not times:
            return []
        return self._client.query(
            """
            SELECT id, model, language, p_negative, p_neutral, p_positive, companies, company_negative, company_neutral, company_positive,
                   topics, risks
            FROM articles WHERE toUInt32(published_at) IN {times:Array(UInt32)} AND id IN {ids:Array(String)}
              AND published_at >= toDateTime({since:UInt32}) AND published_at <= toDateTime({until:UInt32})
            ORDER BY id, model, version DESC LIMIT 1 BY id, model
            """,
            ids=ids,
            times=[int(row[0]) for row in times],
            since=min(int(row[0]) for row in times),
            until=max(int(row[0]) for row in times),
        )


def _labelled_prediction(label: Sequence[Any], score: Sequence[Any] | None) -> LabelledPrediction | None:
    """A label with its prediction; None if there is no score, or it does not name the company."""
    if score is None:
        return None
    _, task, company, labels, model = label
    predicted = (float(score[3]), float(score[4]), float(score[5]))
    if company:
        towards = {key: (float(bad), float(flat), float(good)) for key, bad, flat, good in zip(*score[6:10], strict=True)}
        if company not in towards:
            return None
        predicted = towards[company]
    return LabelledPrediction(task, tuple(labels), model, score[2], predicted, tuple(score[10]), tuple(score[11]))
