"""A watchlist that is new, or looks for something else now, gets its past from the stored articles before it is followed.

Without it every series begins at nothing, and its first ordinary day would look like a crisis.

    watchlists whose digest the store does not know ─▶ stored articles, hour by hour ─▶ match ─▶ mentions ─▶ digests, last
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


def fill(store: Store, matcher: Matcher, since: datetime, until: datetime) -> int:
    """Give the watchlists that need it their past in [since, until); how many mentions that made. Twice is once. Raises StoreError."""
    new = due(store, matcher)
    if not new:
        return 0
    _log.info("watchlists get their past", watchlists=sorted(new), since=since.isoformat())
    forget(store, new, since)
    made = pour(store, matcher, set(new), since, until)
    store.watchlists.mark(new)
    _log.info("watchlists have their past", mentions=made)
    return made


def due(store: Store, matcher: Matcher) -> dict[str, str]:
    """The watchlists that have no past yet, or that of something else: name to digest. Raises StoreError."""
    known = store.watchlists.filled()
    return {each.name: each.digest for each in matcher.watchlists if known.get(each.name) != each.digest}


def forget(store: Store, new: Collection[str], since: datetime) -> None:
    """Take out what those of `new` had that looked for something else before. Raises StoreError."""
    known = store.watchlists.filled()
    store.watchlists.forget([name for name in sorted(new) if name in known], since)


def pour(
    store: Store, matcher: Matcher, names: Collection[str], since: datetime, until: datetime, stop: Callable[[], bool] = lambda: False
) -> int:
    """Put the stored articles of [since, until) on these watchlists; how many mentions that made. Twice is once. Raises StoreError.

    stop: asked between slices; whoever stops it begins anew later
    """
    made = 0
    for rows, found in matched(store, matcher, since, until):
        if stop():
            break
        hits = {row.id: own for row, own in zip(rows, found, strict=True) if any(hit.name in names for hit in own)}
        ids = list(hits)
        for some in chunks(ids):
            scores = store.articles.scores(some, rows[0].published_at, rows[-1].published_at + timedelta(seconds=1))
            store.mentions.insert([with_hits(score, hits[score.id]) for score in scores])
        made += sum(hit.name in names for own in hits.values() for hit in own)
    return made


def matched(store: Store, matcher: Matcher, since: datetime, until: datetime) -> Iterator[tuple[Sequence[ArticleRow], list[list[Hit]]]]:
    """Stored articles published in [since, until), slice by slice, with the watchlists that each is on. Raises StoreError."""
    while since < until:
        end = min(until, since + SLICE)
        if rows := store.articles.between(since, end):
            yield rows, matcher.match([Subject(row.title, row.text, row.companies, row.topics) for row in rows])
        since = end
