"""The routes of the API, made from the table of endpoints. Whatever goes wrong below /api comes back as a problem.

path? 404 ─▶ method? 405 ─▶ token? 401 ─▶ scope? 403 ─▶ too often? 429 ─▶ query, body? 400, 413, 415, 422 ─▶ handler ─▶ answer
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from flask import Flask, Response, request
from prometheus_client import Counter
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from api import openapi, problems, rate_limit
from api.authentication import Access, demand
from api.backends import Backends
from api.calls import Call
from api.endpoints import ENDPOINTS, ROOT, Endpoint
from api.event_feed import Feed
from api.problems import Refused
from api.rate_limit import Buckets
from api.requests import Asked
from api.sse import Listener
from core.errors import BrokerError, StoreError
from core.log import get_logger
from storage.store import Store

PREFIX = "/api/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
REQUESTS = Counter("tocsin_api_requests", "Requests to the API", ["endpoint", "status"])
log = get_logger("api")


@dataclass(frozen=True, slots=True)
class Api:
    """What all requests share. Close it before the server: its streams hold the server's threads."""

    store: Store
    now: Callable[[], datetime]
    backends: Backends
    access: Access
    buckets: Buckets
    feed: Feed

    def close(self) -> None:
        """End all streams; calling it twice is fine."""
        self.feed.close()


def install(server: Flask, store: Store, now: Callable[[], datetime], backends: Backends) -> Api:
    """Add the API to `server`."""
    api = Api(store, now, backends, Access(store, now), Buckets(backends.per_minute), Feed(store, now, most=backends.streams))
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    for path, endpoints in by_path.items():
        rule = ROOT + re.sub(r"\{(\w+)\}", lambda found: f"<{'path:' if found[1] == 'series' else ''}{found[1]}>", path)
        server.add_url_rule(rule, f"api {path}", _view(api, path, endpoints), methods=METHODS, provide_automatic_options=False)
    document = msgspec.json.encode(openapi.document(ENDPOINTS))

    def spec() -> Response:
        return Response(document, content_type="application/json")

    def unknown(rest: str = "") -> Response:
        return problems.response(Refused(404, f"there is nothing at /api/{rest}; {ROOT}/openapi.json lists what there is"))

    server.add_url_rule(f"{ROOT}/openapi.json", "api document", spec, methods=("GET",))
    server.add_url_rule("/api/", "api unknown root", unknown, methods=METHODS, provide_automatic_options=False)
    server.add_url_rule("/api/<path:rest>", "api unknown", unknown, methods=METHODS, provide_automatic_options=False)

    @server.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response | HTTPException:
        if not request.path.startswith(PREFIX):
            return error
        return problems.response(Refused(error.code or 500, error.description or error.name))

    return api


def _view(api: Api, path: str, endpoints: Sequence[Endpoint]) -> Callable[..., Response]:
    by_method = {endpoint.method: endpoint for endpoint in endpoints}

    def view(**parts: str) -> Response:
        began = time.monotonic()
        limits: dict[str, str] = {}
        try:
            endpoint = by_method.get("GET" if request.method == "HEAD" else request.method)  # type: ignore[call-overload]
            if endpoint is None:
                allow = ", ".join(sorted({*by_method, *(["HEAD"] if "GET" in by_method else [])}))
                raise Refused(405, f"{request.method} is not for {ROOT}{path}: {allow}", headers={"Allow": allow})
            answer = _answer(api, endpoint, parts, limits)
        except Refused as error:
            answer = problems.response(error)
        except HTTPException as error:
            answer = problems.response(Refused(error.code or 500, error.description or error.name))
        except (StoreError, BrokerError) as error:
            log.warning("api waits", path=path, reason=str(error))
            what = "the store does not answer" if isinstance(error, StoreError) else "Kafka does not take it"
            answer = problems.response(Refused(503, what, headers={"Retry-After": "5"}))
        except Exception:
            log.exception("api met the unexpected", path=path)
            answer = problems.response(Refused(500, "this is a mistake of ours; the server's log has it"))
        answer.headers.update(limits)
        REQUESTS.labels(path, answer.status_code).inc()
        log.debug("api", method=request.method, path=path, status=answer.status_code, ms=round((time.monotonic() - began) * 1000))
        return answer

    return view


def _answer(api: Api, endpoint: Endpoint, parts: dict[str, str], limits: dict[str, str]) -> Response:
    """The answer of one endpoint. limits: gets the headers that every answer to this token carries. Raises Refused, and as handlers do."""
    token = api.access.authenticate(request.headers.get("Authorization"))
    left = api.buckets.take(token.id, time.monotonic())
    limits.update(rate_limit.headers(left, api.backends.per_minute))
    if left.wait_s:
        raise Refused(429, f"{api.backends.per_minute} requests a minute are enough: come again in {left.wait_s:.0f} s")
    demand(token, endpoint.scope)
    query = _query(endpoint.query)
    body = _body(endpoint)
    call: Call[Any, Any] = Call(
        store=api.store,
        backends=api.backends,
        feed=api.feed,
        now=api.now(),
        token=token,
        path=request.path,
        parts=parts,
        query=query,
        body=body,
        last_event_id=request.headers.get("Last-Event-ID", ""),
        holds=lambda: api.access.holds(token),
    )
    made = endpoint.handler(call)
    if endpoint.method != "GET":
        log.info("api", done=f"{endpoint.method} {endpoint.path}", by=token.name, token=token.id, **parts)
    if isinstance(made, Listener):
        if request.method == "HEAD":
            made.close()
            return Response(content_type="text/event-stream")
        return Response(made, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"}, direct_passthrough=True)
    return Response(msgspec.json.encode(made), status=endpoint.status, content_type="application/json")


def _query(kind: type[Asked]) -> Asked:
    """The query, read as `kind`. Raises Refused."""
    given = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise problems.invalid(name, "is given twice")
        given[name] = values[0]
    for name in ("since", "until", "as_of"):  # a + that was not escaped is a blank by now
        if name in given:
            given[name] = given[name][:11] + given[name][11:].replace(" ", "+")
    try:
        return msgspec.convert(given, kind, strict=False)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise problems.of_validation(error) from error


def _body(endpoint: Endpoint) -> Asked | None:
    """The body, read as the endpoint wants it. Raises Refused."""
    kind = endpoint.read or endpoint.body
    if kind is None:
        return None
    if request.mimetype != "application/json":
        raise Refused(415, f"the body must be application/json, and is {request.mimetype or 'nothing that is known'}")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(415, "the body must not be compressed")
    request.max_content_length = endpoint.max_bytes
    too_large = Refused(413, f"the body is larger than {endpoint.max_bytes:,} bytes: send it in parts")
    if (request.content_length or 0) > endpoint.max_bytes:
        raise too_large
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise too_large from error
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise problems.of_validation(error) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not valid JSON: {error}") from error
