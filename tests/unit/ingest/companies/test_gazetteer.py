"""Companies in texts of both languages, and near-duplicate bands."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from ingest.companies.gazetteer import Company, Gazetteer, load_companies, share_code
from ingest.text import near_duplicates

SHIPPED = load_companies()


def found(text: str) -> dict[str, str]:
    return {mention.company: mention.surface for mention in SHIPPED.mentions(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("贵州茅台与腾讯控股齐跌，茅台领跌", {"600519.SH": "贵州茅台", "00700.HK": "腾讯控股"}),
        ("Apple and TESLA fall; apple pie does not", {"AAPL": "Apple", "TSLA": "TESLA"}),
        ("JPMorgan Chase's profit", {"JPM": "JPMorgan Chase"}),
        ("受高通胀影响，苹果期货主力合约下跌", {}),
        ("美国高通发布芯片", {"QCOM": "高通"}),
        ("中国银行业监管趋严", {}),
        ("中国银行净利润增长", {"601988.SH": "中国银行"}),
        ("The People's Bank of China cut rates", {}),
        ("Bank of America and Bank of China", {"BAC": "Bank of America", "601988.SH": "Bank of China"}),
        (
            "$AAPL, 0700.HK, 600519.SH and sh600036",
            {"AAPL": "$AAPL", "00700.HK": "0700.HK", "600519.SH": "600519.SH", "600036.SH": "sh600036"},
        ),
        ("AT&T, P&G, L’Oréal, McDonald’s", {"T": "AT&T", "PG": "P&G", "OR.PA": "L’Oréal", "MCD": "McDonald’s"}),
        ("the catalyst for metal in intelligence", {}),
        ("Metaverse, Oracles, Fordham, Shelly", {}),
        ("特斯拉Tesla", {"TSLA": "特斯拉"}),
        ("İstanbul: Nvidia rises", {"NVDA": "Nvidia"}),
        ("", {}),
    ],
)
def test_companies_are_found_where_they_are_named(text, expected):
    assert found(text) == expected


def test_codes_attached_by_the_source_are_added_to_the_mentions():
    given = [("00700.HK", "腾讯控股"), ("AAPL.US", "苹果"), ("BK0481", "汽车板块"), ("688001.SH", "华兴源创"), ("01211.HK", "比亚迪股份")]
    mentions = SHIPPED.mentions("腾讯回购", given)
    assert [(mention.company, mention.surface) for mention in mentions] == [
        ("00700.HK", "腾讯"),
        ("AAPL", "苹果"),
        ("688001.SH", "华兴源创"),
        ("002594.SZ", "比亚迪股份"),
    ]


@pytest.mark.parametrize(
    ("code", "key"),
    [("700.HK", "00700.HK"), ("aapl.us", "AAPL"), ("BRK.B", "BRK.B"), ("600519.SS", "600519.SH"), ("BK0481", ""), ("159915", ""), ("", "")],
)
def test_share_codes_are_normalized(code, key):
    assert share_code(code) == key


@given(st.text(max_size=200))
def test_surface_forms_occur_in_the_text(text):
    for mention in SHIPPED.mentions(text + " 腾讯 Apple"):
        assert mention.surface in text + " 腾讯 Apple"


def test_the_shipped_list_is_complete():
    assert len(SHIPPED.companies) > 200
    for company in SHIPPED.companies.values():
        assert company.key in {mention.company for mention in SHIPPED.mentions(f"据悉，{company.name_zh}今日公告")}, company


ONE = "[[companies]]\nkey = 'A'\nname_en = 'Same'\nname_zh = '甲'\nsector = 'banks'\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[companies]]\nkey = 'A'\nname_en = 'A'\nname_zh = '甲'\nsector = 'magic'", "number 1 .*sector 'magic'"),
        ("[[companies]]\nkey = 'A'\nname_en = 'A'\nsector = 'banks'", "name_zh"),
        (ONE + ONE.replace("'A'", "'B'"), "names both A and B"),
        ("key = ", "not TOML"),
        ("", "holds no"),
    ],
)  # fmt: skip
def test_an_invalid_list_is_reported_with_its_place(tmp_path, text, complaint):
    path = tmp_path / "companies.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=complaint):
        load_companies(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_companies(Path(tmp_path / "none.toml"))


def test_an_empty_gazetteer_finds_nothing():
    assert Gazetteer([]).mentions("腾讯") == ()
    one = Gazetteer([Company(key="X1", name_en="Xylo One", name_zh="一木", sector="banks", aliases=("一木集团",))])
    assert [mention.surface for mention in one.mentions("一木集团与一木")] == ["一木集团"]


CHINESE = (
    "该公司今日发布公告称，因主要供应商停产，旗下两家工厂将于下周起减产三成，"
    "预计影响本季度营收约4.6亿元，公司正与客户协商延期交付，并已启动备选方案。"
)
ENGLISH = (
    "The carmaker said on Friday it would cut output at two plants by a third from next week after a key supplier halted production, "
    "a move expected to cost it about $460 million in revenue this quarter as it talks with customers about late deliveries."
)


def same_story(one: tuple[str, str], two: tuple[str, str]) -> bool:
    return bool(set(near_duplicates.lsh_bands(*one)) & set(near_duplicates.lsh_bands(*two)))


@pytest.mark.parametrize("text", [CHINESE, ENGLISH], ids=["zh", "en"])
def test_a_copy_with_another_headline_shares_a_band(text):
    original = ("标题一", text)
    frames = ["（海港社电）", "【另一个标题】海港社11月22日电，", "HARBOUR CITY (Reuters) - ", ""]
    for frame in frames:
        assert same_story(original, ("Quite another headline", frame + text)), frame
    assert same_story(original, ("标题", text + " 本文仅供参考，不构成投资建议。" * 20)), "cut at another length"


@pytest.mark.parametrize(("text", "floor"), [(CHINESE, 0.9), (ENGLISH, 0.9)], ids=["zh", "en"])
def test_small_edits_keep_a_shared_band(text, floor):
    """A word or two exchanged: 200 seeded edits, nearly all of which must share a band."""
    chance = random.Random(7)
    kept = 0
    for _ in range(200):
        tokens = text.split(" ") if " " in text else list(text)
        for place in chance.sample(range(len(tokens)), 2):
            tokens[place] = chance.choice(["另", "某", "之"]) if " " not in text else chance.choice(["also", "some", "later"])
        kept += same_story(("", text), ("", (" " if " " in text else "").join(tokens)))
    assert kept >= floor * 200


def test_stories_of_one_template_share_no_band():
    """Companies and figures differ, everything else is the same: 300 pairs, few of which may share a band."""
    chance = random.Random(7)
    names = ["海港控股", "曦光电力", "澜木芯片", "北岸银行", "云杉医药", "白鹭航运", "青石能源", "落日传媒"]

    def report() -> str:
        name = chance.choice(names)
        price, shares = f"{chance.uniform(1, 90):.3f}亿元", f"{chance.randint(100, 9999)}万股"
        return f"{name}今日公告，拟以{price}回购{shares}股份，回购价格不超过{chance.uniform(3, 80):.2f}元/股。"

    merged = sum(same_story(("", report()), ("", report())) for _ in range(300))
    assert merged <= 30


def test_short_text_has_no_bands():
    assert near_duplicates.lsh_bands("", "") == ()
    assert near_duplicates.lsh_bands("午间公告", "") == ()
    assert near_duplicates.lsh_bands("", "😀😀😀") == ()


@given(st.text(max_size=300), st.text(max_size=600))
def test_bands_are_16_numbers_of_63_bits_or_none(title, text):
    found = near_duplicates.lsh_bands(title, text)
    assert len(found) in (0, 16)
    assert all(0 <= band < 2**63 for band in found)
    assert found == near_duplicates.lsh_bands(title, text)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=80))
def test_the_sketch_equals_datasketch(values):
    """Ours is six lines of numpy; theirs is the reference."""
    reference = MinHash(num_perm=near_duplicates.PERMUTATIONS, scheme="affine32", seed=1, hashfunc=int)
    reference.update_batch(values)
    assert near_duplicates.sketch(np.array(values, dtype=np.uint32)).tolist() == reference.hashvalues.tolist()


def test_bands_are_computed_fast():
    begun = time.process_time()
    for number in range(1_000):
        near_duplicates.lsh_bands(f"标题{number}", f"{number}{CHINESE}{ENGLISH}")
    assert time.process_time() - begun < 0.8  # 0.2 ms an article when measured; 0.5 is the promise
