"""What the pages of sources and articles show of skipped entries, trust and earlier texts, in both languages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.records import Language, Score
from dashboard.pages.article import head, revisions
from dashboard.pages.sources import table
from dashboard.reads.details import ArticleView
from dashboard.reads.operations import SourcesView
from dashboard.reads.source_state import HOURS, SourceView
from dashboard.view import View
from storage.store import ArticleVersion, Revision, RevisionCounts, SourceVisit
from tests.helpers.dashboard import NOW, words_of


def page_of_sources(language: Language, **changes: Any) -> str:
    row = SourceView(
        name="阴云财经", visit=SourceVisit(source="阴云财经", url="https://a.example", skipped=changes.pop("skipped", {})), added=None,
        hours=[4] * HOURS, usual=[], last_at=NOW, stored_at=NOW, lag_s=None, recent=9, negative=1, dead=3, outage_alert_id="", state="ok",
        **changes,
    )  # fmt: skip
    return words_of(table(SourcesView(rows=[row], outage_alert_id=""), NOW, View(language=language)))


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("en", ["3 + 3", "4 repeated", "1 empty", "2 unusable", "1,060 not read"]),
        ("zh", ["3 + 3", "4 条重复", "1 条为空", "2 条无法使用", "1,060 条未读取"]),
    ],
)
def test_skipped_entries_are_shown_by_reason(language: Language, shown: list[str]):
    page = page_of_sources(language, skipped={"passed_over": 1060, "unusable": 2, "empty": 1, "repeated": 4})
    assert [text for text in shown if text not in page] == []
    assert not any(text in page_of_sources(language) for text in shown[1:])


@pytest.mark.parametrize(
    ("language", "trust", "revised"),
    [
        ("en", "trust level: domain of the link, pushed", "5 revised, 2 with a changed sentiment"),
        ("zh", "可信级别：链接所在域名、接口推送", "更新 5 篇，其中 2 篇情绪改变"),
    ],
)
def test_a_source_has_its_trust_and_its_revisions(language: Language, trust: str, revised: str):
    page = page_of_sources(language, trust=("domain", "push"), revisions=RevisionCounts(5, 2))
    assert trust in page and revised in page
    assert trust[:5] not in page_of_sources(language)


def article_view(*earlier: Revision) -> ArticleView:
    score = Score(
        id="a" * 32, source="wire", language="en", published_at=NOW, story="a" * 32, p_negative=0.1, p_neutral=0.2, p_positive=0.7,
        topics={}, model="m1", scored_at=NOW,
    )  # fmt: skip
    version = ArticleVersion(
        url="https://a.example/1", title="Lender wins award", text="", fetched_at=NOW, flags=(), surfaces={}, p_negative=0.1, p_neutral=0.2,
        p_positive=0.7, materiality=None, model="m1", scored_at=NOW, trust="push",
    )  # fmt: skip
    return ArticleView(score=score, versions=[version], copies=[], revisions=list(earlier))


def earlier(sentiment: str, following: str, title: str) -> Revision:
    return Revision(
        id="a" * 32, source="wire", at=NOW - timedelta(hours=1), fingerprint=1, title=title, text="<b>text</b>", p_negative=0.8,
        p_neutral=0.1, p_positive=0.1, model="m1", sentiment=sentiment, next_sentiment=following,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("language", "change", "trust"),
    [
        ("en", "sentiment changed: ▼ negative → ▲ positive", "pushed"),
        ("zh", "情绪改变：▼ 负面 → ▲ 正面", "接口推送"),
    ],
)
def test_an_article_shows_its_earlier_texts_and_the_change_of_sentiment(language: Language, change: str, trust: str):
    view = View(language=language)
    changed = words_of(revisions(article_view(earlier("negative", "positive", "贷款机构暂停提现")), view))
    assert change in changed and "贷款机构暂停提现" in changed
    assert change not in words_of(revisions(article_view(earlier("negative", "negative", "t")), view))
    assert revisions(article_view(), view) is None
    assert trust in words_of(head(article_view(), view))
