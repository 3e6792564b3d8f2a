"""Outage detector: which sources, or the whole feed, have published nothing for longer than their gap model explains. Pure.

    gap of each source, against its own threshold ─┬─▶ no source has published since, and that exceeds the market's threshold ─▶ market
                                                   ├─▶ most other sources that were due are silent too ──────────────────────▶ market
                                                   └─▶ other sources publish ────────────────────────────────────────────────▶ the source

The market's gap model leaves out sources that were in outage before. After an outage of the feed, or of this process, every source gets
its whole limit again, because backlogs do not arrive in one moment.
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
from stats.outage_model import MIN_GAP_SLOTS, SLOT_S, SLOTS_PER_DAY, GapModel, fit_gap_model
from storage.store import LastAlert, SourceActivity
from storage.timestamps import from_epoch
from stream.detection.detector import Detections

RETIRED_SLOTS = 14 * SLOTS_PER_DAY
"""A source without an article for so many slots is no longer followed."""
SILENT_SURPRISE = 1.0
"""A source counts as silent in the vote of the sources if p < 0.1."""
MIN_VOTES = 2
"""Other sources that must take part in the vote that the feed is in outage."""


@dataclass(frozen=True, slots=True)
class OutageRule:
    """When a gap raises an alert.

    Attributes:
        per_week: Accepted false alerts a week, over all sources together; 0: the rule is off.
        history_s: How far back the past of a source is read.
        cooldown_s: A gap that begins so soon after an alert belongs to it.
        late_s: An article that arrives longer after its publication than this does not count as a delay of its source.
    """

    name: str = "source-outage"
    per_week: float = 0.25
    history_s: float = 28 * DAY_S
    cooldown_s: float = 4 * HOUR_S
    late_s: float = HOUR_S

    @classmethod
    def from_settings(cls, settings: Settings) -> OutageRule:
        """The rule that the settings describe."""
        return cls(
            per_week=settings.alert_outages_per_week,
            history_s=settings.alert_history_days * float(DAY_S),
            cooldown_s=float(settings.alert_cooldown_s),
            late_s=float(settings.alert_max_age_s),
        )


class Outage(NamedTuple):
    """A gap beyond its limit.

    Attributes:
        series: Series of the source, or the market.
        since: Time of the last article, seconds since 1970.
        limit_s: Length of a gap that raises an alert at this time of the week.
        surprise: Surprise of the gap.
        sources: Number of sources in outage.
        is_alert: False where another outage covers this one, or its limit has only just restarted.
    """

    series: str
    since: int
    limit_s: int
    surprise: float
    sources: int
    is_alert: bool


class _SourceState(NamedTuple):
    """A source, or several as one.

    Attributes:
        name: Name of the (first) source.
        since: Time of the last article, seconds since 1970.
        last: Slot of the last article.
        late_s: Usual delay of the source in seconds.
        model: Gap model.
        quiet: Factor of the surprise after a quiet day.
        threshold: Threshold of the surprise.
        breach_slot: First slot at which the gap exceeds the threshold.
        per_week: Accepted false alerts a week to which the threshold belongs.
    """

    name: str
    since: int
    last: int
    late_s: int
    model: GapModel
    quiet: float
    threshold: float
    breach_slot: int
    per_week: float

    @property
    def breach_at(self) -> int:
        """When the gap exceeds the threshold, the usual delay included, seconds since 1970."""
        return self.breach_slot * SLOT_S + self.late_s

    def surprise(self, now: int, since: int = 0) -> float:
        """Surprise of the gap until `now`, of the part after the slot `since`."""
        return self.quiet * float(self.model.surprise(max(self.last, since), (now - self.late_s) // SLOT_S))

    def surprise_since(self, now: int, since: int) -> float:
        """Surprise that a gap since the slot `since` would have."""
        return self.quiet * float(self.model.surprise(since, (now - self.late_s) // SLOT_S))

    def outage(self, series: str, now: int, restarted: int, *, sources: int = 1, covered: bool = False) -> Outage:
        is_alert = not covered and self.surprise(now, restarted // SLOT_S) >= self.threshold
        return Outage(series, self.since, self.breach_at - self.since, self.surprise(now), sources, is_alert)


class OutageDetector:
    """Finds outages in the activity of sources that was set last. One thread at a time.

    Args:
        rule: The rule in force.
        activity: By source, when it published.
    """

    def __init__(self, rule: OutageRule, activity: Mapping[str, SourceActivity] | None = None) -> None:
        self._rule, self._history = rule, int(rule.history_s) // SLOT_S
        self._models: dict[tuple[tuple[str, ...], int], GapModel | None] = {}
        self.set_activity(activity or {})

    def set_activity(self, activity: Mapping[str, SourceActivity]) -> None:
        """Replace the activity of all sources; their gap models are kept."""
        self._activity = dict(sorted(activity.items()))
        self._slots = {name: np.asarray(one.slots, np.int64) for name, one in self._activity.items()}
        self._states: dict[tuple[str, ...], _SourceState] = {}

    def forget(self) -> None:
        """Drop the gap models: the past may have changed."""
        self._models.clear()

    def outages(self, now: int, restarted: int = 0) -> list[Outage]:
        """All outages at `now`, the market's first. Articles dated after `now` are ignored.

        Args:
            now: Seconds since 1970.
            restarted: End of the last outage of the feed or of this process, seconds since 1970; no article is expected before it.
        """
        if self._rule.per_week <= 0:
            return []
        lasts = self._last_slots(now)
        newest = max(lasts.values(), default=0)
        per_week, end = self._share_of_budget(lasts), now // SLOT_S
        states = [self._state((name,), last, per_week) for name, last in lasts.items() if last + 1 < end]
        over = [state for state in states if state is not None and now >= state.breach_at]
        before = {state.name for state in over if state.breach_slot <= newest}
        names = tuple(name for name in lasts if name not in before)
        whole = self._state(names, newest, per_week) if names and newest + 1 < end else None
        market = whole.outage(MARKET, now, restarted, sources=len(names)) if whole is not None and now >= whole.breach_at else None
        for one in over:
            market = market or self._by_vote(one, now, restarted)
        found = [market] if market else []
        for one in over:
            alone = all(last <= one.last for name, last in lasts.items() if name != one.name)
            found.append(one.outage(source_series(one.name), now, restarted, covered=alone or market is not None))
        return found

    def _last_slots(self, now: int) -> dict[str, int]:
        """Slot of the last article of each source that is still followed."""
        end = now // SLOT_S
        places = {name: int(np.searchsorted(slots, end, side="right")) for name, slots in self._slots.items()}
        return {name: last for name, at in places.items() if at and (last := int(self._slots[name][at - 1])) > end - RETIRED_SLOTS}

    def _share_of_budget(self, lasts: Mapping[str, int]) -> float:
        """Accepted false alerts a week of each source with a model, and of the market."""
        return self._rule.per_week / (1 + sum(self._model((name,), last) is not None for name, last in lasts.items()))

    def _by_vote(self, one: _SourceState, now: int, restarted: int) -> Outage | None:
        """The market's outage, where most other sources that were due were silent when `one` exceeded its limit, and still are."""
        then = self._others(one, one.breach_at)
        if not _silent_majority(then, one, one.breach_at):  # sources that were over their limit before have no vote
            return None
        names = {state.name for state in then}
        states = [state for state in self._others(one, now) if state.name in names]
        silent = _silent_majority(states, one, now)
        if not silent:
            return None
        outage = one.outage(MARKET, now, restarted, sources=len(silent) + 1)
        since = max(state.since for state in (one, *silent))
        return outage._replace(since=since, limit_s=max(0, one.breach_at - since))

    def _others(self, one: _SourceState, now: int) -> list[_SourceState]:
        lasts = self._last_slots(now)
        per_week = self._share_of_budget(lasts)
        states = [self._state((name,), last, per_week) for name, last in lasts.items() if name != one.name]
        return [state for state in states if state is not None and state.breach_at >= one.breach_at]

    def _state(self, names: tuple[str, ...], last: int, per_week: float) -> _SourceState | None:
        """The state of these sources as one; None where too little is known."""
        cached = self._states.get(names)
        if cached is not None and cached.last == last and cached.per_week == per_week:
            return cached
        model = self._model(names, last)
        if model is None:
            return None
        activity = [self._activity[name] for name in names]
        since = max([last * SLOT_S, *(one.last for one in activity if one.last // SLOT_S == last)])
        quiet = float(model.quiet_factor(self._slots_of(names, last + 1 - SLOTS_PER_DAY, last + 1), last))
        threshold = model.threshold(per_week)
        breach_slot = max(last + 1 + MIN_GAP_SLOTS, model.slot_at(last, threshold / quiet))
        late_s = max(one.late_s for one in activity)
        state = _SourceState(names[0], since, last, late_s, model, quiet, threshold, breach_slot, per_week)
        self._states[names] = state
        return state

    def _model(self, names: tuple[str, ...], last: int) -> GapModel | None:
        """The gap model of these sources as one, from the days before that of `last`, so that it is the same at any time of the day."""
        day = last // SLOTS_PER_DAY * SLOTS_PER_DAY
        if (names, day) not in self._models:
            self._models[names, day] = fit_gap_model(self._slots_of(names, day - self._history, day), day, self._history)
        return self._models[names, day]

    def _slots_of(self, names: Sequence[str], since: int, until: int) -> IntArray:
        """Slots of [since, until) in which any of these sources published."""
        parts = [slots[slice(*np.searchsorted(slots, (since, until)))] for slots in (self._slots[name] for name in names)]
        return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def _silent_majority(states: Sequence[_SourceState], one: _SourceState, now: int) -> list[_SourceState]:
    """The silent ones of `states`, where they outnumber those that publish. Sources that were not due do not vote."""
    silent = [state for state in states if state.surprise(now) >= SILENT_SURPRISE]
    publishing = sum(state.surprise(now) < SILENT_SURPRISE <= state.surprise_since(now, one.last) for state in states)
    return silent if len(silent) > publishing and len(silent) + publishing >= MIN_VOTES else []


def to_detections(outages: Sequence[Outage], last: Mapping[str, LastAlert], rule: OutageRule, now: int) -> Detections:
    """One alert for each outage.

    Args:
        outages: As OutageDetector.outages returns them.
        last: The last alert of each series.
        rule: The rule in force.
        now: Seconds since 1970.
    """
    found = Detections([], set(), {})
    for outage in outages:
        before = last.get(outage.series)
        if before is not None and outage.since < before.end + rule.cooldown_s:
            found.ongoing_ids.add(before.id)
        elif outage.is_alert:
            found.alerts.append(_alert(outage, rule, now))
    return found


def _alert(outage: Outage, rule: OutageRule, now: int) -> Alert:
    start = from_epoch(outage.since)
    length_s = max(1, now - outage.since)
    return Alert(
        id=alert_id(rule.name, outage.series, start),
        rule=rule.name,
        series=outage.series,
        window_start=start,
        window_s=length_s,
        detected_at=from_epoch(now),
        severity="warning" if outage.series == MARKET else "info",
        observed=0,
        expected=0.0,
        surprise=round(outage.surprise, 3),
        total=0,
        sources=outage.sources,
        measure="outage",
        value=round(length_s / HOUR_S, 2),
        limit=round(min(outage.limit_s, length_s) / HOUR_S, 2),
    )


def replay_outages(
    activity: Mapping[str, SourceActivity], rule: OutageRule, since: datetime, until: datetime
) -> Iterator[tuple[datetime, list[Alert]]]:
    """The alerts of [since, until) by a virtual clock that advances one slot at a time; moments without alerts are left out.

    Args:
        activity: By source, when it published.
        rule: The rule.
        since, until: The time to replay; what lies before `since` is the past.
    """
    detector, last, restarted = OutageDetector(rule, activity), dict[str, LastAlert](), 0
    for slot in range(int(since.timestamp()) // SLOT_S + 1, int(until.timestamp()) // SLOT_S + 1):
        now = slot * SLOT_S
        outages = detector.outages(now, restarted)
        if outages and outages[0].series == MARKET:
            restarted = now
        alerts = to_detections(outages, last, rule, now).alerts
        last |= {alert.series: LastAlert(alert.id, now) for alert in alerts}
        if alerts:
            yield from_epoch(now), alerts
