"""Time zones as sources write them: offsets, IANA names, abbreviations, and names in English and Chinese."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from string import ascii_lowercase
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class Zone(NamedTuple):
    """A time zone. unknown: another one was written, which is not known, and `zone` is the source's own."""

    zone: tzinfo
    unknown: bool = False


_CITIES = {
    "北京": "Asia/Shanghai", "中国": "Asia/Shanghai", "中國": "Asia/Shanghai", "上海": "Asia/Shanghai", "香港": "Asia/Hong_Kong",
    "台北": "Asia/Taipei", "臺北": "Asia/Taipei", "台湾": "Asia/Taipei", "东京": "Asia/Tokyo", "東京": "Asia/Tokyo",
    "日本": "Asia/Tokyo", "首尔": "Asia/Seoul", "新加坡": "Asia/Singapore", "纽约": "America/New_York", "紐約": "America/New_York",
    "美东": "America/New_York", "美東": "America/New_York", "美国东部": "America/New_York", "美西": "America/Los_Angeles",
    "美国西部": "America/Los_Angeles", "美国太平洋": "America/Los_Angeles", "伦敦": "Europe/London", "倫敦": "Europe/London",
    "英国": "Europe/London", "欧洲中部": "Europe/Paris", "巴黎": "Europe/Paris", "莫斯科": "Europe/Moscow",
    "悉尼": "Australia/Sydney", "格林尼治": "UTC", "格林威治": "UTC", "格林尼治标准": "UTC", "世界": "UTC", "世界标准": "UTC",
    "协调世界": "UTC",
}  # fmt: skip
_NAMES = {
    "eastern": "America/New_York", "us eastern": "America/New_York", "new york": "America/New_York", "central": "America/Chicago",
    "us central": "America/Chicago", "mountain": "America/Denver", "pacific": "America/Los_Angeles", "us pacific": "America/Los_Angeles",
    "atlantic": "America/Halifax", "alaska": "America/Anchorage", "hawaii": "Pacific/Honolulu", "greenwich mean": "UTC",
    "universal": "UTC", "coordinated universal": "UTC", "british": "Europe/London", "uk": "Europe/London", "london": "Europe/London",
    "gmt": "UTC", "central european": "Europe/Paris", "central europe": "Europe/Paris", "western european": "Europe/Lisbon",
    "eastern european": "Europe/Athens", "moscow": "Europe/Moscow", "china": "Asia/Shanghai", "beijing": "Asia/Shanghai",
    "hong kong": "Asia/Hong_Kong", "taipei": "Asia/Taipei", "singapore": "Asia/Singapore", "japan": "Asia/Tokyo",
    "tokyo": "Asia/Tokyo", "korea": "Asia/Seoul", "india": "Asia/Kolkata", "australian eastern": "Australia/Sydney",
    "sydney": "Australia/Sydney", "new zealand": "Pacific/Auckland", "gulf": "Asia/Dubai",
}  # fmt: skip
_ABBREVIATIONS: dict[str, float | str] = {
    "utc": 0, "gmt": 0, "ut": 0, "z": 0, "wet": 0, "west": 1, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6,
    "pst": -8, "pdt": -7, "ast": -4, "adt": -3, "nst": -3.5, "ndt": -2.5, "akst": -9, "akdt": -8, "hst": -10, "brt": -3, "art": -3,
    "clt": -4, "cot": -5, "pet": -5, "bst": 1, "cet": 1, "mez": 1, "met": 1, "cest": 2, "mesz": 2, "mest": 2, "eet": 2, "eest": 3,
    "sast": 2, "cat": 2, "wat": 1, "eat": 3, "msk": 3, "trt": 3, "idt": 3, "gst": 4, "pkt": 5, "ist": 5.5, "npt": 5.75, "ict": 7,
    "wib": 7, "hkt": 8, "sgt": 8, "myt": 8, "pht": 8, "awst": 8, "jst": 9, "kst": 9, "acst": 9.5, "aest": 10, "aedt": 11,
    "acdt": 10.5, "nzst": 12, "nzdt": 13, "et": "America/New_York", "ct": "America/Chicago", "mt": "America/Denver",
    "pt": "America/Los_Angeles", "uk": "Europe/London", "hk": "Asia/Hong_Kong",
}  # fmt: skip
"""UTC offsets in hours, or the zone where the abbreviation covers summer and winter time."""

_OFFSET = r"[+\-−]\s?\d{1,2}(?:[:.]?\d{2})?(?![\d/-])"
_HAN = rf"(?:{'|'.join(sorted(_CITIES, key=len, reverse=True))}|当地|當地|本地)(?:夏令|标准|標準)?[时時][间間]?"
_ENGLISH = rf"(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})(?: standard| daylight| summer)?(?: time)\b|local time\b"
ZONE_AFTER_TIME = re.compile(
    rf"\(?(?:{_ENGLISH}|{_HAN}|(?:utc|gmt)\s?{_OFFSET}|{_OFFSET}(?:\s[a-z]{{2,5}}$)?|[a-z]+(?:/[a-z_+\-0-9]+){{1,2}}"
    r"|[a-z]{1,5}\b(?!\s?\d{1,2}[, ]))\)?"
    r"(?:\s*\[[^\]]{0,60}\])?(?:\s*\([^)]{0,60}\))?|\[[^\]]{0,60}\]",
    re.IGNORECASE,
)
"""A zone at the start of what follows a time, with the second name that it may have in brackets."""
ZONE_BEFORE_DATE = re.compile(rf"[(（]?(?:{_HAN}|(?:{_ENGLISH}))[)）]?", re.IGNORECASE)

_BRACKETS = re.compile(r"\s*[\[(](.*?)[\])]\s*$")
_LOCAL = frozenset(("当地时间", "當地時間", "本地时间", "当地时", "local time", "local"))


def zone_of(text: str, own: tzinfo) -> Zone:
    """The zone that the text names; `own` for "" and for local time.

    Args:
        text: such as "+08:00[Asia/Shanghai]", "GMT+8", "EST", "北京时间".
        own: the source's zone.
    """
    text = " ".join(text.split())
    if not text:
        return Zone(own)
    inner = _BRACKETS.search(text)
    outer = text[: inner.start()] if inner else text
    for name in (outer, inner.group(1) if inner else ""):
        if name and (found := _named(name.strip("() "), own)) is not None:
            return Zone(found)
    return Zone(own, unknown=True)


def _named(name: str, own: tzinfo) -> tzinfo | None:
    lower = name.lower()
    compact = lower.replace(" ", "").replace("−", "-")
    for prefix in ("utc", "gmt"):
        if len(compact) > 3 and compact.startswith(prefix) and compact[3] in "+-":
            compact = compact[3:]
    if compact and compact[0] in "+-":
        return _offset(compact.rstrip(ascii_lowercase))  # "+0800 CST", as Go writes it
    if lower in _LOCAL:
        return own
    if not name.isascii():
        return next(
            (ZoneInfo(zone) for city, zone in sorted(_CITIES.items(), key=lambda item: -len(item[0])) if name.startswith(city)), None
        )
    if lower == "cst" and own.utcoffset(datetime(2026, 1, 15)) == timedelta(hours=8):
        return own  # China Standard Time, not US Central
    if lower in ("ist", "bst") and own.utcoffset(datetime(2026, 7, 15)) == timedelta(hours=1) != own.utcoffset(datetime(2026, 1, 15)):
        return own  # Irish and British summer time
    if lower in _ABBREVIATIONS:
        value = _ABBREVIATIONS[lower]
        return ZoneInfo(value) if isinstance(value, str) else timezone(timedelta(hours=value))
    if "/" in name:
        return _iana(name)
    words = re.sub(r"(?: standard| daylight| summer)?(?: time)?$", "", lower)
    if words != lower and words in _NAMES:
        return ZoneInfo(_NAMES[words])
    return _rare(name.upper())


def _offset(text: str) -> tzinfo | None:
    digits = re.sub(r"[:.]", "", text[1:])
    if not digits.isdigit() or len(digits) > 4:
        return None
    hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
    if hours > 14 or minutes > 59:
        return None
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


@lru_cache(1_024)
def _iana(name: str) -> tzinfo | None:
    for spelled in (name, "/".join(part.title() for part in name.split("/"))):
        try:
            return ZoneInfo(spelled.replace(" ", "_"))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return None


@lru_cache(1_024)
def _rare(name: str) -> tzinfo | None:
    """An abbreviation of three or more letters that dateparser knows."""
    if not name.isalpha() or len(name) < 3:
        return None
    from dateparser.timezone_parser import pop_tz_offset_from_string

    _, found = pop_tz_offset_from_string(f"2026-01-15 12:00 {name}")
    offset = found.utcoffset(None) if found is not None else None
    return timezone(offset) if offset is not None else None
