"""Benchmark of outage alerts on real archives: false alarms, and the delay until an outage is detected. Needs no model."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from core.errors import SettingsError
from core.records import Alert
from core.series import MARKET, SOURCE, key_of, kind_of, source_series
from stats.minute_counts import DAY_S, HOUR_S, IntArray
from stats.outage_model import MIN_SLOTS, SLOT_S
from storage.store import SourceActivity
from storage.timestamps import from_epoch
from stream.detection.outage import RETIRED_SLOTS, OutageRule, replay_outages

WARM_UP_S = 14 * DAY_S
OUTAGE_S = 2 * DAY_S
REAL_S = DAY_S
"""A gap that lasts a day is a real outage of the archive, and no false alarm."""


class SimulatedOutages(msgspec.Struct, frozen=True, kw_only=True):
    """Simulated outages of one series, of two days each.

    Attributes:
        series: The source, or MARKET for the whole feed.
        a_day: Slots of five minutes with an article, on an average day.
        outages: How many were simulated.
        noticed: Share that raised an alert.
        delay_p50, delay_p90: Hours from the beginning of the outage to the alert.
    """

    series: str
    a_day: float
    outages: int
    noticed: float
    delay_p50: float | None
    delay_p90: float | None


class OutageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one archive.

    Attributes:
        gaps: Alarms of gaps that lasted a day.
        false_per_week: All other alarms a week.
        alarms: Each alarm, and how long its gap lasted.
        injected: Simulated outages of the feed and of each source.
    """

    archive: str
    weeks: float
    sources: int
    gaps: int
    false_per_week: float
    alarms: list[str]
    injected: list[SimulatedOutages]


def measure(path: Path, rule: OutageRule, *, outages: int, seed: int) -> OutageFigures:
    """Measure the rule on an archive of JSONL rows with `source` and `published`. Raises SettingsError."""
    activity = read(path)
    slots = {name: np.asarray(one.slots, np.int64) for name, one in activity.items()}
    whole = np.unique(np.concatenate(list(slots.values())))
    since, until = int(whole[0]) * SLOT_S + WARM_UP_S, int(whole[-1]) * SLOT_S
    if until - since < WARM_UP_S:
        raise SettingsError(f"{path}: the archive must cover at least four weeks")
    weeks = (until - since) / (7 * DAY_S)
    alarms = []
    for _, alerts in replay_outages(activity, rule, from_epoch(since), from_epoch(until)):
        alarms += [(alert, _lasted(alert, slots, whole, until)) for alert in alerts]
    false = [alert for alert, lasted in alarms if lasted < REAL_S]
    regular = [name for name, at in slots.items() if len(at) >= 10 * MIN_SLOTS]
    return OutageFigures(
        archive=path.name.partition(".")[0],
        weeks=round(weeks, 1),
        sources=len(activity),
        gaps=len(alarms) - len(false),
        false_per_week=round(len(false) / weeks, 2),
        alarms=[f"{alert.series} {alert.window_start:%Y-%m-%d %H:%M} {lasted / HOUR_S:.1f} h" for alert, lasted in alarms],
        injected=[
            _injected(name, whole if name == MARKET else slots[name], activity, rule, outages, np.random.default_rng([seed, place]))
            for place, name in enumerate([MARKET, *regular])
        ],
    )


def read(path: Path) -> dict[str, SourceActivity]:
    """When each source of the archive published."""
    at: dict[str, list[int]] = {}
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for line in lines:
                row = msgspec.json.decode(line)
                at.setdefault(str(row["source"]), []).append(int(datetime.fromisoformat(row["published"]).timestamp()))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path}: this benchmark needs JSONL rows with source and published ({error})") from error
    return {name: SourceActivity(sorted({moment // SLOT_S for moment in some}), max(some)) for name, some in at.items()}


def _lasted(alert: Alert, slots: Mapping[str, IntArray], whole: IntArray, until: int) -> int:
    """Length of the gap of an alert in seconds."""
    begin = int(alert.window_start.timestamp())
    at = slots[key_of(alert.series)] if kind_of(alert.series) == SOURCE else whole
    later = at[np.searchsorted(at, begin // SLOT_S, side="right") :]
    return (int(later[0]) * SLOT_S if len(later) else until) - begin


def _injected(
    name: str, at: IntArray, activity: Mapping[str, SourceActivity], rule: OutageRule, number: int, rng: np.random.Generator
) -> SimulatedOutages:
    """Simulate outages of one source, or of all, at times at which it published the day before and the day after."""
    day, first = DAY_S // SLOT_S, int(at[0]) + WARM_UP_S // SLOT_S
    delays: list[float | None] = []
    for _ in range(20 * number):
        begin = int(rng.integers(first, int(at[-1]) - OUTAGE_S // SLOT_S))
        before, now, after = np.searchsorted(at, (begin - day, begin, begin + day))
        if before < now < after and len(delays) < number:
            delays.append(_delay(name, begin, activity, rule))
    found = sorted(delay for delay in delays if delay is not None)
    return SimulatedOutages(
        series=name if name == MARKET else source_series(name),
        a_day=round(len(at) / max(1, int(at[-1] - at[0])) * day, 1),
        outages=len(delays),
        noticed=round(len(found) / max(1, len(delays)), 3),
        delay_p50=_quantile(found, 0.5),
        delay_p90=_quantile(found, 0.9),
    )


def _delay(name: str, begin: int, activity: Mapping[str, SourceActivity], rule: OutageRule) -> float | None:
    """Hours until an outage that begins in the slot `begin` raises an alert of the source or the feed; None where it does not."""
    end, oldest = begin + OUTAGE_S // SLOT_S, begin - RETIRED_SLOTS - int(rule.history_s) // SLOT_S
    cut = {}
    for source, one in activity.items():
        last = begin if name in (MARKET, source) else end
        slots_kept = [at for at in one.slots if oldest <= at < last]
        if slots_kept:
            cut[source] = SourceActivity(slots_kept, slots_kept[-1] * SLOT_S)
    for at, alerts in replay_outages(cut, rule, from_epoch(begin * SLOT_S), from_epoch(end * SLOT_S)):
        if any(alert.series in (MARKET, source_series(name)) for alert in alerts):
            return (at.timestamp() - begin * SLOT_S) / HOUR_S
    return None


def _quantile(delays: Sequence[float], share: float) -> float | None:
    return round(float(np.quantile(delays, share)), 2) if delays else None
