"""Inhibition: an alert on a whole, such as the market, suppresses the alerts on its members."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from core.errors import SettingsError
from core.records import Alert
from core.series import key_of, kind_of
from domain.alert_lifecycle.events import AlertLifecycle
from domain.alert_lifecycle.silences import rank

WHOLES = ("market", "sector")
"""Kinds of series with known members: the market has all others, a sector has its companies."""


class Inhibition(NamedTuple):
    """Alerts on series of the kind `source` suppress those on its members of the kinds `targets` ("*": every kind)."""

    source: str
    targets: tuple[str, ...]


def inhibitions(text: str) -> tuple[Inhibition, ...]:
    """Parse rules such as "market > *; sector > company"; "" has none.

    Raises:
        SettingsError: a part is no rule
    """
    found = []
    for part in filter(None, (each.strip() for each in text.split(";"))):
        source, arrow, rest = (each.strip() for each in part.partition(">"))
        targets = tuple(filter(None, re.split(r"[,\s]+", rest)))
        if not arrow or not targets:
            raise SettingsError(f'{part!r} is not an inhibition rule such as "market > topic, company" or "sector > company"')
        if source not in WHOLES:
            raise SettingsError(f"{part!r}: only alerts on {' and '.join(WHOLES)} can inhibit others")
        if source in targets or (source == "sector" and targets != ("company",)):
            raise SettingsError(f"{part!r}: the market can inhibit all other kinds, a sector only company")
        found.append(Inhibition(source, targets))
    return tuple(found)


def inhibitor(
    alert: Alert, others: Iterable[tuple[Alert, AlertLifecycle]], rules: Sequence[Inhibition], sectors: Mapping[str, str]
) -> Alert | None:
    """The alert that inhibits `alert` now, the first of several; None if there is none.

    It must be firing or acknowledged, on a whole that `alert` is a member of, at least as severe, of the same episode (its window
    began before `alert` was detected), and not silenced itself, or neither would be delivered. Alerts on outages inhibit only
    alerts on outages, and alerts on news only alerts on news.

    Args:
        sectors: company key to the key of its sector, where known
    """
    found = [
        other
        for other, lifecycle in others
        if lifecycle.state in ("firing", "acknowledged")
        and not lifecycle.silenced
        and rank(other.severity) >= rank(alert.severity)
        and other.window_start <= alert.detected_at
        and (other.measure == "outage") == (alert.measure == "outage")
        and any(_applies(rule, other, alert, sectors) for rule in rules)
    ]
    return min(found, key=lambda other: (other.window_start, other.id), default=None)


def _applies(rule: Inhibition, source: Alert, target: Alert, sectors: Mapping[str, str]) -> bool:
    kind = kind_of(target.series)
    if kind_of(source.series) != rule.source or kind == rule.source or not ("*" in rule.targets or kind in rule.targets):
        return False
    return rule.source == "market" or sectors.get(key_of(target.series)) == key_of(source.series)
