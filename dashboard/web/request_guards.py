"""Checks of every request before Dash receives it, and the security headers of every response.

request ─▶ same origin ─▶ authentication and role ─▶ JSON of a known callback ─▶ role for the callback ─▶ Dash ─▶ headers ─▶ response

The API authenticates by itself. It needs no check of the origin: browsers never send a token on their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request

from core.errors import StoreError
from core.log import RefusalLog, get_logger
from dashboard.web.authentication import Authenticator
from dashboard.web.permissions import API_PREFIX

CALLBACK_PATH = "/_dash-update-component"
MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 40
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
log = get_logger("dashboard.web.request_guards")
refusals = RefusalLog(log)


def content_security_policy(script_hashes: Sequence[str]) -> str:
    """The Content-Security-Policy: no foreign sources, no inline scripts except Dash's own by hash, no framing.

    Inline styles are allowed, because Mantine, ag-grid and plotly use them.
    """
    rules = {
        "default-src": "'self'",
        "script-src": " ".join(("'self'", *script_hashes)),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def same_origin(request: Request) -> bool:
    """Whether a request comes from a page of this server, or from a program that is no browser.

    Browsers send the origin of the page with every POST. A proxy must pass the Host header on unchanged.
    """
    origin = request.headers.get("Origin")
    if origin is not None:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == request.host.lower()
    return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")


def nesting_depth(value: Any) -> int:
    """Nesting depth of lists and objects, without recursion; 0 for a scalar. Stops counting past MAX_DEPTH."""
    level, here = 0, [value]
    while level <= MAX_DEPTH:
        here = [child for item in here if isinstance(item, dict | list) for child in (item.values() if isinstance(item, dict) else item)]
        if not here:
            break
        level += 1
    return level


def callback_error(body: Any, callbacks: Mapping[str, Any]) -> str:
    """Validate the body of a callback request: it must name a known callback with exactly its own arguments and outputs.

    Args:
        body: the decoded JSON
        callbacks: Dash's map of outputs to {"inputs": [{"id", "property"}], "state": […]}

    Returns:
        What is wrong, "" if nothing is.
    """
    if not isinstance(body, dict):
        return "expected a JSON object"
    output = body.get("output")
    known = callbacks.get(output) if isinstance(output, str) else None
    if known is None or "callback" not in known:
        return "there is no such callback"
    for part in ("inputs", "state"):
        given, expected = body.get(part) or [], known.get(part, [])
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            return f"{part}: expected a list of objects"
        if [(item.get("id"), item.get("property")) for item in given] != [(item["id"], item["property"]) for item in expected]:
            return f"{part}: not those of this callback"
    outputs, changed = body.get("outputs"), body.get("changedPropIds", [])
    listed: list[Any] = outputs if isinstance(outputs, list) else [outputs]
    if not all(isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("property"), str) for item in listed):
        return "outputs: expected id and property of each output"
    names = [f"{item['id']}.{item['property']}" for item in listed]
    if output != (f"..{'...'.join(names)}.." if isinstance(outputs, list) else names[0]):
        return "outputs: not those of this callback"
    if not isinstance(changed, list) or not all(isinstance(item, str) for item in changed):
        return "changedPropIds: expected a list of strings"
    return "nested too deeply" if nesting_depth(body) > MAX_DEPTH else ""


def has_lone_surrogates(data: bytes, body: object) -> bool:
    """Whether a JSON body has text that is no Unicode, which neither the store nor a log can encode.

    Args:
        data: the body as sent; most bodies can contain no surrogate and are not searched
        body: the same, decoded
    """
    if b"\\ud" not in data and b"\\uD" not in data and b"\xed" not in data:
        return False
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def install(server: Flask, callbacks: Mapping[str, Any], script_hashes: Sequence[str], authenticator: Authenticator) -> None:
    """Add the checks and the headers to `server`."""
    csp = content_security_policy(script_hashes)
    server.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES)

    @server.before_request
    def check() -> Response | None:
        if request.path.startswith(API_PREFIX):
            return None
        if request.method not in SAFE_METHODS and not same_origin(request):
            refusals.warning("cross_origin_request_refused", origin=request.headers.get("Origin"), path=request.path)
            return _plain(403, "requests from other sites are refused")
        rejection = authenticator.authorize(request)
        if rejection is not None or request.method in SAFE_METHODS or request.path != CALLBACK_PATH:
            return rejection
        if not request.is_json:
            return _plain(415, "expected application/json")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _plain(413, "too large")
        try:
            body = request.get_json()
        except RecursionError:
            return _plain(400, "nested too deeply")
        error = "text with lone surrogates" if has_lone_surrogates(request.get_data(), body) else callback_error(body, callbacks)
        return _plain(400, error) if error else authenticator.authorize_callback(body["output"])

    @server.after_request
    def headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = csp
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"  # with no-referrer our own forms would send no Origin
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        if authenticator.is_https(request):
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if not request.path.startswith(("/_dash-component-suites/", "/assets/", "/_favicon")):
            response.headers["Cache-Control"] = "no-store"
        return response

    @server.errorhandler(StoreError)
    def store_error(error: StoreError) -> Response:
        log.warning("store_error", path=request.path, error=str(error))
        return _plain(503, "the store does not answer")


def _plain(status: int, text: str) -> Response:
    return Response(text + "\n", status=status, mimetype="text/plain")
