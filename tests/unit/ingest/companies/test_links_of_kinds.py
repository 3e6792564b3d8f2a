"""Kinds of texts in which names of companies were misread: names inside other words, ordinary words, spellings, roles."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.records import CompanyScore, Role, Score
from core.series import facts
from ingest.companies.codes import share_code
from ingest.companies.company_files import load_companies
from tests.helpers.shared_data import shared_dir

LINKS = load_companies()
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def found(text: str) -> list[str]:
    return [mention.company for mention in LINKS.mentions(text)]


def roles(text: str) -> dict[str, str]:
    return {mention.company: mention.role for mention in LINKS.mentions(text)}


@pytest.mark.parametrize("case", ["15_zh_company_inside_words", "16_en_company_words", "17_company_spellings_missed"])
def test_cases_of_the_shared_folder(case):
    lines = _case(case, "cases.tsv").read_text("utf8").splitlines()
    for text, company, *_ in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        assert found(text) == ([company] if company and not company.startswith("[") else []), text


def test_brokers_of_the_shared_folder_are_speakers():
    for text in _case("18_broker_gets_the_rating", "texts.txt").read_text("utf8").splitlines():
        first, *others = roles(text).values()
        assert (first, set(others)) == ("speaker", {"subject"}), text


def _case(name: str, file: str) -> Path:
    return shared_dir() / "cases" / name / file


@pytest.mark.parametrize(
    "text",
    [
        "中国航天科工发布计划",
        "美国航空母舰抵港",
        "轻工行业回暖",
        "基建行业提速",
        "代表团的外交行程",
        "市长和市民交流",
        "延长和扩大合作",
        "南京东路客流上升",
        "加快手续办理",
        "北京信息化水平提高",
        "中国软件产业规模增长",
        "中国电影票房破百亿",
        "中国石油进口下降",
        "中国银行业利润增长",
        "中国移动支付普及",
        "给股民带来新希望",
        "农产品期货大涨",
        "人形机器人概念走强",
        "太阳能装机增长",
        "西藏旅游人数上升",
        "济南高新区开工",
        "宁波甲乙光电股份有限公司减持",
        "某某企业管理发展有限公司成立",
        "核心驱动力是需求",
        "小米价格上涨，玉米和大豆下跌",
        "洛川苹果丰收，果农增收",
        "公司拟在港交所上市",
        "一家企业向港交所递交申请",
        "理想状态下可行",
        "平安夜消费升温",
        "美的是态度",
    ],
)
def test_chinese_names_inside_other_words_and_bodies_are_not_companies(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "company"),
    [
        ("国航增班", "601111.SH"),
        ("工行业绩向好", "601398.SH"),
        ("长和股价回升", "00001.HK"),
        ("中国银行业绩增长", "601988.SH"),
        ("新希望：6月销售生猪增长", "000876.SZ"),
        ("机器人：上半年净利润增长", "300024.SZ"),
        ("农产品(000061)涨停", "000061.SZ"),
        ("港交所CEO：将优化机制", "00388.HK"),
        ("小米发布新车", "01810.HK"),
        ("苹果跌超2%", "AAPL"),
        ("ST易购公告", "002024.SZ"),
        ("*ST易购公告", "002024.SZ"),
        ("苏宁电器曾用名", "002024.SZ"),
        ("深发展时期", "000001.SZ"),
        ("包商银行破产", "BAOSHANG"),
        ("恒大清盘", "03333.HK"),
        ("硅谷银行倒闭", "SIVBQ"),
        ("瑞信被收购", "CSGN.SW"),
        ("海外媒体：中芯国际扩产", "00981.HK"),
    ],
)
def test_chinese_names_are_found(text, company):
    assert found(text) == [company]


def test_a_weak_name_counts_beside_companies_in_an_enumeration():
    assert found("节能风电、太阳能、三峡能源涨停") == ["601016.SH", "000591.SZ", "600905.SH"]


@pytest.mark.parametrize(
    "text",
    [
        "JD Vance says tariffs will rise",
        "Vice President JD Vance visits",
        "US Intel points to an attack",
        "Intel agencies warn",
        "25 BP hike expected",
        "a 50-BP cut",
        "Central Bank of China meets",
        "the People's Bank of China",
        "Industrial Bank of Korea",
        "Target price raised to $50",
        "Drones Target Ports After Raid",
        "Gap in wages widens",
        "Judge Moves to Block Cuts at Agency",
        "Visa rules tighten for students",
        "Golden Visa ends",
        "Apple pie recipe",
        "Shell companies used to launder money",
        "Ford the president pardoned him",
        "President Ford spoke",
        "Harrison Ford stars",
        "In the Amazon, fires rage",
        "Oracle of Omaha speaks",
        "Meta-analysis of trials",
        "Uber-rich pay less tax",
        "Citi Field opens",
        "Bank of America Stadium",
        "Caterpillar larvae eat crops",
        "Snap election called",
        "GM crops banned",
        "Red Sea Chaos Risks Driving Up Prices",
        "Graham Says He Will Draft Sanctions",
        "the U.N. agency",
        "Listed on the Nasdaq",
    ],
)
def test_english_words_and_other_bodies_are_not_companies(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "company"),
    [
        ("JD beats estimates", "09618.HK"),
        ("Intel cuts jobs", "INTC"),
        ("BP profit falls", "BP.L"),
        ("Bank of China profit rises", "601988.SH"),
        ("Shares of Target fell 5%", "TGT"),
        ("Target raises guidance", "TGT"),
        ("Gap shares jump", "GAP"),
        ("Gap (GAP) posts a loss", "GAP"),
        ("Visa beats estimates", "V"),
        ("Shell profit doubles", "SHEL.L"),
        ("Ford recalls cars", "F"),
        ("Amazon workers strike", "AMZN"),
        ("Meta layoffs continue", "META"),
        ("GM recalls trucks", "GM"),
        ("Uber drivers strike", "UBER"),
        ("Silicon Valley Bank collapses", "SIVBQ"),
        ("SVB fails", "SIVBQ"),
        ("First Republic sinks", "FRCB"),
        ("Credit Suisse is taken over", "CSGN.SW"),
        ("Signature Bank is closed", "SBNY"),
        ("Silvergate winds down", "SICP"),
        ("Lehman Brothers", "LEHMQ"),
    ],
)
def test_english_companies_are_found(text, company):
    assert found(text) == [company]


MOUTAI = [
    "SH.600519",
    "600519.sh",
    "sh600519",
    "SH600519",
    "600519",
    "(600519.SS)",
    "600519.XSHG",
    "SSE:600519",
    "６００５１９．ＳＨ",
    "600519 CH Equity",
]
TENCENT = ["HK.00700", "0700.HK", "700.HK", "00700", "HKEX:700", "700 HK Equity", "hk00700", "騰訊控股", "腾 讯 控 股"]
APPLE = ["NASDAQ:AAPL", "AAPL.O", "AAPL US Equity", "$AAPL", "AAPL.US", "aapl.us", "US.AAPL", "AAPL", "ＡＡＰＬ．ＵＳ"]
BERKSHIRE = ["BRK.B US Equity", "$BRK.B", "NYSE: BRK.B", "BRK/B.N", "BRK-B.US", "BRK.B", "BRK-B"]


@pytest.mark.parametrize(
    ("text", "company"),
    [(text, key) for key, texts in {"600519.SH": MOUTAI, "00700.HK": TENCENT, "AAPL": APPLE, "BRK.B": BERKSHIRE}.items() for text in texts],
)
def test_every_spelling_of_a_ticker_or_name_is_linked(text, company):
    assert found(text) == [company]
    assert found(f"今日，{text}。") == [company]


@pytest.mark.parametrize("text", ["成交600519元", "营收600,519元", "共600519股", "编号1600519", "2026年", "$$R$$I", "(AI)", "上涨3.600519"])
def test_numbers_and_letters_that_are_not_codes_are_not_linked(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("code", "key"), [("SH600519", "600519.SH"), ("hk.700", "00700.HK"), ("BRK-B", "BRK.B"), ("AAPL.O", "AAPL"), ("NYSE:T", "T")]
)
def test_codes_of_sources_are_normalized(code, key):
    assert share_code(code) == key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("中金：维持腾讯买入评级", {"601995.SH": "speaker", "00700.HK": "subject"}),
        ("摩根大通将博通目标价上调至500美元", {"JPM": "speaker", "AVGO": "subject"}),
        ("国泰海通研报指出，看好银行板块", {"601211.SH": "speaker"}),
        ("瑞银分析师表示，特斯拉被高估", {"UBSG.SW": "speaker", "TSLA": "subject"}),
        ("高盛上调股息", {"GS": "subject"}),
        ("高盛裁员3200人", {"GS": "subject"}),
        ("中信证券：上半年净利润增长20%", {"600030.SH": "subject"}),
        ("汇丰控股：拟派息0.1美元", {"00005.HK": "subject"}),
        ("特斯拉表示将降价", {"TSLA": "subject"}),
        ("比亚迪销量超过特斯拉", {"002594.SZ": "subject", "TSLA": "comparison"}),
        ("与英伟达相比，AMD更便宜", {"NVDA": "comparison", "AMD": "subject"}),
        ("Goldman raises Apple target to $250", {"GS": "speaker", "AAPL": "subject"}),
        ("Tesla downgraded by UBS", {"TSLA": "subject", "UBSG.SW": "speaker"}),
        ("Citi analysts expect gold to rise", {"C": "speaker"}),
        ("According to Bank of America, stocks will fall", {"BAC": "speaker"}),
        ("Morgan Stanley sees oil at $100", {"MS": "speaker"}),
        ("Goldman Sachs cuts 3,000 jobs", {"GS": "subject"}),
        ("Barclays raises dividend", {"BARC.L": "subject"}),
        ("Deutsche Bank profit doubles", {"DBK.DE": "subject"}),
        ("Nvidia rival AMD launches a chip", {"NVDA": "comparison", "AMD": "subject"}),
        ("Apple overtakes Microsoft", {"AAPL": "subject", "MSFT": "comparison"}),
    ],
)
def test_the_role_of_each_company(text, expected):
    assert roles(text) == expected


def test_speakers_count_for_no_series_of_their_own():
    named: list[tuple[str, str, Role]] = [("GS", "banks", "speaker"), ("NFLX", "media", "subject"), ("DIS", "media", "comparison")]
    scores = [
        CompanyScore(company=key, sector=sector, role=role, p_negative=0.9, p_neutral=0.1, p_positive=0.0) for key, sector, role in named
    ]
    score = Score(
        id="a" * 16, source="s", language="en", published_at=NOW, story="a" * 16, p_negative=0.9, p_neutral=0.1, p_positive=0.0,
        topics={}, companies=tuple(scores), model="m", scored_at=NOW,
    )  # fmt: skip
    series = {name for name, *_ in facts(score)}
    assert {"company:NFLX", "company:DIS", "sector:media"} <= series
    assert not {"company:GS", "sector:banks"} & series
