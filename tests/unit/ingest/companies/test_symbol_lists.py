"""Companies built from lists of symbols: strong and weak names, ambiguous names, linking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import SettingsError
from ingest.companies.company_files import load_companies, to_toml
from ingest.companies.gazetteer import Gazetteer, plain_name
from ingest.companies.symbol_lists import build, read_listings
from models.inference.segmentation import everyday_words
from models.registry.manifest import shipped
from tests.helpers.shared_data import shared_dir
from tocsin.cli import main

OPEN = """code,exchange,region,name,lang
600841,SSE,CN,动力新科,zh
000591,SZSE,CN,太阳能,zh
600370,SSE,CN,*ST三房,zh
000003,SZSE,CN,宏 远A,zh
00544,HKEX,HK,DAIDO GROUP,en
01555,HKEX,HK,TWICE LISTED,en
41555,HKEX,HK,TWICE LISTED,en
AAPL,NASDAQ,US,Apple Inc. Common Stock,en
HTLD,NASDAQ,US,Heartland Express Inc. Common Stock,en
ZTGT,NYSE,US,Harvest Corporation Common Stock,en
INACR,NASDAQ,US,Indigo Acquisition Corp. Right,en
RC^E,NYSE,US,Ready Capital Corporation 6.50% Series E Cumulative Redeemable Preferred Stock,en
ZZA,NYSE,US,Same Name Ltd Ordinary Shares,en
ZZB,NYSE,US,Same Name Inc. Common Stock,en
"""
REGISTER = """full_name,short_name,code,exchange,industry,listed
上海柴油机股份有限公司,上柴股份,600841,SSE,底盘与发动机系统,1994-03-11
"""
MEMBERS = """Symbol,Security,GICS Sector,GICS Sub-Industry
ZTGT,Harvest Corporation,Consumer Staples,Consumer Staples Merchandise Retail
"""


@pytest.fixture(scope="module")
def symbols(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("symbols")
    for name, content in (("open.csv", OPEN), ("register.csv", REGISTER), ("members.csv", MEMBERS)):
        (folder / name).write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def gazetteer(symbols, tmp_path_factory) -> Gazetteer:
    """The gazetteer of the file that `tocsin companies build` wrote."""
    out = tmp_path_factory.mktemp("out") / "companies.toml"
    assert main(["companies", "build", "--symbols", str(symbols), "--out", str(out)]) == 0
    return load_companies(out)


def _found(gazetteer: Gazetteer, text: str) -> list[str]:
    return [mention.company for mention in gazetteer.mentions(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("上柴股份更名为动力新科", ["600841.SH"]),
        ("上海柴油机股份有限公司公告", ["600841.SH"]),
        ("*ST三房复牌，三房今日", ["600370.SH"]),
        ("600370.SH and $HTLD", ["600370.SH", "HTLD"]),
        ("Heartland Express rises", ["HTLD"]),
        ("Harvest Corporation rises", ["ZTGT"]),
        ("Shares of DAIDO GROUP; 0544.HK", ["00544.HK"]),
        ("贵州茅台", ["600519.SH"]),
    ],
)
def test_listed_names_and_codes_are_found(gazetteer, text, expected):
    assert _found(gazetteer, text) == expected


@pytest.mark.parametrize("text", ["太阳能装机增长", "a harvest of 5 %, Harvest of rumours", "Indigo Acquisition", "Same Name said", "宏远"])
def test_common_words_rights_and_ambiguous_names_are_not_found(gazetteer, text):
    assert _found(gazetteer, text) == []


@pytest.mark.parametrize(
    ("name", "company"),
    [
        ("太阳能", "000591.SZ"),
        ("宏远", "000003.SZ"),
        ("Harvest", "ZTGT"),
        ("HARVEST CORP.", "ZTGT"),
        ("The Heartland Express, Inc.", "HTLD"),
        ("Ａｐｐｌｅ　Ｉｎｃ．", "AAPL"),
        ("上海柴油机", "600841.SH"),
        ("上海柴油机股份有限公司", "600841.SH"),
        ("600841.SH", "600841.SH"),
        ("$AAPL", "AAPL"),
        ("Same Name", None),
        ("Same Name Ltd", None),
        ("Nobody", None),
        ("", None),
    ],
)
def test_an_organisation_is_linked_by_any_of_its_names(gazetteer, name, company):
    """Weak names count here: the tag head has found an organisation."""
    found = gazetteer.link(name)
    assert (found.key if found else None) == company


def test_sectors_are_read_from_the_lists(gazetteer):
    sectors = {key: gazetteer.companies[key].sector for key in ("600841.SH", "ZTGT", "HTLD", "AAPL")}
    assert sectors == {"600841.SH": "autos", "ZTGT": "consumer", "HTLD": "", "AAPL": "technology"}


def test_shipped_companies_are_kept_and_extended(gazetteer):
    for key, company in load_companies().companies.items():
        now = gazetteer.companies[key]
        assert set(company.aliases) <= set(now.aliases)
        assert (company.sector or now.sector, company.unless, company.codes) == (now.sector, now.unless, now.codes)


def test_written_companies_are_read_back_unchanged(symbols, tmp_path):
    built = build(read_listings(symbols), load_companies().companies.values())
    (tmp_path / "c.toml").write_text(to_toml(built), encoding="utf-8")
    assert list(load_companies(tmp_path / "c.toml").companies.values()) == built


def test_a_folder_without_lists_is_rejected(tmp_path):
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SettingsError, match="no CSV file with columns"):
        read_listings(tmp_path)


def test_plain_names_of_different_companies_differ():
    assert plain_name("Bank of China Ltd") == plain_name("BANK OF CHINA") != plain_name("Bank of Canada")
    assert plain_name("Co., Ltd.") == "" or plain_name("!!") == ""


def test_companies_link_prints_the_company(capsys):
    assert main(["companies", "link", "--json", "Apple Inc.", "nobody at all"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"name": "Apple Inc.", "company": "AAPL"},
        {"name": "nobody at all", "company": None},
    ]


def test_a_gazetteer_of_all_lists_loads_and_finds_companies(tmp_path):
    """Lists of 20,000 shares are built and loaded within seconds and find more companies than the shipped list."""
    folder = shared_dir() / "data" / "symbols"
    built = build(read_listings(folder), load_companies().companies.values(), everyday_words(shipped()))
    assert len(built) > 10_000
    gazetteer = Gazetteer(built)
    assert _found(gazetteer, "三安光电与花溪科技签约") == ["600703.SH", "920895.BJ"]
    assert _found(gazetteer, "太阳能、机器人、农产品和老百姓") == []
