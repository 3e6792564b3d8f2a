"""The table of endpoints: from it come the routes, the OpenAPI document, and the tests that nobody gets in without the scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from api import actions, classify, reads, requests, sse, types
from domain.tokens import Scope

ROOT = "/api/v1"
SMALL, LARGE = 1_000_000, 5_000_000
"""Bytes of a body at most."""


class Endpoint(NamedTuple):
    """One endpoint.

    path: below ROOT, with {places}; a {series} may hold slashes
    handler: a calls.Call to the answer
    query, body: what is asked, None: no body; read: what the body is read as, where that is not what is documented
    answer: what comes back, as JSON (as server-sent events where `streams`)
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: Scope
    summary: str
    handler: Callable[[Any], Any]
    answer: type[msgspec.Struct]
    query: type[requests.Asked] = requests.NoQuery
    body: type[requests.Asked] | None = None
    read: type[requests.Asked] | None = None
    status: int = 200
    max_bytes: int = SMALL
    streams: bool = False


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET", "/articles", "read", "Articles with their scores, the newest first", reads.articles, types.Articles, requests.ArticlesQuery
    ),
    Endpoint(
        "POST",
        "/articles",
        "ingest",
        "Push articles as if they had been crawled",
        classify.push,
        types.PushedAll,
        body=requests.ArticlesIn,
        read=classify.LooseArticles,
        status=202,
        max_bytes=LARGE,
    ),
    Endpoint("GET", "/articles/{id}", "read", "One article with its score", reads.article, types.ArticleOut, requests.AsOfQuery),
    Endpoint("GET", "/series", "read", "Series with their totals, by name", reads.series, types.SeriesPage, requests.SeriesQuery),
    Endpoint("GET", "/series/{series}", "read", "The mood of a series over time", reads.mood, types.Mood, requests.MoodQuery),
    Endpoint(
        "GET", "/alerts", "read", "Alerts with what became of them, the newest first", reads.alerts, types.Alerts, requests.AlertsQuery
    ),
    Endpoint("GET", "/alerts/{id}", "read", "All that is known of one alert", reads.alert, types.AlertStory, requests.AsOfQuery),
    Endpoint(
        "POST",
        "/alerts/{id}/events",
        "alerts",
        "Acknowledge, assign, note, resolve or reopen an alert",
        actions.act,
        types.AlertOut,
        body=requests.EventIn,
        status=201,
    ),
    Endpoint("GET", "/silences", "read", "Who silenced what, the newest first", reads.silences, types.Silences, requests.SilencesQuery),
    Endpoint(
        "POST",
        "/silences",
        "alerts",
        "Silence what is known for a while",
        actions.hush,
        types.SilenceOut,
        body=requests.SilenceIn,
        status=201,
    ),
    Endpoint("DELETE", "/silences/{id}", "alerts", "End a silence before its time", actions.unhush, types.SilenceOut),
    Endpoint("GET", "/rules", "read", "The rules in force", reads.rules, types.Rules),
    Endpoint("GET", "/watchlists", "read", "The watchlists in force", reads.watchlists, types.Watchlists),
    Endpoint("GET", "/feedback", "read", "People's labels, the newest first", reads.labels, types.Labels, requests.LabelsQuery),
    Endpoint(
        "POST",
        "/feedback",
        "feedback",
        "Say what articles should have been called; all labels are kept, or none",
        actions.label,
        types.Labelled,
        body=requests.LabelsIn,
        status=201,
    ),
    Endpoint(
        "POST",
        "/classify",
        "classify",
        "Sentiment, topics and companies of texts",
        classify.classify,
        types.Classified,
        body=requests.TextsIn,
    ),
    Endpoint(
        "GET",
        "/stream",
        "read",
        "Scores and alerts as they come (server-sent events)",
        sse.listen,
        types.ScoreEvent,
        requests.StreamQuery,
        streams=True,
    ),
    Endpoint("GET", "/tokens", "admin", "All tokens, without their secrets", actions.tokens, types.Tokens),
    Endpoint(
        "POST",
        "/tokens",
        "admin",
        "Make a token; its secret is shown once",
        actions.grant,
        types.NewTokenOut,
        body=requests.TokenIn,
        status=201,
    ),
    Endpoint("DELETE", "/tokens/{id}", "admin", "Revoke a token", actions.revoke, types.TokenOut),
)
