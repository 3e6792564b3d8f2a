"""What a request must look like, and the headers that every answer carries.

request ─▶ same origin? ─▶ who, and may they? (authentication) ─▶ JSON of a known callback? ─▶ theirs? ─▶ Dash ─▶ headers ─▶ answer

The API (dashboard/api) has doors of its own: no browser sends a token by itself, so it matters not which page a request comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request

from core.errors import StoreError
from core.log import get_logger
from dashboard.web.authentication import Doors
from dashboard.web.permissions import API_PREFIX

CALLBACK_PATH = "/_dash-update-component"
MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 40
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
log = get_logger("dashboard.web.request_guards")


def policy(script_hashes: Sequence[str]) -> str:
    """The Content-Security-Policy: nothing from elsewhere, no inline script but Dash's own by its hash, in nobody's frame.

    Inline styles stay allowed: Mantine, ag-grid and plotly write them.
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


def same_origin(asked: Request) -> bool:
    """Whether a request comes from one of our own pages, or from a program that is no browser.

    A browser names the page's origin with every POST. Behind a proxy the Host header must be the one that the browser sent.
    """
    origin = asked.headers.get("Origin")
    if origin is not None:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == asked.host.lower()
    return asked.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")


def depth(value: Any) -> int:
    """How deep lists and objects are nested, without recursion; 0 for a plain value. Stops counting past MAX_DEPTH."""
    level, here = 0, [value]
    while level <= MAX_DEPTH:
        here = [child for item in here if isinstance(item, dict | list) for child in (item.values() if isinstance(item, dict) else item)]
        if not here:
            break
        level += 1
    return level


def fault(body: Any, callbacks: Mapping[str, Any]) -> str:
    """What is wrong with a callback's request, "" when nothing is: it must name a callback that we have, with its own arguments.

    callbacks: Dash's map, output to {"inputs": [{"id", "property"}], "state": […]}
    """
    if not isinstance(body, dict):
        return "expected a JSON object"
    output = body.get("output")
    known = callbacks.get(output) if isinstance(output, str) else None
    if known is None or "callback" not in known:
        return "there is no such callback"
    for part in ("inputs", "state"):
        given, wanted = body.get(part) or [], known.get(part, [])
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            return f"{part}: expected a list of objects"
        if [(item.get("id"), item.get("property")) for item in given] != [(item["id"], item["property"]) for item in wanted]:
            return f"{part}: not those of this callback"
    outputs, changed = body.get("outputs"), body.get("changedPropIds", [])
    places: list[Any] = outputs if isinstance(outputs, list) else [outputs]
    if not all(isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("property"), str) for item in places):
        return "outputs: expected the places that the callback fills"
    names = [f"{item['id']}.{item['property']}" for item in places]
    if output != (f"..{'...'.join(names)}.." if isinstance(outputs, list) else names[0]):
        return "outputs: not those of this callback"
    if not isinstance(changed, list) or not all(isinstance(item, str) for item in changed):
        return "changedPropIds: expected a list of strings"
    return "nested too deeply" if depth(body) > MAX_DEPTH else ""


def install(server: Flask, callbacks: Mapping[str, Any], script_hashes: Sequence[str], doors: Doors) -> None:
    """Put the checks before every route of `server`."""
    csp = policy(script_hashes)
    server.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES)

    @server.before_request
    def check() -> Response | None:
        if request.path.startswith(API_PREFIX):
            return None
        if request.method not in SAFE_METHODS and not same_origin(request):
            log.warning("refused a cross-origin request", origin=request.headers.get("Origin"), path=request.path)
            return _refuse(403, "requests from other sites are refused")
        refusal = doors.refusal(request)
        if refusal is not None or request.method in SAFE_METHODS or request.path != CALLBACK_PATH:
            return refusal
        if not request.is_json:
            return _refuse(415, "expected application/json")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _refuse(413, "too large")
        try:
            body = request.get_json()
        except RecursionError:
            return _refuse(400, "nested too deeply")
        wrong = fault(body, callbacks)
        return _refuse(400, wrong) if wrong else doors.callback_refusal(body["output"])

    @server.after_request
    def headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = csp
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"  # other sites learn nothing; with no-referrer our own forms have no Origin
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        if doors.https(request):
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if not request.path.startswith(("/_dash-component-suites/", "/assets/", "/_favicon")):
            response.headers["Cache-Control"] = "no-store"
        return response

    @server.errorhandler(StoreError)
    def store_down(error: StoreError) -> Response:
        log.warning("store error", path=request.path, error=str(error))
        return _refuse(503, "the store does not answer")


def _refuse(status: int, reason: str) -> Response:
    return Response(reason + "\n", status=status, mimetype="text/plain")
