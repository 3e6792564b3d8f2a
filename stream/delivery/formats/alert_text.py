"""The text of one alert in English or Chinese, shared by chats, mail, Alertmanager and the command line. Pure.

A new fact about an alert is added here once, and every format shows it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from core.outage_text import OutageFigures, format_hours, outage_text
from core.records import LEVELS, Alert, Evidence, Language, Measure, Severity
from core.series import series_name
from core.taxonomy import risk_name
from stream.delivery.formats.base import FormatOptions
from stream.delivery.formats.generic import TEST, alert_url
from stream.delivery.formats.splitting import Paragraph

SEVERITY: dict[Severity, tuple[str, str]] = {"info": ("Info", "提示"), "warning": ("Warning", "警告"), "critical": ("Critical", "严重")}
_MAX_NAMES = 5
"""Keywords and companies in the explanation; the dashboard shows all of them."""
_MAX_SURPRISE = 12.0
"""A probability below 1e-12 is not spelled out."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+")
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_UNSAFE = re.compile(r"[\s\x00-\x20\x7f<>()\[\]{}|\\\"`^]")


class Measured(OutageFigures, Protocol):
    """What `describe_measure` reads of an alert: a core.records.Alert, or an alert of a backtest."""

    @property
    def measure(self) -> Measure: ...  # noqa: D102
    @property
    def event(self) -> str: ...  # noqa: D102
    @property
    def observed(self) -> int: ...  # noqa: D102
    @property
    def expected(self) -> float: ...  # noqa: D102
    @property
    def total(self) -> int: ...  # noqa: D102


class MeasureText(NamedTuple):
    """A measured value in words.

    observation: a clause, "72% of 18 stories were negative"
    value, threshold: "72%" and "above 60%"; "" for alerts of the spike detector
    """

    observation: str
    value: str
    threshold: str


class Fact(NamedTuple):
    """A row of the table. key: its name in Alertmanager's annotations."""

    key: str
    name: str
    value: str


class TextLabels(NamedTuple):
    """Fixed text of a message."""

    colon: str
    articles: str
    open: str


class AlertText(NamedTuple):
    """The text of an alert. Every string is a single line of plain text, never markup.

    title: severity and series
    headline: title and observation, without a final stop
    sentences, facts: the body and the table
    evidence: the articles, decisive ones first, then the most negative
    link: URL of the alert on the dashboard; "" where it has no public URL
    explanation: one sentence; "" where there is none
    observation: what was measured, as a clause
    """

    title: str
    headline: str
    sentences: tuple[str, ...]
    facts: tuple[Fact, ...]
    evidence: tuple[Paragraph, ...]
    link: str
    labels: TextLabels
    explanation: str = ""
    observation: str = ""

    def paragraphs(self) -> list[Paragraph]:
        """Everything but the headline."""
        table = [Paragraph(f"{fact.name}{self.labels.colon}{fact.value}") for fact in self.facts]
        articles = [Paragraph(self.labels.articles), *self.evidence] if self.evidence else []
        link = [Paragraph(self.labels.open, self.link)] if self.link else []
        return [*map(Paragraph, self.body()), *table, *articles, *link]

    def body(self) -> list[str]:
        """The sentences and the explanation."""
        return [*self.sentences, *([self.explanation] if self.explanation else [])]


_LABELS: dict[Language, TextLabels] = {
    "en": TextLabels(": ", "Articles:", "Open the alert"),
    "zh": TextLabels("：", "相关报道：", "查看告警"),
}


def alert_text(alert: Alert, options: FormatOptions) -> AlertText:
    """The text of an alert in the endpoint's language."""
    zh = options.language == "zh"
    name, severity = one_line(series_name(alert.series, options.language)), SEVERITY[alert.severity][zh]
    sentences: tuple[str, ...]
    observation = ""
    if alert.rule == TEST:
        title = "Tocsin 测试消息" if zh else "Test message from Tocsin"
        headline, sentences = title, ("此接收端可以正常接收告警。" if zh else "This endpoint can receive alerts.",)
    else:
        title = f"【{severity}】{name}" if zh else f"[{severity}] {name}"
        observation = one_line(describe_measure(alert, zh).observation)
        headline, sentences = f"{title}{'：' if zh else ': '}{observation}", _sentences(alert, zh)
    evidence = tuple(_article(item, zh) for item in alert.evidence)
    facts = _facts(alert, name, severity, zh) if alert.rule != TEST else ()
    link, explanation = alert_url(alert, options), explain(alert, zh)
    return AlertText(title, headline, sentences, facts, evidence, link, _LABELS[options.language], explanation, observation)


def describe_measure(alert: Measured, zh: bool) -> MeasureText:
    """What a rule measured, and its threshold."""
    stories = f"{alert.total:,} 条报道" if zh else f"{alert.total:,} {'story' if alert.total == 1 else 'stories'}"
    verb = "was" if alert.total == 1 else "were"
    if alert.measure == "negative_share":
        value, limit = format_percent(alert.value), format_percent(alert.limit)
        observation = f"{stories}中 {value} 为负面" if zh else f"{value} of {stories} {verb} negative"
        return MeasureText(observation, value, f"高于 {limit}" if zh else f"above {limit}")
    if alert.measure == "mean_tone":
        value, limit = format_tone(alert.value), format_tone(alert.limit)
        observation = f"{stories}的平均情绪为 {value}" if zh else f"the mean sentiment of {stories} was {value}"
        return MeasureText(observation, value, f"低于 {limit}" if zh else f"below {limit}")
    if alert.measure == "volume":
        limit = f"{alert.limit:,.0f}"
        observation = f"共 {stories}" if zh else f"{stories} {verb} published"
        return MeasureText(observation, f"{alert.value:,.0f}", f"达到 {limit} 条" if zh else f"{limit} or more")
    if alert.measure == "risk_event":
        value, limit, event = format_percent(alert.value), format_percent(alert.limit), risk_name(alert.event, "zh" if zh else "en")
        observation = f"报道提及{event}，概率 {value}" if zh else f"{event} was detected with a probability of {value}"
        return MeasureText(observation, value, f"概率达到 {limit}" if zh else f"{limit} or more")
    if alert.measure == "outage":
        language: Language = "zh" if zh else "en"
        limit = format_hours(alert.limit, language)
        return MeasureText(
            outage_text(alert, language), format_hours(alert.value, language), f"超过 {limit}" if zh else f"more than {limit}"
        )
    n, expected = alert.observed, format_expected(alert.expected)
    if zh:
        return MeasureText(f"{n} 条负面报道，预期 {expected} 条", "", "")
    return MeasureText(f"{n} negative {'story' if n == 1 else 'stories'}, {expected} expected", "", "")


def _sentences(alert: Alert, zh: bool) -> tuple[str, ...]:
    window = format_window(alert)
    if alert.measure == "outage":
        last = format_utc(alert.window_start)
        return (f"最近一篇文章发布于 {last}。" if zh else f"The last article was published at {last}.",)
    if alert.measure in LEVELS:
        observation, _, threshold = describe_measure(alert, zh)
        if zh:
            return f"{window}：{one_line(observation)}；规则阈值：{threshold}。", f"来自 {alert.sources} 个来源。"
        return f"{window}: {one_line(observation)}; the rule's threshold is {threshold}.", f"Reported by {_sources(alert)}."
    if zh:
        return (
            f"{window} 共 {alert.total} 条报道，其中 {alert.observed} 条为负面，来自 {alert.sources} 个来源。",
            f"{describe_surprise(alert.surprise, zh)}。",
        )
    return (
        f"{alert.observed} of {alert.total} stories in the window {window} were negative, from {_sources(alert)}.",
        f"{describe_surprise(alert.surprise, zh)}.",
    )


def explain(alert: Alert, zh: bool) -> str:
    """Why the alert was raised, in one sentence; "" where it has no explanation."""
    why = alert.why
    if why is None or not why.stories:
        return ""
    clauses = []
    of = f"{why.stories}{'+' if why.more else ''}"
    if why.decisive_count:
        verb = "is" if why.decisive_count == 1 else "are"
        clauses.append(
            f"{of} 条报道中有 {why.decisive_count} 条为关键报道" if zh else f"{why.decisive_count} of {of} stories {verb} decisive"
        )
    if why.first_at is not None:
        source, at = one_line(why.first_source), format_utc(why.first_at)
        clauses.append(f"首发来源：{source}，{at}" if zh else f"first source: {source}, {at}")
    comma = "、" if zh else ", "
    if why.words:
        words = comma.join(one_line(each.word) for each in why.words[:_MAX_NAMES])
        some = "" if why.read >= why.stories else f"（负面程度最高的 {why.read} 条）" if zh else f" of the {why.read} most negative stories"
        clauses.append(f"关键词{some}：{words}" if zh else f"keywords{some}: {words}")
    if why.companies:
        companies = comma.join(one_line(each.company) for each in why.companies[:_MAX_NAMES])
        clauses.append(f"涉及公司：{companies}" if zh else f"companies: {companies}")
    return f"{'；'.join(clauses)}。" if zh else f"{'; '.join(clauses)}."


def _sources(alert: Alert) -> str:
    return "one source" if alert.sources == 1 else f"{alert.sources} sources"


def _facts(alert: Alert, name: str, severity: str, zh: bool) -> tuple[Fact, ...]:
    rows = (
        (
            "series",
            "Series",
            "对象",
            name if name in alert.series else f"{name}（{one_line(alert.series)}）" if zh else f"{name} ({one_line(alert.series)})",
        ),
        ("severity", "Severity", "级别", severity),
        *_measured(alert, zh),
        ("sources", "Sources", "来源数", str(alert.sources)),
        ("detected", "Detected", "触发时间", format_utc(alert.detected_at)),
        ("rule", "Rule", "规则", one_line(alert.rule)),
        ("id", "Alert ID", "告警编号", alert.id),
    )
    return tuple(Fact(key, chinese if zh else english, value) for key, english, chinese, value in rows)


def _measured(alert: Alert, zh: bool) -> tuple[tuple[str, str, str, str], ...]:
    if alert.measure == "outage":
        language: Language = "zh" if zh else "en"
        return (
            ("last_article", "Last article", "最近文章", format_utc(alert.window_start)),
            ("no_articles_for", "No articles for", "中断时长", format_hours(alert.value, language)),
            ("limit", "Threshold", "阈值", format_hours(alert.limit, language)),
        )
    _, value, threshold = describe_measure(alert, zh)
    measured = [("expected", "Expected", "预期", format_expected(alert.expected))]
    if alert.measure in LEVELS:
        measured = [("measured", "Measured", "实测", value), ("limit", "Threshold", "阈值", threshold)]
    return (
        ("window", "Window", "时间窗口", format_window(alert)),
        ("observed", "Negative stories", "负面报道", str(alert.observed)),
        *measured,
        ("total", "All stories", "报道总数", str(alert.total)),
    )


def _article(item: Evidence, zh: bool) -> Paragraph:
    origin = f"{one_line(item.source)}{'，' if zh else ', '}{format_utc(item.published_at)}"
    title = one_line(item.title)
    if not title:
        return Paragraph(origin, safe_url(item.url))
    return Paragraph(f"{title}（{origin}）" if zh else f"{title} ({origin})", safe_url(item.url))


def describe_surprise(surprise: float, zh: bool) -> str:
    """A surprise (-log10 p) as a probability in words."""
    if surprise > _MAX_SURPRISE:
        return "偶然出现的概率可忽略不计" if zh else "The probability of this happening by chance is negligible"
    n = f"{10**surprise:,.0f}"
    return f"偶然出现的概率约为 1/{n}" if zh else f"The probability of this happening by chance is 1 in {n}"


def format_percent(share: float) -> str:
    """At most one decimal: "72%", "72.5%"."""
    return f"{share * 100:.1f}".removesuffix(".0") + "%"


def format_tone(value: float) -> str:
    """With a sign: "−0.42", "+0.10"."""
    return f"{value:+.2f}".replace("-", "−")


def format_expected(value: float) -> str:
    """An expected count: one decimal, two below 1."""
    return f"{value:.2f}" if value < 1 else f"{value:,.1f}"


def format_utc(moment: datetime) -> str:
    """In UTC, to the minute: readers are in several time zones."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def format_window(alert: Alert) -> str:
    """The alert's window: "2026-11-20 12:00–12:15 UTC"."""
    start = alert.window_start.astimezone(UTC)
    end = start + timedelta(seconds=alert.window_s)
    until = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M}–{until} UTC"


def one_line(text: str) -> str:
    """The text on one line, without control characters and without marks that change the direction of writing."""
    return _CONTROLS.sub(" ", _DIRECTIONS.sub("", text)).strip()


def safe_url(url: str) -> str:
    """An http(s) URL with all characters percent-encoded that markup could interpret; "" for any other scheme."""
    url = url.strip()
    if not url.lower().startswith(("http://", "https://")):
        return ""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), url)
