"""Who is silent: one source, or the feed? Pure: it is given what was heard, and the clock.

    each source's silence, against its own bar ─┬─▶ nobody was heard since, and that is strange in itself ─▶ one alert on the market
                                                ├─▶ most others that were due are mute too ─────────────────▶ one alert on the market
                                                └─▶ others speak ───────────────────────────────────────────▶ an alert on the source

What the market is expected to say leaves out sources that were silent before. When the feed is back, or we are, every source has its
whole limit once more: their backlogs do not come in one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np

from core.records import Alert, alert_id
from core.series import MARKET, source_series
from core.settings import Settings
from stats.minute_counts import DAY_S, HOUR_S, IntArray
from stats.outage_model import DAY, LEAST_SILENT, STRETCH_S, Rhythm, rhythm
from storage.store import Rung, Spoke
from storage.timestamps import from_epoch
from stream.detection.detector import Rings

GONE = 14 * DAY
"""Nobody waits any more for a source that was not heard in so many stretches."""
DOUBT = 1.0
"""A silence that chance brings about less than once in ten counts as one where sources are asked what they hear of each other."""
MANY = 2
"""So many others must have been due before they may say that it is the feed."""


@dataclass(frozen=True, slots=True)
class SilenceRule:
    """When a silence rings.

    per_week: false alarms a week that the analyst accepts, over all sources together; 0: none rings
    history_s: how far back a source's own past is read
    cooldown_s: what falls silent again so soon after its alert is told by that one
    late_s: what came longer after its publication was history, and tells nothing of how late news comes
    """

    name: str = "feed-silent"
    per_week: float = 0.25
    history_s: float = 28 * DAY_S
    cooldown_s: float = 4 * HOUR_S
    late_s: float = HOUR_S

    @classmethod
    def from_settings(cls, settings: Settings) -> SilenceRule:
        """The rule that the settings describe."""
        return cls(
            per_week=settings.alert_silence_per_week,
            history_s=settings.alert_history_days * float(DAY_S),
            cooldown_s=float(settings.alert_cooldown_s),
            late_s=float(settings.alert_lateness_s),
        )


class Silence(NamedTuple):
    """Somebody is silent beyond the limit.

    since: the last article, seconds since 1970; limit_s: how long it may be silent at this time of the week
    sources: how many are silent; rings: False where another silence speaks for this one, or its clock has only just begun
    """

    series: str
    since: int
    limit_s: int
    surprise: float
    sources: int
    rings: bool


class _Ear(NamedTuple):
    """A source, or several as one, that was heard last in the stretch `last`; from the stretch `reached` on its silence is over the bar."""

    name: str
    since: int
    last: int
    late_s: int
    rhythm: Rhythm
    quiet: float
    bar: float
    reached: int
    per_week: float

    @property
    def rings_at(self) -> int:
        """Seconds since 1970: what was published until then would be here, but for what is later than usual."""
        return self.reached * STRETCH_S + self.late_s

    def surprise(self, now: int, since: int = 0) -> float:
        """Of its silence until `now`, as far as it lies after the stretch `since`."""
        return self.quiet * float(self.rhythm.surprise(max(self.last, since), (now - self.late_s) // STRETCH_S))

    def expected(self, now: int, since: int) -> float:
        """The surprise if it had been silent since the stretch `since`, at least."""
        return self.quiet * float(self.rhythm.surprise(since, (now - self.late_s) // STRETCH_S))

    def silence(self, series: str, now: int, back: int, *, sources: int = 1, held: bool = False) -> Silence:
        rings = not held and self.surprise(now, back // STRETCH_S) >= self.bar
        return Silence(series, self.since, self.rings_at - self.since, self.surprise(now), sources, rings)


class Hearing:
    """Judges what it was told last. One thread at a time."""

    def __init__(self, rule: SilenceRule, told: Mapping[str, Spoke] | None = None) -> None:
        self._rule, self._reach = rule, int(rule.history_s) // STRETCH_S
        self._rhythms: dict[tuple[tuple[str, ...], int], Rhythm | None] = {}
        self.hear(told or {})

    def hear(self, told: Mapping[str, Spoke]) -> None:
        """From now on this is what each source told; what is known of its rhythm stays."""
        self._told = dict(sorted(told.items()))
        self._heard = {name: np.asarray(one.stretches, np.int64) for name, one in self._told.items()}
        self._ears: dict[tuple[str, ...], _Ear] = {}

    def forget(self) -> None:
        """The past may be another one now."""
        self._rhythms.clear()

    def silent(self, now: int, back: int = 0) -> list[Silence]:
        """All that are over their limits at `now`, the market first; what is dated after `now` is not looked at.

        back: when the feed, or who listens, was away last: until then nobody is expected to have been heard. Seconds since 1970.
        """
        if self._rule.per_week <= 0:
            return []
        lasts = self._lasts(now)
        newest = max(lasts.values(), default=0)
        per_week, end = self._budget(lasts), now // STRETCH_S
        ears = [self._ear((name,), last, per_week) for name, last in lasts.items() if last + 1 < end]
        over = [ear for ear in ears if ear is not None and now >= ear.rings_at]
        before = {ear.name for ear in over if ear.reached <= newest}
        names = tuple(name for name in lasts if name not in before)
        whole = self._ear(names, newest, per_week) if names and newest + 1 < end else None
        head = whole.silence(MARKET, now, back, sources=len(names)) if whole is not None and now >= whole.rings_at else None
        for one in over:
            head = head or self._most(one, now, back)
        found = [head] if head else []
        for one in over:
            alone = all(last <= one.last for name, last in lasts.items() if name != one.name)
            found.append(one.silence(source_series(one.name), now, back, held=alone or head is not None))
        return found

    def _lasts(self, now: int) -> dict[str, int]:
        """The stretch in which each source was heard last; without those that nobody waits for any more."""
        end = now // STRETCH_S
        places = {name: int(np.searchsorted(heard, end, side="right")) for name, heard in self._heard.items()}
        return {name: last for name, at in places.items() if at and (last := int(self._heard[name][at - 1])) > end - GONE}

    def _budget(self, lasts: Mapping[str, int]) -> float:
        """How often a week each of those that are judged may ring falsely, the market being one."""
        return self._rule.per_week / (1 + sum(self._rhythm((name,), last) is not None for name, last in lasts.items()))

    def _most(self, one: _Ear, now: int, back: int) -> Silence | None:
        """The market's silence, where most of the others that were due were mute when `one` went over its limit, and still are."""
        then = self._others(one, one.rings_at)
        if not _mostly_mute(then, one, one.rings_at):  # who was over its limit before has been told of, and bears no witness
            return None
        names = {ear.name for ear in then}
        ears = [ear for ear in self._others(one, now) if ear.name in names]
        mute = _mostly_mute(ears, one, now)
        if not mute:
            return None
        silence = one.silence(MARKET, now, back, sources=len(mute) + 1)
        since = max(ear.since for ear in (one, *mute))
        return silence._replace(since=since, limit_s=max(0, one.rings_at - since))

    def _others(self, one: _Ear, now: int) -> list[_Ear]:
        lasts = self._lasts(now)
        per_week = self._budget(lasts)
        ears = [self._ear((name,), last, per_week) for name, last in lasts.items() if name != one.name]
        return [ear for ear in ears if ear is not None and ear.rings_at >= one.rings_at]

    def _ear(self, names: tuple[str, ...], last: int, per_week: float) -> _Ear | None:
        """These as one. None: too little is known of them."""
        kept = self._ears.get(names)
        if kept is not None and kept.last == last and kept.per_week == per_week:
            return kept
        found = self._rhythm(names, last)
        if found is None:
            return None
        told = [self._told[name] for name in names]
        since = max([last * STRETCH_S, *(one.last for one in told if one.last // STRETCH_S == last)])
        quiet = float(found.quiet(self._of(names, last + 1 - DAY, last + 1), last))
        bar = found.bar(per_week)
        reached = max(last + 1 + LEAST_SILENT, found.reached(last, bar / quiet))
        ear = _Ear(names[0], since, last, max(one.late_s for one in told), found, quiet, bar, reached, per_week)
        self._ears[names] = ear
        return ear

    def _rhythm(self, names: tuple[str, ...], last: int) -> Rhythm | None:
        """Of all these as one, from the days before that of `last`: whoever looks, and when, finds the same."""
        day = last // DAY * DAY
        if (names, day) not in self._rhythms:
            self._rhythms[names, day] = rhythm(self._of(names, day - self._reach, day), day, self._reach)
        return self._rhythms[names, day]

    def _of(self, names: Sequence[str], since: int, until: int) -> IntArray:
        """The stretches of [since, until) in which any of these was heard."""
        parts = [heard[slice(*np.searchsorted(heard, (since, until)))] for heard in (self._heard[name] for name in names)]
        return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def _mostly_mute(ears: Sequence[_Ear], one: _Ear, now: int) -> list[_Ear]:
    """Those of `ears` that are mute, where they are more than those that speak; an ear to which nothing was due is neither."""
    mute = [ear for ear in ears if ear.surprise(now) >= DOUBT]
    loud = sum(ear.surprise(now) < DOUBT <= ear.expected(now, one.last) for ear in ears)
    return mute if len(mute) > loud and len(mute) + loud >= MANY else []


def settle(silences: Sequence[Silence], last: Mapping[str, Rung], rule: SilenceRule, now: int) -> Rings:
    """One alert for each outage. last: what each series rang last"""
    rings = Rings([], set(), {})
    for silence in silences:
        before = last.get(silence.series)
        if before is not None and silence.since < before.end + rule.cooldown_s:
            rings.going_on.add(before.id)
        elif silence.rings:
            rings.fresh.append(_alert(silence, rule, now))
    return rings


def _alert(silence: Silence, rule: SilenceRule, now: int) -> Alert:
    start = from_epoch(silence.since)
    length_s = max(1, now - silence.since)
    return Alert(
        id=alert_id(rule.name, silence.series, start),
        rule=rule.name,
        series=silence.series,
        window_start=start,
        window_s=length_s,
        detected_at=from_epoch(now),
        severity="warning" if silence.series == MARKET else "info",
        observed=0,
        expected=0.0,
        surprise=round(silence.surprise, 3),
        total=0,
        sources=silence.sources,
        measure="silence",
        value=round(length_s / HOUR_S, 2),
        limit=round(min(silence.limit_s, length_s) / HOUR_S, 2),
    )


def replay_silences(
    told: Mapping[str, Spoke], rule: SilenceRule, since: datetime, until: datetime
) -> Iterator[tuple[datetime, list[Alert]]]:
    """What would have rung in [since, until), with a virtual clock that goes on in silences; only moments at which anything rang."""
    hearing, rang, back = Hearing(rule, told), dict[str, Rung](), 0
    for stretch in range(int(since.timestamp()) // STRETCH_S + 1, int(until.timestamp()) // STRETCH_S + 1):
        now = stretch * STRETCH_S
        silences = hearing.silent(now, back)
        if silences and silences[0].series == MARKET:
            back = now
        fresh = settle(silences, rang, rule, now).fresh
        rang |= {alert.series: Rung(alert.id, now) for alert in fresh}
        if fresh:
            yield from_epoch(now), fresh
