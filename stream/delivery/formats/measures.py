"""What a rule saw and where it rings, in words of both languages, for each measure: one place for every format and command. Pure."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from core.outage_text import Silent, lasting, silence_words
from core.records import Language, Measure
from core.taxonomy import risk_name


class Seen(Silent, Protocol):
    """What is said of an alert: core.records.Alert has it, and an alert of a backtest."""

    @property
    def measure(self) -> Measure: ...  # noqa: D102
    @property
    def event(self) -> str: ...  # noqa: D102
    @property
    def observed(self) -> int: ...  # noqa: D102
    @property
    def expected(self) -> float: ...  # noqa: D102
    @property
    def total(self) -> int: ...  # noqa: D102


class Words(NamedTuple):
    """What was seen, as a clause ("72% of 18 stories were negative"), its figure alone ("72%"), and where the rule rings ("over 60%")."""

    seen: str
    figure: str
    limit: str


def in_words(alert: Seen, zh: bool) -> Words:
    """The words of an analyst's own rule; of the detector's alerts `seen` alone says anything."""
    told = f"{alert.total:,} 条报道" if zh else f"{alert.total:,} {'story' if alert.total == 1 else 'stories'}"
    if alert.measure == "negative_share":
        figure, limit = percent(alert.value), percent(alert.limit)
        seen = f"{told}中 {figure} 为负面" if zh else f"{figure} of {told} {'was' if alert.total == 1 else 'were'} negative"
        return Words(seen, figure, f"高于 {limit}" if zh else f"over {limit}")
    if alert.measure == "mean_tone":
        figure, limit = tone(alert.value), tone(alert.limit)
        seen = f"{told}的平均情绪为 {figure}" if zh else f"the mean tone of {told} was {figure}"
        return Words(seen, figure, f"低于 {limit}" if zh else f"below {limit}")
    if alert.measure == "volume":
        limit = f"{alert.limit:,.0f}"
        return Words(f"共 {told}" if zh else f"{told} came", f"{alert.value:,.0f}", f"达到 {limit} 条" if zh else f"from {limit} on")
    if alert.measure == "risk_event":
        figure, limit, event = percent(alert.value), percent(alert.limit), risk_name(alert.event, "zh" if zh else "en")
        seen = f"报道提及{event}，概率 {figure}" if zh else f"{event} is told of, {figure} likely"
        return Words(seen, figure, f"概率达到 {limit}" if zh else f"from {limit} on")
    if alert.measure == "silence":
        language: Language = "zh" if zh else "en"
        limit = lasting(alert.limit, language)
        return Words(silence_words(alert, language), lasting(alert.value, language), f"超过 {limit}" if zh else f"after {limit}")
    n, expected = alert.observed, amount(alert.expected)
    if zh:
        return Words(f"{n} 条负面报道，预期 {expected} 条", "", "")
    return Words(f"{n} negative {'story' if n == 1 else 'stories'} where {expected} were expected", "", "")


def percent(share: float) -> str:
    """At most one decimal: "72%", "72.5%"."""
    return f"{share * 100:.1f}".removesuffix(".0") + "%"


def tone(value: float) -> str:
    """With its sign: "−0.42", "+0.10"."""
    return f"{value:+.2f}".replace("-", "−")


def amount(value: float) -> str:
    """An expected count: one decimal, two below 1."""
    return f"{value:.2f}" if value < 1 else f"{value:,.1f}"
