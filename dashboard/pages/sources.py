"""The page of sources: state, volume against the baseline, delay and visits of each source, and the feed form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger, mask
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.palette import SOURCE_GLYPHS
from dashboard.figures.sparkline import sparkline
from dashboard.pages import feeds
from dashboard.pages.components import Parts, found_href, href, panel, source_link, store_problem
from dashboard.reads.operations import OperationsReads, SourcesView
from dashboard.reads.queries import revision
from dashboard.reads.source_state import STATES, SourceView, due, overdue, usual_today
from dashboard.services import FeedService
from dashboard.view import View, parse
from storage.store import Criteria

PATH = "/sources"
SHOWN = 300
COLUMNS = ("state", "name", "last", "hours", "lag", "negative", "refused", "visit")
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
            feeds.layout(view),
        ]
    )


def health(state: str, glyph: str, label: str) -> Any:
    """The badge of a state."""
    return html.Span([html.Span(glyph, className="glyph", **{"aria-hidden": "true"}), label], className=f"health {state}")


def counted(found: SourcesView, view: View) -> list[Any]:
    """The number of sources by state."""
    counts = Counter(row.state for row in found.rows)
    named = [(state, i18n.text(f"sources.state.{state}", view.language)) for state in STATES if counts[state]]
    return [health(state, SOURCE_GLYPHS[state], f"{counts[state]} {name}") for state, name in named]


def table(found: SourcesView, now: datetime, view: View) -> Any:
    """The table of sources, those that need attention first."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    if not found.rows:
        return html.P(words("sources.none"), className="empty-state")
    titles = {name: words(f"sources.{name}_title") for name in ("lag", "negative", "refused")}
    head = html.Tr([html.Th(words(f"sources.{name}"), scope="col", title=titles.get(name)) for name in COLUMNS])
    rows = [_row(row, now, view) for row in found.rows[:SHOWN]]
    whole = None
    if found.silence:
        link = dcc.Link(words("sources.whole"), href=href(f"/alert/{found.silence}", view))
        whole = html.P(health("silent", SOURCE_GLYPHS["silent"], link))
    return html.Div([whole, html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="table sources"), className="scroll")])


def _row(row: SourceView, now: datetime, view: View) -> Any:
    language = view.language
    label = i18n.text(f"sources.state.{row.state}", language)
    state: Any = health(row.state, SOURCE_GLYPHS[row.state], label)
    if row.silence:
        state = dcc.Link(state, href=href(f"/alert/{row.silence}", view))
    why = html.Div(why_of(row, now, view), className="muted small reason") if row.state != "ok" else None
    name = dcc.Link(html.Bdi(plain(row.name, 80)), href=found_href("/articles", articles_of(view, row.name)))
    share = f"{row.negative / row.recent:.0%}" if row.recent else "–"
    refused = row.visit.refused if row.visit else 0
    lag = [i18n.duration(seconds, language) for seconds in row.lag_s] if row.lag_s else []
    return html.Tr(
        [
            html.Td([state, why]),
            html.Th([name, " ", source_link(_url(row), view), html.Div(_listed(row, view), className="muted small")], className="name"),
            html.Td(_last(row, now, view)),
            html.Td(_hours(row, now, view)),
            html.Td([lag[0], html.Div(f"95 %: {lag[1]}", className="muted small")] if lag else "–"),
            html.Td(share, className="number"),
            html.Td(f"{refused:,} + {row.dead:,}" if refused or row.dead else "0", className="number"),
            html.Td(_visit(row, now, view)),
        ]
    )


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
    return row.visit.url if row.visit else row.added.url if row.added else ""


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

    feeds.register(app, operations_reads, feed_service, actor)
