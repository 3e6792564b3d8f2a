"""What people do on the pages: to alerts and with silences, each under the name of who did it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from spine.errors import SettingsError
from spine.life import AlertEvent, EventKind, Silence, event, silence
from spine.people import People
from spine.store import Label, Store

PAGES = "dashboard"


class Deeds:
    """Writes what was done, in the audit log too. Thread safe. Every method raises SettingsError for what cannot be done, and StoreError.

    who: the name of the person whose request this is
    """

    def __init__(self, store: Store, now: Callable[[], datetime], who: Callable[[], str]) -> None:
        self._store, self._now, self.who = store, now, who
        self._people = People(store, now)

    def act(self, alert_id: str, kind: EventKind, text: str = "") -> AlertEvent:
        """Do something to an alert."""
        if self._store.alerts.get(alert_id) is None:
            raise SettingsError(f"there is no alert {alert_id[:64]!r}")
        done = event(alert_id, kind, self.who(), self._now(), text)
        self._store.lives.add([done])
        self._people.note(done.who, f"alert {kind}", alert_id, after=done.text, address=PAGES)
        return done

    def silence(self, series: str, lasts: timedelta, comment: str) -> Silence:
        """Deliver no alert on series that match, from now on for so long."""
        now = self._now()
        made = silence(series=[series], author=self.who(), comment=comment, starts_at=now, ends_at=now + lasts, now=now)
        self._store.silences.add([made])
        self._people.note(made.author, "silence added", made.id, after=made, address=PAGES)
        return made

    def label(self, labels: Sequence[Label]) -> None:
        """Keep what a person says of an article. Raises BadRecord too, for what no model could learn."""
        self._store.labels.add(labels)
        for each in labels:
            self._people.note(each.author, f"label {each.task}", each.id, after=", ".join(each.labels), address=PAGES)

    def end_silence(self, silence_id: str) -> None:
        """Deliver again what it held back."""
        if silence_id not in {each.id for each in self._store.silences.find(silence_id)}:
            raise SettingsError(f"there is no silence {silence_id[:64]!r}")
        who = self.who()
        self._store.silences.end([silence_id], self._now(), who)
        self._people.note(who, "silence ended", silence_id, address=PAGES)
