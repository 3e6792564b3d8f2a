"""A chat server of each kind with a webhook endpoint for it, and a clock that tests set."""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

from core.records import Alert
from core.settings import Webhook
from storage.store import Delivery
from stream.delivery.formats.base import Bundle
from stream.delivery.webhooks import Job, Webhooks
from tests.helpers.chat_servers import Chat, DingTalk, Feishu, Slack, WeCom

SECRETS = {"feishu": "飞书 secret", "dingtalk": "SEC" + "0f" * 32}
CHATS: dict[str, type[Chat]] = {"slack": Slack, "feishu": Feishu, "dingtalk": DingTalk, "wecom": WeCom}


class SettableClock:
    """now: UTC, set by the test"""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def epoch(self) -> float:
        """Unix seconds."""
        return self.now.timestamp()


class ChatEndpoint:
    """An endpoint called "risk" of this format. secret: None for the one that the chat expects; fields: further settings"""

    def __init__(self, key: str, stack: ExitStack, secret: str | None = None, **fields: Any) -> None:
        self.clock = SettableClock()
        expected = SECRETS.get(key, "")
        self.chat = stack.enter_context(CHATS[key](expected, self.clock.epoch))
        settings: dict[str, Any] = {"format": key, "secret": expected if secret is None else secret} | fields
        hook = Webhook(url=self.chat.url, allow_private=True, name="risk", **settings)
        self._webhooks = stack.enter_context(closing(Webhooks([hook], clock=self.clock, link_base="https://t.example")))

    def send(self, payload: Alert | Bundle, attempt: int = 1, parts_delivered: int = 0) -> Delivery:
        """One attempt."""
        (delivery,) = self._webhooks.send([Job("risk", payload, attempt, parts_delivered)])
        return delivery
