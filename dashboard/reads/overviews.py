"""Reads of the overview: sentiment and volume of the market and of the series of one kind. Callers cache them."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from core.series import MARKET, key_of, topic_series
from core.taxonomy import all_topics
from dashboard.time_ranges import Range, bounds
from dashboard.view import Kind
from storage.store import CompanyProfile, SentimentPoint, SeriesTotal, Store

DRAWN = 20
"""Maximum number of series in the heat map."""
OFFERED = 60
"""Maximum number of series that can be selected."""
NAMED_WITHIN = timedelta(days=2)
"""Names of companies are read from the last days of a range: names change rarely, and a month of articles is slow to read."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The market and the series of one kind over one range.

    Attributes:
        mood: points per window of the market and of the series that can be drawn, by series, then time.
        members: totals of each series of the kind, most active first; over weeks a story counts once in each window.
        names: key to name of the companies among them.
        market, before: totals of the range, and of the previous period; None where there are no articles, or (before) no data.
        revision: hash of the other fields.
    """

    range: str
    kind: Kind
    since: datetime
    until: datetime
    width_s: int
    mood: list[SentimentPoint]
    members: list[SeriesTotal]
    names: dict[str, CompanyProfile]
    market: SeriesTotal | None
    before: SeriesTotal | None
    revision: str = ""


def read_overview(store: Store, chosen: Range, kind: Kind, now: datetime) -> Overview:
    """Raises StoreError."""
    since, until = bounds(chosen, now)
    tones, summed = store.rollups, kind in ("topic", "sector")
    totals = tones.totals(since, until, (kind, "market") if summed else ("market",))
    members = [item for item in totals if item.series != MARKET] if summed else tones.busiest(kind, since, until, OFFERED)
    members = sorted(members, key=lambda item: (-item.stories, item.series))[:OFFERED]
    drawn = [topic_series(topic.key) for topic in all_topics()] if kind == "topic" else [item.series for item in members[:DRAWN]]
    began = tones.first_hour()
    span = until - since
    followed = began is not None and began <= since - span + timedelta(seconds=chosen.width_s)
    before = tones.totals(since - span, since, ("market",)) if followed else []
    return Overview(
        range=chosen.key,
        kind=kind,
        since=since,
        until=until,
        width_s=chosen.width_s,
        mood=tones.sentiment([MARKET], since, until, chosen.width_s) + tones.sentiment(drawn, since, until, chosen.width_s),
        members=members,
        names=read_names(store, [item.series for item in members], since, until),
        market=next((item for item in totals if item.series == MARKET), None),
        before=before[0] if before else None,
    )


def read_names(store: Store, series: list[str], since: datetime, until: datetime) -> dict[str, CompanyProfile]:
    """Key to the latest name of the companies among `series`. Raises StoreError."""
    companies = [key_of(name) for name in series if name.startswith("company:")]
    return store.stories.company_profiles(companies, max(since, until - NAMED_WITHIN), until)
