"""How what is sent is signed: Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), and the bots of Feishu and DingTalk. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from core.errors import SettingsError
from core.records import Alert

if TYPE_CHECKING:
    from stream.delivery.formats.base import Bundle


def message_id(sent: Alert | Bundle, part: int = 1) -> str:
    """The webhook-id: the same for every attempt, and of an alert for every endpoint, so that a receiver can tell what it has seen.

    part: of what is sent as several messages, from 1; ":" cannot be in an id, so no two ids are the same
    """
    name = f"{'alert' if isinstance(sent, Alert) else 'group'}_{sent.id}"
    return name if part == 1 else f"{name}:{part}"


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


def signatures(keys: Sequence[bytes], ident: str, timestamp: int, body: bytes) -> str:
    """One signature for each key, separated by a space: while a secret is changed, a receiver may know either."""
    return " ".join(sign(key, ident, timestamp, body) for key in keys)


def feishu_sign(secret: str, timestamp: int) -> str:
    """What a custom bot of Feishu asks for: the key is "timestamp\\nsecret", the message is empty. timestamp: seconds.

    Source: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
    """
    return base64.b64encode(hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


def dingtalk_query(secret: str, timestamp_ms: int) -> str:
    """What a custom robot of DingTalk wants in its query: the key is the secret, the message "timestamp\\nsecret".

    Source: https://open.dingtalk.com/document/robots/customize-robot-security-settings
    """
    digest = hmac.new(secret.encode(), f"{timestamp_ms}\n{secret}".encode(), hashlib.sha256).digest()
    return f"timestamp={timestamp_ms}&sign={quote(base64.b64encode(digest), safe='')}"
