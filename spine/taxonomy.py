"""The topics Tocsin sorts financial news into: one list for both languages.

A topic's key is what is stored and sent; its names are what people read.
"""

from __future__ import annotations

from typing import NamedTuple


class Topic(NamedTuple):
    """One topic. `key` is stable; `en` and `zh` are display names."""

    key: str
    en: str
    zh: str


TOPICS: tuple[Topic, ...] = (
    Topic("earnings", "Earnings", "业绩"),
    Topic("ratings", "Guidance and ratings", "指引与评级"),
    Topic("mergers", "Mergers and acquisitions", "并购重组"),
    Topic("capital_raising", "IPO and capital raising", "上市与融资"),
    Topic("shareholder_returns", "Dividends and buybacks", "分红与回购"),
    Topic("management", "Management changes", "高管变动"),
    Topic("legal", "Legal and regulation", "法律与监管"),
    Topic("business", "Products and business", "产品与经营"),
    Topic("markets", "Stock moves and market colour", "股市行情"),
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
    Topic("politics", "Politics and geopolitics", "政治与地缘"),
    Topic("other", "Other", "其他"),
)

TOPIC_KEYS: tuple[str, ...] = tuple(topic.key for topic in TOPICS)
BY_KEY: dict[str, Topic] = {topic.key: topic for topic in TOPICS}


def topic_name(key: str, language: str) -> str:
    """The topic's display name in `language` ("en" or "zh"); the key itself for an unknown topic."""
    topic = BY_KEY.get(key)
    if topic is None:
        return key
    return topic.zh if language == "zh" else topic.en
