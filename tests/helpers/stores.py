"""Records and stores for tests that read or write a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.records import Alert, Article, CompanyScore, MaterialityScore, Mention, Score, Scored, Severity, alert_id, sha
from domain.alert_lifecycle import Silence, silence
from storage.clickhouse import Embedded
from storage.store import Store

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ARTICLE_TABLES = (
    "articles",
    "article_keys",
    "lsh_bands",
    "story_leads",
    "article_links",
    "article_revisions",
    "mentions",
    "alerts",
    "deliveries",
    "dead_letters",
    "dead_letter_states",
    "labels",
    "watchlists",
    "peaks",
)
"""Tables that tests of articles empty."""
ODD_TEXTS = [
    "it's",
    'a "quote"',
    "back\\slash",
    "tab\there",
    "line\nbreak",
    "中文，全角",
    "100%s {x:String} %(id)s",
    "'; DROP TABLE articles; --",
    "🔔",
    "nul\x00in",
    "lost \ufffd",
    "\x1b[31mred\x07\x7f\u2028",
]
"""Texts that break naive quoting."""
SPECIAL_CHARACTERS = "it's \"a\" back\\slash\ttab\nline 中文，全角 100%s {x:String} '; DROP TABLE silences; -- 🔔 \x1b[31m"


@contextmanager
def migrated_store(folder: Path) -> Iterator[Store]:
    """An embedded store below `folder` with empty tables; closed at the end."""
    store = Store(Embedded(folder / "store"))
    store.migrate()
    yield store
    store.close()


def materiality(background: float, relevant: float, urgent: float) -> MaterialityScore:
    """A materiality from the probabilities of levels 1, 2 and 3."""
    return MaterialityScore(p_background=background, p_relevant=relevant, p_urgent=urgent)


def scored(
    name: str,
    *,
    minutes: int = 0,
    negative: float = 0.1,
    story: str = "",
    source: str = "wire",
    model: str = "m1",
    title: str = "",
    text: str = "Body",
    **extra: object,
) -> Scored:
    """A scored article; `name` gives its id, URL and title."""
    ident = sha(name)
    moment = NOON + timedelta(minutes=minutes)
    article = Article(
        id=ident,
        url=f"https://example.org/{name}",
        source=source,
        language="en",
        title=title or f"Title of {name}",
        text=text,
        published_at=moment,
        fetched_at=moment,
        mentions=(Mention(company="ACME", surface="Acme", sector="autos"),),
        lsh_bands=extra.get("bands", (1, 2)),  # type: ignore[arg-type]
    )
    levels = extra.get("materiality")
    rest = (1 - negative) / 2
    score = Score(
        id=ident,
        source=source,
        language="en",
        published_at=moment,
        story=story or ident,
        p_negative=negative,
        p_neutral=rest,
        p_positive=rest,
        topics={"earnings": 0.9},
        companies=(CompanyScore(company="ACME", sector="autos", p_negative=negative, p_neutral=rest, p_positive=rest),),
        materiality=materiality(*levels) if isinstance(levels, tuple) else None,
        model=model,
        scored_at=moment,
    )
    return Scored(article=article, score=score)


def save(store: Store, *items: Scored) -> None:
    """Store scored articles as the worker does."""
    store.articles.insert(items)
    store.mentions.insert([item.score for item in items])
    store.articles.insert_keys(items)


def scored_article(
    name: str, title: str, text: str = "", *, minutes: int = 0, p: tuple[float, float, float] = (0.8, 0.1, 0.1), **more: Any
) -> Scored:
    """A scored article in detail.

    Args:
        name: gives the id and the URL
        p: probabilities of negative, neutral, positive
        more: source, language, genre, story, topics, model; materiality: three probabilities;
            companies: code to (surface, sector, p_negative)
    """
    moment, ident = NOON + timedelta(minutes=minutes), sha(name)
    companies: dict[str, tuple[str, str, float]] = more.get("companies", {})
    source, language, genre = more.get("source", "wire"), more.get("language", "en"), more.get("genre", "news")
    article = Article(
        id=ident,
        url=f"https://example.org/{name}",
        source=source,
        genre=genre,
        language=language,
        title=title,
        text=text,
        published_at=moment,
        fetched_at=moment + timedelta(seconds=9),
        mentions=tuple(Mention(company=key, surface=surface, sector=sector) for key, (surface, sector, _) in companies.items()),
        flags=("cut",),
    )
    score = Score(
        id=ident,
        source=source,
        genre=genre,
        language=language,
        published_at=moment,
        story=more.get("story", ident),
        p_negative=p[0],
        p_neutral=p[1],
        p_positive=p[2],
        topics=more.get("topics", {"credit": 0.9}),
        companies=tuple(
            CompanyScore(company=key, sector=sector, p_negative=bad, p_neutral=0.0, p_positive=1 - bad)
            for key, (_, sector, bad) in companies.items()
        ),
        materiality=materiality(*more["materiality"]) if more.get("materiality") else None,
        model=more.get("model", "m1"),
        scored_at=moment,
    )
    return Scored(article=article, score=score)


def alert(series: str = "topic:credit", *, at: datetime = NOON, severity: Severity = "warning") -> Alert:
    """An alert of the rule "spike"."""
    return Alert(
        id=alert_id("spike", series, at),
        rule="spike",
        series=series,
        window_start=at,
        window_s=900,
        detected_at=at + MINUTE,
        severity=severity,
        observed=9,
        expected=1.25,
        surprise=6.5,
        total=12,
        sources=4,
    )


def sample_silence(author: str = "王芳", *, series: str = "topic:*", minutes: int = 120) -> Silence:
    """A silence from NOON on, for severities up to warning."""
    return silence(
        series=[series],
        author=author,
        comment=SPECIAL_CHARACTERS,
        starts_at=NOON,
        ends_at=NOON + minutes * MINUTE,
        now=NOON,
        rules=["spi*"],
        most="warning",
    )
