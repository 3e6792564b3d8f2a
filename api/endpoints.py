"""The table of endpoints. The routes, the OpenAPI document and the tests of scopes are made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from api import reads, requests, types, writes
from domain.tokens import Scope

ROOT = "/api/v1"
MAX_BODY_BYTES, MAX_ARTICLES_BODY_BYTES = 1_000_000, 5_000_000


class Endpoint(NamedTuple):
    """One endpoint.

    Attributes:
        path: below ROOT, with {placeholders}; a {series} may contain slashes
        handler: called with a context.RequestContext; returns the response
        response: type of the response; of one server-sent event if `streams`
        body: type of the body, None without one
        decoded_body: what the body is decoded as, if that is not the documented type
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: Scope
    summary: str
    handler: Callable[[Any], Any]
    response: type[msgspec.Struct]
    query: type[requests.RequestModel] = requests.NoQuery
    body: type[requests.RequestModel] | None = None
    decoded_body: type[requests.RequestModel] | None = None
    status: int = 200
    max_bytes: int = MAX_BODY_BYTES
    streams: bool = False


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/articles",
        "read",
        "List articles and their scores, newest first",
        reads.list_articles,
        types.Articles,
        requests.ArticlesQuery,
    ),
    Endpoint(
        "POST",
        "/articles",
        "ingest",
        "Push articles to be processed like crawled ones",
        writes.push_articles,
        types.PushResults,
        body=requests.ArticlesIn,
        decoded_body=requests.UncheckedArticlesIn,
        status=202,
        max_bytes=MAX_ARTICLES_BODY_BYTES,
    ),
    Endpoint("GET", "/articles/{id}", "read", "Get an article with its score", reads.get_article, types.ArticleOut, requests.AsOfQuery),
    Endpoint("GET", "/series", "read", "List series with their totals, by name", reads.list_series, types.SeriesPage, requests.SeriesQuery),
    Endpoint(
        "GET",
        "/series/{series}",
        "read",
        "Get the sentiment of a series over time",
        reads.get_series_history,
        types.SeriesHistory,
        requests.SeriesHistoryQuery,
    ),
    Endpoint("GET", "/alerts", "read", "List alerts with their state, newest first", reads.list_alerts, types.Alerts, requests.AlertsQuery),
    Endpoint(
        "GET", "/alerts/{id}", "read", "Get an alert with its events and deliveries", reads.get_alert, types.AlertDetail, requests.AsOfQuery
    ),
    Endpoint(
        "POST",
        "/alerts/{id}/events",
        "alerts",
        "Acknowledge, assign, comment, resolve or reopen an alert",
        writes.add_alert_event,
        types.AlertOut,
        body=requests.EventIn,
        status=201,
    ),
    Endpoint("GET", "/silences", "read", "List silences, newest first", reads.list_silences, types.Silences, requests.SilencesQuery),
    Endpoint(
        "POST",
        "/silences",
        "alerts",
        "Add a silence",
        writes.add_silence,
        types.SilenceOut,
        body=requests.SilenceIn,
        status=201,
    ),
    Endpoint("DELETE", "/silences/{id}", "alerts", "Expire a silence", writes.expire_silence, types.SilenceOut),
    Endpoint("GET", "/rules", "read", "List the active alert rules", reads.list_rules, types.Rules),
    Endpoint("GET", "/watchlists", "read", "List the active watchlists", reads.list_watchlists, types.Watchlists),
    Endpoint("GET", "/feedback", "read", "List the labels of users, newest first", reads.list_labels, types.Labels, requests.LabelsQuery),
    Endpoint(
        "POST",
        "/feedback",
        "feedback",
        "Store the correct labels of articles, either all or none",
        writes.add_labels,
        types.LabelsStored,
        body=requests.LabelsIn,
        status=201,
    ),
    Endpoint(
        "POST",
        "/classify",
        "classify",
        "Classify sentiment, topics and companies of texts",
        writes.classify_texts,
        types.Classified,
        body=requests.TextsIn,
    ),
    Endpoint(
        "GET",
        "/stream",
        "read",
        "Stream scores and alerts as they are stored (server-sent events)",
        reads.stream_events,
        types.ScoreEvent,
        requests.StreamQuery,
        streams=True,
    ),
    Endpoint("GET", "/tokens", "admin", "List tokens without their secrets", reads.list_tokens, types.Tokens),
    Endpoint(
        "POST",
        "/tokens",
        "admin",
        "Create a token; its secret is shown once",
        writes.create_token,
        types.NewTokenOut,
        body=requests.TokenIn,
        status=201,
    ),
    Endpoint("DELETE", "/tokens/{id}", "admin", "Revoke a token", writes.revoke_token, types.TokenOut),
)
