"""Phrases that indicate a topic or a risk event, and a classifier by keywords for tests.

The phrases were written for this project. In training they replace labels that no data set has, with less weight than a label
(`models.training.label_mapping`).

The keyword classifier needs no weights and no torch and takes a few microseconds per document. It knows about sixty words per
language and simple negation, and its probabilities are not calibrated. It is never the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from models.inference.classifier import Document, Prediction, SentimentProbabilities

HINTS: Mapping[str, re.Pattern[str]] = {
    key: re.compile(pattern, re.IGNORECASE)
    for key, pattern in {
        "earnings": r"净利|业绩|营收|预增|预亏|扭亏|"
        r"\b(EPS|net (profit|income|loss)|quarterly (results|profit)|Q[1-4] (results|profit|loss|net))\b",
        "ratings": r"评级|目标价|\b(price target|upgrade[sd]?|downgrade[sd]?|raises guidance|cuts (guidance|outlook))\b",
        "mergers": r"收购|并购|重组|要约|合并|\b(acquir\w+|merger|takeover|buyout)\b",
        "capital_raising": r"IPO|定增|增发|配股|招股|上市申请|挂牌上市|募资|\b(initial public offering|share sale|rights issue|QIP)\b",
        "shareholder_returns": r"分红|派息|股息|回购|\b(dividends?|buy-?backs?|repurchases?)\b",
        "management": r"辞职|离任|聘任|换届|选举.{0,8}董事|任命|新任|\b(resigns?|steps down|appoints?|appointed|new (CEO|CFO|chief))\b",
        "legal": r"立案|处罚|警示函|监管函|问询函|起诉|诉讼|罚款|违规|\b(lawsuit|sued?|sues|fined?|probe|antitrust|fraud)\b",
        "business": r"中标|签订|签署.{0,12}(协议|合同)|订单|投产|新产品|"
        r"\b(launches|unveils|wins (order|contract)|new product|partnership)\b",
        "central_banks": r"美联储|央行|降准|加息|降息|逆回购|\b(RBI|Fed|ECB|central bank|rate (hike|cut))\b",
        "credit": r"债券|违约|公司债|国债|信用债|\b(bonds?|debentures?|defaults?|notes offering|yields?)\b",
        "financials": r"银行|券商|保险公司|信托|\b(banks?|insurers?|NBFCs?|lenders?|brokerages?)\b",
        "currencies": r"汇率|人民币兑|外汇|\b(rupee|forex|dollar index|yuan|euro rises|euro falls)\b",
        "energy": r"原油|油价|天然气|煤炭|光伏|\b(crude|oil prices?|natural gas|OPEC)\b",
        "crypto": r"比特币|加密货币|虚拟货币|以太坊|\b(bitcoin|crypto\w*|ethereum|blockchain)\b",
        "real_estate": r"房地产|楼市|房企|地产|\b(real estate|realty|housing market|mortgage rates?|home sales|REIT)\b",
        "technology": r"芯片|半导体|人工智能|算力|云计算|"
        r"\b(semiconductors?|chip ?makers?|chips|artificial intelligence|AI|cloud computing|software)\b",
    }.items()
}

#: English only: the Chinese set finese has labels for these.
RISK_HINTS: Mapping[str, re.Pattern[str]] = {
    key: re.compile(pattern, re.IGNORECASE)
    for key, pattern in {
        "disclosure": r"\b(misleading (statements?|disclosures?)|failed to disclose|disclosure (violations?|failures?))\b",
        "trading": r"\b(insider trading|market manipulation|spoofing|front-running|price[- ]fixing)\b",
        "accounting_fraud": r"\b(accounting (fraud|irregularit\w+|scandal|probe)|"
        r"cook\w* (the|its) books|restat\w+ (its )?(results|earnings))\b",
        "fraud": r"\b(fraud\w*|defraud\w*|embezzl\w+|scam|swindl\w+)\b",
        "pyramid_scheme": r"\b(ponzi|pyramid scheme)\b",
        "crime": r"\b(brib\w+|money[- ]launder\w+|indict\w+|criminal (charges?|probe|investigation)|arrest\w*|raid(s|ed)?)\b",
        "payout_failure": r"\b(halts? withdrawals|freez\w+ withdrawals|missed (coupon|payment)|defaults? on|fails? to (pay|repay))\b",
        "asset_freeze": r"\b(assets? (frozen|seized|freeze)|freez\w+ (the )?assets|impairment|write-?downs?|writes? down)\b",
        "earnings_decline": r"\b(net loss|profit warning|"
        r"(profit|income|earnings|sales|revenue)s? (falls?|fell|drop\w*|slump\w*|declin\w+|plung\w+|down))\b",
        "rating_change": r"\b(upgrade[sd]?|downgrade[sd]?|cut to (junk|sell|neutral|hold))\b",
        "deal_failure": r"\b((deal|merger|takeover|talks) (collapse[sd]?|fail(s|ed)?|off|terminated|scrapped)|"
        r"calls? off|scraps? (merger|deal|takeover))\b",
        "control_change": r"\b((controlling|majority|largest) (stake|shareholder)|change of control|stake (sale|sold) (in|to))\b",
        "management_loss": r"\b("
        r"(CEO|CFO|chief|chairman|president) (resigns?|quits|steps down|ousted|fired|arrested|leaves)|steps down as)\b",
        "product_safety": r"\b(recalls?|recalled|defective|contaminat\w+|safety (defect|probe)|class action)\b",
        "closure": r"\b(shuts? down|(close|closing|shut)s? (its )?(plants?|stores?|factor\w+|branches)|ceases? operations|winds? down)\b",
    }.items()
}


NEUTRAL = SentimentProbabilities(0.0, 1.0, 0.0)

_NEGATIVE_EN = (
    r"default\w*|bankrupt\w*|insolven\w*|fraud\w*|probe[sd]?|investigat\w+|lawsuits?|sued?|sues|fined?|raid(?:s|ed)?|arrest\w*|"
    r"plung\w+|tumbl\w+|slump\w*|sink(?:s|ing)?|crash\w*|slid(?:e|es|ing)?|falls?|fell|drop(?:s|ped)?|loss(?:es)?|miss(?:es|ed)?|"
    r"recall\w*|layoffs?|lays? off|cuts? \w* ?jobs|halt(?:s|ed)?|downgrad\w+|warn(?:s|ed|ing)?|scandal\w*|breach\w*|sanction\w*|"
    r"collaps\w+|suspend\w*|delist\w*|weak|shortfall|overdue|quits|explosion|fire"
)
_POSITIVE_EN = (
    r"surg\w+|soar\w*|jump(?:s|ed)?|rall(?:y|ies|ied)|gain(?:s|ed)?|ris(?:e|es|ing)|rose|record (?:profit|revenue|high|quarterly)|"
    r"beat(?:s|ing)?|tops|upgrad\w+|wins?|won|raises?|doubl\w+|approv\w+|strong|growth|profit (?:up|rises|jumps)|"
    r"buy-?backs?|boost\w*|expands?|breakthrough|recover\w*|outperform\w*|exceed\w*"
)
_NEGATIVE_ZH = (
    "暴跌|大跌|下跌|跌停|跳水|重挫|闪崩|领跌|走低|违约|逾期|破产|清算|立案|调查|处罚|罚款|警示函|造假|违规|违法|起诉|诉讼|冻结|"
    "亏损|预亏|下滑|下降|骤减|腰斩|裁员|停产|召回|失联|拘留|逮捕|退市|减持|下调|爆炸|火灾|坍塌|泄露|制裁|告吹|终止|搁浅|被否|"
    "维权|不合格|萎缩|恶化|爆雷|挤兑"
)
_POSITIVE_ZH = (
    "大涨|上涨|涨停|飙升|走高|领涨|新高|增长|大增|预增|扭亏|盈利|超预期|超出市场预期|好于预期|中标|获批|突破|回购|增持|上调|"
    "分红|签署|订单饱满|供不应求|售罄|胜诉|回升|改善|利好|反弹|合作"
)
_NEGATIVE = re.compile(rf"\b(?:{_NEGATIVE_EN})\b|{_NEGATIVE_ZH}", re.IGNORECASE)
_POSITIVE = re.compile(rf"\b(?:{_POSITIVE_EN})\b|{_POSITIVE_ZH}", re.IGNORECASE)
_NEGATION = re.compile(r"(?:\b(?:no|not|denies|without|never)\b[\w ]{0,12}|不存在|未|没有|否认)$", re.IGNORECASE)
_MORE_TOPICS = {
    "markets": re.compile(r"股价|股市|三大股指|板块|沪指|涨停|跌停|\b(?:shares|stocks?|nasdaq|dow|index)\b", re.IGNORECASE),
    "macro": re.compile(r"CPI|PMI|GDP|通胀|就业|\b(?:inflation|unemployment|economy|payrolls)\b", re.IGNORECASE),
    "politics": re.compile(r"制裁|外交|总统|关税|战争|\b(?:sanctions?|president|tariffs?|war|minister)\b", re.IGNORECASE),
    "commodities": re.compile(r"黄金|金价|铜|铁矿|大豆|\b(?:gold|copper|iron ore|wheat|soybeans?)\b", re.IGNORECASE),
}


class KeywordClassifier:
    """Counts positive and negative words. Deterministic; a document's result does not depend on its batch."""

    @property
    def version(self) -> str:
        """Always "keyword-1"."""
        return "keyword-1"

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """One prediction per document, in order. Empty documents are neutral; companies get the document's sentiment."""
        return [_predict(document) for document in documents]


def _predict(document: Document) -> Prediction:
    text = f"{document.title} {document.text}".strip()
    sentiment = _sentiment(text)
    patterns = {**HINTS, **_MORE_TOPICS}
    topics = {key: 0.9 for key, pattern in patterns.items() if pattern.search(text)} or {"other": 0.6}
    return Prediction(sentiment, topics, (sentiment,) * len(document.companies))


def _sentiment(text: str) -> SentimentProbabilities:
    """Weights of 0.25 plus 3 per word without negation, against 1.5 for neutral: 0.65 for one negative word, 0.78 for two."""
    negative = sum(not _negated(text, match.start()) for match in _NEGATIVE.finditer(text))
    positive = sum(not _negated(text, match.start()) for match in _POSITIVE.finditer(text))
    if not negative and not positive:
        return SentimentProbabilities(0.05, 0.9, 0.05) if text else NEUTRAL
    weights = (0.25 + 3.0 * negative, 1.5, 0.25 + 3.0 * positive)
    total = sum(weights)
    return SentimentProbabilities(weights[0] / total, weights[1] / total, weights[2] / total)


def _negated(text: str, at: int) -> bool:
    return _NEGATION.search(text[max(0, at - 20) : at]) is not None
