"""What people read of an alert, in English or Chinese: one model for the chats, mail and Alertmanager. Pure.

A new fact about an alert is added here, once, and every format shows it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from core.outage_text import lasting
from core.records import LEVELS, Alert, Evidence, Language, Severity
from core.series import series_name
from stream.delivery.formats.base import Options
from stream.delivery.formats.generic import TEST, link_of
from stream.delivery.formats.measures import amount, in_words
from stream.delivery.formats.splitting import Piece

SEVERITY: dict[Severity, tuple[str, str]] = {"info": ("Info", "提示"), "warning": ("Warning", "警告"), "critical": ("Critical", "严重")}
_NAMED = 5
"""Words and companies of a line that says why; the dashboard has them all."""
_CERTAIN = 12.0
"""A surprise of more than this many digits is not worth counting."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+")
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_UNSAFE = re.compile(r"[\s\x00-\x20\x7f<>()\[\]{}|\\\"`^]")


class Fact(NamedTuple):
    """One line of a table. key: what programs call it"""

    key: str
    name: str
    value: str


class Reading(NamedTuple):
    """An alert in words. All texts are one line each, as the articles' sources wrote them: data, never markup.

    title: a few words; counts: what was seen; headline: one sentence without its end, of both
    link: the alert on the dashboard, "" where people have no address of it
    why: one sentence of what made it ring, "" where that is not known
    evidence: the articles behind it, those without which it would not have rung first, then the most negative
    """

    title: str
    headline: str
    sentences: tuple[str, ...]
    facts: tuple[Fact, ...]
    evidence: tuple[Piece, ...]
    link: str
    words: Words
    why: str = ""
    counts: str = ""

    def pieces(self) -> list[Piece]:
        """All but the headline, as paragraphs."""
        table = [Piece(f"{fact.name}{self.words.colon}{fact.value}") for fact in self.facts]
        articles = [Piece(self.words.articles), *self.evidence] if self.evidence else []
        link = [Piece(self.words.open, self.link)] if self.link else []
        return [*map(Piece, self.paragraphs()), *table, *articles, *link]

    def paragraphs(self) -> list[str]:
        """What is said in sentences."""
        return [*self.sentences, *([self.why] if self.why else [])]


class Words(NamedTuple):
    """What stands between the facts."""

    colon: str
    articles: str
    open: str


_WORDS: dict[Language, Words] = {"en": Words(": ", "Articles:", "Open the alert"), "zh": Words("：", "相关报道：", "查看预警")}


def read(alert: Alert, options: Options) -> Reading:
    """The alert in the endpoint's language."""
    zh = options.language == "zh"
    name, severity = line(series_name(alert.series, options.language)), SEVERITY[alert.severity][zh]
    sentences: tuple[str, ...]
    counts = ""
    if alert.rule == TEST:
        title = "Tocsin 测试消息" if zh else "A test from Tocsin"
        headline, sentences = title, ("此端点可以收到预警。" if zh else "Alerts reach this endpoint.",)
    else:
        title = f"【{severity}】{name}" if zh else f"[{severity}] {name}"
        counts = line(in_words(alert, zh).seen)
        headline, sentences = f"{title}{'：' if zh else ': '}{counts}", _sentences(alert, zh)
    evidence = tuple(_article(item, zh) for item in alert.evidence)
    facts = _facts(alert, name, severity, zh) if alert.rule != TEST else ()
    link, why = link_of(alert, options), because(alert, zh)
    return Reading(title, headline, sentences, facts, evidence, link, _WORDS[options.language], why, counts)


def _sentences(alert: Alert, zh: bool) -> tuple[str, ...]:
    if alert.measure == "silence":
        last = when(alert.window_start)
        return (f"最近一篇文章发布于 {last}。" if zh else f"The last article was published at {last}.",)
    if alert.measure in LEVELS:
        seen, _, limit = in_words(alert, zh)
        if zh:
            return f"{span(alert)} {line(seen)}；规则在{limit}时触发。", f"来自 {alert.sources} 个来源。"
        return f"In {span(alert)}, {line(seen)}; the rule rings {limit}.", f"Told by {_sources(alert)}."
    if zh:
        return (
            f"{span(alert)} 共 {alert.total} 条报道，其中 {alert.observed} 条为负面，来自 {alert.sources} 个来源。",
            f"{odds(alert.surprise, zh)}。",
        )
    return (
        f"Of {alert.total} stories in {span(alert)}, {alert.observed} were negative; they come from {_sources(alert)}.",
        f"{odds(alert.surprise, zh)}.",
    )


def because(alert: Alert, zh: bool) -> str:
    """What made it ring, in one sentence; "" where that is not known."""
    why = alert.why
    if why is None or not why.stories:
        return ""
    said = []
    of = f"{why.stories}{'+' if why.more else ''}"
    if why.carried:
        verb = "carries" if why.carried == 1 else "carry"
        said.append(f"{of} 条报道中缺这 {why.carried} 条就不会报警" if zh else f"{why.carried} of {of} stories {verb} it")
    if why.first_at is not None:
        source, at = line(why.first_source), when(why.first_at)
        said.append(f"最早：{source}，{at}" if zh else f"first: {source}, {at}")
    comma = "、" if zh else ", "
    if why.words:
        words = comma.join(line(each.word) for each in why.words[:_NAMED])
        some = "" if why.read >= why.stories else f"（最负面的 {why.read} 条）" if zh else f" of the {why.read} most negative"
        said.append(f"关键词{some}：{words}" if zh else f"words{some}: {words}")
    if why.companies:
        companies = comma.join(line(each.company) for each in why.companies[:_NAMED])
        said.append(f"涉及公司：{companies}" if zh else f"companies: {companies}")
    return f"{'；'.join(said)}。" if zh else f"{'; '.join(said)}."


def _sources(alert: Alert) -> str:
    return "one source" if alert.sources == 1 else f"{alert.sources} sources"


def _facts(alert: Alert, name: str, severity: str, zh: bool) -> tuple[Fact, ...]:
    rows = (
        ("series", "Series", "对象", name if name in alert.series else f"{name} ({line(alert.series)})"),
        ("severity", "Severity", "级别", severity),
        *_measured(alert, zh),
        ("sources", "Sources", "来源数", str(alert.sources)),
        ("detected", "Raised", "触发时间", when(alert.detected_at)),
        ("rule", "Rule", "规则", line(alert.rule)),
        ("id", "Alert", "编号", alert.id),
    )
    return tuple(Fact(key, chinese if zh else english, value) for key, english, chinese, value in rows)


def _measured(alert: Alert, zh: bool) -> tuple[tuple[str, str, str, str], ...]:
    if alert.measure == "silence":
        language: Language = "zh" if zh else "en"
        return (
            ("last_article", "Last article", "最近文章", when(alert.window_start)),
            ("silent_for", "Silent for", "沉默时长", lasting(alert.value, language)),
            ("limit", "Rings after", "报警时限", lasting(alert.limit, language)),
        )
    _, figure, limit = in_words(alert, zh)
    measured = [("expected", "Expected", "预期", amount(alert.expected))]
    if alert.measure in LEVELS:
        measured = [("measured", "Measured", "实测", figure), ("limit", "Rings", "触发条件", limit)]
    return (
        ("window", "Window", "窗口", span(alert)),
        ("observed", "Negative stories", "负面报道", str(alert.observed)),
        *measured,
        ("total", "All stories", "报道总数", str(alert.total)),
    )


def _article(item: Evidence, zh: bool) -> Piece:
    where = f"{line(item.source)}, {when(item.published_at)}"
    title = line(item.title)
    if not title:
        return Piece(where, address(item.url))
    return Piece(f"{title}（{where}）" if zh else f"{title} ({where})", address(item.url))


def odds(surprise: float, zh: bool) -> str:
    """A surprise (-log10 p) in words."""
    if surprise > _CERTAIN:
        return "几乎不可能出于偶然" if zh else "Chance all but never brings that about"
    n = f"{10**surprise:,.0f}"
    return f"偶然出现的概率约为 1/{n}" if zh else f"By chance so many come about in 1 of {n} windows"


def when(moment: datetime) -> str:
    """To the minute, in UTC: those who read it are in many places."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def span(alert: Alert) -> str:
    """The alert's window: "2026-11-20 12:00–12:15 UTC"."""
    start = alert.window_start.astimezone(UTC)
    end = start + timedelta(seconds=alert.window_s)
    until = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M}–{until} UTC"


def line(text: str) -> str:
    """The text as one line: controls and line ends become blanks, and nothing in it turns the direction of what follows."""
    return _CONTROLS.sub(" ", _DIRECTIONS.sub("", text)).strip()


def address(url: str) -> str:
    """A link that no markup can be hidden in: what could end it is percent-encoded; "" for what is not of the web."""
    url = url.strip()
    if not url.lower().startswith(("http://", "https://")):
        return ""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), url)
