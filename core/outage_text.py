"""What is said of an alert in more than one room, in English and Chinese. Pure."""

from __future__ import annotations

from typing import Protocol

from core.records import Language


class Silent(Protocol):
    """A silence: core.records.Alert has it, and an alert of a backtest. value, limit: hours"""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def limit(self) -> float: ...  # noqa: D102
    @property
    def sources(self) -> int: ...  # noqa: D102


def lasting(hours: float, language: Language) -> str:
    """A length of time: minutes below an hour, days from the third on."""
    zh = language == "zh"
    minutes = round(hours * 60)
    if minutes < 60:
        return f"{minutes} 分钟" if zh else f"{minutes} min"
    if hours < 48:
        return f"{hours:.1f}".removesuffix(".0") + (" 小时" if zh else " h")
    return f"{hours / 24:.1f}".removesuffix(".0") + (" 天" if zh else " days")


def silence_words(alert: Silent, language: Language) -> str:
    """What comes after the name of who is silent: a clause without its end."""
    silent, limit = lasting(alert.value, language), lasting(alert.limit, language)
    if language == "zh":
        return f"{f'{alert.sources} 个来源' if alert.sources > 1 else ''}已 {silent}无文章，每周此时段很少沉默超过 {limit}"
    actor = f" from {alert.sources} sources" if alert.sources > 1 else ""
    return f"no article{actor} for {silent}, hardly ever silent for more than {limit} at this time of the week"
