"""The pages of articles and series over a real store: requests, responses and stored labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from core.cache import Cache
from core.errors import ModelError
from core.records import Alert, alert_id, sha
from core.settings import Settings
from dashboard.app import create_app
from dashboard.services import Explanation, ExplanationRequest, ExplanationService, Services, WordWeight
from storage.store import Store
from tests.helpers.dashboard import CALLBACK_PATH, ManualClock, callback_body
from tests.helpers.stores import NOON, save, scored_article

ACME = {"ACME": ("远舟控股", "autos", 0.9), "BYT": ("Bytown", "tech", 0.2)}


@pytest.fixture(scope="module")
def filled(store: Store) -> Store:
    for table in ("articles", "article_keys", "mentions", "alerts", "labels", "rollups", "dirty_hours", "rollup_watermarks"):
        store.client.command(f"TRUNCATE TABLE {table}")
    quiet = [
        scored_article(
            f"quiet {n}",
            f"Nothing new {n}",
            minutes=-60 * n,
            p=(0.1, 0.8, 0.1),
            source="ledger",
            materiality=(0.9, 0.25, 0.0) if n == 26 else None,
        )
        for n in range(26, 26 + 24 * 5)
    ]
    save(
        store,
        *quiet,
        scored_article(
            "crisis", "远舟控股债券违约", "远舟控股公司债券未能如期偿付。\n<script>x</script>", language="zh", companies=ACME, source="新华"
        ),
        scored_article("copy", "远舟控股债券出现违约", minutes=2, language="zh", companies=ACME, source="海港财经", story=sha("crisis")),
        scored_article("good", "Bytown wins an order", minutes=4, companies={"BYT": ("Bytown", "tech", 0.1)}, p=(0.1, 0.1, 0.8)),
    )
    save(store, scored_article("crisis", "远舟控股债券展期", language="zh", companies=ACME, source="新华", model="m0"))
    save(
        store,
        scored_article(
            "crisis",
            "远舟控股债券违约",
            "远舟控股公司债券未能如期偿付。\n<script>x</script>",
            language="zh",
            companies=ACME,
            source="新华",
            materiality=(1.0, 0.9375, 0.75),
            model="m9",
        ),
    )
    start = NOON - timedelta(minutes=10)
    store.alerts.insert(
        [
            Alert(
                id=alert_id("r", "company:ACME", start),
                rule="r",
                series="company:ACME",
                window_start=start,
                window_s=900,
                detected_at=NOON,
                severity="warning",
                observed=4,
                expected=0.5,
                surprise=5.0,
                total=5,
                sources=2,
            )
        ]
    )
    return store


class BrowserStub:
    """The dashboard over HTTP, with a manual clock, so that each request may query the store again."""

    def __init__(self, store: Store, explain: ExplanationService | None = None) -> None:
        self.hands = ManualClock()
        now = NOON + timedelta(minutes=20)
        self.app = create_app(
            store, Settings(dashboard_login="none"), now=lambda: now, cache=Cache(self.hands), services=Services(explanations=explain)
        )
        self.client = self.app.server.test_client()

    def ask(self, output: str, triggered: str = "", **values: Any) -> dict[str, Any]:
        self.hands.time += 1_000
        sent = callback_body(self.app, output, **values)
        if triggered:
            sent["changedPropIds"] = [triggered]
        answer = self.client.post(CALLBACK_PATH, json=sent)
        assert answer.status_code in (200, 204), answer.text
        return dict(answer.json["response"]) if answer.status_code == 200 else {}

    def search(self, **find: str) -> dict[str, Any]:
        return self.ask("fd-grid.rowData", view_data={"find": find})

    def rows(self, path: str, **query: str) -> list[list[str]]:
        answer = self.client.get(f"{path}?{urlencode(query)}")
        assert answer.status_code == 200
        return list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))


@pytest.fixture
def browser(filled: Store) -> BrowserStub:
    filled.client.command("TRUNCATE TABLE labels")
    return BrowserStub(filled)


def titles(answer: dict[str, Any]) -> list[str]:
    return [row["title"] for row in answer["fd-grid"]["rowData"]]


def test_a_search_in_chinese_finds_pages_and_exports(browser: BrowserStub):
    found = browser.search(q="远舟控股 -展期")
    assert titles(found) == ["远舟控股债券出现违约", "远舟控股债券违约"]
    assert found["fd-grid"]["rowData"][1]["page"] == f"/article/{sha('crisis')}?range=24h&lang=en"
    assert found["fd-older"]["style"] == {"display": "none"}
    assert [option["value"] for option in found["fd-company"]["data"]] == ["BYT", "ACME"]
    assert "2 articles" in found["fd-note"]["children"]
    assert titles(browser.search(q="展期")) == []  # what another model read then
    assert "No matching articles" in browser.search(q="nowhere")["fd-note"]["children"]
    assert titles(browser.search(company="ACME", sentiment="negative", language="zh", source="新华")) == ["远舟控股债券违约"]
    header, *lines = browser.rows("/export/articles.csv", q="远舟控股", lang="zh", zone="Asia/Shanghai")
    assert header[0] == "时间 (Asia/Shanghai)"
    assert [line[3] for line in lines] == ["远舟控股债券出现违约", "远舟控股债券违约"]
    assert len(browser.rows("/export/articles.csv", range="24h")) == 4


def test_materiality_is_a_column_a_filter_and_part_of_an_export(browser: BrowserStub):
    rows = {row["title"]: row for row in browser.search(q="远舟控股")["fd-grid"]["rowData"]}
    assert (rows["远舟控股债券违约"]["materiality"], rows["远舟控股债券违约"]["level"]) == (0.9375, 3)
    assert rows["远舟控股债券违约"]["materiality_text"] == "● likely to move prices 94%"
    assert (rows["远舟控股债券出现违约"]["materiality"], rows["远舟控股债券出现违约"]["materiality_text"]) == (None, "not predicted")
    for level in ("relevant", "urgent"):
        assert titles(browser.search(materiality=level)) == ["远舟控股债券违约"]
    assert len(titles(browser.search(materiality="nonsense"))) == len(titles(browser.search()))
    csv_link = browser.search(materiality="urgent")["fd-csv"]["href"]
    assert "materiality=urgent" in csv_link
    header, *lines = browser.rows("/export/articles.csv", range="7d", lang="zh", q="违约 -出现")
    assert [line[header.index("重要性")] for line in lines] == ["可能引发价格波动"]
    assert [line[header.index("与价格相关概率")] for line in lines] == ["0.938"]
    assert len(browser.rows("/export/articles.csv", range="7d", materiality="relevant")) == 2


def test_an_article_page_shows_materiality_and_whether_the_article_counts(browser: BrowserStub):
    def scores_of(name: str, language: str) -> str:
        return str(browser.ask("ar-head.children", ar_key_data=sha(name), view_data={"lang": language})["ar-scores"])

    assert "● likely to move prices 94%" in scores_of("crisis", "en")
    assert "● 可能引发价格波动 94%" in scores_of("crisis", "zh")
    assert "alert_min_materiality" not in scores_of("crisis", "en")
    assert "◔ background 25%" in scores_of("quiet 26", "en")
    assert "alert_min_materiality" in scores_of("quiet 26", "en") and "不计入告警和图表" in scores_of("quiet 26", "zh")
    assert "未评估" in scores_of("copy", "zh")


def test_the_next_page_continues_after_the_last_article(browser: BrowserStub):
    view: dict[str, Any] = {"range": "7d", "find": {"q": "nothing"}}
    first = browser.ask("fd-grid.rowData", view_data=view)
    assert len(titles(first)) == 100
    before = first["fd-older"]["href"].partition("before=")[2]
    second = browser.ask("fd-grid.rowData", view_data={"range": "7d", "find": {"q": "nothing", "before": before}})
    assert len(titles(second)) == 20
    assert not set(titles(first)) & set(titles(second))


HOSTILE: Sequence[str] = ("' OR 1=1 --", '\\"; DROP TABLE articles; --(((', "{word0:String} %(word0)s", "\x00")


@pytest.mark.parametrize("value", HOSTILE)
def test_no_search_and_no_address_is_sql(browser: BrowserStub, value: str):
    assert "fd-grid" in browser.search(q=value)
    assert "fd-grid" in browser.search(
        **dict.fromkeys(("language", "source", "genre", "topic", "company", "sentiment", "materiality", "before"), value)
    )
    assert "There is no article with this ID" in str(browser.ask("ar-head.children", ar_key_data=value))
    browser.ask("se-kpis.children", se_key_data=f"company:{value}")
    browser.ask("ar-message.children", "ar-save.n_clicks", ar_save_n_clicks=1, ar_key_data=value, ar_model_data=value)
    assert titles(browser.search(q="违约"))


def test_an_article_page_shows_text_scores_versions_and_copies(browser: BrowserStub):
    found = browser.ask("ar-head.children", ar_key_data=sha("crisis"))
    assert found["ar-body"]["hidden"] is False
    parts = {name: str(part) for name, part in found.items()}
    assert "远舟控股债券违约" in parts["ar-head"] and "https://example.org/crisis" in parts["ar-head"]
    assert "the text was too long and was truncated" in parts["ar-head"]
    assert "<script>x</script>" in parts["ar-text"]  # as text: children of a component
    assert "m9" in parts["ar-scores"] and "m0" in parts["ar-scores"]
    assert "different text at that time: 远舟控股债券展期" in parts["ar-scores"]
    assert "/series/company/ACME" in parts["ar-scores"] and "/series/sector/autos" in parts["ar-scores"]
    assert sha("copy") in parts["ar-copies"] and "海港财经" in parts["ar-copies"]
    assert found["ar-labels"]["children"] is None


def test_a_label_is_stored_with_the_model_and_shown(browser: BrowserStub, filled: Store):
    key = {"ar_key_data": sha("crisis"), "ar_model_data": "m9"}
    noted = browser.ask(
        "ar-message.children", "ar-save.n_clicks", ar_save_n_clicks=1, ar_about_value="BYT", ar_sentiment_value="neutral", **key
    )
    assert noted["ar-message"]["children"] == "Saved."
    browser.ask("ar-message.children", "ar-right.n_clicks", ar_right_n_clicks=1, ar_about_value="*", **key)
    labels = filled.labels.of_article(sha("crisis"))
    assert [(label.task, label.company, label.labels) for label in labels] == [
        ("sentiment", "", ("negative",)),
        ("sentiment", "BYT", ("neutral",)),
        ("topic", "", ("credit",)),
    ]
    assert {(label.author, label.model) for label in labels} == {("local", "m9")}
    assert len(filled.labels.read()) == 3  # what training reads
    shown = str(browser.ask("ar-head.children", ar_key_data=sha("crisis"), view_data={"lang": "zh"})["ar-labels"])
    assert "情绪 (BYT)：● 中性 — local" in shown


@pytest.mark.parametrize(
    ("triggered", "values", "words"),
    [
        ("ar-save.n_clicks", {"ar_sentiment_value": "furious"}, "Select a value first."),
        ("ar-save.n_clicks", {"ar_sentiment_value": "neutral", "ar_about_value": "NONE"}, "Select a value first."),
        ("ar-save-topics.n_clicks", {"ar_topics_value": []}, "Select a value first."),
        (
            "ar-save.n_clicks",
            {"ar_sentiment_value": "neutral", "ar_model_data": "m0"},
            "Another model has rescored the article in the meantime. Please check the scores again.",
        ),
    ],
)
def test_an_empty_or_outdated_label_is_not_stored(browser: BrowserStub, filled: Store, triggered: str, values: dict[str, Any], words: str):
    clicked = triggered.replace("-", "_").replace(".", "_")
    sent = {clicked: 1, "ar_key_data": sha("crisis"), "ar_model_data": "m9", **values}
    assert browser.ask("ar-message.children", triggered, **sent)["ar-message"]["children"] == words
    assert browser.ask("ar-message.children", triggered, **{**sent, clicked: None}) == {}  # a page that was drawn, not a click
    assert filled.labels.of_article(sha("crisis")) == []


def test_the_explanation_marks_words_or_reports_that_no_model_is_loaded(filled: Store):
    questions: list[ExplanationRequest] = []

    def explain(asked: ExplanationRequest) -> Explanation:
        questions.append(asked)
        if not asked.company:
            raise ModelError("there is nothing to explain")
        return Explanation(f"{asked.title} {asked.text}", (WordWeight(6, 8, 2.0),), "negative", 0.93, "m9")

    def why(browser: BrowserStub, **more: Any) -> dict[str, Any]:
        return browser.ask("ar-explanation.children", ar_explain_n_clicks=1, ar_key_data=sha("crisis"), **more)

    explained = why(BrowserStub(filled, explain=explain), ar_about_value="ACME")
    assert questions[0] == ExplanationRequest(
        "远舟控股债券违约", "远舟控股公司债券未能如期偿付。\n<script>x</script>", "zh", "news", "远舟控股"
    )
    assert explained["ar-text"]["hidden"] is True
    assert "m9: negative 93%" in str(explained) and "{'children': '违约', 'className': 'for strong'" in str(explained)
    assert "there is nothing to explain" in str(why(BrowserStub(filled, explain=explain), ar_about_value="*"))
    assert "No model is loaded in this process" in str(why(BrowserStub(filled)))
    assert BrowserStub(filled, explain=explain).ask("ar-explanation.children", ar_key_data=sha("crisis")) == {}


def test_a_series_page_shows_baseline_alert_stories_and_companies(browser: BrowserStub):
    found = browser.ask("se-kpis.children", se_key_data="company:ACME")
    parts = {name: str(part) for name, part in found.items()}
    assert "远舟控股" in parts["se-head"] and "/series/sector/autos" in parts["se-head"]
    traces = {trace["uid"]: trace for trace in found["se-trend-fresh"]["data"]["data"]}
    assert set(traces) == {"low", "high", "usual", "negative", "alerts"}
    assert sum(traces["negative"]["y"]) == 1
    assert alert_id("r", "company:ACME", NOON - timedelta(minutes=10)) in parts["se-alerts"]
    assert "2 articles from 2 sources" in parts["se-negative"] and f"/article/{sha('crisis')}" in parts["se-negative"]
    assert "No stories in this time range." in parts["se-positive"]
    assert "Bytown" in parts["se-related"] and "/series/company/BYT" in parts["se-related"]
    assert "expected range" in found["se-trend-note"]["children"]


@pytest.mark.parametrize(
    ("name", "range_key"),
    [("market:all", "1h"), ("market:all", "30d"), ("language:zh", "6h"), ("sector:autos", "7d"), ("watchlist:none", "24h")],
)
def test_every_kind_of_series_and_range_has_a_page_and_a_file(browser: BrowserStub, name: str, range_key: str):
    found = browser.ask("se-kpis.children", se_key_data=name, view_data={"range": range_key, "lang": "zh"})
    assert set(found) >= {"se-kpis", "se-trend-fresh", "se-volume-fresh", "se-negative", "se-positive", "se-related"}
    _, *lines = browser.rows("/export/series.csv", series=name, range=range_key)
    assert sum(int(line[2]) for line in lines) == (0 if name == "watchlist:none" else 1)
    assert 20 <= len(lines) <= 30


def test_an_export_of_an_unknown_series_is_rejected(browser: BrowserStub):
    for wrong in ("", "topic", "topic:", "mood:x", "company:" + "x" * 65):
        assert browser.client.get(f"/export/series.csv?{urlencode({'series': wrong})}").status_code == 400
    assert browser.client.get("/export/series.csv?series=company:%3Dcmd").headers["Content-Disposition"] == (
        'attachment; filename="tocsin-company--cmd-24h.csv"'
    )


def test_the_overview_links_to_series(browser: BrowserStub):
    found = str(browser.ask("ov-grid.rowData")["ov-busiest"])
    for path in ("/series/topic/credit", "/series/company/ACME", "/series/sector/autos"):
        assert path in found
