"""Mapping of the labels of data sets to our taxonomy.

A set supervises a topic only where its labels decide it: every (row, topic) pair has a target in {0, 1} and a weight, and weight 0
excludes the pair from the loss. A topic labelled in one language only is thus trained for both.

    labels of the row    ─▶ SourceLabels.labels     weight 1
    phrases of the text  ─▶ HINTS                   weight HINT_PRESENT with the phrase, HINT_ABSENT without it

Phrases replace labels that no set has (Chinese company events, crypto and chips in English), such as "回购" and "semiconductor".
The table is MAPPINGS below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.inference.keyword import HINTS, RISK_HINTS

HINT_PRESENT = 0.7
HINT_ABSENT = 0.15

FINANCE = tuple(key for key in TOPIC_KEYS if key != "other")


@dataclass(frozen=True, slots=True)
class SourceLabels:
    """Mapping of one topic set.

    labels: label -> topics that apply; an unlisted label is not used
    known: topics that do not apply to a row without such a label (target 0, weight `absent`)
    unsure: label -> topics that it leaves undecided, removed from `known` for its rows
    hinted: topics decided by HINTS where the labels do not
    only_mapped: ignore rows without a mapped label
    """

    labels: Mapping[str, tuple[str, ...]]
    known: tuple[str, ...]
    absent: float = 1.0
    unsure: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hinted: tuple[str, ...] = ()
    only_mapped: bool = False


COMPANY = ("earnings", "ratings", "mergers", "capital_raising", "shareholder_returns", "management", "legal", "business")
SECTORS = ("crypto", "real_estate", "technology", "financials")

TWITTER_TOPIC = SourceLabels(
    labels={
        "Analyst Update": ("ratings",),
        "Fed/Central Banks": ("central_banks",),
        "Company/Product": ("business",),
        "Treasuries/Corp Debt": ("credit",),
        "Dividend": ("shareholder_returns",),
        "Earnings": ("earnings",),
        "Energy/Oil": ("energy",),
        "Financials": ("earnings",),  # results tables, not banks: 77 % of its rows name EPS, revenue or a quarter
        "Currencies": ("currencies",),
        "General/Opinion": ("other",),
        "Gold/Metals": ("commodities",),
        "IPO": ("capital_raising",),
        "Legal/Regulation": ("legal",),
        "M&A": ("mergers",),
        "Macro": ("macro",),
        "Markets": ("markets",),
        "Politics": ("politics",),
        "Personnel": ("management",),
        "Stock Commentary": ("markets",),
        "Stock Movement": ("markets",),
    },
    known=tuple(key for key in TOPIC_KEYS if key not in SECTORS),
    hinted=SECTORS,
)

FINNL = SourceLabels(
    labels={
        "经济": ("macro",),
        "大盘": ("markets",),
        "政治": ("politics",),
        "能源": ("energy",),
        "债券": ("credit",),
        "房地产": ("real_estate",),
        "虚拟货币": ("crypto",),
        "外汇": ("currencies",),
        "期货": ("commodities",),
        "新冠": ("other",),
    },
    known=("macro", "markets", "politics", "energy", "credit", "real_estate", "crypto", "currencies", "commodities", "other"),
    unsure={
        "公司": ("markets", "real_estate", "energy", "commodities"),
        "行业": ("markets", "energy", "commodities", "real_estate", "other"),
        "期货": ("energy", "markets"),
        "经济": ("markets",),
        "国际": ("politics", "other"),
        "政策": ("other", "macro"),
        "外汇": ("markets", "macro"),
        "债券": ("markets",),
    },
    hinted=(*COMPANY, "technology", "financials", "central_banks"),
)

_FINESE_LEGAL = ("信批违规", "交易违规", "涉嫌非法集资", "财务造假", "涉嫌违法", "涉嫌传销", "涉嫌欺诈", "产品违规")
FINESE = SourceLabels(
    labels={
        **dict.fromkeys(_FINESE_LEGAL, ("legal",)),
        "评级调整": ("ratings",),
        "不能履职": ("management",),
        "高管负面": ("management",),
        "重组失败": ("mergers",),
        "业绩下滑": ("earnings",),
    },
    known=("legal", "management", "mergers", "ratings", "politics", "macro", "crypto", "currencies"),
    absent=0.5,  # its texts are concatenations of several headlines
    unsure={
        "其他": FINANCE,
        "实控人股东变更": ("mergers", "management"),
        "高管负面": ("legal",),
        "不能履职": ("legal",),
        "资金账户风险": ("legal",),
        "投诉维权": ("legal",),
        "资产负面": ("legal",),
        "提现困难": ("legal",),
        "失联跑路": ("legal",),
        "涉嫌传销": ("crypto",),
        "涉嫌非法集资": ("crypto",),
    },
)

_REUTERS_METALS = (
    "gold",
    "silver",
    "copper",
    "zinc",
    "tin",
    "lead",
    "nickel",
    "platinum",
    "palladium",
    "alum",
    "iron-steel",
    "strategic-metal",
)
_REUTERS_SOFTS = (
    *("grain", "wheat", "corn", "barley", "oat", "sorghum", "rice", "soybean", "oilseed", "veg-oil", "palm-oil", "meal-feed"),
    *("sugar", "coffee", "cocoa", "cotton", "rubber", "livestock", "carcass", "hog", "orange", "rapeseed", "lumber", "tea"),
)
_REUTERS_MACRO = ("gnp", "cpi", "bop", "wpi", "jobs", "ipi", "retail", "income", "lei", "housing", "inventories", "money-supply")
REUTERS = SourceLabels(
    labels={
        "earn": ("earnings",),
        "acq": ("mergers",),
        "interest": ("central_banks",),
        **dict.fromkeys(("money-fx", "dlr", "yen", "stg", "dmk"), ("currencies",)),
        **dict.fromkeys(("crude", "nat-gas", "gas", "fuel", "heat", "jet", "propane", "pet-chem"), ("energy",)),
        **dict.fromkeys((*_REUTERS_METALS, *_REUTERS_SOFTS), ("commodities",)),
        **dict.fromkeys(_REUTERS_MACRO, ("macro",)),
    },
    known=("earnings", "mergers", "currencies", "central_banks", "energy", "commodities", "macro", "crypto", "other"),
    unsure={
        "money-fx": ("central_banks", "macro"),
        "interest": ("currencies", "macro"),
        "trade": ("macro", "currencies", "commodities"),
        "reserves": ("macro", "currencies", "central_banks"),
        "money-supply": ("central_banks",),
        "ship": ("energy", "commodities"),
    },
    hinted=("shareholder_returns", "credit"),
    only_mapped=True,
)

CLS_SUBJECTS = SourceLabels(
    labels={
        **dict.fromkeys(
            ("美股动态", "盘面直播", "港股动态", "欧股动态", "股指期货", "美股盘前", "港股收盘", "券商策略", "龙虎榜"), ("markets",)
        ),
        **dict.fromkeys(("沪深港通资金动向", "融资融券", "南向资金追踪"), ("markets",)),
        **dict.fromkeys(("中东冲突", "俄乌冲突快报", "外交动态", "时政新闻播报"), ("politics",)),
        **dict.fromkeys(
            ("半导体芯片", "存储芯片", "人工智能", "算力", "机器人", "数据中心", "半导体设备", "光通信", "HBM"), ("technology",)
        ),
        **dict.fromkeys(("原油市场动态", "能源行业新闻", "天然气", "煤炭", "电力", "光伏", "风电", "核电", "储能"), ("energy",)),
        "能源类期货": ("energy", "commodities"),
        **dict.fromkeys(
            ("有色金属", "黄金", "有色·铜", "有色·镍", "有色·锌", "稀土永磁", "钢铁", "黑色系期货", "盐湖提锂"), ("commodities",)
        ),
        **dict.fromkeys(("海外大宗商品", "农产品期货", "禽畜期货", "橡胶", "油脂油料期货", "期货市场情报"), ("commodities",)),
        **dict.fromkeys(("银行业动态", "券商动态", "公募基金动态", "证券私募动态"), ("financials",)),
        **dict.fromkeys(("港股IPO动态", "A股IPO动态", "美股IPO动态", "创投风向标"), ("capital_raising",)),
        **dict.fromkeys(("美国宏观速递", "经济数据及解读", "美国经济"), ("macro",)),
        **dict.fromkeys(("美联储动态", "货币政策动向", "中国央行动态", "欧洲央行动态"), ("central_banks",)),
        **dict.fromkeys(("外汇期货", "人民币大新闻"), ("currencies",)),
        **dict.fromkeys(("房地产头条", "房企动态", "土地"), ("real_estate",)),
        "比特币": ("crypto",),
        **dict.fromkeys(("纪委动态", "A股监管动态", "A股风险提示公告"), ("legal",)),
        **dict.fromkeys(("足球盛宴2026", "体育产业", "地震快讯", "天气变化"), ("other",)),
    },
    known=(
        *("markets", "politics", "technology", "energy", "commodities", "financials", "capital_raising", "macro"),
        *("central_banks", "currencies", "real_estate", "crypto", "other"),
    ),
    absent=0.3,  # the editors' tags are incomplete
    unsure={"期货市场情报": ("energy", "currencies", "markets", "macro")},
    hinted=("earnings", "ratings", "mergers", "shareholder_returns", "management", "legal", "credit", "business"),
    only_mapped=False,
)

THUCNEWS = SourceLabels(
    labels={
        **dict.fromkeys(("sports", "entertainment", "game", "society", "education"), ("other",)),
        "realty": ("real_estate",),
        "politics": ("politics",),
        "science": ("technology",),
    },
    known=TOPIC_KEYS,
    unsure={
        "finance": FINANCE,
        "stocks": FINANCE,
        "realty": COMPANY,
        "politics": ("other", "legal", "macro"),
        "science": (*COMPANY, "other", "markets"),
        "game": ("business", "technology"),
        "society": ("legal", "politics"),
    },
)

AG_NEWS = SourceLabels(
    labels={"Sports": ("other",), "World": ("politics",), "Sci-Tech": ("technology",)},
    known=TOPIC_KEYS,
    unsure={"Business": FINANCE, "World": ("other", "legal", "macro", "energy"), "Sci-Tech": (*COMPANY, "other", "markets")},
)

#: Sentiment sets of headlines, whose topics come from phrases only.
HINTS_ONLY = SourceLabels(labels={}, known=(), hinted=(*COMPANY, *SECTORS, "energy", "currencies", "credit", "central_banks"))

MAPPINGS: Mapping[str, SourceLabels] = {
    "twitter_topic": TWITTER_TOPIC,
    "finnl": FINNL,
    "finese": FINESE,
    "reuters21578": REUTERS,
    "cls_subjects": CLS_SUBJECTS,
    "thucnews": THUCNEWS,
    "ag_news": AG_NEWS,
    "wwwxmu": HINTS_ONLY,
    "sentfin": HINTS_ONLY,
}

#: Event types of finese -> risk events; 其他 means that none applies.
FINESE_RISKS: Mapping[str, str] = {
    "信批违规": "disclosure",
    "交易违规": "trading",
    "财务造假": "accounting_fraud",
    "涉嫌欺诈": "fraud",
    "涉嫌非法集资": "illegal_fundraising",
    "涉嫌传销": "pyramid_scheme",
    "涉嫌违法": "crime",
    "提现困难": "payout_failure",
    "失联跑路": "payout_failure",
    "资金账户风险": "asset_freeze",
    "资产负面": "asset_freeze",
    "业绩下滑": "earnings_decline",
    "评级调整": "rating_change",
    "重组失败": "deal_failure",
    "实控人股东变更": "control_change",
    "不能履职": "management_loss",
    "高管负面": "management_loss",
    "产品违规": "product_safety",
    "投诉维权": "product_safety",
    "歇业停业": "closure",
}

#: English news sets, in which phrases replace risk labels, which exist for Chinese only.
RISKS_HINTED = frozenset(("fpb", "sentfin", "twitter_topic", "twitter_fin", "reuters21578"))


def topics_of(source: str, labels: Sequence[str]) -> frozenset[str]:
    """The topics to which labels of a mapped source correspond."""
    return frozenset(key for label in labels for key in MAPPINGS[source].labels.get(label, ()))


def risks_of(labels: Sequence[str]) -> frozenset[str]:
    """The risk events to which event types of finese correspond."""
    return frozenset(FINESE_RISKS[label] for label in labels if label in FINESE_RISKS)


def risk_targets(source: str, labels: Sequence[str], text: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """(targets, weights) over RISK_KEYS for one row; None if the set has no information about risk events."""
    if source == "finese":
        present = risks_of(labels)
        return tuple(float(key in present) for key in RISK_KEYS), (1.0,) * len(RISK_KEYS)
    if source not in RISKS_HINTED:
        return None
    hits = [RISK_HINTS[key].search(text) is not None if key in RISK_HINTS else None for key in RISK_KEYS]
    weights = tuple(0.0 if hit is None else HINT_PRESENT if hit else HINT_ABSENT for hit in hits)
    return tuple(float(hit or False) for hit in hits), weights


def topic_targets(source: str, labels: Sequence[str], text: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """(targets, weights) over TOPIC_KEYS for one row; None if the set or the row has no information about topics."""
    mapping = MAPPINGS.get(source)
    if mapping is None:
        return None
    present = topics_of(source, labels)
    unsure = {key for label in labels for key in mapping.unsure.get(label, ())}
    if mapping.only_mapped and not present:
        return None
    targets = dict.fromkeys(TOPIC_KEYS, 0.0)
    weights = dict.fromkeys(TOPIC_KEYS, 0.0)
    for key in mapping.known:
        weights[key] = 0.0 if key in unsure else mapping.absent
    for key in mapping.hinted:
        hit = HINTS[key].search(text) is not None
        targets[key], weights[key] = (1.0, HINT_PRESENT) if hit else (0.0, HINT_ABSENT)
    for key in present:
        targets[key] = weights[key] = 1.0
    if not any(weights.values()):
        return None
    return tuple(targets.values()), tuple(weights.values())


def known_topics(source: str) -> tuple[str, ...]:
    """Topics to which labels of `source` map, in the order of the taxonomy; the set is scored on these."""
    mapping = MAPPINGS[source]
    mapped = {key for keys in mapping.labels.values() for key in keys}
    return tuple(key for key in TOPIC_KEYS if key in mapped)
