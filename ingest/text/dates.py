"""Parse publication times as sources write them. Ambiguous ones give None, and the article is flagged.

A time without a zone is in its source's time zone. Feed libraries assume UTC, read "CST" as US Central even on a Chinese site,
and parse "2026年11月22日" as the first of the month.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from core.records import NEWEST, OLDEST

_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,:]\d{1,9})?)?\s*(?P<half>[ap]\.?m\.?)?"
_ZONE = r"(?P<zone>z|[+-]\d{1,2}(?::?\d{2})?|(?:utc|gmt)\s?[+-]\d{1,2}(?::?\d{2})?|[a-z]{2,5})?(?:\s*\([^)]*\))?"
_DAY_NAME = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_MONTH = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?P<year>\d{{4}})[-/.](?P<month>\d{{1,2}})[-/.](?P<day>\d{{1,2}})(?:(?:\s*t\s*|[\s,]+){_TIME}\s*{_ZONE})?",
        rf"(?P<year>\d{{4}})(?P<month>\d{{2}})(?P<day>\d{{2}})(?:[t\s]?(?P<hour>\d{{2}}):?(?P<minute>\d{{2}}):?(?P<second>\d{{2}})?(?P<half>)\s*{_ZONE})?",
        rf"{_DAY_NAME}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s-]+{_MONTH},?[\s-]+(?P<year>\d{{4}}|\d{{2}})(?:(?:,|\s|at|-)*\s+{_TIME}\s*{_ZONE})?",
        rf"{_DAY_NAME}{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})(?:(?:,|\s|at|-)*\s+{_TIME}\s*{_ZONE})?",
        rf"{_DAY_NAME}{_MONTH}\s+(?P<day>\d{{1,2}})\s+{_TIME}\s+(?:{_ZONE}\s+)?(?P<year>\d{{4}})",
        r"(?:(?P<year>\d{4})\s*年)?\s*(?P<month>\d{1,2})\s*月\s*(?P<day>\d{1,2})\s*[日号]?\s*(?:[(（]?(?:星期|周|礼拜).[)）]?)?"
        r"\s*(?:(?P<half>凌晨|早上|上午|中午|下午|傍晚|晚上|晚间)?\s*(?P<hour>\d{1,2})\s*[:时点]\s*(?:(?P<minute>\d{1,2})\s*(?:[:分]\s*(?:(?P<second>\d{1,2})\s*秒?)?)?)?)?"
        rf"\s*{_ZONE}",
    )
)
_MONTH_FIRST = re.compile(rf"(?P<one>\d{{1,2}})/(?P<two>\d{{1,2}})/(?P<year>\d{{4}})(?:[\s,]+{_TIME}\s*{_ZONE})?", re.IGNORECASE)
_EPOCH = re.compile(r"(\d{10})(?:\.\d+|\d{3}|\d{6})?")
_AGO = re.compile(r"(\d{1,4})\s*(秒钟?|分钟|个?小时|天)\s*前")
_DAYS_AGO = re.compile(r"(今天|今日|昨天|昨日|前天)\s*(\d{1,2}):(\d{2})(?::(\d{2}))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_HOURS = {
    "utc": 0, "gmt": 0, "ut": 0, "z": 0, "wet": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "bst": 1, "west": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3, "msk": 3, "ist": 5.5, "hkt": 8, "sgt": 8, "jst": 9, "kst": 9,
    "aest": 10, "aedt": 11,
}  # fmt: skip
"""UTC offsets in hours of the zone names in feeds. "CST" means China Standard Time if the source's zone is UTC+8."""


def parse(text: str, zone: tzinfo, now: datetime) -> datetime | None:
    """Parse a time to UTC; None if it is missing, ambiguous or impossible.

    Args:
        text: as written.
        zone: the source's time zone, for times without one.
        now: aware; for "5分钟前" and for days without a year (the latest such day that is not in the future).
    """
    text = text[:120] if text.isascii() else unicodedata.normalize("NFKC", text[:120])
    text = " ".join(text.split()).strip(" ,;|")
    if not text:
        return None
    try:
        moment = _parse(text, zone, now)
    except (ValueError, OverflowError):
        return None
    return moment if moment is not None and OLDEST <= moment < NEWEST else None


def _parse(text: str, zone: tzinfo, now: datetime) -> datetime | None:
    if epoch := _EPOCH.fullmatch(text):
        return datetime.fromtimestamp(int(epoch.group(1)), UTC)
    for form in _FORMS:
        if found := form.fullmatch(text):
            part = found.groupdict()
            month = _MONTHS.index(part["name"].lower()) + 1 if part.get("name") else int(part["month"])
            return _moment(part, month, int(part["day"]), zone, now)
    if found := _MONTH_FIRST.fullmatch(text):
        part, one, two = found.groupdict(), int(found["one"]), int(found["two"])
        if one <= 12 < two:
            return _moment(part, one, two, zone, now)
        if two <= 12 < one or one == two:
            return _moment(part, two, one, zone, now)
        return None  # 03/04/2026 may be in March or in April
    return _relative(text, zone, now)


def _moment(part: dict[str, str | None], month: int, day: int, zone: tzinfo, now: datetime) -> datetime | None:
    hour, minute, second = (int(part.get(name) or 0) for name in ("hour", "minute", "second"))
    half = (part.get("half") or "").lower().replace(".", "")
    if half:
        if half in ("pm", "下午", "傍晚", "晚上", "晚间", "中午") and hour < 12 and not (half == "中午" and hour >= 10):
            hour += 12
        elif half in ("am", "凌晨") and hour == 12:
            hour = 0
    where = _zone(part.get("zone") or "", zone)
    if where is None:
        return None
    carry = timedelta()
    if hour == 24 and minute == second == 0:
        hour, carry = 0, timedelta(days=1)  # midnight at the end of the day (24:00)
    if second == 60:
        second, carry = 59, timedelta(seconds=1)  # a leap second
    year = part["year"]
    if year is None:
        today = now.astimezone(where)
        moment = datetime(today.year, month, day, hour, minute, second, tzinfo=where)
        if moment > now + timedelta(days=1):
            moment = moment.replace(year=today.year - 1)
    else:
        number = int(year) + (2000 if len(year) == 2 else 0)
        if number < OLDEST.year:
            return None
        moment = datetime(number, month, day, hour, minute, second, tzinfo=where)
    return (moment + carry).astimezone(UTC)


def _zone(name: str, own: tzinfo) -> tzinfo | None:
    """The time zone called `name` for a source in the zone `own`; None if unknown."""
    name = name.lower().replace(" ", "")
    if not name:
        return own
    for prefix in ("utc", "gmt"):
        if len(name) > 3 and name.startswith(prefix):
            name = name[3:]
    if name[0] in "+-":
        digits = name[1:].replace(":", "")
        hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
        offset = timedelta(hours=hours, minutes=minutes)
        return timezone(-offset if name[0] == "-" else offset)
    if name == "cst" and own.utcoffset(datetime(2026, 1, 15)) == timedelta(hours=8):
        return own
    hours_ahead = _HOURS.get(name)
    return None if hours_ahead is None else timezone(timedelta(hours=hours_ahead))


def _relative(text: str, zone: tzinfo, now: datetime) -> datetime | None:
    """ "5分钟前", "刚刚", "昨天 12:30"."""
    if text in ("刚刚", "just now"):
        return now.astimezone(UTC)
    if found := _AGO.fullmatch(text):
        seconds = {"秒": 1, "分": 60, "个": 3600, "小": 3600, "天": 86_400}[found.group(2)[0]]
        return (now - timedelta(seconds=int(found.group(1)) * seconds)).astimezone(UTC)
    if found := _DAYS_AGO.fullmatch(text):
        back = {"今": 0, "昨": 1, "前": 2}[found.group(1)[0]]
        day = (now.astimezone(zone) - timedelta(days=back)).date()
        return datetime(day.year, day.month, day.day, int(found[2]), int(found[3]), int(found[4] or 0), tzinfo=zone).astimezone(UTC)
    return None
