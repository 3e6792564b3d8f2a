"""Generate texts of stories from the templates in en.toml and zh.toml with a seeded random generator.

Pure: the same generator state and arguments give the same story.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from core.records import Language
from core.taxonomy import BY_KEY
from tocsin.newswire.cast import InventedCompany, companies

BEIJING = timezone(timedelta(hours=8), "CST")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ORDINALS = ("first", "second", "third", "fourth")
_ORDINALS_ZH = "一二三四"


class Values:
    """Values of the slots of one story, generated on first use and then constant.

    Args:
        rng: random generator.
        language: of the story.
        moment: publication time.
        cast: the companies that the story may name, its subject first.
        lists: [values] of the grammar.
        sectors: sector to its name in the story's language.
    """

    def __init__(
        self,
        rng: random.Random,
        language: Language,
        moment: datetime,
        cast: Sequence[InventedCompany],
        lists: Mapping[str, Sequence[str]],
        sectors: Mapping[str, str],
    ) -> None:
        self._rng = rng
        self._zh = language == "zh"
        self._language = language
        self._moment = moment.astimezone(BEIJING if self._zh else UTC)
        self._cast = cast
        self._lists = lists
        self._sectors = sectors
        self._values: dict[str, str] = {}
        self.named: dict[str, InventedCompany] = {}
        """Companies named so far, by key, in order of appearance."""

    def __getitem__(self, name: str) -> str:
        """The value of a slot. Raises KeyError for an unknown slot, which is an error in the grammar."""
        value = self._values.get(name)
        if value is None:
            value = self._values[name] = self._make(name)
        return value

    def _make(self, name: str) -> str:
        stem = name.rstrip("0123456789")
        if stem in {"company", "short"}:
            company = self._cast[1 if name.endswith("2") else 0]
            self.named.setdefault(company.key, company)
            return company.name(self._language) if stem == "company" else company.short(self._language)
        if stem == "sector":
            return self._sectors[self._cast[0].sector]
        if stem == "person":
            first, last = self._rng.choice(self._lists["first"]), self._rng.choice(self._lists["last"])
            return last + first if self._zh else f"{first} {last}"
        if stem in self._lists:
            taken = {self._values.get(stem + suffix) for suffix in ("", "2", "3")}
            return self._rng.choice([value for value in self._lists[stem] if value not in taken])
        figure = _FIGURES.get(name) or _FIGURES.get(stem)
        if figure is not None:
            return figure(self._rng)
        return self._dated(stem) if stem in _DATED else self._counted(name)

    def _counted(self, name: str) -> str:
        rng = self._rng
        match name:
            case "money":
                return self._money(0.8, 9.9)
            case "money2" | "money3":
                return self._money(0.3, 20.0)
            case "headcount" | "headcount2" | "headcount3":
                count = rng.randrange(6, 480) * 50
                return f"{count / 10_000:.1f}万" if self._zh and count >= 10_000 else f"{count}" if self._zh else f"{count:,}"
            case "home_price":
                return f"{rng.uniform(1.2, 9.8):.1f}万元" if self._zh else f"${rng.randrange(300, 2400):,}"
            case "price":
                amount = rng.uniform(4, 180)
                return f"{amount:.2f}元" if self._zh else f"${amount:.2f}"
            case _:
                raise KeyError(name)

    def _money(self, low: float, high: float) -> str:
        rng = self._rng
        billions = rng.uniform(low, high) if rng.random() < 0.6 else rng.uniform(0.05, 0.9)
        if self._zh:
            unit = rng.choice(("元", "元", "元", "美元", "港元"))
            return f"{billions * 10:.1f}亿{unit}"
        amount = f"{billions:.2f} billion" if billions >= 1 else f"{billions * 1000:.0f} million"
        return rng.choice((f"${amount}", f"${amount}", f"€{amount}", f"{amount} yuan"))

    def _dated(self, name: str) -> str:
        now = self._moment
        ahead = now + timedelta(days=self._rng.randrange(3, 40))
        past = (now.month - 2) % 12
        quarter = ((now.month - 1) // 3 - 1) % 4
        match name:
            case "date":
                return self.date(ahead)
            case "today":
                return self.date(now)
            case "weekday":
                return _DAYS[now.weekday()]
            case "month":
                return f"{past + 1}月" if self._zh else _MONTHS[past]
            case "next_month":
                month = (now.month - 1 + self._rng.randrange(1, 4)) % 12
                return f"{month + 1}月" if self._zh else _MONTHS[month]
            case "quarter":
                return f"{_ORDINALS_ZH[quarter]}季度" if self._zh else f"{_ORDINALS[quarter]}-quarter"
            case "half":
                first = now.month >= 7
                return ("上半年" if first else "下半年") if self._zh else ("first half" if first else "second half")
            case _:
                return str(now.year - 1)

    def date(self, moment: datetime) -> str:
        """Such as "3 December" or "12月3日"."""
        local = moment.astimezone(BEIJING if self._zh else UTC)
        return f"{local.month}月{local.day}日" if self._zh else f"{local.day} {_MONTHS[local.month - 1]}"


_DATED = frozenset({"date", "today", "weekday", "month", "next_month", "quarter", "half", "year"})


def _percent(low: float, high: float) -> Callable[[random.Random], str]:
    return lambda rng: f"{rng.uniform(low, high):.1f}%"


def _whole(low: int, high: int, step: int = 1) -> Callable[[random.Random], str]:
    return lambda rng: str(rng.randrange(low, high, step))


def _decimal(low: float, high: float, places: int) -> Callable[[random.Random], str]:
    return lambda rng: f"{rng.uniform(low, high):.{places}f}"


_FIGURES: dict[str, Callable[[random.Random], str]] = {
    "pct": _percent(11, 48),
    "pct2": _percent(8, 40),
    "pct3": _percent(5, 30),
    "pct_high": _percent(62, 97),
    "small": _percent(0.1, 0.4),
    "move": _percent(2.1, 6.9),
    "move2": _percent(7, 19),
    "crash": _percent(28, 74),
    "rate": _percent(1.2, 5.4),
    "rate2": _percent(9, 17),
    "bp": lambda rng: str(rng.choice((25, 50, 75, 100))),
    "units": _whole(4, 60),
    "countries": _whole(6, 30),
    "few": _whole(2, 4),
    "years": _whole(2, 12),
    "founded": _whole(1951, 2016),
    "joined": _whole(2004, 2025),
    "multiple": _decimal(7, 38, 1),
    "points": _decimal(2200, 9800, 2),
    "fx": _decimal(6.9, 7.3, 4),
    "euro": _decimal(1.04, 1.19, 4),
    "oil": _decimal(61, 88, 2),
    "gold": _decimal(3100, 4200, 1),
    "metal": _whole(64_000, 79_000, 10),
    "metal2": _whole(79_000, 88_000, 10),
    "bitcoin": _whole(70_000, 130_000, 10),
    "barrels": _decimal(18, 460, 1),
    "cents": _whole(6, 32),
    "nm": lambda rng: str(rng.choice((3, 5, 7, 14, 22, 28))),
    "version": lambda rng: f"{rng.randrange(2, 15)}.{rng.randrange(10)}",
}

Tone = Literal["negative", "neutral", "positive"]
Kind = Literal["quiet", "crisis", "decoy"]

TONES: dict[Tone, float] = {"negative": 0.15, "neutral": 0.50, "positive": 0.35}
"""Fractions of stories on a day without a crisis."""

TOPIC_SECTORS: dict[str, tuple[str, ...]] = {
    "financials": ("banks",),
    "real_estate": ("real_estate",),
    "technology": ("technology", "semiconductors"),
    "energy": ("energy",),
    "commodities": ("materials",),
}
"""Topics restricted to companies of certain sectors."""

_SLOT = re.compile(r"\{(\w+)\}")
_NO_ANALYSTS = frozenset({"politics", "other"})


class EventTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Template of a story: one [[stories]], [[crisis]] or [[decoy]] table.

    Attributes:
        sectors: sectors of its companies; empty for those of the topic.
        paired: title and lead with the same index belong together; otherwise they combine freely.
    """

    topic: str
    titles: tuple[str, ...]
    leads: tuple[str, ...]
    details: tuple[str, ...] = ()
    tone: Tone = "negative"
    sectors: tuple[str, ...] = ()
    paired: bool = False
    kind: str = ""

    def __post_init__(self) -> None:
        if self.topic not in BY_KEY or (self.paired and len(self.titles) != len(self.leads)):
            raise ValueError(f"grammar: {self.titles[0]!r} has an unknown topic, or a title without a lead")


class Grammar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All templates of one language: the content of en.toml or zh.toml."""

    words: dict[str, tuple[str, ...]]
    values: dict[str, tuple[str, ...]]
    sectors: dict[str, str]
    quotes: dict[Tone, tuple[str, ...]]
    closings: dict[str, tuple[str, ...]]
    copies: dict[str, tuple[str, ...]]
    details: dict[str, tuple[str, ...]]
    stories: tuple[EventTemplate, ...]
    crisis: tuple[EventTemplate, ...]
    decoy: tuple[EventTemplate, ...]


@dataclass(frozen=True, slots=True)
class WireStory:
    """One generated story, as first published.

    Attributes:
        companies: keys of the companies named, the subject first.
        sector: sector of the subject; "" if there is none.
        sentences: the lead, then the details.
        closing: the last sentence; copies replace it by one of `closings`.
        city: place of the dateline.
    """

    id: str
    kind: Kind
    topic: str
    tone: Tone
    companies: tuple[str, ...]
    sector: str
    language: Language
    title: str
    sentences: tuple[str, ...]
    closing: str
    closings: tuple[str, ...]
    city: str
    published_at: datetime

    @property
    def body(self) -> str:
        """All sentences, including the closing."""
        return ("" if self.language == "zh" else " ").join((*self.sentences, self.closing))


@cache
def grammar_of(language: Language) -> Grammar:
    """The grammar of a language, cached."""
    text = resources.files("tocsin.newswire").joinpath(f"{language}.toml").read_text(encoding="utf8")
    return msgspec.convert(tomllib.loads(text), Grammar)


def quiet_event(rng: random.Random, language: Language) -> EventTemplate:
    """Draw a template for a day without a crisis: a tone by TONES, then a template of that tone, company events twice as often."""
    tone = rng.choices(list(TONES), weights=list(TONES.values()))[0]
    events = [event for event in grammar_of(language).stories if event.tone == tone]
    weights = [2.0 if any("{company}" in title for title in event.titles) else 1.0 for event in events]
    return rng.choices(events, weights=weights)[0]


def candidates(event: EventTemplate, sector: str = "") -> list[InventedCompany]:
    """Companies that can be the subject of the event; only those of `sector` if given."""
    allowed = (sector,) if sector else event.sectors or TOPIC_SECTORS.get(event.topic, ())
    return [company for company in companies() if not allowed or company.sector in allowed]


def write_story(
    rng: random.Random,
    event: EventTemplate,
    *,
    story: str,
    kind: Kind,
    language: Language,
    moment: datetime,
    cast: Sequence[InventedCompany],
) -> WireStory:
    """Generate a story about the first company of `cast`; the second may be named too.

    Raises KeyError for an unknown slot in the grammar.
    """
    grammar = grammar_of(language)
    values = Values(rng, language, moment, cast, grammar.values, grammar.sectors)

    def fill(match: re.Match[str]) -> str:
        words = grammar.words.get(match[1])
        return _SLOT.sub(fill, rng.choice(words)) if words else values[match[1]]

    def render_template(template: str) -> str:
        text = _SLOT.sub(fill, template)
        return text[0].upper() + text[1:]

    def fitting(templates: Sequence[str]) -> list[str]:
        """Drop templates that name a company in a story without one, or an analyst in a non-financial one."""
        if not values.named:
            templates = [text for text in templates if not re.search(r"\{(short|company|role)", text)]
        return [text for text in templates if event.topic not in _NO_ANALYSTS or "{analyst" not in text]

    number = rng.randrange(len(event.titles))
    title = render_template(event.titles[number])
    lead = render_template(event.leads[number] if event.paired else rng.choice(event.leads))
    own = fitting(event.details)
    pool = [*rng.sample(own, min(len(own), rng.choice((1, 1, 2)))), rng.choice(fitting(grammar.details[event.topic]))]
    if rng.random() < 0.6:
        pool.append(rng.choice(fitting(grammar.quotes[event.tone])))
    closings = fitting(grammar.closings["company" if values.named else "general"])
    sentences = (lead, *(render_template(text) for text in pool))
    closing_lines = tuple(render_template(text) for text in rng.sample(closings, min(4, len(closings))))
    named = tuple(values.named)
    return WireStory(
        id=story,
        kind=kind,
        topic=event.topic,
        tone=event.tone,
        companies=named,
        sector=next(iter(values.named.values())).sector if named else "",
        language=language,
        title=title,
        sentences=sentences,
        closing=closing_lines[0],
        closings=closing_lines[1:],
        city=values["city"],
        published_at=moment,
    )
