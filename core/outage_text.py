"""Texts about outages of sources, in English and Chinese."""

from __future__ import annotations

from typing import Protocol

from core.records import Language


class OutageFigures(Protocol):
    """The figures of an outage, as core.records.Alert has them; value, limit: hours."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def limit(self) -> float: ...  # noqa: D102
    @property
    def sources(self) -> int: ...  # noqa: D102


def format_hours(hours: float, language: Language) -> str:
    """A length of time in minutes below one hour, in hours below 48 hours, else in days."""
    zh = language == "zh"
    minutes = round(hours * 60)
    if minutes < 60:
        return f"{minutes} 分钟" if zh else f"{minutes} min"
    if hours < 48:
        return f"{hours:.1f}".removesuffix(".0") + (" 小时" if zh else " h")
    return f"{hours / 24:.1f}".removesuffix(".0") + (" 天" if zh else " days")


def outage_text(alert: OutageFigures, language: Language) -> str:
    """A clause about an outage, to follow the name of the source."""
    gap, limit = format_hours(alert.value, language), format_hours(alert.limit, language)
    if language == "zh":
        return f"{f'{alert.sources} 个来源' if alert.sources > 1 else ''}已 {gap}无新文章，历史同时段的间隔通常不超过 {limit}"
    sources = f" from {alert.sources} sources" if alert.sources > 1 else ""
    return f"no article{sources} for {gap}; gaps at this time of the week rarely exceed {limit}"
