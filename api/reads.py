"""What is read: articles, series and their moods, alerts, silences, labels; each as it was known at a time, where that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from actions.alert_lifecycles import read_lives
from api import requests, types
from api.backends import Backends
from api.calls import Call
from api.problems import Refused, invalid
from api.serializers import alert_out, article_out, mood_out, series_out, silence_out
from core.errors import UserError
from core.records import Alert
from core.series import ALERTING, kind_of
from storage.store import Place, Store

Seconds = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Key = Annotated[str, Meta(max_length=300)]
DAY = timedelta(days=1)
LONGEST = timedelta(days=366)


def articles(call: Call[requests.ArticlesQuery, None]) -> types.Articles:
    """A page of articles."""
    query = call.query
    as_of = call.not_ahead(query.as_of)
    after = call.place(query.cursor, tuple[Seconds, Key])
    places = call.store.past.places(
        query.limit + 1,
        series=query.series,
        since=query.since,
        until=query.until,
        after=Place(*after) if after else None,
        language=query.language or "",
        source=query.source,
        as_of=as_of,
    )
    here = places[: query.limit]
    items = tuple(article_out(article, query.text) for article in call.store.past.articles(here, as_of))
    return types.Articles(items=items, next=call.next(here[-1]) if len(places) > len(here) else "")


def article(call: Call[requests.AsOfQuery, None]) -> types.ArticleOut:
    """One article, with all of its text."""
    ident, as_of = call.parts["id"], call.not_ahead(call.query.as_of)
    known = call.store.articles.known([ident]).get(ident)
    found = call.store.past.articles([Place(int(known.published_at.timestamp()), ident)], as_of) if known else []
    if not found:
        raise _missing("article", ident, as_of)
    return article_out(found[0], "full")


def series(call: Call[requests.SeriesQuery, None]) -> types.SeriesPage:
    """A page of the series that were touched."""
    query = call.query
    as_of = call.not_ahead(query.as_of)
    since, until = _stretch(query.since, query.until, as_of or call.now)
    after = call.place(query.cursor, tuple[Key])
    found = call.store.past.totals(
        since, until, query.limit + 1, kinds=[query.kind] if query.kind else ALERTING, after=after[0] if after else "", as_of=as_of
    )
    here = found[: query.limit]
    more = call.next((here[-1].series,)) if len(found) > len(here) else ""
    return types.SeriesPage(since=since, until=until, items=tuple(map(series_out, here)), next=more)


def mood(call: Call[requests.MoodQuery, None]) -> types.Mood:
    """A series over time. One that nobody knows has no points."""
    query, name = call.query, call.parts["series"]
    if kind_of(name) not in ALERTING:
        raise Refused(404, f'there is no series {name!r}: it is "kind:key", and the kinds are {", ".join(ALERTING)}')
    as_of = call.not_ahead(query.as_of)
    since, until = _stretch(query.since, query.until, as_of or call.now)
    if (until - since) / timedelta(seconds=query.step_s) > requests.MOST_POINTS:
        raise invalid("step_s", f"gives more than {requests.MOST_POINTS:,} points: ask for longer steps, or less time")
    points = (
        call.store.past.mood(name, since, until, query.step_s, as_of)
        if as_of
        else call.store.moods.mood([name], since, until, query.step_s)
    )
    return mood_out(name, since, until, query.step_s, points)


def alerts(call: Call[requests.AlertsQuery, None]) -> types.Alerts:
    """A page of alerts with their lives."""
    query = call.query
    as_of = call.not_ahead(query.as_of)
    ends = [each for each in (query.until, as_of + timedelta(seconds=1) if as_of else None) if each]
    after = call.place(query.cursor, tuple[Seconds, Key])
    found = call.store.alerts.page(
        query.limit + 1, series=query.series or "", since=query.since, until=min(ends, default=None), after=after
    )
    here = found[: query.limit]
    items = [each for each in with_lives(call.store, call.backends, here, call.now, as_of) if query.state in (None, each.life.state)]
    more = call.next((int(here[-1].detected_at.timestamp()), here[-1].id)) if len(found) > len(here) else ""
    return types.Alerts(items=tuple(items), next=more)


def alert(call: Call[requests.AsOfQuery, None]) -> types.AlertStory:
    """All that is known of one alert."""
    ident, as_of = call.parts["id"], call.not_ahead(call.query.as_of)
    found = the_alert(call.store, ident, as_of)
    (shown,) = with_lives(call.store, call.backends, [found], call.now, as_of)
    at = as_of or call.now + LONGEST
    return types.AlertStory(
        alert=shown,
        events=tuple(each for each in call.store.lives.events([ident]) if each.at <= at),
        deliveries=tuple(each for each in call.store.alerts.deliveries([ident]) if each.sent_at <= at),
        withheld=tuple(each for each in call.store.lives.withheld([ident]) if each.at <= at),
    )


def the_alert(store: Store, ident: str, as_of: datetime | None = None) -> Alert:
    """The alert with this id. Raises Refused (404), StoreError."""
    found = store.alerts.get(ident)
    if found is None or (as_of is not None and found.detected_at > as_of):
        raise _missing("alert", ident, as_of)
    return found


def with_lives(store: Store, backends: Backends, found: Sequence[Alert], now: datetime, as_of: datetime | None) -> list[types.AlertOut]:
    """Alerts with what became of them, in the same order. Raises StoreError."""
    lives = read_lives(store, found, as_of or now, backends.inhibit, as_of=as_of)
    return [alert_out(each, lives[each.id]) for each in found]


def silences(call: Call[requests.SilencesQuery, None]) -> types.Silences:
    """A page of silences."""
    query = call.query
    as_of = call.not_ahead(query.as_of)
    at = as_of or call.now
    after = call.place(query.cursor, tuple[Annotated[float, Meta(ge=-1e12, le=1e12)], Key])
    known = call.store.silences.all()
    if as_of:
        known = [each.known(as_of) for each in known if each.created_at <= as_of]
    shown = sorted(
        (each for each in known if query.ended or each.state(at) != "ended"), key=lambda each: (-each.created_at.timestamp(), each.id)
    )
    rest = [each for each in shown if after is None or (-each.created_at.timestamp(), each.id) > after]
    here = rest[: query.limit]
    more = call.next((-int(here[-1].created_at.timestamp()), here[-1].id)) if len(rest) > len(here) else ""
    return types.Silences(items=tuple(silence_out(each, at) for each in here), next=more)


def labels(call: Call[requests.LabelsQuery, None]) -> types.Labels:
    """A page of labels."""
    query = call.query
    as_of = call.not_ahead(query.as_of)
    after = call.place(query.cursor, tuple[Seconds, Key, Key, Key])
    found = call.store.labels.page(query.limit + 1, until=as_of + timedelta(seconds=1) if as_of else None, after=after)
    here = found[: query.limit]
    last = here[-1] if here else None
    more = call.next((int(last.labelled_at.timestamp()), last.id, last.task, last.company)) if last and len(found) > len(here) else ""
    return types.Labels(items=tuple(here), next=more)


def rules(call: Call[requests.NoQuery, None]) -> types.Rules:
    """The rules in force."""
    if call.backends.rules is None:
        raise Refused(503, "this process does not know the rules")
    return types.Rules(items=tuple(call.backends.rules()))


def watchlists(call: Call[requests.NoQuery, None]) -> types.Watchlists:
    """The watchlists in force."""
    if call.backends.watchlists is None:
        raise Refused(503, "this process does not know the watchlists")
    try:
        found = call.backends.watchlists()
    except UserError as error:
        raise Refused(503, f"the file of watchlists cannot be used: {error}") from error
    return types.Watchlists(items=tuple(found))


def _stretch(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """[since, until), by default the last day. Raises Refused for one that is empty, or too long."""
    until = until or now
    since = since or until - DAY
    if since >= until:
        raise invalid("since", "must be before until")
    if until - since > LONGEST:
        raise invalid("since", f"is more than {LONGEST.days} days before until")
    return since, until


def _missing(kind: str, ident: str, as_of: datetime | None) -> Refused:
    return Refused(404, f"there is no {kind} {ident!r}" + (f", as far as was known at {as_of.isoformat()}" if as_of else ""))
