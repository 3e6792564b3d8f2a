"""What Alertmanager sends to a webhook, version "4", so that what listens to Alertmanager can listen to Tocsin. Pure.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; the fingerprint is that of Prometheus'
common/model/signature.go: FNV-1a over the sorted labels, 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from spine.records import Alert
from spine.series import kind_of
from stream.formats.base import JSON, Format, Message, Options, iso
from stream.formats.reading import Reading, read

NEVER = "0001-01-01T00:00:00Z"
"""When an alert ends that has not ended: Go's zero time."""


def messages(alert: Alert, options: Options, _at: datetime) -> list[Message]:
    """One message: a group of this one alert."""
    reading = read(alert, options)
    labels = {
        "alertname": alert.rule,
        "alert_id": alert.id,
        "kind": kind_of(alert.series),
        "series": alert.series,
        "severity": alert.severity,
    }
    group = {name: labels[name] for name in ("alertname", "series")}
    annotations = _annotations(reading)
    body = {
        "version": "4",
        "groupKey": f"{{}}:{{{', '.join(f'{name}={_quoted(value)}' for name, value in group.items())}}}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": options.name,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": options.link_base,
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": annotations,
                "startsAt": iso(alert.window_start),
                "endsAt": NEVER,
                "generatorURL": reading.link,
                "fingerprint": fingerprint(labels),
            }
        ],
    }
    return [Message(msgspec.json.encode(body), JSON)]


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
