"""Words that tell stories from what is usual, in both languages."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from models.inference.segmentation import segment
from stream.detection.salient_terms import COMMON, LEAST_SHARE, MOST, said, telling
from tests.helpers.strategies import examples, texts

USUAL = [
    "Shares close higher in a quiet session",
    "Retail sales beat forecasts, stocks rise",
    "Company raises dividend as profit grows",
    "两市成交额突破万亿元，沪指小幅收涨",
    "公司签订重大合同，股票继续上涨",
    "央行开展逆回购操作，利率保持不变",
] * 10


def words(told: list[str], usual: list[str] = USUAL, known: tuple[str, ...] = ()) -> dict[str, int]:
    return {found.word: found.stories for found in telling(said(told, segment), usual, known)}


def test_chinese_is_cut_into_words():
    assert segment(["某公司债券违约", "远舟控股未能按期兑付债券", "债", "碧桂园集团"]) == [
        ["公司", "债券", "违约"],
        ["远舟", "控股", "未能", "按期兑付", "债券"],
        [],
        ["碧桂园", "集团"],
    ]
    assert segment([]) == []


def test_what_most_stories_say_and_others_do_not_comes_first_in_english():
    told = [
        "Harbour Bank's bonds default; 3.5% coupon unpaid on Monday",
        "Default: Harbour Bank misses bond payment, the company said",
        "Bond default shakes lenders http://example.org/default-default",
        "Shares close higher after default of a lender",
    ]
    found = words(told)
    assert next(iter(found)) == "default"
    assert (found["default"], found["bond"]) == (4, 3)
    assert not {"shares", "close", "higher", "company", "said", "monday", "bonds", "http"} & set(found)
    assert all(not char.isdigit() for word in found for char in word)


def test_what_most_stories_say_and_others_do_not_comes_first_in_chinese():
    told = ["远舟控股公司债券未能如期兑付，构成违约", "远舟控股：违约债券共３只，股票停牌", "【远舟控股债券违约】记者今日获悉……"]
    found = words(told)
    assert {"违约", "债券", "远舟", "控股"} == set(list(found)[:4])
    assert (found["违约"], found["债券"]) == (3, 3)
    assert not {"公司", "股票", "今日", "记者"} & set(found)
    assert not {"违约", "远舟"} & set(words(told, ["远舟控股债券违约"] * 60)), "what is always said tells nothing"


def test_both_languages_together():
    found = words(["Harbour Bank default 违约", "违约：Harbour Bank", "default! 违约！"])
    assert found["违约"] == 3 and found["default"] == 2


def test_names_of_companies_are_left_out():
    told = ["Harbour Bank default", "default at Harbour Bank", "贵州茅台违约", "贵州茅台股票违约"]
    assert set(words(told, known=("Harbour Bank", "贵州茅台"))) == {"default", "违约"}


def test_one_story_tells_nothing_from_others_and_nothing_to_compare_with_is_no_failure():
    assert words(["bond default at Harbour Bank"]) == {}
    assert words([]) == {}
    assert words(["bond default", "default of a bond"], usual=[]) == {"bond": 2, "default": 2}


def test_a_word_that_a_story_repeats_counts_once():
    assert words(["default default default", "defaults", "calm"])["default"] == 2


@examples(60)
@given(st.lists(texts(300), max_size=6), st.lists(texts(200), max_size=4))
def test_whatever_stories_say_is_counted_or_left_out(told: list[str], usual: list[str]):
    found = telling(said(told, segment), usual)
    assert len(found) <= MOST
    for each in found:
        assert max(2, LEAST_SHARE * len(told)) <= each.stories <= len(told)
        assert each.word not in COMMON
        assert 2 <= len(each.word) <= 40 and each.word.isprintable()
    assert telling(said(told[::-1], segment), usual[::-1]) == found


def test_a_hostile_text_is_read_in_no_time():
    began = time.perf_counter()
    said(["<" * 20_000, "a-" * 10_000, "@" * 20_000, "a" * 19_999 + "@", "长" * 20_000] * 20, segment)
    assert time.perf_counter() - began < 5
