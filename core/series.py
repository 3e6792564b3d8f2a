"""Time series of news: names such as "topic:energy", the series of a score, and display names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.records import Score
from core.taxonomy import topic_name

MARKET = "market:all"
ALERTING = ("topic", "company", "sector", "market", "language", "genre", "watchlist")
"""Kinds of series that articles belong to and that rules evaluate."""

SOURCE = "source"
"""Kind of series of single sources, which only the outage detector evaluates."""

_NAMES = {
    MARKET: ("Whole market", "全市场"),
    "language:en": ("News in English", "英文新闻"),
    "language:zh": ("News in Chinese", "中文新闻"),
    "genre:news": ("News media", "新闻媒体"),
    "genre:social": ("Social media", "社交媒体"),
    "genre:filing": ("Filings", "公告"),
}
_SECTORS = {
    "autos": ("Autos", "汽车"),
    "banks": ("Banks", "银行"),
    "consumer": ("Consumer", "消费"),
    "energy": ("Energy", "能源"),
    "health": ("Health care", "医药"),
    "industrials": ("Industrials", "工业"),
    "insurance": ("Insurance", "保险"),
    "internet": ("Internet", "互联网"),
    "materials": ("Materials", "材料"),
    "media": ("Media", "传媒"),
    "real_estate": ("Real estate", "房地产"),
    "semiconductors": ("Semiconductors", "半导体"),
    "technology": ("Technology", "科技"),
    "telecom": ("Telecom", "电信"),
    "transport": ("Transport", "交通运输"),
    "utilities": ("Utilities", "公用事业"),
}
"""The sectors of ingest/companies/companies.toml; other company lists may have others."""
_TITLES: dict[str, tuple[str, str]] = {}
_COMPANIES: dict[str, tuple[str, str]] = {}


def topic_series(topic: str) -> str:
    """The series of a topic of core.taxonomy."""
    return f"topic:{topic}"


def company_series(company: str) -> str:
    """The series of a company, by its key."""
    return f"company:{company}"


def sector_series(sector: str) -> str:
    """The series of a sector, by its key."""
    return f"sector:{sector}"


def language_series(language: str) -> str:
    """The series of all articles in a language, "zh" or "en"."""
    return f"language:{language}"


def genre_series(genre: str) -> str:
    """The series of all articles of a genre, "news", "social" or "filing"."""
    return f"genre:{genre}"


def watchlist_series(name: str) -> str:
    """The series of a watchlist, by its key."""
    return f"watchlist:{name}"


def source_series(name: str) -> str:
    """The series of a source, by its name."""
    return f"{SOURCE}:{name}"


def register_watchlist_names(titles: Mapping[str, tuple[str, str]]) -> None:
    """Set the names of watchlists for `series_name`, key to (English, Chinese); replaces those set before."""
    known = dict(titles)
    _TITLES.clear()
    _TITLES.update(known)


def register_company_names(names: Mapping[str, tuple[str, str]]) -> None:
    """Set the names of companies for `series_name`, key to (English, Chinese); replaces those set before."""
    known = dict(names)
    _COMPANIES.clear()
    _COMPANIES.update(known)


def company_name(key: str, language: str) -> str:
    """The name of a company in `language`; "" if it is not registered in this process."""
    english, chinese = _COMPANIES.get(key, ("", ""))
    return (chinese or english) if language == "zh" else (english or chinese)


def kind_of(series: str) -> str:
    """The kind of a series: one of ALERTING, or SOURCE."""
    return series.partition(":")[0]


def key_of(series: str) -> str:
    """The key of a series: the part after the kind."""
    return series.partition(":")[2]


def is_series(name: str) -> bool:
    """Whether the text is a well-formed series name: a kind of ALERTING, a colon and a key. It may have no articles."""
    return kind_of(name) in ALERTING and 0 < len(key_of(name)) <= 64 and key_of(name).isprintable()


def series_name(series: str, language: str = "en") -> str:
    """The display name of a series in `language`; its key if it has no name."""
    kind, _, key = series.partition(":")
    if kind == "topic":
        return topic_name(key, language)
    if kind == "company":
        return company_name(key, language) or key
    if kind == "sector" and key in _SECTORS:
        return _SECTORS[key][language == "zh"]
    english, chinese = _NAMES.get(series) or (_TITLES.get(key, (key, key)) if kind == "watchlist" else (key, key))
    return chinese if language == "zh" else english


def facts(score: Score) -> Iterator[tuple[str, float, float, float]]:
    """Yield (series, p_negative, p_neutral, p_positive) for each series that the score belongs to.

    The sentiment towards a company counts for the company and for its sector (the most negative one if several companies of a sector
    are named); a speaker, such as a broker that rates another company, counts for neither. The sentiment of the article counts for
    the market, its language, its genre and its topics. The sentiment for watchlists was determined when they were matched
    (stream.watchlists.matcher).
    """
    whole = (score.p_negative, score.p_neutral, score.p_positive)
    yield MARKET, *whole
    yield language_series(score.language), *whole
    yield genre_series(score.genre), *whole
    for topic in score.topics:
        yield topic_series(topic), *whole
    sectors: dict[str, tuple[float, float, float]] = {}
    for company in score.companies:
        if company.role == "speaker":
            continue
        own = (company.p_negative, company.p_neutral, company.p_positive)
        yield company_series(company.company), *own
        if company.sector and own > sectors.get(company.sector, (-1.0, 0.0, 0.0)):
            sectors[company.sector] = own
    for sector, worst in sectors.items():
        yield sector_series(sector), *worst
    for watched in score.watchlists:
        yield watchlist_series(watched.name), watched.p_negative, watched.p_neutral, watched.p_positive


def is_negative(p_negative: float, p_neutral: float, p_positive: float) -> bool:
    """Whether a story counts as negative: negative is at least as likely as the two others together (docs/decisions.md)."""
    return p_negative >= p_neutral + p_positive
