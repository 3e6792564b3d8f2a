"""The addresses that are not pages: health, metrics, and the articles as a file."""

from __future__ import annotations

from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from dashboard.i18n import clock, text
from dashboard.palette import sentiment_of
from dashboard.queries import EXPORT_ROWS, Reads
from dashboard.safe import plain, safe_url, to_csv
from dashboard.view import View, parse
from spine.errors import StoreError
from spine.store import ArticleRow
from spine.taxonomy import topic_name

EXPORT_PATH = "/export/articles.csv"
_COLUMNS = ("time", "source", "language", "title", "topics", "companies", "sentiment", "probability", "url")


def articles_csv(articles: list[ArticleRow], view: View) -> bytes:
    """Articles as a CSV file, safe to open in a spreadsheet."""
    rows = []
    for article in articles:
        sentiment, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
        rows.append(
            (
                clock(article.published_at, view.tz),
                plain(article.source),
                article.language,
                plain(article.title or article.text, 1_000),
                "; ".join(topic_name(key, view.language) for key in article.topics),
                "; ".join(plain(company) for company in article.companies),
                text(f"sentiment.{sentiment}", view.language),
                round(p, 3),
                safe_url(article.url),
            )
        )
    header = [text("column." + name, view.language) for name in _COLUMNS]
    header[0] += f" ({view.zone})"
    return to_csv(header, rows)


def install(server: Flask, reads: Reads) -> None:
    """Add the routes to `server`."""

    @server.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @server.get("/readyz")
    def readyz() -> Response:
        try:
            reads.alerts()
        except StoreError:
            return Response("the store does not answer\n", status=503, mimetype="text/plain")
        return Response("ready\n", mimetype="text/plain")

    @server.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    @server.get(EXPORT_PATH)
    def export() -> Response:
        view = parse(request.args.to_dict())
        body = articles_csv(reads.articles(view.range, EXPORT_ROWS), view)
        name = f"tocsin-articles-{view.range}.csv"
        return Response(body, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'})
