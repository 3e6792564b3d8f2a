"""Verdicts of people on alerts, and the precision that follows.

    right   useful: a real event, reported in time
    false   a false alarm
    late    a real event that was known already

Precision is the share of useful alerts among those with a verdict; a late alert is not useful.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, get_args

from domain.alert_lifecycle import AlertEvent
from domain.alert_lifecycle.events import EventKind
from stats.wilson import Interval, wilson

Verdict = Literal["right", "false", "late"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
KINDS: Mapping[Verdict, EventKind] = {"right": "verdict_right", "false": "verdict_false", "late": "verdict_late"}
OF_KIND: Mapping[str, Verdict] = {kind: verdict for verdict, kind in KINDS.items()}


class VerdictCounts(NamedTuple):
    """Number of alerts of a group, and of verdicts by kind."""

    alerts: int
    right: int = 0
    false: int = 0
    late: int = 0

    @property
    def with_verdict(self) -> int:
        """Number of alerts with a verdict."""
        return self.right + self.false + self.late

    @property
    def precision(self) -> Interval | None:
        """The share of useful alerts with its Wilson interval; None without verdicts."""
        return wilson(self.right, self.with_verdict) if self.with_verdict else None


def latest_verdicts(events: Iterable[AlertEvent]) -> list[AlertEvent]:
    """The latest verdict of each person among the events of one alert, oldest first."""
    last: dict[str, AlertEvent] = {}
    for each in sorted(events, key=lambda each: (each.at, each.id)):
        if each.kind in OF_KIND:
            last.pop(each.actor, None)
            last[each.actor] = each
    return list(last.values())


def verdict_of(events: Iterable[AlertEvent]) -> Verdict | None:
    """The majority verdict on one alert; a tie is decided by the latest verdict. None without verdicts."""
    verdicts = [OF_KIND[each.kind] for each in latest_verdicts(events)]
    if not verdicts:
        return None
    counts = Counter(verdicts)
    most = max(counts.values())
    return next(verdict for verdict in reversed(verdicts) if counts[verdict] == most)


def tally(alerts: Mapping[str, int], verdicts: Iterable[tuple[str, Verdict]]) -> dict[str, VerdictCounts]:
    """Verdict counts by group.

    Args:
        alerts: number of alerts of each group
        verdicts: (group, verdict) of each alert with a verdict
    """
    counts = Counter(verdicts)
    return {group: VerdictCounts(n, *(counts[group, verdict] for verdict in VERDICTS)) for group, n in alerts.items()}
