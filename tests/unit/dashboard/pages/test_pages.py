"""The pages of articles and series: addresses, baselines, explanations of scores, labels and exports. Pure functions."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec
import pytest
from dash import html
from hypothesis import given
from hypothesis import strategies as st
from plotly.io.json import to_json_plotly

from core.errors import BadRecord
from core.records import Alert, CompanyScore, Score
from core.untrusted_text import body
from dashboard.feedback import WHOLE, labels_of
from dashboard.figures import charts
from dashboard.pages import article, articles, series
from dashboard.pages.alert import summary
from dashboard.pages.article import marked_text
from dashboard.pages.components import found_href, series_href, source_link
from dashboard.pages.overview import cards
from dashboard.reads.details import SeriesView
from dashboard.reads.usual import Usual
from dashboard.services import Explanation, WordWeight
from dashboard.time_ranges import starts
from dashboard.view import ANYTHING, View, parse
from dashboard.web.routes import articles_csv, series_csv
from storage.store import ArticleRow, Criteria, SearchCursor, SentimentPoint

SINCE = datetime(2026, 11, 16, tzinfo=UTC)  # a Monday
UNTIL = SINCE + timedelta(hours=6)
BOUNDS = (SINCE, UNTIL, 3_600)
anything = st.one_of(st.none(), st.integers(), st.text(max_size=300), st.lists(st.text(max_size=5), max_size=3))


def asked(address: str) -> dict[str, Any]:
    """Parses an address as assets/tocsin.js does."""
    found = dict(parse_qsl(urlsplit(address).query))
    return {**found, "find": found}


@pytest.mark.parametrize(
    "find",
    [
        Criteria(),
        Criteria(words='"债券 违约" -传闻 100% c++&q=1#x', language="zh", genre="news", sentiment="negative", topic="credit"),
        Criteria(source="新华 & Co?", company="600519.SH", materiality="relevant"),
    ],
)
@pytest.mark.parametrize("before", [None, SearchCursor(1_795_348_800, "6f1e"), SearchCursor(1, "")])
def test_an_address_holds_the_whole_search(find: Criteria, before: SearchCursor | None):
    view = View(range="7d", language="zh", find=find)
    found = parse(asked(found_href("/articles", view, before)))
    assert (found.range, found.language, found.find, found.before) == ("7d", "zh", find, before)


@given(
    st.dictionaries(
        st.sampled_from(["q", "language", "source", "genre", "topic", "company", "sentiment", "materiality", "before"]), anything
    )
)
def test_any_address_parses_to_a_valid_search(data: dict[str, Any]):
    view = parse({"find": data})
    assert view.find.language in ("", "zh", "en")
    assert view.find.genre in ("", "news", "social", "filing")
    assert view.find.sentiment in ("", "negative", "neutral", "positive")
    assert view.find.materiality in ("", "relevant", "urgent")
    assert all(len(getattr(view.find, name)) <= 200 for name in Criteria.__struct_fields__)
    assert parse(asked(found_href("/articles", view, view.before))).find == view.find
    "".join(getattr(view.find, name) for name in Criteria.__struct_fields__).encode()


@pytest.mark.parametrize("before", ["", "x", "1", "1-a b", "99999999999-a", "-1-a", "1-'; DROP TABLE articles--", None, 7, ["1-a"]])
def test_a_cursor_that_is_none_begins_with_the_newest(before: Any):
    assert parse({"find": {"before": before}}).before is None


@pytest.mark.parametrize(
    "name", ["topic:credit", "company:600519.SH", "company:BRK/B", "company:A&B?c=d#e", "watchlist:房企", "market:all"]
)
def test_a_series_has_an_address_of_its_own(name: str):
    assert series.match(urlsplit(series_href(name, View())).path) == name


@pytest.mark.parametrize(
    "path",
    ["/series/", "/series/topic", "/series/topic/", "/series/mood/x", "/series/topic/" + "x" * 65, "/series/company/%00", "/serie/topic/x"],
)
def test_other_addresses_are_no_series(path: str):
    assert series.match(path) is None


@given(st.text(max_size=80))
def test_no_address_breaks_a_page(path: str):
    for page in (series, article, articles):
        for prefix in ("/series/", "/series/company/", "/article/", "/articles", "/"):
            page.match(prefix + path)
            page.match(prefix + quote(path))


def alert(name: str = "topic:energy", hour: int = 2) -> Alert:
    return Alert(
        id="a" * 32,
        rule="spike",
        series=name,
        window_start=SINCE + timedelta(hours=hour),
        window_s=3_600,
        detected_at=UNTIL,
        severity="critical",
        observed=7,
        expected=0.84,
        surprise=6,
        total=9,
        sources=3,
    )


BAND = [Usual(0.0, 1.0, 3.0)] * 6


def test_a_trend_shows_counts_baseline_and_alerts():
    figure = charts.trend("topic:energy", [0, 1, 7, 2, 0, 0], BAND, [alert(), alert(hour=-5)], BOUNDS, View())
    low, high, mean, bars, bells = figure.data
    assert (list(low.y), list(high.y), list(mean.y)) == ([0.0] * 6, [3.0] * 6, [1.0] * 6)
    assert list(bars.y) == [0, 1, 7, 2, 0, 0]
    assert list(bells.x) == ["2026-11-16T02:30:00"]
    assert all(trace.uid.isidentifier() for trace in figure.data)
    left, right = figure.layout.xaxis.range
    assert all(left <= x <= right for trace in figure.data for x in trace.x)
    assert figure.layout.yaxis.range[1] > 7


def test_a_trend_without_history_has_no_band_and_an_empty_one_a_message():
    assert [trace.uid for trace in charts.trend("topic:x", [1, 0], [], [], BOUNDS, View()).data] == ["negative"]
    zh = View(language="zh", theme="dark", zone="Asia/Shanghai")
    assert charts.trend("topic:x", [0, 0], [], [], BOUNDS, zh).layout.annotations[0].text == "该时段暂无文章"
    assert charts.trend("topic:x", [1], BAND[:1], [alert("topic:x")], BOUNDS, zh).data[1].name == "预期区间"


def test_a_trend_keeps_its_zoom_and_escapes_names_from_outside():
    hostile = 'company:<a href="https://x.example">x</a>'
    first = charts.trend(hostile, [1] * 6, BAND, [alert(hostile)], BOUNDS, View())
    again = charts.trend(hostile, [9] * 6, [], [], BOUNDS, View())
    assert first.layout.uirevision == again.layout.uirevision
    assert "<a" not in str([trace.text for trace in first.data])
    assert charts.trend("company:y", [1], [], [], BOUNDS, View()).layout.uirevision != first.layout.uirevision


def shown(parts: list[str | html.Mark]) -> str:
    return "".join(part if isinstance(part, str) else str(part.children) for part in parts)


def test_words_are_marked_by_what_they_weigh():
    text = "Acme missed a payment, 股价上涨"
    words = (WordWeight(0, 4, 0.05), WordWeight(5, 11, 2.0), WordWeight(12, 13, -0.1), WordWeight(14, 21, 0.8), WordWeight(23, 25, -1.2))
    parts = marked_text(Explanation(text, words, "negative", 0.9, "m"))
    assert shown(parts) == text
    marks = [(part.children, part.className) for part in parts if not isinstance(part, str)]
    assert marks == [("missed", "for strong"), ("payment", "for"), ("股价", "against strong")]


@given(st.text(st.characters(exclude_categories=()), max_size=60), st.lists(st.tuples(st.integers(1, 9), st.floats(-3, 3)), max_size=9))
def test_marks_lose_no_character_of_a_text(text: str, lengths: list[tuple[int, float]]):
    words, at = [], 0
    for length, weight in lengths:
        if at < len(text):
            words.append(WordWeight(at, min(len(text), at + length), weight))
            at += length
    assert shown(marked_text(Explanation(text, tuple(words), "x", 0.5, "m"))) == body(text)
    assert len(body(text)) == len(text)
    assert not set(body(text)) & set("\u202e\u2066\x00\x1b\r")


def score(**changes: Any) -> Score:
    made = Score(
        id="b" * 32,
        source="wire",
        language="en",
        published_at=SINCE,
        story="b" * 32,
        p_negative=0.7,
        p_neutral=0.2,
        p_positive=0.1,
        topics={"credit": 0.9, "my_own": 0.8},
        companies=(CompanyScore(company="ACME", p_negative=0.1, p_neutral=0.1, p_positive=0.8),),
        model="m7",
        scored_at=SINCE,
    )
    return msgspec.structs.replace(made, **changes)


def labels_for(what: Any, company: Any = WHOLE, sentiment: Any = "neutral", topics: Any = ()) -> list[tuple[str, str, tuple[str, ...]]]:
    labels = labels_of(score(), what, company, sentiment, topics, author="安娜\u202e", now=UNTIL)
    assert {(label.id, label.model, label.author, label.labelled_at) for label in labels} == {("b" * 32, "m7", "安娜", UNTIL)}
    return [(label.task, label.company, label.labels) for label in labels]


def test_feedback_becomes_labels_with_the_model_that_was_shown():
    assert labels_for("right") == [("sentiment", "", ("negative",)), ("topic", "", ("credit",))]
    assert labels_for("right", "ACME") == [("sentiment", "ACME", ("positive",))]
    assert labels_for("sentiment") == [("sentiment", "", ("neutral",))]
    assert labels_for("sentiment", "ACME", "negative") == [("sentiment", "ACME", ("negative",))]
    assert labels_for("topics", topics=["legal", "credit", "legal", "nonsense", 7]) == [("topic", "", ("legal", "credit"))]


@pytest.mark.parametrize(
    ("what", "company", "sentiment", "topics"),
    [
        ("sentiment", WHOLE, "furious", []),
        ("sentiment", "NONE", "neutral", []),
        ("topics", WHOLE, None, []),
        ("topics", WHOLE, "x", "credit"),
    ],
)
def test_empty_feedback_is_refused(what: Any, company: Any, sentiment: Any, topics: Any):
    with pytest.raises(BadRecord):
        labels_for(what, company, sentiment, topics)


@given(st.sampled_from(["right", "sentiment", "topics"]), anything, anything, anything)
def test_a_label_is_one_that_training_takes_or_none(what: Any, company: Any, sentiment: Any, topics: Any):
    from storage.tables.labels import check

    try:
        labels = labels_of(score(), what, company, sentiment, topics, author="", now=UNTIL)
    except BadRecord:
        return
    for label in labels:
        check(label)
        assert label.author == "local"


def cells(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))


def test_a_series_as_a_file_has_a_line_a_window_and_no_formula():
    view = SeriesView(
        series="topic:energy",
        since=SINCE,
        until=UNTIL,
        width_s=3_600,
        points=[SentimentPoint("topic:energy", SINCE + timedelta(hours=2), -0.5, 9, 7)],
        usual=BAND,
        total=None,
        before=None,
        alerts=[alert()],
        negative=[],
        positive=[],
        beside=[],
        names={},
    )
    header, *lines = cells(series_csv(view, View(zone="Asia/Shanghai")))
    assert header[0] == "Window start (Asia/Shanghai)"
    assert len(lines) == len(starts(SINCE, UNTIL, 3_600)) == 6
    assert lines[2] == ["2026-11-16 10:00", "9", "7", "-0.5", "0.0", "1.0", "3.0", "1"]
    assert lines[0] == ["2026-11-16 08:00", "0", "0", "", "0.0", "1.0", "3.0", "0"]
    assert cells(series_csv(msgspec.structs.replace(view, usual=[]), View()))[1][4:7] == ["", "", ""]


@pytest.mark.parametrize("hostile", ['=HYPERLINK("http://x")', "+1", "-1", "@x", "＝1", "\t=1"])
def test_no_cell_of_the_articles_as_a_file_is_a_formula(hostile: str):
    row = ArticleRow(
        id="x",
        url="javascript:alert(1)",
        source=hostile,
        language="en",
        title=hostile,
        text="",
        published_at=SINCE,
        story="x",
        topics=(hostile,),
        companies=(hostile,),
        p_negative=0.9,
        p_neutral=0.05,
        p_positive=0.05,
        model="m",
    )
    _, line = cells(articles_csv([row], View()))
    assert all(not cell.lstrip().startswith(("=", "+", "-", "@", "＝")) for cell in line)
    assert line[-1] == ""


def test_a_link_to_a_source_is_followed_only_on_the_web():
    assert source_link("javascript:alert(1)", View()) is None
    link = source_link("https://a.example/x", View())
    assert (link.href, link.rel, link.target) == ("https://a.example/x", "noopener noreferrer nofollow", "_blank")


def test_an_offer_keeps_what_is_chosen():
    values = [option["value"] for option in articles.offered(["b", "a"], "gone")]
    assert values == ["gone", "b", "a"]
    assert articles.offered([], "") == []
    assert parse({}).find == ANYTHING


@pytest.mark.parametrize(("open_", "shown", "others"), [(0, 0, ""), (8, 8, ""), (9, 9, ""), (24, 24, ""), (200, 24, "and 176 more")])
def test_many_open_alerts_are_folded_and_the_rest_is_in_the_inbox(open_: int, shown: int, others: str):
    """A crisis opens hundreds at once: that is when the overview must be quick."""
    alerts = [alert(f"company:C{n}") for n in range(open_)]
    drawn = to_json_plotly(cards(alerts, alert().detected_at, View()))
    assert drawn.count('"className":"alert-card') == shown
    assert (f"and {open_ - 8} more" in drawn) == (open_ > 8)
    assert ("alerts?range=" in drawn) == bool(others)
    assert others in drawn


@pytest.mark.parametrize(
    ("language", "words"), [("en", "relevance to prices is at least 70%"), ("zh", "与价格相关的概率不低于 70% 的文章")]
)
def test_an_alert_shows_which_articles_it_counted(language: Any, words: str):
    raised = alert("company:ACME")
    view = View(language=language)
    assert words in str(summary(msgspec.structs.replace(raised, min_materiality=0.7), UNTIL, view))
    assert words.partition("70%")[0] not in str(summary(raised, UNTIL, view)), "of an outage, or of a rule that counts all"
