"""Flask routes of the API, made from the table of endpoints. Every error below /api is answered with problem details.

path 404 ─▶ method 405 ─▶ token 401 ─▶ rate limit 429 ─▶ scope 403 ─▶ query and body 400, 413, 415, 422 ─▶ handler ─▶ response
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
from api.authentication import TokenAuthenticator, require_scope
from api.context import Backends, RequestContext
from api.endpoints import ENDPOINTS, ROOT, Endpoint
from api.event_stream import EventFeed, EventStream
from api.problems import ApiProblem
from api.rate_limit import RateLimiter
from api.requests import RequestModel
from core.errors import BrokerError, TocsinError
from core.log import get_logger
from storage.store import Store

PREFIX = "/api/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
REQUESTS = Counter("tocsin_api_requests", "Requests to the API", ["endpoint", "status"])
log = get_logger("api")


@dataclass(frozen=True, slots=True)
class Api:
    """State that all requests share. Close it before the server: its streams occupy threads of the server."""

    store: Store
    now: Callable[[], datetime]
    backends: Backends
    authenticator: TokenAuthenticator
    rate_limiter: RateLimiter
    feed: EventFeed

    def close(self) -> None:
        """End all streams. May be called twice."""
        self.feed.close()


def install(server: Flask, store: Store, now: Callable[[], datetime], backends: Backends) -> Api:
    """Add the routes of the API to `server`."""
    api = Api(
        store,
        now,
        backends,
        TokenAuthenticator(store, now),
        RateLimiter(backends.per_minute),
        EventFeed(store, now, max_subscribers=backends.streams),
    )
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    for path, endpoints in by_path.items():
        rule = ROOT + re.sub(r"\{(\w+)\}", lambda found: f"<{'path:' if found[1] == 'series' else ''}{found[1]}>", path)
        server.add_url_rule(rule, f"api {path}", _view(api, path, endpoints), methods=METHODS, provide_automatic_options=False)
    document = msgspec.json.encode(openapi.document(ENDPOINTS))

    def openapi_document() -> Response:
        return Response(document, content_type="application/json")

    def not_found(rest: str = "") -> Response:
        return problems.response(ApiProblem(404, f"there is no endpoint /api/{rest}; {ROOT}/openapi.json lists the endpoints"))

    server.add_url_rule(f"{ROOT}/openapi.json", "api document", openapi_document, methods=("GET",))
    server.add_url_rule("/api/", "api unknown root", not_found, methods=METHODS, provide_automatic_options=False)
    server.add_url_rule("/api/<path:rest>", "api unknown", not_found, methods=METHODS, provide_automatic_options=False)

    @server.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response | HTTPException:
        if not request.path.startswith(PREFIX):
            return error
        return problems.response(_http_problem(error))

    return api


def _view(api: Api, path: str, endpoints: Sequence[Endpoint]) -> Callable[..., Response]:
    by_method = {endpoint.method: endpoint for endpoint in endpoints}

    def view(**path_parameters: str) -> Response:
        began = time.monotonic()
        limits: dict[str, str] = {}
        try:
            endpoint = by_method.get("GET" if request.method == "HEAD" else request.method)  # type: ignore[call-overload]
            if endpoint is None:
                allow = ", ".join(sorted({*by_method, *(["HEAD"] if "GET" in by_method else [])}))
                raise ApiProblem(405, f"{ROOT}{path} does not support {request.method}, only {allow}", headers={"Allow": allow})
            response = _respond(api, endpoint, path_parameters, limits)
        except ApiProblem as problem:
            response = problems.response(problem)
        except HTTPException as error:
            response = problems.response(_http_problem(error))
        except TocsinError as error:
            response = problems.response(_error_problem(error, path))
        except Exception:
            response = problems.response(_internal_problem(path))
        response.headers.update(limits)
        REQUESTS.labels(path, response.status_code).inc()
        log.debug("api_request", method=request.method, path=path, status=response.status_code, ms=round((time.monotonic() - began) * 1000))
        return response

    return view


def _http_problem(error: HTTPException) -> ApiProblem:
    return ApiProblem(error.code or 500, error.description or error.name)


def _error_problem(error: TocsinError, path: str) -> ApiProblem:
    """The problem of an exception, by the HTTP status of its type. Details of the store and of Kafka go to the log only."""
    if error.http_status < 500:
        return ApiProblem(error.http_status, str(error))
    if error.http_status == 503:
        log.warning("api_backend_unavailable", path=path, reason=str(error))
        detail = "Kafka does not accept the articles" if isinstance(error, BrokerError) else "the store does not answer"
        return ApiProblem(503, detail, headers={"Retry-After": "5"})
    return _internal_problem(path)


def _internal_problem(path: str) -> ApiProblem:
    log.exception("api_request_failed", path=path)
    return ApiProblem(500, "internal error; the server's log has the details")


def _respond(api: Api, endpoint: Endpoint, path_parameters: dict[str, str], limits: dict[str, str]) -> Response:
    """The response of one endpoint.

    Args:
        limits: receives the rate limit headers, which every response to this token carries

    Raises:
        ApiProblem: the request is rejected
        Exception: whatever the handler raises
    """
    token = api.authenticator.authenticate(request.headers.get("Authorization"))
    state = api.rate_limiter.take(token.id, time.monotonic())
    limits.update(rate_limit.headers(state, api.backends.per_minute))
    if state.wait_s:
        raise ApiProblem(429, f"the limit of {api.backends.per_minute} requests per minute is reached: try again in {state.wait_s:.0f} s")
    require_scope(token, endpoint.scope)
    query = _decode_query(endpoint.query)
    body = _decode_body(endpoint)
    context: RequestContext[Any, Any] = RequestContext(
        store=api.store,
        backends=api.backends,
        feed=api.feed,
        now=api.now(),
        token=token,
        path=request.path,
        path_parameters=path_parameters,
        query=query,
        body=body,
        last_event_id=request.headers.get("Last-Event-ID", ""),
        token_is_valid=lambda: api.authenticator.is_valid(token),
    )
    result = endpoint.handler(context)
    if endpoint.method != "GET":
        log.info("api_write", request=f"{endpoint.method} {endpoint.path}", by=token.name, token=token.id, **path_parameters)
    if isinstance(result, EventStream):
        if request.method == "HEAD":
            result.close()
            return Response(content_type="text/event-stream")
        return Response(result, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"}, direct_passthrough=True)
    return Response(msgspec.json.encode(result), status=endpoint.status, content_type="application/json")


def _decode_query(kind: type[RequestModel]) -> RequestModel:
    """The query parameters. Raises ApiProblem."""
    given = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise problems.invalid_field(name, "is given twice")
        given[name] = values[0]
    for name in ("since", "until", "as_of"):  # a "+" that was not percent-encoded arrives as a space
        if name in given:
            given[name] = given[name][:11] + given[name][11:].replace(" ", "+")
    try:
        return msgspec.convert(given, kind, strict=False)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise problems.validation_problem(error) from error


def _decode_body(endpoint: Endpoint) -> RequestModel | None:
    """The body, None for an endpoint without one. Raises ApiProblem."""
    kind = endpoint.decoded_body or endpoint.body
    if kind is None:
        return None
    if request.mimetype != "application/json":
        raise ApiProblem(415, f"the body must be application/json, not {request.mimetype or 'of unknown type'}")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise ApiProblem(415, "the body must not be compressed")
    request.max_content_length = endpoint.max_bytes
    too_large = ApiProblem(413, f"the body is larger than {endpoint.max_bytes:,} bytes: split it")
    if (request.content_length or 0) > endpoint.max_bytes:
        raise too_large
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise too_large from error
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise problems.validation_problem(error) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ApiProblem(400, f"the body is not valid JSON: {error}") from error
