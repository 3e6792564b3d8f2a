"""Trading calendars of exchange_calendars: New Year in Shanghai and Thanksgiving in New York."""

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


def test_chinese_new_year_is_quiet_from_last_closing_to_first_opening():
    """The Shanghai Stock Exchange did not trade from 15 to 23 February 2026; with weekends before and after."""
    days, outside = parse_quiet_hours("closed XSHG", load_exchange), parse_quiet_hours("outside xshg", load_exchange)
    new_year = datetime(2026, 2, 17, 10, 30, tzinfo=SHANGHAI)
    assert days.end_of(new_year) == datetime(2026, 2, 24, tzinfo=SHANGHAI)
    assert outside.end_of(new_year) == datetime(2026, 2, 24, 9, 30, tzinfo=SHANGHAI)
    friday = datetime(2026, 2, 13, 14, 59, tzinfo=SHANGHAI)
    assert days.end_of(friday) is outside.end_of(friday) is None
    assert outside.end_of(friday + timedelta(minutes=1)) == datetime(2026, 2, 24, 9, 30, tzinfo=SHANGHAI)
    assert outside.end_of(datetime(2026, 2, 24, 12, tzinfo=SHANGHAI)) is None, "the midday break is not quiet"


def test_thanksgiving_is_quiet_and_the_next_friday_closes_early():
    closed, outside = parse_quiet_hours("closed XNYS", load_exchange), parse_quiet_hours("outside NYSE", load_exchange)
    assert closed.end_of(datetime(2026, 11, 26, 11, tzinfo=NEW_YORK)) == datetime(2026, 11, 27, tzinfo=NEW_YORK)
    assert outside.end_of(datetime(2026, 11, 26, 11, tzinfo=NEW_YORK)) == datetime(2026, 11, 27, 9, 30, tzinfo=NEW_YORK)
    assert outside.end_of(datetime(2026, 11, 27, 12, 59, tzinfo=NEW_YORK)) is None
    assert outside.end_of(datetime(2026, 11, 27, 13, tzinfo=NEW_YORK)) == datetime(2026, 11, 30, 9, 30, tzinfo=NEW_YORK)
    assert outside.end_of(datetime(2026, 11, 25, 11, tzinfo=NEW_YORK)) is None


def test_a_year_without_known_holidays_has_regular_hours_and_is_logged(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "stream.delivery.trading_calendars._log", log.get_logger("stream.delivery.trading_calendars")
    )  # the old logger may use processors of other tests
    with structlog.testing.capture_logs() as lines:
        far = load_exchange("XSHG").hours(date(2045, 3, 1)), load_exchange("XSHG").hours(date(2045, 3, 4))
    assert far == ((datetime(2045, 3, 1, 9, 30, tzinfo=SHANGHAI), datetime(2045, 3, 1, 15, tzinfo=SHANGHAI)), None)
    assert [(line["event"], line["year"]) for line in lines] == [("holidays_unknown", 2045)]


def test_an_unknown_exchange_is_rejected_with_similar_names():
    with pytest.raises(SettingsError, match=r"quiet hours 'closed XSHE': unknown exchange 'XSHE': did you mean .*XSHG"):
        parse_quiet_hours("closed XSHE", load_exchange)
    with pytest.raises(SettingsError, match="such as XSHG"):
        load_exchange("上海")


def test_settings_name_exchanges_for_all_endpoints_or_one():
    hook = Webhook(url="https://a.example", quiet_hours="closed XNYS")
    policy = SuppressionPolicy.from_settings(Settings(quiet_hours="closed XSHG", webhooks=(hook,)), ["a"])
    new_year, thanksgiving = datetime(2026, 2, 19, 4, tzinfo=SHANGHAI), datetime(2026, 11, 26, 11, tzinfo=NEW_YORK)
    assert [policy.quiet_hours.end_of(at) is not None for at in (new_year, thanksgiving)] == [True, False]
    assert [policy.endpoint_quiet_hours["a"].end_of(at) is not None for at in (new_year, thanksgiving)] == [False, True]


def test_pandas_is_imported_only_when_an_exchange_is_named():
    program = (
        "import sys, stream.delivery.suppression; from stream.delivery.schedules import parse_quiet_hours as q; "
        "q('22:00-07:00 UTC'); print('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip() == "False"
