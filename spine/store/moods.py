"""SQL of moods over days and weeks, read from hours that were summed up before.

    mentions.insert ─▶ marks: one for each hour it touched          (hour_marks)
    refresh ─▶ the hours whose marks changed, summed up once more   (mood_hours, hours_done)
    mood, touched ─▶ hours that are done from their sums, all others from the mentions themselves

So a sum is never wrong, only sometimes not used yet. It is computed anew from the mentions, never added to: replays and newer
models change nothing but what they should. Stories and sources are kept as sets (`uniq`: exact up to 65,536, then within 1 %), so that
one that is told in several hours counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from spine.clickhouse import ClickHouse
from spine.store.clock import from_epoch, new_version, to_epoch
from spine.store.mentions import Mentions, MoodPoint, SeriesTotal

HOUR_S = 3600
KINDS = ("market", "sector", "topic")
"""Kinds of series that are summed up; companies are too many, and each has few mentions."""
LONG = timedelta(days=2)
"""From so long a time on the sums are worth their overhead."""
HOURS_AT_ONCE = 24
ALL_TIME_S = 2**32 - 1
"""One window for all that the store can hold."""


class Moods:
    """Mood, volume and tone of series over any time."""

    def __init__(self, client: ClickHouse, mentions: Mentions) -> None:
        self._client = client
        self._mentions = mentions

    def mood(self, series: Sequence[str], since: datetime, until: datetime, width_s: int) -> list[MoodPoint]:
        """As Mentions.mood. Raises StoreError."""
        whole = width_s % HOUR_S == 0 and all(_kind(name) in KINDS for name in series)
        if not (series and whole and _long(since, until)):
            return self._mentions.mood(series, since, until, width_s)
        rows = self._summed("series IN {series:Array(String)}", "series, w", since, until, width_s, series=series)
        return [MoodPoint(row[0], from_epoch(int(row[1]) * width_s), float(row[2]), int(row[3]), int(row[4])) for row in rows]

    def touched(self, since: datetime, until: datetime, kinds: Sequence[str] = KINDS) -> list[SeriesTotal]:
        """As Mentions.touched. Raises StoreError."""
        if not (set(kinds) <= set(KINDS) and _long(since, until)):
            return self._mentions.touched(since, until, kinds)
        which, order = "splitByChar(':', series)[1] IN {kinds:Array(String)}", "negatives DESC, stories DESC, series"
        rows = self._summed(which, order, since, until, ALL_TIME_S, kinds=kinds)
        return [SeriesTotal(row[0], int(row[3]), int(row[4]), int(row[5]), float(row[2])) for row in rows]

    def _summed(
        self, which: str, order: str, since: datetime, until: datetime, width_s: int, **chosen: Sequence[str]
    ) -> list[tuple[Any, ...]]:
        """(series, window, tone, stories, negative ones, sources of these) of the series that the condition `which` chooses."""
        dirty = [to_epoch(hour) for hour in self._dirty(since, until)]
        raw = f"""
            UNION ALL
            SELECT series, intDiv(toUInt32(published_at), {{width:UInt32}}) AS w, count() AS articles, sum(tone) AS tones,
                   uniqState(story) AS told, uniqIfState(story, negative = 1) AS bad, uniqIfState(source, negative = 1) AS sources
            FROM mentions FINAL
            WHERE {which} AND published_at >= toDateTime({{first:UInt32}}) AND published_at < toDateTime({{last:UInt32}})
              AND toUInt32(toStartOfHour(published_at)) IN {{dirty:Array(UInt32)}}
            GROUP BY series, w
            """
        return self._client.query(
            f"""
            SELECT series, w, sum(tones) / sum(articles), uniqMerge(told) AS stories, uniqIfMerge(bad) AS negatives, uniqIfMerge(sources)
            FROM (
                SELECT series, intDiv(toUInt32(hour), {{width:UInt32}}) AS w, toUInt64(articles) AS articles, tone AS tones,
                       stories AS told, negative AS bad, negative_sources AS sources
                FROM mood_hours FINAL
                WHERE {which} AND hour >= toDateTime({{since:UInt32}}) AND hour < toDateTime({{until:UInt32}})
                  AND toUInt32(hour) NOT IN {{dirty:Array(UInt32)}}
                {raw if dirty else ""}
            )
            GROUP BY series, w ORDER BY {order}
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
            dirty=dirty or [0],
            first=max(to_epoch(since), min(dirty, default=0)),
            last=min(to_epoch(until), max(dirty, default=0) + HOUR_S),
            **chosen,
        )

    def _dirty(self, since: datetime, until: datetime) -> list[datetime]:
        """The hours of [since, until) that were touched since they were summed up, the oldest first."""
        rows = self._client.query(
            """
            SELECT h FROM (
                SELECT toUInt32(hour) AS h, sum(n) AS marked, toUInt64(0) AS done FROM hour_marks
                WHERE hour >= toDateTime({since:UInt32}) AND hour < toDateTime({until:UInt32}) GROUP BY h
                UNION ALL
                SELECT toUInt32(hour) AS h, toUInt64(0) AS marked, max(marks) AS done FROM hours_done
                WHERE hour >= toDateTime({since:UInt32}) AND hour < toDateTime({until:UInt32}) GROUP BY h
            )
            GROUP BY h HAVING sum(marked) != sum(done) ORDER BY h
            """,
            since=to_epoch(since),
            until=to_epoch(until),
        )
        return [from_epoch(int(row[0])) for row in rows]

    def refresh(self, now: datetime, limit: int = 10_000) -> int:
        """Sum up the hours that are over and were touched since, the newest first, at most `limit`; how many. Raises StoreError."""
        hours = self._dirty(datetime.fromtimestamp(0, tz=UTC), from_epoch(to_epoch(now) // HOUR_S * HOUR_S))[-limit:]
        days: dict[int, list[int]] = {}
        for hour in reversed(hours):
            days.setdefault(to_epoch(hour) // (HOURS_AT_ONCE * HOUR_S), []).append(to_epoch(hour))
        for some in days.values():
            self._sum_up(some)
        return len(hours)

    def _sum_up(self, hours: Sequence[int]) -> None:
        """Sum up some hours of one day. Marks are counted first: what comes meanwhile makes the hour dirty again."""
        rows = self._client.query(
            "SELECT toUInt32(hour) AS h, sum(n) FROM hour_marks WHERE toUInt32(hour) IN {hours:Array(UInt32)} GROUP BY h", hours=hours
        )
        marks = {int(row[0]): int(row[1]) for row in rows}
        version = new_version()
        numbers = ", ".join(map(str, hours))
        kinds = " OR ".join(f"(series >= '{kind}:' AND series < '{kind};')" for kind in KINDS)  # ranges of the table's key
        self._client.command(
            f"""
            INSERT INTO mood_hours (series, hour, articles, tone, stories, negative, negative_sources, version)
            SELECT series, toStartOfHour(published_at) AS h, count(), sum(tone), uniqState(story), uniqIfState(story, negative = 1),
                   uniqIfState(source, negative = 1), {version}
            FROM mentions FINAL
            WHERE ({kinds}) AND published_at >= toDateTime({min(hours)}) AND published_at < toDateTime({max(hours) + HOUR_S})
              AND toUInt32(toStartOfHour(published_at)) IN ({numbers})
            GROUP BY series, h
            """
        )
        self._client.insert("hours_done", {"hour": list(marks), "marks": list(marks.values())})


def _kind(series: str) -> str:
    return series.partition(":")[0]


def _long(since: datetime, until: datetime) -> bool:
    return until - since >= LONG and to_epoch(since) % HOUR_S == 0 == to_epoch(until) % HOUR_S
