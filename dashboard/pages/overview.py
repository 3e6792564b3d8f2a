"""The overview: open alerts, mood per topic over time, volume, and the latest articles."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash
import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from dashboard import figures, i18n
from dashboard.pages.parts import Parts, alert_card, chart, fresh, href, keep_zoom, panel, sentiment_text, store_problem
from dashboard.palette import sentiment_of
from dashboard.queries import Overview, Reads, revision
from dashboard.routes import EXPORT_PATH
from dashboard.safe import plain, safe_url
from dashboard.view import MAX_TOPICS, RANGES, View, parse
from spine.errors import StoreError
from spine.log import get_logger
from spine.records import Alert
from spine.series import key_of
from spine.store import ArticleRow, SeriesTotal
from spine.taxonomy import TOPICS, topic_name

DEFAULT_TOPICS = 5
CARDS = 8
log = get_logger("dashboard.overview")

GRID_THEME = {
    "function": "themeQuartz.withParams({backgroundColor: 'var(--surface)', foregroundColor: 'var(--text)',"
    " headerBackgroundColor: 'var(--surface)', headerTextColor: 'var(--muted)', borderColor: 'var(--line)',"
    " rowHoverColor: 'var(--hover)', oddRowBackgroundColor: 'var(--surface)', chromeBackgroundColor: 'var(--surface)',"
    " browserColorScheme: 'inherit', wrapperBorder: false, fontFamily: 'inherit', headerFontWeight: 600, fontSize: 13, spacing: 6})"
}


def match(path: str) -> str | None:
    """The overview is at the root."""
    return "" if path in ("", "/") else None


def layout(view: View, _key: str) -> Any:
    """The page before its first answer."""
    language = view.language

    def words(key: str, **values: object) -> str:
        return i18n.text(key, language, **values)

    picker = dmc.SegmentedControl(
        id="range",
        data=[{"value": key, "label": words(f"range.{key}")} for key in RANGES],
        value=view.range,
        size="sm",
        **{"aria-label": words("range")},
    )
    chooser = dmc.MultiSelect(
        id="topics",
        data=[{"value": topic.key, "label": topic.zh if language == "zh" else topic.en} for topic in TOPICS],
        value=list(view.topics),
        placeholder=words("mood.topics"),
        maxValues=MAX_TOPICS,
        clearable=True,
        searchable=True,
        hidePickedOptions=True,
        size="xs",
        className="topic-chooser",
        **{"aria-label": words("mood.choose", n=MAX_TOPICS)},
    )
    export = html.A(words("articles.csv"), id="ov-csv", href=_export(view), className="button small", download="")
    return html.Div(
        [
            dcc.Store(id="ov-seen"),
            html.Div(id="ov-problem", role="alert"),
            html.Div(
                [html.H1(words("home"), className="sr-only"), html.Div(id="ov-stored", className="muted"), picker], className="page-head"
            ),
            panel(words("alerts"), html.Div(_waiting(4, 118), id="ov-alerts", className="cards"), className="alerts"),
            html.Div(_waiting(4, 84), id="ov-kpis", className="kpis"),
            html.Div(
                [
                    panel(
                        words("mood"), chart("ov-mood", 340, view, label=words("mood")), note=html.Span(id="ov-mood-note"), tools=chooser
                    ),
                    panel(words("volume"), chart("ov-volume", 340, view, label=words("volume")), note=html.Span(id="ov-volume-note")),
                ],
                className="split",
            ),
            panel(words("heat"), chart("ov-heat", 420, view, label=words("heat")), note=words("heat.help")),
            panel(words("articles"), _grid(view), tools=export),
        ]
    )


def _waiting(count: int, height: int) -> list[Any]:
    return [dmc.Skeleton(height=height, radius="md") for _ in range(count)]


def _export(view: View) -> str:
    return f"{href(EXPORT_PATH, view)}&zone={view.zone}"


def _grid(view: View) -> Any:
    def column(key: str, **options: Any) -> dict[str, Any]:
        return {"field": key, "headerName": i18n.text(f"column.{key}", view.language), **options}

    columns = [
        column("time", width=152, filter=False),
        column("title", flex=1, minWidth=240, cellRenderer="ArticleTitle"),  # early: a phone shows the first two
        column("source", width=150),
        column("language", width=100),
        column("topics", width=220),
        column("companies", width=150),
        column("sentiment", width=150, cellRenderer="Sentiment"),
    ]
    return dag.AgGrid(
        id="ov-grid",
        columnDefs=columns,
        defaultColDef={"sortable": True, "filter": True, "resizable": True, "suppressHeaderMenuButton": False},
        rowData=[],
        getRowId="params.data.id",
        dashGridOptions={
            "theme": GRID_THEME,
            "localeText": i18n.GRID_ZH if view.language == "zh" else {"noRowsToShow": i18n.text("articles.none", "en")},
            "animateRows": False,
            "enableCellTextSelection": True,
            "suppressCellFocus": False,
        },
        style={"height": "520px"},
        className="grid",
    )


def top_topics(found: Overview, view: View) -> list[str]:
    """Keys of the topics to draw: the chosen ones, else the busiest."""
    return list(view.topics) or [key_of(item.series) for item in found.topics if key_of(item.series) != "other"][:DEFAULT_TOPICS]


def row(article: ArticleRow, view: View) -> dict[str, str]:
    """One article as a row of the grid: plain text only, and an address only where it can be followed."""
    sentiment, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
    return {
        "id": article.id,
        "time": i18n.clock(article.published_at, view.tz),
        "source": plain(article.source, 60),
        "language": article.language,
        "title": plain(article.title or article.text, 200),
        "url": safe_url(article.url),
        "topics": ", ".join(topic_name(key, view.language) for key in article.topics),
        "companies": ", ".join(plain(company, 40) for company in article.companies),
        "sentiment": sentiment,
        "sentiment_text": sentiment_text(sentiment, p, view),
    }


def tile(label: str, value: str, note: str) -> Any:
    """One figure with its name and what to compare it with."""
    return html.Div(
        [html.Div(label, className="muted"), html.Div(value, className="value"), html.Div(note, className="muted small")], className="kpi"
    )


def tiles(market: SeriesTotal | None, before: SeriesTotal | None, alerts: int, view: View) -> list[Any]:
    """Stories, negative share and mean tone of everything, with the period before, and how many alerts are open."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    share = market.negative / market.stories if market and market.stories else None
    more = less = words("kpi.nothing_before")
    if market and before and before.stories:
        more = words("kpi.before", change=f"{market.stories / before.stories - 1:+.0%}".replace("-", "−"))
        points = 100 * ((share or 0.0) - before.negative / before.stories)
        less = words("kpi.before", change=f"{points:+.1f} {words('points')}".replace("-", "−"))
    return [
        tile(words("kpi.stories"), f"{market.stories if market else 0:,}", more),
        tile(words("kpi.negative"), "–" if share is None else f"{share:.0%}", less),
        tile(words("kpi.tone"), f"{market.tone:+.2f}".replace("-", "−") if market else "–", words("kpi.tone_scale")),
        tile(words("kpi.alerts"), str(alerts), words("kpi.alerts_age")),
    ]


def cards(alerts: list[Alert], now: datetime, view: View) -> list[Any]:
    """The open alerts, newest first, or that there are none."""
    if not alerts:
        return [html.Div(["● ", i18n.text("alerts.none", view.language)], className="quiet")]
    shown = [alert_card(alert, now, view) for alert in alerts[:CARDS]]
    if len(alerts) > CARDS:
        rest = [alert_card(alert, now, view) for alert in alerts[CARDS:]]
        more = html.Summary(i18n.text("alerts.more", view.language, n=len(rest)))
        shown.append(html.Details([more, html.Div(rest, className="cards")], className="more"))
    return shown


def _stored(articles: int, view: View) -> str:
    return i18n.text("kpi.stored", view.language, articles=f"{articles:,}")


def register(app: dash.Dash, reads: Reads) -> None:
    """The refresh of the page: only what changed is made and sent."""
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
        Output("ov-grid", "rowData"),
        Output("ov-csv", "href"),
        Output("ov-seen", "data"),
    ]

    @app.callback(outputs, Input("tick", "n_intervals"), Input("view", "data"), Input("theme", "data"), State("ov-seen", "data"))  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found, open_alerts, rang = reads.overview(view.range), reads.alerts(), reads.rang(view.range)
            articles, stored = reads.articles(view.range), reads.stored()
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(outputs) - 1)]
        now = reads.now()
        parts = Parts(seen, view)
        topics = top_topics(found, view)
        bounds = (found.since, found.until, found.width_s)
        width = i18n.width(found.width_s, view.language)
        alert_ids = [alert.id for alert in open_alerts]
        busiest = [key_of(item.series) for item in found.topics]
        return [
            None,
            parts.new("stored", stored, lambda: _stored(stored, view)),
            parts.new("alerts", (alert_ids, int(now.timestamp()) // 60), lambda: cards(open_alerts, now, view)),
            parts.new("kpis", (found.revision, len(alert_ids)), lambda: tiles(found.market, found.before, len(alert_ids), view)),
            parts.new("mood", (found.revision, revision(rang)), lambda: figures.mood(found.mood, topics, rang, bounds, view)),
            parts.new("mood-note", "", lambda: i18n.text("mood.help", view.language, width=width)),
            parts.new("volume", found.revision, lambda: figures.volume(found.mood, bounds, view)),
            parts.new("volume-note", "", lambda: i18n.text("volume.help", view.language, width=width)),
            parts.new("heat", found.revision, lambda: figures.heat(found.mood, busiest, bounds, view)),
            parts.new("grid", revision(articles), lambda: [row(article, view) for article in articles]),
            parts.new("csv", "", lambda: _export(view)),
            parts.kept,
        ]

    keep_zoom(app, "ov-mood", "ov-volume", "ov-heat")
    for function, component in (("setRange", "range"), ("setTopics", "topics")):
        app.clientside_callback(
            ClientsideFunction("tocsin", function),
            Output("url", "search", allow_duplicate=True),
            Input(component, "value"),
            State("url", "search"),
            prevent_initial_call=True,
        )
