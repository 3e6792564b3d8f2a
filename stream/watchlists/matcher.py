"""Matches articles with watchlists, and scores the sentiment towards each watchlist. Pure.

An article matches a watchlist if it has any of its companies, topics or plain keywords, all of its +keywords, and none of its
!keywords.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from core.records import CompanyScore, Score, Scored, WatchlistScore
from core.series import company_series, topic_series
from stream.watchlists.keywords import KeywordFinder, fold_article, match_keys, occurs
from stream.watchlists.watchlists import Watchlist


class Subject(NamedTuple):
    """The fields of an article that are matched. companies, topics: keys"""

    title: str
    text: str
    companies: Collection[str] = ()
    topics: Collection[str] = ()


class Hit(NamedTuple):
    """A match of an article and a watchlist, with the companies, topics and keywords (as written) that matched."""

    name: str
    companies: tuple[str, ...]
    topics: tuple[str, ...]
    keywords: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What matched, on one line."""
        parts = (("companies", self.companies), ("topics", self.topics), ("keywords", self.keywords))
        return "; ".join(f"{field} {', '.join(values)}" for field, values in parts if values)


class Matcher:
    """Matches articles with watchlists. Immutable, so safe to use from several threads."""

    def __init__(self, watchlists: Sequence[Watchlist] = ()) -> None:
        self.watchlists = tuple(watchlists)
        self._finder = KeywordFinder(term for watchlist in watchlists for term in watchlist.terms)
        self._by_key: dict[str, set[int]] = {}
        """From companies, topics and plain keywords to the indices of watchlists; most articles have none of them."""
        for number, watchlist in enumerate(watchlists):
            words = [key for term in watchlist.of_sign("") for key in match_keys(term)]
            for key in (*map(company_series, watchlist.companies), *map(topic_series, watchlist.topics), *words):
                self._by_key.setdefault(key, set()).add(number)

    def match(self, subjects: Sequence[Subject]) -> list[list[Hit]]:
        """The matches of each article, in the order of the file. Independent of the other articles."""
        if not self.watchlists:
            return [[] for _ in subjects]
        found = self._finder.find([fold_article(subject.title, subject.text) for subject in subjects])
        return [self._hits(subject, words) for subject, words in zip(subjects, found, strict=True)]

    def _hits(self, subject: Subject, words: set[str]) -> list[Hit]:
        keys = (*map(company_series, subject.companies), *map(topic_series, subject.topics), *words)
        numbers = {number for key in keys for number in self._by_key.get(key, ())}
        hits = (_hit(self.watchlists[number], subject, words) for number in sorted(numbers))
        return [hit for hit in hits if hit is not None]

    def add_watchlists(self, scored: Sequence[Scored]) -> list[Scored]:
        """The same articles, with their watchlists in the scores."""
        subjects = [Subject(item.article.title, item.article.text, companies_of(item.score), item.score.topics) for item in scored]
        return [
            msgspec.structs.replace(item, score=with_hits(item.score, hits)) if hits else item
            for item, hits in zip(scored, self.match(subjects), strict=True)
        ]


class MatcherUpdates(Protocol):
    """Supplies a new matcher when the watchlists change."""

    def __call__(self) -> Matcher | None:
        """The new matcher, or None if the watchlists are unchanged. Called before each batch is stored; never blocks."""

    def close(self) -> None:
        """Stops a backfill in progress; the next process starts it again."""


class NoMatcherUpdates:
    """MatcherUpdates for watchlists that do not change while the process runs."""

    def __call__(self) -> Matcher | None:
        """None."""
        return None

    def close(self) -> None:
        """Does nothing."""


def _hit(watchlist: Watchlist, subject: Subject, words: set[str]) -> Hit | None:
    companies = tuple(company for company in watchlist.companies if company in subject.companies)
    topics = tuple(topic for topic in watchlist.topics if topic in subject.topics)
    found = [term for term in watchlist.terms if occurs(term, words)]
    plain = [term.text for term in found if not term.sign]
    required = [term.text for term in found if term.sign == "+"]
    if not (companies or topics or plain) or len(required) < len(watchlist.of_sign("+")) or any(term.sign == "!" for term in found):
        return None
    return Hit(watchlist.name, companies, topics, (*plain, *required))


def companies_of(score: Score) -> list[str]:
    """Keys of the companies that the article is about: those with a sentiment score, without speakers."""
    return [company.company for company in score.companies if company.role != "speaker"]


def with_hits(score: Score, hits: Sequence[Hit]) -> Score:
    """The score with these watchlists.

    The sentiment towards a watchlist is the most negative one towards its companies, or that of the article if it names none.
    """
    return msgspec.structs.replace(score, watchlists=tuple(_towards(score, hit) for hit in hits))


def _towards(score: Score, hit: Hit) -> WatchlistScore:
    own = [company for company in score.companies if company.company in hit.companies]
    worst: CompanyScore | Score = max(own, key=lambda it: (it.p_negative, it.p_neutral, it.p_positive)) if own else score
    return WatchlistScore(name=hit.name, p_negative=worst.p_negative, p_neutral=worst.p_neutral, p_positive=worst.p_positive)
