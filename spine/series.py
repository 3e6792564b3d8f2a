"""Series: the things whose mood is followed. A series is named "kind:key"."""

from __future__ import annotations

from collections.abc import Iterator

from spine.records import Score
from spine.taxonomy import topic_name

MARKET = "market:all"
ALERTING = ("topic", "company", "sector", "market")
"""The kinds of series that may ring."""


def topic_series(topic: str) -> str:
    """The series of a topic of spine.taxonomy."""
    return f"topic:{topic}"


def company_series(company: str) -> str:
    """The series of a company, by its key."""
    return f"company:{company}"


def sector_series(sector: str) -> str:
    """The series of a sector, by its key."""
    return f"sector:{sector}"


def kind_of(series: str) -> str:
    """ "topic", "company", "sector" or "market"."""
    return series.partition(":")[0]


def key_of(series: str) -> str:
    """The part after the kind."""
    return series.partition(":")[2]


def series_name(series: str, language: str = "en") -> str:
    """What people read: a topic's name in `language`, a company's key, "the whole market"."""
    kind, _, key = series.partition(":")
    if kind == "topic":
        return topic_name(key, language)
    if kind == "market":
        return "全市场" if language == "zh" else "Whole market"
    return key


def facts(score: Score) -> Iterator[tuple[str, float, float, float]]:
    """(series, p_negative, p_neutral, p_positive) for each series that the score touches.

    A company's own sentiment counts for the company and for its sector (the most negative one where a sector has several
    companies in one article); the article's counts for its topics and the market.
    """
    whole = (score.p_negative, score.p_neutral, score.p_positive)
    yield MARKET, *whole
    for topic in score.topics:
        yield topic_series(topic), *whole
    sectors: dict[str, tuple[float, float, float]] = {}
    for company in score.companies:
        own = (company.p_negative, company.p_neutral, company.p_positive)
        yield company_series(company.company), *own
        if company.sector and own > sectors.get(company.sector, (-1.0, 0.0, 0.0)):
            sectors[company.sector] = own
    for sector, worst in sectors.items():
        yield sector_series(sector), *worst


def is_negative(p_negative: float, p_neutral: float, p_positive: float) -> bool:
    """Whether a story counts as negative: negative is likelier than the two others together (docs/decisions.md)."""
    return p_negative >= p_neutral + p_positive
