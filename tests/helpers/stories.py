"""Store stories of a topic."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.records import Article, CompanyScore, Score, Scored, sha
from storage.store import Store


def store_stories(store: Store, number: int, at: datetime, topic: str = "credit") -> list[Score]:
    """Store `number` stories of a topic, one a minute before `at`. Returns their scores."""
    scored = []
    for n in range(number):
        moment, ident = at - timedelta(minutes=n), sha("story", topic, str(n), at.isoformat())
        article = Article(id=ident, source=f"s{n % 3}", language="zh", title=f"债券 {n}", published_at=moment, fetched_at=moment)
        score = Score(
            id=ident, source=article.source, language="zh", published_at=moment, story=ident, p_negative=0.1, p_neutral=0.8, p_positive=0.1,
            topics={topic: 0.9}, companies=(CompanyScore(company="BYT", p_negative=0.1, p_neutral=0.8, p_positive=0.1),), model="m",
            scored_at=moment,
        )  # fmt: skip
        scored.append(Scored(article=article, score=score))
    store.articles.insert(scored)
    store.articles.insert_keys(scored)
    store.mentions.insert([each.score for each in scored])
    return [each.score for each in scored]
