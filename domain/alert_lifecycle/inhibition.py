"""Inhibition: an alert about the whole speaks for its parts. When the whole market falls, nobody needs fifty alerts more. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from core.errors import SettingsError
from core.records import Alert
from core.series import key_of, kind_of
from domain.alert_lifecycle.events import Life
from domain.alert_lifecycle.silences import rank

WHOLES = ("market", "sector")
"""The kinds of series whose members are known: all others are the market's, companies are their sector's."""


class Inhibition(NamedTuple):
    """Alerts on series of the kind `source` speak for those of its members that are of the kinds `targets` ("*": every kind)."""

    source: str
    targets: tuple[str, ...]


def inhibitions(text: str) -> tuple[Inhibition, ...]:
    """The rules in text such as "market > *; sector > company"; none in "". Raises SettingsError."""
    found = []
    for part in filter(None, (each.strip() for each in text.split(";"))):
        source, arrow, rest = (each.strip() for each in part.partition(">"))
        targets = tuple(filter(None, re.split(r"[,\s]+", rest)))
        if not arrow or not targets:
            raise SettingsError(f'{part!r} is no rule of inhibition: "market > topic, company" or "sector > company"')
        if source not in WHOLES:
            raise SettingsError(f"{part!r}: only alerts on {' and '.join(WHOLES)} have members that they can speak for")
        if source in targets or (source == "sector" and targets != ("company",)):
            raise SettingsError(f"{part!r}: the market speaks for all other kinds, a sector for company only")
        found.append(Inhibition(source, targets))
    return tuple(found)


def inhibitor(alert: Alert, others: Iterable[tuple[Alert, Life]], rules: Sequence[Inhibition], sectors: Mapping[str, str]) -> Alert | None:
    """The alert that speaks for `alert` now, the first of several; None: it speaks for itself.

    It must be firing or acknowledged, about a whole that `alert` is a member of, at least as severe, raised in the same episode (its
    window began before `alert` was detected), and not silenced itself: else nobody would hear of either. That nothing is heard speaks
    for no bad news, nor bad news for a source that is silent.
    sectors: company key to the key of its sector, where it is known
    """
    found = [
        other
        for other, life in others
        if life.state in ("firing", "acknowledged")
        and not life.silenced
        and rank(other.severity) >= rank(alert.severity)
        and other.window_start <= alert.detected_at
        and (other.measure == "silence") == (alert.measure == "silence")
        and any(_speaks(rule, other, alert, sectors) for rule in rules)
    ]
    return min(found, key=lambda other: (other.window_start, other.id), default=None)


def _speaks(rule: Inhibition, source: Alert, target: Alert, sectors: Mapping[str, str]) -> bool:
    kind = kind_of(target.series)
    if kind_of(source.series) != rule.source or kind == rule.source or not ("*" in rule.targets or kind in rule.targets):
        return False
    return rule.source == "market" or sectors.get(key_of(target.series)) == key_of(source.series)
