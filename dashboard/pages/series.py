"""The page of one series: trend and baseline, volume, alerts, stories and related companies."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger
from core.series import is_series, key_of, kind_of, sector_series
from core.taxonomy import sentiment_of
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures import charts
from dashboard.pages.components import (
    Parts,
    alert_card,
    article_title,
    chart,
    found_href,
    fresh,
    href,
    keep_zoom,
    name_of,
    panel,
    sentiment,
    series_chip,
    series_href,
    store_problem,
    tile,
    tiles,
)
from dashboard.pages.range_picker import range_picker, range_words
from dashboard.reads.details import SeriesView, StoryView, company_of, negatives
from dashboard.reads.queries import Reads
from dashboard.view import View, parse
from dashboard.web.routes import SERIES_EXPORT_PATH
from storage.store import Criteria

PREFIX = "/series/"
FILTERED = ("topic", "company", "language", "genre")
"""Kinds of series with a filter in the search."""
log = get_logger("dashboard.series")


def match(path: str) -> str | None:
    """The series in a path, such as "topic:credit" for /series/topic/credit; None for other paths."""
    if not path.startswith(PREFIX):
        return None
    kind, _, key = unquote(path.removeprefix(PREFIX).rstrip("/")).partition("/")
    return f"{kind}:{key}" if is_series(f"{kind}:{key}") else None


def layout(view: View, key: str) -> Any:
    """The page before its first refresh."""

    def words(name: str) -> str:
        return i18n.text(name, view.language)

    crumbs = [dcc.Link("← " + words("home"), href=href("/", view))]
    if kind_of(key) in FILTERED:
        find = Criteria(**{kind_of(key): key_of(key)})
        crumbs += [" · ", dcc.Link(words("series.articles"), href=found_href("/articles", replace(view, find=find)), id="se-articles")]
    export = html.A(words("series.csv"), id="se-csv", href=_export(key, view), className="button small", download="")
    skeleton = [dmc.Skeleton(height=84, radius="md") for _ in range(4)]
    return html.Div(
        [
            dcc.Store(id="se-seen"),
            dcc.Store(id="se-key", data=key),
            html.Div(id="se-problem", role="alert"),
            html.Nav(crumbs, className="crumbs"),
            html.Div([html.Div(_head(key, "", "", view), id="se-head"), range_picker(view)], className="page-head"),
            html.Div(skeleton, id="se-kpis", className="kpis"),
            html.Div(
                [
                    panel(
                        words("series.trend"),
                        chart("se-trend", 340, view, label=words("series.trend")),
                        note=html.Span(id="se-trend-note"),
                        tools=export,
                    ),
                    panel(
                        words("series.volume"),
                        chart("se-volume", 340, view, label=words("series.volume")),
                        note=html.Span(id="se-volume-note"),
                    ),
                ],
                className="split",
            ),
            panel(words("series.alerts"), html.Div(id="se-alerts", className="cards"), className="alerts"),
            html.Div(
                [
                    panel(words(f"series.{side}"), html.Div(id=f"se-{side}"), note=words("series.stories_help"))
                    for side in ("negative", "positive")
                ],
                className="halves",
            ),
            panel(words("series.related"), html.Div(id="se-related", className="chips"), note=words("series.related_help")),
        ]
    )


def _export(series: str, view: View) -> str:
    return f"{href(SERIES_EXPORT_PATH, view)}&zone={view.zone}&series={quote(series, safe='')}"


def _head(series: str, name: str, sector: str, view: View) -> list[Any]:
    """Kind and name; for a company also its key and a link to its sector."""
    kind = i18n.text(f"kind.{kind_of(series)}", view.language)
    title = html.H1(html.Bdi(name_of(series, view, plain(name, 80))))
    of = (
        [
            " · ",
            i18n.text("series.of", view.language),
            dcc.Link(html.Bdi(name_of(sector_series(sector), view)), href=series_href(sector_series(sector), view)),
        ]
        if sector
        else []
    )
    return [html.Div([html.Span(kind), *of], className="muted"), title]


def story_item(story: StoryView, view: View) -> Any:
    """A story by its first article, with the number of articles and sources."""
    article = story.article
    name, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
    last = i18n.when(story.last, view.tz, view.language)
    coverage = (
        i18n.text("series.coverage", view.language, articles=story.articles, sources=story.sources, moment=last)
        if story.articles > 1
        else i18n.text("series.coverage_one", view.language, moment=last)
    )
    return html.Li(
        [
            html.Div(
                [article_title(article.title or article.text, article.id, article.url, view), sentiment(name, p, view)], className="row"
            ),
            html.Div([html.Bdi(plain(article.source, 80)), " · ", coverage], className="muted small"),
        ]
    )


def stories(found: list[StoryView], view: View) -> Any:
    """The list of stories."""
    if not found:
        return html.P(i18n.text("series.no_stories", view.language), className="muted")
    return html.Ul([story_item(story, view) for story in found], className="articles")


def alerts(found: SeriesView, now: datetime, view: View) -> list[Any]:
    """The alerts of the range as cards, newest first."""
    if not found.alerts:
        return [html.Div(i18n.text("series.no_alerts", view.language), className="empty-state")]
    return [alert_card(alert, now, view) for alert in found.alerts]


def related(found: SeriesView, view: View) -> list[Any]:
    """The companies in the same stories, linked to their pages."""
    if not found.beside:
        return [html.Span(i18n.text("series.no_related", view.language), className="muted")]
    return [series_chip(item, view, company_of(item.series, found.names)[0]) for item in found.beside]


def trend_note(found: SeriesView, view: View) -> str:
    """The note of the trend chart."""
    width = i18n.width(found.width_s, view.language)
    if found.usual:
        return i18n.text("series.trend_help", view.language, width=width)
    return i18n.text("series.trend_short", view.language, width=width)


def register(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the page."""
    outputs = [
        Output("se-problem", "children"),
        Output("se-head", "children"),
        Output("se-kpis", "children"),
        Output(fresh("se-trend"), "data"),
        Output("se-trend-note", "children"),
        Output(fresh("se-volume"), "data"),
        Output("se-volume-note", "children"),
        Output("se-alerts", "children"),
        Output("se-negative", "children"),
        Output("se-positive", "children"),
        Output("se-related", "children"),
        Output("se-csv", "href"),
        Output("se-seen", "data"),
    ]

    @app.callback(
        outputs,
        Input("tick", "n_intervals"),
        Input("view", "data"),
        Input("theme", "data"),
        State("se-key", "data"),
        State("se-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, key: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        if not isinstance(key, str) or not is_series(key):
            return [no_update] * len(outputs)
        try:
            found = reads.series(key, view.range)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(outputs) - 1)]
        now = reads.now()
        parts = Parts(seen, view)
        bounds = (found.since, found.until, found.width_s)
        width = i18n.width(found.width_s, view.language)
        last = tile(i18n.text("series.alerts", view.language), str(len(found.alerts)), range_words(view))
        return [
            None,
            parts.new("head", found.revision, lambda: _head(key, *company_of(key, found.names), view)),
            parts.new("kpis", found.revision, lambda: [*tiles(found.total, found.before, view), last]),
            parts.new("trend", found.revision, lambda: charts.trend(key, negatives(found), found.usual, found.alerts, bounds, view)),
            parts.new("trend-note", bool(found.usual), lambda: trend_note(found, view)),
            parts.new("volume", found.revision, lambda: charts.volume(found.points, bounds, view, key)),
            parts.new("volume-note", "", lambda: i18n.text("volume.help", view.language, width=width)),
            parts.new("alerts", found.revision, lambda: alerts(found, now, view)),
            parts.new("negative", found.revision, lambda: stories(found.negative, view)),
            parts.new("positive", found.revision, lambda: stories(found.positive, view)),
            parts.new("related", found.revision, lambda: related(found, view)),
            parts.new("csv", "", lambda: _export(key, view)),
            parts.kept,
        ]

    keep_zoom(app, "se-trend", "se-volume")
