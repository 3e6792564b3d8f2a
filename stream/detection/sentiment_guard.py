"""The guard on sources in the worker: compares the negative share of each source with that of the others every few minutes.

store ─▶ shares of 24 hours and of 7 days ─▶ stats/source_shares.py ─▶ metrics, and a log event when a source begins to stand out
"""

from __future__ import annotations

from datetime import datetime, timedelta

from core import log, metrics
from core.errors import StoreError
from stats.source_shares import SourceShare, compare_sources
from storage.store import HealthQueries

INTERVAL = timedelta(minutes=5)
_log = log.get_logger(__name__)


class SentimentGuard:
    """Compares the sources. One thread at a time. A restart logs what stands out once more.

    Args:
        health: retries its calls (stream.retry.retrying).
    """

    def __init__(self, health: HealthQueries) -> None:
        self._health = health
        self._polled_at: datetime | None = None
        self._outliers: set[tuple[str, str, str]] = set()

    def poll(self, now: datetime) -> list[SourceShare]:
        """The sources that begin to stand out, after logging them; none within INTERVAL of the last comparison.

        A failure of the store is logged; the next comparison follows after INTERVAL.
        """
        if self._polled_at is not None and now - self._polled_at < INTERVAL:
            return []
        self._polled_at = now
        try:
            windows = self._health.source_sentiment(now)
        except StoreError as error:
            _log.warning("source_sentiment_not_compared", error=str(error))
            return []
        metrics.SOURCE_NEGATIVE_SHARE.clear()
        metrics.SOURCE_OUTLIERS.clear()
        begun: list[SourceShare] = []
        outliers: set[tuple[str, str, str]] = set()
        for window, counts in windows.items():
            for share in compare_sources(counts):
                labels = (share.source, share.language, window)
                metrics.SOURCE_NEGATIVE_SHARE.labels(*labels).set(share.own.share)
                metrics.SOURCE_OUTLIERS.labels(*labels).set(share.stands_out)
                if share.stands_out:
                    outliers.add(labels)
                    if labels not in self._outliers:
                        begun.append(share)
                        _warn(share, window)
        self._outliers = outliers
        return begun


def _warn(share: SourceShare, window: str) -> None:
    _log.warning(
        "source_sentiment_outlier",
        source=share.source,
        language=share.language,
        window=window,
        articles=share.articles,
        negative_share=round(share.own.share, 3),
        low=round(share.own.low, 3),
        high=round(share.own.high, 3),
        others=share.others if share.others is None else round(share.others, 3),
    )
