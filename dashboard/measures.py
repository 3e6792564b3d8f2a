"""What a rule saw and where it rings, in words, for each measure. Pure."""

from __future__ import annotations

from typing import NamedTuple

from core.outage_text import silence_words
from core.records import LEVELS, Alert, Language
from core.taxonomy import risk_name
from dashboard import i18n


class Words(NamedTuple):
    """counts: what was seen, in a few words ("72% of 18 stories negative"); beside: the odds, or where the rule rings."""

    counts: str
    beside: str


def words(alert: Alert, language: Language) -> Words:
    """The words of an alert's card; of a silence there is nothing to say beside it."""
    if alert.measure == "outage":
        return Words(silence_words(alert, language), "")
    if alert.measure not in LEVELS:
        counts = i18n.text("alert.counts", language, observed=alert.observed, expected=i18n.decimal(alert.expected))
        return Words(counts, i18n.odds(alert.surprise, language))
    key, values = alert.measure, {"value": figure(alert, alert.value), "n": f"{alert.total:,}", "event": risk_name(alert.event, language)}
    return Words(i18n.text(f"counts.{key}", language, **values), limit(alert, language))


def limit(alert: Alert, language: Language) -> str:
    """Where the rule rings: "rings over 60%"."""
    return i18n.text(f"limit.{alert.measure}", language, limit=figure(alert, alert.limit))


def figure(alert: Alert, value: float) -> str:
    """A value as its measure is written: a share in percent, a tone with its sign, a whole number."""
    if alert.measure == "volume":
        return f"{value:,.0f}"
    if alert.measure == "mean_tone":
        return f"{value:+.2f}".replace("-", "−")
    return f"{value * 100:.1f}".removesuffix(".0") + "%"
