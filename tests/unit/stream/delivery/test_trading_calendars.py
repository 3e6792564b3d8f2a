"""Quiet while an exchange is closed: the calendars that are shipped, at New Year in Shanghai and at Thanksgiving in New York."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import structlog

from core import log
from core.errors import SettingsError
from core.settings import Settings, Webhook
from stream.delivery.schedules import parse_quiet_hours
from stream.delivery.suppression import SuppressionPolicy
from stream.delivery.trading_calendars import load_exchange

SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")


def test_at_chinese_new_year_it_is_quiet_from_the_last_closing_to_the_first_opening():
    """The Shanghai Stock Exchange did not trade from 15 to 23 February 2026; before and after it lie weekends."""
    days, outside = parse_quiet_hours("closed XSHG", load_exchange), parse_quiet_hours("outside xshg", load_exchange)
    new_year = datetime(2026, 2, 17, 10, 30, tzinfo=SHANGHAI)
    assert days.ends(new_year) == datetime(2026, 2, 24, tzinfo=SHANGHAI)
    assert outside.ends(new_year) == datetime(2026, 2, 24, 9, 30, tzinfo=SHANGHAI)
    friday = datetime(2026, 2, 13, 14, 59, tzinfo=SHANGHAI)
    assert days.ends(friday) is outside.ends(friday) is None
    assert outside.ends(friday + timedelta(minutes=1)) == datetime(2026, 2, 24, 9, 30, tzinfo=SHANGHAI)
    assert outside.ends(datetime(2026, 2, 24, 12, tzinfo=SHANGHAI)) is None, "people are at work in the midday break"


def test_at_thanksgiving_it_is_quiet_and_the_friday_after_it_closes_early():
    outside = parse_quiet_hours("outside NYSE", load_exchange)
    assert parse_quiet_hours("closed XNYS", load_exchange).ends(datetime(2026, 11, 26, 11, tzinfo=NEW_YORK)) == datetime(2026, 11, 27, tzinfo=NEW_YORK)
    assert outside.ends(datetime(2026, 11, 26, 11, tzinfo=NEW_YORK)) == datetime(2026, 11, 27, 9, 30, tzinfo=NEW_YORK)
    assert outside.ends(datetime(2026, 11, 27, 12, 59, tzinfo=NEW_YORK)) is None
    assert outside.ends(datetime(2026, 11, 27, 13, tzinfo=NEW_YORK)) == datetime(2026, 11, 30, 9, 30, tzinfo=NEW_YORK)
    assert outside.ends(datetime(2026, 11, 25, 11, tzinfo=NEW_YORK)) is None


def test_a_year_whose_holidays_are_not_recorded_has_ordinary_weeks_and_the_log_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "stream.delivery.trading_calendars._log", log.get_logger("stream.delivery.trading_calendars")
    )  # the one before may hold other tests' processors
    with structlog.testing.capture_logs() as said:
        far = load_exchange("XSHG").hours(date(2045, 3, 1)), load_exchange("XSHG").hours(date(2045, 3, 4))
    assert far == ((datetime(2045, 3, 1, 9, 30, tzinfo=SHANGHAI), datetime(2045, 3, 1, 15, tzinfo=SHANGHAI)), None)
    assert [(line["event"], line["year"]) for line in said] == [("holidays not known", 2045)]


def test_an_exchange_that_there_is_not_is_refused_with_names_like_it():
    with pytest.raises(SettingsError, match=r"quiet hours 'closed XSHE': there is no calendar of the exchange 'XSHE': did you mean .*XSHG"):
        parse_quiet_hours("closed XSHE", load_exchange)
    with pytest.raises(SettingsError, match="such as XSHG"):
        load_exchange("上海")


def test_settings_name_exchanges_for_all_endpoints_and_for_one():
    hook = Webhook(url="https://a.example", quiet_hours="closed XNYS")
    muting = SuppressionPolicy.from_settings(Settings(quiet_hours="closed XSHG", webhooks=(hook,)), ["a"])
    new_year, thanksgiving = datetime(2026, 2, 19, 4, tzinfo=SHANGHAI), datetime(2026, 11, 26, 11, tzinfo=NEW_YORK)
    assert [muting.quiet.ends(at) is not None for at in (new_year, thanksgiving)] == [True, False]
    assert [muting.own_quiet["a"].ends(at) is not None for at in (new_year, thanksgiving)] == [False, True]


def test_nothing_is_imported_until_an_exchange_is_named():
    words = (
        "import sys, stream.delivery.suppression; from stream.delivery.schedules import parse_quiet_hours as q; "
        "q('22:00-07:00 UTC'); print('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", words], check=True, capture_output=True, text=True).stdout.strip() == "False"
