"""Build an Article from a feed entry, a page or an archive row; used by the crawler, the API and the backfill."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

import msgspec

from core.errors import BadRecord
from core.records import MAX_TEXT_CHARS, MAX_TITLE_CHARS, OLDEST, Article, Genre, Language, article_id, clamp_published
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
        language: "zh", "en", or "" to detect it.
        stocks: companies attached by the source.
        guid_first: identify the article by its guid, not its URL: archives have ids of their own, and all rows may carry one URL.
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


def build_article(raw: RawArticle, *, fetched_at: datetime, zone: tzinfo, gazetteer: Gazetteer) -> Article:
    """Build an article. The same input always gives the same article and id.

    Personal data in posts (genre "social") is masked first and stored nowhere. Flags: "cut" (title or text was too long),
    "date" (no plausible time: `fetched_at` is used), "masked" (personal data).

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
    given = raw.published if isinstance(raw.published, datetime) else dates.parse(raw.published, zone, fetched_at)
    if given is not None and given.tzinfo is None:
        given = given.replace(tzinfo=zone)
    published_at, replaced = clamp_published(given, fetched_at)
    url, guid = canonical(raw.url), clean_text.clean(raw.guid)
    language = _language(raw, title, body)
    masked: set[str] = set()
    if raw.genre == "social":
        (title, in_title), (body, in_body) = personal_data.mask(title, language), personal_data.mask(body, language)
        masked = {*in_title, *in_body}
    title, title_cut = clean_text.cut(title, MAX_TITLE_CHARS)
    body, body_cut = clean_text.cut(body, MAX_TEXT_CHARS)
    was_cut = title_cut or body_cut or len(raw.text) > MAX_RAW_CHARS
    flags = [*raw.flags, *(name for name, is_so in (("cut", was_cut), ("date", replaced), ("masked", masked)) if is_so)]
    try:
        return Article(
            id=article_id(
                url="" if raw.guid_first and guid else url,
                source=source,
                guid=guid,
                title=title or body[:200],
                published_at=OLDEST if replaced else published_at,  # never the time of fetching, which differs each time
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
        )
    except (ValueError, OverflowError, msgspec.ValidationError) as error:
        raise BadRecord(str(error), stage="build") from error


def _language(raw: RawArticle, title: str, body: str) -> Language:
    if raw.language in ("zh", "en"):
        return "zh" if raw.language == "zh" else "en"
    return clean_text.language(f"{title[:MAX_TITLE_CHARS]} {body[:MAX_TEXT_CHARS]}")


def stocks_of(value: object) -> tuple[Stock, ...]:
    """Parse the companies in a row's `stocks`: a list of {code, name}, a list of codes, or nothing."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        return ()
    found = []
    for item in value:
        if isinstance(item, dict) and isinstance(item.get("code"), str):
            found.append(Stock(item["code"], str(item.get("name") or "")))
        elif isinstance(item, str):
            found.append(Stock(item, ""))
    return tuple(found)
