"""Adds the mentions of stored articles to watchlists that are new or whose definition has changed.

Without its history, the series of a watchlist would start at zero, and its first ordinary day would look like a spike.

    watchlists with an unknown digest ─▶ stored articles, slice by slice ─▶ match ─▶ mentions ─▶ digests, written last
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta

from core import log
from core.chunks import chunks
from storage.store import ArticleRow, Store
from stream.watchlists.matcher import Hit, Matcher, Subject, with_hits

SLICE = timedelta(hours=6)
_log = log.get_logger(__name__)


def backfill_watchlists(store: Store, matcher: Matcher, since: datetime, until: datetime) -> int:
    """Adds the mentions in [since, until) to all watchlists that need them. Idempotent.

    Returns:
        The number of mentions.

    Raises:
        StoreError.
    """
    new = outdated_watchlists(store, matcher)
    if not new:
        return 0
    _log.info("watchlist_backfill_started", watchlists=sorted(new), since=since.isoformat())
    delete_mentions(store, new, since)
    count = add_mentions(store, matcher, set(new), since, until)
    store.watchlists.mark(new)
    _log.info("watchlist_backfill_finished", mentions=count)
    return count


def outdated_watchlists(store: Store, matcher: Matcher) -> dict[str, str]:
    """From name to digest of the watchlists whose mentions are missing or of another definition. Raises StoreError."""
    known = store.watchlists.filled()
    return {each.name: each.digest for each in matcher.watchlists if known.get(each.name) != each.digest}


def delete_mentions(store: Store, names: Collection[str], since: datetime) -> None:
    """Deletes the mentions of those watchlists that had another definition before. Raises StoreError."""
    known = store.watchlists.filled()
    store.watchlists.forget([name for name in sorted(names) if name in known], since)


def add_mentions(
    store: Store, matcher: Matcher, names: Collection[str], since: datetime, until: datetime, stop: Callable[[], bool] = lambda: False
) -> int:
    """Adds the mentions in the stored articles of [since, until) to these watchlists. Idempotent.

    Args:
        store: articles and mentions.
        matcher: of all watchlists.
        names: the watchlists to add to.
        since: first publication time.
        until: end, exclusive.
        stop: called between slices; True ends early.

    Returns:
        The number of mentions.

    Raises:
        StoreError.
    """
    count = 0
    for rows, matches in matched_articles(store, matcher, since, until):
        if stop():
            break
        hits = {row.id: own for row, own in zip(rows, matches, strict=True) if any(hit.name in names for hit in own)}
        ids = list(hits)
        for some in chunks(ids):
            scores = store.articles.scores(some, rows[0].published_at, rows[-1].published_at + timedelta(seconds=1))
            store.mentions.insert([with_hits(score, hits[score.id]) for score in scores])
        count += sum(hit.name in names for own in hits.values() for hit in own)
    return count


def matched_articles(
    store: Store, matcher: Matcher, since: datetime, until: datetime
) -> Iterator[tuple[Sequence[ArticleRow], list[list[Hit]]]]:
    """Yields the stored articles of [since, until), slice by slice, with the matches of each. Raises StoreError."""
    while since < until:
        end = min(until, since + SLICE)
        if rows := store.articles.between(since, end):
            yield rows, matcher.match([Subject(row.title, row.text, row.companies, row.topics) for row in rows])
        since = end
