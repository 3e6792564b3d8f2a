"""Every kind of receiver that alerts can be told to. Each module is pure: an alert and an endpoint's options in, messages out.

generic        Tocsin's own JSON (docs/webhook.schema.json)
alertmanager   as Alertmanager would send it
slack, feishu, dingtalk, wecom
mail           a letter, sent by SMTP
reading        what people read of an alert, whatever the format; splitting, how it is parted where a message has a limit
"""

from __future__ import annotations

from stream.delivery.formats import alertmanager, dingtalk, feishu, generic, mail, slack, wecom
from stream.delivery.formats.base import Format

FORMATS: dict[str, Format] = {module.FORMAT.key: module.FORMAT for module in (generic, alertmanager, slack, feishu, dingtalk, wecom, mail)}
"""By what the settings call them."""
