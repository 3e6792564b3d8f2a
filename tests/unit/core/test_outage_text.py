"""Outages are described in both languages by every format and page, without numbers of negative stories."""

from __future__ import annotations

import email
import email.policy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.outage_text import format_hours, outage_text
from core.records import Alert, Language, alert_id
from core.series import MARKET, kind_of, series_name, source_series
from dashboard.figures import charts
from dashboard.pages.alert import evidence, summary
from dashboard.pages.components import alert_card
from dashboard.reads.queries import AlertView
from dashboard.view import View
from domain.alert_lifecycle import inhibitions, inhibitor, lifecycle_of
from stream.delivery.formats import FORMATS
from stream.delivery.formats.alert_text import alert_text
from stream.delivery.formats.base import FormatOptions
from stream.delivery.formats.generic import alert_bodies

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EN = View(language="en", theme="light", zone="UTC")
ZH = View(language="zh", theme="dark", zone="Asia/Shanghai")
LANGUAGES: tuple[Language, ...] = ("en", "zh")


def outage_alert(series: str = source_series("新浪财经"), sources: int = 1, **changes: Any) -> Alert:
    given: dict[str, Any] = {"measure": "outage", "value": 5.0, "limit": 2.25, "severity": "warning"} | changes
    return Alert(
        id=alert_id("source-outage", series, NOON),
        rule="source-outage",
        series=series,
        window_start=NOON,
        window_s=5 * 3600,
        detected_at=NOON + timedelta(hours=5),
        observed=0,
        expected=0.0,
        surprise=4.2,
        total=0,
        sources=sources,
        **given,
    )


@pytest.mark.parametrize(
    ("hours", "english", "chinese"),
    [
        (0.2, "12 min", "12 分钟"),
        (0.995, "1 h", "1 小时"),
        (2.25, "2.2 h", "2.2 小时"),
        (47.0, "47 h", "47 小时"),
        (84.0, "3.5 days", "3.5 天"),
    ],
)
def test_durations_use_the_unit_that_fits(hours: float, english: str, chinese: str):
    assert (format_hours(hours, "en"), format_hours(hours, "zh")) == (english, chinese)


def test_both_languages_describe_the_gap_and_its_usual_length():
    one, all_of_them = outage_alert(), outage_alert(MARKET, 40)
    assert outage_text(one, "en") == "no article for 5 h; gaps at this time of the week rarely exceed 2.2 h"
    assert outage_text(one, "zh") == "已 5 小时无新文章，历史同时段的间隔通常不超过 2.2 小时"
    assert outage_text(all_of_them, "en").startswith("no article from 40 sources for 5 h")
    assert outage_text(all_of_them, "zh").startswith("40 个来源已 5 小时无新文章")
    english, chinese = (alert_text(one, FormatOptions("desk", language)) for language in LANGUAGES)
    assert english.headline == f"[Warning] 新浪财经: {outage_text(one, 'en')}"
    assert chinese.headline == f"【警告】新浪财经：{outage_text(one, 'zh')}"
    assert english.sentences == ("The last article was published at 2026-11-20 12:00 UTC.",)
    assert chinese.sentences == ("最近一篇文章发布于 2026-11-20 12:00 UTC。",)
    assert [fact.key for fact in english.facts] == [fact.key for fact in chinese.facts]
    assert {fact.key: fact.value for fact in chinese.facts}["limit"] == "2.2 小时"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
def test_every_format_describes_the_outage_without_numbers_of_stories(name: str, language: Language):
    options = FormatOptions("desk", language, sender="Tocsin <a@b.example>", recipients=("风控 <c@d.example>",))
    (message,) = FORMATS[name].messages(outage_alert(), options, NOON)
    text = message.body.decode()
    if name == "email":
        letter = email.message_from_bytes(message.body, policy=email.policy.default).get_body(("plain",))
        text = letter.get_content() if letter else ""
    assert ("5 小时" if language == "zh" else "5 h") in text
    assert "negative" not in text and "负面" not in text


def test_json_has_the_measured_gap():
    data = json.loads(alert_bodies(outage_alert())[0])["data"]
    assert (data["measure"], data["value"], data["limit"], data["series"]) == ("outage", 5.0, 2.25, "source:新浪财经")
    assert data["name"] == {"en": "新浪财经", "zh": "新浪财经"}
    assert (data["window_start"], data["window_end"]) == ("2026-11-20T12:00:00.000Z", "2026-11-20T17:00:00.000Z")


@pytest.mark.parametrize(("view", "kind"), [(EN, "source"), (ZH, "来源")])
def test_the_pages_describe_the_outage(view: View, kind: str):
    alert = outage_alert()
    card = json.dumps(alert_card(alert, NOON, view).to_plotly_json(), default=lambda part: part.to_plotly_json(), ensure_ascii=False)
    assert outage_text(alert, view.language) in card
    assert f'"{kind}"' in card
    page = json.dumps(summary(alert, NOON, view).to_plotly_json(), default=lambda part: part.to_plotly_json(), ensure_ascii=False)
    assert outage_text(alert, view.language) in page
    assert format_hours(2.25, view.language) in page
    assert "negative stories" not in card + page and "负面报道" not in card + page
    chart = charts.around([], alert, (NOON - timedelta(days=1), NOON + timedelta(hours=5)), view)
    assert "expected" not in [trace.uid for trace in chart.data]
    found = AlertView(alert=alert, since=NOON, until=NOON, counts=[], articles=[], deliveries=[])
    assert evidence(found, view) == []


def test_a_source_is_a_series():
    assert series_name(source_series("Reuters: markets")) == "Reuters: markets"
    assert kind_of(source_series("a:b")) == "source"


def test_outages_inhibit_only_outages():
    """An outage of most of the feed must not suppress the news that still arrives, nor news the outage of a source."""
    rules = inhibitions("market > *")
    market, source, news = (
        outage_alert(MARKET, 40),
        outage_alert(),
        outage_alert("company:600519.SH", measure="surprise", value=0.0, limit=0.0),
    )
    fallen = outage_alert(MARKET, 4, measure="surprise", value=0.0, limit=0.0)

    def inhibits(other: Alert, one: Alert) -> bool:
        return inhibitor(one, [(other, lifecycle_of(other, []))], rules, {}) is not None

    assert inhibits(market, source) and inhibits(fallen, news)
    assert not inhibits(market, news) and not inhibits(fallen, source)
