"""Boilerplate is removed from texts, and what happened is not."""

from __future__ import annotations

import pytest

from models.inference.boilerplate import clean
from models.inference.canonical import canonical, model_text

EN = "Fennimore Paper cuts its forecast after weak orders"
ZH = "远舟控股下调全年利润预期"


@pytest.mark.parametrize(
    "dressed",
    [
        f"LONDON, May 5 (Reuters) - {EN}",
        f"(Reuters) - {EN}",
        f"NEW YORK (AP) — {EN}",
        f"BREAKING: {EN}",
        f"UPDATE 2-{EN}",
        f"BREAKING: UPDATE 3-LONDON, March 12 (Reuters) - {EN}",
        f"RT @somebody: {EN}",
        f"<p>{EN}</p>",
        f"{EN} https://example.com/a1b2",
        f"{EN} (Reporting by A. Writer; editing by B. Reader)",
        f"{EN} This is not investment advice.",
        f"{EN} Sign up for our newsletter.",
        f"{EN} Click here to read the full story.",
        f"{EN} All rights reserved.",
        f"{EN} | MarketWatch",
        f"{EN} (NYSE: FNP)",
        f"🚀 {EN}",
        EN.replace("a", "\uff41"),
    ],
)
def test_english_text_without_boilerplate_in_canonical_form(dressed):
    assert model_text("", dressed) == EN


@pytest.mark.parametrize(
    "dressed",
    [
        f"财联社5月18日电，{ZH}",
        f"新华社北京5月18日电（记者 张三）{ZH}",
        f"《科创板日报》18日讯，{ZH}",
        f"格隆汇5月18日｜{ZH}",
        f"智通财经APP获悉，{ZH}",
        f"快讯：{ZH}",
        f"【快讯】{ZH}",
        f"突发！{ZH}",
        f"{ZH}（央视新闻）",
        f"{ZH}（编辑：李某）",
        f"{ZH}本文不构成投资建议。",
        f"{ZH}市场有风险，投资需谨慎。",
        f"{ZH}点击查看更多内容。",
        f"{ZH}（600000.SH）",
        "遠舟控股下調全年利潤預期",
        " ".join(ZH),
        f"{ZH} 📉",
    ],
)
def test_chinese_text_without_boilerplate_in_canonical_form(dressed):
    assert model_text("", dressed) == ZH


def test_capitals_become_sentence_case_except_in_short_texts():
    assert canonical(EN.upper()) == EN.capitalize()
    assert canonical("GDP") == "GDP"
    assert canonical("沪深300ETF与科创50ETF成交活跃") == "沪深300ETF与科创50ETF成交活跃"


def test_the_title_is_not_repeated():
    assert model_text(ZH, f"【{ZH}】公司公告称，订单减少。") == f"{ZH} 公司公告称，订单减少。"
    assert model_text(ZH, f"{ZH}。公司公告称，订单减少。") == f"{ZH} 公司公告称，订单减少。"
    assert clean("", f"【{ZH}】公司公告称，订单减少。").text == f"{ZH} 公司公告称，订单减少。"


def test_a_dateline_between_title_and_lead_is_removed():
    assert model_text("", f"{ZH} 财联社5月18日电，公司公告称，订单减少。") == f"{ZH} 公司公告称，订单减少。"


@pytest.mark.parametrize(
    "text",
    [
        "Reuters wins a contract from a bank",
        "中俄联合声明：计划在多个领域开展合作",
        "Breaking ranks: two directors vote against the merger",
        "By Friday the yen had lost 2%",
        "记者从会议上获悉，政策将于下周公布",
        "5月18日，沪指收涨1.2%",
        "Shares fell 5% (the largest fall since May)",
        "Follow-on orders lift sales",
    ],
)
def test_ordinary_text_is_unchanged(text):
    assert model_text("", text) == text


def test_text_of_boilerplate_alone_is_unchanged():
    assert clean("", "BREAKING: ").text == "BREAKING:"
    assert clean("", "（新华社）").text == "（新华社）"
    assert model_text("", "") == ""


def test_model_text_is_idempotent():
    for text in (f"BREAKING: {EN}", f"财联社5月18日电，{ZH}（财联社）", EN.upper(), " ".join(ZH)):
        once = model_text("", text)
        assert model_text("", once) == once
