"""Webhook formats. Each module turns an alert, or a bundle of alerts, into messages for one kind of receiver. Pure.

generic         Tocsin's own JSON (docs/webhook.schema.json)
alertmanager    the JSON of Prometheus Alertmanager
slack, feishu   chats with a rich-text format of their own
markdown_bots   DingTalk and WeCom
mail            an e-mail, sent by SMTP
alert_text      the text of one alert, shared by all formats; group_text: of several; splitting: over messages of limited size
"""

from __future__ import annotations

from stream.delivery.formats import alertmanager, feishu, generic, mail, markdown_bots, slack
from stream.delivery.formats.base import Format

FORMATS: dict[str, Format] = {
    each.key: each
    for each in (
        generic.FORMAT,
        alertmanager.FORMAT,
        slack.FORMAT,
        feishu.FORMAT,
        markdown_bots.DINGTALK,
        markdown_bots.WECOM,
        mail.FORMAT,
    )
}
"""By the name that settings use."""
