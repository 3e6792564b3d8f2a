"""Salient terms of stories against reference texts, in both languages."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from models.inference.segmentation import segment
from stream.detection.salient_terms import MAX_TERMS, MIN_SHARE, STOP_WORDS, extract_terms, salient_terms
from tests.helpers.strategies import examples, texts

REFERENCE = [
    "Shares close higher in a quiet session",
    "Retail sales beat forecasts, stocks rise",
    "Company raises dividend as profit grows",
    "两市成交额突破万亿元，沪指小幅收涨",
    "公司签订重大合同，股票继续上涨",
    "央行开展逆回购操作，利率保持不变",
] * 10


def words(stories: list[str], reference: list[str] = REFERENCE, names: tuple[str, ...] = ()) -> dict[str, int]:
    return {found.word: found.stories for found in salient_terms(extract_terms(stories, segment), reference, names)}


def test_chinese_is_segmented_into_words():
    assert segment(["某公司债券违约", "远舟控股未能按期兑付债券", "债", "碧桂园集团"]) == [
        ["公司", "债券", "违约"],
        ["远舟", "控股", "未能", "按期兑付", "债券"],
        [],
        ["碧桂园", "集团"],
    ]
    assert segment([]) == []


def test_terms_of_most_stories_that_the_reference_lacks_come_first_in_english():
    stories = [
        "Harbour Bank's bonds default; 3.5% coupon unpaid on Monday",
        "Default: Harbour Bank misses bond payment, the company said",
        "Bond default shakes lenders http://example.org/default-default",
        "Shares close higher after default of a lender",
    ]
    found = words(stories)
    assert next(iter(found)) == "default"
    assert (found["default"], found["bond"]) == (4, 3)
    assert not {"shares", "close", "higher", "company", "said", "monday", "bonds", "http"} & set(found)
    assert all(not char.isdigit() for word in found for char in word)


def test_terms_of_most_stories_that_the_reference_lacks_come_first_in_chinese():
    stories = ["远舟控股公司债券未能如期兑付，构成违约", "远舟控股：违约债券共３只，股票停牌", "【远舟控股债券违约】记者今日获悉……"]
    found = words(stories)
    assert {"违约", "债券", "远舟", "控股"} == set(list(found)[:4])
    assert (found["违约"], found["债券"]) == (3, 3)
    assert not {"公司", "股票", "今日", "记者"} & set(found)
    assert not {"违约", "远舟"} & set(words(stories, ["远舟控股债券违约"] * 60)), "terms of the reference are not salient"


def test_stories_in_both_languages_have_terms_in_both():
    found = words(["Harbour Bank default 违约", "违约：Harbour Bank", "default! 违约！"])
    assert found["违约"] == 3 and found["default"] == 2


def test_names_of_companies_are_left_out():
    stories = ["Harbour Bank default", "default at Harbour Bank", "贵州茅台违约", "贵州茅台股票违约"]
    assert set(words(stories, names=("Harbour Bank", "贵州茅台"))) == {"default", "违约"}


def test_one_story_has_no_terms_and_an_empty_reference_is_allowed():
    assert words(["bond default at Harbour Bank"]) == {}
    assert words([]) == {}
    assert words(["bond default", "default of a bond"], reference=[]) == {"bond": 2, "default": 2}


def test_a_repeated_word_counts_once_per_story():
    assert words(["default default default", "defaults", "calm"])["default"] == 2


@examples(60)
@given(st.lists(texts(300), max_size=6), st.lists(texts(200), max_size=4))
def test_terms_of_any_text_are_frequent_printable_and_independent_of_order(stories: list[str], reference: list[str]):
    found = salient_terms(extract_terms(stories, segment), reference)
    assert len(found) <= MAX_TERMS
    for each in found:
        assert max(2, MIN_SHARE * len(stories)) <= each.stories <= len(stories)
        assert each.word not in STOP_WORDS
        assert 2 <= len(each.word) <= 40 and each.word.isprintable()
    assert salient_terms(extract_terms(stories[::-1], segment), reference[::-1]) == found


def test_hostile_texts_are_read_in_linear_time():
    began = time.perf_counter()
    extract_terms(["<" * 20_000, "a-" * 10_000, "@" * 20_000, "a" * 19_999 + "@", "长" * 20_000] * 20, segment)
    assert time.perf_counter() - began < 5
