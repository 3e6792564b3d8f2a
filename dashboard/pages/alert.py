"""The page of one alert: summary, explanation, chart of its series, evidence and deliveries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger, mask
from core.outage_text import format_hours, outage_text
from core.records import LEVELS, Alert, Why
from core.series import company_series
from core.taxonomy import sentiment_of
from core.untrusted_text import plain
from dashboard import i18n, measures
from dashboard.figures import charts
from dashboard.pages import alert_actions
from dashboard.pages.components import (
    Parts,
    ago,
    article_title,
    chart,
    fresh,
    href,
    keep_zoom,
    name_of,
    not_found,
    panel,
    sentiment,
    series_href,
    severity,
    store_problem,
)
from dashboard.reads.queries import AlertView, Reads
from dashboard.view import View, parse
from storage.store import Delivery

PREFIX = "/alert/"
log = get_logger("dashboard.alert")


def match(path: str) -> str | None:
    """The alert ID in a path; None for the path of another page."""
    if not path.startswith(PREFIX):
        return None
    return path.removeprefix(PREFIX).strip("/")[:100]


def layout(view: View, key: str) -> Any:
    """The page before its first refresh."""
    return html.Div(
        [
            dcc.Store(id="al-seen"),
            dcc.Store(id="al-key", data=key),
            html.Div(id="al-problem", role="alert"),
            html.Nav([dcc.Link("← " + i18n.text("home", view.language), href=href("/", view), id="al-back")], className="crumbs"),
            html.Div(dmc.Skeleton(height=220, radius="md"), id="al-summary"),
            alert_actions.layout(view),
            alert_actions.ratings_panel(view),
            html.Div(
                panel(
                    i18n.text("alert.chart", view.language),
                    chart("al-chart", 320, view, label=i18n.text("alert.chart", view.language)),
                    note=i18n.text("alert.chart_help", view.language),
                ),
                id="al-chart-panel",
            ),
            html.Div(id="al-evidence"),
            html.Div(id="al-deliveries"),
        ]
    )


def summary(alert: Alert, now: datetime, view: View) -> Any:
    """The observation and the expectation or threshold, as a sentence and as figures."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    end = alert.window_start + timedelta(seconds=alert.window_s)
    span = words("alert.window_of", start=i18n.when(alert.window_start, view.tz, view.language), end=f"{end.astimezone(view.tz):%H:%M}")
    width = i18n.width(alert.window_s, view.language)
    sentence, figures_ = _seen(alert, view)
    facts = [
        (words("alert.window"), f"{span} ({width})"),
        (words("alert.detected"), i18n.when(alert.detected_at, view.tz, view.language)),
        *([] if alert.measure == "outage" else [(words("column.source"), words("alert.sources", n=alert.sources))]),
        (words("alert.rule"), plain(alert.rule, 80)),
        *([(words("alert.counted"), words("alert.counted_from", p=f"{alert.min_materiality:.0%}"))] if alert.min_materiality else []),
        (words("alert.id"), alert.id),
    ]
    return html.Section(
        [
            html.Div(
                [severity(alert, view), ago(alert.detected_at, now, view, "muted")],
                className="row start",
            ),
            html.H1(dcc.Link(html.Bdi(name_of(alert.series, view)), href=series_href(alert.series, view), className="series")),
            html.P(sentence, className="sentence"),
            html.Div(
                [
                    html.Div([html.Div(label, className="muted"), html.Div(value, className=f"value {kind}")], className="kpi")
                    for label, value, kind in figures_
                ],
                className="kpis inner",
            ),
            explanation_list(alert, view),
            html.Dl([html.Div([html.Dt(label), html.Dd(html.Bdi(value))]) for label, value in facts], className="facts"),
        ],
        className=f"panel alert-summary {alert.severity}",
    )


def _seen(alert: Alert, view: View) -> tuple[str, list[tuple[str, str, str]]]:
    """The sentence about an alert, and (label, value, CSS class) of its figures."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    name = name_of(alert.series, view)
    if alert.measure == "outage":
        return words("alert.silence", name=name, words=outage_text(alert, view.language)), [
            (words("alert.silent_for"), format_hours(alert.value, view.language), "negative"),
            (words("alert.limit"), format_hours(alert.limit, view.language), ""),
            (words("alert.last_article"), i18n.when(alert.window_start, view.tz, view.language), "words"),
        ]
    width, expected = i18n.width(alert.window_s, view.language), i18n.decimal(alert.expected)
    if alert.measure in LEVELS:
        counts, limit = measures.words(alert, view.language)
        return words("alert.sentence.level", name=name, counts=counts, width=width, limit=limit), [
            (words("alert.measured"), measures.figure(alert, alert.value), "negative"),
            (words("alert.limit"), limit, "words"),
            (words("alert.negative"), str(alert.observed), ""),
            (words("alert.total"), str(alert.total), ""),
        ]
    odds = i18n.odds(alert.surprise, view.language)
    return words("alert.sentence", name=name, observed=alert.observed, width=width, expected=expected, odds=odds), [
        (words("observed"), str(alert.observed), "negative"),
        (words("expected"), expected, ""),
        (words("alert.surprise"), odds, "words"),
        (words("alert.total"), str(alert.total), ""),
    ]


def shown_until(found: AlertView, now: datetime) -> datetime:
    """End of the chart: the window that contains `now`, but at least the alert's window and at most the last counted one."""
    width = timedelta(seconds=found.alert.window_s)
    windows = max(1, (now - found.alert.window_start) // width + 1)
    return min(found.until, found.alert.window_start + windows * width)


def _item(title: str, article_id: str, url: str, source: str, moment: datetime, mark: Any, view: View) -> Any:
    note = html.Div([html.Bdi(plain(source, 80)), " · ", i18n.when(moment, view.tz, view.language)], className="muted small")
    return html.Li([html.Div([article_title(title, article_id, url, view), html.Span(mark)], className="row"), note])


def evidence(found: AlertView, view: View) -> list[Any]:
    """The evidence of the alert, then the other articles of its window."""
    alert = found.alert
    named = {item.id for item in alert.evidence}
    of_window = {article.id: sentiment_of(article.p_negative, article.p_neutral, article.p_positive) for article in found.articles}
    first = []
    for item in alert.evidence:
        telling = ("negative", item.p_negative)  # towards the series; rules with limits may evaluate articles that are not negative
        mark = sentiment(*(telling if item.p_negative >= 0.5 else of_window.get(item.id, telling)), view)
        marks = [decisive_mark(view), mark] if is_decisive(alert, item.id) else mark
        first.append(_item(item.title, item.id, item.url, item.source, item.published_at, marks, view))
    others = []
    for article in found.articles:
        if article.id not in named:
            name, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
            title = article.title or article.text
            others.append(_item(title, article.id, article.url, article.source, article.published_at, sentiment(name, p, view), view))
    body = html.Ul(first, className="articles") if first else html.P(i18n.text("alert.no_evidence", view.language), className="muted")
    note = "alert.evidence_help.level" if alert.measure in LEVELS else "alert.evidence_help"
    shown = panel(i18n.text("alert.evidence", view.language), body, note=i18n.text(note, view.language))
    parts = [] if alert.measure == "outage" else [shown]
    if others:
        parts.append(panel(i18n.text("alert.more_articles", view.language), html.Ul(others, className="articles")))
    return parts


def result(delivery: Delivery, view: View) -> Any:
    """The result of a delivery attempt."""
    if delivery.delivered:
        return html.Span(i18n.text("delivery.delivered", view.language, status=delivery.status), className="sentiment positive")
    status = delivery.status or i18n.text("delivery.no_answer", view.language)
    words = i18n.text("delivery.failed", view.language, status=status, error=plain(mask(delivery.error), 160))
    return html.Span(words, className="sentiment negative")


def deliveries(attempts: list[Delivery], view: View) -> Any:
    """The table of delivery attempts."""
    title = i18n.text("alert.deliveries", view.language)
    if not attempts:
        return panel(title, html.P(i18n.text("alert.no_deliveries", view.language), className="muted"))
    names = ("endpoint", "attempt", "sent", "result")
    head = html.Tr([html.Th(i18n.text(f"delivery.{name}", view.language)) for name in names])
    rows = [
        html.Tr(
            [
                html.Td(html.Bdi(plain(mask(item.endpoint), 120))),
                html.Td(item.attempt),
                html.Td(i18n.when(item.sent_at, view.tz, view.language)),
                html.Td(result(item, view)),
            ]
        )
        for item in attempts
    ]
    return panel(title, html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="table"), className="scroll"))


def register(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the page."""
    outputs = [
        Output("al-problem", "children"),
        Output("al-summary", "children"),
        Output(fresh("al-chart"), "data"),
        Output("al-chart-panel", "hidden"),
        Output("al-evidence", "children"),
        Output("al-deliveries", "children"),
        Output("al-seen", "data"),
    ]

    @app.callback(
        outputs,
        Input("tick", "n_intervals"),
        Input("view", "data"),
        Input("theme", "data"),
        State("al-key", "data"),
        State("al-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, key: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found = reads.alert(key) if isinstance(key, str) and key else None
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(outputs) - 1)]
        parts = Parts(seen, view)
        if found is None:
            gone = parts.new("summary", "missing", lambda: not_found("missing.alert", view))
            return [None, gone, no_update, True, None, None, parts.kept]
        now = reads.now()
        minute = int(now.timestamp()) // 60
        bounds = (found.since, shown_until(found, now))
        return [
            None,
            parts.new("summary", found.alert.id, lambda: summary(found.alert, now, view)),
            parts.new("chart", (found.revision, minute), lambda: charts.around(found.counts, found.alert, bounds, view)),
            False,
            parts.new("evidence", found.revision, lambda: evidence(found, view)),
            parts.new("deliveries", found.revision, lambda: deliveries(found.deliveries, view)),
            parts.kept,
        ]

    keep_zoom(app, "al-chart")


def explanation_list(alert: Alert, view: View) -> Any:
    """The explanation as a list; None where there is none."""
    why = alert.why
    if why is None or not why.stories:
        return None

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    rows: list[tuple[str, Any]] = []
    if why.decisive_count:
        of = f"{why.stories}{'+' if why.more else ''}"
        rows.append((words("explanation.decisive"), words("explanation.decisive_of", n=why.decisive_count, stories=of)))
    if why.first_at is not None:
        first = [html.Bdi(plain(why.first_source, 80)), " · ", i18n.when(why.first_at, view.tz, view.language)]
        rows.append((words("explanation.first"), first))
    if why.words:
        rows.append((words("explanation.words") + _read(why, view), _chips([(each.word, each.stories, "") for each in why.words], view)))
    if why.companies:
        named = [
            (name_of(company_series(each.company), view), each.stories, f"/series/company/{quote(each.company, safe='')}")
            for each in why.companies
        ]
        rows.append((words("explanation.companies") + _read(why, view), _chips(named, view)))
    if not rows:
        return None
    return html.Dl([html.Div([html.Dt(label), html.Dd(value)]) for label, value in rows], className="facts explanation")


def is_decisive(alert: Alert, article: str) -> bool:
    """Whether `article` is one of the decisive articles of the alert."""
    return alert.why is not None and article in alert.why.decisive_article_ids


def decisive_mark(view: View) -> Any:
    """The badge of a decisive article."""
    return html.Span(
        "★ " + i18n.text("explanation.needed", view.language),
        className="decisive",
        title=i18n.text("explanation.needed_help", view.language),
    )


def _read(why: Why, view: View) -> str:
    return "" if why.read >= why.stories else " " + i18n.text("explanation.read", view.language, n=why.read)


def _chips(items: list[tuple[str, int, str]], view: View) -> Any:
    """A row of chips from (text, number of stories, path or "")."""
    made = []
    for word, stories, path in items:
        inside = [html.Bdi(plain(word, 60)), html.Span(f" {stories}", className="muted")]
        look = {"className": "chip", "title": i18n.text("explanation.stories", view.language, n=stories)}
        made.append(dcc.Link(inside, href=href(path, view), **look) if path else html.Span(inside, **look))
    return html.Div(made, className="chips")
