"""The pages that need no Dash: log in, change one's password, log out. Plain forms, in both languages, without script where need be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import jinja2
from flask import Flask, Response, redirect, request

from core.errors import StoreError
from core.records import Language
from dashboard.i18n import text
from dashboard.web.authentication import Doors, current, local_path
from dashboard.web.sessions import Refused
from domain.accounts import MAX_NAME_CHARS, MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS

_ENVIRONMENT = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
TOO_MANY = 429


def language() -> Language:
    """The language of the page: as the address says, else as the browser likes it."""
    asked = request.values.get("lang", "")
    if asked in ("en", "zh"):
        return cast("Language", asked)
    return "zh" if request.accept_languages.best_match(["en", "zh"]) == "zh" else "en"


def refusal(refused: Refused, spoken: Language) -> str:
    """What is said of a login that did not succeed: the same whatever was wrong."""
    if refused.wait_s <= 0:
        return text("login.wrong", spoken)
    if refused.wait_s <= 90:
        return text("login.wait", spoken, s=refused.wait_s)
    return text("login.wait_minutes", spoken, n=-(-refused.wait_s // 60))


def install(server: Flask, doors: Doors, title: str) -> None:
    """Add the pages to `server`."""
    template = _ENVIRONMENT.from_string((Path(__file__).parent / "door.html").read_text(encoding="utf-8"))
    limits = {"name_chars": MAX_NAME_CHARS, "least_chars": MIN_PASSWORD_CHARS, "most_chars": MAX_PASSWORD_CHARS}

    def page(kind: str, trouble: str = "", status: int = 200, **values: Any) -> Response:
        spoken = language()
        person = current()
        shown = template.render(
            kind=kind,
            title=title,
            lang=spoken,
            text=lambda key, **named: text(key, spoken, **named),
            trouble=trouble,
            person=person,
            next=local_path(request.values.get("next", "/")),
            **limits,
            **values,
        )
        return Response(shown, status=status, mimetype="text/html")

    def say(refused: Refused) -> tuple[str, int]:
        return refusal(refused, language()), TOO_MANY if refused.wait_s else 401

    def to(path: str) -> Response:
        return cast("Response", redirect(path, 303))

    @server.get("/login")
    def login() -> Response:
        if doors.kind != "password" or current() is not None:
            return to(local_path(request.args.get("next", "/")))
        nobody = not doors.logins.anybody()
        return page("login", text("login.nobody", language()) if nobody else "", name="")

    @server.post("/login")
    def log_in() -> Response:
        if doors.kind != "password":
            return to("/")
        name = request.form.get("name", "")[: 2 * MAX_NAME_CHARS]
        try:
            token = doors.logins.log_in(name, request.form.get("password", ""), doors.address(request))
            if not isinstance(token, Refused):
                doors.logins.drop(request.cookies.get(doors.cookie(request), ""))
        except StoreError:
            return page("login", text("login.store", language()), 503, name=name)
        if isinstance(token, Refused):
            trouble, status = say(token)
            answer = page("login", trouble, status, name=name)
            if token.wait_s:
                answer.headers["Retry-After"] = str(token.wait_s)
            return answer
        return doors.let_in(request, to(local_path(request.form.get("next", "/"))), token)

    @server.post("/logout")
    def log_out() -> Response:
        person = current()
        if person is not None and person.session:
            doors.logins.log_out(person, doors.address(request))
        return doors.let_out(request, to("/login" + (f"?lang={language()}" if "lang" in request.values else "")))

    @server.get("/password")
    def password() -> Response:
        person = current()
        return page("password") if person is not None and person.session else to("/")

    @server.post("/password")
    def change() -> Response:
        person = current()
        if person is None or not person.session:
            return to("/")
        old, new = request.form.get("old", ""), request.form.get("new", "")
        if new != request.form.get("again", ""):
            return page("password", text("password.different", language()), 400)
        try:
            found = doors.logins.change_password(person, old, new, doors.address(request))
        except StoreError:
            return page("password", text("login.store", language()), 503)
        if isinstance(found, Refused):
            trouble, status = say(found)
            return page("password", trouble, status)
        if found in ("short", "long", "simple", "name", "same"):
            return page("password", text(f"password.{found}", language(), n=MIN_PASSWORD_CHARS), 400)
        return doors.let_in(request, to("/"), found)
