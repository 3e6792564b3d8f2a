"""Handlers of GET: articles, series, alerts, silences, labels, rules, watchlists, tokens and the event stream."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from actions.alert_lifecycles import read_lifecycles
from api import requests, types
from api.context import Backends, RequestContext
from api.event_stream import EventStream
from api.problems import ApiProblem, invalid_field
from core.errors import NotFound, UserError
from core.records import Alert
from core.series import ALERTING, kind_of
from storage.store import ArticlePosition, Store

Seconds = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Key = Annotated[str, Meta(max_length=300)]
DAY = timedelta(days=1)
MAX_PERIOD = timedelta(days=366)


def list_articles(context: RequestContext[requests.ArticlesQuery, None]) -> types.Articles:
    """A page of articles."""
    query = context.query
    as_of = context.check_as_of(query.as_of)
    after = context.cursor_position(query.cursor, tuple[Seconds, Key])
    places = context.store.as_of.places(
        query.limit + 1,
        series=query.series,
        since=query.since,
        until=query.until,
        after=ArticlePosition(*after) if after else None,
        language=query.language or "",
        source=query.source,
        min_materiality=query.min_materiality,
        as_of=as_of,
    )
    page = places[: query.limit]
    items = tuple(types.article_out(article, query.text) for article in context.store.as_of.articles(page, as_of))
    return types.Articles(items=items, next=context.cursor_after(page[-1]) if len(places) > len(page) else "")


def get_article(context: RequestContext[requests.AsOfQuery, None]) -> types.ArticleOut:
    """One article with its whole text."""
    article_id, as_of = context.path_parameters["id"], context.check_as_of(context.query.as_of)
    known = context.store.articles.keys([article_id]).get(article_id)
    found = context.store.as_of.articles([ArticlePosition(int(known.published_at.timestamp()), article_id)], as_of) if known else []
    if not found:
        raise _not_found("article", article_id, as_of)
    return types.article_out(found[0], "full")


def list_series(context: RequestContext[requests.SeriesQuery, None]) -> types.SeriesPage:
    """A page of the series that have an article in the period."""
    query = context.query
    as_of = context.check_as_of(query.as_of)
    since, until = _period(query.since, query.until, as_of or context.now)
    after = context.cursor_position(query.cursor, tuple[Key])
    found = context.store.as_of.totals(
        since, until, query.limit + 1, kinds=[query.kind] if query.kind else ALERTING, after=after[0] if after else "", as_of=as_of
    )
    page = found[: query.limit]
    cursor = context.cursor_after((page[-1].series,)) if len(found) > len(page) else ""
    return types.SeriesPage(since=since, until=until, items=tuple(map(types.series_out, page)), next=cursor)


def get_series_history(context: RequestContext[requests.SeriesHistoryQuery, None]) -> types.SeriesHistory:
    """A series over time. An unknown series has no points."""
    query, name = context.query, context.path_parameters["series"]
    if kind_of(name) not in ALERTING:
        raise NotFound(f'there is no series {name!r}: a series is "kind:key" with one of the kinds {", ".join(ALERTING)}')
    as_of = context.check_as_of(query.as_of)
    since, until = _period(query.since, query.until, as_of or context.now)
    if (until - since) / timedelta(seconds=query.step_s) > requests.MAX_POINTS:
        raise invalid_field("step_s", f"gives more than {requests.MAX_POINTS:,} points: use a longer step or a shorter period")
    points = (
        context.store.as_of.sentiment(name, since, until, query.step_s, as_of)
        if as_of
        else context.store.rollups.sentiment([name], since, until, query.step_s)
    )
    return types.history_out(name, since, until, query.step_s, points)


def list_alerts(context: RequestContext[requests.AlertsQuery, None]) -> types.Alerts:
    """A page of alerts with their lifecycles."""
    query = context.query
    as_of = context.check_as_of(query.as_of)
    ends = [each for each in (query.until, as_of + timedelta(seconds=1) if as_of else None) if each]
    after = context.cursor_position(query.cursor, tuple[Seconds, Key])
    found = context.store.alerts.page(
        query.limit + 1, series=query.series or "", since=query.since, until=min(ends, default=None), after=after
    )
    page = found[: query.limit]
    items = [
        each
        for each in with_lifecycles(context.store, context.backends, page, context.now, as_of)
        if query.state in (None, each.lifecycle.state)
    ]
    cursor = context.cursor_after((int(page[-1].detected_at.timestamp()), page[-1].id)) if len(found) > len(page) else ""
    return types.Alerts(items=tuple(items), next=cursor)


def get_alert(context: RequestContext[requests.AsOfQuery, None]) -> types.AlertDetail:
    """One alert with its events and deliveries."""
    alert_id, as_of = context.path_parameters["id"], context.check_as_of(context.query.as_of)
    found = alert_or_404(context.store, alert_id, as_of)
    (alert,) = with_lifecycles(context.store, context.backends, [found], context.now, as_of)
    at = as_of or context.now + MAX_PERIOD
    return types.AlertDetail(
        alert=alert,
        events=tuple(each for each in context.store.alert_lifecycle.events([alert_id]) if each.at <= at),
        deliveries=tuple(each for each in context.store.alerts.deliveries([alert_id]) if each.sent_at <= at),
        suppressed=tuple(each for each in context.store.alert_lifecycle.suppressed([alert_id]) if each.at <= at),
    )


def list_silences(context: RequestContext[requests.SilencesQuery, None]) -> types.Silences:
    """A page of silences."""
    query = context.query
    as_of = context.check_as_of(query.as_of)
    at = as_of or context.now
    after = context.cursor_position(query.cursor, tuple[Annotated[float, Meta(ge=-1e12, le=1e12)], Key])
    known = context.store.silences.all()
    if as_of:
        known = [each.known(as_of) for each in known if each.created_at <= as_of]
    matching = sorted(
        (each for each in known if query.include_expired or each.state(at) != "ended"),
        key=lambda each: (-each.created_at.timestamp(), each.id),
    )
    rest = [each for each in matching if after is None or (-each.created_at.timestamp(), each.id) > after]
    page = rest[: query.limit]
    cursor = context.cursor_after((-int(page[-1].created_at.timestamp()), page[-1].id)) if len(rest) > len(page) else ""
    return types.Silences(items=tuple(types.silence_out(each, at) for each in page), next=cursor)


def list_labels(context: RequestContext[requests.LabelsQuery, None]) -> types.Labels:
    """A page of labels."""
    query = context.query
    as_of = context.check_as_of(query.as_of)
    after = context.cursor_position(query.cursor, tuple[Seconds, Key, Key, Key])
    found = context.store.labels.page(query.limit + 1, until=as_of + timedelta(seconds=1) if as_of else None, after=after)
    page = found[: query.limit]
    last = page[-1] if page else None
    position = (int(last.labelled_at.timestamp()), last.id, last.task, last.company) if last else ()
    return types.Labels(items=tuple(page), next=context.cursor_after(position) if len(found) > len(page) else "")


def list_rules(context: RequestContext[requests.NoQuery, None]) -> types.Rules:
    """The alert rules in force."""
    if context.backends.rules is None:
        raise ApiProblem(503, "the alert rules are not available in this process")
    try:
        found = context.backends.rules()
    except UserError as error:
        raise ApiProblem(503, f"the rules file is invalid: {error}") from error
    return types.Rules(items=tuple(found))


def list_watchlists(context: RequestContext[requests.NoQuery, None]) -> types.Watchlists:
    """The watchlists in force."""
    if context.backends.watchlists is None:
        raise ApiProblem(503, "the watchlists are not available in this process")
    try:
        found = context.backends.watchlists()
    except UserError as error:
        raise ApiProblem(503, f"the watchlist file is invalid: {error}") from error
    return types.Watchlists(items=tuple(found))


def list_tokens(context: RequestContext[requests.NoQuery, None]) -> types.Tokens:
    """All tokens without their secrets."""
    return types.Tokens(items=tuple(map(types.token_out, context.store.tokens.all())))


def stream_events(context: RequestContext[requests.StreamQuery, None]) -> EventStream:
    """Open an event stream."""
    return EventStream(context.feed, context.query, context.last_event_id, context.token_is_valid)


def alert_or_404(store: Store, alert_id: str, as_of: datetime | None = None) -> Alert:
    """The alert with this id, if it was detected by `as_of`. Raises NotFound, StoreError."""
    found = store.alerts.get(alert_id)
    if found is None or (as_of is not None and found.detected_at > as_of):
        raise _not_found("alert", alert_id, as_of)
    return found


def with_lifecycles(
    store: Store, backends: Backends, alerts: Sequence[Alert], now: datetime, as_of: datetime | None
) -> list[types.AlertOut]:
    """Alerts with their lifecycles, in the same order. Raises StoreError."""
    lifecycles = read_lifecycles(store, alerts, as_of or now, backends.inhibit, as_of=as_of)
    return [types.alert_out(each, lifecycles[each.id]) for each in alerts]


def _period(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """[since, until), by default the last 24 hours. Raises ApiProblem if it is empty or longer than MAX_PERIOD."""
    until = until or now
    since = since or until - DAY
    if since >= until:
        raise invalid_field("since", "must be before until")
    if until - since > MAX_PERIOD:
        raise invalid_field("since", f"is more than {MAX_PERIOD.days} days before until")
    return since, until


def _not_found(kind: str, object_id: str, as_of: datetime | None) -> NotFound:
    return NotFound(f"there is no {kind} {object_id!r}" + (f" as of {as_of.isoformat()}" if as_of else ""))
