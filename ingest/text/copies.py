"""Decides whether two articles are copies of one text: cut, framed or lightly edited, but with the same names, codes and numbers.

    candidates that share an LSH band ─▶ tokens of both leads ─▶ alignment ─▶ what each has in place of the other's words ─▶ copy or not

A template about two companies is almost one text; two wires' cuts of one text differ in more words. So the amount of difference decides
less than its kind: a name, a code, a number or a direction (rises, falls) that stands in place of another makes another story; filler,
a dateline or a missing end does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

LEAD_TOKENS = 96
"""Tokens of the text that are compared."""
MAX_TITLE = 200
MIN_BODY_TOKENS = 16
"""A text with fewer tokens is read together with its title."""
SHORT_TOKENS = 24
"""Texts with fewer tokens may recur ("Gold rises 1%"): they are copies only within SHORT_APART."""
SHORT_APART = timedelta(hours=12)
REVISED_APART = timedelta(hours=6)
"""Beyond this, texts that differ in words as well as in their titles report what happened since."""
DAYS_APART = timedelta(hours=24)
"""Beyond this, one text under two titles is a column or a series."""
MIN_OVERLAP = 0.8
"""Share of the shorter text that the other repeats in the same order."""
MIN_TITLED_OVERLAP = 0.3
"""The same under one headline."""
MIN_HEADLINE_OVERLAP = 0.7
"""The same of headlines that are one."""
LONG_TOKENS = 32
MIN_BEFORE_FOOTER = 0.9
"""After so many tokens and this share of those in common, what differs is a footer."""
MAX_REPLACED = 0.12
"""Content words replaced by others, as a share of the words in common."""
MIN_TITLE_TOKENS = 8
TITLED_APART = timedelta(hours=2)
"""Within this, texts under edits of one headline with so many tokens are copies, even if rewritten from MIN_BODY_TOKENS on."""
MIN_TITLE_OVERLAP = 0.5
"""Share of the shorter of two headlines of one template that the other repeats."""
MIN_QUOTED = 7
"""Content words before a repeated text from which it is only quoted."""
MAX_SUBJECT = 4
"""Tokens before which a replacement concerns the subject, where one other Chinese character makes another name."""
MIN_ROUNDED = 3
"""Characters of a rounded number; "5" and "5.2" are two prices."""
MAX_NAME = 8
"""Tokens of a name; longer replacements are rewritten clauses."""
MIN_SHORT_HAN, MIN_SHORT_WORDS = 4, 2
"""A headline with less than both says too little to be recognised."""

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*[年月日号]?|[A-Za-z\u00c0-\u024f\u0370-\u052f]+|[^\W\d_]")
_DATELINE_DAY = re.compile(r"(?<=记者)(?:\d+月)?\d+日(?=[^，。]{0,12}(?:获悉|了解到))")
_DIGITS = dict(zip("〇零一二两三四五六七八九", "001223456789", strict=True))
_LABEL = re.compile(r"^(?:【[^】]{1,8}】|[^｜|：:，\s]{1,8}\s?[｜|]|(?:UPDATE|WRAPUP|BRIEF|RPT|CORRECTED|EXCLUSIVE)(?: \d+)?-)\s*(?=\S{2})")
"""What a wire puts before a headline: "【转载】", "UPDATE 2-"."""
_ATTRIBUTION = re.compile(r"^\s*(?:近日，)?据[^，。]{2,20}?(?:报道|消息|讯)，")
_HAN_NUMERALS = frozenset("十百千万亿")
_FILLER_HAN = frozenset(
    "的了在是与和及或并将已于为由对从被把向以就至到自其该此这那等均也又还则之所者个们年月日时分今明昨据称说表示告公报道消息拟约近超逾达额"
)
_FILLER_HAN_WORDS = re.compile(
    "近日|日前|今日|昨日|当日|当地时间|目前|截至|记者|获悉|了解到|财联社|新华社|证券时报|央视新闻|同花顺|东方财富|界面新闻|澎湃新闻|"
    "其中|提到|提出|指出|强调|认为|宣布|发布|透露|披露|据悉|据了解|已经|正在|实现|进行|开展|相关|有关|有望|预计|持续|继续|进一步|"
    "显示|数据|方面|消息面上|公告|股票交易|异常波动|异动|企业|公司|会上|之一|午后|盘中|早盘|尾盘|简称|以下|本次|此次|上述|累计|总计|"
    "合计|超过"
)
_FILLER_TEXT = """
a an the and or but of in on at to for from by with as is are was were be been has have had will would may might could
should its his her their it he she they that which who this these those said says say told according reported report
reports news after before over about into than also more less new now today yesterday monday tuesday wednesday thursday
friday saturday sunday us
"""
_FILLER_WORDS = frozenset(_FILLER_TEXT.split())
_OPPOSITES = tuple(
    (frozenset(up.split()), frozenset(down.split()))
    for up, down in (
        ("涨 升 增 高 买 盈 扩", "跌 降 减 低 卖 亏 缩"),
        ("开", "收 闭"),
        ("上", "下"),
        ("早 午", "午 晚 尾"),
        ("rise rises rose rising gain gains gained up jump jumps jumped climb climbs climbed soar soars soared higher raise raises raised "
         "upgrade upgrades upgraded beat beats buy buys bought profit win wins hire hires increase increases increased surge surges surged",
         "fall falls fell falling lose loses lost down drop drops dropped slip slips slipped plunge plunges plunged lower cut cuts lowers "
         "lowered downgrade downgrades downgraded miss misses missed sell sells sold loss decrease decreases decreased slump slumps"),
        ("open opens opened opening approve approves approved confirm confirms confirmed start starts started",
         "close closes closed closing reject rejects rejected deny denies denied end ends ended"),
    )
)  # fmt: skip
_NEGATIONS = frozenset(("不", "未", "没", "非", "否", "not", "no", "never", "denies", "denied", "deny", "without"))


class Lead(NamedTuple):
    """What is compared of an article: its title, and its text without a headline in 【】 and a dateline."""

    title: str
    text: str

    def stored(self) -> str:
        """One string, for the store."""
        return f"{self.title}\n{self.text}"

    @classmethod
    def from_stored(cls, value: str) -> Lead:
        """The lead of a stored string."""
        title, _, text = value.partition("\n")
        return cls(title, text)


class _Words(NamedTuple):
    """Tokens as they are compared, and whether each is capitalised."""

    tokens: tuple[str, ...]
    capitals: tuple[bool, ...]


def lead_of(title: str, body: str) -> Lead:
    """The lead of an article, cut after LEAD_TOKENS tokens. body: without headline and dateline"""
    title = _LABEL.sub("", " ".join(title[:MAX_TITLE].split()))
    body = _ATTRIBUTION.sub("", _DATELINE_DAY.sub("", body), count=1)
    end = 0
    for number, match in enumerate(_TOKEN.finditer(body)):
        if number == LEAD_TOKENS:
            break
        end = match.end()
    return Lead(title, " ".join(body[:end].split()))


def _is_han(text: str) -> bool:
    """Whether a token is a Chinese character."""
    return text >= "一"


def headline_key(title: str, text: str) -> str:
    """The words of a headline, by which identical headlines are found; "" if they say too little."""
    tokens = _words(title or text).tokens
    han = sum(len(token) == 1 and _is_han(token) for token in tokens)
    return " ".join(tokens) if han >= MIN_SHORT_HAN or len(tokens) - han >= MIN_SHORT_WORDS else ""


def is_copy(one: Lead, other: Lead, apart: timedelta) -> bool:
    """Whether two articles, published `apart`, are copies of one text."""
    apart = abs(apart)
    a_title, b_title = _words(one.title).tokens, _words(other.title).tokens
    same_title = bool(a_title) and a_title == b_title
    a, b = _words(one.text), _words(other.text)
    if min(len(a.tokens), len(b.tokens)) < MIN_BODY_TOKENS:
        if a.tokens == b.tokens and len(a.tokens) >= MIN_BODY_TOKENS // 2:  # one text, perhaps under an edited title
            has_one_title = same_title or not (a_title and b_title) or one.title in other.text or other.title in one.text
            return apart <= SHORT_APART and (has_one_title or _is_edited(_words(one.title), _words(other.title)))
        a, b = _with_title(one), _with_title(other)
        if not (a.tokens and b.tokens):
            return False
    elif bool(a_title) != bool(b_title) and _starts_elsewhere(*((b, a) if a_title else (a, b))):
        a, b = _with_title(one), _with_title(other)  # a flash has its headline in its text
    shortest = min(len(a.tokens), len(b.tokens))
    if shortest < SHORT_TOKENS and apart > SHORT_APART:
        return False
    if not same_title and _have_other_subjects(one, other):
        return False
    if _overlap(a_title, b_title) < MIN_HEADLINE_OVERLAP and (_quotes(a, (*b.tokens, *b_title)) or _quotes(b, (*a.tokens, *a_title))):
        return False
    if a_title and b_title and not same_title and apart > DAYS_APART:
        return False
    if a.tokens == b.tokens:
        return True
    has_one_title = apart <= SHORT_APART if same_title else apart <= TITLED_APART and _have_one_headline(one, other)
    return _is_edited(a, b, has_one_title, apart > REVISED_APART and not same_title)


def _blocks(a: Sequence[str], b: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """The alignment of two texts, as difflib's opcodes. Names that share a character ("AB Co", "CA Co") are one replacement."""
    found = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    for place, (kind, a_start, a_end, b_start, _) in enumerate(found):
        if kind == "equal" and (a_end - a_start > 1 or max(a_start, b_start) > MAX_SUBJECT):
            kinds = {found[number][0] for number in range(place)}
            return [("replace", 0, a_start, 0, b_start), *found[place:]] if {"insert", "delete"} <= kinds else list(found)
    return list(found)


def _have_one_headline(one: Lead, other: Lead) -> bool:
    """Whether two headlines are edits of one that says enough."""
    a, b = _words(one.title), _words(other.title)
    return min(len(a.tokens), len(b.tokens)) >= MIN_TITLE_TOKENS and _is_edited(a, b, min_overlap=MIN_HEADLINE_OVERLAP)


def _is_edited(
    a: _Words, b: _Words, has_one_title: bool = False, are_reports_apart: bool = False, min_overlap: float = MIN_OVERLAP
) -> bool:
    """Whether one text is the other, cut, framed or lightly edited."""
    blocks = _blocks(a.tokens, b.tokens)
    common = sum(end - start for kind, start, end, _, _ in blocks if kind == "equal")
    overlap = common / max(1, min(len(a.tokens), len(b.tokens)))
    if overlap < (MIN_TITLED_OVERLAP if has_one_title else min_overlap):
        return False
    all_a, all_b = frozenset(a.tokens), frozenset(b.tokens)
    is_short = common < MIN_BODY_TOKENS
    replaced, before = 0, 0
    for kind, a_start, a_end, b_start, b_end in blocks:
        before += a_end - a_start if kind == "equal" else 0
        if before >= LONG_TOKENS and before >= MIN_BEFORE_FOOTER * common:
            break  # a byline, a credit or another footer
        if kind == "equal" or (has_one_title and min(a_start, b_start) > MIN_BODY_TOKENS):  # a headline vouches for the rest
            continue
        mine, its = a.tokens[a_start:a_end], b.tokens[b_start:b_end]
        if kind != "replace":
            if len(mine) + len(its) <= 2 and _NEGATIONS.intersection((*mine, *its)):
                return False
            continue
        if len(mine) == len(its) and all(token[0].isdigit() for token in (*mine, *its)):
            if not all(map(_is_rounded, mine, its)):
                return False
            continue
        if _are_opposite(mine, its) or _numbers(mine, all_b) & _numbers(its, all_a):
            return False
        if "".join(mine) == "".join(its):  # "CableBox", "Cable Box"
            continue
        if max(a_start, b_start) < MAX_SUBJECT and 0 < len(_subject(mine)) <= MAX_NAME and 0 < len(_subject(its)) <= MAX_NAME:
            return False
        my_content, its_content = _content(mine), _content(its)
        if not (my_content and its_content):
            continue
        if are_reports_apart:
            return False
        if (
            max(len(my_content), len(its_content)) <= MAX_NAME
            and _names(my_content, a.capitals[a_start:a_end], mine, b.tokens, is_short)
            and _names(its_content, b.capitals[b_start:b_end], its, a.tokens, is_short)
        ):
            return False
        replaced += (min if my_content[0] >= "一" else max)(len(my_content), len(its_content))  # an English verb replaces a clause
    return has_one_title or replaced <= max(1.0, MAX_REPLACED * common)


def _overlap(a: Sequence[str], b: Sequence[str]) -> float:
    """Share of the shorter that the other repeats in the same order."""
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(1, min(len(a), len(b)))


def _quotes(text: _Words, other: Sequence[str]) -> bool:
    """Whether a text repeats another one only after news of its own ("Oil rises 4%. Earlier, ...")."""
    start = SequenceMatcher(None, text.tokens, other, autojunk=False).find_longest_match().a
    known = frozenset(other)
    return sum(token not in known for token in _content(text.tokens[:start])) >= MIN_QUOTED


def _have_other_subjects(one: Lead, other: Lead) -> bool:
    """Whether two Chinese headlines of one template begin with different names, which the other article has nowhere."""
    a, b = _words(one.title).tokens, _words(other.title).tokens
    blocks = _blocks(a, b)
    common = sum(end - start for kind, start, end, _, _ in blocks if kind == "equal")
    if common < MIN_TITLE_OVERLAP * min(len(a), len(b)):
        return False
    for kind, a_start, a_end, b_start, b_end in blocks:
        if kind == "replace" and max(a_start, b_start) < MAX_SUBJECT:
            mine, its = _subject(a[a_start : a_end + 1]), _subject(b[b_start : b_end + 1])  # with the next character of a name
            if mine and its and mine not in other.title + other.text and its not in one.title + one.text:
                return True
    return False


def _starts_elsewhere(text: _Words, other: _Words) -> bool:
    """Whether the other text lacks the start of a text."""
    return SequenceMatcher(None, text.tokens, other.tokens, autojunk=False).find_longest_match().a > 0


def _with_title(lead: Lead) -> _Words:
    """The words of title and text; of the text alone if it contains the title."""
    title, text = _words(lead.title), _words(lead.text)
    return text if "".join(title.tokens) in "".join(text.tokens) else _words(f"{lead.title} {lead.text}")


@lru_cache(maxsize=4096)
def _words(text: str) -> _Words:
    found = _TOKEN.findall(text)[: LEAD_TOKENS + 32]
    return _Words(tuple(map(_normal, found)), tuple(token[0].isupper() for token in found))


def _normal(token: str) -> str:
    """A number without thousands separators and padding ("06", "14201.50"); a word in lower case."""
    if not token[0].isdigit():
        return _DIGITS.get(token) or token.lower()
    token = token.replace(",", "").lstrip("0")
    if token.count(".") == 1:
        token = token.rstrip("0").rstrip(".")
    return token if token[:1].isdigit() else f"0{token}"


def _numbers(tokens: Iterable[str], other: frozenset[str]) -> frozenset[str]:
    """The kinds ("date", "number") of the numbers in `tokens` that the other text does not contain."""
    return frozenset(
        "date" if word[-1] in "年月日号" else "number"
        for word in tokens
        if (word[0].isdigit() or word in _HAN_NUMERALS) and word not in other
    )


def _is_rounded(one: str, other: str) -> bool:
    """Whether one number is the other with fewer decimals ("492" for "492.49")."""
    short, long = sorted((one, other), key=lambda number: len(number.partition(".")[2]))
    if short.count(".") > 1 or long.count(".") != 1 or not (short + long).replace(".", "").isdecimal():
        return False
    decimals = len(short.partition(".")[2])
    return len(short) >= MIN_ROUNDED and abs(float(long) - float(short)) <= 0.5 * 10**-decimals


def _are_opposite(mine: Sequence[str], its: Sequence[str]) -> bool:
    a, b = frozenset(mine), frozenset(its)
    only_a, only_b = a - b, b - a
    return any((only_a & up and only_b & down) or (only_a & down and only_b & up) for up, down in _OPPOSITES)


def _content(tokens: Sequence[str]) -> tuple[str, ...]:
    """Tokens that are neither numbers nor filler."""
    if any(len(token) == 1 and _is_han(token) for token in tokens):
        joined = _FILLER_HAN_WORDS.sub(" ", "".join(token if _is_han(token) else f" {token} " for token in tokens))
        tokens = _TOKEN.findall(joined)
    return tuple(t for t in tokens if not t[0].isdigit() and t not in _FILLER_HAN and t not in _FILLER_WORDS and t not in _HAN_NUMERALS)


def _subject(tokens: Sequence[str]) -> str:
    """The Chinese characters of `tokens` without filler words; single characters may be part of a name."""
    return "".join(token for token in _FILLER_HAN_WORDS.sub("", "".join(tokens)) if _is_han(token))


def _names(content: Sequence[str], capitals: Sequence[bool], tokens: Sequence[str], other: Sequence[str], is_short: bool) -> bool:
    """Whether replaced words may be a name: Han characters or capitalised words that the other text has nowhere else.

    In a short text, any content word counts: headlines are in title case, or in lower case only.
    """
    if content[0] >= "一":
        joined = "".join(token for token in content if _is_han(token))
        return len(joined) >= 2 and joined not in "".join(other)
    if is_short:
        return any(word not in other for word in content)
    return any(upper and token in content and token not in other for token, upper in zip(tokens, capitals, strict=True))
