"""Disguises: changes of a text's form that leave its labels unchanged.

Training applies them at random; `models.evaluation.robustness` applies each to measure how many predictions change. A disguise takes
(text, language, rng) and returns the changed text, or the text itself if it does not apply to the language.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from models.inference.canonical import model_text

Disguise = Callable[[str, str, random.Random], str]

_CITIES = ("LONDON", "NEW YORK", "FRANKFURT", "TOKYO", "HONG KONG", "SINGAPORE", "ZURICH", "SYDNEY", "MUMBAI", "PARIS")
_MONTHS = ("Jan", "Feb", "March", "April", "May", "June", "July", "Aug", "Sept", "Oct", "Nov", "Dec")
_AGENCIES = ("Reuters", "AP", "AFP", "Bloomberg", "Dow Jones")
_ALERTS_EN = (
    "BREAKING: ",
    "UPDATE {n}-",
    "BREAKING NEWS: ",
    "JUST IN: ",
    "EXCLUSIVE-",
    "URGENT: ",
    "FLASH: ",
    "CORRECTED-",
    "Update: ",
    "*",
)
_ALERTS_ZH = ("快讯：", "突发！", "【快讯】", "重磅：", "最新消息：", "【突发】", "独家：", "刚刚，", "速递丨")
_SENDERS_ZH = (
    "财联社{m}月{d}日电，",
    "新华社{m}月{d}日电 ",
    "格隆汇{m}月{d}日｜",
    "《科创板日报》{d}日讯，",
    "人民财讯{m}月{d}日电，",
    "智通财经APP获悉，",
    "证券时报网讯，",
)
_TAILS_EN = (
    " This is not investment advice.",
    " Click here to read the full story.",
    " (Reporting by A. Writer; editing by B. Reader)",
    " Sign up for our newsletter.",
    " All rights reserved.",
    " Source: company filing.",
    " More to follow.",
    " Read more: https://example.com/a1b2",
    " | MarketWatch",
)
_TAILS_ZH = (
    "（新华社）",
    "（财联社）",
    "（界面新闻）",
    "本文不构成投资建议。",
    "市场有风险，投资需谨慎。",
    "（编辑：李某）",
    "点击查看更多内容。",
    "免责声明：内容仅供参考。",
    "来源：公司公告",
    "（完）",
)
_EMOJI = ("🚀", "📈", "📉", "⚠️", "🔥", "💰", "👉", "‼️", "📢", "✅", "🇨🇳", "😂")
_EXCHANGES = ("NYSE", "NASDAQ", "LSE", "HKEX")


def alert(text: str, language: str, rng: random.Random) -> str:
    """Put "BREAKING: " or the like before it."""
    prefix = rng.choice(_ALERTS_ZH if language == "zh" else _ALERTS_EN)
    return prefix.format(n=rng.randint(1, 5)) + text


def dateline(text: str, language: str, rng: random.Random) -> str:
    """Put a dateline such as "LONDON, May 5 (Reuters) - " before it."""
    if language == "zh":
        return rng.choice(_SENDERS_ZH).format(m=rng.randint(1, 12), d=rng.randint(1, 28)) + text
    day = f", {rng.choice(_MONTHS)} {rng.randint(1, 28)}" if rng.random() < 0.6 else ""
    place = f"{rng.choice(_CITIES)}{day} " if rng.random() < 0.7 else ""
    return f"{place}({rng.choice(_AGENCIES)}) - {text}"


def tail(text: str, language: str, rng: random.Random) -> str:
    """Put a credit, a disclaimer or a promotion after it."""
    return text + rng.choice(_TAILS_ZH if language == "zh" else _TAILS_EN)


def capitals(text: str, language: str, _rng: random.Random) -> str:
    """Write English in capitals."""
    return text if language == "zh" else text.upper()


def full_width(text: str, _language: str, _rng: random.Random) -> str:
    """Write ASCII letters and digits in full width."""
    return "".join(chr(ord(letter) + 0xFEE0) if letter.isascii() and letter.isalnum() else letter for letter in text)


def traditional(text: str, language: str, _rng: random.Random) -> str:
    """Write Chinese in traditional characters."""
    return str(_converter().convert(text)) if language == "zh" else text


def spaced(text: str, language: str, _rng: random.Random) -> str:
    """Put a space after each Chinese character."""
    return " ".join(text) if language == "zh" else text


def ticker(text: str, language: str, rng: random.Random) -> str:
    """Put a random ticker symbol after it."""
    code = "".join(rng.choice("ABCDEFGHKLMNPRSTVWXYZ") for _ in range(rng.randint(2, 4)))
    if language == "zh":
        return f"{text.rstrip('。')}（{rng.randint(0, 688999):06d}.{rng.choice(('SH', 'SZ'))}）"
    return f"{text} {rng.choice((f'${code}', f'({rng.choice(_EXCHANGES)}: {code})'))}"


def emoji(text: str, _language: str, rng: random.Random) -> str:
    """Put one or two emoji before or after it."""
    pictures = "".join(rng.choices(_EMOJI, k=rng.randint(1, 2)))
    return f"{pictures} {text}" if rng.random() < 0.5 else f"{text} {pictures}"


DISGUISES: Mapping[str, Disguise] = {
    "alert": alert,
    "dateline": dateline,
    "tail": tail,
    "capitals": capitals,
    "full_width": full_width,
    "traditional": traditional,
    "spaced": spaced,
    "ticker": ticker,
    "emoji": emoji,
}


def disguised(text: str, language: str, rng: random.Random) -> str:
    """Apply one random disguise, sometimes two, and return the text in the model's input form."""
    for name in rng.sample(sorted(DISGUISES), 2 if rng.random() < 0.25 else 1):
        text = DISGUISES[name](text, language, rng)
    return model_text("", text)


@cache
def _converter() -> Any:
    from opencc import OpenCC

    return OpenCC("s2t")
