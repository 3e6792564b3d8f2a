"""Texts, numbers, odds, times and sizes in English and Chinese. The texts are in dashboard/translations; formats are CLDR's (Babel)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_compact_decimal, format_decimal
from babel.units import format_unit

from core.records import Language
from core.series import key_of, kind_of, series_name
from dashboard.translations import LABELS

LOCALES = {"en": "en", "zh": "zh_Hans_CN"}
_COMPACT_FROM = {"en": 1e6, "zh": 1e4}
"""From here on a number is written with a word: "3.4 million", "2.1 万"."""
_BYTES = ("byte", "kilobyte", "megabyte", "gigabyte", "terabyte")


def text(key: str, language: Language, **values: object) -> str:
    """The text of `key`, its placeholders filled in. Raises KeyError for an unknown key."""
    found = LABELS[key][1 if language == "zh" else 0]
    return found.format(**values) if values else found


def series_label(series: str, language: Language, name: str = "") -> str:
    """A series as people read it: a company by its name with its key beside it, anything else by its name.

    Args:
        name: what the news calls the company; used where this process does not know its name.
    """
    known = series_name(series, language)
    key = key_of(series)
    if kind_of(series) != "company":
        return known
    shown = known if known != key else name
    return f"{shown} ({key})" if shown and shown != key else key


def number(value: float, language: Language) -> str:
    """A number with two significant digits: "21,000", "3.4 million", "2.1 万"."""
    if value >= 10:
        digits = len(str(int(value))) - 2
        value = round(value / 10**digits) * 10**digits
    if value >= _COMPACT_FROM[language]:
        style: Literal["short", "long"] = "short" if language == "zh" else "long"  # CLDR has no long form for Chinese
        return _spaced(format_compact_decimal(value, format_type=style, locale=LOCALES[language], fraction_digits=1))
    return str(format_decimal(value, format="#,##0", locale=LOCALES[language]))


def odds(surprise: float, language: Language) -> str:
    """A surprise (-log10 p) in words: 4 is "1 in 10,000 by chance". NaN and values below 0.3 (1 in 2) count as normal variation."""
    if not surprise >= 0.3:
        return text("odds.likely", language)
    if surprise > 12:
        return text("odds.never", language)
    return _spaced(text("odds", language, n=number(10**surprise, language)))


def decimal(value: float) -> str:
    """An expected count: one decimal, two below 1."""
    return f"{value:.2f}" if value < 1 else f"{value:,.1f}"


def when(moment: datetime, tz: tzinfo, language: Language) -> str:
    """Day and minute in the viewer's zone: "22 Nov 14:05", "11月22日 14:05"."""
    pattern = "M月d日 HH:mm" if language == "zh" else "d MMM HH:mm"
    return str(format_datetime(moment.astimezone(tz), pattern, locale=LOCALES[language]))


def clock(moment: datetime, tz: tzinfo) -> str:
    """Sortable and the same in both languages: "2026-11-22 14:05"."""
    return f"{moment.astimezone(tz):%Y-%m-%d %H:%M}"


def ago(moment: datetime, now: datetime, language: Language) -> str:
    """The age of `moment` in its largest unit, rounded down: "3 minutes ago", "3 分钟前". A future moment is "just now".

    assets/live.js keeps it up to date with the same formats (Intl.RelativeTimeFormat).
    """
    minutes = int((now - moment).total_seconds() // 60)
    if minutes < 1:
        return text("ago.now", language)
    unit = timedelta(minutes=1) if minutes < 60 else timedelta(hours=1) if minutes < 24 * 60 else timedelta(days=1)
    whole = timedelta(minutes=minutes) // unit * unit
    if unit == timedelta(days=1):  # never weeks or months
        return _spaced(format_timedelta(-whole, granularity="day", threshold=1e9, add_direction=True, locale=LOCALES[language]))
    return _spaced(format_timedelta(-whole, granularity="minute", threshold=1, add_direction=True, locale=LOCALES[language]))


def width(seconds: int, language: Language) -> str:
    """The width of a window: "15 min", "3 hr", "15 分钟"."""
    if seconds >= 3600 and seconds % 3600 == 0:
        return _quantity(seconds // 3600, "duration-hour", language)
    return _quantity(max(1, seconds // 60), "duration-minute", language)


def joined(parts: Iterable[str], language: Language) -> str:
    """A list: "Credit, Energy", "债券与信用、能源"."""
    return ("、" if language == "zh" else ", ").join(parts)


def labelled(name: str, value: str, language: Language) -> str:
    """A name and its value: "Reuters: 3 alerts", "路透：3 条告警"."""
    return f"{name}：{value}" if language == "zh" else f"{name}: {value}"


def zone_label(tz: tzinfo, now: datetime) -> str:
    """Name of a time zone and its offset from UTC at `now`: "Asia/Shanghai (UTC+8)"."""
    local = now.astimezone(tz)
    minutes = int((local.utcoffset() or now.utcoffset() or now - now).total_seconds() // 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    offset = f"UTC{'+' if minutes > 0 else '−'}{hours}" + (f":{rest:02d}" if rest else "")
    return f"{tz} ({offset})"


def duration(seconds: float, language: Language) -> str:
    """A duration: "0.4 sec", "12 min", "3.5 hr"."""
    if seconds < 100:
        return _quantity(round(seconds, 1) if seconds < 10 else round(seconds), "duration-second", language)
    if seconds < 6_000:
        return _quantity(round(seconds / 60), "duration-minute", language)
    return _quantity(float(f"{seconds / 3_600:.3g}"), "duration-hour", language)


def size(number: int) -> str:
    """A number of bytes, the same in both languages: "640 kB", "1.2 GB"."""
    value, unit = float(number), 0
    while value >= 1_000 and unit < len(_BYTES) - 1:
        value, unit = value / 1_000, unit + 1
    return _quantity(float(f"{value:.3g}"), f"digital-{_BYTES[unit]}", "en")


def _quantity(value: float, unit: str, language: Language) -> str:
    return _spaced(format_unit(value, unit, length="short", locale=LOCALES[language]))


def _spaced(quantity: str) -> str:
    """A blank between figures and Chinese characters, as in all texts of the translations; CLDR has none."""
    return re.sub(r"(?<=\d)(?=[\u4e00-\u9fff])", " ", quantity)
