"""The article grid of the overview and the search."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag

from core.series import company_series
from core.taxonomy import sentiment_of, topic_name
from core.untrusted_text import plain, safe_url
from dashboard import i18n
from dashboard.pages.components import article_href, found_href, materiality_text, name_of, sentiment_text
from dashboard.translations.libraries import GRID_ZH
from dashboard.view import View
from dashboard.web.routes import EXPORT_PATH
from storage.store import ArticleRow

GRID_THEME = {
    "function": "themeQuartz.withParams({backgroundColor: 'var(--surface)', foregroundColor: 'var(--text)',"
    " headerBackgroundColor: 'var(--surface)', headerTextColor: 'var(--muted)', borderColor: 'var(--line)',"
    " rowHoverColor: 'var(--hover)', oddRowBackgroundColor: 'var(--surface)', chromeBackgroundColor: 'var(--surface)',"
    " browserColorScheme: 'inherit', wrapperBorder: false, fontFamily: 'inherit', headerFontWeight: 600, fontSize: 13, spacing: 6})"
}


def export_href(view: View) -> str:
    """The URL of the CSV export of the view's articles."""
    return f"{found_href(EXPORT_PATH, view)}&zone={view.zone}"


def grid(id_: str, view: View, *, height: int = 520) -> Any:
    """An empty article grid."""

    def column(key: str, **options: Any) -> dict[str, Any]:
        return {"field": key, "headerName": i18n.text(f"column.{key}", view.language), **options}

    columns = [
        column("time", width=152, filter=False),
        column("title", flex=1, minWidth=240, cellRenderer="ArticleTitle"),  # second, as a phone shows the first two columns
        column("source", width=150),
        column("language", width=100),
        column("topics", width=200),
        column("companies", width=200),
        column("sentiment", width=150, cellRenderer="Sentiment"),
        column(
            "materiality",
            width=190,
            cellRenderer="Materiality",
            filter="agNumberColumnFilter",
            headerTooltip=i18n.text("materiality.help", view.language),
        ),
    ]
    return dag.AgGrid(
        id=id_,
        columnDefs=columns,
        defaultColDef={"sortable": True, "filter": True, "resizable": True, "suppressHeaderMenuButton": False},
        rowData=[],
        getRowId="params.data.id",
        dashGridOptions={
            "theme": GRID_THEME,
            "localeText": GRID_ZH if view.language == "zh" else {"noRowsToShow": i18n.text("articles.none", "en")},
            "animateRows": False,
            "enableCellTextSelection": True,
            "suppressCellFocus": False,
        },
        style={"height": f"{height}px"},
        className="grid",
    )


def row(article: ArticleRow, view: View) -> dict[str, Any]:
    """One article as a grid row: plain text, and a URL only where it is safe. materiality: as a number, which is sorted"""
    sentiment, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
    undated = "" if article.has_time else f" ({i18n.text('article.undated', view.language)})"
    return {
        "id": article.id,
        "time": i18n.clock(article.published_at, view.tz) + undated,
        "source": plain(article.source, 60),
        "language": article.language,
        "title": plain(article.title or article.text, 200),
        "url": safe_url(article.url),
        "page": article_href(article.id, view),
        "open": i18n.text("article.open", view.language),
        "topics": i18n.joined((topic_name(key, view.language) for key in article.topics), view.language),
        "companies": i18n.joined((name_of(company_series(company), view) for company in article.companies), view.language),
        "sentiment": sentiment,
        "sentiment_text": sentiment_text(sentiment, p, view),
        "materiality": round(article.materiality.p_relevant, 4) if article.materiality else None,
        "materiality_text": materiality_text(article.materiality, view),
        "level": article.materiality.level if article.materiality else 0,
    }
