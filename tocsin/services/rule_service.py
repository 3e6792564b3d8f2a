"""Rules that are written on the dashboard: checked, tried on the stored news, kept in the store, taken up by workers within a minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from core import log
from core.errors import StoreError, UserError
from core.settings import Settings
from dashboard.services import ActiveText, RulePreview
from storage.store import ConfigRevision, Store
from stream.detection.rules import AlertRules
from tocsin.runtime import wiring
from tocsin.services.config_text import ConfigText
from tocsin.services.replay import preview

DAYS = 30
MAX_CHARS = 100_000
_log = log.get_logger(__name__)


class StoredRuleService:
    """As dashboard.services.Ruling has it."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], datetime]) -> None:
        self._settings, self._store, self._now = settings, store, now
        self._text = ConfigText("rules", store.rule_texts, settings.alert_rules, store, now, most_chars=MAX_CHARS)
        self.active = self._text.active

    def preview(self, text: str) -> RulePreview:
        """What they would have rung. Raises UserError, StoreError."""
        rules = self._checked(text)
        with self._text.exclusive_preview():
            until = self._now()
            found = preview(self._store, rules, until - timedelta(days=DAYS), until)
        return RulePreview(found.since, found.until, found.stories, found.rules, found.alerts)

    def save(self, text: str, base: str, actor: str) -> ActiveText:
        """Put them in force, with a line in the audit log. Raises UserError, StoreError."""
        self._checked(text)
        return self._text.put(text, base, actor)

    def _checked(self, text: str) -> AlertRules:
        self._text.check_length(text)
        return wiring.make_rules(self._settings, text=text, watchlists=wiring.active_watchlists(self._settings, self._store))


class RuleFollower:
    """The rules of the store, for a worker: asked again and again, it tells what is new. One thread at a time."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._known = ""

    def __call__(self) -> AlertRules | None:
        """Rules that were written since it was asked last; None: none, or such as cannot be used, or the store does not answer."""
        try:
            found = self._store.rule_texts.newest()
            if found is None or found.id == self._known:
                return None
            self._known = found.id
            return self._made(found)
        except StoreError as error:
            _log.warning("rules will be asked for again", error=str(error))
            return None

    def _made(self, found: ConfigRevision) -> AlertRules | None:
        try:
            watchlists = wiring.active_watchlists(self._settings, self._store)
            rules = wiring.make_rules(self._settings, text=found.text, watchlists=watchlists)
        except UserError as error:  # a company that they name is gone from the list, perhaps
            _log.warning("rules cannot be used; those before stay in force", by=found.actor, error=str(error))
            return None
        _log.info("rules in force", by=found.actor, rules=[rule.name for rule in rules.limit_rules])
        return rules
