"""Properties of every chart: pure functions from values to figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import plotly.graph_objects as go
import pytest

from core.records import Alert
from core.series import MARKET
from dashboard.figures import charts
from dashboard.pages.alert import shown_until
from dashboard.reads.queries import AlertView
from dashboard.view import View
from storage.store import SentimentPoint, WindowCount

SINCE = datetime(2026, 11, 22, tzinfo=UTC)
WIDTH_S = 3_600
UNTIL = SINCE + timedelta(hours=6)
BOUNDS = (SINCE, UNTIL, WIDTH_S)
EN = View()
ZH = View(language="zh", theme="dark", zone="Asia/Shanghai")


def point(series: str, hour: int, tone: float, stories: int = 4, negative: int = 1) -> SentimentPoint:
    return SentimentPoint(series, SINCE + timedelta(hours=hour), tone, stories, negative)


POINTS = [
    point(MARKET, 0, 0.1, 9, 2),
    point(MARKET, 2, -0.3, 5, 5),
    point("topic:energy", 0, 0.2),
    point("topic:energy", 2, -0.6),
    point("topic:macro", 1, 0.4),
]


def alert(series: str = "topic:energy") -> Alert:
    return Alert(
        id="a" * 32,
        rule="spike",
        series=series,
        window_start=SINCE + timedelta(hours=2),
        window_s=WIDTH_S,
        detected_at=UNTIL,
        severity="critical",
        observed=7,
        expected=0.84,
        surprise=6,
        total=9,
        sources=3,
    )


COUNTS = [WindowCount(SINCE + timedelta(hours=hour), WIDTH_S, hour, hour + 2) for hour in range(5)]


def every(view: View) -> dict[str, go.Figure]:
    return {
        "mood": charts.mood(POINTS, ["energy", "macro"], [alert()], BOUNDS, view),
        "heat": charts.heat(POINTS, ["energy", "macro"], BOUNDS, view),
        "volume": charts.volume(POINTS, BOUNDS, view),
        "around": charts.around(COUNTS, alert(), (SINCE, UNTIL), view),
    }


def times(figure: go.Figure) -> list[str]:
    return [str(x) for trace in figure.data for x in trace.x]


@pytest.mark.parametrize("view", [EN, ZH], ids=["en-light", "zh-dark"])
@pytest.mark.parametrize("name", ["mood", "heat", "volume", "around"])
def test_each_chart_is_json_of_known_colours_that_keeps_the_zoom(name: str, view: View):
    figure = every(view)[name]
    again = every(view)[name]
    assert figure.to_json() == again.to_json()
    assert figure.layout.uirevision
    assert json.loads(figure.to_json())["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"


def test_new_data_keeps_the_zoom_and_another_range_does_not():
    more = [*POINTS, point("topic:energy", 3, 0.1)]
    before = charts.mood(POINTS, ["energy"], [], BOUNDS, EN).layout.uirevision
    assert charts.mood(more, ["energy"], [alert()], BOUNDS, EN).layout.uirevision == before
    assert charts.mood(POINTS, ["energy"], [], BOUNDS, View(theme="dark", language="zh")).layout.uirevision == before
    assert charts.mood(POINTS, ["energy"], [], BOUNDS, View(range="7d")).layout.uirevision != before


def test_mood_draws_one_line_a_topic_in_the_middle_of_its_windows():
    figure = every(EN)["mood"]
    energy, macro, bells = figure.data
    assert (energy.name, macro.name) == ("Energy", "Macro data")
    assert list(energy.x) == ["2026-11-22T00:30:00", "2026-11-22T02:30:00"]
    assert list(energy.y) == [0.2, -0.6]
    assert bells.x[0] == "2026-11-22T02:30:00"
    low, high = figure.layout.yaxis.range
    assert low == -high
    assert high >= 0.6


def test_mood_leaves_out_what_was_not_chosen_and_alerts_of_others():
    figure = charts.mood(POINTS, ["macro"], [alert(), alert("company:QBK")], BOUNDS, EN)
    assert [trace.name for trace in figure.data] == ["Macro data"]


def test_charts_speak_chinese_and_the_viewers_time():
    figure = every(ZH)["mood"]
    assert figure.data[0].name == "能源"
    assert figure.data[0].x[0] == "2026-11-22T08:30:00"
    assert list(figure.layout.xaxis.range) == ["2026-11-22T08:00:00", "2026-11-22T14:00:00"]
    assert "%b" not in json.dumps(figure.layout.xaxis.to_plotly_json())


def test_heat_has_a_cell_for_each_window_and_the_busiest_topic_on_top():
    trace = every(EN)["heat"].data[0]
    assert list(trace.y) == ["Macro data", "Energy"]  # drawn from the bottom up
    assert len(trace.x) == 6
    assert [list(row) for row in trace.z] == [[None, 0.4, None, None, None, None], [0.2, None, -0.6, None, None, None]]
    assert trace.zmin == -trace.zmax


def test_volume_counts_each_story_once():
    negative, other, share = every(EN)["volume"].data
    assert [sum(pair) for pair in zip(negative.y, other.y, strict=True)] == [9, 5]
    assert list(share.y) == [2 / 9, 1.0]


def test_the_window_of_the_alert_is_marked_with_the_expected_count():
    figure = every(EN)["around"]
    shade = figure.layout.shapes[0]
    assert (shade.x0, shade.x1) == ("2026-11-22T02:00:00", "2026-11-22T03:00:00")
    expected = figure.data[2]
    assert list(expected.y) == [0.84, 0.84]
    assert expected.name == "0.84 expected in the window"
    assert all(early < late for early, late in pairwise(figure.data[0].x))


def test_an_empty_chart_shows_a_message():
    for figure in (charts.mood([], ["energy"], [], BOUNDS, ZH), charts.heat([], ["energy"], BOUNDS, ZH), charts.volume([], BOUNDS, ZH)):
        assert figure.layout.annotations[0].text == "该时段暂无文章"
        assert not figure.data
    assert charts.around([], alert(), (SINCE, UNTIL), EN).layout.shapes


def test_names_from_outside_are_escaped():
    """plotly reads a little HTML in text: a key of a series must not become a link."""
    hostile = 'topic:<a href="https://x.example">x</a>'
    figure = charts.mood([point(hostile, 0, 0.1)], [hostile.removeprefix("topic:")], [alert(hostile)], BOUNDS, EN)
    assert "<a" not in figure.to_json()


def test_a_trace_keeps_a_name_that_css_can_select():
    for figure in [*every(EN).values(), charts.mood([point("topic:a.b:c", 0, 0.1)], ["a.b:c"], [], BOUNDS, EN)]:
        for trace in figure.data:
            assert trace.uid is None or trace.uid.isidentifier()


@pytest.mark.parametrize(("minutes", "windows"), [(-30, 1), (0, 1), (59, 1), (60, 2), (150, 3), (6_000, 17)])
def test_an_alerts_chart_ends_with_the_window_of_now(minutes: int, windows: int):
    start = alert().window_start
    found = AlertView(alert=alert(), since=SINCE, until=start + timedelta(hours=17), counts=[], articles=[], deliveries=[])
    assert shown_until(found, start + timedelta(minutes=minutes)) == start + timedelta(hours=windows)


def test_times_stay_inside_the_chart():
    for figure in every(EN).values():
        low, high = figure.layout.xaxis.range
        assert all(low <= x <= high for x in times(figure))
