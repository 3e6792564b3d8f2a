"""A test client of the API over a real store. Every response is validated against the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import msgspec
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api import openapi
from api.context import Backends
from api.endpoints import ENDPOINTS, ROOT, Endpoint
from api.requests import ArticleIn
from api.routes import Api
from api.types import Classified, ClassifiedOut, PushResult, RuleOut, Sentiment, WatchlistOut
from core.records import Alert, sha
from dashboard.app import create_app
from dashboard.web.server import API
from domain.alert_lifecycle import inhibitions
from domain.tokens import SCOPES, new_token
from storage.store import Store
from tests.helpers.stores import NOON, alert, scored

DOCUMENT = openapi.document(ENDPOINTS)
_REGISTRY: Registry[Any] = Registry().with_resource("urn:api", Resource.from_contents(DOCUMENT, default_specification=DRAFT202012))
TABLES = (
    "articles", "article_keys", "lsh_bands", "story_leads", "article_links", "article_revisions", "mentions", "dirty_hours", "alerts",
    "deliveries", "alert_events", "alert_last_breach", "suppressed_deliveries", "silences", "silence_ends", "labels", "api_tokens",
    "api_token_ends", "api_token_uses",
)  # fmt: skip

VALID_BODIES: dict[str, Any] = {
    "/articles": {"articles": [{"source": "wire", "title": "某公司债券违约"}]},
    "/alerts/{id}/events": {"kind": "acknowledged"},
    "/silences": {"series": ["topic:*"], "ends_at": "2099-01-01T00:00:00Z", "comment": "维护"},
    "/feedback": {"labels": [{"id": sha("a"), "task": "sentiment", "labels": ["negative"]}]},
    "/classify": {"texts": ["某地产公司债券违约，股票停牌", "Acme beats"]},
    "/tokens": {"name": "夜班", "scopes": ["admin"]},
}
"""A valid body of each endpoint that takes one, by path."""


def validate(schema: dict[str, Any], value: Any) -> None:
    """Raises jsonschema.ValidationError."""
    absolute = {"$ref": "urn:api" + schema["$ref"]} if "$ref" in schema else schema
    jsonschema.Draft202012Validator(absolute, registry=_REGISTRY).validate(value)


class ApiHarness:
    """The API over a store, a Flask test client, and a token of every scope.

    Attributes:
        pushed: articles that were pushed; push_tokens: the names of the tokens of these requests
        now: the time of the server, None for the wall clock
        secrets: secret of a token by its scope
    """

    def __init__(self, store: Store, *, truncate: bool = True, **backends: Any) -> None:
        """
        Args:
            truncate: empty the tables first
            backends: fields of api.context.Backends to replace
        """
        for table in TABLES if truncate else ():
            store.client.command(f"TRUNCATE TABLE {table}")
        self.store = store
        self.pushed: list[ArticleIn] = []
        self.push_tokens: list[str] = []
        self.now: datetime | None = None
        defaults: dict[str, Any] = {
            "classify": _classify,
            "push": self._push,
            "rules": lambda: [RuleOut(name="negative-spike", parameters={"min_stories": 3})],
            "watchlists": lambda: [_WATCHLIST],
            "inhibit": inhibitions("market > *"),
            "per_minute": 100_000,
        }
        self.app = create_app(store, now=self.clock, backends=Backends(**{**defaults, **backends}))
        self.service: Api = self.app.server.extensions[API]
        self.client = self.app.server.test_client()
        self.secrets = {scope: self.create_token(scope) for scope in SCOPES}

    def clock(self) -> datetime:
        return self.now or datetime.now(UTC)

    def close(self) -> None:
        self.service.close()

    def forget_tokens(self) -> None:
        """Expire the cache of tokens, which the API does by itself within seconds."""
        self.service.authenticator._cache._entries.clear()

    def create_token(self, *scopes: str, name: str = "", days: float = 0) -> str:
        """The secret of a new token."""
        now = self.clock()
        expires_at = now + timedelta(days=days) if days else None
        secret, token = new_token(name or f"研究组 {scopes[0]}", scopes, author="Li", now=now, expires_at=expires_at)
        self.store.tokens.add([token])
        return secret

    def request(self, method: str, path: str, body: Any = None, *, secret: str | None = None, **query: Any) -> Any:
        """The response of the test client, validated against the document. The token has the scope of the endpoint by default."""
        endpoint = endpoint_of(method, path)
        if secret is None and endpoint is not None:
            secret = self.secrets[endpoint.scope]
        raw = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        response = self.client.open(
            ROOT + path,
            method=method,
            data=raw,
            content_type=None if raw is None else "application/json",
            headers={"Authorization": f"Bearer {secret}"} if secret else {},
            query_string={name: _query_value(value) for name, value in query.items()},
        )
        assert_documented(response, endpoint)
        return response

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a successful GET."""
        response = self.request("GET", path, **query)
        assert response.status_code == 200, response.text
        return response.json

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a successful POST."""
        response = self.request("POST", path, body)
        assert response.status_code in (200, 201, 202), response.text
        return response.json

    def _push(self, articles: Sequence[ArticleIn], now: datetime, token: str) -> list[PushResult]:
        self.pushed += articles
        self.push_tokens.append(token)
        assert now.tzinfo is not None
        return [PushResult(index=index, accepted=True, id=f"{index:032d}") for index, _ in enumerate(articles)]


def endpoint_of(method: str, path: str) -> Endpoint | None:
    """The endpoint that a path belongs to."""
    wanted = path.strip("/").split("/", maxsplit=1 if path.startswith("/series/") else -1)
    for endpoint in ENDPOINTS:
        parts = endpoint.path.strip("/").split("/")
        same = len(parts) == len(wanted) and all(part == own or part.startswith("{") for part, own in zip(parts, wanted, strict=True))
        if endpoint.method == ("GET" if method == "HEAD" else method) and same:
            return endpoint
    return None


def assert_documented(response: Any, endpoint: Endpoint | None) -> None:
    """Assert that the OpenAPI document allows a response."""
    assert response.status_code != 500, response.text
    if endpoint is None:
        assert response.status_code in (404, 405), response.text
        validate({"$ref": "#/components/schemas/Problem"}, response.json)
        assert response.content_type == "application/problem+json"
        return
    responses = DOCUMENT["paths"][ROOT + endpoint.path][endpoint.method.lower()]["responses"]
    documented = responses[str(response.status_code)]["content"]
    (kind,) = documented
    assert response.content_type.partition(";")[0] == kind, f"{endpoint.path}: {response.content_type}"
    if "json" in kind:
        validate(documented[kind]["schema"], response.json)


def invalid_fields(response: Any) -> list[str]:
    """The fields that a problem names."""
    return [error["field"] for error in response.json["errors"]]


def _query_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _classify(texts: Sequence[str]) -> Classified:
    neutral = Sentiment(negative=0.1, neutral=0.8, positive=0.1)
    item = ClassifiedOut(language="en", sentiment=neutral, tone=0.0, topics={"other": 0.9}, risks={}, companies=(), materiality=None)
    return Classified(model="m", items=(item,) * len(texts))


_WATCHLIST = WatchlistOut(
    name="desk",
    series="watchlist:desk",
    title_en="Desk",
    title_zh="关注",
    companies=(),
    topics=(),
    keywords=("违约 | default",),
    backfilled=True,
)


def new_article(name: str, **changes: Any) -> Any:
    """A scored article that was published now."""
    return scored(name, minutes=int((datetime.now(UTC) - NOON).total_seconds() // 60), **changes)


def new_alert(company: str) -> Alert:
    """An alert that was detected five minutes ago."""
    return alert(f"company:{company}", at=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5))
