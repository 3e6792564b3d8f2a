"""What came from a feed, a page or an archive -> an Article: the one function that crawler and backfill share."""

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
"""Markup and all; what lies behind it is not even looked at."""


class Stock(NamedTuple):
    """A company that the source itself attached: its code, such as "00700.HK", and its name or ""."""

    code: str
    name: str


class RawArticle(NamedTuple):
    """An article as it came. Each field but `source` may be "".

    guid: the source's own id
    published: as the source wrote it
    language: "zh", "en", or "" to look at the text
    guid_first: the guid says which article it is, not the URL: for archives, whose ids are their own, and whose rows
        may all carry the address of one page
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
    """The article that `raw` is. The same input gives the same article, its id above all, whenever it is read.

    zone: of times that name none
    Personal data in posts (genre "social") is masked before anything else sees it; what stood there is kept nowhere.
    Flags: "cut" (title or text was too long), "date" (no believable time came: `fetched_at` stands in), "masked" (personal data)
    Raises BadRecord when there is neither title nor text, or no source.
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
                published_at=OLDEST if replaced else published_at,  # never the moment of reading: it differs each time
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
            bands=near_duplicates.bands(title, body),
            flags=tuple(dict.fromkeys(flags)),
        )
    except (ValueError, OverflowError, msgspec.ValidationError) as error:
        raise BadRecord(str(error), stage="build") from error


def _language(raw: RawArticle, title: str, body: str) -> Language:
    if raw.language in ("zh", "en"):
        return "zh" if raw.language == "zh" else "en"
    return clean_text.language(f"{title[:MAX_TITLE_CHARS]} {body[:MAX_TEXT_CHARS]}")


def stocks_of(value: object) -> tuple[Stock, ...]:
    """The companies in a row's `stocks`: a list of {code, name}, of codes, or nothing."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        return ()
    found = []
    for item in value:
        if isinstance(item, dict) and isinstance(item.get("code"), str):
            found.append(Stock(item["code"], str(item.get("name") or "")))
        elif isinstance(item, str):
            found.append(Stock(item, ""))
    return tuple(found)
