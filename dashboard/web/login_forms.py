"""The pages without Dash: log in, change the password, log out. HTML forms in both languages that work without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import jinja2
from flask import Flask, Response, redirect, request

from core.errors import StoreError
from core.records import Language
from core.untrusted_text import local_path
from dashboard.i18n import text
from dashboard.web.authentication import Authenticator, current_person
from dashboard.web.sessions import LoginRejected
from domain.accounts import MAX_NAME_CHARS, MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS

_ENVIRONMENT = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
TOO_MANY_REQUESTS = 429


def page_language() -> Language:
    """Language of the page: from the address, else the one that the browser prefers."""
    requested = request.values.get("lang", "")
    if requested in ("en", "zh"):
        return cast("Language", requested)
    return "zh" if request.accept_languages.best_match(["en", "zh"]) == "zh" else "en"


def rejection_text(rejected: LoginRejected, language: Language) -> str:
    """Message for a login that failed; the same whatever was wrong."""
    if rejected.wait_s <= 0:
        return text("login.wrong", language)
    if rejected.wait_s <= 90:
        return text("login.wait", language, s=rejected.wait_s)
    return text("login.wait_minutes", language, n=-(-rejected.wait_s // 60))


def install(server: Flask, authenticator: Authenticator, title: str) -> None:
    """Add the pages to `server`."""
    template = _ENVIRONMENT.from_string((Path(__file__).parent / "login.html").read_text(encoding="utf-8"))
    limits = {"max_name_chars": MAX_NAME_CHARS, "min_password_chars": MIN_PASSWORD_CHARS, "max_password_chars": MAX_PASSWORD_CHARS}

    def render(kind: str, error: str = "", status: int = 200, **values: Any) -> Response:
        language = page_language()
        html = template.render(
            kind=kind,
            title=title,
            lang=language,
            text=lambda key, **named: text(key, language, **named),
            error=error,
            person=current_person(),
            next=local_path(request.values.get("next", "/")),
            **limits,
            **values,
        )
        return Response(html, status=status, mimetype="text/html")

    def rejection(rejected: LoginRejected) -> tuple[str, int]:
        return rejection_text(rejected, page_language()), TOO_MANY_REQUESTS if rejected.wait_s else 401

    def see_other(path: str) -> Response:
        return cast("Response", redirect(path, 303))

    @server.get("/login")
    def login_page() -> Response:
        if authenticator.mode != "password" or current_person() is not None:
            return see_other(local_path(request.args.get("next", "/")))
        no_accounts = not authenticator.sessions.has_accounts()
        return render("login", text("login.nobody", page_language()) if no_accounts else "", name="")

    @server.post("/login")
    def log_in() -> Response:
        if authenticator.mode != "password":
            return see_other("/")
        name = request.form.get("name", "")[: 2 * MAX_NAME_CHARS]
        try:
            token = authenticator.sessions.log_in(name, request.form.get("password", ""), authenticator.client_address(request))
            if not isinstance(token, LoginRejected):
                authenticator.sessions.end(request.cookies.get(authenticator.cookie_name(request), ""))
        except StoreError:
            return render("login", text("login.store", page_language()), 503, name=name)
        if isinstance(token, LoginRejected):
            error, status = rejection(token)
            response = render("login", error, status, name=name)
            if token.wait_s:
                response.headers["Retry-After"] = str(token.wait_s)
            return response
        return authenticator.set_cookie(request, see_other(local_path(request.form.get("next", "/"))), token)

    @server.post("/logout")
    def log_out() -> Response:
        person = current_person()
        if person is not None and person.session:
            authenticator.sessions.log_out(person, authenticator.client_address(request))
        login_path = "/login" + (f"?lang={page_language()}" if "lang" in request.values else "")
        return authenticator.delete_cookie(request, see_other(login_path))

    @server.get("/password")
    def password_page() -> Response:
        person = current_person()
        return render("password") if person is not None and person.session else see_other("/")

    @server.post("/password")
    def change_password() -> Response:
        person = current_person()
        if person is None or not person.session:
            return see_other("/")
        old, new = request.form.get("old", ""), request.form.get("new", "")
        if new != request.form.get("again", ""):
            return render("password", text("password.different", page_language()), 400)
        try:
            result = authenticator.sessions.change_password(person, old, new, authenticator.client_address(request))
        except StoreError:
            return render("password", text("login.store", page_language()), 503)
        if isinstance(result, LoginRejected):
            error, status = rejection(result)
            return render("password", error, status)
        if result in ("short", "long", "simple", "name", "same"):
            return render("password", text(f"password.{result}", page_language(), n=MIN_PASSWORD_CHARS), 400)
        return authenticator.set_cookie(request, see_other("/"), result)
