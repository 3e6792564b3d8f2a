"""The OpenAPI 3.1 document, made from the table of endpoints and the request and response types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from api.endpoints import ROOT, Endpoint
from api.requests import RequestModel
from api.types import GapEvent, Problem
from core.records import Alert

REF = "#/components/schemas/{name}"
DESCRIPTION = """Every request except this document needs the header `Authorization: Bearer tocsin_…`; `tocsin tokens create` makes a token.
Times are ISO 8601 with a UTC offset. Lists are paginated: `next` of a response is the `cursor` of the next page, "" on the last one.
Errors are application/problem+json (RFC 9457)."""

_ERRORS = {
    "400": "the body is not valid JSON",
    "401": "no valid token",
    "403": "the token lacks the scope",
    "404": "not found",
    "409": "the request contradicts the present state",
    "413": "the body is too large",
    "415": "the body is not application/json",
    "422": "a parameter or field is invalid; `errors` names it",
    "429": "rate limit exceeded; Retry-After says when to try again",
    "503": "the store, Kafka or the model is not available at the moment",
}


def document(endpoints: Iterable[Endpoint], version: str = "1") -> dict[str, Any]:
    """The document as a dict of JSON values."""
    listed = list(endpoints)
    kinds: list[Any] = [Problem, Alert, GapEvent]
    for endpoint in listed:
        kinds += [endpoint.response, endpoint.query, *([endpoint.body] if endpoint.body else [])]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    schema_of = dict(zip(kinds, schemas, strict=True))
    for component in components.values():
        for schema in component.get("properties", {}).values():
            if "pattern" in schema:  # Python's \Z is $ in other dialects
                schema["pattern"] = schema["pattern"].replace("\\Z", "$")
    queries = {endpoint.query.__name__ for endpoint in listed}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(ROOT + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tocsin",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {name: component for name, component in components.items() if name not in queries},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`tocsin tokens create` creates one"}},
        },
    }


def _operation(endpoint: Endpoint, schema_of: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    errors = ["401", "403", "422", "429", "503"]
    placeholders = re.findall(r"\{(\w+)\}", endpoint.path)
    errors += ["404"] if placeholders else []
    errors += ["400", "409", "413", "415"] if endpoint.body else []
    content = "text/event-stream" if endpoint.streams else "application/json"
    schema = _EVENTS if endpoint.streams else {"schema": schema_of[endpoint.response]}
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "description": f"Needs the scope `{endpoint.scope}`.",
        "tags": [endpoint.path.split("/")[1]],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in placeholders),
            *_parameters(endpoint.query, components),
            *([_LAST_EVENT_ID] if endpoint.streams else []),
        ],
        "responses": {
            str(endpoint.status): {"description": _summary(endpoint.response), "content": {content: schema}},
            **{
                status: {"description": _ERRORS[status], "content": {"application/problem+json": {"schema": schema_of[Problem]}}}
                for status in sorted(errors)
            },
        },
    }
    if endpoint.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema_of[endpoint.body]}}}
    return operation


_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "the id of the last event that was received: resume after it",
    "schema": {"type": "string"},
}
_EVENTS = {
    "schema": {
        "type": "string",
        "description": "Events `score` (data: ScoreEvent), `alert` (Alert) and `gap` (GapEvent: read that period from /articles and "
        "/alerts). A comment is sent as a heartbeat.",
    }
}


def _parameters(query: type[RequestModel], components: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, field in components[query.__name__].get("properties", {}).items():
        schema = {key: value for key, value in field.items() if key != "description"}
        if schema.get("default", "") is None:
            del schema["default"]
        choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
        if len(choices) == 1:
            schema = {**{key: value for key, value in schema.items() if key != "anyOf"}, **choices[0]}
        description = field.get("description") or schema.pop("description", "")
        found.append(
            {"name": name, "in": "query", "required": False, **({"description": description} if description else {}), "schema": schema}
        )
    return found


def _summary(kind: type[Any]) -> str:
    """First line of the docstring."""
    return (kind.__doc__ or "").strip().split("\n", maxsplit=1)[0]
