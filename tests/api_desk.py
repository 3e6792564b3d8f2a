"""The API over a real store, as a client sees it. Every answer is held against the OpenAPI document: what is not in it, is a mistake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api import openapi
from api.backends import Backends
from api.endpoints import ENDPOINTS, ROOT, Endpoint
from api.requests import ArticleIn
from api.routes import Api
from api.types import Classified, ClassifiedOut, Pushed, RuleOut, Sentiment, WatchlistOut
from core.records import sha
from dashboard.app import create_app
from dashboard.web.server import API
from domain.alert_lifecycle import inhibitions
from domain.tokens import SCOPES, new_token
from storage.clickhouse import Embedded
from storage.store import Store

DOCUMENT = openapi.document(ENDPOINTS)
_REGISTRY: Registry[Any] = Registry().with_resource("urn:api", Resource.from_contents(DOCUMENT, default_specification=DRAFT202012))
TABLES = (
    "articles", "article_keys", "story_bands", "mentions", "hour_marks", "alerts", "deliveries", "alert_events", "alert_seen", "withheld",
    "silences", "silence_ends", "labels", "api_tokens", "api_token_ends", "api_token_uses",
)  # fmt: skip

GOOD: dict[str, Any] = {
    "/articles": {"articles": [{"source": "wire", "title": "某公司债券违约"}]},
    "/alerts/{id}/events": {"kind": "acknowledged"},
    "/silences": {"series": ["topic:*"], "ends_at": "2099-01-01T00:00:00Z", "comment": "维护"},
    "/feedback": {"labels": [{"id": sha("a"), "task": "sentiment", "labels": ["negative"]}]},
    "/classify": {"texts": ["某地产公司债券违约，股票停牌", "Acme beats"]},
    "/tokens": {"name": "夜班", "scopes": ["read"]},
}


@contextmanager
def real_store(folder: Path) -> Iterator[Store]:
    """A store with empty tables."""
    store = Store(Embedded(folder / "store"))
    store.migrate()
    yield store
    store.close()


def validate(schema: dict[str, Any], value: Any) -> None:
    """Raises jsonschema.ValidationError."""
    absolute = {"$ref": "urn:api" + schema["$ref"]} if "$ref" in schema else schema
    jsonschema.Draft202012Validator(absolute, registry=_REGISTRY).validate(value)


class Desk:
    """A client with tokens of every scope.

    fresh: the tables are emptied; pushed: what was pushed; now: moved by hand, None: the wall clock
    """

    def __init__(self, store: Store, *, fresh: bool = True, **changes: Any) -> None:
        for table in TABLES if fresh else ():
            store.client.command(f"TRUNCATE TABLE {table}")
        self.store = store
        self.pushed: list[ArticleIn] = []
        self.now: datetime | None = None
        given: dict[str, Any] = {
            "classify": _classify,
            "push": self._push,
            "rules": lambda: [RuleOut(name="negative-spike", parameters={"min_stories": 3})],
            "watchlists": lambda: [_WATCHLIST],
            "inhibit": inhibitions("market > *"),
            "per_minute": 100_000,
        }
        self.app = create_app(store, now=self.clock, backends=Backends(**{**given, **changes}))
        self.api: Api = self.app.server.extensions[API]
        self.client = self.app.server.test_client()
        self.secrets = {scope: self.grant(scope) for scope in SCOPES}

    def clock(self) -> datetime:
        return self.now or datetime.now(UTC)

    def close(self) -> None:
        self.api.close()

    def look_again(self) -> None:
        """Forget which tokens there are, as the API does within seconds."""
        self.api.access._cache._entries.clear()

    def grant(self, *scopes: str, name: str = "", days: float = 0) -> str:
        """The secret of a new token."""
        now = self.clock()
        expires_at = now + timedelta(days=days) if days else None
        secret, token = new_token(name or f"研究组 {scopes[0]}", scopes, author="Li", now=now, expires_at=expires_at)
        self.store.tokens.add([token])
        return secret

    def ask(self, method: str, path: str, body: Any = None, *, secret: str | None = None, **query: Any) -> Any:
        """The answer as the test client has it; held against the document."""
        endpoint = find(method, path)
        if secret is None and endpoint is not None:
            secret = self.secrets[endpoint.scope]
        raw = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        answer = self.client.open(
            ROOT + path,
            method=method,
            data=raw,
            content_type=None if raw is None else "application/json",
            headers={"Authorization": f"Bearer {secret}"} if secret else {},
            query_string={name: _written(value) for name, value in query.items()},
        )
        hold(answer, endpoint)
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a page that there is."""
        answer = self.ask("GET", path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json

    def post(self, path: str, body: Any) -> Any:
        """The JSON of what was done."""
        answer = self.ask("POST", path, body)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json

    def _push(self, articles: Sequence[ArticleIn], now: datetime) -> list[Pushed]:
        self.pushed += articles
        assert now.tzinfo is not None
        return [Pushed(index=index, accepted=True, id=f"{index:032d}") for index, _ in enumerate(articles)]


def find(method: str, path: str) -> Endpoint | None:
    """The endpoint of the table that a path means."""
    wanted = path.strip("/").split("/", maxsplit=1 if path.startswith("/series/") else -1)
    for endpoint in ENDPOINTS:
        parts = endpoint.path.strip("/").split("/")
        same = len(parts) == len(wanted) and all(part == own or part.startswith("{") for part, own in zip(parts, wanted, strict=True))
        if endpoint.method == ("GET" if method == "HEAD" else method) and same:
            return endpoint
    return None


def hold(answer: Any, endpoint: Endpoint | None) -> None:
    """Assert that the document allows an answer."""
    assert answer.status_code != 500, answer.text
    if endpoint is None:
        assert answer.status_code in (404, 405), answer.text
        validate({"$ref": "#/components/schemas/Problem"}, answer.json)
        assert answer.content_type == "application/problem+json"
        return
    responses = DOCUMENT["paths"][ROOT + endpoint.path][endpoint.method.lower()]["responses"]
    documented = responses[str(answer.status_code)]["content"]
    (kind,) = documented
    assert answer.content_type.partition(";")[0] == kind, f"{endpoint.path}: {answer.content_type}"
    if "json" in kind:
        validate(documented[kind]["schema"], answer.json)


def fields(answer: Any) -> list[str]:
    """The fields that a problem names."""
    return [error["field"] for error in answer.json["errors"]]


def _written(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _classify(texts: Sequence[str]) -> Classified:
    neutral = Sentiment(negative=0.1, neutral=0.8, positive=0.1)
    item = ClassifiedOut(language="en", sentiment=neutral, tone=0.0, topics={"other": 0.9}, risks={}, companies=())
    return Classified(model="m", items=(item,) * len(texts))


_WATCHLIST = WatchlistOut(
    name="desk",
    series="watchlist:desk",
    title_en="Desk",
    title_zh="关注",
    companies=(),
    topics=(),
    keywords=("违约 | default",),
    filled=True,
)
