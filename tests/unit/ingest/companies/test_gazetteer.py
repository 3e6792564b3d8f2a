"""Companies found in texts of both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from ingest.companies.company_files import curated_companies, load_companies, shipped_listings
from ingest.companies.gazetteer import Company, Gazetteer, share_code

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


def test_the_names_of_curated_companies_are_found():
    for company in curated_companies():
        assert company.key in {mention.company for mention in SHIPPED.mentions(f"据悉，{company.name_zh}今日公告")}, company


def test_names_of_listed_companies_are_found_unless_they_are_weak():
    listed = [
        company for company in shipped_listings() if company.key.endswith((".SH", ".SZ", ".BJ")) and company.name_zh not in company.weak
    ]
    assert len(listed) > 5_000
    lost = [
        company for company in listed if company.key not in {each.company for each in SHIPPED.mentions(f"据悉，{company.name_zh}今日公告")}
    ]
    assert len(lost) < 0.01 * len(listed), lost


ONE = "[[companies]]\nkey = 'A'\nname_en = 'Same'\nname_zh = '甲'\nsector = 'banks'\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[companies]]\nkey = 'A'\nname_en = 'A'\nname_zh = '甲'\nsector = 'magic'", "number 1 .*sector 'magic'"),
        ("[[companies]]\nkey = 'A'\nname_en = 'A'\nsector = 'banks'", "name_zh"),
        (ONE + ONE.replace("'A'", "'B'"), "names both A and B"),
        ("key = ", "not valid TOML"),
        ("", "has no"),
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
