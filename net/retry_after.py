"""Parser of the HTTP header Retry-After: seconds or a date (RFC 9110, 10.2.3)."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime

MAX_RETRY_AFTER_S = 24 * 3600.0


def retry_after_s(value: str, date: str = "") -> float | None:
    """Seconds to wait, in [0, MAX_RETRY_AFTER_S]; None if the header is missing or malformed.

    Args:
        value: the header Retry-After
        date: the header Date, as a date in Retry-After is relative to the server's clock
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), MAX_RETRY_AFTER_S)
    until, now = _http_date(value), _http_date(date) or datetime.now(UTC)
    return None if until is None else min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _http_date(value: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
