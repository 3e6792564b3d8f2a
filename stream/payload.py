"""What a webhook says, and its signature. Pure. Source: Standard Webhooks 1.0.0, https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from spine.errors import SettingsError
from spine.records import Alert
from spine.series import MARKET, series_name

MAX_BYTES = 20_000
"""The specification asks for less than 20 kB."""
TEST = "test"
"""The id, and the rule, of what is sent to try an endpoint."""
MAX_TITLE_CHARS = 300
MAX_URL_CHARS = 1_000


def trial(now: datetime) -> Alert:
    """What a test sends: it says of itself that it is one."""
    return Alert(
        id=TEST,
        rule=TEST,
        series=MARKET,
        window_start=now - timedelta(minutes=15),
        window_s=900,
        detected_at=now,
        severity="watch",
        observed=0,
        expected=0.0,
        surprise=0.0,
        total=0,
        sources=0,
    )


def body_of(alert: Alert) -> bytes:
    """The JSON body for `alert`, under MAX_BYTES: long titles are cut, and the least negative evidence left out where it must be.

    The same bytes for the same alert, however often it is sent.
    """
    items = [
        {
            "id": item.id,
            "title": item.title[:MAX_TITLE_CHARS],
            "url": item.url if len(item.url) <= MAX_URL_CHARS else "",
            "source": item.source,
            "published_at": _iso(item.published_at),
            "p_negative": round(item.p_negative, 4),
        }
        for item in alert.evidence
    ]
    while True:
        body = msgspec.json.encode(
            {
                "type": "alert.test" if alert.rule == "test" else "alert.firing",
                "timestamp": _iso(alert.detected_at),
                "data": _data(alert, items),
            }
        )
        if len(body) < MAX_BYTES or not items:
            return body
        items.pop()


def _data(alert: Alert, evidence: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": alert.id,
        "rule": alert.rule,
        "series": alert.series,
        "name": {language: series_name(alert.series, language) for language in ("en", "zh")},
        "severity": alert.severity,
        "window_start": _iso(alert.window_start),
        "window_end": _iso(alert.window_start + timedelta(seconds=alert.window_s)),
        "detected_at": _iso(alert.detected_at),
        "observed": alert.observed,
        "expected": alert.expected,
        "surprise": alert.surprise,
        "total": alert.total,
        "sources": alert.sources,
        "evidence": evidence,
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message_id(alert: Alert) -> str:
    """The webhook-id: the same for every attempt and every endpoint, so that a receiver can tell what it has seen."""
    return f"alert_{alert.id}"


def signing_key(secret: str) -> bytes:
    """The key in a secret "whsec_" + base64. Raises SettingsError."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError('a webhook\'s secret must be "whsec_" and base64') from error
    if not 24 <= len(key) <= 64:
        raise SettingsError(f"a webhook's secret must hold 24 to 64 bytes; this one holds {len(key)}")
    return key


def sign(key: bytes, ident: str, timestamp: int, body: bytes) -> str:
    """The webhook-signature over exactly these bytes; `timestamp` is of this attempt, seconds since 1970."""
    digest = hmac.new(key, b"%s.%d.%s" % (ident.encode(), timestamp, body), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
