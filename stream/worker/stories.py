"""Assigns articles to stories: copies of one text, found by shared LSH bands and confirmed by comparing their leads.

    bands of new articles ─▶ stored stories that share most of them ─▶ leads ─▶ ingest.text.copies.is_copy ─▶ story
                                                                       links ─▶ ownership.join_links ─────────┘

Everything that a decision needs is stored, so that a restart or another worker decides the same. Memory is bounded: per article, a few
stories are compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from core.chunks import chunks
from core.records import Article
from ingest.text.copies import Lead, is_copy
from storage.store import Store, StoryLead
from stream.worker.ownership import join_links, link_of

STORY_WINDOW = timedelta(hours=72)
"""Copies of a story are published within three days of it, before or after: sources report late."""
MAX_COMPARED = 6
"""Stories with most bands in common that an article is compared with; copies of a text share nearly all of its bands."""


def find_stories(store: Store, new: Sequence[Article], leads: Mapping[str, Lead]) -> dict[str, str]:
    """The stories of articles that are not stored yet.

    Args:
        store: its stories and links.
        new: articles of a batch.
        leads: by article id.

    Returns:
        From article id to story: that of a copy, else its own id.

    Raises:
        StoreError: the store is unavailable.
    """
    stored: dict[int, list[str]] = defaultdict(list)
    days: dict[datetime, list[Article]] = {}
    for article in new:
        days.setdefault(article.published_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0), []).append(article)
    found: dict[str, StoryLead] = {}
    for day in sorted(days):
        since, until = day - STORY_WINDOW, day + timedelta(days=1) + STORY_WINDOW
        around: dict[int, list[str]] = {}
        for some in chunks(sorted({band for article in days[day] for band in article.lsh_bands})):
            around |= store.articles.stories(some, since, until)
        compared = candidates(days[day], around)
        for ids in chunks(sorted(compared - found.keys())):
            found |= store.articles.leads(ids, since, until)
        for band, stories in around.items():  # without those whose leads are not read: they would be joined by a shared band
            stored[band] = list(dict.fromkeys([*stored[band], *(story for story in stories if story in compared)]))
    found |= {each.id: StoryLead(each.published_at, leads[each.id].stored()) for each in new if each.id in leads}
    return _join_links(store, new, assign_stories(new, stored, found))


def candidates(articles: Iterable[Article], stored: Mapping[int, Sequence[str]]) -> set[str]:
    """The stored stories that `assign_stories` compares. stored: from band to stories"""
    return {story for article in articles for story in _nearest(article, stored)}


def assign_stories(articles: Sequence[Article], stored: Mapping[int, Sequence[str]], leads: Mapping[str, StoryLead]) -> dict[str, str]:
    """Assigns each article to the story that it is a copy of; the first article gives a story its id.

    An article joins the earliest stored story that it is a copy of, else the earliest of the batch, else it starts its own. The result
    does not depend on the order of `articles`: they are taken by publication time, then id. One that does not count (without a trustworthy
    time) joins stories, but none joins it: its story would not be counted either.

    Args:
        articles: of a batch.
        stored: from band to stories, from the store.
        leads: of the articles and of the candidates, by id. A story without one is joined if a band is shared.

    Returns:
        From article id to story.
    """
    bands: dict[int, dict[str, None]] = defaultdict(dict)
    stories: dict[str, str] = {}
    for article in sorted(articles, key=lambda article: (not article.counts, article.published_at, article.id)):
        found = _copied(article, _nearest(article, stored), leads) or _copied(article, _nearest(article, bands), leads)
        stories[article.id] = story = found or article.id
        for band in article.lsh_bands if article.counts else ():
            bands[band][story] = None
    return stories


def _nearest(article: Article, bands: Mapping[int, Iterable[str]]) -> list[str]:
    """The stories that share most bands with an article."""
    shared = Counter(story for band in set(article.lsh_bands) for story in bands.get(band, ()))
    return sorted(shared, key=lambda story: (-shared[story], story))[:MAX_COMPARED]


def _copied(article: Article, stories: Iterable[str], leads: Mapping[str, StoryLead]) -> str:
    """The earliest of `stories` that the article is a copy of, or ""."""
    own = leads.get(article.id)
    found = [
        (other.published_at if other else article.published_at, story)
        for story in stories
        for other in (leads.get(story),)
        if own is None or other is None or _are_copies(own, other)
    ]
    return min(found, default=(None, ""))[1]


def _are_copies(one: StoryLead, other: StoryLead) -> bool:
    apart = abs(one.published_at - other.published_at)
    return apart <= STORY_WINDOW and is_copy(Lead.from_stored(one.lead), Lead.from_stored(other.lead), apart)


def _join_links(store: Store, new: Sequence[Article], stories: dict[str, str]) -> dict[str, str]:
    """The stories of new articles, after those that list the link of another source's article joined its story."""
    if not (linked := [article for article in new if link_of(article)]):
        return stories
    since = min(article.published_at for article in linked) - STORY_WINDOW
    until = max(article.published_at for article in linked) + STORY_WINDOW
    stored = [row for some in chunks(sorted({link_of(each) for each in linked})) for row in store.links.find(some, since, until)]
    return join_links(new, stories, stored, STORY_WINDOW)
