"""How words, odds, times and sizes are said in English and Chinese; the words are in dashboard/words."""

from __future__ import annotations

from datetime import datetime, tzinfo

from core.records import Language
from core.series import key_of, kind_of, series_name
from dashboard.translations import LABELS

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SCALES = {"en": ((1e9, "billion"), (1e6, "million")), "zh": ((1e8, "亿"), (1e4, "万"))}


def text(key: str, language: Language, **values: object) -> str:
    """The words of `key` in `language`. Raises KeyError for a key that is not in the table."""
    words = LABELS[key][1 if language == "zh" else 0]
    return words.format(**values) if values else words


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
    """Two significant digits, in words where they are long: 21,000 or "2.1万", "3.4 million"."""
    if value >= 10:
        digits = len(str(int(value))) - 2
        value = round(value / 10**digits) * 10**digits
    for scale, name in _SCALES[language]:
        if value >= scale:
            scaled = value / scale
            said = f"{scaled:.2g}" if scaled < 100 else f"{scaled:,.0f}"
            return f"{said} {name}" if language == "en" else said + name
    return f"{value:,.0f}"


def odds(surprise: float, language: Language) -> str:
    """A surprise (-log10 p) in words: 4 is "1 in 10,000 by chance". Not a number, or below 0.3 (1 in 2): within chance."""
    if not surprise >= 0.3:
        return text("odds.likely", language)
    if surprise > 12:
        return text("odds.never", language)
    return text("odds", language, n=number(10**surprise, language))


def decimal(value: float) -> str:
    """An expected count: one decimal, two below 1."""
    return f"{value:.2f}" if value < 1 else f"{value:,.1f}"


def when(moment: datetime, tz: tzinfo, language: Language) -> str:
    """Day and minute in the viewer's zone: "22 Nov 14:05", "11月22日 14:05"."""
    local = moment.astimezone(tz)
    if language == "zh":
        return f"{local.month}月{local.day}日 {local:%H:%M}"
    return f"{local.day} {_MONTHS[local.month - 1]} {local:%H:%M}"


def clock(moment: datetime, tz: tzinfo) -> str:
    """Sortable and the same in both languages: "2026-11-22 14:05"."""
    return f"{moment.astimezone(tz):%Y-%m-%d %H:%M}"


def ago(moment: datetime, now: datetime, language: Language) -> str:
    """How long ago, in the largest unit that fits; what lies ahead is "just now"."""
    minutes = int((now - moment).total_seconds() // 60)
    if minutes < 1:
        return text("ago.now", language)
    if minutes < 60:
        return text("ago.minutes", language, n=minutes)
    if minutes < 48 * 60:
        return text("ago.hours", language, n=minutes // 60)
    return text("ago.days", language, n=minutes // (24 * 60))


def width(seconds: int, language: Language) -> str:
    """How wide a window is: "15 min", "3 h"."""
    if seconds >= 3600 and seconds % 3600 == 0:
        return text("width.hours", language, n=seconds // 3600)
    return text("width.minutes", language, n=max(1, seconds // 60))


def zone_label(tz: tzinfo, now: datetime) -> str:
    """A zone as people know it: its name and its distance from UTC at `now`."""
    local = now.astimezone(tz)
    minutes = int((local.utcoffset() or now.utcoffset() or now - now).total_seconds() // 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    offset = f"UTC{'+' if minutes > 0 else '−'}{hours}" + (f":{rest:02d}" if rest else "")
    return f"{tz} ({offset})"


def lasting(seconds: float, language: Language) -> str:
    """How long something takes or waits: "0.4 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return text("seconds", language, n=f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}")
    if seconds < 6_000:
        return text("minutes", language, n=f"{seconds / 60:.0f}")
    return text("hours", language, n=f"{seconds / 3_600:.3g}")


def size(number: int) -> str:
    """So many bytes, the same in both languages: "640 kB", "1.2 GB"."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1_000:
            return f"{value:.3g} {unit}"
        value /= 1_000
    return f"{value:,.3g} TB"
