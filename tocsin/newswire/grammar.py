"""What could a story say? Titles, leads, details, quotes and closings from en.toml and zh.toml, drawn with a seeded generator.

Pure: the same generator, topic, tone and moment give the same story.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from core.records import Language
from core.taxonomy import BY_KEY
from tocsin.newswire.cast import Company, companies
from tocsin.newswire.values import Values

Tone = Literal["negative", "neutral", "positive"]
Kind = Literal["quiet", "crisis", "decoy"]

TONES: dict[Tone, float] = {"negative": 0.15, "neutral": 0.50, "positive": 0.35}
"""Shares of a quiet day."""

TOPIC_SECTORS: dict[str, tuple[str, ...]] = {
    "financials": ("banks",),
    "real_estate": ("real_estate",),
    "technology": ("technology", "semiconductors"),
    "energy": ("energy",),
    "commodities": ("materials",),
}
"""Topics that only companies of certain sectors appear in."""

_SLOT = re.compile(r"\{(\w+)\}")
_NO_ANALYSTS = frozenset({"politics", "other"})


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that can happen: one [[stories]], [[crisis]] or [[decoy]] table.

    sectors: those it can happen in; empty: the topic's
    paired: the first title goes with the first lead and so on; else any title goes with any lead
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
    """All that one language can say: the content of en.toml or zh.toml."""

    words: dict[str, tuple[str, ...]]
    values: dict[str, tuple[str, ...]]
    sectors: dict[str, str]
    quotes: dict[Tone, tuple[str, ...]]
    closings: dict[str, tuple[str, ...]]
    copies: dict[str, tuple[str, ...]]
    details: dict[str, tuple[str, ...]]
    stories: tuple[Event, ...]
    crisis: tuple[Event, ...]
    decoy: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """One event as the first paper tells it.

    companies: keys of those named, the one it is about first; sector: of that one, "" for none
    sentences: the lead, then the details; closing: the last line, which a copy replaces by another of `closings`
    city: where it was reported from
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
        """All sentences, the closing one too."""
        return ("" if self.language == "zh" else " ").join((*self.sentences, self.closing))


@cache
def grammar_of(language: Language) -> Grammar:
    """The grammar of a language, read once."""
    text = resources.files("tocsin.newswire").joinpath(f"{language}.toml").read_text(encoding="utf8")
    return msgspec.convert(tomllib.loads(text), Grammar)


def quiet_event(rng: random.Random, language: Language) -> Event:
    """What happens on a quiet day: a tone by TONES, then any event of that tone; company events twice as often as others."""
    tone = rng.choices(list(TONES), weights=list(TONES.values()))[0]
    events = [event for event in grammar_of(language).stories if event.tone == tone]
    weights = [2.0 if any("{company}" in title for title in event.titles) else 1.0 for event in events]
    return rng.choices(events, weights=weights)[0]


def candidates(event: Event, sector: str = "") -> list[Company]:
    """The companies that the event can happen to; within `sector` where one is given."""
    allowed = (sector,) if sector else event.sectors or TOPIC_SECTORS.get(event.topic, ())
    return [company for company in companies() if not allowed or company.sector in allowed]


def tell(
    rng: random.Random, event: Event, *, story: str, kind: Kind, language: Language, moment: datetime, cast: Sequence[Company]
) -> Story:
    """The story of an event that happened to the first company of `cast`; the second one may be named too.

    Raises KeyError when the grammar asks for a value that nothing makes.
    """
    grammar = grammar_of(language)
    values = Values(rng, language, moment, cast, grammar.values, grammar.sectors)

    def fill(match: re.Match[str]) -> str:
        words = grammar.words.get(match[1])
        return _SLOT.sub(fill, rng.choice(words)) if words else values[match[1]]

    def say(template: str) -> str:
        text = _SLOT.sub(fill, template)
        return text[0].upper() + text[1:]

    def fitting(templates: Sequence[str]) -> list[str]:
        """Without what would name a company in a story about none, or an analyst in one that is not about money."""
        if not values.named:
            templates = [text for text in templates if not re.search(r"\{(short|company|role)", text)]
        return [text for text in templates if event.topic not in _NO_ANALYSTS or "{analyst" not in text]

    number = rng.randrange(len(event.titles))
    title = say(event.titles[number])
    lead = say(event.leads[number] if event.paired else rng.choice(event.leads))
    own = fitting(event.details)
    pool = [*rng.sample(own, min(len(own), rng.choice((1, 1, 2)))), rng.choice(fitting(grammar.details[event.topic]))]
    if rng.random() < 0.6:
        pool.append(rng.choice(fitting(grammar.quotes[event.tone])))
    closings = fitting(grammar.closings["company" if values.named else "general"])
    sentences = (lead, *(say(text) for text in pool))
    said = tuple(say(text) for text in rng.sample(closings, min(4, len(closings))))
    named = tuple(values.named)
    return Story(
        id=story,
        kind=kind,
        topic=event.topic,
        tone=event.tone,
        companies=named,
        sector=next(iter(values.named.values())).sector if named else "",
        language=language,
        title=title,
        sentences=sentences,
        closing=said[0],
        closings=said[1:],
        city=values["city"],
        published_at=moment,
    )
