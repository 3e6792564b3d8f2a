"""The state of a source, from its articles against the baseline and from its visits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
import numpy as np

from core.records import Alert, Trust
from core.series import source_series
from dashboard.reads.usual import PAST, fit_usual_rate
from stats.minute_counts import HOUR_S
from stats.source_shares import SourceShare
from storage.store import Feed, RevisionCounts, SourceHours, SourceVisit, StoredRepeat

State = Literal["failing", "silent", "late", "new", "past", "ok"]
STATES: tuple[State, ...] = ("failing", "silent", "late", "new", "past", "ok")
"""By urgency, most urgent first."""
HOURS = 24
WEEK = timedelta(days=7)
FAILURES = 2
"""Consecutive failed visits that make a source failing."""
OVERDUE = timedelta(minutes=2)
DUE_ARTICLES = 5.0
"""A source is late when the baseline expects this many articles since the last one; by chance 1 in 150 (Poisson)."""
LEFT = timedelta(days=2)
"""A source that is not configured and has no articles for this long is inactive."""


class SourceView(msgspec.Struct, frozen=True, kw_only=True):
    """One source.

    Attributes:
        hours: articles of the last HOURS hours, including the current one.
        usual: the baseline of each of these hours; [] where there is none.
        last_at, stored_at: when its newest article was published and stored.
        lag_s: seconds from publication to storage: (median, 95th percentile).
        recent, negative: articles of the last seven days, and the negative ones among them.
        left_out: articles of that time that alerts and charts do not count.
        undated: those of them that have no trustworthy time; the others do not bear on prices.
        dead: dead letters of the source in that time.
        outage_alert_id: ID of the open outage alert; "" for none.
        sentiment: from each window to its negative share against the others, one for each of its languages.
        trust: how far it speaks for the links of its articles of that time.
        revisions: its articles that were revised in that time; None for none.
        boilerplate: the repeats that are removed from its texts before the model reads them.
        added: the feed where it was added on the page of sources.
    """

    name: str
    visit: SourceVisit | None
    added: Feed | None
    hours: list[int]
    usual: list[float]
    last_at: datetime | None
    stored_at: datetime | None
    lag_s: tuple[float, float] | None
    recent: int
    negative: int
    left_out: int = 0
    undated: int = 0
    dead: int
    outage_alert_id: str
    state: State
    sentiment: dict[str, list[SourceShare]] = {}
    boilerplate: list[StoredRepeat] = []
    trust: tuple[Trust, ...] = ()
    revisions: RevisionCounts | None = None

    @property
    def stands_out(self) -> bool:
        """Whether its negative share stands out from the others in any window."""
        return any(share.stands_out for shares in self.sentiment.values() for share in shares)

    @property
    def today(self) -> int:
        """Articles of the last HOURS hours."""
        return sum(self.hours)


class SourceData(msgspec.Struct, frozen=True, kw_only=True):
    """Data of all sources. past: hours before those of `recent`, which covers at least HOURS hours"""

    past: Sequence[SourceHours]
    recent: Sequence[SourceHours]
    visits: Sequence[SourceVisit]
    feeds: Sequence[Feed]
    lags: Mapping[str, tuple[float, float]]
    dead: Mapping[str, int]
    left_out: Mapping[str, int] = {}
    undated: Mapping[str, int] = {}
    alerts: Sequence[Alert]
    sentiment: Mapping[str, Sequence[SourceShare]] = {}
    repeats: Sequence[StoredRepeat] = ()
    trusts: Mapping[str, tuple[Trust, ...]] = {}
    revisions: Mapping[str, RevisionCounts] = {}


def views(known: SourceData, usuals: Mapping[str, list[float]], now: datetime) -> list[SourceView]:
    """Every source, the most urgent first. usuals: the result of `usuals`"""
    parts = [*known.past, *known.recent]
    hours, newest = _together(parts), {own.source: own for own in sorted(parts, key=lambda own: own.last_at)}
    week, day = int((now - WEEK).timestamp()), [int(start.timestamp()) for start in starts(now)]
    visits = {visit.source: visit for visit in known.visits}
    feeds = {feed.name: feed for feed in known.feeds}
    outages = {alert.series: alert.id for alert in known.alerts if alert.measure == "outage"}
    found = []
    for name in sorted(hours.keys() | visits.keys() | feeds.keys()):
        counts, last = hours.get(name, {}), newest.get(name)
        lately = [count for start, count in counts.items() if start >= week]
        view = SourceView(
            name=name,
            visit=visits.get(name),
            added=feeds.get(name),
            hours=[counts.get(start, (0, 0))[0] for start in day],
            usual=usuals.get(name, []),
            last_at=last.last_at if last else None,
            stored_at=last.stored_at if last else None,
            lag_s=known.lags.get(name),
            recent=sum(articles for articles, _ in lately),
            negative=sum(negative for _, negative in lately),
            left_out=known.left_out.get(name, 0),
            undated=known.undated.get(name, 0),
            dead=known.dead.get(name, 0),
            outage_alert_id=outages.get(source_series(name), ""),
            sentiment={window: [share for share in shares if share.source == name] for window, shares in known.sentiment.items()},
            trust=known.trusts.get(name, ()),
            revisions=known.revisions.get(name),
            boilerplate=[repeat for repeat in known.repeats if repeat.source == name],
            state="ok",
        )
        found.append(msgspec.structs.replace(view, state=state_of(view, now)))
    return sorted(found, key=lambda view: (STATES.index(view.state), view.name))


def starts(now: datetime) -> list[datetime]:
    """Starts of the last HOURS whole hours in UTC, including the current one."""
    last = datetime.fromtimestamp(int(now.timestamp()) // HOUR_S * HOUR_S, tz=now.tzinfo)
    return [last - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]


def usuals(past: Sequence[SourceHours], now: datetime) -> dict[str, list[float]]:
    """Source to the baseline of each of the last HOURS hours; sources with too short a history are omitted."""
    wanted = starts(now)
    day = np.array([start.timestamp() for start in wanted])
    found = {}
    for name, counts in _together(past).items():
        first = max(wanted[0] - PAST, datetime.fromtimestamp(min(counts), tz=UTC))
        usual = fit_usual_rate([*counts], [articles for articles, _ in counts.values()], first, wanted[0], HOUR_S)
        if usual is not None:
            found[name] = [round(mean, 3) for mean in usual.mean_and_variance(day, HOUR_S)[0].tolist()]
    return found


def _together(parts: Sequence[SourceHours]) -> dict[str, dict[int, tuple[int, int]]]:
    """Source to the counts of its hours over all parts; of an hour in two parts the later counts."""
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for part in parts:
        found[part.source] = found.get(part.source, {}) | part.counts
    return found


def due(view: SourceView, now: datetime) -> float:
    """Articles that the baseline expects since the last one, within the last HOURS hours."""
    since = view.last_at or datetime.min.replace(tzinfo=now.tzinfo)
    total = 0.0
    for start, mean in zip(starts(now), view.usual, strict=bool(view.usual)):
        end = min(now, start + timedelta(seconds=HOUR_S))
        total += mean * max(0.0, (end - max(start, since)).total_seconds()) / HOUR_S if max(start, since) < end else 0.0
    return total


def usual_today(view: SourceView, now: datetime) -> float | None:
    """The baseline of the last HOURS hours up to `now`; None where there is none."""
    if not view.usual:
        return None
    share = (now - starts(now)[-1]).total_seconds() / HOUR_S
    return sum(view.usual[:-1]) + share * view.usual[-1]


def overdue(visit: SourceVisit, now: datetime) -> bool:
    """Whether a visit is overdue."""
    return visit.next_at is not None and now - visit.next_at > max(OVERDUE, timedelta(seconds=visit.interval_s))


def state_of(view: SourceView, now: datetime) -> State:
    """The state of a source."""
    visit = view.visit
    if visit is not None and (visit.failures >= FAILURES or (visit.failures and visit.ok_at is None)):
        return "failing"
    if view.outage_alert_id:
        return "silent"
    if view.last_at is None and (visit is None or visit.at is None):
        return "new"
    if visit is None and view.added is None:
        if view.last_at is not None and now - view.last_at > LEFT:
            return "past"
    elif visit is not None and overdue(visit, now):
        return "late"
    return "late" if due(view, now) >= DUE_ARTICLES else "ok"
