"""Which watchlists is an article on, and how negative is it towards each? Pure.

an article is on a watchlist  =  any company, topic or plain keyword of it  and  all its +keywords  and  none of its !keywords
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from core.records import CompanyScore, Score, Scored, WatchlistScore
from core.series import company_series, topic_series
from stream.watchlists.keywords import Finder, fold_article, has, keys_of
from stream.watchlists.watchlists import Watchlist


class Subject(NamedTuple):
    """What is matched of an article. companies, topics: keys"""

    title: str
    text: str
    companies: Collection[str] = ()
    topics: Collection[str] = ()


class Hit(NamedTuple):
    """An article is on a watchlist. companies, topics: those of the watchlist that it has; keywords: as they are written"""

    name: str
    companies: tuple[str, ...]
    topics: tuple[str, ...]
    keywords: tuple[str, ...]

    @property
    def why(self) -> str:
        """What the article has of the watchlist, in a line."""
        parts = (("companies", self.companies), ("topics", self.topics), ("keywords", self.keywords))
        return "; ".join(f"{field} {', '.join(values)}" for field, values in parts if values)


class Matcher:
    """Matches articles with watchlists. Built once, then only read: safe for all threads."""

    def __init__(self, watchlists: Sequence[Watchlist] = ()) -> None:
        self.watchlists = tuple(watchlists)
        self._finder = Finder(term for watchlist in watchlists for term in watchlist.terms)
        self._by_key: dict[str, set[int]] = {}
        """What puts an article on a watchlist, to the watchlists' numbers; most articles have none of it."""
        for number, watchlist in enumerate(watchlists):
            words = [key for term in watchlist.of_sign("") for key in keys_of(term)]
            for key in (*map(company_series, watchlist.companies), *map(topic_series, watchlist.topics), *words):
                self._by_key.setdefault(key, set()).add(number)

    def match(self, subjects: Sequence[Subject]) -> list[list[Hit]]:
        """The watchlists that each is on, in the order of the file. An article's do not depend on the others."""
        if not self.watchlists:
            return [[] for _ in subjects]
        found = self._finder.found([fold_article(subject.title, subject.text) for subject in subjects])
        return [self._hits(subject, words) for subject, words in zip(subjects, found, strict=True)]

    def _hits(self, subject: Subject, words: set[str]) -> list[Hit]:
        keys = (*map(company_series, subject.companies), *map(topic_series, subject.topics), *words)
        numbers = {number for key in keys for number in self._by_key.get(key, ())}
        hits = (_hit(self.watchlists[number], subject, words) for number in sorted(numbers))
        return [hit for hit in hits if hit is not None]

    def mark(self, scored: Sequence[Scored]) -> list[Scored]:
        """The same articles, their scores with the watchlists that they are on."""
        subjects = [Subject(item.article.title, item.article.text, companies_of(item.score), item.score.topics) for item in scored]
        return [
            msgspec.structs.replace(item, score=with_hits(item.score, hits)) if hits else item
            for item, hits in zip(scored, self.match(subjects), strict=True)
        ]


class Following(Protocol):
    """Tells whoever scores of other watchlists."""

    def __call__(self) -> Matcher | None:
        """The matcher from now on, where it is another than before: asked before each batch is stored, never waits."""

    def close(self) -> None:
        """Stop what is under way; it is begun anew by the next process."""


class TheSame:
    """Following where watchlists do not change while the process runs."""

    def __call__(self) -> Matcher | None:
        """None."""
        return None

    def close(self) -> None:
        """Nothing is under way."""


def _hit(watchlist: Watchlist, subject: Subject, words: set[str]) -> Hit | None:
    companies = tuple(company for company in watchlist.companies if company in subject.companies)
    topics = tuple(topic for topic in watchlist.topics if topic in subject.topics)
    there = [term for term in watchlist.terms if has(term, words)]
    plain = [term.written for term in there if not term.sign]
    must = [term.written for term in there if term.sign == "+"]
    if not (companies or topics or plain) or len(must) < len(watchlist.of_sign("+")) or any(term.sign == "!" for term in there):
        return None
    return Hit(watchlist.name, companies, topics, (*plain, *must))


def companies_of(score: Score) -> list[str]:
    """Keys of the companies that have a sentiment of their own."""
    return [company.company for company in score.companies]


def with_hits(score: Score, hits: Sequence[Hit]) -> Score:
    """The score with these watchlists.

    Where the article names companies of a watchlist, the most negative sentiment towards one of them counts; else the article's own.
    """
    return msgspec.structs.replace(score, watchlists=tuple(_towards(score, hit) for hit in hits))


def _towards(score: Score, hit: Hit) -> WatchlistScore:
    own = [company for company in score.companies if company.company in hit.companies]
    worst: CompanyScore | Score = max(own, key=lambda it: (it.p_negative, it.p_neutral, it.p_positive)) if own else score
    return WatchlistScore(name=hit.name, p_negative=worst.p_negative, p_neutral=worst.p_neutral, p_positive=worst.p_positive)
