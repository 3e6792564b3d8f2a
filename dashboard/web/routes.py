"""Routes that are not pages: health checks, metrics, and CSV exports."""

from __future__ import annotations

from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from core.errors import StoreError
from core.series import is_series
from core.taxonomy import sentiment_of, topic_name
from core.untrusted_text import plain, safe_url, to_csv
from dashboard.i18n import clock, text
from dashboard.reads.admin import AUDIT_PATH, EXPORTED, asked, audit_csv, entries
from dashboard.reads.details import SeriesView, negatives
from dashboard.reads.queries import EXPORT_ROWS, Reads
from dashboard.time_ranges import starts
from dashboard.view import ANYTHING, View, parse
from storage.store import ArticleRow

EXPORT_PATH = "/export/articles.csv"
SERIES_EXPORT_PATH = "/export/series.csv"
_COLUMNS = ("time", "source", "language", "title", "topics", "companies", "sentiment", "probability", "materiality", "p_relevant", "url")


def articles_csv(articles: list[ArticleRow], view: View) -> bytes:
    """Articles as a CSV file, safe to open in a spreadsheet."""
    rows = []
    for article in articles:
        sentiment, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
        materiality = article.materiality
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
                text(f"materiality.level{materiality.level}" if materiality else "materiality.none", view.language),
                round(materiality.p_relevant, 3) if materiality else "",
                safe_url(article.url),
            )
        )
    header = [text("column." + name, view.language) for name in _COLUMNS]
    header[0] += f" ({view.zone})"
    return to_csv(header, rows)


def series_csv(found: SeriesView, view: View) -> bytes:
    """The windows of a series as a CSV file: counts, the usual range, and the number of alerts whose window starts in each."""
    points = {point.start: point for point in found.points}
    rows = []
    for number, (start, negative) in enumerate(zip(starts(found.since, found.until, found.width_s), negatives(found), strict=True)):
        point = points.get(start)
        band = [round(value, 3) for value in found.usual[number]] if found.usual else [""] * 3
        alerts = sum(1 for alert in found.alerts if 0 <= (alert.window_start - start).total_seconds() < found.width_s)
        rows.append((clock(start, view.tz), point.stories if point else 0, negative, round(point.tone, 3) if point else "", *band, alerts))
    names = ("window", "stories", "negative", "tone", "baseline_low", "baseline", "baseline_high", "alerts")
    header = [text("column." + name, view.language) for name in names]
    header[0] += f" ({view.zone})"
    return to_csv(header, rows)


def _csv_response(body: bytes, name: str) -> Response:
    return Response(body, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'})


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
        given = request.args.to_dict()
        view = parse({**given, "find": given})
        everything = view.find == ANYTHING
        articles = reads.articles(view.range, EXPORT_ROWS) if everything else reads.found(view.range, view.find)
        return _csv_response(articles_csv(articles, view), f"tocsin-articles-{view.range}.csv")

    @server.get(AUDIT_PATH)
    def export_audit() -> Response:
        given = request.args
        found = entries(reads, asked(given.get("who"), given.get("what"), given.get("span")), EXPORTED)
        return _csv_response(audit_csv(found, parse(given.to_dict())), "tocsin-audit.csv")

    @server.get(SERIES_EXPORT_PATH)
    def export_series() -> Response:
        view, series = parse(request.args.to_dict()), request.args.get("series", "")
        if not is_series(series):
            return Response("series: expected KIND:KEY\n", status=400, mimetype="text/plain")
        name = "".join(char if char.isascii() and char.isalnum() else "-" for char in series)
        return _csv_response(series_csv(reads.series(series, view.range), view), f"tocsin-{name}-{view.range}.csv")
