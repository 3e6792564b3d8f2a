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
from core.series import company_series, key_of, kind_of
from core.taxonomy import all_topics
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures import charts
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
    series_href,
    store_problem,
    tile,
    tiles,
)
from dashboard.pages.range_picker import range_picker
from dashboard.reads.movers import Mover, furthest
from dashboard.reads.overviews import DRAWN, Overview
from dashboard.reads.queries import BUSIEST, Reads, revision
from dashboard.view import KINDS, MAX_TOPICS, MEASURES, View, parse
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
            movers_panel(view),
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
            mood = [*found.mood, *reads.tones(others, view.range)]
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
    register_movers(app, reads)
    app.clientside_callback(
        ClientsideFunction("tocsin", "setTopics"),
        Output("url", "search", allow_duplicate=True),
        Input("topics", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )


def movers_panel(view: View) -> Any:
    """The panel before its first refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    by = dmc.SegmentedControl(
        id="by",
        data=[{"value": measure, "label": words(f"movers.{measure}")} for measure in MEASURES],
        value=view.by,
        size="xs",
        **{"aria-label": words("movers.by")},
    )
    skeleton = [dmc.Skeleton(height=32, mb=6) for _ in range(4)]
    return panel(
        words("movers"),
        [dcc.Store(id="mv-seen"), html.Div(skeleton, id="mv-table", className="scroll")],
        note=words("movers.help"),
        tools=by,
    )


def movers_table(found: list[Mover], names: Mapping[str, str], view: View) -> Any:
    """The movers_table of the largest changes by the view's measure."""
    shown = furthest(found, view.by)
    if not shown:
        why = "movers.none" if found else "movers.short"
        return html.P(i18n.text(why, view.language), className="muted")
    heads = [i18n.text(f"movers.{key}", view.language) for key in ("series", *MEASURES)]
    return html.Table(
        [
            html.Thead(html.Tr([html.Th(head, scope="col") for head in heads])),
            html.Tbody([_mover_row(each, names, view) for each in shown]),
        ],
        className="table movers",
    )


def _mover_row(mover: Mover, names: Mapping[str, str], view: View) -> Any:
    name = name_of(mover.series, view, plain(names.get(mover.series, ""), 60))
    kind = html.Span(i18n.text(f"kind.{kind_of(mover.series)}", view.language), className="muted small")
    title = html.Th([dcc.Link(html.Bdi(name), href=series_href(mover.series, view)), " ", kind], scope="row")
    most = max(1.0, mover.stories, mover.usual_stories)
    cells = {
        "negative": _cell(
            f"{mover.share:.0%}", f"{mover.usual_share:.0%}", mover.share, mover.usual_share, _worse(mover.scores["negative"]), view
        ),
        "volume": _cell(
            f"{mover.stories:,}",
            i18n.decimal(mover.usual_stories),
            mover.stories / most,
            mover.usual_stories / most,
            _more(mover.scores["volume"]),
            view,
        ),
        "tone": _cell(
            _signed(mover.tone),
            _signed(mover.usual_tone),
            (1 + mover.tone) / 2,
            (1 + mover.usual_tone) / 2,
            _worse(-mover.scores["tone"], up=mover.scores["tone"] > 0),
            view,
        ),
    }
    return html.Tr([title, *(cells[measure] for measure in MEASURES)])


Mark = tuple[str, str]
"""A glyph and its CSS class."""


def _worse(score: float, *, up: bool | None = None) -> Mark:
    """An arrow in the colour of negative news where the score is above 0, of positive news below; "=" near 0."""
    if abs(score) < 1:
        return "=", "neutral"
    rose = score > 0 if up is None else up
    return "↑" if rose else "↓", "negative" if score > 0 else "positive"


def _more(score: float) -> Mark:
    return ("=" if abs(score) < 1 else "↑" if score > 0 else "↓"), "neutral"


def _cell(now: str, usual: str, part: float, usual_part: float, mark: Mark, view: View) -> Any:
    """A value and its baseline, as figures and as a bar with a notch at the baseline. part, usual_part: in [0, 1]"""
    glyph, colour = mark
    bar = html.Span(
        [
            html.Span(className="fill", style={"width": f"{100 * min(1.0, part):.0f}%"}),
            html.Span(className="notch", style={"left": f"{100 * min(1.0, usual_part):.0f}%"}),
        ],
        className=f"bar {colour}",
        **{"aria-hidden": "true"},
    )
    message = i18n.text("movers.usual", view.language, usual=usual)
    return html.Td([html.Span(f"{glyph} {now}", className=f"sentiment {colour}"), " ", html.Span(message, className="muted small"), bar])


def _signed(tone: float) -> str:
    return f"{tone:+.2f}".replace("-", "−")


def register_movers(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the movers_table."""

    @app.callback(
        Output("mv-table", "children"),
        Output("mv-seen", "data"),
        Input("tick", "n_intervals"),
        Input("view", "data"),
        State("theme", "data"),
        State("mv-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, seen: Any) -> tuple[Any, Any]:
        view = parse(data, theme)
        try:
            found, names = reads.movers(view.range), reads.company_names(view.range)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return no_update, no_update  # the page's own callback shows the error
        parts = Parts(seen, (view.range, view.by, view.language, view.zone, view.colours))
        return parts.new("table", revision(found), lambda: movers_table(found, names, view)), parts.kept
