"""The page of an article shows which companies only speak about others."""

from __future__ import annotations

import pytest

from core.records import CompanyScore, Language, Role, Score
from dashboard import i18n
from dashboard.pages.article import scores
from dashboard.reads.details import ArticleView
from dashboard.view import View
from storage.store import ArticleVersion
from tests.helpers.dashboard import NOW, words_of


def page(language: Language, role: Role) -> str:
    score = Score(
        id="a" * 32, source="wire", language="en", published_at=NOW, story="a" * 32, p_negative=0.1, p_neutral=0.2, p_positive=0.7,
        topics={}, companies=(CompanyScore(company="GS", role=role, p_negative=0.8, p_neutral=0.1, p_positive=0.1),),
        model="m1", scored_at=NOW,
    )  # fmt: skip
    version = ArticleVersion(
        url="", title="t", text="", fetched_at=NOW, flags=(), surfaces={"GS": "Goldman"}, p_negative=0.1, p_neutral=0.2, p_positive=0.7,
        materiality=None, model="m1", scored_at=NOW, trust="push",
    )  # fmt: skip
    return words_of(scores(ArticleView(score=score, versions=[version], copies=[]), View(language=language)))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_role_stands_beside_the_company(language: Language):
    texts = {role: i18n.text(f"article.role.{role}", language) for role in ("speaker", "comparison")}
    assert texts["speaker"] in page(language, "speaker")
    assert texts["comparison"] in page(language, "comparison")
    assert not any(text in page(language, "subject") for text in texts.values())
