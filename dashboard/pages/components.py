"""Components that several pages use: links, badges, cards, panels, charts and figures. Texts are never parsed as HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from core.records import Alert, MaterialityScore
from core.series import key_of, kind_of
from core.untrusted_text import plain, safe_url
from dashboard import i18n, measures
from dashboard.figures.charts import message
from dashboard.figures.palette import GLYPHS, SEVERITY_GLYPHS, STATE_GLYPHS
from dashboard.translations import LABELS
from dashboard.translations.libraries import CHART_ZH
from dashboard.view import FILTERS, OPTIONS, View
from dashboard.web.authentication import current_person
from dashboard.web.permissions import allowed
from domain.accounts import Role
from domain.alert_lifecycle import State as AlertState
from storage.store import SearchCursor, SeriesTotal

CHART_CONFIG = {
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage"], ["zoom2d", "pan2d"], ["resetScale2d"]],  # plotly's defaults include sending charts to a server
    "showSendToCloud": False,
    "showTips": False,
    "responsive": True,
}


def href(path: str, view: View) -> str:
    """The URL of a page with the state of the view."""
    state = {"range": view.range, "lang": view.language}
    state |= {name: str(getattr(view, name)) for name, usual in OPTIONS.items() if getattr(view, name) != usual}
    if view.topics:
        state["topics"] = ",".join(view.topics)
    if view.state != "open":
        state["state"] = view.state
    return f"{path}?{urlencode(state, safe=',')}"


def found_href(path: str, view: View, before: SearchCursor | None = None) -> str:
    """The URL of a search with the filters of the view. before: start of the page of results"""
    filters = {key: getattr(view.find, name) for key, name in FILTERS.items() if getattr(view.find, name)}
    if before is not None:
        filters["before"] = f"{before.at}-{before.id}"
    return f"{href(path, view)}&{urlencode(filters)}" if filters else href(path, view)


def series_href(series: str, view: View) -> str:
    """The URL of a series' page."""
    return href(f"/series/{kind_of(series)}/{quote(key_of(series), safe='')}", view)


def article_href(article_id: str, view: View) -> str:
    """The URL of an article's page."""
    return href(f"/article/{quote(article_id, safe='')}", view)


def series_chip(item: SeriesTotal, view: View, name: str = "") -> Any:
    """A series as a small link: its name, its stories, and in brackets the negative ones. name: what the news calls a company"""
    count = f"{item.stories:,} ({GLYPHS['negative']} {item.negative:,})"
    return dcc.Link(
        [html.Bdi(name_of(item.series, view, plain(name, 60))), " ", html.Span(count, className="muted small")],
        href=series_href(item.series, view),
        className="chip",
    )


def article_title(title: str, article_id: str, url: str, view: View) -> Any:
    """A title linked to the article's page, and a link to the original where its URL is safe."""
    return html.Span(
        [dcc.Link(html.Bdi(plain(title)), href=article_href(article_id, view)), " ", source_link(url, view)], className="title"
    )


def source_link(url: str, view: View, words: str = "↗") -> Any:
    """A link to the original in a new tab; None where the URL is not safe."""
    address = safe_url(url)
    if not address:
        return None
    label = {"aria-label": i18n.text("article.open", view.language)}
    return html.A(words, href=address, target="_blank", rel="noopener noreferrer nofollow", className="out", **label)


def sentiment(name: str, p: float, view: View) -> Any:
    """A sentiment with its glyph, its name and its probability."""
    return html.Span(sentiment_text(name, p, view), className=f"sentiment {name}")


def sentiment_text(name: str, p: float, view: View) -> str:
    """ "▼ negative 92%"."""
    return f"{GLYPHS[name]} {i18n.text('sentiment.' + name, view.language)} {p:.0%}"


MATERIALITY_GLYPHS = ("○", "◔", "◑", "●")
"""By level of materiality."""


def materiality_text(materiality: MaterialityScore | None, view: View) -> str:
    """ "◑ relevant to prices 78%": the level, and the probability that the article bears on prices."""
    if materiality is None:
        return i18n.text("materiality.none", view.language)
    level = materiality.level
    return f"{MATERIALITY_GLYPHS[level]} {i18n.text(f'materiality.level{level}', view.language)} {materiality.p_relevant:.0%}"


def severity(alert: Alert, view: View) -> Any:
    """The badge of a severity."""
    return html.Span(
        [html.Span(SEVERITY_GLYPHS.get(alert.severity, "!"), className="glyph"), i18n.text(f"severity.{alert.severity}", view.language)],
        className=f"severity {alert.severity}",
    )


def state_badge(state: AlertState, view: View) -> Any:
    """The badge of an alert's state."""
    words = i18n.text(f"state.{state}", view.language)
    return html.Span(
        [html.Span(STATE_GLYPHS[state], className="glyph", **{"aria-hidden": "true"}), words], className=f"alert-state {state}"
    )


def counts(alert: Alert, view: View) -> str:
    """The observation of an alert as a short text."""
    return measures.words(alert, view.language).counts


def name_of(series: str, view: View, name: str = "") -> str:
    """A series as people read it. name: what the news calls a company whose name is not known here"""
    return plain(i18n.series_label(series, view.language, name), 80)


def _card_details(alert: Alert, view: View) -> tuple[str, str]:
    if alert.measure == "outage":
        return i18n.text("alert.last_article", view.language), i18n.when(alert.window_start, view.tz, view.language)
    return measures.words(alert, view.language).beside, i18n.text("alert.sources", view.language, n=alert.sources)


def ago(moment: datetime, now: datetime, view: View, className: str = "") -> Any:
    """The age of a moment; assets/live.js keeps it up to date in the browser."""
    age, exact = i18n.ago(moment, now, view.language), i18n.clock(moment, view.tz)
    return html.Time(age, dateTime=moment.isoformat(), title=exact, className=f"ago {className}".strip())


def alert_card(alert: Alert, now: datetime, view: View) -> Any:
    """An alert as a card linked to its page."""
    words = i18n.text
    kind = f"kind.{kind_of(alert.series)}"
    return dcc.Link(
        [
            html.Div([severity(alert, view), ago(alert.detected_at, now, view, "muted")], className="row"),
            html.Div(
                [
                    html.Bdi(name_of(alert.series, view), className="series"),
                    html.Span(words(kind, view.language) if kind in LABELS else "", className="muted kind"),
                ],
                className="name",
            ),
            html.Div(counts(alert, view), className="counts"),
            html.Div([html.Span(text) for text in _card_details(alert, view)], className="row muted"),
        ],
        href=href(f"/alert/{alert.id}", view),
        className=f"alert-card {alert.severity}",
    )


def panel(title: str, children: Any, *, note: Any = None, tools: Any = None, className: str = "") -> Any:
    """A panel with a title."""
    head = [html.Div([html.H2(title), html.Div(note, className="muted note") if note is not None else None])]
    if tools is not None:
        head.append(html.Div(tools, className="tools"))
    return html.Section(
        [html.Div(head, className="panel-head"), *(children if isinstance(children, list) else [children])], className=f"panel {className}"
    )


def chart(id_: str, height: int, view: View, *, label: str) -> Any:
    """An empty chart."""
    config: dict[str, Any] = dict(CHART_CONFIG)
    if view.language == "zh":
        config |= {"locale": "zh-CN", "locales": {"zh-CN": CHART_ZH}}
    graph = dcc.Graph(
        id=id_,
        figure=message(i18n.text("loading", view.language), view.theme),
        config=config,
        style={"height": f"{height}px"},
    )
    return html.Div(
        [graph, dcc.Store(id=fresh(id_))], role="figure", className="chart", style={"minHeight": f"{height}px"}, **{"aria-label": label}
    )


def fresh(id_: str) -> str:
    """ID of the dcc.Store for a chart's new figure, which the browser draws with the viewer's zoom."""
    return f"{id_}-fresh"


def keep_zoom(app: dash.Dash, *ids: str) -> None:
    """Register the callbacks that draw new figures of these charts with the viewer's zoom."""
    for id_ in ids:
        app.clientside_callback(
            ClientsideFunction("tocsin", "keepZoom"),
            Output(id_, "figure"),
            Input(fresh(id_), "data"),
            State(id_, "id"),
            prevent_initial_call=True,
        )


def for_role(least: Role, children: Any, view: View) -> Any:
    """Controls that require a role. Others get a note instead; the controls are hidden, as callbacks refer to their ids.

    The server refuses these callbacks for other roles (dashboard.web.permissions).
    """
    if may_use(least):
        return html.Div(children)
    note = html.P(i18n.text(f"needs.{least}", view.language), className="muted small")
    return html.Div([note, html.Div(children, hidden=True)])


def may_use(least: Role) -> bool:
    """Whether the person of the current request has at least this role."""
    person = current_person()
    return allowed(person.role if person else None, least)


def store_problem(view: View) -> Any:
    """The banner of a page whose store does not respond; the page keeps its content."""
    return dmc.Alert(
        i18n.text("store.body", view.language), title=i18n.text("store.title", view.language), color="vermillion", variant="light", mb="md"
    )


def not_found(why: str, view: View) -> Any:
    """The content of a page that does not exist."""
    return html.Div(
        [
            html.Div("∅", className="big", **{"aria-hidden": "true"}),
            html.H1(i18n.text("missing.title", view.language)),
            html.P(i18n.text(why, view.language), className="muted"),
            dcc.Link(i18n.text("missing.back", view.language), href=href("/", view), className="button"),
        ],
        className="not-found",
    )


class Parts:
    """Tracks which parts of a page changed since the browser's last refresh, so that only those are built and sent.

    Args:
        seen: The revisions that the browser has, by part. `kept` holds those that it gets next.
        frame: What every part depends on, such as language and theme.
    """

    def __init__(self, seen: Any, frame: object) -> None:
        self._seen: Mapping[str, Any] = seen if isinstance(seen, Mapping) else {}
        self._frame = str(frame)
        self.kept: dict[str, str] = {}

    def new(self, part: str, revision: object, make: Callable[[], Any]) -> Any:
        """The result of `make`; no_update where the browser already has this revision in this frame (language, theme and so on)."""
        mark = f"{self._frame}|{revision}"
        self.kept[part] = mark
        return no_update if self._seen.get(part) == mark else make()


def error_message(words: str) -> Any:
    """The message of an action that failed."""
    return html.P(["✗ ", words], className="error-box")


def selectable_table(id_: str, rows: str, label: str, *, several: bool = False) -> Any:
    """A table, filled in at the id `rows`, whose rows are selected by a dmc.Radio, or by dmc.Checkbox if `several`."""
    group = dmc.CheckboxGroup if several else dmc.RadioGroup
    return group(html.Div(dmc.Skeleton(height=120, radius="md"), id=rows), id=id_, value=[] if several else "", **{"aria-label": label})


def once(label: str, secret: str, note: str) -> Any:
    """A secret that is shown only once."""
    return html.Div(
        [
            html.P(["✓ ", label], className="sentiment positive"),
            html.Code(secret, className="secret", tabIndex="0"),
            html.P(note, className="muted small"),
        ]
    )


def tile(label: str, value: str, note: str) -> Any:
    """A figure with its label and a note."""
    return html.Div(
        [html.Div(label, className="muted"), html.Div(value, className="value"), html.Div(note, className="muted small")], className="kpi"
    )


def tiles(total: SeriesTotal | None, before: SeriesTotal | None, view: View) -> list[Any]:
    """Stories, negative share and mean tone of a series over a range, compared with the previous period."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    share = total.negative / total.stories if total and total.stories else None
    more = less = words("kpi.nothing_before")
    if total and before and before.stories:
        more = words("kpi.before", change=f"{total.stories / before.stories - 1:+.0%}".replace("-", "−"))
        points = 100 * ((share or 0.0) - before.negative / before.stories)
        less = words("kpi.before", change=f"{points:+.1f} {words('points')}".replace("-", "−"))
    return [
        tile(words("kpi.stories"), f"{total.stories if total else 0:,}", more),
        tile(words("kpi.negative"), "–" if share is None else f"{share:.0%}", less),
        tile(words("kpi.tone"), f"{total.tone:+.2f}".replace("-", "−") if total else "–", words("kpi.tone_scale")),
    ]
