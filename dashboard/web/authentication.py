"""Authentication of dashboard requests, in one of three modes (setting dashboard_login).

password   a session cookie, set by /login for a name and a password
header     a reverse proxy has authenticated the user and names them in a header
none       every request over the loopback interface is the local user
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from flask import Request, Response, g, has_request_context, redirect

from core.errors import SettingsError
from core.log import RefusalLog, get_logger
from core.settings import Settings
from dashboard.web import permissions
from dashboard.web.server import is_loopback
from dashboard.web.sessions import SessionService
from domain.accounts import Person, Role
from storage.store import Store

LOCAL_USER = Person(name="local", role="admin")
"""The user of mode "none"."""
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
log = get_logger("dashboard.web.authentication")
refusals = RefusalLog(log)


class TrustedProxies:
    """Reverse proxies whose headers are trusted. Headers of other clients are ignored."""

    def __init__(self, addresses: str = "") -> None:
        """
        Args:
            addresses: comma-separated IP addresses and networks

        Raises:
            SettingsError: one of them is malformed
        """
        try:
            self._networks = [ipaddress.ip_network(part.strip()) for part in addresses.split(",") if part.strip()]
        except ValueError as error:
            raise SettingsError(f"dashboard_proxies: {error}; expected addresses such as 127.0.0.1, 10.0.0.0/8") from error

    def __bool__(self) -> bool:
        return bool(self._networks)

    def is_trusted(self, environ: Mapping[str, Any]) -> bool:
        """Whether the other end of the connection is a trusted proxy."""
        return self._contains(_parse_address(str(environ.get("REMOTE_ADDR", ""))))

    def client_address(self, environ: Mapping[str, Any]) -> str:
        """Address of the client: the last one in X-Forwarded-For that is no trusted proxy; "" if it is unknown."""
        here = _parse_address(str(environ.get("REMOTE_ADDR", "")))
        hops = str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")
        while hops and self._contains(here):
            before = _parse_address(hops.pop())
            if before is None:
                break
            here = before
        return str(here or "")

    def is_https(self, environ: Mapping[str, Any]) -> bool:
        """Whether the browser uses TLS, to this server or to a trusted proxy."""
        if self.is_trusted(environ) and environ.get("HTTP_X_FORWARDED_PROTO"):
            return str(environ["HTTP_X_FORWARDED_PROTO"]).rpartition(",")[2].strip().lower() == "https"
        return environ.get("wsgi.url_scheme") == "https"

    def user_name(self, environ: Mapping[str, Any], header: str) -> str:
        """The user that a trusted proxy names in `header`; "" without one."""
        if not header or not self.is_trusted(environ):
            return ""
        value = str(environ.get("HTTP_" + header.upper().replace("-", "_"), ""))
        try:
            return value.encode("latin-1").decode().strip()  # WSGI decodes headers as Latin-1
        except (UnicodeEncodeError, UnicodeDecodeError):
            return ""

    def _contains(self, address: IpAddress | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


class Authenticator:
    """Authenticates and authorises requests to the dashboard.

    Attributes:
        mode: "password", "header" or "none"
        sessions: logins and sessions of mode "password"
        max_age: how long a session lasts at most
    """

    def __init__(self, store: Store, settings: Settings, now: Callable[[], datetime]) -> None:
        """Raises SettingsError for settings that would admit nobody, or everybody."""
        self.mode = settings.dashboard_login
        self._proxies = TrustedProxies(settings.dashboard_proxies)
        self._header = settings.dashboard_user_header
        self._unknown_role: Role | None = None if settings.dashboard_unknown_role == "none" else settings.dashboard_unknown_role
        self._public_https = settings.dashboard_url.startswith("https://")
        self.max_age = timedelta(hours=settings.session_max_h)
        self.sessions = SessionService(store, now, idle=timedelta(hours=settings.session_idle_h), max_age=self.max_age)
        if self.mode == "header" and not (self._header and self._proxies):
            raise SettingsError("dashboard_login = header needs dashboard_user_header, and the proxy's address in dashboard_proxies")
        if self.mode == "none" and not is_loopback(settings.dashboard_host):
            raise SettingsError(
                f"dashboard_login = none gives access to everybody who can reach {settings.dashboard_host}: "
                "it is allowed on a loopback address only; set dashboard_host = 127.0.0.1, or another dashboard_login"
            )

    def person(self, request: Request) -> Person | None:
        """Who makes a request, None if they are unknown. Raises StoreError."""
        if self.mode == "none":
            return LOCAL_USER
        if self.mode == "header":
            name = self._proxies.user_name(request.environ, self._header)
            return self.sessions.person_of_proxy(name, self._unknown_role, self.client_address(request)) if name else None
        return self.sessions.person(request.cookies.get(self.cookie_name(request), ""))

    def authorize(self, request: Request) -> Response | None:
        """Check the role for a route, and set `current_person`.

        Returns:
            None if the request is allowed, else the response that rejects it.

        Raises:
            StoreError: the store did not answer
        """
        g.person = None
        rule = request.url_rule.rule if request.url_rule is not None else ""
        required = permissions.required_role_of_route(request.method, rule)
        if not rule or (required == "anyone" and rule != "/login"):
            return None  # an unknown or a public route: no need to look up the session
        g.person = person = self.person(request)
        if required == "anyone":
            return None
        if person is None:
            return self._login_response(request)
        if person.must_change and rule not in permissions.ALLOWED_BEFORE_PASSWORD_CHANGE:
            return _see_other("/password") if _expects_page(request) else _plain(401, "change your password first, at /password")
        if not permissions.allowed(person.role, required):
            refusals.warning("request_forbidden", path=request.path, user=person.name, role=person.role, required=required)
            return _plain(403, f"this needs the role {required}; yours is {person.role}")
        return None

    def authorize_callback(self, output: str) -> Response | None:
        """Check the role for a callback, named by its outputs. Returns None if it is allowed, else the response that rejects it."""
        person, required = current_person(), permissions.required_role_of_callback(output)
        if permissions.allowed(person.role if person else None, required):
            return None
        refusals.warning(
            "callback_forbidden", callback=permissions.callback_key(output), user=person.name if person else "", required=required
        )
        return _plain(403, f"this needs the role {required}" if required else "nobody may call this")

    def client_address(self, request: Request) -> str:
        """Address of the client, behind trusted proxies."""
        return self._proxies.client_address(request.environ)

    def is_https(self, request: Request) -> bool:
        """Whether the browser uses TLS, to this server or to a proxy."""
        return self._public_https or self._proxies.is_https(request.environ)

    def cookie_name(self, request: Request) -> str:
        """Name of the session cookie. It contains a digest of host and port, because browsers share cookies between ports."""
        digest = hashlib.blake2b(request.host.encode("utf-8", "replace"), digest_size=4).hexdigest()
        return f"__Host-tocsin-{digest}" if self.is_https(request) else f"tocsin-{digest}"

    def set_cookie(self, request: Request, response: Response, token: str) -> Response:
        """`response` with the cookie of a session."""
        response.set_cookie(
            self.cookie_name(request),
            token,
            max_age=self.max_age,
            path="/",
            httponly=True,
            samesite="Lax",  # links from chats and mails lead to the page of an alert
            secure=self.is_https(request),
        )
        return response

    def delete_cookie(self, request: Request, response: Response) -> Response:
        """`response` that deletes the session cookie."""
        response.delete_cookie(self.cookie_name(request), path="/", httponly=True, samesite="Lax", secure=self.is_https(request))
        return response

    def _login_response(self, request: Request) -> Response:
        if self.mode == "header":
            return _plain(403, "the proxy in front of this dashboard names no user who has access")
        if not _expects_page(request):
            return _plain(401, "log in first, at /login")
        path = request.full_path.removesuffix("?")
        lang = "&lang=" + request.args["lang"] if request.args.get("lang") in ("en", "zh") else ""
        return _see_other("/login" + (f"?next={quote(path, safe='')}{lang}" if path != "/" else ""))


def current_person() -> Person | None:
    """Who made the request that is being answered; None if they are unknown, or outside of a request."""
    return g.get("person") if has_request_context() else None


def current_name() -> str:
    """Name of the current person, for the audit log."""
    return (current_person() or LOCAL_USER).name


def _expects_page(request: Request) -> bool:
    """Whether a person navigates to a page, rather than a script fetching data."""
    if request.method not in ("GET", "HEAD") or request.headers.get("Sec-Fetch-Dest", "document") != "document":
        return False
    return "text/html" in request.headers.get("Accept", "text/html")


def _see_other(path: str) -> Response:
    response = redirect(path, 303)
    return Response(response.get_data(), status=303, headers=response.headers)


def _plain(status: int, text: str) -> Response:
    return Response(text + "\n", status=status, mimetype="text/plain")


def _parse_address(text: str) -> IpAddress | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
