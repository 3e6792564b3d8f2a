"""Near-duplicate bands: copies share one, different stories do not."""

from __future__ import annotations

import random
import time
from datetime import timedelta

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from ingest.text import near_duplicates
from ingest.text.copies import is_copy, lead_of

CHINESE = (
    "该公司今日发布公告称，因主要供应商停产，旗下两家工厂将于下周起减产三成，"
    "预计影响本季度营收约4.6亿元，公司正与客户协商延期交付，并已启动备选方案。"
)
ENGLISH = (
    "The carmaker said on Friday it would cut output at two plants by a third from next week after a key supplier halted production, "
    "a move expected to cost it about $460 million in revenue this quarter as it talks with customers about late deliveries."
)


def same_story(one: tuple[str, str], two: tuple[str, str], apart: timedelta = timedelta(minutes=5)) -> bool:
    """As the worker decides: a shared band, and leads that are copies."""
    leads = [lead_of(title, near_duplicates.without_frame(text)) for title, text in (one, two)]
    return bool(set(near_duplicates.lsh_bands(*one)) & set(near_duplicates.lsh_bands(*two))) and is_copy(leads[0], leads[1], apart)


@pytest.mark.parametrize("text", [CHINESE, ENGLISH], ids=["zh", "en"])
def test_a_copy_with_another_headline_shares_a_band(text):
    original = ("标题一", text)
    frames = ["（海港社电）", "【另一个标题】海港社11月22日电，", "HARBOUR CITY (Reuters) - ", ""]
    for frame in frames:
        assert same_story(original, ("Quite another headline", frame + text)), frame
    assert same_story(original, ("标题", text + " 本文仅供参考，不构成投资建议。" * 20)), "cut at another length"


@pytest.mark.parametrize(("text", "floor"), [(CHINESE, 0.9), (ENGLISH, 0.9)], ids=["zh", "en"])
def test_small_edits_keep_a_shared_band(text, floor):
    """Two words replaced: nearly all of 200 seeded edits share a band."""
    chance = random.Random(7)
    kept = 0
    for _ in range(200):
        tokens = text.split(" ") if " " in text else list(text)
        for place in chance.sample(range(len(tokens)), 2):
            tokens[place] = chance.choice(["另", "某", "之"]) if " " not in text else chance.choice(["also", "some", "later"])
        edited = (" " if " " in text else "").join(tokens)
        kept += bool(set(near_duplicates.lsh_bands("", text)) & set(near_duplicates.lsh_bands("", edited)))
    assert kept >= floor * 200


def test_stories_of_one_template_share_no_band():
    """Only companies and figures differ."""
    chance = random.Random(7)
    names = ["海港控股", "曦光电力", "澜木芯片", "北岸银行", "云杉医药", "白鹭航运", "青石能源", "落日传媒"]

    def report() -> str:
        name = chance.choice(names)
        price, shares = f"{chance.uniform(1, 90):.3f}亿元", f"{chance.randint(100, 9999)}万股"
        return f"{name}今日公告，拟以{price}回购{shares}股份，回购价格不超过{chance.uniform(3, 80):.2f}元/股。"

    merged = sum(same_story(("", report()), ("", report())) for _ in range(300))
    assert merged <= 3


def test_short_text_has_no_bands():
    assert near_duplicates.lsh_bands("", "") == ()
    assert near_duplicates.lsh_bands("公告", "") == ()
    assert near_duplicates.lsh_bands("", "😀😀😀") == ()


@given(st.text(max_size=300), st.text(max_size=600))
def test_bands_are_at_most_22_numbers_of_63_bits(title, text):
    found = near_duplicates.lsh_bands(title, text)
    assert len(found) in (0, 1, 21, 22)
    assert all(0 <= band < 2**63 for band in found)
    assert found == near_duplicates.lsh_bands(title, text)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=80))
def test_the_sketch_equals_datasketch(values):
    """datasketch is the reference."""
    reference = MinHash(num_perm=near_duplicates.PERMUTATIONS, scheme="affine32", seed=1, hashfunc=int)
    reference.update_batch(values)
    assert near_duplicates.sketch(np.array(values, dtype=np.uint32)).tolist() == reference.hashvalues.tolist()


def test_bands_are_computed_fast():
    begun = time.process_time()
    for number in range(1_000):
        near_duplicates.lsh_bands(f"标题{number}", f"{number}{CHINESE}{ENGLISH}")
    assert time.process_time() - begun < 0.8  # measured: 0.2 ms per article; limit: 0.8
