"""The page of watchlists: an editor with a preview on stored articles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dash
from dash import dcc, html

from core.series import watchlist_series
from core.taxonomy import sentiment_of
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages import text_editor
from dashboard.pages.components import article_title, sentiment, series_href
from dashboard.services import WatchlistMatches, WatchlistPreview, WatchlistService
from dashboard.view import View
from storage.store import ArticleRow

PATH = "/watchlists"
EXAMPLE = """[[watchlist]]
name = "property_credit"
title_en = "Property developers' debt"
title_zh = "房企债务"
companies = ["000002.SZ"]
keywords = ["developer | 房企 | 开发商", "+bond | bonds | 债券", "!anniversary | 周年"]
"""
EDITOR = text_editor.Editor("wa", "watchlists", EXAMPLE)


def match(path: str) -> str | None:
    """ "" for the path of this page; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh."""
    return text_editor.layout(EDITOR, view)


def preview_panel(found: WatchlistPreview, view: View) -> Any:
    """The preview: number of articles read, and for each watchlist the matches and the newest of them."""
    hours = f"{max(1, round((found.until - found.since).total_seconds() / 3600)):,}"
    head = i18n.text("watchlists.tried", view.language, read=f"{found.read:,}", hours=hours)
    return html.Div([html.P(head, className="sentence"), *(part for each in found.lists for part in _matched(each, view))])


def _matched(found: WatchlistMatches, view: View) -> list[Any]:
    title = found.title_zh if view.language == "zh" else found.title_en
    matched = i18n.text("watchlists.matched", view.language, articles=f"{found.articles:,}", negative=f"{found.negative:,}")
    link = dcc.Link(html.Bdi(plain(title, 80)), href=series_href(watchlist_series(found.name), view))
    return [
        html.H3([link, html.Span(f" {matched}", className="muted")]),
        html.Ul([_item(*each, view) for each in found.newest], className="articles"),
    ]


def _item(article: ArticleRow, why: str, view: View) -> Any:
    name, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
    head = html.Div(
        [article_title(article.title or article.text, article.id, article.url, view), sentiment(name, p, view)], className="row"
    )
    details = [
        i18n.when(article.published_at, view.tz, view.language),
        " · ",
        html.Bdi(plain(article.source, 60)),
        " · ",
        html.Bdi(plain(why)),
    ]
    return html.Li([head, html.Div(details, className="muted small")])


def register(app: dash.Dash, watchlist_service: WatchlistService | None, actor: Callable[[], str]) -> None:
    """Register the page. watchlist_service: None where this process does not offer it"""

    def preview(text: str, view: View) -> Any:
        return preview_panel(watchlist_service.preview(text), view) if watchlist_service is not None else None

    text_editor.register(app, EDITOR, watchlist_service, preview, actor)
