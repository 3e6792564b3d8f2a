"""Reads of the page of people: accounts with their sessions, tokens and the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from core.cache import TTL_S
from core.untrusted_text import plain, to_csv
from dashboard import i18n
from dashboard.reads.queries import Reads
from dashboard.view import View
from domain.accounts import Account, account_subject
from domain.tokens import Token
from storage.store import AuditEntry, Store

AUDIT_PATH = "/export/audit.csv"
SPANS: Mapping[str, timedelta | None] = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "all": None,
}
DEFAULT_SPAN = "7d"
SHOWN, EXPORTED = 100, 50_000
CHOICES_TTL_S = 15.0
MAX_CHARS = 4_000
_COLUMNS = ("at", "actor", "address", "action", "target", "before", "after")
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class AccountRow(NamedTuple):
    """An account. sessions: number of sessions; seen_at: last request of any of them; failed: consecutive failed logins"""

    account: Account
    sessions: int
    seen_at: datetime | None
    failed: int


class AuditFilter(NamedTuple):
    """Filter of the audit log. span: a key of SPANS; until: only entries before this moment"""

    actor: str = ""
    what: str = ""
    span: str = DEFAULT_SPAN
    until: datetime | None = None


def read_accounts(store: Store) -> list[AccountRow]:
    """Every account, by name. Raises StoreError."""
    accounts, sessions = store.accounts.all(), store.sessions.live(_EVER)
    failures = store.login_failures.get([account_subject(each.name) for each in accounts])
    found = []
    for account in accounts:
        seen = [each.seen_at for each in sessions if each.name == account.name]
        known = failures.get(account_subject(account.name))
        found.append(AccountRow(account, len(seen), max(seen, default=None), known.count if known else 0))
    return found


def accounts(reads: Reads) -> list[AccountRow]:
    """Every account, cached. Raises StoreError."""
    return reads.shared("known accounts", TTL_S, read_accounts)


def tokens(reads: Reads) -> list[Token]:
    """All tokens, newest first, cached. Raises StoreError."""
    return reads.shared("tokens", TTL_S, lambda store: store.tokens.all())


def choices(reads: Reads) -> tuple[list[str], list[str]]:
    """The actors and actions of the log, for the filters. Raises StoreError."""
    return reads.shared("audit choices", CHOICES_TTL_S, lambda store: store.audit.known())


def asked(actor: Any, what: Any, span: Any, until: Any = None) -> AuditFilter:
    """The filter in values from the browser; invalid values become the default, everything of the last week."""
    try:
        before = datetime.fromisoformat(until) if isinstance(until, str) else None
    except ValueError:
        before = None
    return AuditFilter(
        actor=actor[:MAX_CHARS] if isinstance(actor, str) else "",
        what=what[:MAX_CHARS] if isinstance(what, str) else "",
        span=span if isinstance(span, str) and span in SPANS else DEFAULT_SPAN,
        until=before if before is not None and before.tzinfo is not None and before > _EVER else None,
    )


def entries(reads: Reads, given: AuditFilter, limit: int = SHOWN) -> list[AuditEntry]:
    """The entries of a filter, newest first. Not cached. Raises StoreError."""
    span = SPANS[given.span]
    since = reads.now() - span if span else None
    return reads.once(lambda store: store.audit.latest(limit, since=since, until=given.until, actor=given.actor, action=given.what))


def audit_csv(found: list[AuditEntry], view: View) -> bytes:
    """The log as a CSV file, safe to open in a spreadsheet. Times are in the viewer's zone, to the second."""
    rows = [
        (
            f"{entry.at.astimezone(view.tz):%Y-%m-%d %H:%M:%S}",
            *(plain(getattr(entry, name), MAX_CHARS) for name in _COLUMNS[1:]),
        )
        for entry in found
    ]
    header = [i18n.text(f"audit.{name}", view.language) for name in _COLUMNS]
    header[0] += f" ({view.zone})"
    return to_csv(header, rows)
