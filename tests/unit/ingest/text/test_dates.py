"""Times as sources write them: every usual form is read, a doubtful zone costs the zone, a doubtful date is not guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.text import dates, time_zones
from tests.helpers.shared_data import shared_dir

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
MINUTE = timedelta(minutes=1)

MOMENTS = {
    "Mon, 30 Nov 2026 03:00:00 ET": "2026-11-30T08:00",
    "Mon,30 Nov 2026 03:00:00 GMT": "2026-11-30T03:00",
    "Thu, 05 Mar 26 09:30 PST": "2026-03-05T17:30",
    "2026-11-30T03:00:00+08:00[Asia/Shanghai]": "2026-11-29T19:00",
    "2026-11-30T03:00[Europe/Berlin]": "2026-11-30T02:00",
    "2026-11-30 03:00 America/New_York": "2026-11-30T08:00",
    "2026-11-30 03:00:00 +0000 UTC": "2026-11-30T03:00",
    "2026-11-30 03:00:00 -0330": "2026-11-30T06:30",
    "Mon Nov 30 2026 03:00:00 GMT+0800 (China Standard Time)": "2026-11-29T19:00",
    "Mon Nov 30 03:00:00 CST 2026": "2026-11-29T19:00",
    "November 30, 2026 at 3:00 a.m. Eastern Time": "2026-11-30T08:00",
    "9:30 AM ET Nov 25, 2026": "2026-11-25T14:30",
    "lun., 30 nov. 2026 03:00:00 +0100": "2026-11-30T02:00",
    "Mo, 25 Jun 2026 10:00 MESZ": "2026-06-25T08:00",
    "30 novembre 2026 à 15h30": "2026-11-30T07:30",
    "30 de noviembre de 2026 15:30": "2026-11-30T07:30",
    "30. November 2026, 14.30 Uhr": "2026-11-30T06:30",
    "30 ноября 2026 г., 12:00": "2026-11-30T04:00",
    "2026년 11월 30일 오후 3:30": "2026-11-30T07:30",
    "2026-11-30 03:00 北京时间": "2026-11-29T19:00",
    "美东时间2026年11月27日 16:00": "2026-11-27T21:00",
    "2026-11-30 下午3:30": "2026-11-30T07:30",
    "2026/11/30 PM 03:30": "2026-11-30T07:30",
    "2026年11月25日(星期三) 晚上8点半": "2026-11-25T12:30",
    "二〇二六年十一月二十五日 下午三点": "2026-11-25T07:00",
    "民國115年11月25日 09:00": "2026-11-25T01:00",
    "26-11-30 03:00": "2026-11-29T19:00",
    "发布时间：2026-11-30 03:00": "2026-11-29T19:00",
    "发布时间：2026-11-30 03:00 来源：某社": "2026-11-29T19:00",
    "Published: 30 Nov 2026 03:00 UTC | Updated: 30 Nov 2026 05:00 UTC": "2026-11-30T03:00",
    "11-30 03:00": "2026-11-29T19:00",
    "12-24 10:00": "2025-12-24T02:00",
    "刚刚": "2026-11-30T12:00",
    "3分钟前": "2026-11-30T11:57",
    "半小时前": "2026-11-30T11:30",
    "一小时20分钟前": "2026-11-30T10:40",
    "昨天 15:20": "2026-11-29T07:20",
    "昨晚 22:10": "2026-11-29T14:10",
    "3天前 12:30": "2026-11-27T04:30",
    "周三 09:30": "2026-11-25T01:30",
    "3 minutes ago": "2026-11-30T11:57",
    "about an hour ago": "2026-11-30T11:00",
    "2 hrs ago": "2026-11-30T10:00",
    "Yesterday, 3:20 PM": "2026-11-29T07:20",
    "il y a 3 heures": "2026-11-30T09:00",
    "vor 3 Stunden": "2026-11-30T09:00",
    "1795300000": "2026-11-21T22:26:40",
    "1795300000123": "2026-11-21T22:26:40",
    "1795300000123456": "2026-11-21T22:26:40",
    "1795300000123456789": "2026-11-21T22:26:40",
    "1.7953e9": "2026-11-21T22:26:40",
    "/Date(1795300000000)/": "2026-11-21T22:26:40",
    "45356.5": "2024-03-05T04:00",
    "20261130T030000Z": "2026-11-30T03:00",
    "20261130030000": "2026-11-29T19:00",
    "30/Nov/2026:03:00:00 +0000": "2026-11-30T03:00",
    "2026-11-30T030000Z": "2026-11-30T03:00",
    "29 Nov 2026 3.15pm GMT": "2026-11-29T15:15",
    "来源：某报 2026-11-30 03:00": "2026-11-29T19:00",
    "2026-11-30 03:00:00 发布": "2026-11-29T19:00",
    "上周五 10:00": "2026-11-27T02:00",
    "a few minutes ago": "2026-11-30T11:57",
    "2026-W48-1": "2026-11-22T16:00",
    "2026-12-31T23:59:60Z": "2027-01-01T00:00",
}


@pytest.mark.parametrize(("text", "moment"), MOMENTS.items())
def test_usual_forms_are_read(text, moment):
    assert dates.parse(text, SHANGHAI, NOW) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "-", "n/a", "soon", "Apple 5", "12", "2026", "2026-13-45", "05/03/2024", "0001-01-01T00:00:00Z", "31 Feb 2026"]
)
def test_what_names_no_moment_is_not_guessed(text):
    assert dates.parse(text, SHANGHAI, NOW) is None


@pytest.mark.parametrize(
    "text", ["Mon, 30 Nov 2026 03:00:00 QQT", "2026-11-30 03:00 Nowhere Time", "2026-11-30 03:00:00 +99:00", "2026-11-30 03:00 Mars/Base"]
)
def test_an_unknown_zone_costs_the_zone_and_not_the_date(text):
    found = dates.read(text, SHANGHAI, NOW)
    assert found is not None
    assert (found.at, found.zone_unknown) == (datetime(2026, 11, 29, 19, tzinfo=UTC), True)


def test_days_and_relative_times_are_marked():
    day, ago, exact = (dates.read(text, SHANGHAI, NOW) for text in ("30 November 2026", "5分钟前", "2026-11-30 03:00"))
    assert day and ago and exact
    assert (day.day_only, ago.relative, exact.day_only, exact.relative) == (True, True, False, False)


def test_the_rows_that_prove_the_order_decide_for_the_others():
    column = ["25/03/2024 09:30", "05/03/2024 09:30", "13/03/2024", "04/03/2024"]
    assert dates.day_first(column, UTC, NOW) is True
    assert [dates.parse(text, UTC, NOW, day_first=True).month for text in column] == [3, 3, 3, 3]  # type: ignore[union-attr]
    assert dates.day_first(["03/25/2024", "03/05/2024"], UTC, NOW) is False
    assert dates.parse("03/05/2024", UTC, NOW, day_first=False) == datetime(2024, 3, 5, tzinfo=UTC)


def test_a_reading_in_the_future_proves_the_other_order():
    assert dates.day_first(["10/12/2025", "05/12/2026"], UTC, NOW) is False  # the 5th of December 2026 has not come yet
    assert dates.day_first(["05/10/2026", "12/11/2026"], UTC, datetime(2026, 11, 13, tzinfo=UTC)) is True


@pytest.mark.parametrize("column", [["05/03/2024", "04/03/2024"], ["25/03/2024", "03/25/2024"], [], ["2024-03-05"]])
def test_no_proof_or_a_contradiction_decides_nothing(column):
    assert dates.day_first(column, UTC, NOW) is None


def test_each_line_of_the_case_is_its_moment_or_its_day():
    expected = (
        "11-30T08:00",
        "11-30T03:00",
        "11-29T19:00",
        "11-30T02:00",
        "11-29T19:00",
        "11-30T07:30",
        "11-29T19:00",
        "11-29T19:00",
        "11-28T16:00",
        "11-21T22:26",
    )
    lines = (shared_dir() / "cases/05_unreadable_date_becomes_now/dates.txt").read_text().splitlines()
    found = [dates.parse(line, SHANGHAI, NOW) for line in lines]
    assert [moment.strftime("%m-%dT%H:%M") if moment else None for moment in found] == list(expected)


ZONES = (
    "UTC",
    "Asia/Shanghai",
    "Asia/Hong_Kong",
    "America/New_York",
    "Europe/London",
    "Asia/Kolkata",
    "Australia/Sydney",
    "America/St_Johns",
)
LOCAL_FORMATS = (
    "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y.%m.%d %H:%M", "%Y年%m月%d日 %H:%M",
    "%Y年%m月%d日%H时%M分", "%Y年%m月%d日 %H点%M分", "%d %b %Y %H:%M", "%d %B %Y, %H:%M", "%B %d, %Y %I:%M %p",
    "%b %d, %Y at %I:%M%p", "%A, %B %d, %Y %H:%M", "%a %b %d %H:%M:%S %Y", "%d-%b-%Y %H:%M", "%d.%m.%Y %H:%M", "%H:%M %d %B %Y",
    "%H:%M, %d %b %Y", "%Y%m%d %H%M", "%Y%m%d%H%M%S", "发布时间：%Y-%m-%d %H:%M", "Published: %d %B %Y %H:%M",
    "%Y-%m-%d %H:%M 来源：某报",
)  # fmt: skip
ZONED_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M %z", "%a, %d %b %Y %H:%M:%S %z", "%a,%d %b %Y %H:%M %z", "%d %B %Y %H:%M GMT%z",
    "%Y年%m月%d日 %H:%M UTC%z", "%b %d, %Y %I:%M %p %z", "%a %b %d %Y %H:%M:%S GMT%z", "%Y-%m-%d %H:%M:%S %z", "%Y%m%dT%H%M%S%z",
    "更新时间: %Y/%m/%d %H:%M %z",
)  # fmt: skip
MOMENT = st.datetimes(datetime(2000, 1, 2), datetime(2026, 11, 28)).map(lambda moment: moment.replace(second=0, microsecond=0))


@given(MOMENT, st.sampled_from(ZONES), st.sampled_from(LOCAL_FORMATS))
def test_local_times_round_trip(moment, zone_name, layout):
    zone = ZoneInfo(zone_name)
    local = moment.replace(tzinfo=UTC).astimezone(zone).replace(fold=0)
    exists = local.astimezone(UTC).astimezone(zone) == local
    if exists:
        assert dates.parse(local.strftime(layout), zone, NOW) == local.astimezone(UTC), local.strftime(layout)


@given(MOMENT, st.sampled_from(ZONES), st.sampled_from(ZONED_FORMATS))
def test_times_with_an_offset_round_trip(moment, zone_name, layout):
    local = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone_name))
    assert dates.parse(local.strftime(layout), SHANGHAI, NOW) == local.astimezone(UTC), local.strftime(layout)


@given(MOMENT, st.sampled_from(ZONES))
def test_other_spellings_round_trip(moment, zone_name):
    aware = moment.replace(tzinfo=UTC)
    local = aware.astimezone(ZoneInfo(zone_name)).replace(fold=0)
    offset = local.utcoffset() or timedelta()
    seconds = int(aware.timestamp())
    texts = [
        format_datetime(aware.astimezone(timezone(offset // MINUTE * MINUTE))),
        f"{local:%Y-%m-%dT%H:%M:%S}[{zone_name}]" if local.astimezone(UTC) == aware else "",
        f"{aware.astimezone(SHANGHAI):%Y-%m-%d %H:%M} 北京时间",
        f"{aware:%b %d, %Y %H:%M} UTC",
        *(str(seconds * scale) for scale in (1, 10**3, 10**6, 10**9) if seconds >= 10**9),
    ]
    assert [dates.parse(text, SHANGHAI, NOW) for text in texts if text] == [aware] * sum(map(bool, texts)), texts


@given(st.text(max_size=200))
def test_any_text_is_answered(text):
    found = dates.parse(text, SHANGHAI, NOW)
    assert found is None or found.tzinfo is UTC


def test_invented_zones_of_a_hostile_feed_are_not_remembered_for_ever():
    for number in range(2_000):
        letters = "".join(chr(ord("a") + number // 26**place % 26) for place in range(3))
        dates.read(f"2026-11-30 03:00 Nowhere/{letters}", UTC, NOW)
    assert time_zones._iana.cache_info().currsize <= 1_024
    assert time_zones._rare.cache_info().maxsize is not None
