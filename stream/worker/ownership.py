"""Who may revise an article, and which articles of several sources are one story because they have one link. Pure.

record ─▶ another owner than that of its id? ─▶ an article of its own
article ─▶ link ─▶ articles of other owners with the link ─▶ their story
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec

from core.records import Article, hash63, sha
from ingest.text.urls import page_key
from storage.store import LinkedArticle
from stream.worker.batches import RawMessage


class Owned(NamedTuple):
    """The articles of a batch, each under an id of its owner. copies: those that got an id of their own"""

    articles: list[tuple[RawMessage, Article]]
    copies: list[Article]


def separate_owners(articles: Sequence[tuple[RawMessage, Article]], owners: Mapping[str, str]) -> Owned:
    """Give an article an id of its own where its id belongs to an article of another owner.

    The ids of articles contain their owner, so only a record that was not written by this program, or under a forged id, is affected.

    Args:
        articles: of a batch, in order.
        owners: id to owner, of the articles that are stored or are about to be; "" for an unknown owner.
    """
    found: list[tuple[RawMessage, Article]] = []
    copies: list[Article] = []
    claimed = dict(owners)
    for raw, article in articles:
        owner = article.revised_by
        if (claimed.setdefault(article.id, owner) or owner) == owner:
            found.append((raw, article))
            continue
        copy = msgspec.structs.replace(article, id=sha("copy", article.id, owner))
        copies.append(copy)
        found.append((raw, copy))
    return Owned(found, copies)


def link_of(article: Article) -> int:
    """63-bit hash of the link of an article; 0 for none, and for the first page of a site."""
    key = page_key(article.url)
    return hash63(key) if key else 0


def linked_article(article: Article, story: str) -> LinkedArticle:
    """The row of an article for others with its link. story: of the article"""
    return LinkedArticle(
        link=link_of(article),
        id=article.id,
        owner=hash63(article.revised_by),
        story=story,
        published_at=int(article.published_at.timestamp()),
        stands=article.counts and (story == article.id or article.trust == "domain"),
    )


def join_links(new: Iterable[Article], stories: Mapping[str, str], stored: Iterable[LinkedArticle], within: timedelta) -> dict[str, str]:
    """The stories of articles, after new ones that list the link of another owner's article joined its story.

    An article of the link's own domain joins only if its text began a story, so that no other source decides what it is a copy of. A link
    under which one owner has several articles, such as that of a live page, joins nothing.

    Args:
        new: the new articles of a batch.
        stories: id to story of the batch, by texts.
        stored: the stored articles with the links of the new ones.
        within: how far apart the articles of a story are published.

    Returns:
        From id to story, for all of `stories`.
    """
    joined = dict(stories)
    links: dict[int, list[LinkedArticle]] = defaultdict(list)
    for each in stored:
        links[each.link].append(each)
    for article in sorted(new, key=lambda article: (article.published_at, article.id)):
        own = linked_article(article, joined[article.id])
        if not own.link:
            continue
        links[own.link] = [each for each in links[own.link] if each.id != own.id]  # stored, if a worker ended before the key was
        beside = [each for each in links[own.link] if abs(each.published_at - own.published_at) <= within.total_seconds()]
        links[own.link].append(own)
        if _is_shared([*beside, own]) or (article.trust == "domain" and own.story != own.id):
            continue
        if first := min((each for each in beside if each.stands), key=lambda each: (each.published_at, each.id), default=None):
            moved = {key for key, story in joined.items() if own.id in (key, story)}  # its copies in the batch come along
            joined |= dict.fromkeys(moved, first.story)
            links[own.link][-1] = linked_article(article, first.story)
    return joined


def _is_shared(articles: Sequence[LinkedArticle]) -> bool:
    """Whether one owner has several of the articles with a link."""
    owners = [each.owner for each in articles]
    return len(set(owners)) < len(owners)
