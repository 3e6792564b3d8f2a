"""The explanation of an alert on its page."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from dash.development.base_component import Component

from core.records import Alert, CompanyCount, Why, WordCount
from dashboard.pages.alert import decisive_mark, explanation_list, is_decisive
from dashboard.view import View

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EN, ZH = View(), View(language="zh", zone="Asia/Shanghai")
WHY = Why(
    stories=900,
    more=True,
    decisive_count=3,
    decisive_article_ids=("a",),
    read=300,
    words=(WordCount(word="违约", stories=8),),
    companies=(CompanyCount(company="600519.SH", stories=2), CompanyCount(company="a/b?x=1#\u202e", stories=1)),
    first_source="新浪财经",
    first_at=NOON + timedelta(minutes=3),
)


def alert(why: Why | None = WHY) -> Alert:
    return Alert(
        id="a" * 32, rule="spike", series="topic:energy", window_start=NOON, window_s=900, detected_at=NOON, severity="critical",
        observed=7, expected=0.84, surprise=6, total=9, sources=3, why=why,
    )  # fmt: skip


def texts(node: Any) -> list[str]:
    """All text below `node`, in order."""
    if isinstance(node, Component):
        return texts(getattr(node, "children", None))
    if isinstance(node, list | tuple):
        return [text for child in node for text in texts(child)]
    return [] if node is None else [str(node)]


def test_the_explanation_is_shown_in_either_language_and_in_the_viewers_time_zone():
    english, chinese = (" ".join("".join(texts(explanation_list(alert(), view))).split()) for view in (EN, ZH))
    assert "3 of 900+ stories; without them the alert would not have been raised" in english
    assert "新浪财经 · 22 Nov 12:03" in english and "Key terms (of the 300 most negative stories)违约 8" in english
    assert "900+ 条报道中有 3 条；若无这些报道，则不会触发告警" in chinese
    assert "新浪财经 · 11月22日 20:03" in chinese and "涉及公司 （负面程度最高的 300 条）600519.SH 2" in chinese


def test_companies_lead_to_their_series_whatever_they_are_called():
    made = json.loads(json.dumps(explanation_list(alert(), EN), default=lambda part: part.to_plotly_json()))
    paths = [found for found in json.dumps(made).split('"') if found.startswith("/series/")]
    assert paths == ["/series/company/600519.SH?range=24h&lang=en", "/series/company/a%2Fb%3Fx%3D1%23%E2%80%AE?range=24h&lang=en"]
    assert "\u202e" not in "".join(texts(explanation_list(alert(), EN)))


def test_an_alert_without_an_explanation_or_stories_shows_none():
    assert explanation_list(alert(None), EN) is explanation_list(alert(Why()), EN) is None
    assert explanation_list(alert(msgspec.structs.replace(WHY, decisive_count=0, words=(), companies=(), first_at=None)), ZH) is None


def test_the_articles_that_carry_it_are_marked():
    assert is_decisive(alert(), "a") and not is_decisive(alert(), "b") and not is_decisive(alert(None), "a")
    assert texts(decisive_mark(EN)) == ["★ decisive"] and texts(decisive_mark(ZH)) == ["★ 关键"]
