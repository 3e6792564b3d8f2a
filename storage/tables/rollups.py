"""SQL of moods over days and weeks, read from stretches of time that were summed up before.

    mentions.insert ─▶ marks: one for each hour it touched                     (dirty_hours)
    refresh ─▶ the stretches whose marks changed, summed up once more          (rollups, rollup_watermarks)
    mood, totals ─▶ stretches that are done from their sums, all others from the mentions themselves

So a sum is never wrong, only sometimes not used yet. It is computed anew from the mentions, never added to: replays and newer
models change nothing but what they should. A story counts once in each stretch: telling in how many of a month's days it is the same
one would cost a set of all stories a day (measured: 0.7 s a month of 27,000 articles a day, where counts take 0.1).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from core.series import kind_of
from storage.clickhouse import ClickHouse
from storage.tables.mentions import MentionTable, SentimentPoint, SentimentSeries, SeriesTotal, line_of, of_kinds
from storage.tables.stories import StoryQueries
from storage.timestamps import from_epoch, to_epoch

WIDTHS = (86_400, 21_600, 3_600)
"""Seconds of the stretches that are summed up, the widest first: those of the dashboard's charts of a month, a week and a day."""
TOTALLED = WIDTHS[:2]
"""Stretches that totals are made of: a story counts once in each, and in each hour would be too often."""
KINDS = ("genre", "language", "market", "sector", "topic")
"""Kinds of series that are summed up in all widths; the past of a watchlist may change (storage/tables/watchlists.py)."""
WIDE_KINDS = ("company", *KINDS)
"""Kinds that are summed up in the widths of TOTALLED: an hour has hardly fewer sums of companies than mentions."""
DAY_S = 86_400
RECENT = timedelta(days=35)
"""How far back hours are summed up: as far as what is usual is learnt from."""
FEWEST, FEWEST_HOURS = 4, 48
"""Stretches of a time that are worth the overhead: a day's mentions are read as soon as its hours' sums."""


class RollupTable:
    """Mood, volume and tone of series over any time."""

    def __init__(self, client: ClickHouse, mentions: MentionTable, stories: StoryQueries) -> None:
        self._client = client
        self._mentions = mentions
        self._stories = stories

    def sentiment(self, series: Sequence[str], since: datetime, until: datetime, width_s: int) -> list[SentimentPoint]:
        """As Mentions.mood, of series of any kinds. Raises StoreError."""
        return [point for line in self.lines(series, since, until, width_s) for point in line.points()]

    def lines(self, series: Sequence[str], since: datetime, until: datetime, width_s: int) -> list[SentimentSeries]:
        """As Mentions.lines, of series of any kinds. Raises StoreError."""
        kinds = kinds_of(_width_of(since, until, width_s))
        summed = [name for name in series if kind_of(name) in kinds]
        found = self._summed(summed, since, until, width_s) if summed else []
        found += self._mentions.lines([name for name in series if kind_of(name) not in kinds], since, until, width_s)
        whole: dict[str, SentimentSeries] = {}
        for line in sorted(found, key=lambda line: line.series):
            whole[line.series] = whole[line.series] | line if line.series in whole else line
        return list(whole.values())

    def _summed(self, series: Sequence[str], since: datetime, until: datetime, width_s: int) -> list[SentimentSeries]:
        dirty = self._dirty(since, until, width_s)
        rows = self._client.query(
            """
            SELECT series, groupArray(toUInt32(start)), groupArray(tone / articles), groupArray(stories), groupArray(negative)
            FROM rollups FINAL
            WHERE width = {width:UInt32} AND series IN {series:Array(String)}
              AND start >= toDateTime({since:UInt32}) AND start < toDateTime({until:UInt32})
              AND toUInt32(start) NOT IN {dirty:Array(UInt32)}
            GROUP BY series
            """,
            series=series,
            width=width_s,
            since=to_epoch(since),
            until=to_epoch(until),
            dirty=dirty or [0],
        )
        found = [line_of(row) for row in rows]
        for first, last in _runs(dirty, width_s):
            found += self._mentions.lines(series, max(since, from_epoch(first)), min(until, from_epoch(last)), width_s)
        return found

    def totals(self, since: datetime, until: datetime, kinds: Sequence[str] = KINDS) -> list[SeriesTotal]:
        """As Mentions.touched; over weeks a story counts once in each stretch, and sources are not counted (0). Raises StoreError."""
        width_s = _totalled(since, until)
        if not set(kinds) <= set(kinds_of(width_s)):
            return self._mentions.touched(since, until, kinds)
        dirty = self._dirty(since, until, width_s)
        mentions = f"""
            UNION ALL
            SELECT series, count() AS n, sum(tone) AS tones, uniqExact(story) AS told, uniqExactIf(story, negative = 1) AS bad
            FROM mentions FINAL
            WHERE {of_kinds(kinds)} AND published_at >= toDateTime({{first:UInt32}}) AND published_at < toDateTime({{last:UInt32}})
              AND intDiv(toUInt32(published_at), {{width:UInt32}}) * {{width:UInt32}} IN {{dirty:Array(UInt32)}}
            GROUP BY series, intDiv(toUInt32(published_at), {{width:UInt32}})
            """
        rows = self._client.query(
            f"""
            SELECT series, sum(told) AS stories_, sum(bad) AS negatives_, sum(tones) / sum(n)
            FROM (
                SELECT series, toUInt64(articles) AS n, tone AS tones, toUInt64(stories) AS told, toUInt64(negative) AS bad
                FROM rollups FINAL
                WHERE width = {{width:UInt32}} AND {of_kinds(kinds)}
                  AND start >= toDateTime({{since:UInt32}}) AND start < toDateTime({{until:UInt32}})
                  AND toUInt32(start) NOT IN {{dirty:Array(UInt32)}}
                {mentions if dirty else ""}
            )
            GROUP BY series ORDER BY negatives_ DESC, stories_ DESC, series
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
            dirty=dirty or [0],
            first=min(dirty, default=0),
            last=min(to_epoch(until), max(dirty, default=0) + width_s),
        )
        return [SeriesTotal(row[0], int(row[1]), int(row[2]), 0, float(row[3])) for row in rows]

    def busiest(self, kind: str, since: datetime, until: datetime, limit: int) -> list[SeriesTotal]:
        """The series of one kind with most stories in [since, until), those as in `totals`; without sources. Raises StoreError."""
        if kind not in kinds_of(_totalled(since, until)):
            return self._stories.busiest(kind, since, until, limit)
        return sorted(self.totals(since, until, (kind,)), key=lambda item: (-item.stories, item.series))[:limit]

    def began(self) -> datetime | None:
        """The hour of the first mention; None: there is none. Raises StoreError."""
        rows = self._client.query("SELECT count(), toUInt32(min(hour)) FROM dirty_hours")
        return from_epoch(int(rows[0][1])) if rows and int(rows[0][0]) else None

    def _dirty(self, since: datetime, until: datetime, width_s: int) -> list[int]:
        """Starts of the stretches of [since, until) that were touched since they were summed up, the oldest first."""
        rows = self._client.query(
            """
            SELECT s FROM (
                SELECT intDiv(toUInt32(hour), {width:UInt32}) * {width:UInt32} AS s, sum(n) AS marked, toUInt64(0) AS done FROM dirty_hours
                WHERE hour >= toDateTime({since:UInt32}) AND hour < toDateTime({until:UInt32}) GROUP BY s
                UNION ALL
                SELECT toUInt64(toUInt32(start)) AS s, toUInt64(0) AS marked, max(marks) AS done FROM rollup_watermarks
                WHERE width = {width:UInt32} AND start >= toDateTime({since:UInt32}) AND start < toDateTime({until:UInt32}) GROUP BY s
            )
            GROUP BY s HAVING sum(marked) != sum(done) ORDER BY s
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
        )
        return [int(row[0]) for row in rows]

    def refresh(self, now: datetime, limit: int = 10_000) -> int:
        """Sum up the stretches that are over and were touched since, the newest first, at most `limit`; how many. Raises StoreError."""
        left = limit
        for width_s in WIDTHS:
            over = from_epoch(to_epoch(now) // width_s * width_s)
            began = over - RECENT if width_s < DAY_S // 4 else datetime.fromtimestamp(0, tz=UTC)
            some = self._dirty(began, over, width_s)[::-1][:left]
            for _, starts in itertools.groupby(some, lambda start: start // DAY_S):
                self._sum_up(list(starts), width_s)
            left -= len(some)
        return limit - left

    def _sum_up(self, starts: Sequence[int], width_s: int) -> None:
        """Sum up stretches of one day. Marks are counted first: what comes meanwhile makes them dirty again. They only grow: they are the
        version of the sums."""
        first, last = min(starts), max(starts) + width_s
        rows = self._client.query(
            """
            SELECT intDiv(toUInt32(hour), {width:UInt32}) * {width:UInt32} AS s, sum(n) FROM dirty_hours
            WHERE hour >= toDateTime({first:UInt32}) AND hour < toDateTime({last:UInt32}) GROUP BY s
            """,
            width=width_s,
            first=first,
            last=last,
        )
        marks = {int(row[0]): int(row[1]) for row in rows if int(row[0]) in starts}
        if not marks:  # its month was dropped meanwhile
            return
        stretch = f"intDiv(toUInt32(published_at), {width_s}) * {width_s}"
        versions = f"transform(s, [{', '.join(f'toUInt32({s})' for s in marks)}], [{', '.join(f'toUInt64({n})' for n in marks.values())}]"
        self._client.command(
            f"""
            INSERT INTO rollups (width, series, start, articles, tone, stories, negative, version)
            SELECT {width_s}, series, toDateTime(s, 'UTC'), n, tones, told, bad, {versions}, toUInt64(0))
            FROM (
                SELECT series, toUInt32({stretch}) AS s, count() AS n, sum(tone) AS tones, uniqExact(story) AS told,
                       uniqExactIf(story, negative = 1) AS bad
                FROM mentions FINAL
                WHERE {of_kinds(kinds_of(width_s))} AND published_at >= toDateTime({first}) AND published_at < toDateTime({last})
                  AND toUInt32({stretch}) IN ({", ".join(map(str, marks))})
                GROUP BY series, s
            )
            """
        )
        self._client.insert("rollup_watermarks", {"width": [width_s] * len(marks), "start": list(marks), "marks": list(marks.values())})


def kinds_of(width_s: int) -> tuple[str, ...]:
    """Kinds of series that are summed up in stretches so wide."""
    return WIDE_KINDS if width_s in TOTALLED else KINDS if width_s in WIDTHS else ()


def _width_of(since: datetime, until: datetime, width_s: int) -> int:
    """`width_s` where [since, until) is made of enough such stretches and they are summed up, else 0."""
    first, last = to_epoch(since), to_epoch(until)
    fewest = FEWEST if width_s >= TOTALLED[-1] else FEWEST_HOURS
    whole = width_s in WIDTHS and first % width_s == 0 == last % width_s and last - first >= fewest * width_s
    return width_s if whole else 0


def _totalled(since: datetime, until: datetime) -> int:
    """Seconds of the stretches that totals of [since, until) are made of; 0: they are read from the mentions."""
    return next((width for width in TOTALLED if _width_of(since, until, width)), 0)


def _runs(starts: Sequence[int], width_s: int) -> list[tuple[int, int]]:
    """[first, last) of stretches that follow each other."""
    runs: list[tuple[int, int]] = []
    for start in starts:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], start + width_s)
        else:
            runs.append((start, start + width_s))
    return runs
