"""What people and programs do to alerts, silences, labels, tokens and deliveries: written under a name, and noted in the audit log.

The command line, the API and the pages of the dashboard all do it here, so that nothing is done that is not noted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from actions.account_service import COMMAND_LINE, People
from core.errors import NotFound
from domain.alert_lifecycle import AlertEvent, EventKind, Silence, event, silence
from domain.tokens import Token, room_for_one
from storage.store import Label, Replay, Store

PAGES, API = "dashboard", "api"


class Deeds:
    """Writes what was done, in the audit log too. Thread safe. Every method raises SettingsError for what cannot be done, and StoreError.

    who: the name of whoever does it, asked each time; address: where from, for the audit log
    people: what is done to accounts, which is told who and from where each time
    """

    def __init__(self, store: Store, now: Callable[[], datetime], who: Callable[[], str], address: str = COMMAND_LINE) -> None:
        self._store, self._now, self.who, self.address = store, now, who, address
        self.people = People(store, now)

    def act(self, alert_id: str, kind: EventKind, text: str = "") -> AlertEvent:
        """Do something to an alert."""
        if self._store.alerts.get(alert_id) is None:
            raise NotFound(f"there is no alert {alert_id[:64]!r}")
        (done,) = self.act_on([alert_id], kind, text)
        return done

    def act_on(
        self, alert_ids: Sequence[str], kind: EventKind, text: str = "", stand: Callable[[], dict[str, str]] | None = None
    ) -> list[AlertEvent]:
        """Do the same to alerts that there are: to all of them, or to none.

        stand: the state of each, by its id; where it is given, the audit log says it as it was before and after
        """
        who, now = self.who(), self._now()
        done = [event(ident, kind, who, now, text) for ident in alert_ids]
        before = stand() if stand else {}
        self._store.lives.add(done)
        after = stand() if stand else {}
        for each in done:
            words = ": ".join(filter(None, (after.get(each.alert_id), each.text)))
            self._note(f"alert {kind}", each.alert_id, before=before.get(each.alert_id, ""), after=words, who=each.who)
        return done

    def silence(self, series: str, lasts: timedelta, comment: str) -> Silence:
        """Deliver no alert on series that match, from now on for so long."""
        now = self._now()
        return self.hush(silence(series=[series], author=self.who(), comment=comment, starts_at=now, ends_at=now + lasts, now=now))

    def hush(self, made: Silence) -> Silence:
        """Keep a silence."""
        self._store.silences.add([made])
        self._note("silence added", made.id, after=made, who=made.author)
        return made

    def end_silence(self, silence_id: str) -> None:
        """Deliver again what it held back."""
        found = [each for each in self._store.silences.find(silence_id) if each.id == silence_id]
        if not found:
            raise NotFound(f"there is no silence {silence_id[:64]!r}")
        who, now = self.who(), self._now()
        self._store.silences.end([silence_id], now, who)
        self._note("silence ended", silence_id, before=f"until {found[0].ends_at.isoformat()}", after=now.isoformat(), who=who)

    def label(self, labels: Sequence[Label]) -> None:
        """Keep what a person says of an article. Raises BadRecord too, for what no model could learn."""
        self._store.labels.add(labels)
        for each in labels:
            self._note(f"label {each.task}", each.id, after=", ".join(each.labels), who=each.author)

    def grant(self, token: Token) -> None:
        """Let a new token open what it opens."""
        room_for_one(self._store.tokens.all(), self._now())
        self._store.tokens.add([token])
        self._note("token made", token.id, after=f"{token.name}: {', '.join(token.scopes)}", who=token.author)

    def revoke(self, token_id: str) -> None:
        """Let a token that there is open nothing any more."""
        who = self.who()
        self._store.tokens.revoke([token_id], self._now(), who)
        self._note("token revoked", token_id, who=who)

    def replay(self, endpoint: str, subjects: Mapping[str, int]) -> None:
        """Ask the worker to send alerts, or groups, to an endpoint once more. subjects: each with the last attempt that was made"""
        who = self._ask(endpoint, subjects)
        self._note("deliveries replayed", endpoint, after=", ".join(subjects), who=who)

    def send_test(self, endpoint: str, subject: str, after: int) -> None:
        """Ask the worker to send an endpoint a test, after so many of them."""
        self._note("webhook tested", endpoint, who=self._ask(endpoint, {subject: after}))

    def _ask(self, endpoint: str, subjects: Mapping[str, int]) -> str:
        who, now = self.who(), self._now()
        self._store.replays.ask([Replay(subject, endpoint, after, now, who) for subject, after in subjects.items()])
        return who

    def _note(self, what: str, about: str, *, who: str, before: str = "", after: object = "") -> None:
        self.people.note(who, what, about, before=before, after=after, address=self.address)
