"""May an alert be sent to an endpoint now? What people silenced, what another alert speaks for, and when people are left alone.

    an attempt that is due ─▶ silenced? ─▶ spoken for? ─▶ quiet hours? ─▶ sent
                                  └───────────┴──────────────┴─▶ withheld, with the reason in the store; asked again every minute

What was withheld goes out as soon as nothing holds it any more; unless it was resolved meanwhile: then nobody needs to hear of it.
Only what waited for quiet hours to end is told then all the same, when nobody resolved it: it is what happened in the night.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from actions.alert_lifecycles import read_lifecycles
from core import log, metrics
from core.records import Alert, Severity
from core.settings import Settings
from domain.alert_lifecycle import TOCSIN, Inhibition, AlertLifecycle, Silence, inhibitions
from domain.alert_lifecycle.silences import ending_soon, rank
from storage.store import Cause, Store, SuppressedDelivery
from stream.delivery.quiet_hours import Calendars, QuietHours, quiet_hours
from stream.delivery.trading_calendars import exchange

REACH = timedelta(days=31)
"""What was withheld longer ago is not asked after any more."""
NIGHT = QuietHours()
_log = log.get_logger(__name__)


class Ask(NamedTuple):
    """May this alert be sent there? first: whether nobody tried to, so far"""

    endpoint: str
    alert: Alert
    first: bool = True


class Judged(NamedTuple):
    """The answer. verdict: why it may not be sent now, None: it may; before: what withheld it from there so far"""

    ask: Ask
    life: AlertLifecycle
    verdict: SuppressedDelivery | None
    before: Sequence[SuppressedDelivery]


class Muting(NamedTuple):
    """What the settings say of it.

    rules: of inhibition
    quiet: hours of all endpoints; own_quiet: label to its own hours, where it has such
    passes: the least severity that is delivered in quiet hours; "none": nothing is
    """

    rules: tuple[Inhibition, ...] = inhibitions(Settings().alert_inhibit)
    quiet: QuietHours = NIGHT
    own_quiet: Mapping[str, QuietHours] = {}
    passes: Severity | Literal["none"] = "critical"

    @classmethod
    def from_settings(cls, settings: Settings, labels: Sequence[str], calendars: Calendars = exchange) -> Muting:
        """As the settings have it. Raises SettingsError. labels: of the endpoints, in their order in the settings."""
        hooks = zip(labels, settings.webhooks, strict=True)
        own = {label: quiet_hours(hook.quiet_hours, calendars) for label, hook in hooks if hook.quiet_hours}
        return cls(inhibitions(settings.alert_inhibit), quiet_hours(settings.quiet_hours, calendars), own, settings.quiet_hours_except)

    def quiet_until(self, alert: Alert, endpoint: str, now: datetime) -> datetime | None:
        """When the quiet ends that holds `alert` back from `endpoint`; None: none does."""
        if self.passes != "none" and rank(alert.severity) >= rank(self.passes):
            return None
        return self.own_quiet.get(endpoint, self.quiet).ends(now)


def judge(alert: Alert, life: AlertLifecycle, endpoint: str, now: datetime, muting: Muting, before: Collection[SuppressedDelivery]) -> SuppressedDelivery | None:
    """Why `alert` is not sent to `endpoint` now; None: nothing is against it. Pure.

    before: what withheld it from there so far; () for an alert that was sent there already, and not taken. What waited for a digest
        is told in it, over or not
    """

    def why(cause: Cause, owner: str, until: datetime | None, text: str) -> SuppressedDelivery:
        return SuppressedDelivery(alert_id=alert.id, endpoint=endpoint, cause=cause, owner=owner, at=now, until=until, text=text)

    slept = any(each.cause == "quiet hours" for each in before)
    if any(each.cause != "digest" for each in before) and life.resolved and not (slept and life.resolved.actor == TOCSIN):
        return why("resolved", life.resolved.actor, None, f"resolved by {life.resolved.actor} before it was sent")
    if life.silenced:
        by = life.silenced[0]
        return why("silence", by.id, by.until, f"silenced by {by.author} until {_utc(by.until)}: {by.comment}")
    if life.inhibited:
        return why("inhibition", life.inhibited.alert_id, None, f"the alert on {life.inhibited.series} speaks for it")
    until = muting.quiet_until(alert, endpoint, now)
    return why("quiet hours", "quiet hours", until, f"quiet hours until {_utc(until)}") if until else None


class Gate:
    """Asks the store what holds an alert back, and keeps there why. One thread at a time."""

    def __init__(self, store: Store, muting: Muting) -> None:
        self._store, self._muting = store, muting
        self._warned: set[str] = set()

    def let_through(self, asks: Sequence[Ask], now: datetime) -> list[Ask]:
        """Those of `asks` that nothing is against now; why the others wait is kept in the store. Raises StoreError."""
        judged = self.judged(asks, now)
        self.keep(judged)
        return [each.ask for each in judged if each.verdict is None]

    def judged(self, asks: Sequence[Ask], now: datetime) -> list[Judged]:
        """The answers, in order. Raises StoreError."""
        if not asks:
            return []
        alerts = list({ask.alert.id: ask.alert for ask in asks}.values())
        lives = read_lifecycles(self._store, alerts, now, self._muting.rules)
        known: dict[tuple[str, str], list[SuppressedDelivery]] = {}
        for each in self._store.alert_lifecycle.suppressed([alert.id for alert in alerts]):
            known.setdefault((each.alert_id, each.endpoint), []).append(each)
        found = []
        for ask in asks:
            life, before = lives[ask.alert.id], known.get((ask.alert.id, ask.endpoint), [])
            verdict = judge(ask.alert, life, ask.endpoint, now, self._muting, before if ask.first else ())
            found.append(Judged(ask, life, verdict, before))
        return found

    def keep(self, judged: Sequence[Judged]) -> None:
        """Keep what is against sending, where it is new. Raises StoreError."""
        for each in judged:
            if each.verdict is not None and not any(_same(each.verdict, known) for known in each.before):
                self._store.alert_lifecycle.suppress([each.verdict])
                metrics.WEBHOOKS.labels("withheld").inc()
                _log.info("alert withheld", endpoint=each.verdict.endpoint, alert=each.verdict.alert_id, reason=each.verdict.text)

    def waiting(self, now: datetime) -> list[tuple[str, str]]:
        """(alert id, endpoint) of all that was withheld and may yet be sent, in order. Raises StoreError."""
        rows = self._store.alert_lifecycle.suppressed_since(now - REACH)
        over = {(each.alert_id, each.endpoint) for each in rows if each.final}
        return sorted({(each.alert_id, each.endpoint) for each in rows} - over)

    def warn(self, now: datetime) -> list[Silence]:
        """Say of each silence once, in the log, that it ends soon; those that it was said of. Raises StoreError."""
        soon = ending_soon(self._store.silences.all(now), now)
        new = [each for each in soon if each.id not in self._warned]
        self._warned = {each.id for each in soon}
        for each in new:
            _log.warning("silence ends soon", silence=each.id, at=_utc(each.until), author=each.author, comment=each.comment)
        return new


def _same(one: SuppressedDelivery, other: SuppressedDelivery) -> bool:
    """Whether both say the same, if not at the same time or in the same words."""
    return msgspec.structs.replace(one, at=other.at, text="") == msgspec.structs.replace(other, text="")


def _utc(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "?"
