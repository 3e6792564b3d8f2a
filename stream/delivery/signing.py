"""Signatures: Standard Webhooks 1.0.0 (https://www.standardwebhooks.com) and the schemes of Feishu and DingTalk. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import quote

from core.errors import SettingsError


def signing_key(secret: str) -> bytes:
    """The key in a secret of the form "whsec_" + base64. Raises SettingsError."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError('a webhook\'s secret must be "whsec_" followed by base64') from error
    if not 24 <= len(key) <= 64:
        raise SettingsError(f"a webhook's secret must have 24 to 64 bytes; this one has {len(key)}")
    return key


def sign(key: bytes, ident: str, timestamp: int, body: bytes) -> str:
    """The webhook-signature of a body. timestamp: of this attempt, Unix seconds."""
    digest = hmac.new(key, b"%s.%d.%s" % (ident.encode(), timestamp, body), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def signatures(keys: Sequence[bytes], ident: str, timestamp: int, body: bytes) -> str:
    """One signature per key, separated by spaces: while a secret is rotated, receivers may know either."""
    return " ".join(sign(key, ident, timestamp, body) for key in keys)


def feishu_sign(secret: str, timestamp: int) -> str:
    """The signature of a Feishu bot: HMAC of an empty message, with the key "timestamp\\nsecret". timestamp: Unix seconds.

    Source: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
    """
    return base64.b64encode(hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


def dingtalk_query(secret: str, timestamp_ms: int) -> str:
    """The signed query of a DingTalk bot: HMAC of "timestamp\\nsecret", with the secret as key.

    Source: https://open.dingtalk.com/document/robots/customize-robot-security-settings
    """
    digest = hmac.new(secret.encode(), f"{timestamp_ms}\n{secret}".encode(), hashlib.sha256).digest()
    return f"timestamp={timestamp_ms}&sign={quote(base64.b64encode(digest), safe='')}"
