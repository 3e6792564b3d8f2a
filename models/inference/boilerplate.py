"""Removal of boilerplate from news: the parts of a text that name its publisher rather than what happened.

    title, text ─▶ markup ─▶ tags and datelines at the start ─▶ credits, disclaimers and promotion at the end ─▶ CleanedText

Datelines ("LONDON, May 5 (Reuters) -", "新华社北京5月5日电"), agency tags, flashes ("BREAKING:", "UPDATE 2-"), bylines, source credits,
disclaimers, promotion and markup are recognised by these patterns and by what repeats in a source (models/inference/repeats.py). The model
never reads them, so they cannot influence a prediction; the store keeps them. A text that is nothing but boilerplate is unchanged.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from models.inference.repeats import NO_REPEATS, Repeats


class CleanedText(NamedTuple):
    """A text without its boilerplate.

    boilerplate: the removed parts, in the order in which they were found
    """

    title: str
    text: str
    boilerplate: tuple[str, ...] = ()


_AGENCIES = (
    r"Reuters|AP|AFP|Bloomberg(?: News)?|Dow Jones(?: Newswires)?|UPI|PTI|ANI|Xinhua|Kyodo(?: News)?|PA|DPA|EFE|RTTNews|MT Newswires|CNBC"
)
_ALERTS = (
    r"BREAKING(?: NEWS)?|JUST IN|NEWS ?FLASH|FLASH|URGENT|ALERT|DEVELOPING|EXCLUSIVE|CORRECTED|REFILE|RPT|REPEAT|UPDATE ?\d*|WRAPUP ?\d*"
    r"|Breaking(?: News)?|Just in|Exclusive|Update ?\d*|Correction"
)
_DATE_ZH = r"(?:\d{4}年)?(?:\d{1,2}月)?\d{1,2}日"
_SENDER_ZH = (
    r"(?:[《〈][一-鿿A-Za-z]{2,10}[》〉]|财联社|新华社|中新社|中新网|中新经纬|格隆汇|人民财讯|证券时报[·•]?e公司|e公司|智通财经(?:APP)?|界面新闻"
    r"|澎湃新闻|每经AI快讯|每经网?|金十数据|华尔街见闻|上证报|中证网|中国证券报|证券日报网?|第一财经|央视新闻|央视财经|同花顺|东方财富|雪球|路透社?|彭博社?)"
)
_DATELINE_END_ZH = r"(?:\s?[（(]\s?(?:特约)?(?:记者|编辑|实习)[^）)]{1,24}[）)]\s?[，,:：|丨｜]?|\s?[，,:：|丨｜\s])\s*"
"""The end of a dateline: a byline in brackets, or a punctuation mark."""
_STARTS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\s*(?:{_ALERTS})\s*[:：|\-–—]+\s*",
        r"\s*[【\[](?:快讯|突发|重磅|独家|最新|速递|速报|公告|[一-鿿·]{0,4}(?:播报|解读|速递|电报|快讯|研报|公告|要闻|头条|盘中宝|记者一线))[】\]]\s*",
        r"\s*(?:快讯|突发|重磅|独家|最新消息|刚刚|滚动|更新\d*)\s*[:：!！|丨，,]+\s*",
        rf"\s*(?:(?:\w+\s)?[A-Z][A-Z .,'/\-]{{2,40}}(?:,\s*[A-Z][a-z]{{2,8}}\.?\s\d{{1,2}})?\s*)?\((?:{_AGENCIES})\)\s*[-–—:]+\s*",
        rf"\s*[A-Z][A-Z .'/\-]{{2,40}},\s*[A-Z][a-z]{{2,8}}\.?\s\d{{1,2}}\s*(?:\((?:{_AGENCIES})\))?\s*[-–—:]+\s*",
        rf"\s*[A-Z][\w .,'/\-]{{2,40}}\((?:{_AGENCIES})\)\s*[-–—:]+\s*",
        rf"\s*{_SENDER_ZH}[一-鿿]{{0,6}}\s?{_DATE_ZH}\s?(?:[一-鿿]{{0,2}}电|讯|消息|报道)?{_DATELINE_END_ZH}",
        rf"\s*{_SENDER_ZH}(?:讯|快讯|获悉|消息)?\s?[，,:：|丨｜]\s*",
        r"\s*本报讯\s?[，,:：\s]\s*",
        r"\s*By\s[A-Z][\w.'\-]+(?:\s[A-Z][\w.'\-]+){1,2}(?:\s(?:and|,)\s[A-Z][\w.'\-]+(?:\s[A-Z][\w.'\-]+){1,2})*\s*[\n|–—-]+\s*",
        r"\s*RT\s@\w{1,20}:\s*",
    )
)
"""Boilerplate at the start of a title or a text."""

_MIDDLES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<=[\s。！？!?】])(?:[《〈][一-鿿A-Za-z]{{2,10}}[》〉]|财联社|新华社|中新社|中新网|格隆汇|人民财讯|证券时报)[一-鿿]{{0,6}}\s?{_DATE_ZH}\s?(?:电|讯|消息)"
        rf"{_DATELINE_END_ZH}",
        rf"(?<=\s)(?:[A-Z]{{3,}}[A-Z .'/\-]{{0,40}}(?:,\s?[A-Z][\w.]+(?:\s\d{{1,2}})?){{0,2}}\s*)?\((?:{_AGENCIES})\)\s*[-–—]+\s*",
    )
)
"""Datelines between a title and its lead in one string."""

_SOURCES_ZH = (
    r"(?:来源[:：]\s?)?[一-鿿A-Za-z·\s]{0,10}"
    r"(?:社|新闻|日报|时报|晚报|早报|周刊|财经|证券报|商报|客户端|新浪|腾讯|澎湃|界面|讯|电|电台|电视台|网|公众号)"
)
_ENDS = tuple(
    (hints, re.compile(pattern + "$", flags))
    for hints, pattern, flags in (
        (("）", ")"), rf"[（(]\s?{_SOURCES_ZH}\s?[）)]", 0),
        (("）", ")"), r"[（(](?:记者|编辑|文|作者|责编|责任编辑|来源|整理)[\s:：/／][^）)]{1,30}[）)]", 0),
        (("编辑", "作者", "文", "来源"), r"(?:责任编辑|编辑|作者|文|来源)[:：/／]\s?[一-鿿A-Za-z·\s]{2,16}", 0),
        (
            ("小财注", "声明", "提示", "仅供参考", "不构成", "有风险"),
            r"(?:小财注[^。]{0,40}。|(?:免责声明|风险提示|特别提示)[:：][^。]{0,120}。?|(?:以上|本文|文中|上述|内容|信息|相关)[^。]{0,30}"
            r"(?:仅供参考|不构成(?:任何)?(?:投资|实质性)?(?:建议|意见))[^。]{0,40}。?|(?:投资|市场|股市|入市)有风险[^。]{0,30}。?)",
            0,
        ),
        (
            ("点击", "扫码", "更多", "下载", "关注"),
            r"(?:点击(?:查看|阅读|下载|关注)|扫码|更多(?:精彩|资讯|内容|详情)|下载[一-鿿A-Za-z]{2,10}(?:APP|客户端)|关注[一-鿿]{0,8}公众号)[^。]{0,40}。?",
            0,
        ),
        (("eporting by",), r"\(?(?:Additional )?reporting by [^()]{3,160}\)?\.?", re.I),
        (("tandards:", "©", "opyright", "rights reserved"), r"(?:our standards: |©\s?|copyright |all rights reserved)[^.]{0,80}\.?", re.I),
        (
            ("isclaimer", "advice", "recommendation", "erformance"),
            r"(?:disclaimer:? [^.]{0,160}\.?|\b(?:this|the) (?:article|material|report|content|information|post)?[^.]{0,60}\bnot\b"
            r"[^.]{0,40}\b(?:advice|recommendation)\b[^.]{0,60}\.?|\bnot (?:investment|financial) advice\.?"
            r"|\bpast performance [^.]{0,100}\.?)",
            re.I,
        ),
        (
            ("here", "ead ", "ign up", "ubscribe", "ollow us", "or more", "caught up", "app", "contact the"),
            r"\b(?:(?:click|tap) here\b|read (?:more|the full (?:story|article))\b|sign up (?:for|to|here)\b"
            r"|subscribe (?:to|for|now)\b|follow us (?:at|on)\b|for more (?:stories|news|on)\b|get caught up\b"
            r"|download (?:the|our) app\b|to contact the (?:reporter|author|editor)s?\b)[^.!]{0,120}[.!]?",
            re.I,
        ),
        (
            ("|", "-", "–", "—"),
            r"\s[|\-–—]\s*(?:Reuters|Bloomberg(?:\.com)?|CNBC|BBC(?: News)?|Financial Times|FT|WSJ|MarketWatch|Yahoo Finance"
            r"|财联社|东方财富网?|同花顺财经)",
            0,
        ),
    )
)
"""Boilerplate at the end of a title or a text: strings of which at least one occurs in it, and the pattern."""

_TAG = re.compile(r"<(?:/?[A-Za-z][^<>]{0,300}|!--.{0,300}?--)>", re.S)
_ENTITY = re.compile(r"&(?:#\d{2,6}|#x[0-9a-fA-F]{2,5}|[A-Za-z]{2,8});")
_LINK = re.compile(r"(?:https?://|www\.|\bt\.co/)[^\s，。）)一-鿿]+(?:…|\.\.\.)?")
_SPACES = re.compile(r"[ \t\r\f\v\u00a0\u3000]+")
_BRACKETS = re.compile(r"【([^【】]{2,80})】")
_PUNCTUATION = re.compile(r"[\W_]+")
_LEFT_OVER = " \t\n，,。.:：;；|丨-–—"
MAX_END = 200
"""Number of characters at the end of a text that are searched."""
ROUNDS = 4
"""Passes over a text, since boilerplate may be nested: "BREAKING: UPDATE 2- LONDON (Reuters) -"."""


def clean(title: str, text: str, repeats: Repeats = NO_REPEATS) -> CleanedText:
    """Remove the boilerplate of an article. repeats: of its source."""
    found = remove_boilerplate(title, text, repeats)
    return found._replace(text=_BRACKETS.sub(r"\1 ", found.text).strip())


def remove_boilerplate(title: str, text: str, repeats: Repeats = NO_REPEATS) -> CleanedText:
    """As `clean`, but 【】 in the text are kept, from which repeats are recognised."""
    found: list[str] = []
    title, text = _plain(title, found), _plain(text, found)
    title = _strip(title, found, repeats)
    text = _without_title(title, text)
    return CleanedText(title, _strip(text, found, repeats), tuple(found))


def _plain(text: str, found: list[str]) -> str:
    """`text` without markup, entities and links. Removed parts are appended to `found`."""
    if "<" in text:
        found += _TAG.findall(text)
        text = _TAG.sub(" ", text)
    if "&" in text and _ENTITY.search(text):
        text = html.unescape(text)
        if "<" in text:
            text = _TAG.sub(" ", text)
    if "http" in text or "www." in text or "t.co/" in text:
        without = _LINK.sub("", text)
        if without.strip():
            found += _LINK.findall(text)
            text = without
    return _SPACES.sub(" ", text).strip()


def _without_title(title: str, text: str) -> str:
    """`text` without the title at its start, plain, in 【】, or with other punctuation."""
    if not title:
        return text
    if text.startswith(title):
        return text[len(title) :].lstrip(_LEFT_OVER + "】")
    match = _BRACKETS.match(text)
    if match is not None:
        inside, wanted = _PUNCTUATION.sub("", match[1]), _PUNCTUATION.sub("", title)
        if inside and (inside == wanted or inside in wanted or wanted in inside):
            return text[match.end() :].lstrip(_LEFT_OVER)
    return text


def _strip(text: str, found: list[str], repeats: Repeats) -> str:
    """`text` without boilerplate at its start and its end. Removed parts are appended to `found`."""
    for _ in range(ROUNDS):
        before = text
        for pattern in _STARTS:
            match = pattern.match(text)
            if match is not None and match.end() and text[match.end() :].strip(_LEFT_OVER):
                found.append(match[0].strip())
                text = text[match.end() :]
        for pattern in _MIDDLES:
            match = pattern.search(text)
            if match is not None and text[match.end() :].strip(_LEFT_OVER):
                found.append(match[0].strip())
                text = f"{text[: match.start()]}{text[match.end() :]}"
        text = text.rstrip()
        for hints, pattern in _ENDS:
            tail = max(0, len(text) - MAX_END)
            if not any(text.find(hint, tail) >= 0 for hint in hints):
                continue
            match = pattern.search(text, tail)
            if match is not None and match.start() and text[: match.start()].strip(_LEFT_OVER):
                found.append(match[0].strip())
                text = text[: match.start()].rstrip()
        start, end = repeats.lengths(text)
        if (start or end) and text[start : len(text) - end].strip(_LEFT_OVER):
            found += [part.strip() for part in (text[:start], text[len(text) - end :]) if part.strip()]
            text = text[start : len(text) - end]
        if text == before:
            break
    return text.strip()
