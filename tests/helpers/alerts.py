"""Sample alerts for tests of formats and deliveries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.records import Alert, Chart, CompanyCount, Evidence, Language, Why, WordCount, alert_id
from stream.delivery.formats.base import FormatOptions

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "webhook.schema.json"
FAMILY = "👨‍👩‍👧"
FLAG = "🇨🇳"
MARKUP_TITLE = f"油价暴跌 {FAMILY}{FLAG} Oil <b>*plunges*</b> & [more](http://evil.example) <@all> ![x](http://evil.example/p) e\u0301"
"""A headline with markup of every format and characters of several code points."""


def sample_alert(title: str = MARKUP_TITLE, n: int = 2, **fields: Any) -> Alert:
    """An alert of the spike detector on topic:energy with `n` articles of this title."""
    evidence = tuple(
        Evidence(id=f"{i}", title=title, url=f"https://example.org/{i}?a=(b)&c=d", source="wire", published_at=NOON, p_negative=0.9)
        for i in range(n)
    )
    defaults: dict[str, Any] = {
        "rule": "default", "series": "topic:energy", "window_start": NOON, "window_s": 900, "detected_at": NOON + timedelta(minutes=8),
        "severity": "warning", "observed": 12, "expected": 0.3, "surprise": 8.1, "total": 15, "sources": 4, "evidence": evidence,
    }  # fmt: skip
    return Alert(**({"id": alert_id("r", "topic:energy", NOON)} | defaults | fields))


def sample_explanation(words: int = 2, **fields: Any) -> Why:
    """An explanation with so many keywords and two companies."""
    defaults: dict[str, Any] = {
        "stories": 9, "decisive_count": 3, "decisive_article_ids": ("0", "1", "x"), "read": 9,
        "first_source": "Reuters", "first_at": NOON + timedelta(minutes=3),
        "words": tuple(WordCount(word=word, stories=7) for word in ("default", "债券", "bond", "违约", "coupon", "panic"))[:words],
        "companies": (CompanyCount(company="600519.SH", stories=4), CompanyCount(company="ACME", stories=1)),
        "chart": Chart(start=NOON, step_s=300, negative=(0, 9), expected=(0.25, 0.25)),
    }  # fmt: skip
    return Why(**(defaults | fields))


def format_options(language: Language = "en", **fields: Any) -> FormatOptions:
    """Options of an endpoint called "risk"."""
    return FormatOptions("risk", language, sender="Tocsin <a@b.example>", recipients=("风控 <c@d.example>",), **fields)


def topic_alert(name: str = "energy", at: datetime = NOON) -> Alert:
    """An alert on topic:NAME, detected at this time, without articles."""
    series = f"topic:{name}"
    return sample_alert(id=alert_id("r", series, at), rule="r", series=series, window_start=at, detected_at=at, evidence=())
