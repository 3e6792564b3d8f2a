"""What people read of several alerts in one message, in English or Chinese. Pure.

    a group     what is new, the most severe first, each with its sentence and its most negative articles ─▶ what is over ─▶ what goes on
    a digest    by series, the most severe first, with counts: each alert a line

One new alert by itself reads as if it were sent alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Protocol

from core.records import Alert
from core.series import series_name
from domain.alert_lifecycle.silences import rank
from stream.delivery.formats.alert_text import SEVERITY, Reading, line, read, when
from stream.delivery.formats.base import Bundle, Member, Options, ranked
from stream.delivery.formats.splitting import Piece, characters

MOST_ARTICLES = 3
"""Of each alert in a chat; mail has all of them."""
MOST_NAMES = 3
"""Series that a headline names."""
MOST_NAME_CHARS = 40


class Text(Protocol):
    """What every message needs: a few words, one sentence, and paragraphs."""

    @property
    def title(self) -> str:
        """A few words."""

    @property
    def headline(self) -> str:
        """One sentence without its end."""

    def pieces(self) -> list[Piece]:
        """All but the headline, as paragraphs."""


class Section(NamedTuple):
    """One alert of several, or one series of a digest. head: leads to the alert, where people have an address of it"""

    head: Piece
    lines: tuple[Piece, ...] = ()
    articles: tuple[Piece, ...] = ()


class Together(NamedTuple):
    """Several alerts in words, as Reading has one."""

    title: str
    headline: str
    sections: tuple[Section, ...]
    zh: bool

    def pieces(self) -> list[Piece]:
        """All but the headline, with the first articles of each alert."""
        found = []
        for section in self.sections:
            found += [section.head, *section.lines, *section.articles[:MOST_ARTICLES]]
            left = len(section.articles) - MOST_ARTICLES
            if left > 0:
                found.append(Piece(f"另有 {left} 篇" if self.zh else f"and {left} more", section.head.url))
        return found


def words_of(sent: Alert | Bundle, options: Options) -> Reading | Together:
    """What is sent, in the endpoint's language."""
    if isinstance(sent, Alert):
        return read(sent, options)
    alone = sent.members[0]
    if len(sent.members) == 1 and alone.fresh and not alone.ended and not sent.digest:
        return read(alone.alert, options)
    zh = options.language == "zh"
    return _digest(sent, options, zh) if sent.digest else _group(sent, options, zh)


def _group(bundle: Bundle, options: Options, zh: bool) -> Together:
    members = ranked(bundle.members)
    firing, over = [each for each in members if not each.ended], [each for each in members if each.ended]
    fresh, still = [each for each in firing if each.fresh], [each for each in firing if not each.fresh]
    counted = [_counted(firing, fresh, zh), *([_over(over, zh)] if over else [])] if firing else [_over(over, zh)]
    title = _titled(firing or over, ("，" if zh else ", ").join(counted), zh)
    sections = [
        *(_told(each, options) for each in fresh),
        *(_short(each, options, zh) for each in [*over, *still]),
    ]
    return Together(title, title + _named([*firing, *over], options, zh), tuple(sections), zh)


def _digest(bundle: Bundle, options: Options, zh: bool) -> Together:
    by_series: dict[str, list[Member]] = {}
    for each in ranked(bundle.members):
        by_series.setdefault(each.alert.series, []).append(each)
    counts = f"{len(bundle.members)} 条预警，涉及 {len(by_series)} 个对象" if zh else _digested(len(bundle.members), len(by_series))
    title = _titled(ranked(bundle.members), counts, zh)
    headline = f"{title}（摘要，{when(bundle.at)}）" if zh else f"{title} (digest, {when(bundle.at)})"
    sections = [_of_series(members, options, zh) for members in by_series.values()]
    return Together(title, headline, tuple(sections), zh)


def _of_series(members: Sequence[Member], options: Options, zh: bool) -> Section:
    """members: of one series, the most severe first"""
    first = read(members[0].alert, options)
    stories = max(each.alert.observed for each in members)
    counts = (
        f"{len(members)} 条预警，最多 {stories} 条负面报道" if zh else f"{_many(len(members), 'alert')}, at most {stories} negative stories"
    )
    lines = []
    for each in sorted(members, key=lambda each: (each.alert.detected_at, each.alert.id)):
        reading, colon = read(each.alert, options), "：" if zh else ": "
        ended = f" · {_ended(each.ended, zh)}" if each.ended else ""
        lines.append(Piece(f"{when(each.alert.detected_at)}{colon}{reading.counts}{ended}", reading.link))
    return Section(Piece(f"{first.title}{'：' if zh else ': '}{counts}"), tuple(lines), first.evidence)


def _told(member: Member, options: Options) -> Section:
    reading = read(member.alert, options)
    return Section(Piece(reading.headline, reading.link), (Piece(reading.sentences[0]),), reading.evidence)


def _short(member: Member, options: Options, zh: bool) -> Section:
    reading = read(member.alert, options)
    state = _ended(member.ended, zh) if member.ended else "仍在持续" if zh else "goes on"
    return Section(Piece(f"{reading.headline} · {state}", reading.link))


def _titled(members: Sequence[Member], counts: str, zh: bool) -> str:
    """members: the most severe first"""
    severity = SEVERITY[max((each.alert.severity for each in members), key=rank)][zh]
    return f"【{severity}】{counts}" if zh else f"[{severity}] {counts}"


def _counted(firing: Sequence[Member], fresh: Sequence[Member], zh: bool) -> str:
    if zh:
        return f"{len(firing)} 条预警" + ("" if len(fresh) == len(firing) else f"（新增 {len(fresh)} 条）" if fresh else "仍在持续")
    counted = _many(len(firing), "alert")
    return counted + ("" if len(fresh) == len(firing) else f" ({len(fresh)} new)" if fresh else " still firing")


def _over(over: Sequence[Member], zh: bool) -> str:
    return f"{len(over)} 条预警已解除" if zh else f"{_many(len(over), 'alert')} over"


def _named(members: Sequence[Member], options: Options, zh: bool) -> str:
    """The first series, the most severe first; "" where there are none."""
    names = list(dict.fromkeys(_brief(line(series_name(each.alert.series, options.language))) for each in members))
    shown = ("、" if zh else ", ").join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    if more > 0:
        shown += f"等 {len(names)} 个对象" if zh else f" and {more} more"
    return f"{'：' if zh else ': '}{shown}"


def _brief(name: str) -> str:
    """A name for a headline: three long ones would fill a message."""
    shown = list(islice(characters(name), MOST_NAME_CHARS + 1))
    return name if len(shown) <= MOST_NAME_CHARS else "".join(shown[:MOST_NAME_CHARS]) + "…"


def _ended(ended: datetime, zh: bool) -> str:
    return f"已解除（自 {when(ended)}）" if zh else f"over since {when(ended)}"


def _digested(alerts: int, series: int) -> str:
    return f"{_many(alerts, 'alert')} on {series if series > 1 else 'one'} series"


def _many(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
