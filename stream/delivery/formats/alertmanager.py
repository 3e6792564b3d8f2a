"""Alertmanager's webhook payload, version "4", for receivers written for Alertmanager. Pure.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; the fingerprint is that of Prometheus'
common/model/signature.go: 64-bit FNV-1a over the sorted labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from core.records import Alert
from core.series import kind_of
from stream.delivery.formats.alert_text import AlertText, alert_text
from stream.delivery.formats.base import JSON, Bundle, Format, FormatOptions, Member, Message, by_severity, iso_millis

NEVER = "0001-01-01T00:00:00Z"
"""endsAt of an alert that fires: Go's zero time."""
_LABELS = {"rule": "alertname", "alert": "alert_id"}
"""Alertmanager's names of labels, where they differ from ours."""


def messages(payload: Alert | Bundle, options: FormatOptions, _at: datetime) -> list[Message]:
    """One message with all alerts of the group; a single alert is a group of one."""
    members = [Member(payload)] if isinstance(payload, Alert) else by_severity(payload.members)
    by = ("rule", "series") if isinstance(payload, Alert) else payload.by
    alerts = [_alert(each, options) for each in members]
    group = {name: alerts[0]["labels"][name] for name in (_LABELS.get(each, each) for each in by)}
    body = {
        "version": "4",
        "groupKey": f"{{}}:{{{', '.join(f'{name}={_quoted(value)}' for name, value in group.items())}}}",
        "truncatedAlerts": 0,
        "status": "firing" if any(each.resolved_at is None for each in members) else "resolved",
        "receiver": options.name,
        "groupLabels": group,
        "commonLabels": _common([each["labels"] for each in alerts]),
        "commonAnnotations": _common([each["annotations"] for each in alerts]),
        "externalURL": options.link_base,
        "alerts": alerts,
    }
    return [Message(msgspec.json.encode(body), JSON)]


def _alert(member: Member, options: FormatOptions) -> dict[str, Any]:
    alert, text = member.alert, alert_text(member.alert, options)
    labels = {
        "alertname": alert.rule,
        "alert_id": alert.id,
        "kind": kind_of(alert.series),
        "series": alert.series,
        "severity": alert.severity,
    }
    return {
        "status": "resolved" if member.resolved_at else "firing",
        "labels": labels,
        "annotations": _annotations(text),
        "startsAt": iso_millis(alert.window_start),
        "endsAt": iso_millis(member.resolved_at) if member.resolved_at else NEVER,
        "generatorURL": text.link,
        "fingerprint": fingerprint(labels),
    }


def _common(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The entries that all of them share."""
    return {name: value for name, value in each[0].items() if all(other.get(name) == value for other in each)}


def _annotations(text: AlertText) -> dict[str, str]:
    articles = "\n".join(f"{paragraph.text} {paragraph.url}".rstrip() for paragraph in text.evidence)
    return {
        "summary": text.headline,
        "description": "\n".join(text.sentences),
        **({"why": text.explanation} if text.explanation else {}),
        **({"articles": articles} if articles else {}),
        **{fact.key: fact.value for fact in text.facts if fact.key not in ("series", "severity", "rule", "id")},
    }


def fingerprint(labels: Mapping[str, str]) -> str:
    """Prometheus' fingerprint of a set of labels: 16 hexadecimal digits."""
    digest = 0xCBF29CE484222325
    for byte in b"".join(name.encode() + b"\xff" + value.encode() + b"\xff" for name, value in sorted(labels.items())):
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


def _quoted(value: str) -> str:
    return msgspec.json.encode(value).decode()


FORMAT = Format("alertmanager", messages, signing="standard")
