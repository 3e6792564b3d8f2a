"""That nobody was heard is said in both languages, in every room, and no room says that negative stories were counted."""

from __future__ import annotations

import email
import email.policy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.outage_text import lasting, silence_words
from core.records import Alert, Language, alert_id
from core.series import MARKET, kind_of, series_name, source_series
from dashboard.figures import charts
from dashboard.pages.alert import evidence, why
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


def silence(series: str = source_series("新浪财经"), sources: int = 1, **changes: Any) -> Alert:
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
def test_a_length_of_time_is_said_in_the_unit_that_fits(hours: float, english: str, chinese: str):
    assert (lasting(hours, "en"), lasting(hours, "zh")) == (english, chinese)


def test_both_languages_say_who_is_silent_for_how_long_and_how_long_is_usual():
    one, all_of_them = silence(), silence(MARKET, 40)
    assert silence_words(one, "en") == "no article for 5 h, hardly ever silent for more than 2.2 h at this time of the week"
    assert silence_words(one, "zh") == "已 5 小时无文章，每周此时段很少沉默超过 2.2 小时"
    assert silence_words(all_of_them, "en").startswith("no article from 40 sources for 5 h")
    assert silence_words(all_of_them, "zh").startswith("40 个来源已 5 小时无文章")
    english, chinese = (alert_text(one, FormatOptions("desk", language)) for language in LANGUAGES)
    assert english.headline == f"[Warning] 新浪财经: {silence_words(one, 'en')}"
    assert chinese.headline == f"【警告】新浪财经：{silence_words(one, 'zh')}"
    assert english.sentences == ("The last article was published at 2026-11-20 12:00 UTC.",)
    assert chinese.sentences == ("最近一篇文章发布于 2026-11-20 12:00 UTC。",)
    assert [fact.key for fact in english.facts] == [fact.key for fact in chinese.facts]
    assert {fact.key: fact.value for fact in chinese.facts}["limit"] == "2.2 小时"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "json"])
def test_every_format_says_so_and_counts_no_stories(name: str, language: Language):
    options = FormatOptions("desk", language, sender="Tocsin <a@b.example>", recipients=("风控 <c@d.example>",))
    (message,) = FORMATS[name].messages(silence(), options, NOON)
    text = message.body.decode()
    if name == "email":
        letter = email.message_from_bytes(message.body, policy=email.policy.default).get_body(("plain",))
        text = letter.get_content() if letter else ""
    assert ("5 小时" if language == "zh" else "5 h") in text
    assert "negative" not in text and "负面" not in text


def test_a_program_reads_what_was_measured():
    data = json.loads(alert_bodies(silence())[0])["data"]
    assert (data["measure"], data["value"], data["limit"], data["series"]) == ("outage", 5.0, 2.25, "source:新浪财经")
    assert data["name"] == {"en": "新浪财经", "zh": "新浪财经"}
    assert (data["window_start"], data["window_end"]) == ("2026-11-20T12:00:00.000Z", "2026-11-20T17:00:00.000Z")


@pytest.mark.parametrize(("view", "kind"), [(EN, "source"), (ZH, "来源")])
def test_the_pages_show_it(view: View, kind: str):
    alert = silence()
    card = json.dumps(alert_card(alert, NOON, view).to_plotly_json(), default=lambda part: part.to_plotly_json(), ensure_ascii=False)
    assert silence_words(alert, view.language) in card
    assert f'"{kind}"' in card
    page = json.dumps(why(alert, NOON, view).to_plotly_json(), default=lambda part: part.to_plotly_json(), ensure_ascii=False)
    assert silence_words(alert, view.language) in page
    assert lasting(2.25, view.language) in page
    assert "negative stories" not in card + page and "负面报道" not in card + page
    chart = charts.around([], alert, (NOON - timedelta(days=1), NOON + timedelta(hours=5)), view)
    assert "expected" not in [trace.uid for trace in chart.data]
    found = AlertView(alert=alert, since=NOON, until=NOON, counts=[], articles=[], deliveries=[])
    assert evidence(found, view) == [], "it has none"


def test_a_source_is_a_series_like_any_other():
    assert series_name(source_series("Reuters: markets")) == "Reuters: markets"
    assert kind_of(source_series("a:b")) == "source"


def test_silence_speaks_for_silence_alone():
    """A feed that is mostly silent must not hold back the bad news that still comes, nor bad news a source that is dead."""
    rules = inhibitions("market > *")
    market, source, news = silence(MARKET, 40), silence(), silence("company:600519.SH", measure="surprise", value=0.0, limit=0.0)
    fallen = silence(MARKET, 4, measure="surprise", value=0.0, limit=0.0)

    def speaks(other: Alert, one: Alert) -> bool:
        return inhibitor(one, [(other, lifecycle_of(other, []))], rules, {}) is not None

    assert speaks(market, source) and speaks(fallen, news)
    assert not speaks(market, news) and not speaks(fallen, source)
