"""The OpenAPI 3.1 document, made from the table of endpoints and the types that travel. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from api.endpoints import ROOT, Endpoint
from api.requests import Asked
from api.types import GapEvent, Problem
from core.records import Alert

REF = "#/components/schemas/{name}"
DESCRIPTION = """Every request but this document carries `Authorization: Bearer tocsin_…`; `tocsin tokens create` makes a token.
Times are ISO 8601 with a zone. Lists come in pages: `next` of an answer is the `cursor` of the next page, "" on the last.
What goes wrong comes as application/problem+json (RFC 9457)."""

_WRONG = {
    "400": "the body is not JSON",
    "401": "no token, or none that opens anything",
    "403": "the token lacks the scope",
    "404": "there is no such thing",
    "413": "the body is too large",
    "415": "the body is not application/json",
    "422": "a parameter or field is wrong; `errors` names it",
    "429": "too many requests; Retry-After says when to come again",
    "503": "the store, Kafka or the model is not there just now",
}


def document(endpoints: Iterable[Endpoint], version: str = "1") -> dict[str, Any]:
    """The document as builtins."""
    listed = list(endpoints)
    kinds: list[Any] = [Problem, Alert, GapEvent]
    for endpoint in listed:
        kinds += [endpoint.answer, endpoint.query, *([endpoint.body] if endpoint.body else [])]
    made, components = msgspec.json.schema_components(kinds, ref_template=REF)
    shapes = dict(zip(kinds, made, strict=True))
    for schema in components.values():
        for shape in schema.get("properties", {}).values():
            if "pattern" in shape:  # of Python; elsewhere an expression ends with $
                shape["pattern"] = shape["pattern"].replace("\\Z", "$")
    asked = {endpoint.query.__name__ for endpoint in listed}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(ROOT + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, shapes, components)
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
            "schemas": {name: schema for name, schema in components.items() if name not in asked},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`tocsin tokens create` makes one"}},
        },
    }


def _operation(endpoint: Endpoint, shapes: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    wrong = ["401", "403", "422", "429", "503"]
    places = re.findall(r"\{(\w+)\}", endpoint.path)
    wrong += ["404"] if places else []
    wrong += ["400", "413", "415"] if endpoint.body else []
    content = "text/event-stream" if endpoint.streams else "application/json"
    shape = _events() if endpoint.streams else {"schema": shapes[endpoint.answer]}
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "description": f"Needs the scope `{endpoint.scope}`.",
        "tags": [endpoint.path.split("/")[1]],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in places),
            *_parameters(endpoint.query, components),
            *([_LAST_EVENT] if endpoint.streams else []),
        ],
        "responses": {
            str(endpoint.status): {"description": _said(endpoint.answer), "content": {content: shape}},
            **{
                status: {"description": _WRONG[status], "content": {"application/problem+json": {"schema": shapes[Problem]}}}
                for status in sorted(wrong)
            },
        },
    }
    if endpoint.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": shapes[endpoint.body]}}}
    return operation


_LAST_EVENT = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "the id of the last event that was received: go on behind it",
    "schema": {"type": "string"},
}


def _events() -> dict[str, Any]:
    return {
        "schema": {
            "type": "string",
            "description": "Events `score` (data: ScoreEvent), `alert` (Alert) and `gap` (GapEvent: what lies between has to be read from "
            "/articles and /alerts), each with an id; a comment is sent while nothing happens.",
        }
    }


def _parameters(query: type[Asked], components: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, schema in components[query.__name__].get("properties", {}).items():
        shape = {key: value for key, value in schema.items() if key != "description"}
        if shape.get("default", "") is None:
            del shape["default"]
        choices = [each for each in shape.get("anyOf", []) if each != {"type": "null"}]
        if len(choices) == 1:
            shape = {**{key: value for key, value in shape.items() if key != "anyOf"}, **choices[0]}
        told = schema.get("description") or shape.pop("description", "")
        found.append({"name": name, "in": "query", "required": False, **({"description": told} if told else {}), "schema": shape})
    return found


def _said(kind: type[Any]) -> str:
    return (kind.__doc__ or "").strip().split("\n", maxsplit=1)[0]
