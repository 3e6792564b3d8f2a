"""How often does silence ring on real archives, and how soon is an outage noticed? Only sources and times are read: no model is needed."""

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
from stats.outage_model import LEAST, STRETCH_S
from storage.store import SourceActivity
from storage.timestamps import from_epoch
from stream.detection.outage import GONE, OutageRule, replay_outages

WARM_UP_S = 14 * DAY_S
OUTAGE_S = 2 * DAY_S
REAL_S = DAY_S
"""A silence that lasts a day is one of the archive's own gaps, and no false alarm."""


class Outages(msgspec.Struct, frozen=True, kw_only=True):
    """What became of outages of one source (or of the feed: MARKET) of two days each. Hours from their beginning to the alert.

    a_day: stretches of five minutes in which it is heard, on an average day
    """

    series: str
    a_day: float
    outages: int
    noticed: float
    delay_p50: float | None
    delay_p90: float | None


class SilenceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One archive. gaps: alarms of silences that lasted a day; false_per_week: of all others; alarms: each, and how long it lasted."""

    archive: str
    weeks: float
    sources: int
    gaps: int
    false_per_week: float
    alarms: list[str]
    injected: list[Outages]


def measure(path: Path, rule: OutageRule, *, outages: int, seed: int) -> SilenceFigures:
    """The rule on one archive of JSONL rows with `source` and `published`. Raises SettingsError."""
    told = read(path)
    heard = {name: np.asarray(one.stretches, np.int64) for name, one in told.items()}
    whole = np.unique(np.concatenate(list(heard.values())))
    since, until = int(whole[0]) * STRETCH_S + WARM_UP_S, int(whole[-1]) * STRETCH_S
    if until - since < WARM_UP_S:
        raise SettingsError(f"{path}: an archive of four weeks at least is needed")
    weeks = (until - since) / (7 * DAY_S)
    alarms = []
    for _, fresh in replay_outages(told, rule, from_epoch(since), from_epoch(until)):
        alarms += [(alert, _lasted(alert, heard, whole, until)) for alert in fresh]
    false = [alert for alert, lasted in alarms if lasted < REAL_S]
    judged = [name for name, at in heard.items() if len(at) >= 10 * LEAST]
    return SilenceFigures(
        archive=path.name.partition(".")[0],
        weeks=round(weeks, 1),
        sources=len(told),
        gaps=len(alarms) - len(false),
        false_per_week=round(len(false) / weeks, 2),
        alarms=[f"{alert.series} {alert.window_start:%Y-%m-%d %H:%M} {lasted / HOUR_S:.1f} h" for alert, lasted in alarms],
        injected=[
            _injected(name, whole if name == MARKET else heard[name], told, rule, outages, np.random.default_rng([seed, place]))
            for place, name in enumerate([MARKET, *judged])
        ],
    )


def read(path: Path) -> dict[str, SourceActivity]:
    """When each source of the archive was heard."""
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
    return {name: SourceActivity(sorted({moment // STRETCH_S for moment in some}), max(some)) for name, some in at.items()}


def _lasted(alert: Alert, heard: Mapping[str, IntArray], whole: IntArray, until: int) -> int:
    """For how many seconds nothing was heard of whom the alert is about."""
    begin = int(alert.window_start.timestamp())
    at = heard[key_of(alert.series)] if kind_of(alert.series) == SOURCE else whole
    later = at[np.searchsorted(at, begin // STRETCH_S, side="right") :]
    return (int(later[0]) * STRETCH_S if len(later) else until) - begin


def _injected(name: str, at: IntArray, told: Mapping[str, SourceActivity], rule: OutageRule, number: int, dice: np.random.Generator) -> Outages:
    """Outages of one source, or of all of them, at times when it is heard the day before and the day after they begin."""
    day, first = DAY_S // STRETCH_S, int(at[0]) + WARM_UP_S // STRETCH_S
    delays: list[float | None] = []
    for _ in range(20 * number):
        begin = int(dice.integers(first, int(at[-1]) - OUTAGE_S // STRETCH_S))
        before, now, after = np.searchsorted(at, (begin - day, begin, begin + day))
        if before < now < after and len(delays) < number:
            delays.append(_delay(name, begin, told, rule))
    found = sorted(delay for delay in delays if delay is not None)
    return Outages(
        series=name if name == MARKET else source_series(name),
        a_day=round(len(at) / max(1, int(at[-1] - at[0])) * day, 1),
        outages=len(delays),
        noticed=round(len(found) / max(1, len(delays)), 3),
        delay_p50=_quantile(found, 0.5),
        delay_p90=_quantile(found, 0.9),
    )


def _delay(name: str, begin: int, told: Mapping[str, SourceActivity], rule: OutageRule) -> float | None:
    """Hours until an outage that begins in the stretch `begin` rings for the source, or for the feed; None: it does not."""
    end, oldest = begin + OUTAGE_S // STRETCH_S, begin - GONE - int(rule.history_s) // STRETCH_S
    cut = {}
    for source, one in told.items():
        gone = begin if name in (MARKET, source) else end
        stretches = [at for at in one.stretches if oldest <= at < gone]
        if stretches:
            cut[source] = SourceActivity(stretches, stretches[-1] * STRETCH_S)
    for at, fresh in replay_outages(cut, rule, from_epoch(begin * STRETCH_S), from_epoch(end * STRETCH_S)):
        if any(alert.series in (MARKET, source_series(name)) for alert in fresh):
            return (at.timestamp() - begin * STRETCH_S) / HOUR_S
    return None


def _quantile(delays: Sequence[float], share: float) -> float | None:
    return round(float(np.quantile(delays, share)), 2) if delays else None
