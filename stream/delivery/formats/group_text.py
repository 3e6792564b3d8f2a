"""The text of several alerts in one message, in English or Chinese. Pure.

    group     new alerts, most severe first, each with a sentence and its most negative articles ─▶ resolved ─▶ still firing
    digest    by series, most severe first, with counts; one line per alert

A group of one new alert has the text of that alert alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple, Protocol

from core.records import Alert
from core.series import series_name
from domain.alert_lifecycle.silences import rank
from stream.delivery.formats.alert_text import SEVERITY, AlertText, alert_text, format_utc, one_line
from stream.delivery.formats.base import Bundle, FormatOptions, Member, by_severity
from stream.delivery.formats.generic import TEST
from stream.delivery.formats.splitting import Paragraph, graphemes

MAX_ARTICLES = 3
"""Articles per alert in a chat; mail has all of them."""
MAX_NAMES = 3
"""Series named in a headline."""
MAX_NAME_CHARS = 40


class MessageText(Protocol):
    """The text of any message."""

    @property
    def title(self) -> str:
        """A few words."""

    @property
    def headline(self) -> str:
        """One sentence without a final stop."""

    def paragraphs(self) -> list[Paragraph]:
        """Everything but the headline."""


class Section(NamedTuple):
    """An alert of a group, or a series of a digest. head: links to the alert where the dashboard has a public URL."""

    head: Paragraph
    lines: tuple[Paragraph, ...] = ()
    articles: tuple[Paragraph, ...] = ()


class GroupText(NamedTuple):
    """The text of several alerts."""

    title: str
    headline: str
    sections: tuple[Section, ...]
    zh: bool

    def paragraphs(self) -> list[Paragraph]:
        """Everything but the headline, with at most MAX_ARTICLES articles per alert."""
        found = []
        for section in self.sections:
            found += [section.head, *section.lines, *section.articles[:MAX_ARTICLES]]
            rest = len(section.articles) - MAX_ARTICLES
            if rest > 0:
                found.append(Paragraph(f"另有 {rest} 篇" if self.zh else f"and {rest} more", section.head.url))
        return found


class BotTestText(NamedTuple):
    """The text of a test message to a bot. Bots may accept only messages with a keyword, so it has no word that an alert lacks."""

    title: str

    @property
    def headline(self) -> str:
        """The title."""
        return self.title

    def paragraphs(self) -> list[Paragraph]:
        """None: the footer follows."""
        return []


def render_for_bot(payload: Alert | Bundle, options: FormatOptions) -> MessageText:
    """The text of an alert, a bundle or a test message; every message of it ends with `bot_footer`."""
    if isinstance(payload, Alert) and payload.rule == TEST:
        return BotTestText(f"Tocsin · {payload.detected_at.astimezone(UTC):%Y-%m-%d %H:%M}")
    return render(payload, options)


def bot_footer(options: FormatOptions) -> Paragraph:
    """The last line of every message to a bot, with the keyword that the bot wants."""
    name = "Tocsin 告警" if options.language == "zh" else "Tocsin alert"
    return Paragraph(f"{name} · {options.keyword}" if options.keyword else name)


def render(payload: Alert | Bundle, options: FormatOptions) -> AlertText | GroupText:
    """The text of an alert or a bundle in the endpoint's language."""
    if isinstance(payload, Alert):
        return alert_text(payload, options)
    first = payload.members[0]
    if len(payload.members) == 1 and first.is_new and not first.resolved_at and not payload.digest:
        return alert_text(first.alert, options)
    zh = options.language == "zh"
    return _digest(payload, options, zh) if payload.digest else _group(payload, options, zh)


def _group(bundle: Bundle, options: FormatOptions, zh: bool) -> GroupText:
    members = by_severity(bundle.members)
    firing, resolved = [each for each in members if not each.resolved_at], [each for each in members if each.resolved_at]
    new, old = [each for each in firing if each.is_new], [each for each in firing if not each.is_new]
    counts = [_firing_count(firing, new, zh), *([_resolved_count(resolved, zh)] if resolved else [])]
    title = _title(firing or resolved, ("，" if zh else ", ").join(counts if firing else counts[1:]), zh)
    sections = [
        *(_full_section(each, options) for each in new),
        *(_short_section(each, options, zh) for each in [*resolved, *old]),
    ]
    return GroupText(title, title + _series_names([*firing, *resolved], options, zh), tuple(sections), zh)


def _digest(bundle: Bundle, options: FormatOptions, zh: bool) -> GroupText:
    by_series: dict[str, list[Member]] = {}
    for each in by_severity(bundle.members):
        by_series.setdefault(each.alert.series, []).append(each)
    counts = f"{len(bundle.members)} 条告警，涉及 {len(by_series)} 个对象" if zh else _digest_count(len(bundle.members), len(by_series))
    title = _title(by_severity(bundle.members), counts, zh)
    headline = f"{title}（摘要，{format_utc(bundle.at)}）" if zh else f"{title} (digest, {format_utc(bundle.at)})"
    sections = [_series_section(members, options, zh) for members in by_series.values()]
    return GroupText(title, headline, tuple(sections), zh)


def _series_section(members: Sequence[Member], options: FormatOptions, zh: bool) -> Section:
    """members: of one series, most severe first"""
    first = alert_text(members[0].alert, options)
    stories = max(each.alert.observed for each in members)
    counts = (
        f"{len(members)} 条告警，最多 {stories} 条负面报道" if zh else f"{_plural(len(members), 'alert')}, up to {stories} negative stories"
    )
    lines = []
    for each in sorted(members, key=lambda each: (each.alert.detected_at, each.alert.id)):
        text, colon = alert_text(each.alert, options), "：" if zh else ": "
        resolved = f" · {_resolved(each.resolved_at, zh)}" if each.resolved_at else ""
        lines.append(Paragraph(f"{format_utc(each.alert.detected_at)}{colon}{text.observation}{resolved}", text.link))
    return Section(Paragraph(f"{first.title}{'：' if zh else ': '}{counts}"), tuple(lines), first.evidence)


def _full_section(member: Member, options: FormatOptions) -> Section:
    text = alert_text(member.alert, options)
    return Section(Paragraph(text.headline, text.link), (Paragraph(text.sentences[0]),), text.evidence)


def _short_section(member: Member, options: FormatOptions, zh: bool) -> Section:
    text = alert_text(member.alert, options)
    state = _resolved(member.resolved_at, zh) if member.resolved_at else "仍在持续" if zh else "still firing"
    return Section(Paragraph(f"{text.headline} · {state}", text.link))


def _title(members: Sequence[Member], counts: str, zh: bool) -> str:
    severity = SEVERITY[max((each.alert.severity for each in members), key=rank)][zh]
    return f"【{severity}】{counts}" if zh else f"[{severity}] {counts}"


def _firing_count(firing: Sequence[Member], new: Sequence[Member], zh: bool) -> str:
    if zh:
        return f"{len(firing)} 条告警" + ("" if len(new) == len(firing) else f"（新增 {len(new)} 条）" if new else "仍在持续")
    count = _plural(len(firing), "alert")
    return count + ("" if len(new) == len(firing) else f" ({len(new)} new)" if new else " still firing")


def _resolved_count(resolved: Sequence[Member], zh: bool) -> str:
    return f"{len(resolved)} 条告警已解决" if zh else f"{_plural(len(resolved), 'alert')} resolved"


def _series_names(members: Sequence[Member], options: FormatOptions, zh: bool) -> str:
    """The first series of the members, for a headline."""
    names = list(dict.fromkeys(_truncate(one_line(series_name(each.alert.series, options.language))) for each in members))
    shown = ("、" if zh else ", ").join(names[:MAX_NAMES])
    more = len(names) - MAX_NAMES
    if more > 0:
        shown += f"等 {len(names)} 个对象" if zh else f" and {more} more"
    return f"{'：' if zh else ': '}{shown}"


def _truncate(name: str) -> str:
    """A name for a headline; three long ones would fill a message."""
    shown = list(islice(graphemes(name), MAX_NAME_CHARS + 1))
    return name if len(shown) <= MAX_NAME_CHARS else "".join(shown[:MAX_NAME_CHARS]) + "…"


def _resolved(at: datetime, zh: bool) -> str:
    return f"已于 {format_utc(at)} 解决" if zh else f"resolved at {format_utc(at)}"


def _digest_count(alerts: int, series: int) -> str:
    return f"{_plural(alerts, 'alert')} on {series if series > 1 else 'one'} series"


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
