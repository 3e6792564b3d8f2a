"""Parse publication times as sources write them, in many languages. What names no certain moment gives None.

    text ─▶ label off ─▶ number of seconds or days ─▶ "3 minutes ago" ─▶ time, zone and date apart ─▶ ParsedTime
                                                                          (date_names: words; time_zones: zones)

A time without a zone is in its source's time zone, and so is one whose zone is unknown, which is marked. "05/03/2026" is read only
with an order of day and month, which `day_first` finds in the other times of the same column or feed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from core.records import CLOCK_TOLERANCE, NEWEST, OLDEST
from core.untrusted_text import normalize
from ingest.text.date_names import FILLERS, ORDINALS, is_weekday, month_of, weekday_of
from ingest.text.time_zones import ZONE_AFTER_TIME, ZONE_BEFORE_DATE, Zone, zone_of

MAX_CHARS = 120
"""Longer texts are cut: no time is as long."""


class ParsedTime(NamedTuple):
    """A time in UTC.

    Attributes:
        zone_unknown: a zone was written that is not known; the source's zone was used.
        relative: it depends on the time of reading: "3 minutes ago", a weekday, a day without a year.
        day_only: no time of day was written; `at` is the midnight that begins the day.
    """

    at: datetime
    zone_unknown: bool = False
    relative: bool = False
    day_only: bool = False


class _TimeOfDay(NamedTuple):
    hour: int
    minute: int
    second: int
    carry: timedelta


_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"(\d{5}|\d{9,10}|\d{12,13}|\d{16}|\d{19})(?:\.(\d+))?")
_SCIENTIFIC = re.compile(r"\d(?:\.\d+)?[eE]\+?\d{1,2}")
_DOT_NET = re.compile(r"/?Date\((\d{9,13})(?:[+-]\d{4})?\)/?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:[T\s_-]*(\d{2}):?(\d{2})(?::?(\d{2})(?:[.,]?\d{1,9})?)?)?\s*(.*)", re.IGNORECASE)
_LABEL = re.compile(r"[^\d:]{1,40}:\s*(?=\S)")
_LABEL_WORDS = re.compile(
    r"(?:(?:first |last )?(?:published|posted|updated|modified|created|released|issued|added|date|time|publish(?:ed)? (?:date|time))"
    r"(?: on| at)?|on|(?:发布|發布|發佈|发表|發表|更新)(?:时间|時間|日期|于|於)?|刊登于|时间|時間|日期|publié(?: le)?"
    r"|veröffentlicht(?: am)?|publicado(?: el)?|pubblicato(?: il)?)[\s,]*(?=\S)",
    re.IGNORECASE,
)
_REST = re.compile(
    r"\s*(?:[|·•]|(?:来源|來源|作者|编辑|編輯|责编|责任编辑|记者|浏览|阅读|点击|评论|字号|更新|发布$|发表$"
    r"|(?:last )?updated|modified|by |source).*)",
    re.IGNORECASE,
)

_HALVES = (
    "凌晨|早上|早晨|清晨|早间|上午|午前|中午|正午|下午|午后|午後|傍晚|晚上|晚间|晚間|夜间|夜間|深夜|半夜|夜里|오전|오후"
    r"|[ap]\.?\s?m\b\.?"
)
_AFTERNOON = frozenset(
    ("pm", "下午", "午后", "午後", "傍晚", "晚上", "晚间", "晚間", "夜间", "夜間", "深夜", "半夜", "夜里", "中午", "正午", "오후")
)
_NIGHT = frozenset(("晚上", "晚间", "晚間", "夜间", "夜間", "深夜", "半夜", "夜里"))
_TIME = re.compile(
    rf"(?<![\d:.])(?:(?P<pre>{_HALVES})\s*)?(?:"
    r"(?P<hour>\d{1,2})\s?:\s?(?P<minute>\d{2})(?:\s?:\s?(?P<second>\d{2})(?:[.,:]\d{1,9})?)?(?!\d)(?:\s*uhr\b|\s?h\b)?"
    r"|(?P<hour2>\d{1,2})\s*[时時点點시](?:\s*(?P<minute2>\d{1,2})\s*[分분]?|(?P<half_past>半)|整|正)?(?:\s*(?P<second2>\d{1,2})\s*[秒초])?"
    r"|(?P<hour3>\d{1,2})\s?h(?:\s?(?P<minute3>\d{2}))?\b|(?P<hour4>\d{1,2})\.(?P<minute4>\d{2})(?:\.\d{2})?(?:\s?uhr\b|(?=\s?[ap]\.?m\b))"
    r"|(?<![/-])(?P<hour5>1[0-2]|0?[1-9])(?=\s?[ap]\.?\s?m\b))"
    rf"(?:\s*(?P<post>{_HALVES}))?",
    re.IGNORECASE,
)
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})\s*[-/.年년]\s*(?P<month>\d{1,2})\s*[-/.月월]\s*(?P<day>\d{1,2})\s*[日号號일]?\.?")
_HAN_DATE = re.compile(
    r"(?:(?:民[国國]\s*)?(?P<year>\d{2,4})\s*[年년])?\s*(?P<month>\d{1,2})\s*[月월]\s*(?P<day>\d{1,2})\s*[日号號일]?", re.IGNORECASE
)
_THREE = re.compile(r"(?P<one>\d{1,2})\s?(?P<mark>[-/.])\s?(?P<two>\d{1,2})\s?(?P=mark)\s?(?P<three>\d{4}|\d{2})\.?")
_TWO = re.compile(r"(?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})\.?")
_HAN_WEEKDAY = re.compile(
    r"[(]?(?:上)?(?:星期|周|週|礼拜|禮拜)[一二三四五六日天末][)]?|[(][日月火水木金土월화수목금토일](?:曜日|요일)?[)]|[월화수목금토일]요일"
)
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_LEADING_WORD = re.compile(r"[^\W\d_]+\.?,\s*")

_WITHOUT_COLONS = re.compile(r"(?<=\d)[T ](\d{2})(\d{2})(\d{2})?(?=\s?Z?$|\s?[+-]\d)")
_LOG_TIME = re.compile(r"(\d{1,2}/[A-Za-z]{3}/\d{4}):(?=\d)")
_INSIDE = re.compile(r"(?<=\D)(?:19|20)\d{2}\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}")
_WEEK_DATE = re.compile(r"\d{4}-?W\d{2}-?[1-7]")
_HAN_NUMBER = re.compile(r"[〇零○一二两三四五六七八九十廿卅]+(?=\s*(?:[年月日号號时時点點分秒天周週]|个|半?小时|星期))")
_HAN_DIGITS = {**{char: index for index, char in enumerate("零一二三四五六七八九")}, "〇": 0, "○": 0, "两": 2}
_DAY_WORDS = {
    "今天": 0, "今日": 0, "昨天": 1, "昨日": 1, "前天": 2, "前日": 2, "大前天": 3, "today": 0, "tonight": 0, "yesterday": 1,
    "day before yesterday": 2, "the day before yesterday": 2,
}  # fmt: skip
_DAY_PARTS = ((re.compile("今[晨]"), "今天 凌晨 "), (re.compile("今早"), "今天 早上 "), (re.compile("今[晚夜]"), "今天 晚上 "),
              (re.compile("昨[晚夜]"), "昨天 晚上 "), (re.compile("昨晨"), "昨天 凌晨 "))  # fmt: skip
_NOW = frozenset(("刚刚", "刚才", "剛剛", "剛才", "just now", "now", "moments ago", "a moment ago", "seconds ago", "a few seconds ago"))
_AGO_ABROAD = re.compile(r"il y a|\bvor\b|\bhace\b|\bfa\b|\bhá\b|atrás|назад|geleden|\btemu\b|önce|\bsedan\b|trước|منذ|\blalu\b|前|전")
"""What marks a relative time in the languages that dateparser is asked about: it takes milliseconds, also for what it cannot read."""
_BASE = datetime(2026, 6, 15)
_UNITS = {
    "s": 1, "sec": 1, "second": 1, "秒": 1, "秒钟": 1, "秒鐘": 1, "m": 60, "min": 60, "minute": 60, "分": 60, "分钟": 60, "分鐘": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "小时": 3600, "小時": 3600, "个小时": 3600, "個小時": 3600, "钟头": 3600, "d": 86_400,
    "day": 86_400, "天": 86_400, "日": 86_400, "w": 604_800, "wk": 604_800, "week": 604_800, "周": 604_800, "週": 604_800,
    "星期": 604_800, "个星期": 604_800, "month": 2_592_000, "mo": 2_592_000, "个月": 2_592_000, "個月": 2_592_000, "year": 31_536_000,
    "yr": 31_536_000, "y": 31_536_000, "年": 31_536_000,
}  # fmt: skip
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "a few": 3, "few": 3, "several": 3, "a couple of": 2, "几": 3, "数": 3, "half": 0.5, "half a": 0.5, "half an": 0.5, "半": 0.5,
}  # fmt: skip
_AMOUNT = re.compile(
    r"(\d{1,6}(?:\.\d)?|half an?|a few|few|several|a couple of|an?|one|two|three|four|five|six|seven|eight|nine|ten|半|几|数)\s*"
    r"([a-z]+|[一-鿿]+)\.?,?\s*(?:and\s+)?",
    re.IGNORECASE,
)
_AGO = re.compile(
    r"(?:about |around |over |almost |less than |大约|约|約)?(?P<amounts>.{2,60}?)\s*(?:ago|以?之?前)(?P<rest>.*)", re.IGNORECASE
)


def parse(text: str, zone: tzinfo, now: datetime, *, day_first: bool | None = None) -> datetime | None:
    """As `read`, the time alone."""
    found = read(text, zone, now, day_first=day_first)
    return found.at if found else None


def read(text: str, zone: tzinfo, now: datetime, *, day_first: bool | None = None, own_zone: bool = False) -> ParsedTime | None:
    """Parse a time; None if it is missing, ambiguous or impossible.

    Args:
        text: as written.
        zone: the source's time zone, for times without one.
        now: aware; for relative times, and for days without a year (the latest such day that is not in the future).
        day_first: the order in "05/03/2026"; None if unknown: then only "25/03/2026" can be read.
        own_zone: read the time in the source's zone, whatever zone is written.
    """
    text = _normal(text)
    if not text:
        return None
    reader = _Reader(zone, now, day_first, own_zone=own_zone)
    try:
        found = reader.read(text)
    except (ValueError, OverflowError):
        return None
    return found if found is not None and OLDEST <= found.at < NEWEST else None


def day_first(texts: Iterable[str], zone: tzinfo, now: datetime) -> bool | None:
    """The order of day and month that these times prove; None if none does, or if they contradict each other.

    A number over 12 proves it, and so does a reading that would be in the future. Dots ("25.03.2026") are written day first only.
    """
    found: set[bool] = set()
    for text in texts:
        if (order := _order(text, zone, now)) is not None:
            found.add(order)
            if len(found) == 2:
                return None
    return found.pop() if found else None


def _order(text: str, zone: tzinfo, now: datetime) -> bool | None:
    """Whether this time can only be read day first (True) or month first (False); None if it says nothing."""
    if "/" not in text and "-" not in text:
        return None
    day = _Reader(zone, now, None).day_text(_normal(text))
    if not (found := _THREE.fullmatch(day)):
        return None
    one, two, three = int(found["one"]), int(found["two"]), found["three"]
    if len(three) == 2 or one == two:
        return None
    latest = (now + CLOCK_TOLERANCE).astimezone(zone).date() + timedelta(days=1)
    as_day, as_month = (_day(int(three), month, day_of_month, latest) for month, day_of_month in ((two, one), (one, two)))
    return None if (as_day is None) == (as_month is None) else as_day is not None


def is_ambiguous(text: str, zone: tzinfo, now: datetime) -> bool:
    """Whether the text is a time that lacks only the order of day and month."""
    return read(text, zone, now) is None and read(text, zone, now, day_first=True) is not None


def _day(year: int, month: int, day: int, latest: date | None = None) -> date | None:
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return None if latest is not None and found > latest else found


def _normal(text: str) -> str:
    """Width and blanks unified, Chinese numerals as digits."""
    text = text[:MAX_CHARS] if text.isascii() else normalize("NFKC", text[:MAX_CHARS])
    text = " ".join(text.split()).strip(" ,;|\"'\ufeff")
    if "/" in text:
        text = _LOG_TIME.sub(r"\1 ", text)
    if text[4:5] == "-":
        text = _WITHOUT_COLONS.sub(lambda found: f" {':'.join(part for part in found.groups() if part)}", text)
    if text.isascii():
        return text
    for pattern, words in _DAY_PARTS:
        text = pattern.sub(words, text)
    return _HAN_NUMBER.sub(lambda number: _arabic(number.group()), text)


def _arabic(number: str) -> str:
    """Chinese numerals as digits: 二〇二六 is 2026, 二十五 is 25."""
    if not any(char in "十廿卅" for char in number):
        return "".join(str(_HAN_DIGITS[char]) for char in number)
    number = number.replace("廿", "二十").replace("卅", "三十")
    tens, _, ones = number.partition("十")
    return str((_HAN_DIGITS.get(tens, 1) if tens else 1) * 10 + (_HAN_DIGITS.get(ones, 0) if ones else 0))


class _Reader:
    """Reads texts of one source at one time. Methods raise ValueError and OverflowError for impossible numbers."""

    def __init__(self, zone: tzinfo, now: datetime, day_first: bool | None, *, own_zone: bool = False) -> None:
        self._own, self._now, self._day_first, self._own_zone = zone, now, day_first, own_zone

    def _zone(self, text: str) -> Zone:
        return Zone(self._own) if self._own_zone else zone_of(text, self._own)

    def read(self, text: str) -> ParsedTime | None:
        if _ISO.fullmatch(text):
            moment = datetime.fromisoformat(text.replace(",", ".")) if not _is_special_second(text) else None
            if moment is not None:
                return ParsedTime(
                    (moment if moment.tzinfo and not self._own_zone else moment.replace(tzinfo=self._own))
                    .astimezone(UTC)
                    .replace(microsecond=0)
                )
        if (found := self._attempt(text)) and not found.zone_unknown:
            return found
        if (rest := _REST.search(text)) and rest.start() >= 4 and (cut := self._attempt(text[: rest.start()].strip(" ,;|-"))):
            return cut
        if found:
            return found
        for label in (_LABEL, _LABEL_WORDS):
            if label_found := label.match(text):
                found = self.read(text[label_found.end() :])
                if found:
                    return found
        inside = _INSIDE.search(text)
        return self._attempt(text[inside.start() :]) if inside else None

    def _attempt(self, text: str) -> ParsedTime | None:
        if _WEEK_DATE.fullmatch(text):
            return self._at(date.fromisoformat(text), None, Zone(self._own), relative=False)
        return self._number(text) or self._relative(text) or self._calendar(text)

    def _number(self, text: str) -> ParsedTime | None:
        """Seconds, milliseconds, microseconds or nanoseconds since 1970, days since 1900 (Excel), or digits of a date."""
        if net := _DOT_NET.fullmatch(text):
            text = net.group(1)
        if _SCIENTIFIC.fullmatch(text):
            text = f"{float(text):.0f}"
        compact = _COMPACT.fullmatch(text)
        if (
            compact
            and _day(int(compact[1]), int(compact[2]), int(compact[3]))
            and not (len(text) in (9, 10, 13, 16, 19) and text.isdigit())
        ):
            return self._compact(compact)
        found = _NUMBER.fullmatch(text)
        if not found:
            return None
        digits = found.group(1)
        if len(digits) == 5:
            days = float(text)
            if not 25_569 <= days < 73_051:  # 1970 to 2100
                return None
            moment = datetime(1899, 12, 30) + timedelta(seconds=round(days * 86_400))
            return ParsedTime(moment.replace(tzinfo=self._own).astimezone(UTC), day_only=days == int(days))
        seconds = int(digits) / {9: 1, 10: 1, 12: 10**3, 13: 10**3, 16: 10**6, 19: 10**9}[len(digits)]
        return ParsedTime(datetime.fromtimestamp(int(seconds), UTC))

    def _compact(self, found: re.Match[str]) -> ParsedTime | None:
        year, month, day, hour, minute, second, rest = found.groups()
        if rest and (hour is None or not rest.strip()):
            return None
        zone = self._zone(rest or "")
        moment = datetime(*map(int, (year, month, day, hour or 0, minute or 0, min(int(second or 0), 59))), tzinfo=zone.zone)  # type: ignore[arg-type, misc]
        return ParsedTime(moment.astimezone(UTC), zone.unknown, day_only=hour is None)

    def _relative(self, text: str) -> ParsedTime | None:
        """ "5分钟前", "3 minutes ago", "刚刚"; in other languages by dateparser."""
        lower = text.lower().rstrip(".")
        if lower in _NOW:
            return ParsedTime(self._now.astimezone(UTC), relative=True)
        if found := _AGO.fullmatch(lower):
            seconds = _seconds(found["amounts"])
            if seconds is not None:
                moment = self._now - timedelta(seconds=seconds)
                rest = found["rest"].strip(" ,")
                if not rest:
                    return ParsedTime(moment.astimezone(UTC), relative=True, day_only=seconds >= 86_400)
                if time := _TIME.fullmatch(rest):  # "3天前 12:30"
                    return self._at(moment.astimezone(self._own).date(), _time_of_day(time), Zone(self._own), relative=True)
        age = _age_abroad(lower) if len(lower) <= 40 and _AGO_ABROAD.search(lower) else None
        return ParsedTime((self._now - age).astimezone(UTC), relative=True) if age is not None else None

    def _calendar(self, text: str) -> ParsedTime | None:
        """A date, with or without time and zone."""
        before, time, zone, after = self._parts(text)
        day_text = _day_text(f"{before} {after}")
        if not day_text and time is not None:  # "15:30" on a list of today's articles
            return self._nearest(self._now.astimezone(zone.zone).date(), time, zone, step=1)
        lower = day_text.lower()
        if lower in _DAY_WORDS:
            return self._at(self._now.astimezone(zone.zone).date() - timedelta(days=_DAY_WORDS[lower]), time, zone, relative=True)
        weekday = weekday_of(lower)
        if weekday is not None:
            today = self._now.astimezone(zone.zone).date()
            if lower[0] == "上":  # of last week
                return self._at(today - timedelta(days=today.weekday() + 7 - weekday), time, zone, relative=True)
            return self._nearest(today - timedelta(days=(today.weekday() - weekday) % 7), time, zone, step=7)
        day = self._date(day_text, zone)
        if day is None and after and time is not None:  # words after a complete time: a zone that is not known
            day, zone = self._date(_day_text(before), zone), Zone(self._own, unknown=True)
            day = day if day and day.year > 1 else None
        if day is None:
            return None
        if day.year > 1:
            return self._at(day, time, zone, relative=False)
        today = self._now.astimezone(zone.zone).date()
        this_year = _day(today.year, day.month, day.day) or _day(today.year - 1, day.month, day.day)
        found = self._at(this_year, time, zone, relative=True) if this_year else None
        if found and this_year and found.at > self._now + timedelta(days=1):
            return self._at(this_year.replace(year=this_year.year - 1), time, zone, relative=True)
        return found

    def day_text(self, text: str) -> str:
        """The part of a text that is its date, for `_order`."""
        before, _, _, after = self._parts(text)
        day = _day_text(f"{before} {after}")
        label = _LABEL.match(day) or _LABEL_WORDS.match(day)
        return day[label.end() :] if label else day

    def _parts(self, text: str) -> tuple[str, _TimeOfDay | None, Zone, str]:
        """(text before the time, time, zone, text after both)."""
        zone, lead = Zone(self._own), ZONE_BEFORE_DATE.match(text)
        if lead:
            zone, text = self._zone(lead.group()), text[lead.end() :].lstrip(" ,:")
        found = _TIME.search(text)
        if not found:
            return text, None, zone, ""
        before, after = text[: found.start()], text[found.end() :].lstrip(" ,")
        if named := ZONE_AFTER_TIME.match(after):
            word = named.group().strip(" ,")
            if month_of(word) is None and not is_weekday(word):
                zone, after = self._zone(word), after[named.end() :]
        elif inside := ZONE_BEFORE_DATE.search(before):  # "2026-11-30 北京时间 03:00"
            zone, before = self._zone(inside.group()), before[: inside.start()]
        return before, _time_of_day(found), zone, after.strip(" ,;|")

    def _date(self, text: str, zone: Zone) -> date | None:
        """The date; of year 1 if it has no year."""
        text = text.strip()
        if found := _YEAR_FIRST.fullmatch(text):
            return _day(int(found["year"]), int(found["month"]), int(found["day"]))
        if found := _HAN_DATE.fullmatch(text):
            year = found["year"]
            number = 1 if year is None else int(year) + (1911 if len(year) == 3 or text[0] == "民" else 2000 if len(year) == 2 else 0)
            return _day(number, int(found["month"]), int(found["day"]))
        if found := _THREE.fullmatch(text):
            return self._three(int(found["one"]), int(found["two"]), found["three"], found["mark"], zone)
        if found := _TWO.fullmatch(text):
            one, two = int(found["one"]), int(found["two"])
            day_first = found["mark"] == "." or (one > 12 if found["mark"] == "-" or one > 12 or two > 12 else self._day_first)
            return None if day_first is None else _day(1, *((two, one) if day_first else (one, two)))
        return _spelled(text)

    def _three(self, one: int, two: int, three: str, mark: str, zone: Zone) -> date | None:
        """A date of three numbers, the year not first, or of two digits."""
        latest = (self._now + CLOCK_TOLERANCE).astimezone(zone.zone).date() + timedelta(days=1)
        year = int(three) + (0 if len(three) == 4 else 2000 if int(three) < 70 else 1900)
        as_day, as_month = _day(year, two, one, latest), _day(year, one, two, latest)
        if self._day_first is not None and (as_day or as_month):
            return (as_day or as_month) if self._day_first else (as_month or as_day)
        readings: list[date | None] = [as_day] if mark == "." and as_day else [as_day, as_month]
        if len(three) == 2 and mark != "/":
            readings.append(_day(2000 + one, two, int(three), latest))
        found = {reading for reading in readings if reading}
        return found.pop() if len(found) == 1 else None

    def _nearest(self, day: date, time: _TimeOfDay | None, zone: Zone, *, step: int) -> ParsedTime | None:
        """The latest such moment that is not in the future."""
        found = self._at(day, time, zone, relative=True)
        late = found is not None and found.at > self._now + CLOCK_TOLERANCE
        return self._at(day - timedelta(days=step), time, zone, relative=True) if late else found

    def _at(self, day: date, time: _TimeOfDay | None, zone: Zone, *, relative: bool) -> ParsedTime | None:
        hour, minute, second, carry = time or _TimeOfDay(0, 0, 0, timedelta())
        moment = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone.zone) + carry
        return ParsedTime(moment.astimezone(UTC), zone.unknown, relative, day_only=time is None)


def _is_special_second(text: str) -> bool:
    """Whether the time is 24:00 or has the second 60, which datetime does not read."""
    return text[11:13] == "24" or text[17:19] == "60"


def _time_of_day(found: re.Match[str]) -> _TimeOfDay:
    def number(name: str) -> int:
        return next((int(found[key]) for key in (name, *(f"{name}{n}" for n in range(2, 6))) if key in _TIME.groupindex and found[key]), 0)

    hour, minute, second = number("hour"), 30 if found["half_past"] else number("minute"), number("second")
    half, carry = re.sub(r"[.\s]", "", (found["pre"] or found["post"] or "").lower()), timedelta()
    if half in _AFTERNOON and hour < 12:
        if not (half in ("中午", "正午") and hour >= 10) and not (half in ("深夜", "半夜", "夜里") and hour < 6):
            hour += 12
    elif hour == 12 and half in ("am", "凌晨", "오전"):
        hour = 0
    elif hour == 12 and half in _NIGHT:
        hour, carry = 0, timedelta(days=0 if half in ("半夜", "夜里") else 1)
    if hour == 24 and minute == second == 0:
        hour, carry = 0, timedelta(days=1)  # midnight at the end of the day
    if second == 60:
        second, carry = 59, carry + timedelta(seconds=1)  # a leap second
    return _TimeOfDay(hour, minute, second, carry)


def _day_text(text: str) -> str:
    """The date part without weekday and marks between date and time."""
    text = _HAN_WEEKDAY.sub(" ", text) if not text.isascii() and weekday_of(text.strip().lower()) is None else text
    text = " ".join(text.split()).strip(" ,;|@-")
    if len(text) > 1 and text[-1] in "tT" and text[-2].isdigit():
        text = text[:-1]
    words = text.rsplit(" ", 1)
    if len(words) == 2 and words[1].lower() in ("t", "at", "um", "à", "a", "alle", "om", "kl", "kl.", "las", "ore", "в"):
        text = words[0].removesuffix(" a")
    return text.strip(" ,;|@")


def _spelled(text: str) -> date | None:
    """A date with the name of its month; of year 1 if it has no year."""
    if (lead := _LEADING_WORD.match(text)) and month_of(lead.group().strip(" ,.")) is None:
        text = text[lead.end() :]
    month, numbers, unsure = None, [], []
    for word in _WORDS.findall(text):
        if word.isdigit():
            numbers.append(word)
        elif is_weekday(word) and month_of(word) is not None:
            unsure.append(word)  # "mar" is a Tuesday and March
        elif (named := month_of(word)) is not None:
            if month is not None:
                return None
            month = named
        elif not (is_weekday(word) or word.lower() in FILLERS or (numbers and word.lower() in ORDINALS)):
            return None
    if month is None and unsure:
        month = month_of(unsure[-1])
    if month is None or not 1 <= len(numbers) <= 2:
        return None
    if len(numbers) == 1:
        return _day(1, month, int(numbers[0])) if len(numbers[0]) <= 2 else None
    first, second = numbers
    day, year = (second, first) if len(first) == 4 else (first, second)
    if len(day) > 2 or len(year) not in (2, 4):
        return None
    return _day(int(year) + (0 if len(year) == 4 else 2000 if int(year) < 70 else 1900), month, int(day))


def _seconds(amounts: str) -> float | None:
    """ "1 hour 20 minutes" in seconds; None if something else is in the text."""
    position, total = 0, 0.0
    amounts = amounts.strip()
    while position < len(amounts):
        found = _AMOUNT.match(amounts, position)
        if not found:
            return None
        unit = found.group(2).lower()
        size = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if size is None:
            return None
        number = _NUMBERS.get(found.group(1).lower())
        total += size * (float(found.group(1)) if number is None else number)
        position = found.end()
    return total if amounts else None


@lru_cache(4_096)
def _age_abroad(text: str) -> timedelta | None:
    """The age that a relative time in another language states ("il y a 3 heures")."""
    import dateparser

    found = dateparser.parse(
        text,
        languages=["fr", "de", "es", "it", "pt", "ru", "ja", "ko", "nl", "pl", "tr", "sv", "vi", "ar", "id"],
        settings={"PARSERS": ["relative-time"], "RELATIVE_BASE": _BASE},
    )
    return None if found is None or found.tzinfo is not None or found > _BASE else _BASE - found
