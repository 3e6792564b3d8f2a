"""The taxonomy: topics and risk events with their display names in English and Chinese.

The key of a topic or event is stored and sent; the names are for display.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Topic(NamedTuple):
    """One topic. `key` is stable; `en` and `zh` are display names."""

    key: str
    en: str
    zh: str


TOPICS: tuple[Topic, ...] = (
    Topic("earnings", "Earnings", "业绩"),
    Topic("ratings", "Guidance and ratings", "业绩指引与评级"),
    Topic("mergers", "Mergers and acquisitions", "并购重组"),
    Topic("capital_raising", "IPO and capital raising", "上市与融资"),
    Topic("shareholder_returns", "Dividends and buybacks", "分红与回购"),
    Topic("management", "Management changes", "高管变动"),
    Topic("legal", "Legal and regulation", "法律与监管"),
    Topic("business", "Products and business", "产品与经营"),
    Topic("markets", "Stock moves and market commentary", "股市行情"),
    Topic("macro", "Macro data", "宏观数据"),
    Topic("central_banks", "Central banks and rates", "央行与利率"),
    Topic("credit", "Bonds and credit", "债券与信用"),
    Topic("financials", "Banks and financials", "银行与金融"),
    Topic("currencies", "Currencies", "外汇"),
    Topic("energy", "Energy", "能源"),
    Topic("commodities", "Metals and commodities", "金属与大宗商品"),
    Topic("crypto", "Crypto", "加密货币"),
    Topic("real_estate", "Real estate", "房地产"),
    Topic("technology", "Technology and chips", "科技与芯片"),
    Topic("politics", "Politics and geopolitics", "时政与地缘政治"),
    Topic("other", "Other", "其他"),
)

#: Risk events after the 21 event types of BBT FinESE, with synonymous types merged;
#: models/training/label_mapping.py has the mapping.
RISKS: tuple[Topic, ...] = (
    Topic("disclosure", "Disclosure violation", "信息披露违规"),
    Topic("trading", "Trading violation", "交易违规"),
    Topic("accounting_fraud", "Accounting fraud", "财务造假"),
    Topic("fraud", "Fraud", "欺诈"),
    Topic("illegal_fundraising", "Illegal fundraising", "非法集资"),
    Topic("pyramid_scheme", "Pyramid scheme", "传销"),
    Topic("crime", "Suspected crime", "涉嫌违法"),
    Topic("payout_failure", "Payout failure or absconding", "提现困难与失联"),
    Topic("insolvency", "Missed payment or insolvency", "违约与破产"),
    Topic("asset_freeze", "Frozen or impaired assets", "账户与资产风险"),
    Topic("earnings_decline", "Falling earnings", "业绩下滑"),
    Topic("rating_change", "Rating change", "评级调整"),
    Topic("deal_failure", "Failed deal", "重组失败"),
    Topic("control_change", "Change of control or holders", "实控人与股东变更"),
    Topic("management_loss", "Executive incapacity or misconduct", "高管履职异常与负面"),
    Topic("product_safety", "Product violations or complaints", "产品违规与投诉"),
    Topic("closure", "Closure", "停业"),
)

TOPIC_KEYS: tuple[str, ...] = tuple(topic.key for topic in TOPICS)
RISK_KEYS: tuple[str, ...] = tuple(risk.key for risk in RISKS)
BY_KEY: dict[str, Topic] = {topic.key: topic for topic in TOPICS}
RISKS_BY_KEY: dict[str, Topic] = {risk.key: risk for risk in RISKS}


_OWN: dict[str, Topic] = {}


def register_topic_names(topics: Iterable[Topic]) -> None:
    """Set the analysts' own topics for `topic_name` and `all_topics`; replaces those set before."""
    own = {topic.key: topic for topic in topics}
    _OWN.clear()
    _OWN.update(own)


def all_topics() -> tuple[Topic, ...]:
    """The topics of the taxonomy, followed by the analysts' own."""
    return (*TOPICS, *_OWN.values())


def topic_name(key: str, language: str) -> str:
    """The topic's display name in `language` ("en" or "zh"); the key itself for an unknown topic."""
    topic = BY_KEY.get(key) or _OWN.get(key)
    if topic is None:
        return key
    return topic.zh if language == "zh" else topic.en


def risk_name(key: str, language: str) -> str:
    """The risk event's display name in `language` ("en" or "zh"); the key itself for an unknown one."""
    risk = RISKS_BY_KEY.get(key)
    if risk is None:
        return key
    return risk.zh if language == "zh" else risk.en


def sentiment_of(p_negative: float, p_neutral: float, p_positive: float) -> tuple[str, float]:
    """The most probable sentiment and its probability. Ties are not negative, as in the store."""
    if p_negative > p_neutral and p_negative > p_positive:
        return "negative", p_negative
    return ("positive", p_positive) if p_positive > p_neutral else ("neutral", p_neutral)
