"""Changes by people and programs to alerts, silences, labels, tokens and deliveries, each with an entry in the audit log.

The command line, the API and the dashboard change these only through this module, so that every change is audited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from actions.account_service import COMMAND_LINE, AccountService
from core.errors import Conflict, NotFound
from domain.actor_names import check_name_is_free
from domain.alert_lifecycle import AlertEvent, EventKind, Silence, event, silence
from domain.tokens import Token, account_of, check_token_limit, fault_of_account
from storage.store import Label, Replay, Store

PAGES, API = "dashboard", "api"


class AuditedActions:
    """Changes with audit log entries. Thread safe.

    Every method raises UserError if the request is not possible, and StoreError.

    Args:
        now: returns the current time, aware UTC
        actor: returns the name of whoever acts; called for each action
        address: where the actor comes from, for the audit log
        prefix: before the actor's name in the audit log, such as domain.tokens.ACTOR_PREFIX

    Attributes:
        accounts: changes of accounts
    """

    def __init__(
        self, store: Store, now: Callable[[], datetime], actor: Callable[[], str], address: str = COMMAND_LINE, prefix: str = ""
    ) -> None:
        self._prefix = prefix
        self._store, self._now, self.actor, self.address = store, now, actor, address
        self.accounts = AccountService(store, now)

    def act(self, alert_id: str, kind: EventKind, text: str = "") -> AlertEvent:
        """Add an event to an alert."""
        if self._store.alerts.get(alert_id) is None:
            raise NotFound(f"there is no alert {alert_id[:64]!r}")
        (added,) = self.act_on([alert_id], kind, text)
        return added

    def act_on(
        self, alert_ids: Sequence[str], kind: EventKind, text: str = "", read_states: Callable[[], dict[str, str]] | None = None
    ) -> list[AlertEvent]:
        """Add the same event to existing alerts, to all or to none.

        Args:
            read_states: returns the state of each alert by id; if given, the audit log has it before and after the action
        """
        actor, now = self.actor(), self._now()
        events = [event(alert_id, kind, actor, now, text) for alert_id in alert_ids]
        before = read_states() if read_states else {}
        self._store.alert_lifecycle.add(events)
        after = read_states() if read_states else {}
        for each in events:
            outcome = ": ".join(filter(None, (after.get(each.alert_id), each.text)))
            self._audit(f"alert {kind}", each.alert_id, before=before.get(each.alert_id, ""), after=outcome, actor=each.actor)
        return events

    def silence(self, series: str, lasts: timedelta, comment: str) -> Silence:
        """Add a silence for a series pattern that starts now and lasts `lasts`."""
        now = self._now()
        return self.add_silence(silence(series=[series], author=self.actor(), comment=comment, starts_at=now, ends_at=now + lasts, now=now))

    def add_silence(self, made: Silence) -> Silence:
        """Store a silence."""
        self._store.silences.add([made])
        self._audit("silence added", made.id, after=made, actor=made.author)
        return made

    def end_silence(self, silence_id: str) -> None:
        """End a silence now."""
        found = [each for each in self._store.silences.find(silence_id) if each.id == silence_id]
        if not found:
            raise NotFound(f"there is no silence {silence_id[:64]!r}")
        actor, now = self.actor(), self._now()
        self._store.silences.end([silence_id], now, actor)
        self._audit("silence ended", silence_id, before=f"until {found[0].ends_at.isoformat()}", after=now.isoformat(), actor=actor)

    def label(self, labels: Sequence[Label]) -> None:
        """Store labels of articles. Raises BadRecord too, if a label is not valid for its task."""
        self._store.labels.add(labels)
        for each in labels:
            self._audit(f"label {each.task}", each.id, after=", ".join(each.labels), actor=each.author)

    def add_token(self, token: Token) -> None:
        """Store a new API token.

        Raises:
            Conflict: there are too many, its name is taken or looks like one that is, or its account cannot have its scopes
        """
        known = self._store.tokens.all()
        check_token_limit(known, self._now())
        own = {("token", token.name)} if any(each.name == token.name and each.author == token.author for each in known) else set()
        check_name_is_free(token.name, [each for each in self.accounts.names() if each not in own])
        account = account_of(token, self._store.accounts.all())
        fault = fault_of_account(token, account) if account else ""
        if fault:
            raise Conflict(f"the token {token.name!r} cannot be made: {fault}")
        self._store.tokens.add([token])
        self._audit("token made", token.id, after=f"{token.name}: {', '.join(token.scopes)}", actor=self.actor())

    def revoke_token(self, token_id: str) -> None:
        """Revoke an existing API token, and those that were made with it."""
        known = self._store.tokens.all()
        revoked = [each for each in known if each.id == token_id]
        self.accounts.revoke_tokens(revoked, known, self._prefix + self.actor(), self.address)

    def replay(self, endpoint: str, subjects: Mapping[str, int]) -> None:
        """Ask the worker to deliver alerts or groups to an endpoint again.

        Args:
            subjects: alert id or group subject to the number of its last attempt
        """
        actor = self._request_delivery(endpoint, subjects)
        self._audit("deliveries replayed", endpoint, after=", ".join(subjects), actor=actor)

    def send_test(self, endpoint: str, subject: str, after: int) -> None:
        """Ask the worker to send a test to an endpoint. after: number of the last test"""
        self._audit("webhook tested", endpoint, actor=self._request_delivery(endpoint, {subject: after}))

    def _request_delivery(self, endpoint: str, subjects: Mapping[str, int]) -> str:
        actor, now = self.actor(), self._now()
        self._store.replays.insert([Replay(subject, endpoint, after, now, actor) for subject, after in subjects.items()])
        return actor

    def _audit(self, action: str, target: str, *, actor: str, before: str = "", after: object = "") -> None:
        self.accounts.audit(self._prefix + actor, action, target, before=before, after=after, address=self.address)
