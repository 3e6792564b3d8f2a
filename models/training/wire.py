"""Training examples of news items that are annotated by our labelling guide.

    row ─▶ document: sentiment, topics, risks, materiality
        └▶ one pair per company: the sentiment towards it

The guide covers all topics and risk events, so those that a row does not name are negative. The first rows were annotated before
`insolvency` was added; there a phrase is used as its label. A sentiment of which the annotator was unsure has less weight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS
from models.inference.canonical import canonical, model_text
from models.inference.transformer import company_pair
from models.training.examples import EVERY, Example, Flags, flags_of

Row = Mapping[str, Any]

UNSURE_WEIGHT = 0.6
"""Weight of a sentiment of which the annotator was not sure; otherwise 1."""
TOPIC_WEIGHT = 1.6
"""Weight of each topic of an annotated row, above that of topics mapped from published sets."""
INSOLVENCY = re.compile(
    r"\b(defaults? on|defaulted|miss(es|ed) (a |its |interest |coupon |bond |debt )*(payment|coupon)s?|bankrupt\w*|insolven\w+"
    r"|into administration|chapter 11|debt restructuring|liquidation)\b"
    r"|破产|违约|未能(按期|如期|按时)(兑付|支付|偿还|偿付)|债务逾期|逾期债务|资不抵债|预重整|被申请重整|清盘",
    re.IGNORECASE,
)


def is_wire(row: Row) -> bool:
    """Whether a row is annotated by our labelling guide."""
    return "materiality" in row and "topics" in row


def lead_of(row: Row) -> tuple[str, str]:
    """(title, lead) of a row whose text is the two joined."""
    title, text = str(row.get("title") or "").strip(), str(row["text"]).strip()
    return (title, text[len(title) :].strip()) if title and text.startswith(title) else ("", text)


def wire_examples(row: Row) -> list[Example]:
    """The examples of a row: the document and a pair per company."""
    source, language = str(row.get("source") or "wire"), str(row.get("lang", "en"))
    title, lead = lead_of(row)
    text = model_text(title, lead)
    if not text:
        return []
    weight = 1.0 if row.get("sure", 1) else UNSURE_WEIGHT
    topics, risks = frozenset(row["topics"]), frozenset(row.get("risks", ()))
    label = str(row.get("label", ""))
    possible: Flags = EVERY if label in SENTIMENTS else (False, False, False)
    found = [
        Example(
            source,
            language,
            text,
            "",
            flags_of(label),
            possible,
            tuple(float(key in topics) for key in TOPIC_KEYS),
            (TOPIC_WEIGHT,) * len(TOPIC_KEYS),
            "sentiment",
            tuple(float(key in risks or (key == "insolvency" and _insolvent(row))) for key in RISK_KEYS),
            tuple(_insolvency_weight(row) if key == "insolvency" else 1.0 for key in RISK_KEYS),
            weight=weight,
            materiality=int(row["materiality"]),
            title=model_text(title, "") if lead else "",
        )
    ]
    for company in row.get("companies", ()):
        name, towards = str(company["name"]).strip(), str(company["label"])
        if name and towards in SENTIMENTS:
            marked, target = company_pair(text, canonical(name), language)
            found.append(Example(source, language, marked, target, flags_of(towards), EVERY, head="company", weight=weight))
    return found


def _insolvent(row: Row) -> bool:
    return "insolvency" not in row.get("risks", ()) and row.get("label") == "negative" and INSOLVENCY.search(str(row["text"])) is not None


def _insolvency_weight(row: Row) -> float:
    if "insolvency" in row.get("risks", ()) or row.get("insolvency_known"):
        return 1.0
    hit = INSOLVENCY.search(str(row["text"])) is not None
    return (0.7 if row.get("label") == "negative" else 0.0) if hit else 0.5
