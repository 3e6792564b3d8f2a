"""Texts, formats, links and views: complete in both languages, and safe with any input from the web or an address."""

from __future__ import annotations

import ast
import csv
import importlib
import io
import pkgutil
import re
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Alert, Evidence
from core.series import register_company_names
from core.taxonomy import TOPIC_KEYS, sentiment_of
from core.untrusted_text import csv_cell, plain, safe_url, to_csv
from dashboard import i18n, measures
from dashboard import translations as table
from dashboard.figures.palette import PALETTES, lines_of
from dashboard.pages import rules, watchlists
from dashboard.pages.alert import evidence, summary
from dashboard.pages.components import alert_card
from dashboard.reads.queries import AlertView
from dashboard.time_ranges import RANGES, bounds
from dashboard.translations import LABELS
from dashboard.view import MAX_TOPICS, View, parse
from storage.store import ArticleRow

NOW = datetime(2026, 11, 22, 6, 5, 30, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def fields(label: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(label) if name}


@pytest.mark.parametrize("key", sorted(LABELS))
def test_each_text_exists_in_both_languages_with_the_same_placeholders(key: str):
    english, chinese = LABELS[key]
    assert english.strip()
    assert chinese.strip()
    assert fields(english) == fields(chinese)
    if key not in ("delivery.failed",):  # glyph and values only
        assert english != chinese
        assert any("\u4e00" <= char <= "\u9fff" for char in chinese)


def test_each_label_stands_in_one_module():
    modules = [importlib.import_module(f"dashboard.translations.{found.name}") for found in pkgutil.iter_modules(table.__path__)]
    assert sum(len(getattr(module, "TEXTS", {})) for module in modules) == len(LABELS)


def test_no_two_parts_of_the_pages_have_one_id():
    """Otherwise Dash would confuse callbacks of the two."""
    stands: dict[str, set[str]] = {}
    for path in (Path(__file__).parents[4] / "dashboard").rglob("*.py"):
        for name in re.findall(r'\bid="([a-z0-9-]+)"', path.read_text(encoding="utf-8")):
            stands.setdefault(name, set()).add(path.name)
    assert len(stands) > 100
    assert {name: places for name, places in stands.items() if len(places) > 1} == {}


def test_every_label_that_the_pages_ask_for_exists():
    """A key in the code that is not in the table would fail in front of a viewer."""
    asked = set()
    for path in (Path(__file__).parents[4] / "dashboard").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in ("text", "words"):
                    asked.add(node.args[0].value)
    assert len(asked) > 50
    assert asked <= set(LABELS)


def test_every_text_gets_all_of_its_placeholders():
    """A missing placeholder would raise when the text is shown."""
    checked = 0
    for path in (Path(__file__).parents[4] / "dashboard").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or any(keyword.arg is None for keyword in node.keywords):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            keys = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and arg.value in LABELS]
            if name in ("text", "words") and keys:
                assert fields(LABELS[keys[0]][0]) == {keyword.arg for keyword in node.keywords}, f"{path.name}:{node.lineno}"
                checked += 1
    assert checked > 200


def test_quantities_are_formatted_in_both_languages():
    assert [i18n.width(900, "en"), i18n.width(10_800, "en")] == ["15 min", "3 hr"]
    assert [i18n.width(900, "zh"), i18n.width(10_800, "zh")] == ["15 分钟", "3 小时"]
    assert [i18n.duration(seconds, "en") for seconds in (0.42, 57.4, 720, 12_600)] == ["0.4 sec", "57 sec", "12 min", "3.5 hr"]
    assert [i18n.duration(seconds, "zh") for seconds in (0.42, 57.4, 720, 12_600)] == ["0.4 秒", "57 秒", "12 分钟", "3.5 小时"]
    assert [i18n.size(number) for number in (12, 640_000, 1_234_567_890)] == ["12 byte", "640 kB", "1.23 GB"]


def test_a_company_is_shown_by_its_name_with_its_key_beside_it():
    assert i18n.series_label("company:HXD.SH", "en") == "HXD.SH"
    assert i18n.series_label("company:HXD.SH", "zh", "恒曦电力") == "恒曦电力 (HXD.SH)"
    register_company_names({"HXD.SH": ("Hengxi Power", "恒曦电力")})
    try:
        assert i18n.series_label("company:HXD.SH", "en", "恒曦电力") == "Hengxi Power (HXD.SH)"
        assert i18n.series_label("company:HXD.SH", "zh") == "恒曦电力 (HXD.SH)"
    finally:
        register_company_names({})
    assert i18n.series_label("topic:energy", "zh") == "能源"
    assert i18n.series_label("sector:banks", "en") == "Banks"


@pytest.mark.parametrize("words", [rules.EDITOR.words, watchlists.EDITOR.words])
def test_a_page_with_a_text_has_all_of_its_words(words: str):
    asked = ("text", "try", "save", "help", "away", "kept", "of_settings", "none")
    assert {words, *(f"{words}.{name}" for name in asked)} <= set(LABELS)


def raised(**more: object) -> Alert:
    shown = Evidence(id="e", title="平静", url="", source="新浪", published_at=NOW, p_negative=0.03)
    given = {
        "id": "a", "rule": "r", "series": "topic:energy", "window_start": NOW, "window_s": 3600, "detected_at": NOW, "severity": "info",
        "observed": 13, "expected": 0.0, "surprise": 0.0, "total": 18, "sources": 4, "evidence": (shown,),
    }  # fmt: skip
    return Alert(**(given | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("alert", "english", "chinese"),
    [
        (
            raised(measure="negative_share", value=0.7222, limit=0.6),
            ("72.2% of 18 stories negative", "threshold: above 60%"),
            ("18 条报道中 72.2% 为负面", "阈值：高于 60%"),
        ),
        (
            raised(measure="mean_tone", value=-0.42, limit=-0.3),
            ("mean tone −0.42 over 18 stories", "threshold: below −0.30"),
            ("18 条报道的平均情绪为 −0.42", "阈值：低于 −0.30"),
        ),
        (
            raised(measure="volume", value=1250, limit=1000),
            ("1,250 stories", "threshold: 1,000 or more"),
            ("共 1,250 条报道", "阈值：不少于 1,000 条"),
        ),
        (
            raised(measure="risk_event", value=0.93, limit=0.8, event="fraud"),
            ("Fraud, probability 93%", "threshold: 80% or more"),
            ("欺诈，概率 93%", "阈值：概率不低于 80%"),
        ),
        (
            raised(expected=0.25, surprise=4.0),
            ("13 negative stories, 0.25 expected", "1 in 10,000 by chance"),
            ("负面报道 13 条，预期 0.25 条", "偶然出现概率约 1 万分之一"),
        ),
    ],
)
def test_each_measure_is_shown_on_the_card_and_on_the_page(alert: Alert, english: tuple[str, str], chinese: tuple[str, str]):
    for language, words in (("en", english), ("zh", chinese)):
        view = View(language=language)  # type: ignore[arg-type]
        assert measures.words(alert, view.language) == words
        for shown in (alert_card(alert, NOW, view), summary(alert, NOW, view)):
            shown_text = str(shown.to_plotly_json())
            assert words[1] in shown_text
            assert words[0] in shown_text or alert.measure == "surprise"


def test_an_article_that_is_not_negative_is_not_called_so():
    alert = raised(measure="volume", value=18, limit=10)
    article = ArticleRow(
        id="e", url="", source="新浪", language="zh", title="平静", text="", published_at=NOW, story="e", topics=(), companies=(),
        p_negative=0.03, p_neutral=0.9, p_positive=0.07, model="m",
    )  # fmt: skip
    found = AlertView(alert=alert, since=NOW, until=NOW, counts=[], articles=[article], deliveries=[])
    shown_text = str([part.to_plotly_json() for part in evidence(found, View(language="en"))])
    assert "neutral 90%" in shown_text and "negative 3%" not in shown_text


@pytest.mark.parametrize(
    ("surprise", "english", "chinese"),
    [
        (4.0, "1 in 10,000 by chance", "偶然出现概率约 1 万分之一"),
        (4.33, "1 in 21,000 by chance", "偶然出现概率约 2.1 万分之一"),
        (2.0, "1 in 100 by chance", "偶然出现概率约 100 分之一"),
        (0.7, "1 in 5 by chance", "偶然出现概率约 5 分之一"),
        (6.0, "1 in 1 million by chance", "偶然出现概率约 100 万分之一"),
        (8.31, "1 in 200 million by chance", "偶然出现概率约 2 亿分之一"),
        (11.9, "1 in 790 billion by chance", "偶然出现概率约 7900 亿分之一"),
        (20.0, "less than 1 in a trillion by chance", "偶然出现概率不足万亿分之一"),
        (float("inf"), "less than 1 in a trillion by chance", "偶然出现概率不足万亿分之一"),
        (0.0, "within normal variation", "属于正常波动"),
        (float("nan"), "within normal variation", "属于正常波动"),
    ],
)
def test_a_surprise_is_written_as_odds(surprise: float, english: str, chinese: str):
    assert i18n.odds(surprise, "en") == english
    assert i18n.odds(surprise, "zh") == chinese


@given(st.floats(min_value=0.3, max_value=12), st.sampled_from(["en", "zh"]))
def test_odds_are_never_in_scientific_notation(surprise: float, language: str):
    assert "e+" not in i18n.odds(surprise, language)  # type: ignore[arg-type]


def test_times_are_shown_in_the_viewers_zone():
    assert i18n.when(NOW, SHANGHAI, "en") == "22 Nov 14:05"
    assert i18n.when(NOW, SHANGHAI, "zh") == "11月22日 14:05"
    assert i18n.clock(NOW, UTC) == "2026-11-22 06:05"
    assert i18n.zone_label(SHANGHAI, NOW) == "Asia/Shanghai (UTC+8)"
    assert i18n.zone_label(ZoneInfo("Asia/Kolkata"), NOW) == "Asia/Kolkata (UTC+5:30)"
    assert i18n.zone_label(ZoneInfo("America/New_York"), NOW) == "America/New_York (UTC−5)"
    assert i18n.zone_label(UTC, NOW) == "UTC"


@pytest.mark.parametrize(
    ("age", "english", "chinese"),
    [
        (-5, "just now", "刚刚"),
        (59, "just now", "刚刚"),
        (60, "1 minute ago", "1 分钟前"),
        (59 * 60 + 59, "59 minutes ago", "59 分钟前"),
        (3_600, "1 hour ago", "1 小时前"),
        (86_399, "23 hours ago", "23 小时前"),
        (47 * 3_600, "1 day ago", "1 天前"),
        (400 * 86_400, "400 days ago", "400 天前"),
    ],
)
def test_an_age_is_written_in_its_largest_unit(age: int, english: str, chinese: str):
    assert i18n.ago(NOW - timedelta(seconds=age), NOW, "en") == english
    assert i18n.ago(NOW - timedelta(seconds=age), NOW, "zh") == chinese


@pytest.mark.parametrize(
    "url", ["https://a.example/b?c=d&e=%20", "http://例子.example/新闻", "HTTPS://a.example", "http://127.0.0.1:8080/x"]
)
def test_web_addresses_are_kept(url: str):
    assert safe_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>1</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "//a.example/x",
        "/relative",
        "https:///no-host",
        "https://user:pass@a.example/",
        "https://a.example\\@b.example/",
        'https://a.example/" onclick="x',
        "https://a.example:port/",
        "https://[bad/",
        "http://a.example/\u0000",
        "https://" + "a" * 5_000,
    ],
)
def test_other_addresses_lead_nowhere(url: str):
    assert safe_url(url) == ""


@given(st.text())
def test_an_address_is_either_refused_or_on_the_web(url: str):
    found = safe_url(url)
    assert found in ("", url)
    assert not found or found.lower().startswith(("http://", "https://"))


@given(st.text(alphabet=st.characters(exclude_categories=())))  # lone surrogates too
def test_titles_become_one_plain_line(text: str):
    words = plain(text, 40)
    assert len(words) <= 40
    assert "\n" not in words
    assert not any(char in words for char in "\u202e\u2066\u200f\x00\x1b")
    words.encode()


@pytest.mark.parametrize(
    "cell", ["=1+1", "+86 10", "-2", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠x", "  =1", "\u3000=1", "\n=1"]
)
def test_no_cell_of_an_export_is_a_formula(cell: str):
    assert csv_cell(cell) == "'" + cell


def test_an_export_reads_back_as_it_was():
    rows = [("北方电力停产", 0.91, 'a "quoted", cell'), ("=HYPERLINK(1)", -0.5, "")]
    data = to_csv(("标题", "p", "x"), rows)
    assert data.startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(data.decode("utf-8-sig")))) == [
        ["标题", "p", "x"],
        ["北方电力停产", "0.91", 'a "quoted", cell'],
        ["'=HYPERLINK(1)", "-0.5", ""],
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["range", "topics", "lang", "zone", "theme"]), anything) | anything, anything)
def test_whatever_a_browser_sends_is_a_view(data: object, theme: object):
    view = parse(data, theme)
    assert view.range in RANGES
    assert view.language in ("en", "zh")
    assert view.theme in ("light", "dark")
    assert set(view.topics) <= set(TOPIC_KEYS)
    assert NOW.astimezone(view.tz) == NOW


@pytest.mark.parametrize("zone", ["../../etc/passwd", "/etc/localtime", "", "Mars/Base", "Asia", "\x00", "a" * 65])
def test_an_unknown_zone_is_utc(zone: str):
    assert parse({"zone": zone}).zone == "UTC"


def test_a_view_keeps_what_it_knows():
    data = {"range": "7d", "topics": ["energy", "nonsense", "energy", "macro"], "lang": "zh", "zone": "Asia/Shanghai"}
    assert parse(data, "dark") == View("7d", ("energy", "macro"), "zh", "dark", "Asia/Shanghai")
    assert len(parse({"topics": list(TOPIC_KEYS)}).topics) == MAX_TOPICS


@pytest.mark.parametrize("key", sorted(RANGES))
def test_a_range_is_made_of_whole_windows_and_now_lies_in_the_last(key: str):
    chosen = RANGES[key]
    since, until = bounds(chosen, NOW)
    assert until - since == chosen.span
    assert int(until.timestamp()) % chosen.width_s == 0
    assert until - timedelta(seconds=chosen.width_s) <= NOW < until


@given(st.lists(st.sampled_from(TOPIC_KEYS), unique=True, max_size=MAX_TOPICS), st.sampled_from(["light", "dark"]))
def test_no_two_lines_of_a_chart_look_alike(topics: list[str], theme: str):
    lines = lines_of(topics, theme)  # type: ignore[arg-type]
    assert len({colour for colour, _ in lines.values()}) == len(topics)
    assert lines == lines_of(topics[::-1], theme)  # type: ignore[arg-type]


def test_sentiment_is_the_likeliest_and_a_tie_is_not_negative():
    assert sentiment_of(0.5, 0.3, 0.2) == ("negative", 0.5)
    assert sentiment_of(0.4, 0.4, 0.2) == ("neutral", 0.4)
    assert sentiment_of(0.4, 0.2, 0.4) == ("positive", 0.4)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("theme", "surface"), [("light", "#ffffff"), ("dark", "#1b2129")])
def test_lines_stand_out_from_the_page(theme: str, surface: str):
    """WCAG 2.2, 1.4.11: 3 to 1 for what must be seen to understand a chart; 4.5 to 1 for text."""

    def contrast(colour: str) -> float:
        light, dark = sorted((luminance(colour), luminance(surface)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    palette = PALETTES[theme]  # type: ignore[index]
    for colour, _ in lines_of(TOPIC_KEYS[:MAX_TOPICS], theme).values():  # type: ignore[arg-type]
        assert contrast(colour) >= 3, colour
    assert contrast(palette.text) >= 7
    assert contrast(palette.muted) >= 4.5
