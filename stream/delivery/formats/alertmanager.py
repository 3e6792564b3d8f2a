"""What Alertmanager sends to a webhook, version "4", so that what listens to Alertmanager can listen to Tocsin. Pure.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; the fingerprint is that of Prometheus'
common/model/signature.go: FNV-1a over the sorted labels, 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from core.records import Alert
from core.series import kind_of
from stream.delivery.formats.alert_text import Reading, read
from stream.delivery.formats.base import JSON, Bundle, Format, Member, Message, Options, iso, ranked

NEVER = "0001-01-01T00:00:00Z"
"""When an alert ends that has not ended: Go's zero time."""


_LABELS = {"rule": "alertname", "alert": "alert_id"}
"""What Alertmanager calls what groups are told apart by, where that is not our own word."""


def messages(sent: Alert | Bundle, options: Options, _at: datetime) -> list[Message]:
    """One message: all alerts of the group, or a group of the one alert."""
    members, by = ([Member(sent)], ("rule", "series")) if isinstance(sent, Alert) else (ranked(sent.members), sent.by)
    alerts = [_alert(each, options) for each in members]
    group = {name: alerts[0]["labels"][name] for name in (_LABELS.get(each, each) for each in by)}
    body = {
        "version": "4",
        "groupKey": f"{{}}:{{{', '.join(f'{name}={_quoted(value)}' for name, value in group.items())}}}",
        "truncatedAlerts": 0,
        "status": "firing" if any(each.ended is None for each in members) else "resolved",
        "receiver": options.name,
        "groupLabels": group,
        "commonLabels": _common([each["labels"] for each in alerts]),
        "commonAnnotations": _common([each["annotations"] for each in alerts]),
        "externalURL": options.link_base,
        "alerts": alerts,
    }
    return [Message(msgspec.json.encode(body), JSON)]


def _alert(member: Member, options: Options) -> dict[str, Any]:
    alert, reading = member.alert, read(member.alert, options)
    labels = {
        "alertname": alert.rule,
        "alert_id": alert.id,
        "kind": kind_of(alert.series),
        "series": alert.series,
        "severity": alert.severity,
    }
    return {
        "status": "resolved" if member.ended else "firing",
        "labels": labels,
        "annotations": _annotations(reading),
        "startsAt": iso(alert.window_start),
        "endsAt": iso(member.ended) if member.ended else NEVER,
        "generatorURL": reading.link,
        "fingerprint": fingerprint(labels),
    }


def _common(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What is the same in all of them."""
    return {name: value for name, value in each[0].items() if all(other.get(name) == value for other in each)}


def _annotations(reading: Reading) -> dict[str, str]:
    articles = "\n".join(f"{piece.text} {piece.url}".rstrip() for piece in reading.evidence)
    return {
        "summary": reading.headline,
        "description": "\n".join(reading.sentences),
        **({"why": reading.why} if reading.why else {}),
        **({"articles": articles} if articles else {}),
        **{fact.key: fact.value for fact in reading.facts if fact.key not in ("series", "severity", "rule", "id")},
    }


def fingerprint(labels: Mapping[str, str]) -> str:
    """16 hex digits."""
    digest = 0xCBF29CE484222325
    for byte in b"".join(name.encode() + b"\xff" + value.encode() + b"\xff" for name, value in sorted(labels.items())):
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


def _quoted(value: str) -> str:
    return msgspec.json.encode(value).decode()


FORMAT = Format("alertmanager", messages, signing="standard")
