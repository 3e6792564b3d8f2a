"""Model versions for the dashboard, through the same code and program as the command line.

promote, roll back ─▶ models.registry.versions, as `tocsin models`       refresh ─▶ `tocsin refresh` in a separate process
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from actions.account_service import AccountService
from core import log
from core.errors import Conflict, ModelError, StoreError, UserError
from core.settings import Settings
from dashboard.services import (
    CardMetric,
    MetricComparison,
    ModelCard,
    ModelChange,
    ModelComparison,
    ModelVersion,
    ModelVersions,
    RefreshStatus,
)
from models.evaluation.card_reader import read_card
from models.registry.versions import HistoryEntry, VersionEntry, Versions
from models.training.promotion_gate import Comparison
from models.training.refresh_status import RefreshProgress, read_measurement, read_progress
from storage.store import Store
from tocsin import wiring
from tocsin.services import refresh_process

ADDRESS = "dashboard"
"""Origin of the audit entries."""
LABELS = "snapshot-dashboard.json"
_log = log.get_logger(__name__)


class LocalModelService:
    """Implements dashboard.services.ModelService. `close` ends a refresh that it started."""

    def __init__(self, settings: Settings, store: Store, now: Callable[[], datetime]) -> None:
        self._settings, self._store, self._now = settings, store, now
        self._people = AccountService(store, now)
        self._lock = threading.Lock()
        self._own: _RunningRefresh | None = None
        self._closed = False

    def versions(self) -> ModelVersions:
        """The versions and their history."""
        versions = self._versions()
        champion = fault = ""
        try:
            champion = versions.champion()
        except ModelError as error:
            fault = str(error)
        return ModelVersions(
            champion=champion,
            before=versions.before(),
            versions=tuple(_version(entry) for entry in versions.entries()),
            history=tuple(_move(event) for event in versions.history()),
            setting=self._settings.model,
            fault=fault,
        )

    def comparison(self, now: str, before: str) -> ModelComparison | None:
        """The comparison of these two versions, whichever was the challenger; None if there is none."""
        versions = self._versions()
        for challenger, other in ((now, before), (before, now)):
            versions.folder(challenger)  # rejects paths outside the folder
            found = read_measurement(versions.root, challenger)
            if found is not None and found.against == other:
                return ModelComparison(
                    now, before, found.at, tuple(_compared(each, swapped=challenger == before) for each in found.comparisons)
                )
        return None

    def card(self) -> ModelCard | None:
        """The installed model card."""
        found = read_card()
        if found is None:
            return None
        return ModelCard(found.version, tuple(CardMetric(*each) for each in found.figures), found.before, found.after)

    def refresh_status(self) -> RefreshStatus | None:
        """Status of our own refresh from its request on; else the last recorded one of any process."""
        own, found = self._own, read_progress(self._versions().root)
        if own is not None and (found is None or found[0].began < own.began or (own.error and found[0].ended is None)):
            return RefreshStatus("failed" if own.error else "running", own.began, own.actor, error=own.error)
        return None if found is None else _refresh(*found)

    def promote(self, version: str, champion: str, why: str, actor: str) -> None:
        """As `tocsin models promote`."""
        event = self._versions().promote(version, now=self._now(), why=why or "by hand", expected=champion, actor=actor)
        if event is None:
            raise Conflict(f"{version} is already the champion")
        self._note(actor, "model promoted", version, {"champion": event.origin}, {"champion": version, "why": event.why})

    def rollback(self, champion: str, why: str, actor: str) -> None:
        """As `tocsin models rollback`."""
        event = self._versions().rollback(now=self._now(), why=why or "by hand", expected=champion, actor=actor)
        self._note(actor, "model rolled back", event.version, {"champion": event.origin}, {"champion": event.version, "why": event.why})

    def refresh(self, actor: str, force: bool) -> None:
        """Start `tocsin refresh`; returns at once."""
        with self._lock:
            known = self.refresh_status()
            if self._closed or (known is not None and known.state == "running"):
                raise Conflict("a refresh is already running")
            self._note(actor, "refresh started", after={"force": force})
            own = self._own = _RunningRefresh(datetime.now(UTC), actor)  # the other process uses the system clock
            own.thread = threading.Thread(target=self._run, args=(own, force), name="refresh", daemon=True)
            own.thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """End a refresh started here, if it is still running."""
        with self._lock:
            self._closed, own = True, self._own
            if own is not None and own.child is not None:
                own.child.terminate()
        if own is not None:
            own.thread.join(timeout_s)

    def _run(self, own: _RunningRefresh, force: bool) -> None:
        before = ""
        try:
            before = self._versions().champion()
            own.error = self._wait(own, force)
        except (StoreError, UserError, ModelError, OSError) as error:
            own.error = str(error)
        if own.error:
            _log.error("refresh_failed", reason=own.error, by=own.actor)
        found = read_progress(self._versions().root)
        outcome = found[0].outcome if found is not None and found[0].began >= own.began else None
        message = {"action": outcome.action, "champion": outcome.champion, "reasons": outcome.reasons} if outcome else {"error": own.error}
        self._note(own.actor, "refresh ended", outcome.challenger if outcome else "", {"champion": before}, message)

    def _wait(self, own: _RunningRefresh, force: bool) -> str:
        """Run the program until it ends. Returns why it failed, "" if it succeeded."""
        labels = refresh_process.write_label_snapshot(self._settings, self._store, LABELS)
        try:
            with self._lock:
                if self._closed:
                    return "the dashboard was stopped"
                own.child = subprocess.Popen(
                    refresh_process.refresh_command(labels, actor=own.actor, force=force),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=refresh_process.environment_with(self._settings),
                )
            with own.child as child:
                _, stderr = child.communicate()
        finally:
            labels.unlink(missing_ok=True)
        if not own.child.returncode:
            return ""
        return (stderr.strip().splitlines() or [f"exit status {own.child.returncode}"])[-1].strip()

    def _versions(self) -> Versions:
        return wiring.make_versions(self._settings)

    def _note(self, actor: str, what: str, about: str = "", before: object = "", after: object = "") -> None:
        try:
            self._people.audit(actor, what, about, before=before, after=after, address=ADDRESS)
        except StoreError as error:  # the action is done and recorded in the version history
            _log.error("audit_entry_not_written", what=what, about=about, by=actor, reason=str(error))


class _RunningRefresh:
    """A refresh started here. error: why it failed, "" if it did not."""

    def __init__(self, began: datetime, actor: str) -> None:
        self.began, self.actor, self.error = began, actor, ""
        self.thread = threading.Thread()
        self.child: subprocess.Popen[str] | None = None


def _version(entry: VersionEntry) -> ModelVersion:
    made = entry.manifest
    if made is None:
        return ModelVersion(entry.version, champion=entry.champion, fault=entry.fault)
    return ModelVersion(entry.version, made.version, made.created, made.parent, made.data, made.dev, entry.champion, entry.fault)


def _move(event: HistoryEntry) -> ModelChange:
    return ModelChange(event.when, event.action, event.version, event.origin, event.why, event.actor, event.labels_until is not None)


def _compared(each: Comparison, *, swapped: bool) -> MetricComparison:
    """A comparison, with its sides swapped if `swapped`."""
    if swapped:
        return MetricComparison(each.test, each.group, each.metric, each.n, each.challenger, each.champion, -each.high, -each.low)
    return MetricComparison(each.test, each.group, each.metric, each.n, each.champion, each.challenger, each.low, each.high)


def _refresh(found: RefreshProgress, alive: bool) -> RefreshStatus:
    if found.ended is None:
        return RefreshStatus("running" if alive else "lost", found.began, found.started_by, found.lines)
    if found.outcome is None:
        return RefreshStatus("failed", found.began, found.started_by, found.lines, found.ended, error=found.error)
    out = found.outcome
    return RefreshStatus(
        "ended", found.began, found.started_by, found.lines, found.ended, out.action, out.champion, out.challenger, out.reasons
    )
