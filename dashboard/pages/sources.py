"""The page of sources: state, volume against the baseline, delay and visits of each source, and the feed form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, get_args
from urllib.parse import urlsplit

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import SourceError, StoreError, UserError
from core.log import get_logger, mask
from core.records import Genre
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.charts import sparkline
from dashboard.figures.palette import SOURCE_GLYPHS
from dashboard.pages.components import Parts, found_href, href, panel, source_link, store_problem
from dashboard.reads.operations import OperationsReads, SourcesView
from dashboard.reads.queries import revision
from dashboard.reads.source_state import STATES, SourceView, due, overdue, usual_today
from dashboard.services import FeedPreview, FeedService, NewFeed
from dashboard.view import View, parse
from dashboard.web.authentication import current_person
from domain.accounts import may
from storage.store import Criteria
from storage.tables.feeds import SKIP_REASONS

PATH = "/sources"
SHOWN = 300
COLUMNS = ("state", "name", "last", "hours", "lag", "negative", "left_out", "refused", "visit")
EVERY_S = 10
"""Refresh interval in seconds: the change feed does not cover visits."""
log = get_logger("dashboard.sources")


def match(path: str) -> str | None:
    """ "" for the path of this page; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    return html.Div(
        [
            dcc.Store(id="sr-seen"),
            html.Div(id="sr-problem", role="alert"),
            html.Div([html.H1(words("sources")), html.Div(id="sr-counts", className="row start")], className="page-head"),
            panel(words("sources.all"), html.Div(dmc.Skeleton(height=260, radius="md"), id="sr-rows"), note=words("sources.help")),
            feed_form(view),
        ]
    )


def health(state: str, glyph: str, label: str) -> Any:
    """The badge of a state."""
    return html.Span([html.Span(glyph, className="glyph", **{"aria-hidden": "true"}), label], className=f"health {state}")


def counted(found: SourcesView, view: View) -> list[Any]:
    """The number of sources by state."""
    counts = Counter(row.state for row in found.rows)
    named = [(state, i18n.text(f"sources.state.{state}", view.language)) for state in STATES if counts[state]]
    badges = [health(state, SOURCE_GLYPHS[state], f"{counts[state]} {name}") for state, name in named]
    outliers = sum(row.stands_out for row in found.rows)
    return badges + ([_outlier_badge(i18n.text("sources.outliers", view.language, n=outliers))] if outliers else [])


def table(found: SourcesView, now: datetime, view: View) -> Any:
    """The table of sources, those that need attention first."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    if not found.rows:
        return html.P(words("sources.none"), className="empty-state")
    titles = {name: words(f"sources.{name}_title") for name in ("lag", "negative", "left_out", "refused")}
    head = html.Tr([html.Th(words(f"sources.{name}"), scope="col", title=titles.get(name)) for name in COLUMNS])
    rows = [_row(row, now, view) for row in found.rows[:SHOWN]]
    whole = None
    if found.outage_alert_id:
        link = dcc.Link(words("sources.whole"), href=href(f"/alert/{found.outage_alert_id}", view))
        whole = html.P(health("silent", SOURCE_GLYPHS["silent"], link))
    return html.Div([whole, html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="table sources"), className="scroll")])


def _row(row: SourceView, now: datetime, view: View) -> Any:
    language = view.language
    label = i18n.text(f"sources.state.{row.state}", language)
    state: Any = health(row.state, SOURCE_GLYPHS[row.state], label)
    if row.outage_alert_id:
        state = dcc.Link(state, href=href(f"/alert/{row.outage_alert_id}", view))
    why = html.Div(why_of(row, now, view), className="muted small reason") if row.state != "ok" else None
    name = dcc.Link(html.Bdi(plain(row.name, 80)), href=found_href("/articles", articles_of(view, row.name)))
    share = f"{row.negative / row.recent:.0%}" if row.recent else "–"
    refused = row.visit.refused if row.visit else 0
    lag = [i18n.duration(seconds, language) for seconds in row.lag_s] if row.lag_s else []
    return html.Tr(
        [
            html.Td([state, why]),
            html.Th(
                [
                    name,
                    " ",
                    source_link(_url(row), view),
                    html.Div(_listed(row, view), className="muted small"),
                    *_ownership(row, view),
                    _boilerplate(row, view),
                ],
                className="name",
            ),
            html.Td(_last(row, now, view)),
            html.Td(_hours(row, now, view)),
            html.Td([lag[0], html.Div(f"P95 {lag[1]}", className="muted small")] if lag else "–"),
            html.Td([share, *_sentiment(row, view)], className="number"),
            html.Td(
                [
                    f"{min(1.0, row.left_out / row.recent):.0%}" if row.recent else "–",
                    html.Div(i18n.text("sources.undated", language, n=f"{row.undated:,}"), className="muted small")
                    if row.undated
                    else None,
                ],
                className="number",
            ),
            html.Td([f"{refused:,} + {row.dead:,}" if refused or row.dead else "0", *_skipped(row, view)], className="number"),
            html.Td(_visit(row, now, view)),
        ]
    )


def _ownership(row: SourceView, view: View) -> list[Any]:
    """How far the source speaks for its links, and how many of its articles it revised."""
    lines = []
    if row.trust:
        names = i18n.joined((i18n.text(f"trust.{trust}", view.language) for trust in row.trust), view.language)
        lines.append((i18n.text("sources.trust", view.language, names=names), i18n.text("sources.trust_title", view.language)))
    if row.revisions:
        values = {"n": f"{row.revisions.revised:,}", "changed": f"{row.revisions.sentiment_changed:,}"}
        lines.append((i18n.text("sources.revised", view.language, **values), i18n.text("sources.revised_title", view.language)))
    return [html.Div(text, className="muted small", title=title) for text, title in lines]


def _skipped(row: SourceView, view: View) -> list[Any]:
    """The entries of a source that have no article, by reason."""
    counts = row.visit.skipped if row.visit else {}
    return [
        html.Div(
            i18n.text(f"sources.skipped.{reason}", view.language, n=f"{counts[reason]:,}"),
            className="muted small",
            title=i18n.text(f"sources.skipped.{reason}_title", view.language),
        )
        for reason in SKIP_REASONS
        if counts.get(reason)
    ]


MAX_BOILERPLATE = 3
"""Repeats of a source that are shown at once; the others follow in a list that opens."""


def _outlier_badge(label: Any) -> Any:
    return html.Span([html.Span("!", className="glyph", **{"aria-hidden": "true"}), label], className="health silent")


def _sentiment(row: SourceView, view: View) -> list[Any]:
    """The negative shares of a source against the others of its language, with a warning where they stand out."""
    lines: list[Any] = []
    languages = {share.language for shares in row.sentiment.values() for share in shares}
    for window, shares in row.sentiment.items():
        for share in shares:
            values = {
                "window": i18n.text(f"sources.window.{window}", view.language),
                "share": f"{share.own.share:.0%}",
                "low": f"{share.own.low:.0%}",
                "high": f"{share.own.high:.0%}",
                "n": f"{share.articles:,}",
                "others": "–" if share.others is None else f"{share.others:.0%}",
            }
            named = f"{i18n.text(f'lang.{share.language}', view.language)}: " if len(languages) > 1 else ""
            text = named + i18n.text("sources.against", view.language, **values)
            lines.append(html.Div(text, className="muted small", title=i18n.text("sources.against_title", view.language, **values)))
            if share.stands_out:
                lines.append(_outlier_badge(i18n.text("sources.stands_out", view.language, **values)))
    return lines


def _boilerplate(row: SourceView, view: View) -> Any:
    """The repeats that are removed from the texts of a source, with their share of its articles."""
    if not row.boilerplate:
        return None
    found = sorted(row.boilerplate, key=lambda repeat: -repeat.share)
    items = [html.Li([html.Bdi(plain(repeat.example, 160)), f" {repeat.share:.0%}"]) for repeat in found]
    summary = i18n.text("sources.boilerplate", view.language, n=len(found))
    title = i18n.text("sources.boilerplate_title", view.language)
    shown = [html.Ul(items[:MAX_BOILERPLATE], className="plain")]
    rest = items[MAX_BOILERPLATE:]
    more = html.Details([html.Summary(f"+{len(rest)}"), html.Ul(rest, className="plain")]) if rest else None
    return html.Div([html.Span(summary, title=title), *shown, more], className="muted small")


def articles_of(view: View, source: str) -> View:
    """The view of a search for a source's articles."""
    return View(range="7d", language=view.language, find=Criteria(source=source))


def why_of(row: SourceView, now: datetime, view: View) -> str:
    """The reason for a source's state."""
    language, visit = view.language, row.visit
    if row.state == "failing" and visit is not None:
        return i18n.text("sources.why.failing", language, n=visit.failures, error=plain(mask(visit.error), 200))
    if row.state == "late" and visit is not None and visit.next_at is not None and overdue(visit, now):
        return i18n.text("sources.why.overdue", language, at=i18n.when(visit.next_at, view.tz, language))
    if row.state == "late":
        return i18n.text("sources.why.late", language, n=f"{due(row, now):.0f}")
    return i18n.text(f"sources.why.{row.state}", language)


def _url(row: SourceView) -> str:
    return mask(row.visit.url if row.visit else row.added.url if row.added else "")


def _listed(row: SourceView, view: View) -> Any:
    if row.added is not None:
        at = i18n.when(row.added.at, view.tz, view.language)
        return i18n.text("sources.by", view.language, actor=plain(row.added.actor, 40), at=at)
    return i18n.text("sources.of_file" if row.visit else "sources.unlisted", view.language)


def _last(row: SourceView, now: datetime, view: View) -> Any:
    if row.last_at is None or row.stored_at is None:
        return "–"
    stored = i18n.text("sources.stored", view.language, at=i18n.when(row.stored_at, view.tz, view.language))
    return [
        html.Span(i18n.ago(row.last_at, now, view.language), title=i18n.clock(row.last_at, view.tz)),
        html.Div(i18n.when(row.last_at, view.tz, view.language), className="muted small"),
        html.Div(stored, className="muted small"),
    ]


def _hours(row: SourceView, now: datetime, view: View) -> Any:
    usual = usual_today(row, now)
    label = i18n.text("sources.hours_label", view.language, n=row.today, hours=", ".join(map(str, row.hours)))
    image = html.Img(src=sparkline(row.hours, row.usual, view.theme), alt=label, title=label, className="spark", width=120, height=24)
    words = "" if usual is None else i18n.text("sources.usual", view.language, n=f"{usual:,.0f}")
    beside = [" ", html.Span(words, className="muted small")] if words else []
    return [image, html.Span(f"{row.today:,}"), *beside]


def _visit(row: SourceView, now: datetime, view: View) -> Any:
    visit, language = row.visit, view.language
    if visit is None or visit.at is None:
        return "–"
    entries = i18n.text("sources.entries", language, n=visit.entries)
    what = {
        "ok": f"✓ {entries}",
        "not_modified": f"✓ {i18n.text('sources.not_modified', language)}",
        "failed": f"✕ {i18n.text('sources.state.failing', language)}",
    }
    following = None
    if visit.next_at is not None:
        at = f"{visit.next_at.astimezone(view.tz):%H:%M:%S}"
        following = html.Div(i18n.text("sources.next", language, at=at), className="muted small")
    title = plain(mask(visit.error), 300) if visit.error else None
    return [
        html.Span(what.get(visit.outcome, "–"), title=title),
        html.Div(i18n.ago(visit.at, now, language), className="muted small"),
        following,
    ]


def register(app: dash.Dash, operations_reads: OperationsReads, feed_service: FeedService | None, actor: Callable[[], str]) -> None:
    """Register the refresh and the feed form. feed_service: None where this process does not offer it"""

    @app.callback(
        Output("sr-problem", "children"),
        Output("sr-counts", "children"),
        Output("sr-rows", "children"),
        Output("sr-seen", "data"),
        Input("tick", "n_intervals"),
        Input("view", "data"),
        Input("theme", "data"),
        State("sr-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found = operations_reads.sources()
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), no_update, no_update, no_update]
        now, parts = operations_reads.now(), Parts(seen, view)
        mark = revision(found)
        return [
            None,
            parts.new("counts", mark, lambda: counted(found, view)),
            parts.new("rows", (mark, int(now.timestamp()) // 60), lambda: table(found, now, view)),
            parts.kept,
        ]

    register_feed_form(app, operations_reads, feed_service, actor)


PAGES = ("never", "when_short", "always")


def feed_form(view: View) -> Any:
    """The form, as far as the person's role permits."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    person = current_person()
    if person is None or not may(person.role, "analyst"):
        return panel(words("feed.title"), html.P(words("feed.viewer"), className="muted"))
    url = dmc.TextInput(
        id="sr-url", placeholder="https://…", debounce=True, size="xs", className="grow", **{"aria-label": words("feed.url")}
    )
    look = dmc.Button(words("feed.test"), id="sr-look", variant="filled", size="xs", n_clicks=0)
    fields = [
        html.Div([url, look], className="actions"),
        dcc.Loading(html.Div(id="sr-found", role="status", className="feed-found"), delay_show=200),
    ]
    if may(person.role, "admin"):
        fields += [_adding(view), html.Div(id="sr-saved", role="status"), _removing(view), html.Div(id="sr-removed", role="status")]
    else:
        # hidden for analysts, as the result of a test is filled into them
        fields += [html.P(words("feed.admin"), className="muted small"), html.Div(_choices(view), hidden=True)]
    return panel(words("feed.title"), fields, note=words("feed.help"))


def _choices(view: View) -> list[Any]:
    def words(key: str) -> str:
        return i18n.text(key, view.language)

    languages = [{"value": "any", "label": words("feed.any")}, *({"value": key, "label": words(f"lang.{key}")} for key in ("en", "zh"))]
    genres = [{"value": key, "label": words(f"genre.{key}")} for key in get_args(Genre)]
    pages = [{"value": key, "label": words(f"feed.pages.{key}")} for key in PAGES]
    small: dict[str, Any] = {"size": "xs", "allowDeselect": False}
    return [
        dmc.TextInput(id="sr-name", placeholder=words("feed.name"), size="xs", className="grow", **{"aria-label": words("feed.name")}),
        dmc.Select(id="sr-language", data=languages, value="any", w=190, **small, **{"aria-label": words("language")}),
        dmc.Select(id="sr-genre", data=genres, value="news", w=140, **small, **{"aria-label": words("feed.genre")}),
        dmc.Select(id="sr-pages", data=pages, value="never", w=230, **small, **{"aria-label": words("feed.pages")}),
        dmc.NumberInput(
            id="sr-interval", value=120, min=30, max=86_400, size="xs", w=110, suffix=" s", **{"aria-label": words("feed.interval")}
        ),
    ]


def _adding(view: View) -> Any:
    button = dmc.Button(i18n.text("feed.add", view.language), id="sr-add", variant="default", size="xs", n_clicks=0)
    return html.Div([*_choices(view), button], className="actions")


def _removing(view: View) -> Any:
    label = i18n.text("feed.which", view.language)
    chosen = dmc.Select(
        id="sr-added", data=[], size="xs", placeholder=label, searchable=True, clearable=True, className="grow", **{"aria-label": label}
    )
    button = dmc.Button(i18n.text("feed.remove", view.language), id="sr-remove", variant="default", size="xs", n_clicks=0)
    return html.Div([chosen, button], className="actions after")


def feed_preview(looked: FeedPreview, view: View) -> Any:
    """The preview of a feed as plain text, as it was written by strangers."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    kb, seconds = f"{looked.size_bytes / 1000:,.1f}", f"{looked.took_s:.1f}"
    facts = words("feed.facts", kind=plain(looked.kind, 20), n=looked.entries, kb=kb, s=seconds)
    named = words(f"lang.{looked.language}") if looked.language else words("feed.mixed")
    facts += " · " + words("feed.language", name=named) if looked.entries else ""
    problems = [
        html.Li("! " + plain(words(f"feed.problem.{problem.key}", **problem.values), 400), className="health late")
        for problem in looked.problems
    ]
    newest = [
        html.Li(
            [
                html.Bdi(plain(entry.title, 200) or words("feed.none"), className="title"),
                html.Div(
                    i18n.when(entry.published, view.tz, view.language) if entry.published else words("feed.undated"),
                    className="muted small",
                ),
            ]
        )
        for entry in looked.newest
    ]
    return html.Div(
        [
            html.H3(html.Bdi(plain(looked.title, 200) or words("feed.none"))),
            html.P(facts, className="muted"),
            html.Ul(problems, className="plain") if problems else html.P(f"✓ {words('feed.fine')}", className="sentiment positive"),
            html.H3(words("feed.newest")) if newest else None,
            html.Ul(newest, className="articles"),
        ]
    )


def feed_error(error: Exception, view: View) -> Any:
    """The error message."""
    if isinstance(error, StoreError):
        log.warning("the store did not answer", error=str(error))
        return html.P(i18n.text("store.title", view.language))
    return html.P(f"✗ {plain(mask(str(error)), 400)}", className="sentiment negative reason")


def suggested_name(looked: FeedPreview) -> str:
    """The suggested_name name of a source: the host of its URL."""
    return (urlsplit(looked.url).hostname or "").removeprefix("www.")


def register_feed_form(
    app: dash.Dash, operations_reads: OperationsReads, feed_service: FeedService | None, actor: Callable[[], str]
) -> None:
    """Register the actions of the form."""

    @app.callback(
        Output("sr-found", "children"),
        Output("sr-name", "value"),
        Output("sr-language", "value"),
        Output("sr-interval", "value"),
        Output("sr-pages", "value"),
        Input("sr-look", "n_clicks"),
        Input("sr-url", "n_submit"),
        State("sr-url", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def look(clicks: Any, submits: Any, url: Any, data: Any, theme: Any) -> tuple[Any, ...]:
        view = parse(data, theme)
        same = (no_update,) * 4
        if not (clicks or submits):
            return no_update, *same
        if feed_service is None:
            return i18n.text("feed.away", view.language), *same
        try:
            looked = feed_service.preview(str(url or "")[:4_000], actor())
        except (UserError, SourceError, StoreError) as error:
            return feed_error(error, view), *same
        short = any(problem.key == "short" for problem in looked.problems)
        return (
            feed_preview(looked, view),
            suggested_name(looked),
            looked.language or "any",
            looked.interval_s,
            "when_short" if short else "never",
        )

    @app.callback(
        Output("sr-saved", "children"),
        Input("sr-add", "n_clicks"),
        State("sr-url", "value"),
        State("sr-name", "value"),
        State("sr-language", "value"),
        State("sr-genre", "value"),
        State("sr-pages", "value"),
        State("sr-interval", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def add(clicks: Any, url: Any, name: Any, language: Any, genre: Any, pages: Any, every_s: Any, data: Any, theme: Any) -> Any:
        view = parse(data, theme)
        if not clicks or feed_service is None:
            return no_update
        feed = NewFeed(
            name=str(name or "")[:200],
            url=str(url or "")[:4_000],
            language=str(language) if language in ("en", "zh") else "",
            genre=str(genre or "news"),
            full_text=str(pages or "never"),
            interval_s=float(every_s) if isinstance(every_s, int | float) else 120.0,
        )
        try:
            feed_service.add(feed, actor())
        except (UserError, StoreError) as error:
            return feed_error(error, view)
        operations_reads.forget_sources()
        return html.P(["✓ ", i18n.text("feed.added", view.language)], className="sentiment positive")

    @app.callback(
        Output("sr-removed", "children"),
        Input("sr-remove", "n_clicks"),
        State("sr-added", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def remove(clicks: Any, name: Any, data: Any, theme: Any) -> Any:
        view = parse(data, theme)
        if not clicks or not name or feed_service is None:
            return no_update
        try:
            feed_service.remove(str(name), actor())
        except (UserError, StoreError) as error:
            return feed_error(error, view)
        operations_reads.forget_sources()
        return html.P(["✓ ", i18n.text("feed.removed", view.language)], className="sentiment positive")

    @app.callback(
        Output("sr-added", "data"),
        Input("sr-added", "id"),
        Input("sr-saved", "children"),
        Input("sr-removed", "children"),
    )  # type: ignore[untyped-decorator]
    def offered(_id: Any, _kept: Any, _gone: Any) -> Any:
        try:
            rows = operations_reads.sources().rows
        except StoreError:
            return no_update
        return [{"value": row.name, "label": plain(row.name, 80)} for row in rows if row.added is not None]
