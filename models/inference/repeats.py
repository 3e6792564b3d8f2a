"""Boilerplate learned from repetition: the starts and ends that a source adds to many of its texts.

    texts of one source ─▶ dates as 0 ─▶ count starts and ends up to a mark ─▶ those that repeat and have the form of boilerplate

A start shared by many different texts ("某社5月18日电，") names their publisher rather than what happened. Repetition alone does not show
that: "Shares rise:" repeats too. So a repeat also needs the form of boilerplate, and how often it must occur depends on the form:

    form                                                                        share of the texts      sentiment of its texts
    dateline, disclaimer, promotion                                             MIN_SHARE               any
    bracket that names a publisher                                              MIN_SHARE               as that of the others
    name of the source, part of a title after a bar or dash                     MIN_SHARE_UNMARKED      as that of the others

Words of direction or judgement ("falls", "upgrade", 利空, 涨停) and figures are content: a repeat with one is never learned, unless it is a
disclaimer whose texts have the sentiment of the others. Boilerplate that is not learned stays in the text, while removed content is lost to
the model; so doubtful forms are not learned.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

MIN_SHARE = 0.05
MIN_SHARE_UNMARKED = 0.3
KEPT_SHARE = 0.5
"""A repeat that is known is kept down to this part of the share from which it is learned."""
MIN_TEXTS = 40
"""Minimum distinct texts of a source for learning its repeats."""
MIN_COUNT = 20
MAX_CHARACTERS = 80
"""Maximum length of a repeat that is not a disclaimer; a longer one is a text that was published many times."""
MAX_NOTICE = 160
"""Maximum length of a disclaimer or a promotion."""
MIN_LETTERS = 3
MIN_LETTERS_SENTENCE = {"zh": 10, "": 24}
"""Minimum letters of a repeat that is a sentence, Chinese or not."""
MIN_DISTINCT = 0.7
"""Minimum share of distinct texts beside a repeat."""
MAX_DIFFERENCE = 0.25
"""Maximum difference between the negative (and positive) shares of the texts with a repeat and of those without it."""
MAX_REPEATS = 12
"""Maximum repeats of a source, starts and ends apart."""
MAX_SEEN = 4 * MAX_NOTICE
"""Characters at the end of a text in which a repeated end is searched."""
WINDOW = 300
"""Texts of a source that are remembered, the newest ones."""
MAX_SOURCES = 200
"""Sources that are remembered; beyond them the one without texts for longest is forgotten. About 30 MB in the worst case."""
LEARN_EVERY = 40, 150
"""New texts of a source after which its repeats are learned again, until its window is full and from then on."""

Place = Literal["start", "end"]

_BESIDE = 30
_MONTHS = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?"
    r"|Dec(?:ember)?)"
)
_VARIABLE = re.compile(rf"\d+|\b{_MONTHS}\b\.?")
_START_MARK = re.compile(r"[，,。.:：;；|丨｜\-–—!！)）】\]]+\s*")
_END_MARK = re.compile(r"[。.!！?？)）】\]…”\"\n]\s*|\s+(?=[|丨｜\-–—©(（【\[])|(?=[（【丨｜©])|(?<=\S)(?=[|_])")
_LETTER = re.compile(r"[^\W\d_]")
_CHINESE = re.compile(r"[一-鿿]")
_NOT_ALNUM = re.compile(r"[\W_]+")

_DATE = re.compile(r"0年0月0日|0月0日|0日|\b0 0\b|0[/.-]0(?:[/.-]0)?")
_DATED_WIRE_ZH = re.compile(
    r"(?P<sender>.*?)(?:0年)?(?:0月)?0日\s?(?:专|快|综合)?(?P<word>电|讯|消息|报道|获悉)"
    r"(?:\s?[（(][^）)]{1,24}[）)])?\s?[，,:：|丨｜]+\s*"
)
_WIRE_ZH = re.compile(
    r"(?!据|有|传|市场|知情|外媒|媒体)[^，,。]{0,12}(?:[社网台刊]|(?<![财年季中])报|财经|新闻|资讯)"
    r"(?:电|专电|讯|快讯|消息|获悉|报道)\s?[，,:：|丨｜]+\s*"
)
_WIRE_EN = re.compile(r"(?:[(（/][^()/]{2,40}[)）/]|^[A-Z][A-Z .,'/-]{2,40}\b0 0[ ,0]*(?:[(/][^()/]{2,40}[)/])?)\s*(?:[-–—]+|:)\s*$")
_SENDER_NAME = re.compile(r"(?:[社报网台刊讯]|财经|新闻|资讯|通讯)$")
_COMPANY = re.compile(r"公司|集团|股份|银行|[AHB]股|港股|美股")
_PUBLISHER = re.compile(
    r"通讯社|新闻|快报|日报|时报|晚报|早报|周刊|周报|财经|证券报|商报|网讯|电视台|公众号|记者|编辑|责编|来源|作者|本报|本刊|[社报网台](?=[）)】\]\s]|$)"
    r"|\b(?:news(?:wires?|desk)?|wires?|press|times|daily|herald|journal|gazette|bulletin|newsletter|report(?:er|ers|ing)|edit(?:or|ors|ing|ed)"
    r"|sources?:|correspondent|staff|agency|media)\b|/\w+wire/",
    re.I,
)
_NOTICE = re.compile(
    r"免责声明|风险提示|特别提示|不构成|仅供参考|风险自担|版权|转载|未经授权|扫码|下载|(?:请|欢迎)关注|关注(?:我们|公众号|微信)|订阅|点击"
    r"|更多(?:精彩|资讯|内容|详情|新闻)"
    r"|\b(?:投资|市场|股市|入市)有风险"
    r"|disclaimer|\bnot?\b[^.]{0,60}\b(?:advice|recommendation|solicitation)\b|past performance|copyright|©|all rights reserved"
    r"|\b(?:un)?subscribe\b|sign up|\bclick\b|\btap here\b|read (?:more|the full)|newsletter|follow us|download (?:the|our)"
    r"|visit (?:our|us|www)|for more (?:stories|news|info\w*)|terms of (?:use|service)|sponsored|advertis\w+"
    r"|\b(?:reporting|editing|writing) by\b|originally (?:appeared|published)"
    r"|this (?:article|story|post|content|material|newsletter|email) (?:is|was|has|does|may|first|originally|contains)",
    re.I,
)
_DISCLAIMER = re.compile(
    r"免责声明|风险提示|不构成|仅供参考|风险自担|有风险|disclaimer|\bnot?\b[^.]{0,60}\b(?:advice|recommendation|solicitation)\b"
    r"|past performance",
    re.I,
)
_PHRASAL = re.compile(r"\b(?:sign|caught|follow)(?:ed|ing)? up\b", re.I)
_CONTENT = re.compile(
    r"[涨跌升降增减盈亏]|利好|利空|突破|下滑|上扬|走强|走弱|走高|走低|大幅|违约|破产|退市|停牌|复牌|回购|分红|预警|预告|警示|处罚|立案|买入|卖出|评级"
    r"|看好|看空|看多|乐观|悲观|谨慎|担忧|承压|强劲|疲软|低迷|火爆|异动|拉升|跳水|反弹|回落|回调|新高|新低|翻红|翻绿|爆|暴|中标|收购|重组|业绩|净利|营收"
    r"|成交|资金|否认|辟谣|传闻|危机|风险|裁员|诉讼|调查"
    r"|\b(?:ris(?:e|es|en|ing)|rose|f[ae]ll(?:s|en|ing)?|gain\w*|los(?:e|es|ing|s|ses)|lost|drop\w*|slump\w*|surg\w+|soar\w*|jump\w*|plung\w+|sink\w*"
    r"|sank|tumbl\w+|rall(?:y|ies|ied)|climb\w*|slip\w*|slid\w*|declin\w+|advanc\w+|up|down|high(?:er|s)?|low(?:er|s)?|beat\w*|miss\w*|warn\w*|cuts?"
    r"|cutting|rais\w+|upgrad\w+|downgrad\w+|default\w*|profit\w*|win(?:s|ner|ners)?|won|record|crash\w*|recover\w*|rebound\w*|grow\w*|shr[ia]nk\w*"
    r"|weak\w*|strong\w*|bull\w*|bear\w*|buy\w*|sell\w*|hold|outperform|underperform|overweight|underweight|bankrupt\w*|insolven\w*|fraud\w*|prob(?:e|es)"
    r"|lawsuits?|su(?:es|ed)|fine[sd]?|layoffs?|mergers?|deals?|acqui\w+|dividends?|halt\w*|delist\w*|positive|negative|good|bad|better|worse|worst|best"
    r"|cris[ie]s|fear\w*|hope\w*|optimis\w*|pessimis\w*|cautious|worr\w+|concern\w*|disappoint\w*|rumou?rs?|den(?:y|ies|ied)|scandal\w*|panic|risks?)\b",
    re.I,
)
"""Words that state what happened or how to judge it."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Repeated starts and ends of a source's texts, with numbers and months as 0, longest first."""

    starts: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    def lengths(self, text: str) -> tuple[int, int]:
        """The number of characters of a repeated start and of a repeated end in `text`."""
        return _length(text, self.starts, at_end=False), _length(text, self.ends, at_end=True)


NO_REPEATS = Repeats()


class Repeat(NamedTuple):
    """A repeated start or end of a source's texts.

    text: with numbers and months as 0
    example: as it was written last
    texts, total: texts that have it, and texts that were examined
    """

    place: Place
    text: str
    example: str
    texts: int
    total: int

    @property
    def share(self) -> float:
        """Share of the texts that have it."""
        return self.texts / self.total if self.total else 0.0


class Sample(NamedTuple):
    """What is remembered of a title or a text. label: "negative", "neutral" or "positive"; "" if unknown"""

    head: str
    tail: str
    label: str = ""

    @classmethod
    def of(cls, text: str, label: str = "") -> Sample:
        """The sample of a title or a text without the boilerplate of models/inference/boilerplate.py."""
        return cls(text[: MAX_CHARACTERS + _BESIDE], text[-MAX_NOTICE - _BESIDE :], label)


def as_repeats(found: Sequence[Repeat]) -> Repeats:
    """The repeats as they are removed from a text."""
    starts = sorted({each.text for each in found if each.place == "start"}, key=lambda part: (-len(part), part))
    ends = sorted({each.text for each in found if each.place == "end"}, key=lambda part: (-len(part), part))
    return Repeats(tuple(starts), tuple(ends))


def repeats_by_source(rows: Iterable[tuple[str, Place, str]]) -> dict[str, Repeats]:
    """Source to its repeats, from rows of source, place and text."""
    found: defaultdict[str, list[Repeat]] = defaultdict(list)
    for source, place, text in rows:
        found[source].append(Repeat(place, text, text, 0, 0))
    return {source: as_repeats(own) for source, own in found.items()}


def learn_repeats(source: str, samples: Sequence[Sample], known: Repeats = NO_REPEATS) -> list[Repeat]:
    """The repeats in distinct titles, or in distinct texts, of one source; the most frequent first. [] for fewer than MIN_TEXTS.

    Args:
        source: its name.
        samples: of the titles or of the texts.
        known: what was learned before; it is kept at a lower share (KEPT_SHARE).
    """
    if len(samples) < MIN_TEXTS:
        return []
    name = _NOT_ALNUM.sub("", source).casefold()
    return _repeated(samples, name, "start", known.starts) + _repeated(samples, name, "end", known.ends)


@dataclass(slots=True)
class _Memory:
    """The newest titles and texts of a source."""

    titles: deque[Sample] = field(default_factory=lambda: deque(maxlen=WINDOW))
    texts: deque[Sample] = field(default_factory=lambda: deque(maxlen=WINDOW))
    new: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it holds as much as it may."""
        return max(len(self.titles), len(self.texts)) >= WINDOW


class RepeatLearner:
    """Learns the repeats of each source from a stream, in bounded memory (WINDOW, MAX_SOURCES). Not thread-safe."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, _Memory] = OrderedDict()

    def add(self, source: str, title: str, text: str, label: str = "") -> None:
        """Remember an article: title and text without what patterns remove, and its sentiment."""
        memory = self._sources.setdefault(source, _Memory())
        self._sources.move_to_end(source)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        for seen, part in ((memory.titles, title), (memory.texts, text)):
            if part:
                seen.append(Sample.of(part, label))
        memory.new += 1

    def due(self) -> list[str]:
        """Sources with enough new texts to learn from."""
        return [source for source, memory in self._sources.items() if memory.new >= LEARN_EVERY[memory.is_full]]

    def learn(self, source: str, known: Repeats = NO_REPEATS) -> tuple[list[Repeat], bool]:
        """The repeats of a source, and whether its window is full, so that what is not among them may be forgotten."""
        memory = self._sources[source]
        memory.new = 0
        found: dict[tuple[str, str], Repeat] = {}
        for seen in (memory.titles, memory.texts):
            for each in learn_repeats(source, _distinct(seen), known):
                before = found.get((each.place, each.text))
                if before is None or each.share > before.share:
                    found[each.place, each.text] = each
        return list(found.values()), memory.is_full


def _distinct(samples: Sequence[Sample]) -> list[Sample]:
    """One sample of each text: a text that was published many times is no repeat."""
    return list({(sample.head, sample.tail): sample for sample in samples}.values())


def _masked(text: str) -> str:
    """`text` with each number and month as 0."""
    return _VARIABLE.sub("0", text)


def _repeated(samples: Sequence[Sample], name: str, place: Place, known: Sequence[str]) -> list[Repeat]:
    """The starts, or the ends, that repeat in texts of one source and have the form of boilerplate."""
    having: defaultdict[str, list[int]] = defaultdict(list)
    examples: dict[str, str] = {}
    beside: defaultdict[str, set[str]] = defaultdict(set)
    for number, sample in enumerate(samples):
        for part, rest in _parts(sample, place):
            masked = _masked(part)
            if not having[masked] or having[masked][-1] != number:
                having[masked].append(number)
            examples[masked] = part
            beside[masked].add(rest)
    found: list[Repeat] = []
    total = len(samples)
    for masked in sorted(having, key=lambda part: (-len(part), part)):
        numbers = having[masked]
        ease = KEPT_SHARE if masked in known else 1.0
        if len(numbers) < max(MIN_COUNT, MIN_SHARE * total) * ease or len(beside[masked]) < MIN_DISTINCT * len(numbers):
            continue
        least, any_sentiment = _required(masked, name, place)
        if len(numbers) < least * total * ease or not (any_sentiment or _as_others(samples, numbers)):
            continue
        longer = (each for each in found if (each.text.endswith(masked) if place == "end" else each.text.startswith(masked)))
        if not any(len(numbers) < 1.5 * each.texts for each in longer):
            found.append(Repeat(place, masked, examples[masked], len(numbers), total))
    return sorted(found, key=lambda each: -each.texts)[:MAX_REPEATS]


def _parts(sample: Sample, place: Place) -> list[tuple[str, str]]:
    """The possible starts, or ends, of a text, each with the rest of what is remembered of it."""
    text = sample.head if place == "start" else sample.tail
    mark = _START_MARK if place == "start" else _END_MARK
    places = {match.end() for match in mark.finditer(text)}
    if place == "start":
        return [(text[:at], text[at:]) for at in places if at <= MAX_CHARACTERS and text[at:].strip()]
    return [(text[at:], text[:at]) for at in places if text[at:].strip() and text[:at].strip() and len(text) - at <= MAX_NOTICE]


NEVER = 2.0


def _required(masked: str, name: str, place: Place) -> tuple[float, bool]:
    """The share from which a repeat of this form is learned, and whether its texts may have any sentiment. NEVER: not at all."""
    part = masked.strip()
    letters = len(_LETTER.findall(part))
    if letters < MIN_LETTERS or part[0] in "$#@":
        return NEVER, False
    content = bool(_CONTENT.search(_PHRASAL.sub("", part)))
    if place == "end" and letters >= _sentence_letters(part) and _NOTICE.search(part):
        return (MIN_SHARE, not content) if not content or _DISCLAIMER.search(part) else (NEVER, False)
    if len(part) > MAX_CHARACTERS or content:
        return NEVER, False
    if place == "start" and _is_dateline(part):
        return MIN_SHARE, True
    if _is_bracketed(part) and (_PUBLISHER.search(part) or _names(part, name)):
        return MIN_SHARE, False
    if _names(part, name) or _is_decoration(part, place):
        return MIN_SHARE_UNMARKED, False
    return NEVER, False


def _sentence_letters(part: str) -> int:
    return MIN_LETTERS_SENTENCE["zh" if _CHINESE.search(part) else ""]


def _is_dateline(part: str) -> bool:
    """Whether a start is a dateline: a place or publisher, and a date or a publisher's word, up to a mark or a dash."""
    if _WIRE_EN.search(part):
        return bool(_DATE.search(part) or _PUBLISHER.search(part))
    dated = _DATED_WIRE_ZH.fullmatch(part)
    if dated is None:
        return bool(_WIRE_ZH.fullmatch(part))
    sender = dated["sender"].strip()
    return bool(_SENDER_NAME.search(sender)) or not sender or (dated["word"] in "电讯" and not _COMPANY.search(sender))


def _is_bracketed(part: str) -> bool:
    """Whether a part is one bracket, such as "（某社）" or "[Some Wire]", perhaps with a colon after it."""
    return part[0] in "(（【[" and part.rstrip("：: -–—").endswith((")", "）", "】", "]")) and not re.search(r"[)）】\]].*[(（【\[]", part)


def _names(part: str, name: str) -> bool:
    """Whether a part consists of little more than the name of its source."""
    letters = _NOT_ALNUM.sub("", part).casefold()
    return len(name) >= 3 and name in letters and len(letters) <= len(name) + 8


def _is_decoration(part: str, place: Place) -> bool:
    """Whether a part is separated by a bar or a dash, as the name of a site is in a title."""
    if "0" in part or len(part) > 40:
        return False
    return part.endswith(("|", "丨", "｜")) if place == "start" else bool(re.match(r"[|丨｜_]|[-–—]\s", part))


def _as_others(samples: Sequence[Sample], numbers: Sequence[int]) -> bool:
    """Whether the texts with a repeat have about the sentiments of those without it, as far as both are known."""
    having = set(numbers)
    inside = Counter(samples[number].label for number in numbers if samples[number].label)
    outside = Counter(sample.label for number, sample in enumerate(samples) if sample.label and number not in having)
    n, others = inside.total(), outside.total()
    if n < MIN_COUNT or others < MIN_COUNT:
        return True
    return all(abs(inside[label] / n - outside[label] / others) <= MAX_DIFFERENCE for label in ("negative", "positive"))


def _length(text: str, known: tuple[str, ...], *, at_end: bool) -> int:
    """The number of characters of `text` that the longest matching one of `known` covers."""
    seen = text[-MAX_SEEN:] if at_end else text  # a pattern that begins with a number takes quadratic time in a long run of digits
    for part in known:
        match = _pattern(part, at_end).search(seen)
        if match is not None:
            return match.end() - match.start()
    return 0


@lru_cache(maxsize=10_000)
def _pattern(part: str, at_end: bool) -> re.Pattern[str]:
    """The pattern of a repeat at the start or the end of a text."""
    pieces = [re.escape(piece) for piece in part.split("0")]
    pattern = rf"(?:\d+|{_MONTHS}\b\.?)".join(pieces)
    return re.compile(rf"{pattern}\s*\Z" if at_end else rf"\A\s*{pattern}")
