"""The overview: open alerts, sentiment over time, volume, movers, heat map and the latest articles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger
from core.records import Alert
from core.series import company_series, key_of
from core.taxonomy import all_topics
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures import charts
from dashboard.pages import movers
from dashboard.pages.article_grid import export_href, grid, row
from dashboard.pages.components import (
    Parts,
    alert_card,
    chart,
    fresh,
    href,
    keep_zoom,
    name_of,
    panel,
    series_chip,
    store_problem,
    tile,
    tiles,
)
from dashboard.pages.range_picker import range_picker
from dashboard.reads.overviews import DRAWN, Overview
from dashboard.reads.queries import BUSIEST, Reads, revision
from dashboard.view import KINDS, MAX_TOPICS, View, parse
from storage.store import SeriesTotal

DEFAULT_TOPICS = 5
CARDS, FOLDED = 8, 16
"""Number of alerts shown as cards, and of those that can be expanded; the inbox lists all. Two hundred cards take half a second."""
log = get_logger("dashboard.overview")


def match(path: str) -> str | None:
    """ "" for the root path; None for others."""
    return "" if path in ("", "/") else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh."""
    language = view.language

    def words(key: str, **values: object) -> str:
        return i18n.text(key, language, **values)

    kinds = dmc.SegmentedControl(
        id="kind",
        data=[{"value": kind, "label": words(f"kinds.{kind}")} for kind in KINDS],
        value=view.kind,
        size="xs",
        **{"aria-label": words("kinds")},
    )
    selectable_table = dmc.MultiSelect(
        id="topics",
        data=choices([], {}, view),
        value=list(view.topics),
        placeholder=words("tone_chart.topics"),
        maxValues=MAX_TOPICS,
        clearable=True,
        searchable=True,
        hidePickedOptions=True,
        size="xs",
        className="topic-chooser",
        **{"aria-label": words("tone_chart.choose", n=MAX_TOPICS)},
    )
    export = html.A(words("articles.csv"), id="ov-csv", href=export_href(view), className="button small", download="")
    return html.Div(
        [
            dcc.Store(id="ov-seen"),
            html.Div(id="ov-problem", role="alert"),
            html.Div(
                [html.H1(words("home"), className="sr-only"), html.Div(id="ov-stored", className="muted"), range_picker(view)],
                className="page-head",
            ),
            panel(words("alerts"), html.Div(_waiting(4, 118), id="ov-alerts", className="cards"), className="alerts"),
            html.Div(_waiting(4, 84), id="ov-kpis", className="kpis"),
            html.Div(
                [
                    panel(
                        words("tone_chart"),
                        chart("ov-mood", 340, view, label=words("tone_chart")),
                        note=html.Span(id="ov-mood-note"),
                        tools=[kinds, selectable_table],
                    ),
                    panel(words("volume"), chart("ov-volume", 340, view, label=words("volume")), note=html.Span(id="ov-volume-note")),
                ],
                className="split",
            ),
            movers.section(view),
            panel(words("busiest"), html.Div(id="ov-busiest", className="busiest"), note=words("busiest.help")),
            panel(words("heatmap"), chart("ov-heat", 420, view, label=words("heatmap")), note=html.Span(id="ov-heat-note")),
            panel(words("articles"), grid("ov-grid", view), tools=export),
        ]
    )


def _waiting(count: int, height: int) -> list[Any]:
    return [dmc.Skeleton(height=height, radius="md") for _ in range(count)]


def top_topics(found: Overview, view: View) -> list[str]:
    """Keys of the series to draw: the selected ones, else the most active."""
    return list(view.topics) or [key_of(item.series) for item in found.members if key_of(item.series) != "other"][:DEFAULT_TOPICS]


def choices(members: list[SeriesTotal], names: Mapping[str, str], view: View) -> list[dict[str, str]]:
    """Options of the series selection: all topics, or the most active of another kind, and what is selected."""
    topics = [topic.key for topic in all_topics()] if view.kind == "topic" else []
    keys = dict.fromkeys([*topics, *(key_of(item.series) for item in members), *view.topics])
    named = {key: f"{view.kind}:{key}" for key in keys}
    return [{"value": key, "label": name_of(series, view, plain(names.get(series, ""), 60))} for key, series in named.items()]


def names_of(found: Overview) -> dict[str, str]:
    """Series of companies to their names in the news."""
    return {company_series(key): about.name for key, about in found.names.items() if about.name}


def figures_of(found: Overview, alerts: int, view: View) -> list[Any]:
    """Figures of the whole market, and the number of open alerts."""
    last = tile(i18n.text("kpi.alerts", view.language), str(alerts), i18n.text("kpi.alerts_age", view.language))
    return [*tiles(found.market, found.before, view), last]


def cards(alerts: list[Alert], now: datetime, view: View) -> list[Any]:
    """The cards of the open alerts, newest first."""
    if not alerts:
        return [html.Div(["● ", i18n.text("alerts.none", view.language)], className="empty-state")]
    shown = [alert_card(alert, now, view) for alert in alerts[:CARDS]]
    if len(alerts) > CARDS:
        rest = [alert_card(alert, now, view) for alert in alerts[CARDS : CARDS + FOLDED]]
        more = html.Summary(i18n.text("alerts.more", view.language, n=len(alerts) - CARDS))
        parts = [more, html.Div(rest, className="cards")]
        if len(alerts) > CARDS + FOLDED:
            others = i18n.text("alerts.more", view.language, n=len(alerts) - CARDS - FOLDED)
            parts.append(dcc.Link(others, href=href("/alerts", view), className="button small"))
        shown.append(html.Details(parts, className="more"))
    return shown


def busiest(found: Overview, others: Mapping[str, list[SeriesTotal]], view: View) -> list[Any]:
    """The most active series by kind; kinds without any are omitted."""
    rows = {"topic": found.members, **others} if found.kind == "topic" else others
    return [
        html.Div(
            [
                html.Span(i18n.text(f"kind.{kind}", view.language), className="muted kind"),
                *(series_chip(item, view) for item in series[:BUSIEST]),
            ],
            className="chips",
        )
        for kind, series in rows.items()
        if series
    ]


def _stored(articles: int, view: View) -> str:
    return i18n.text("kpi.stored", view.language, articles=f"{articles:,}")


def register(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the page; only changed parts are built and sent."""
    outputs = [
        Output("ov-problem", "children"),
        Output("ov-stored", "children"),
        Output("ov-alerts", "children"),
        Output("ov-kpis", "children"),
        Output(fresh("ov-mood"), "data"),
        Output("ov-mood-note", "children"),
        Output(fresh("ov-volume"), "data"),
        Output("ov-volume-note", "children"),
        Output(fresh("ov-heat"), "data"),
        Output("ov-busiest", "children"),
        Output("topics", "data"),
        Output("ov-heat-note", "children"),
        Output("ov-grid", "rowData"),
        Output("ov-csv", "href"),
        Output("ov-seen", "data"),
    ]

    @app.callback(outputs, Input("tick", "n_intervals"), Input("view", "data"), Input("theme", "data"), State("ov-seen", "data"))  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found, open_alerts, detected = reads.overview(view.range, view.kind), reads.alerts(), reads.detected(view.range)
            topics = top_topics(found, view)
            drawn = {point.series for point in found.mood}
            others = tuple(name for name in (f"{view.kind}:{key}" for key in topics) if name not in drawn)
            mood = [*found.mood, *reads.moods(others, view.range)]
            articles, stored, busy = reads.articles(view.range), reads.stored(), reads.busiest(view.range)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(outputs) - 1)]
        now = reads.now()
        parts = Parts(seen, view)
        names = names_of(found)
        bounds = (found.since, found.until, found.width_s)
        width = i18n.width(found.width_s, view.language)
        alert_ids = [alert.id for alert in open_alerts]
        keys = [key_of(item.series) for item in found.members[:DRAWN]]
        return [
            None,
            parts.new("stored", stored, lambda: _stored(stored, view)),
            parts.new("alerts", revision(open_alerts), lambda: cards(open_alerts, now, view)),
            parts.new("kpis", (found.revision, len(alert_ids)), lambda: figures_of(found, len(alert_ids), view)),
            parts.new(
                "mood",
                (found.revision, revision(detected), revision(mood)),
                lambda: charts.mood(mood, topics, detected, bounds, view, names),
            ),
            parts.new("mood-note", "", lambda: i18n.text("tone_chart.help", view.language, width=width)),
            parts.new("volume", found.revision, lambda: charts.volume(found.mood, bounds, view)),
            parts.new("volume-note", "", lambda: i18n.text("volume.help", view.language, width=width)),
            parts.new("heat", found.revision, lambda: charts.heat(found.mood, keys, bounds, view, names)),
            parts.new("busiest", (found.revision, revision(busy)), lambda: busiest(found, busy, view)),
            parts.new("choices", revision(choices(found.members, names, view)), lambda: choices(found.members, names, view)),
            parts.new("heat-note", "", lambda: i18n.text(f"heatmap.help.{view.colours}", view.language)),
            parts.new("grid", revision(articles), lambda: [row(article, view) for article in articles]),
            parts.new("csv", "", lambda: export_href(view)),
            parts.kept,
        ]

    keep_zoom(app, "ov-mood", "ov-volume", "ov-heat")
    for name in ("kind", "by"):
        app.clientside_callback(
            ClientsideFunction("tocsin", "setOption"),
            Output("url", "search", allow_duplicate=True),
            Input(name, "value"),
            State(name, "id"),
            State("url", "search"),
            prevent_initial_call=True,
        )
    movers.register(app, reads)
    app.clientside_callback(
        ClientsideFunction("tocsin", "setTopics"),
        Output("url", "search", allow_duplicate=True),
        Input("topics", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
