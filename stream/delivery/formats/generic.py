"""Tocsin's own webhook JSON. The types below generate docs/webhook.schema.json. Pure.

Source of the size limit: Standard Webhooks 1.0.0, https://www.standardwebhooks.com.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.records import Alert, Chart, CompanyCount, Measure, Severity, Share, WordCount
from core.series import MARKET, series_name
from stream.delivery.formats.base import JSON, Bundle, Format, FormatOptions, Member, Message, by_severity, iso_millis

MAX_BYTES = 20_000
"""The specification asks for less than 20 kB."""
MAX_EXPLANATION_BYTES = 4_000
"""Limit of the explanation within MAX_BYTES. An explanation of ours has about half of it."""
TEST = "test"
"""Id and rule of a test message."""

Timestamp = Annotated[
    str,
    Meta(description="time in UTC, to the millisecond", examples=["2026-11-20T12:00:00.000Z"], extra_json_schema={"format": "date-time"}),
]
Count = Annotated[int, Meta(ge=0)]
PartNumber = Annotated[int, Meta(ge=1)]


class SeriesName(msgspec.Struct, frozen=True, kw_only=True):
    """Display name of a series."""

    en: str
    zh: str


class EvidenceItem(msgspec.Struct, frozen=True, kw_only=True):
    """An article behind the alert. The url is empty where it would not fit into a message."""

    id: str
    title: str
    url: str
    source: str
    published_at: Timestamp
    p_negative: Annotated[Share, Meta(description="probability that the article is negative, rounded to four decimals")]
    decisive: Annotated[bool, Meta(description="whether the article belongs to a decisive story")]


class StoryChart(msgspec.Struct, frozen=True, kw_only=True):
    """Observed and expected negative stories of the series, in equal steps up to the end of the window."""

    start: Timestamp
    step_s: Annotated[int, Meta(ge=1)]
    negative: list[Count]
    expected: Annotated[list[float], Meta(description="empty if the series has no history")]


class AlertExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why the alert was raised."""

    stories: Annotated[
        Count,
        Meta(description="distinct stories in the window that were examined; only negative stories if the rule counts negative ones"),
    ]
    more: Annotated[bool, Meta(description="whether the window has more stories than were examined")]
    decisive_count: Annotated[
        Count,
        Meta(description="size of the smallest set of stories without which the alert would not have been raised; 0 if it is unknown"),
    ]
    decisive_article_ids: Annotated[
        list[str],
        Meta(description="ids of one article for each story of that set, most negative first; the list is truncated if there are many"),
    ]
    read: Annotated[Count, Meta(description="number of stories, most negative first, in which keywords and companies were counted")]
    words: Annotated[
        list[WordCount], Meta(description="keywords that are much more frequent than usual, with the number of stories for each")
    ]
    companies: Annotated[list[CompanyCount], Meta(description="companies that the stories name, with the number of stories for each")]
    first_source: Annotated[str, Meta(description="source of the first story in the window")]
    first_at: Timestamp | None
    chart: StoryChart | None


class AlertData(msgspec.Struct, frozen=True, kw_only=True):
    """An alert: a rule fired for a series. By default, the series had significantly more negative stories than its baseline predicts."""

    id: Annotated[
        str, Meta(description="id of the alert, derived from its rule, series and window; it is the same every time the alert is sent")
    ]
    rule: str
    series: Annotated[str, Meta(description="series as kind:key, such as topic:energy or company:AAPL")]
    name: SeriesName
    severity: Severity
    window_start: Timestamp
    window_end: Annotated[Timestamp, Meta(description="end of the window, which is not part of it (half open)")]
    detected_at: Timestamp
    observed: Annotated[Count, Meta(description="number of distinct negative stories in the window")]
    expected: Annotated[float, Meta(ge=0, description="number of negative stories that the baseline predicts; 0 if it was not computed")]
    surprise: Annotated[
        float, Meta(ge=0, description="-log10 of the probability of at least this many stories by chance; 0 if it was not computed")
    ]
    total: Annotated[Count, Meta(description="number of distinct stories of any sentiment in the window")]
    sources: Annotated[
        Count,
        Meta(
            description="number of distinct sources of the negative stories; for volume and mean_tone, of all stories; "
            "for an outage, the number of sources without articles"
        ),
    ]
    measure: Annotated[
        Measure,
        Meta(description="what the rule measures; the window of an outage starts with the last article"),
    ]
    value: Annotated[
        float, Meta(description="the measured value: a share, a sentiment in [-1, 1], stories, a probability, or hours without an article")
    ]
    limit: Annotated[float, Meta(description="the threshold: exceeded by a share, undercut by a sentiment, reached by all other measures")]
    event: Annotated[str, Meta(description="key of the risk event, such as fraud; empty for all other measures")]
    evidence: Annotated[
        list[EvidenceItem],
        Meta(
            description="articles of the alert, decisive ones first, then the most negative; they are split if the alert has several parts"
        ),
    ]
    why: Annotated[AlertExplanation | None, Meta(description="null if the alert has no explanation")]
    url: Annotated[str, Meta(description="URL of the alert on the dashboard; empty if the dashboard has no public URL")]


class GroupedAlert(AlertData, frozen=True, kw_only=True, omit_defaults=True):
    """An alert of a group, in its state when the group was formed."""

    status: Annotated[
        Literal["firing", "resolved"],
        Meta(description="state of the alert; in a digest, an alert may already be resolved when it is first sent"),
    ]
    new: Annotated[bool, Meta(description="whether the endpoint receives the alert for the first time")]
    resolved_at: Timestamp | None = None


class GroupData(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that are sent together."""

    id: Annotated[str, Meta(description="id of the group, derived from its members; it is the same every time the group is sent")]
    firing: Annotated[Count, Meta(description="number of firing alerts in all parts")]
    resolved: Annotated[Count, Meta(description="number of resolved alerts in all parts")]
    new: Annotated[Count, Meta(description="number of alerts that the endpoint receives for the first time")]
    alerts: Annotated[
        list[GroupedAlert],
        Meta(
            description="most severe alerts first; in a digest, by series. An alert whose evidence continues is repeated in the next part"
        ),
    ]


class AlertWebhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a webhook for one alert. Receivers must ignore unknown fields; new ones may be added."""

    type: Annotated[Literal["alert.firing", "alert.test"], Meta(description="alert.test: sent by `tocsin webhooks test`")]
    timestamp: Annotated[Timestamp, Meta(description="time when the alert was raised, not when it was sent")]
    data: AlertData
    part: Annotated[PartNumber, Meta(description="number of this message; each part has its own webhook-id")] = 1
    parts: Annotated[PartNumber, Meta(description="number of messages for the alert; more than one if its evidence exceeds 20 kB")] = 1


class GroupWebhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a webhook for an endpoint with grouping, repetition, resolved notices or digests. New fields may be added."""

    type: Annotated[Literal["alerts.group", "alerts.digest"], Meta(description="alerts.digest: all alerts since the last digest")]
    timestamp: Annotated[Timestamp, Meta(description="time when the message was due, not when it was sent")]
    data: GroupData
    part: Annotated[PartNumber, Meta(description="number of this message; each part has its own webhook-id")] = 1
    parts: Annotated[PartNumber, Meta(description="number of messages for the alerts; more than one if they exceed 20 kB")] = 1


def make_test_alert(now: datetime) -> Alert:
    """The alert of a test message."""
    return Alert(
        id=TEST,
        rule=TEST,
        series=MARKET,
        window_start=now - timedelta(minutes=15),
        window_s=900,
        detected_at=now,
        severity="info",
        observed=0,
        expected=0.0,
        surprise=0.0,
        total=0,
        sources=0,
    )


def alert_url(alert: Alert, options: FormatOptions) -> str:
    """URL of the alert on the dashboard; "" where the dashboard has no public URL."""
    return f"{options.link_base.rstrip('/')}/alert/{alert.id}" if options.link_base and alert.rule != TEST else ""


def alert_bodies(alert: Alert, link: str = "") -> list[bytes]:
    """The JSON bodies of an alert, each under MAX_BYTES: one, or several with a part of the evidence each. No text is cut.

    The same alert always gives the same bytes.
    """
    whole = _alert_data(alert, link)
    shares: list[list[EvidenceItem]] = [[]]
    for item in whole.evidence:
        if shares[-1] and not _fits(alert, whole, [*shares[-1], item]):
            shares.append([])
        shares[-1].append(item if _fits(alert, whole, [*shares[-1], item]) else msgspec.structs.replace(item, url=""))
    return [_encoded(alert, whole, share, number, len(shares)) for number, share in enumerate(shares, 1)]


def group_bodies(bundle: Bundle, options: FormatOptions) -> list[bytes]:
    """The JSON bodies of several alerts. An alert that does not fit continues in the next body with the rest of its evidence."""
    pages: list[list[GroupedAlert]] = [[]]
    for member in _ordered(bundle):
        bare = _grouped_alert(member, alert_url(member.alert, options))
        if pages[-1] and not _page_fits(bundle, [*pages[-1], bare]):
            pages.append([])
        pages[-1].append(bare)
        for item in _items(member.alert):
            grown = _with_item(pages[-1][-1], item)
            if _page_fits(bundle, [*pages[-1][:-1], grown]):
                pages[-1][-1] = grown
                continue
            if not pages[-1][-1].evidence:
                pages[-1].pop()
            if pages[-1]:
                pages.append([])
            alone = _with_item(bare, item)
            pages[-1].append(alone if _page_fits(bundle, [alone]) else _with_item(bare, msgspec.structs.replace(item, url="")))
    return [_encoded_page(bundle, page, number, len(pages)) for number, page in enumerate(pages, 1)]


def messages(payload: Alert | Bundle, options: FormatOptions, _at: datetime) -> list[Message]:
    """One message per body of `alert_bodies` or `group_bodies`."""
    bodies = alert_bodies(payload, alert_url(payload, options)) if isinstance(payload, Alert) else group_bodies(payload, options)
    return [Message(body, JSON) for body in bodies]


def schema() -> dict[str, Any]:
    """The JSON Schema of the bodies."""
    (one, several), parts = msgspec.json.schema_components([AlertWebhook, GroupWebhook], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A webhook of Tocsin",
        "anyOf": [one, several],
        "$defs": parts,
    }


def _fits(alert: Alert, whole: AlertData, items: Sequence[EvidenceItem]) -> bool:
    return len(_encoded(alert, whole, items, 999, 999)) < MAX_BYTES


def _encoded(alert: Alert, whole: AlertData, items: Sequence[EvidenceItem], part: int, parts: int) -> bytes:
    event = AlertWebhook(
        type="alert.test" if alert.rule == TEST else "alert.firing",
        timestamp=iso_millis(alert.detected_at),
        data=msgspec.structs.replace(whole, evidence=list(items)),
        part=part,
        parts=parts,
    )
    return msgspec.json.encode(event)


def _items(alert: Alert) -> list[EvidenceItem]:
    decisive = set(alert.why.decisive_article_ids) if alert.why else set()
    return [
        EvidenceItem(
            id=item.id,
            title=item.title,
            url=item.url,
            source=item.source,
            published_at=iso_millis(item.published_at),
            p_negative=round(item.p_negative, 4),
            decisive=item.id in decisive,
        )
        for item in alert.evidence
    ]


def _explanation(alert: Alert) -> AlertExplanation | None:
    """The explanation within MAX_EXPLANATION_BYTES: leaves out the chart first, then the ends of the lists."""
    why = alert.why
    if why is None:
        return None
    explanation = AlertExplanation(
        stories=why.stories,
        more=why.more,
        decisive_count=why.decisive_count,
        decisive_article_ids=list(why.decisive_article_ids),
        read=why.read,
        words=list(why.words),
        companies=list(why.companies),
        first_source=why.first_source,
        first_at=iso_millis(why.first_at) if why.first_at else None,
        chart=_chart(why.chart),
    )
    while len(msgspec.json.encode(explanation)) > MAX_EXPLANATION_BYTES:
        lists = {name: getattr(explanation, name) for name in ("decisive_article_ids", "words", "companies")}
        shorter = {name: some[: len(some) // 2] for name, some in lists.items()} if explanation.chart is None else {}
        explanation = msgspec.structs.replace(explanation, chart=None, **shorter)
    return explanation


def _chart(chart: Chart | None) -> StoryChart | None:
    if chart is None:
        return None
    return StoryChart(start=iso_millis(chart.start), step_s=chart.step_s, negative=list(chart.negative), expected=list(chart.expected))


def _alert_data(alert: Alert, link: str) -> AlertData:
    return AlertData(
        id=alert.id,
        rule=alert.rule,
        series=alert.series,
        name=SeriesName(en=series_name(alert.series, "en"), zh=series_name(alert.series, "zh")),
        severity=alert.severity,
        window_start=iso_millis(alert.window_start),
        window_end=iso_millis(alert.window_start + timedelta(seconds=alert.window_s)),
        detected_at=iso_millis(alert.detected_at),
        observed=alert.observed,
        expected=alert.expected,
        surprise=alert.surprise,
        total=alert.total,
        sources=alert.sources,
        measure=alert.measure,
        value=alert.value,
        limit=alert.limit,
        event=alert.event,
        evidence=_items(alert),
        why=_explanation(alert),
        url=link,
    )


def _ordered(bundle: Bundle) -> list[Member]:
    found = by_severity(bundle.members)
    series = list(dict.fromkeys(each.alert.series for each in found))
    return sorted(found, key=lambda each: series.index(each.alert.series)) if bundle.digest else found


def _grouped_alert(member: Member, link: str) -> GroupedAlert:
    """Without evidence and without the chart, as several alerts share one message."""
    bare = msgspec.structs.replace(member.alert, evidence=())
    if bare.why is not None:
        bare = msgspec.structs.replace(bare, why=msgspec.structs.replace(bare.why, chart=None))
    return GroupedAlert(
        **msgspec.structs.asdict(_alert_data(bare, link)),
        status="resolved" if member.resolved_at else "firing",
        new=member.is_new,
        resolved_at=iso_millis(member.resolved_at) if member.resolved_at else None,
    )


def _with_item(alert: GroupedAlert, item: EvidenceItem) -> GroupedAlert:
    return msgspec.structs.replace(alert, evidence=[*alert.evidence, item])


def _page_fits(bundle: Bundle, page: Sequence[GroupedAlert]) -> bool:
    return len(_encoded_page(bundle, page, 999, 999)) < MAX_BYTES


def _encoded_page(bundle: Bundle, page: Sequence[GroupedAlert], part: int, parts: int) -> bytes:
    resolved = sum(each.resolved_at is not None for each in bundle.members)
    data = GroupData(
        id=bundle.id,
        firing=len(bundle.members) - resolved,
        resolved=resolved,
        new=sum(each.is_new for each in bundle.members),
        alerts=list(page),
    )
    kind: Literal["alerts.group", "alerts.digest"] = "alerts.digest" if bundle.digest else "alerts.group"
    return msgspec.json.encode(GroupWebhook(type=kind, timestamp=iso_millis(bundle.at), data=data, part=part, parts=parts))


FORMAT = Format("json", messages, signing="standard")
