"""A stand-in that counts words, for tests and for the faults ring: no weights, no torch, a few microseconds a document.

It is honest about what it is: it knows some sixty words a language, no grammar beyond one negation, and its probabilities are not
calibrated. It is never the default of a run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.classifier import Document, Prediction, Sentiment
from models.hints import HINTS

NEUTRAL = Sentiment(0.0, 1.0, 0.0)

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
    """Counts good and bad words. Deterministic; a document's result never depends on its batch."""

    @property
    def version(self) -> str:
        """Always keyword-1."""
        return "keyword-1"

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        """One prediction per document, in order. An empty document is neutral; companies get the sentiment of the whole."""
        return [_predict(document) for document in documents]


def _predict(document: Document) -> Prediction:
    text = f"{document.title} {document.text}".strip()
    sentiment = _sentiment(text)
    patterns = {**HINTS, **_MORE_TOPICS}
    topics = {key: 0.9 for key, pattern in patterns.items() if pattern.search(text)} or {"other": 0.6}
    return Prediction(sentiment, topics, (sentiment,) * len(document.companies))


def _sentiment(text: str) -> Sentiment:
    """Weights 0.25 + 3 a word that is not negated, against 1.5 for neutral: 0.65 for one bad word, 0.78 for two."""
    negative = sum(not _negated(text, match.start()) for match in _NEGATIVE.finditer(text))
    positive = sum(not _negated(text, match.start()) for match in _POSITIVE.finditer(text))
    if not negative and not positive:
        return Sentiment(0.05, 0.9, 0.05) if text else NEUTRAL
    weights = (0.25 + 3.0 * negative, 1.5, 0.25 + 3.0 * positive)
    total = sum(weights)
    return Sentiment(weights[0] / total, weights[1] / total, weights[2] / total)


def _negated(text: str, at: int) -> bool:
    return _NEGATION.search(text[max(0, at - 20) : at]) is not None
