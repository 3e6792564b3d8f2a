"""The generic JSON of a webhook, described by docs/webhook.schema.json, which is made from the types below. Pure.

Source of the limit: Standard Webhooks 1.0.0, https://www.standardwebhooks.com.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.records import Alert, Chart, CompanyCount, Measure, Severity, Share, WordCount
from core.series import MARKET, series_name
from stream.delivery.formats.base import JSON, Bundle, Format, Member, Message, Options, iso, ranked

MAX_BYTES = 20_000
"""The specification asks for less than 20 kB."""
MAX_WHY_BYTES = 4_000
"""Of them. What an explanation says first is kept; one of ours has half of it."""
TEST = "test"
"""The id, and the rule, of what is sent to try an endpoint."""

Moment = Annotated[
    str, Meta(description="UTC, to the millisecond", examples=["2026-11-20T12:00:00.000Z"], extra_json_schema={"format": "date-time"})
]
Count = Annotated[int, Meta(ge=0)]
PartNumber = Annotated[int, Meta(ge=1)]


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What people read for a series."""

    en: str
    zh: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One article behind the alert. A url that would not fit into a message alone is left empty."""

    id: str
    title: str
    url: str
    source: str
    published_at: Moment
    p_negative: Annotated[Share, Meta(description="how likely the article is negative, to four decimals")]
    needed: Annotated[bool, Meta(description="whether it is of a story without which the alert would not have rung")]


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Negative stories of the series in equal steps up to the end of the window, and what its past let expect of each."""

    start: Moment
    step_s: Annotated[int, Meta(ge=1)]
    negative: list[Count]
    expected: Annotated[list[float], Meta(description="empty where there was no past to tell")]


class Reasons(msgspec.Struct, frozen=True, kw_only=True):
    """Why it rang."""

    stories: Annotated[
        Count, Meta(description="distinct stories of the window that were looked at: negative ones, if its rule counts those")
    ]
    more: Annotated[bool, Meta(description="whether the window holds more than were looked at")]
    carried: Annotated[
        Count, Meta(description="size of the smallest set of stories without which it would not have rung; 0: that cannot be said")
    ]
    needed: Annotated[
        list[str], Meta(description="ids of articles, one for each story of that set, most negative first; the first of many")
    ]
    read: Annotated[Count, Meta(description="the most negative stories, so many, whose words and companies were counted")]
    words: Annotated[list[WordCount], Meta(description="what tells these stories from what is usual, and how many of them say it")]
    companies: Annotated[list[CompanyCount], Meta(description="companies they name, and how many of them do")]
    first_source: Annotated[str, Meta(description="who told the first of the stories in the window")]
    first_at: Moment | None
    chart: Course | None


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """An alert: a rule rang for a series. By default, because it had more negative stories in the window than its own past explains."""

    id: Annotated[str, Meta(description="the same for the same rule, series and window, however often it is sent")]
    rule: str
    series: Annotated[str, Meta(description="kind:key, such as topic:energy or company:AAPL")]
    name: Names
    severity: Severity
    window_start: Moment
    window_end: Annotated[Moment, Meta(description="the window is half open: this moment is no longer in it")]
    detected_at: Moment
    observed: Annotated[Count, Meta(description="distinct negative stories in the window")]
    expected: Annotated[float, Meta(ge=0, description="how many of them the series' own past lets expect; 0: not asked for")]
    surprise: Annotated[float, Meta(ge=0, description="-log10 of the probability of so many or more by chance; 0: not asked for")]
    total: Annotated[Count, Meta(description="distinct stories of any sentiment in the window")]
    sources: Annotated[
        Count,
        Meta(description="distinct sources of the negative stories, of volume and mean_tone of all; of a silence: how many are silent"),
    ]
    measure: Annotated[
        Measure,
        Meta(description="what the rule looks at; the window of a silence begins with the last article"),
    ]
    value: Annotated[float, Meta(description="what it saw: a share, a tone in [-1, 1], stories, a probability, hours without an article")]
    limit: Annotated[float, Meta(description="where it rings: a share over it, a tone below it, what else from it on")]
    event: Annotated[str, Meta(description="the key of the risk event that was told of, such as fraud; empty: it is about none")]
    evidence: Annotated[
        list[Item], Meta(description="those that it would not have rung without, then the most negative; of a part: its share of them")
    ]
    why: Annotated[Reasons | None, Meta(description="null where it could not be explained, or rang before alerts were")]
    url: Annotated[str, Meta(description="where the dashboard shows the alert; empty where its address is not known")]


class Told(Data, frozen=True, kw_only=True, omit_defaults=True):
    """An alert of several, as it was when they were put together."""

    status: Annotated[Literal["firing", "resolved"], Meta(description="of a digest: it may be over when it is told of for the first time")]
    new: Annotated[bool, Meta(description="whether the endpoint is told of it for the first time; false: it goes on, or is over")]
    resolved_at: Moment | None = None


class Bundled(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that are sent together."""

    id: Annotated[str, Meta(description="the same for the same members, however often it is sent")]
    firing: Annotated[Count, Meta(description="how many of all its alerts fire")]
    resolved: Annotated[Count, Meta(description="how many are over")]
    new: Annotated[Count, Meta(description="how many the endpoint was not told of before")]
    alerts: Annotated[
        list[Told],
        Meta(description="the most severe first; of a digest: series by series; one whose evidence goes on in the next part is there too"),
    ]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a webhook. Fields may be added: a receiver ignores those that it does not know."""

    type: Annotated[Literal["alert.firing", "alert.test"], Meta(description="alert.test: `tocsin webhooks test` tries the endpoint")]
    timestamp: Annotated[Moment, Meta(description="when the alert was raised, not when it was sent")]
    data: Data
    part: Annotated[PartNumber, Meta(description="which of several messages this is; each has a webhook-id of its own")] = 1
    parts: Annotated[PartNumber, Meta(description="how many messages hold the alert: more than one when its evidence fills 20 kB")] = 1


class GroupEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a webhook to an endpoint that asked for groups, repetitions, resolutions or digests. Fields may be added."""

    type: Annotated[Literal["alerts.group", "alerts.digest"], Meta(description="alerts.digest: all that rang since the last one")]
    timestamp: Annotated[Moment, Meta(description="when it was due, not when it was sent")]
    data: Bundled
    part: Annotated[PartNumber, Meta(description="which of several messages this is; each has a webhook-id of its own")] = 1
    parts: Annotated[PartNumber, Meta(description="how many messages hold the alerts: more than one when they fill 20 kB")] = 1


def trial(now: datetime) -> Alert:
    """What a test sends: it says of itself that it is one."""
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


def link_of(alert: Alert, options: Options) -> str:
    """Where the dashboard shows the alert; "" where people have no address of it."""
    return f"{options.link_base.rstrip('/')}/alert/{alert.id}" if options.link_base and alert.rule != TEST else ""


def bodies_of(alert: Alert, link: str = "") -> list[bytes]:
    """The JSON bodies for `alert`, each under MAX_BYTES: one, or several with a share of the evidence each. Of that nothing is cut.

    The same bytes for the same alert, however often it is sent.
    """
    whole = _data(alert, link)
    shares: list[list[Item]] = [[]]
    for item in whole.evidence:
        if shares[-1] and not _fits(alert, whole, [*shares[-1], item]):
            shares.append([])
        shares[-1].append(item if _fits(alert, whole, [*shares[-1], item]) else msgspec.structs.replace(item, url=""))
    return [_encoded(alert, whole, share, number, len(shares)) for number, share in enumerate(shares, 1)]


def bodies_of_bundle(bundle: Bundle, options: Options) -> list[bytes]:
    """The same for several alerts: one that does not fit whole goes on in the next body, with the rest of its evidence."""
    pages: list[list[Told]] = [[]]
    for member in _ordered(bundle):
        bare = _told(member, link_of(member.alert, options))
        if pages[-1] and not _page_fits(bundle, [*pages[-1], bare]):
            pages.append([])
        pages[-1].append(bare)
        for item in _items(member.alert):
            grown = _with(pages[-1][-1], item)
            if _page_fits(bundle, [*pages[-1][:-1], grown]):
                pages[-1][-1] = grown
                continue
            if not pages[-1][-1].evidence:
                pages[-1].pop()
            if pages[-1]:
                pages.append([])
            alone = _with(bare, item)
            pages[-1].append(alone if _page_fits(bundle, [alone]) else _with(bare, msgspec.structs.replace(item, url="")))
    return [_encoded_page(bundle, page, number, len(pages)) for number, page in enumerate(pages, 1)]


def messages(sent: Alert | Bundle, options: Options, _at: datetime) -> list[Message]:
    """As `bodies_of`, or `bodies_of_bundle`."""
    bodies = bodies_of(sent, link_of(sent, options)) if isinstance(sent, Alert) else bodies_of_bundle(sent, options)
    return [Message(body, JSON) for body in bodies]


def schema() -> dict[str, Any]:
    """The JSON Schema of the body."""
    (one, several), parts = msgspec.json.schema_components([Event, GroupEvent], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A webhook of Tocsin",
        "anyOf": [one, several],
        "$defs": parts,
    }


def _fits(alert: Alert, whole: Data, items: Sequence[Item]) -> bool:
    return len(_encoded(alert, whole, items, 999, 999)) < MAX_BYTES


def _encoded(alert: Alert, whole: Data, items: Sequence[Item], part: int, parts: int) -> bytes:
    event = Event(
        type="alert.test" if alert.rule == TEST else "alert.firing",
        timestamp=iso(alert.detected_at),
        data=msgspec.structs.replace(whole, evidence=list(items)),
        part=part,
        parts=parts,
    )
    return msgspec.json.encode(event)


def _items(alert: Alert) -> list[Item]:
    needed = set(alert.why.needed) if alert.why else set()
    return [
        Item(
            id=item.id,
            title=item.title,
            url=item.url,
            source=item.source,
            published_at=iso(item.published_at),
            p_negative=round(item.p_negative, 4),
            needed=item.id in needed,
        )
        for item in alert.evidence
    ]


def _reasons(alert: Alert) -> Reasons | None:
    """Why it rang, in MAX_WHY_BYTES: what does not fit is left out, the chart first, then what lists name last."""
    why = alert.why
    if why is None:
        return None
    made = Reasons(
        stories=why.stories,
        more=why.more,
        carried=why.carried,
        needed=list(why.needed),
        read=why.read,
        words=list(why.words),
        companies=list(why.companies),
        first_source=why.first_source,
        first_at=iso(why.first_at) if why.first_at else None,
        chart=_course(why.chart),
    )
    while len(msgspec.json.encode(made)) > MAX_WHY_BYTES:
        lists = {name: getattr(made, name) for name in ("needed", "words", "companies")}
        shorter = {name: some[: len(some) // 2] for name, some in lists.items()} if made.chart is None else {}
        made = msgspec.structs.replace(made, chart=None, **shorter)
    return made


def _course(chart: Chart | None) -> Course | None:
    if chart is None:
        return None
    return Course(start=iso(chart.start), step_s=chart.step_s, negative=list(chart.negative), expected=list(chart.expected))


def _data(alert: Alert, link: str) -> Data:
    return Data(
        id=alert.id,
        rule=alert.rule,
        series=alert.series,
        name=Names(en=series_name(alert.series, "en"), zh=series_name(alert.series, "zh")),
        severity=alert.severity,
        window_start=iso(alert.window_start),
        window_end=iso(alert.window_start + timedelta(seconds=alert.window_s)),
        detected_at=iso(alert.detected_at),
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
        why=_reasons(alert),
        url=link,
    )


def _ordered(bundle: Bundle) -> list[Member]:
    found = ranked(bundle.members)
    series = list(dict.fromkeys(each.alert.series for each in found))
    return sorted(found, key=lambda each: series.index(each.alert.series)) if bundle.digest else found


def _told(member: Member, link: str) -> Told:
    """Without evidence, and without the chart of its course: several share the room of one."""
    bare = msgspec.structs.replace(member.alert, evidence=())
    if bare.why is not None:
        bare = msgspec.structs.replace(bare, why=msgspec.structs.replace(bare.why, chart=None))
    return Told(
        **msgspec.structs.asdict(_data(bare, link)),
        status="resolved" if member.ended else "firing",
        new=member.fresh,
        resolved_at=iso(member.ended) if member.ended else None,
    )


def _with(told: Told, item: Item) -> Told:
    return msgspec.structs.replace(told, evidence=[*told.evidence, item])


def _page_fits(bundle: Bundle, page: Sequence[Told]) -> bool:
    return len(_encoded_page(bundle, page, 999, 999)) < MAX_BYTES


def _encoded_page(bundle: Bundle, page: Sequence[Told], part: int, parts: int) -> bytes:
    over = sum(each.ended is not None for each in bundle.members)
    data = Bundled(
        id=bundle.id,
        firing=len(bundle.members) - over,
        resolved=over,
        new=sum(each.fresh for each in bundle.members),
        alerts=list(page),
    )
    kind: Literal["alerts.group", "alerts.digest"] = "alerts.digest" if bundle.digest else "alerts.group"
    return msgspec.json.encode(GroupEvent(type=kind, timestamp=iso(bundle.at), data=data, part=part, parts=parts))


FORMAT = Format("json", messages, signing="standard")
