"""Short texts about the observation and the threshold of an alert, for each measure. Pure."""

from __future__ import annotations

from typing import NamedTuple

from core.outage_text import outage_text
from core.records import LEVELS, Alert, Language
from core.taxonomy import risk_name
from dashboard import i18n


class Words(NamedTuple):
    """counts: the observation ("72% of 18 stories negative"); beside: the odds, or the threshold of the rule"""

    counts: str
    beside: str


def words(alert: Alert, language: Language) -> Words:
    """The texts of an alert's card. `beside` is empty for a source outage."""
    if alert.measure == "outage":
        return Words(outage_text(alert, language), "")
    if alert.measure not in LEVELS:
        counts = i18n.text("alert.counts", language, observed=alert.observed, expected=i18n.decimal(alert.expected))
        return Words(counts, i18n.odds(alert.surprise, language))
    key, values = alert.measure, {"value": figure(alert, alert.value), "n": f"{alert.total:,}", "event": risk_name(alert.event, language)}
    return Words(i18n.text(f"counts.{key}", language, **values), limit(alert, language))


def limit(alert: Alert, language: Language) -> str:
    """The threshold of the rule: "threshold: above 60%"."""
    return i18n.text(f"limit.{alert.measure}", language, limit=figure(alert, alert.limit))


def figure(alert: Alert, value: float) -> str:
    """A value in the format of its measure: a percentage, a signed tone, or a whole number."""
    if alert.measure == "volume":
        return f"{value:,.0f}"
    if alert.measure == "mean_tone":
        return f"{value:+.2f}".replace("-", "−")
    return f"{value * 100:.1f}".removesuffix(".0") + "%"
