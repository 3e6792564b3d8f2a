"""Authentication of records on the embedded broker, which anybody on this machine can write to.

Each record carries a MAC over its topic, key and value. The parent process makes a new key at each start and hands it to the worker
over a pipe; it is on no disk and in no environment. A record without a valid MAC is not one of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

_MARK = b"\0TS1"
"""No record that we publish begins with a zero byte: they are JSON."""
_KEY_BYTES = _MAC_BYTES = 32


def new_seal_key() -> str:
    """A random key in hex, which fits in a plan that is passed as JSON."""
    return secrets.token_hex(_KEY_BYTES)


class RecordSeal:
    """Seals and opens the records of one start. With an empty key, records pass unchanged: a Kafka cluster authenticates its clients."""

    def __init__(self, key: str = "") -> None:
        """
        Args:
            key: from `new_seal_key`, or ""
        """
        self._key = bytes.fromhex(key)

    def seal(self, topic: str, key: bytes | None, value: bytes) -> bytes:
        """The value with its MAC."""
        return _MARK + self._mac(topic, key, value) + value if self._key else value

    def open(self, topic: str, key: bytes | None, value: bytes | None) -> bytes | None:
        """The value without its MAC; None if it has no valid one."""
        if not self._key or value is None:
            return None if self._key else value
        head = len(_MARK) + _MAC_BYTES
        content = value[head:]
        given = value[len(_MARK) : head]
        return content if value[: len(_MARK)] == _MARK and hmac.compare_digest(given, self._mac(topic, key, content)) else None

    def __bool__(self) -> bool:
        return bool(self._key)

    def _mac(self, topic: str, key: bytes | None, value: bytes) -> bytes:
        parts = (topic.encode(), b"-" if key is None else b"+" + key)
        head = b"".join(len(part).to_bytes(8, "big") + part for part in parts)  # lengths: no part can pass into another
        return hmac.new(self._key, head + value, hashlib.sha256).digest()
