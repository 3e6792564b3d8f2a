"""Rules edited on the dashboard: validated, previewed on stored news, saved, and loaded by workers within a minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from core import log
from core.errors import StoreError, UserError
from core.settings import Settings
from dashboard.services import ActiveText, RulePreview
from storage.store import ConfigRevision, Store
from stream.detection.rules import AlertRules
from tocsin import wiring
from tocsin.services.config_text import ConfigText
from tocsin.services.replay import preview

DAYS = 30
MAX_CHARS = 100_000
_log = log.get_logger(__name__)


class StoredRuleService:
    """Implements dashboard.services.RuleService."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], datetime]) -> None:
        self._settings, self._store, self._now = settings, store, now
        self._text = ConfigText("rules", store.rule_texts, settings.alert_rules, store, now, most_chars=MAX_CHARS)
        self.active = self._text.active

    def preview(self, text: str) -> RulePreview:
        """Alerts that these rules would have raised in the last DAYS. Raises UserError, StoreError."""
        rules = self._checked(text)
        with self._text.exclusive_preview():
            until = self._now()
            found = preview(self._store, rules, until - timedelta(days=DAYS), until)
        return RulePreview(found.since, found.until, found.stories, found.rules, found.alerts)

    def save(self, text: str, base: str, actor: str) -> ActiveText:
        """Save and activate the rules, with an audit entry. Raises UserError, StoreError."""
        self._checked(text)
        return self._text.put(text, base, actor)

    def _checked(self, text: str) -> AlertRules:
        self._text.check_length(text)
        return wiring.make_rules(self._settings, text=text, watchlists=wiring.active_watchlists(self._settings, self._store))


class RuleUpdates:
    """Polls the store for newly saved rules, for a worker. For one thread."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._known = ""

    def __call__(self) -> AlertRules | None:
        """Rules saved since the last call; None if there are none, they are invalid, or the store is unavailable."""
        try:
            found = self._store.rule_texts.newest()
            if found is None or found.id == self._known:
                return None
            self._known = found.id
            return self._made(found)
        except StoreError as error:
            _log.warning("rules_not_read", error=str(error))
            return None

    def _made(self, found: ConfigRevision) -> AlertRules | None:
        try:
            watchlists = wiring.active_watchlists(self._settings, self._store)
            rules = wiring.make_rules(self._settings, text=found.text, watchlists=watchlists)
        except UserError as error:  # such as a company that was removed from the list
            _log.warning("rules_invalid_keeping_previous", by=found.actor, error=str(error))
            return None
        _log.info("rules_activated", by=found.actor, rules=[rule.name for rule in rules.limit_rules])
        return rules
