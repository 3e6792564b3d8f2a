"""Stories: copies of one text are one story, and a template about many companies is many."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Article, sha
from ingest.text.copies import lead_of
from ingest.text.near_duplicates import lsh_bands, without_frame
from storage.store import StoryLead
from stream.worker.stories import assign_stories, candidates, find_stories

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FIRMS = 40

_CHINESE = [first + second for first in "宏青铭德金北瑞海" for second in "远禾泰润舟"]
_KINDS = ("股份", "科技", "集团", "电力", "医药")
_FIRST = ("Harbor", "Cedar", "Lakeside", "Orion", "Granite", "Summit", "Falcon", "Redwood")
_ENGLISH = [f"{first} {second}" for first in _FIRST for second in ("Foods", "Mining", "Bank", "Steel", "Homes")]

TEMPLATES: dict[str, tuple[str, str]] = {
    "investigated": ("{zh}：被证监会立案", "{zh}公告称，公司收到证监会立案告知书，因涉嫌信息披露违法违规，证监会决定对公司立案。"),
    "suspended": ("{zh}：股票停牌核查", "{zh}公告，公司股票近期涨幅较大，为维护投资者利益，自明日开市起停牌核查，预计不超过三个交易日。"),
    "inquiry": ("{zh}收到交易所问询函", "上交所今日向{zh}下发问询函，要求公司说明收入确认的依据、应收账款的可收回性以及关联方资金占用。"),
    "stake": ("{zh}：股东拟减持不超过2%股份", "{zh}公告，持股5%以上股东计划三个月内以集中竞价方式减持公司股份不超过总股本的2%。"),
    "unpaid": ("", "{zh}未能按期兑付到期债券本息{some}亿元，公司称正积极筹措资金，并与持有人协商展期方案。"),
    "code": ("{zh}({code}.SH)：被实施其他风险警示", "{zh}({code}.SH)公告，因内部控制被出具否定意见，公司股票自明日起被实施其他风险警示。"),
    "coupon": (
        "{en} misses bond payment",
        "{en} said on Friday that it was unable to make a scheduled interest payment on its senior notes.",
    ),
    "rating": (
        "Moody's cuts {en} to junk",
        "Moody's lowered its rating on {en} to junk, citing weak cash flow and a difficult refinancing schedule.",
    ),
    "jobs": (
        "{en} to cut jobs",
        "Shares fell after {en} said it would cut about {some}00 jobs in a restructuring meant to save costs and restore margins.",
    ),
    "headline": ("{en} defaults on bonds", ""),
    "zh-headline": ("{zh}债券违约", ""),
    "in the title alone": (
        "{zh}：控股股东被债权人申请重整",
        "公司公告称，控股股东收到法院通知，债权人以其不能清偿到期债务为由申请重整，目前尚未裁定。",
    ),
}


def story_article(name: str, minute: int, *bands: int) -> Article:
    moment = NOON + timedelta(minutes=minute)
    return Article(id=sha(name), source="wire", language="en", title=name, published_at=moment, fetched_at=moment, lsh_bands=bands)


def news(name: str, title: str, text: str, minute: float = 0) -> tuple[Article, StoryLead]:
    moment = NOON + timedelta(minutes=minute)
    article = Article(id=sha(name), source=name, language="zh", title=title, text=text, published_at=moment, fetched_at=moment,
                      lsh_bands=lsh_bands(title, text))  # fmt: skip
    return article, StoryLead(moment, lead_of(title, without_frame(text)).stored())


def stories_of(*items: tuple[Article, StoryLead]) -> list[str]:
    found = assign_stories([article for article, _ in items], {}, {article.id: lead for article, lead in items})
    return [found[article.id] for article, _ in items]


def texts_of(template: str) -> Callable[[int], tuple[str, str]]:
    title, text = TEMPLATES[template]

    def of(firm: int) -> tuple[str, str]:
        names = {"zh": _CHINESE[firm] + _KINDS[firm % 5], "en": _ENGLISH[firm], "code": 600100 + firm, "some": firm % 7 + 1}
        return title.format(**names), text.format(**names)

    return of


@pytest.mark.parametrize("template", TEMPLATES)
def test_one_template_about_forty_companies_is_forty_stories(template: str):
    """Two wires each: the second joins the first of its company and no other."""
    of = texts_of(template)
    items = [news(f"{template} {firm} {wire}", *of(firm), minute=firm + wire / 2) for firm in range(FIRMS) for wire in range(2)]
    stories = stories_of(*items)
    assert len(set(stories)) >= 38
    assert sum(stories[number] == stories[number + 1] for number in range(0, 2 * FIRMS, 2)) >= 38


@pytest.mark.parametrize(
    ("title", "other"),
    [
        ("宏远股份债券违约", "宏远股份债券违约"),
        ("万科停牌", "万科停牌"),
        ("Harbor Foods defaults on bonds", "HARBOR FOODS DEFAULTS ON BONDS"),
    ],
)
def test_one_short_headline_from_six_wires_is_one_story(title: str, other: str):
    assert len(set(stories_of(*(news(f"w{n}", other if n % 2 else title, "", n) for n in range(6))))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("宏远股份股价上涨5%，创年内新高", "宏远股份股价下跌5%，创年内新高"),
        ("宏远股份拟增持公司股份1000万股", "宏远股份拟减持公司股份1000万股"),
        ("国际金价跌超1%，现报3,310.5美元", "国际金价跌超2%，现报3,290.5美元"),
        ("宏远股份将收购泰润科技", "宏远股份不将收购泰润科技"),
        ("宏远股份股价跌幅扩大至1%，此前一度上涨1.5%", "宏远股份股价跌幅扩大至2%，此前一度上涨1.5%"),
        ("Harbor Foods shares rise 5% after results", "Harbor Foods shares fall 5% after results"),
        ("Regulator approves Cedar Mining merger", "Regulator rejects Cedar Mining merger"),
        ("Harbor Foods confirms talks with Cedar", "Harbor Foods denies talks with Cedar"),
    ],
)
def test_the_opposite_or_another_number_is_another_story(one: str, other: str):
    assert len(set(stories_of(news("a", one, one), news("b", other, other, 1)))) == 2


def test_a_short_headline_that_recurs_the_next_day_is_another_story():
    title = "南向资金净买入超50亿港元"
    assert len(set(stories_of(news("a", title, ""), news("b", title, "", 24 * 60)))) == 2


def test_a_text_that_only_quotes_another_is_another_story():
    text = "海棠实业与三家银行就到期贷款展期达成协议，新的还款期限为两年，利率维持不变，公司称经营正常"
    quoting = f"海棠实业午后直线拉升封涨停，换手率升至年内高位，多只同行个股跟随走强。消息面上，{text}"
    assert len(set(stories_of(news("a", "海棠实业贷款展期获批", text), news("b", "海棠实业午后涨停", quoting, 5)))) == 2


def test_copies_in_a_batch_join_the_story_published_first():
    """Without leads, a shared band decides."""
    first, copy, chained, other = (
        story_article("a", 0, 1, 2),
        story_article("b", 5, 2, 3),
        story_article("c", 9, 3, 4),
        story_article("d", 1, 9),
    )
    stories = assign_stories([chained, other, copy, first], {}, {})
    assert stories == {first.id: first.id, copy.id: first.id, chained.id: first.id, other.id: other.id}


def test_a_stored_story_takes_precedence_over_one_of_the_batch():
    first, copy = story_article("a", 0, 1), story_article("b", 5, 1, 7)
    assert assign_stories([first, copy], {7: ["old"]}, {}) == {first.id: first.id, copy.id: "old"}
    assert assign_stories([copy], {7: ["old"]}, {}) == {copy.id: "old"}


def test_the_earlier_of_two_stored_stories_is_chosen():
    copy = story_article("b", 5, 1, 7)
    stored = {1: ["young"], 7: ["old"]}
    assert candidates([copy, story_article("c", 0, 1)], stored) == {"young", "old"}
    leads = {"old": StoryLead(NOON - timedelta(hours=9), "b\n"), "young": StoryLead(NOON - timedelta(hours=1), "b\n")}
    assert assign_stories([copy], stored, leads) == {copy.id: "old"}


def test_of_many_stories_of_a_template_the_nearest_are_compared():
    copy = story_article("b", 5, 1, 2, 3)
    stored = {1: [f"s{n}" for n in range(30)], 2: ["near"], 3: ["near", "s7"]}
    found = candidates([copy], stored)
    assert {"near", "s7"} <= found
    assert len(found) == 6


def test_in_a_batch_of_several_weeks_no_story_of_another_week_is_joined():
    """An archive: the stories around one article share a band with another article, which is published ten days later."""
    bands = {"0": (1,), **dict.fromkeys("abcdef", (1, 2))}

    def stories(wanted: Sequence[int], since: datetime, until: datetime) -> dict[int, list[str]]:
        return {band: [name for name, own in bands.items() if band in own] for band in wanted if since <= NOON < until and band < 3}

    def leads(names: Sequence[str], since: datetime, until: datetime) -> dict[str, StoryLead]:
        return {name: StoryLead(NOON, f"{name}\nAnother text about {name}.") for name in names if since <= NOON < until}

    store: Any = SimpleNamespace(articles=SimpleNamespace(stories=stories, leads=leads))
    early, late = story_article("early", 0, 1, 2), story_article("late", 10 * 24 * 60, 1)
    found = find_stories(store, [early, late], {each.id: lead_of(each.title, f"The text of {each.title}.") for each in (early, late)})
    assert found == {early.id: early.id, late.id: late.id}


def test_an_article_without_bands_starts_its_own_story():
    lone = story_article("a", 0)
    assert assign_stories([lone], {}, {}) == {lone.id: lone.id}
    assert assign_stories([], {}, {}) == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 12), max_size=4)), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(shapes: list[tuple[int, set[int]]], rng: random.Random):
    batch = [story_article(str(n), minute, *sorted(bands)) for n, (minute, bands) in enumerate(shapes)]
    stored = {3: ["old"], 5: ["older"]}
    assert assign_stories(rng.sample(batch, len(batch)), stored, {}) == assign_stories(batch, stored, {})
