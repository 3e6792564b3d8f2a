"""SQL of roll-ups: sentiment of series by hour, six hours and day, precomputed from the mentions.

    mentions.insert ─▶ marks the hours of the articles                            (dirty_hours)
    refresh ─▶ recomputes the windows whose marks changed                         (rollups, rollup_watermarks)
    sentiment, totals ─▶ read up-to-date windows from the roll-ups, the others from the mentions

A roll-up counts the mentions with a given least materiality (`least`, in thousandths): after a change of the setting, those of the new
value are computed.

A roll-up is thus never wrong, only sometimes not used yet. It is recomputed from the mentions and never incremented, so that replays
and newer models are handled. A story counts once in each window: to count it once over several days would need a set of all stories per
day (measured: 0.7 s for a month of 27,000 articles a day, against 0.1 s with counts).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from core.series import kind_of
from storage.clickhouse import ClickHouse
from storage.tables.mentions import MentionTable, SentimentPoint, SentimentSeries, SeriesTotal, counted, of_kinds, sentiment_series_of
from storage.tables.stories import StoryQueries
from storage.timestamps import from_epoch, to_epoch

WIDTHS = (86_400, 21_600, 3_600)
"""Widths of the windows, seconds, widest first: those of the dashboard's charts of a month, a week and a day."""
TOTAL_WIDTHS = WIDTHS[:2]
"""Widths that `totals` uses. A story counts once per window, which would be too often with hours."""
KINDS = ("genre", "language", "market", "sector", "topic")
"""Kinds of series with roll-ups in all widths; not watchlists, whose history may change (storage/tables/config_texts.py)."""
WIDE_KINDS = ("company", *KINDS)
"""Kinds with roll-ups in the widths of TOTAL_WIDTHS: hourly roll-ups of companies would have almost as many rows as the mentions."""
DAY_S = 86_400
RECENT = timedelta(days=35)
"""Hourly roll-ups reach back so far: the history of the baseline."""
MIN_WINDOWS, MIN_HOURS = 4, 48
"""Minimum number of windows for which roll-ups are faster: the mentions of a day are read as fast as its hourly roll-ups."""


class RollupTable:
    """Sentiment and volume of series over any time range."""

    def __init__(self, client: ClickHouse, mentions: MentionTable, stories: StoryQueries) -> None:
        self._client = client
        self._mentions = mentions
        self._counted = counted(mentions.min_materiality)
        self._least = round(1000 * mentions.min_materiality)
        self._stories = stories

    def sentiment(self, series: Sequence[str], since: datetime, until: datetime, width_s: int) -> list[SentimentPoint]:
        """As MentionTable.sentiment. Raises StoreError."""
        return [point for line in self.lines(series, since, until, width_s) for point in line.points()]

    def lines(self, series: Sequence[str], since: datetime, until: datetime, width_s: int) -> list[SentimentSeries]:
        """As MentionTable.lines. Raises StoreError."""
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
            WHERE width = {width:UInt32} AND least = {least:UInt16} AND series IN {series:Array(String)}
              AND start >= toDateTime({since:UInt32}) AND start < toDateTime({until:UInt32})
              AND toUInt32(start) NOT IN {dirty:Array(UInt32)}
            GROUP BY series
            """,
            series=series,
            width=width_s,
            least=self._least,
            since=to_epoch(since),
            until=to_epoch(until),
            dirty=dirty or [0],
        )
        found = [sentiment_series_of(row) for row in rows]
        for first, last in _runs(dirty, width_s):
            found += self._mentions.lines(series, max(since, from_epoch(first)), min(until, from_epoch(last)), width_s)
        return found

    def totals(self, since: datetime, until: datetime, kinds: Sequence[str] = KINDS) -> list[SeriesTotal]:
        """As MentionTable.totals, but over weeks a story counts once per window and sources are not counted (0). Raises StoreError."""
        width_s = _total_width(since, until)
        if not set(kinds) <= set(kinds_of(width_s)):
            return self._mentions.totals(since, until, kinds)
        dirty = self._dirty(since, until, width_s)
        mentions = f"""
            UNION ALL
            SELECT series, count() AS n, sum(tone) AS tones, uniqExact(story) AS n_stories, uniqExactIf(story, negative = 1) AS n_negative
            FROM mentions FINAL
            WHERE {of_kinds(kinds)} AND {self._counted}
              AND published_at >= toDateTime({{first:UInt32}}) AND published_at < toDateTime({{last:UInt32}})
              AND intDiv(toUInt32(published_at), {{width:UInt32}}) * {{width:UInt32}} IN {{dirty:Array(UInt32)}}
            GROUP BY series, intDiv(toUInt32(published_at), {{width:UInt32}})
            """
        rows = self._client.query(
            f"""
            SELECT series, sum(n_stories) AS stories_, sum(n_negative) AS negatives_, sum(tones) / sum(n)
            FROM (
                SELECT series, toUInt64(articles) AS n, tone AS tones, toUInt64(stories) AS n_stories, toUInt64(negative) AS n_negative
                FROM rollups FINAL
                WHERE width = {{width:UInt32}} AND least = {{least:UInt16}} AND {of_kinds(kinds)}
                  AND start >= toDateTime({{since:UInt32}}) AND start < toDateTime({{until:UInt32}})
                  AND toUInt32(start) NOT IN {{dirty:Array(UInt32)}}
                {mentions if dirty else ""}
            )
            GROUP BY series ORDER BY negatives_ DESC, stories_ DESC, series
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
            least=self._least,
            dirty=dirty or [0],
            first=min(dirty, default=0),
            last=min(to_epoch(until), max(dirty, default=0) + width_s),
        )
        return [SeriesTotal(row[0], int(row[1]), int(row[2]), 0, float(row[3])) for row in rows]

    def busiest(self, kind: str, since: datetime, until: datetime, limit: int) -> list[SeriesTotal]:
        """The series of one kind with most stories in [since, until), as `totals`. Raises StoreError."""
        if kind not in kinds_of(_total_width(since, until)):
            return self._stories.busiest(kind, since, until, limit)
        return sorted(self.totals(since, until, (kind,)), key=lambda item: (-item.stories, item.series))[:limit]

    def first_hour(self) -> datetime | None:
        """The hour of the first mention, or None. Raises StoreError."""
        rows = self._client.query("SELECT count(), toUInt32(min(hour)) FROM dirty_hours")
        return from_epoch(int(rows[0][1])) if rows and int(rows[0][0]) else None

    def _dirty(self, since: datetime, until: datetime, width_s: int) -> list[int]:
        """Starts of the windows of [since, until) that changed since their roll-up, oldest first."""
        rows = self._client.query(
            """
            SELECT s FROM (
                SELECT intDiv(toUInt32(hour), {width:UInt32}) * {width:UInt32} AS s, sum(n) AS marked, toUInt64(0) AS done FROM dirty_hours
                WHERE hour >= toDateTime({since:UInt32}) AND hour < toDateTime({until:UInt32}) GROUP BY s
                UNION ALL
                SELECT toUInt64(toUInt32(start)) AS s, toUInt64(0) AS marked, max(marks) AS done FROM rollup_watermarks
                WHERE width = {width:UInt32} AND least = {least:UInt16}
                  AND start >= toDateTime({since:UInt32}) AND start < toDateTime({until:UInt32}) GROUP BY s
            )
            GROUP BY s HAVING sum(marked) != sum(done) ORDER BY s
            """,
            since=to_epoch(since),
            until=to_epoch(until),
            width=width_s,
            least=self._least,
        )
        return [int(row[0]) for row in rows]

    def refresh(self, now: datetime, limit: int = 10_000) -> int:
        """Recompute past windows that changed, newest first, at most `limit`, and return their number. Raises StoreError."""
        left = limit
        for width_s in WIDTHS:
            over = from_epoch(to_epoch(now) // width_s * width_s)
            began = over - RECENT if width_s < DAY_S // 4 else datetime.fromtimestamp(0, tz=UTC)
            some = self._dirty(began, over, width_s)[::-1][:left]
            for _, starts in itertools.groupby(some, lambda start: start // DAY_S):
                self._recompute(list(starts), width_s)
            left -= len(some)
        return limit - left

    def _recompute(self, starts: Sequence[int], width_s: int) -> None:
        """Recompute windows of one day.

        Marks are counted first, so that inserts meanwhile make the windows dirty again. They only grow and serve as the row version.
        """
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
        if not marks:  # their month was dropped meanwhile
            return
        window = f"intDiv(toUInt32(published_at), {width_s}) * {width_s}"
        versions = f"transform(s, [{', '.join(f'toUInt32({s})' for s in marks)}], [{', '.join(f'toUInt64({n})' for n in marks.values())}]"
        self._client.command(
            f"""
            INSERT INTO rollups (width, least, series, start, articles, tone, stories, negative, version)
            SELECT {width_s}, {self._least}, series, toDateTime(s, 'UTC'), n, tones, n_stories, n_negative, {versions}, toUInt64(0))
            FROM (
                SELECT series, toUInt32({window}) AS s, count() AS n, sum(tone) AS tones, uniqExact(story) AS n_stories,
                       uniqExactIf(story, negative = 1) AS n_negative
                FROM mentions FINAL
                WHERE {of_kinds(kinds_of(width_s))} AND {self._counted}
                  AND published_at >= toDateTime({first}) AND published_at < toDateTime({last})
                  AND toUInt32({window}) IN ({", ".join(map(str, marks))})
                GROUP BY series, s
            )
            """
        )
        watermarks = {"width": [width_s] * len(marks), "least": [self._least] * len(marks)}
        self._client.insert("rollup_watermarks", {**watermarks, "start": list(marks), "marks": list(marks.values())})


def kinds_of(width_s: int) -> tuple[str, ...]:
    """Kinds of series with roll-ups of this width."""
    return WIDE_KINDS if width_s in TOTAL_WIDTHS else KINDS if width_s in WIDTHS else ()


def _width_of(since: datetime, until: datetime, width_s: int) -> int:
    """`width_s` if [since, until) consists of enough windows of that width and it has roll-ups, else 0."""
    first, last = to_epoch(since), to_epoch(until)
    fewest = MIN_WINDOWS if width_s >= TOTAL_WIDTHS[-1] else MIN_HOURS
    whole = width_s in WIDTHS and first % width_s == 0 == last % width_s and last - first >= fewest * width_s
    return width_s if whole else 0


def _total_width(since: datetime, until: datetime) -> int:
    """The width of the roll-ups for totals of [since, until), seconds; 0: read the mentions."""
    return next((width for width in TOTAL_WIDTHS if _width_of(since, until, width)), 0)


def _runs(starts: Sequence[int], width_s: int) -> list[tuple[int, int]]:
    """[first, last) of consecutive windows."""
    runs: list[tuple[int, int]] = []
    for start in starts:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], start + width_s)
        else:
            runs.append((start, start + width_s))
    return runs
