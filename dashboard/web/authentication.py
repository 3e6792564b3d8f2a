"""The doors: who asks, and whether they may. One of three, as the setting dashboard_login says.

password   a cookie, got at /login for an account's name and password
header     a proxy before us has asked already, and names them
none       everybody who reaches this machine's loopback address
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import quote

from flask import Request, Response, g, has_request_context, redirect

from core.errors import SettingsError
from core.log import get_logger
from core.settings import Settings
from dashboard.web import permissions
from dashboard.web.proxies import Proxies
from dashboard.web.server import is_loopback
from dashboard.web.sessions import Logins, Person
from domain.accounts import Role
from storage.store import Store

NOBODY_ASKED = Person(name="local", role="admin")
log = get_logger("dashboard.web.authentication")


class Doors:
    """What stands between a request and its answer. Raises SettingsError for settings that let nobody in, or everybody."""

    def __init__(self, store: Store, settings: Settings, now: Callable[[], datetime]) -> None:
        self.kind = settings.dashboard_login
        self._proxies = Proxies(settings.dashboard_proxies)
        self._header = settings.dashboard_user_header
        self._unknown: Role | None = None if settings.dashboard_unknown_role == "none" else settings.dashboard_unknown_role
        self._public_https = settings.dashboard_url.startswith("https://")
        self.longest = timedelta(hours=settings.session_max_h)
        self.logins = Logins(store, now, idle=timedelta(hours=settings.session_idle_h), longest=self.longest)
        if self.kind == "header" and not (self._header and self._proxies):
            raise SettingsError("dashboard_login = header needs dashboard_user_header, and the proxy's address in dashboard_proxies")
        if self.kind == "none" and not is_loopback(settings.dashboard_host):
            raise SettingsError(
                f"dashboard_login = none lets in whoever can reach {settings.dashboard_host}: "
                "it is allowed on a loopback address only; set dashboard_host = 127.0.0.1, or another dashboard_login"
            )

    def who(self, asked: Request) -> Person | None:
        """Who asks; None: nobody we know. Raises StoreError."""
        if self.kind == "none":
            return NOBODY_ASKED
        if self.kind == "header":
            name = self._proxies.user(asked.environ, self._header)
            return self.logins.named(name, self._unknown, self.address(asked)) if name else None
        return self.logins.who(asked.cookies.get(self.cookie(asked), ""))

    def refusal(self, asked: Request) -> Response | None:
        """What one who may not ask for this address gets; None: they may. From here on `current` knows who asks. Raises StoreError."""
        g.person = None
        rule = asked.url_rule.rule if asked.url_rule is not None else ""
        least = permissions.least_of_route(asked.method, rule)
        if not rule or (least == "anyone" and rule != "/login"):
            return None  # there is no such address, or it is open: nobody need be known
        g.person = person = self.who(asked)
        if least == "anyone":
            return None
        if person is None:
            return self._ask_to_log_in(asked)
        if person.must_change and rule not in permissions.WITH_ANOTHERS_PASSWORD:
            return _to("/password") if _wants_page(asked) else _refuse(401, "change your password first, at /password")
        if not permissions.allowed(person.role, least):
            log.warning("refused", path=asked.path, who=person.name, role=person.role, needed=least)
            return _refuse(403, f"this needs the role {least}; yours is {person.role}")
        return None

    def callback_refusal(self, output: str) -> Response | None:
        """What one who may not call this callback gets; None: they may."""
        person, least = current(), permissions.least_of_callback(output)
        if permissions.allowed(person.role if person else None, least):
            return None
        log.warning("refused", callback=permissions.callback_key(output), who=person.name if person else "", needed=least)
        return _refuse(403, f"this needs the role {least or 'of nobody'}")

    def address(self, asked: Request) -> str:
        """Where a request comes from, through the proxies that we believe."""
        return self._proxies.client(asked.environ)

    def https(self, asked: Request) -> bool:
        """Whether the browser speaks TLS, with us or with a proxy."""
        return self._public_https or self._proxies.https(asked.environ)

    def cookie(self, asked: Request) -> str:
        """The name of our cookie. Cookies know no ports: a demo must not log one out of the dashboard beside it."""
        mark = hashlib.blake2b(asked.host.encode("utf-8", "replace"), digest_size=4).hexdigest()
        return f"__Host-tocsin-{mark}" if self.https(asked) else f"tocsin-{mark}"

    def let_in(self, asked: Request, response: Response, token: str) -> Response:
        """`response` with the cookie of a session."""
        response.set_cookie(
            self.cookie(asked),
            token,
            max_age=self.longest,
            path="/",
            httponly=True,
            samesite="Lax",  # links from chats and mails lead to an alert's page
            secure=self.https(asked),
        )
        return response

    def let_out(self, asked: Request, response: Response) -> Response:
        """`response` that takes the cookie away."""
        response.delete_cookie(self.cookie(asked), path="/", httponly=True, samesite="Lax", secure=self.https(asked))
        return response

    def _ask_to_log_in(self, asked: Request) -> Response:
        if self.kind == "header":
            return _refuse(403, "the proxy before this dashboard names nobody who may come in")
        if not _wants_page(asked):
            return _refuse(401, "log in first, at /login")
        path = asked.full_path.removesuffix("?")
        lang = "&lang=" + asked.args["lang"] if asked.args.get("lang") in ("en", "zh") else ""
        return _to("/login" + (f"?next={quote(path, safe='')}{lang}" if path != "/" else ""))


def current() -> Person | None:
    """Who asks, while a request is answered; None: nobody we know."""
    return g.get("person") if has_request_context() else None


def asking() -> str:
    """The name of the person whose request is being answered."""
    person = current()
    return (person or NOBODY_ASKED).name


def local_path(text: str) -> str:
    """Where to go after a login: a path of ours, "/" for anything else. Browsers read a backslash as a slash."""
    odd = any(ord(char) < 0x20 or char == "\\" for char in text)
    return text if text.startswith("/") and not odd and not text.startswith(("//", "/login", "/logout")) else "/"


def _wants_page(asked: Request) -> bool:
    """Whether a person waits for it, and not a script."""
    if asked.method not in ("GET", "HEAD") or asked.headers.get("Sec-Fetch-Dest", "document") != "document":
        return False
    return "text/html" in asked.headers.get("Accept", "text/html")


def _to(path: str) -> Response:
    answer = redirect(path, 303)
    return Response(answer.get_data(), status=303, headers=answer.headers)


def _refuse(status: int, reason: str) -> Response:
    return Response(reason + "\n", status=status, mimetype="text/plain")
