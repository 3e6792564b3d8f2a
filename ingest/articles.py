"""Build an Article from a feed entry, a page or an archive row; used by the crawler, the API and the backfill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

import msgspec

from core.errors import BadRecord
from core.records import MAX_TEXT_CHARS, MAX_TITLE_CHARS, OLDEST, Article, Genre, Language, Trust, article_id, clamp_published
from ingest.companies.gazetteer import Gazetteer
from ingest.text import clean_text, dates, near_duplicates, personal_data
from ingest.text.urls import canonical

MAX_RAW_CHARS = 20 * MAX_TEXT_CHARS
"""Longer raw texts, markup included, are cut before cleaning."""


class Stock(NamedTuple):
    """A company attached by the source: its code, such as "00700.HK", and its name or ""."""

    code: str
    name: str


class RawArticle(NamedTuple):
    """An unprocessed article. Every field but `source` may be "".

    Attributes:
        guid: the source's own id.
        published: as written by the source.
        day_first: the order of day and month in "05/03/2026" that the other times of the source prove; None if unknown.
        archived: of an archive, so that "3 minutes ago" and days without a year name no known time.
        language: "zh", "en", or "" to detect it.
        stocks: companies attached by the source.
        guid_first: identify the article by its guid, not its URL: archives have ids of their own, and all rows may carry one URL.
        id: of the article, where the caller knows it; "" to derive it.
        trust, owner: as in Article.
    """

    source: str
    url: str = ""
    guid: str = ""
    title: str = ""
    text: str = ""
    published: str | datetime = ""
    language: str = ""
    genre: Genre = "news"
    stocks: tuple[Stock, ...] = ()
    flags: tuple[str, ...] = ()
    guid_first: bool = False
    id: str = ""
    trust: Trust = "feed"
    owner: str = ""
    day_first: bool | None = None
    archived: bool = False


def build_article(raw: RawArticle, *, fetched_at: datetime, zone: tzinfo, gazetteer: Gazetteer) -> Article:
    """Build an article. The same input always gives the same article and id.

    Personal data in posts (genre "social") is masked first and stored nowhere. Flags: "cut" (title or text was too long),
    "masked" (personal data), "zone" (the zone of the time is unknown or impossible: `zone` is used), "date" (no trustworthy time:
    series and alerts do not count the article).

    Args:
        raw: the unprocessed article.
        fetched_at: aware.
        zone: time zone of dates without one.
        gazetteer: finds companies in the text.

    Raises:
        BadRecord: neither title nor text, or no source.
    """
    title, body = clean_text.clean(raw.title[:MAX_RAW_CHARS]), clean_text.clean(raw.text[:MAX_RAW_CHARS])
    if not title and not body:
        raise BadRecord("neither a title nor a text", stage="build")
    source = clean_text.clean(raw.source)[:200]
    if not source:
        raise BadRecord("no source", stage="build")
    published_at, time_flags, is_fixed = _publication_time(raw, fetched_at, zone)
    url, guid = canonical(raw.url), clean_text.clean(raw.guid)
    language = _language(raw, title, body)
    masked: set[str] = set()
    if raw.genre == "social":
        (title, in_title), (body, in_body) = personal_data.mask(title, language), personal_data.mask(body, language)
        masked = {*in_title, *in_body}
    title, title_cut = clean_text.cut(title, MAX_TITLE_CHARS)
    body, body_cut = clean_text.cut(body, MAX_TEXT_CHARS)
    was_cut = title_cut or body_cut or len(raw.text) > MAX_RAW_CHARS
    flags = [*raw.flags, *(name for name, is_so in (("cut", was_cut), ("masked", masked)) if is_so), *time_flags]
    try:
        return Article(
            id=raw.id
            or article_id(
                url="" if raw.guid_first and guid else url,
                source=source,
                guid=guid,
                title=title or body[:200],
                published_at=published_at if is_fixed else OLDEST,  # never a time that differs at each reading
                owner=raw.owner,
            ),
            url=url,
            source=source,
            genre=raw.genre,
            language=language,
            title=title,
            text=body,
            published_at=published_at.astimezone(UTC),
            fetched_at=fetched_at.astimezone(UTC),
            mentions=gazetteer.mentions(f"{title}\n{body}", [(code, clean_text.clean(name)) for code, name in raw.stocks]),
            lsh_bands=near_duplicates.lsh_bands(title, body),
            flags=tuple(dict.fromkeys(flags)),
            trust=raw.trust,
            owner=raw.owner,
        )
    except (ValueError, OverflowError, msgspec.ValidationError) as error:
        raise BadRecord(str(error), stage="build") from error


MAX_ZONE_ERROR = timedelta(hours=14)


def _publication_time(raw: RawArticle, fetched_at: datetime, zone: tzinfo) -> tuple[datetime, list[str], bool]:
    """The publication time, flags about it, and whether it is the same at each reading.

    A time in the future is read again without its zone, which many sources state wrongly (their local time as GMT).
    """
    if isinstance(raw.published, datetime):
        given = raw.published if raw.published.tzinfo else raw.published.replace(tzinfo=zone)
        found: dates.ParsedTime | None = dates.ParsedTime(given)
    else:
        found = dates.read(raw.published, zone, fetched_at, day_first=raw.day_first)
    if found is None:
        return fetched_at, ["date"], False
    flags = ["zone"] if found.zone_unknown else []
    moment, replaced = clamp_published(found.at, fetched_at)
    if replaced and isinstance(raw.published, str):
        local = dates.read(raw.published, zone, fetched_at, day_first=raw.day_first, own_zone=True)
        if local is not None and not clamp_published(local.at, fetched_at)[1]:
            return local.at, ["zone"], not local.relative
        if found.day_only and found.at - fetched_at < MAX_ZONE_ERROR:
            return fetched_at, ["zone"], False  # today in a zone further east
    if replaced or (raw.archived and found.relative):
        flags = ["date"]
    return moment, flags, not replaced and not found.relative


def _language(raw: RawArticle, title: str, body: str) -> Language:
    if raw.language in ("zh", "en"):
        return "zh" if raw.language == "zh" else "en"
    return clean_text.language(f"{title[:MAX_TITLE_CHARS]} {body[:MAX_TEXT_CHARS]}")
