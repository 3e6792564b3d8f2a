"""The team's watchlists: the text in force, tried on the stored articles before it is saved, and saved for every worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from dashboard import i18n
from dashboard.desks.ruling import InForce
from dashboard.desks.watching import Matched, Tried, Watching
from dashboard.drawing.palette import sentiment_of
from dashboard.pages.parts import for_role, may_use, panel, sentiment, series_href, titled
from dashboard.safe import plain
from dashboard.view import View, parse
from spine.errors import SettingsError, StoreError
from spine.log import get_logger
from spine.series import watchlist_series
from spine.store import ArticleRow

PATH = "/watchlists"
EXAMPLE = """[[watchlist]]
name = "property_credit"
title_en = "Property developers' debt"
title_zh = "房企债务"
companies = ["000002.SZ"]
keywords = ["developer | 房企 | 开发商", "+bond | bonds | 债券", "!anniversary | 周年"]
"""
log = get_logger("dashboard.watchlists")


def match(path: str) -> str | None:
    """The watchlists have one address."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first answer."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    field = dmc.Textarea(
        id="wa-text",
        autosize=True,
        minRows=12,
        maxRows=40,
        placeholder=EXAMPLE,
        className="code",
        readOnly=not may_use("analyst"),
        **{"aria-label": words("watchlists.text")},
    )
    buttons = [
        dmc.Button(words("watchlists.try"), id="wa-try", variant="filled", size="xs", n_clicks=0),
        dmc.Button(words("watchlists.save"), id="wa-save", variant="default", size="xs", n_clicks=0),
    ]
    return html.Div(
        [
            dcc.Store(id="wa-base"),
            html.Div(html.H1(words("watchlists")), className="page-head"),
            panel(
                words("watchlists.text"),
                [
                    html.P(id="wa-who", className="muted"),
                    field,
                    for_role("analyst", html.Div(buttons, className="actions after"), view),
                    dcc.Loading(html.Div(id="wa-said", role="status"), delay_show=300),
                    html.Div(id="wa-kept", role="status"),
                ],
                note=words("watchlists.help"),
            ),
        ]
    )


def written(found: InForce, view: View) -> str:
    """Who wrote what is in force, and when."""
    if found.at is None:
        return i18n.text("watchlists.of_settings" if found.text else "watchlists.none", view.language)
    return i18n.text("rules.by", view.language, who=plain(found.who, 60), at=i18n.when(found.at, view.tz, view.language))


def tried(found: Tried, view: View) -> Any:
    """What would have been matched: of how many articles, and by each list how many and the newest."""
    hours = f"{max(1, round((found.until - found.since).total_seconds() / 3600)):,}"
    head = i18n.text("watchlists.tried", view.language, read=f"{found.read:,}", hours=hours)
    return html.Div([html.P(head, className="sentence"), *(part for each in found.lists for part in _matched(each, view))])


def _matched(found: Matched, view: View) -> list[Any]:
    title = found.title_zh if view.language == "zh" else found.title_en
    said = i18n.text("watchlists.matched", view.language, articles=f"{found.articles:,}", negative=f"{found.negative:,}")
    link = dcc.Link(html.Bdi(plain(title, 80)), href=series_href(watchlist_series(found.name), view))
    return [
        html.H3([link, html.Span(f" {said}", className="muted")]),
        html.Ul([_item(*each, view) for each in found.newest], className="articles"),
    ]


def _item(article: ArticleRow, why: str, view: View) -> Any:
    name, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
    head = html.Div([titled(article.title or article.text, article.id, article.url, view), sentiment(name, p, view)], className="row")
    told = [
        i18n.when(article.published_at, view.tz, view.language),
        " · ",
        html.Bdi(plain(article.source, 60)),
        " · ",
        html.Bdi(plain(why)),
    ]
    return html.Li([head, html.Div(told, className="muted small")])


def _wrong(error: Exception) -> Any:
    return html.Ul([html.Li(f"✗ {line}") for line in str(error).splitlines()], className="mistakes sentiment negative")


def register(app: dash.Dash, watching: Watching | None, who: Callable[[], str]) -> None:
    """What the page shows first, and what its buttons do. watching: None where watchlists are not to be had from here."""

    @app.callback(
        Output("wa-text", "value"),
        Output("wa-base", "data"),
        Output("wa-who", "children"),
        Input("wa-text", "id"),
        State("view", "data"),
        State("theme", "data"),
    )  # type: ignore[untyped-decorator]
    def load(_id: Any, data: Any, theme: Any) -> tuple[Any, Any, Any]:
        view = parse(data, theme)
        if watching is None:
            return "", "", i18n.text("watchlists.away", view.language)
        try:
            found = watching.in_force()
        except StoreError:
            return no_update, no_update, i18n.text("store.title", view.language)
        return found.text, found.id, written(found, view)

    @app.callback(
        Output("wa-said", "children"),
        Input("wa-try", "n_clicks"),
        State("wa-text", "value"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def attempt(clicks: Any, text: Any, data: Any, theme: Any) -> Any:
        view = parse(data, theme)
        if not clicks or watching is None:
            return no_update
        try:
            return tried(watching.attempt(str(text or "")), view)
        except SettingsError as error:
            return _wrong(error)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return i18n.text("store.title", view.language)

    @app.callback(
        Output("wa-kept", "children"),
        Output("wa-base", "data", allow_duplicate=True),
        Output("wa-who", "children", allow_duplicate=True),
        Input("wa-save", "n_clicks"),
        State("wa-text", "value"),
        State("wa-base", "data"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def save(clicks: Any, text: Any, base: Any, data: Any, theme: Any) -> tuple[Any, Any, Any]:
        view = parse(data, theme)
        if not clicks or watching is None:
            return no_update, no_update, no_update
        try:
            kept = watching.save(str(text or ""), str(base or ""), who())
        except SettingsError as error:
            return _wrong(error), no_update, no_update
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return i18n.text("store.title", view.language), no_update, no_update
        return html.P(["✓ ", i18n.text("watchlists.kept", view.language)], className="sentiment positive"), kept.id, written(kept, view)
