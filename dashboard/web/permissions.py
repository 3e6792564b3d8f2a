"""Permissions of the dashboard: the role that each route and each callback requires.

What is not listed is forbidden to everybody. Tests check that nothing is missing, and try each entry with each role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from domain.accounts import Role, may

RequiredRole = Role | Literal["anyone"]

PAGES = ("/", "/<path:path>")
"""Pages are drawn in the browser: these routes return the same document for all of them."""

API_PREFIX = "/api/"

ROUTES: Mapping[tuple[str, str], RequiredRole] = {
    ("GET", "/"): "viewer",
    ("GET", "/<path:path>"): "viewer",
    ("GET", "/_dash-layout"): "viewer",
    ("GET", "/_dash-dependencies"): "viewer",
    ("GET", "/_reload-hash"): "viewer",
    ("POST", "/_dash-update-component"): "viewer",  # and then the role of the callback
    ("GET", "/export/articles.csv"): "viewer",
    ("GET", "/export/series.csv"): "viewer",
    ("GET", "/export/audit.csv"): "admin",
    ("GET", "/live"): "viewer",
    ("GET", "/live/state"): "viewer",
    ("GET", "/metrics"): "analyst",
    ("GET", "/password"): "viewer",
    ("POST", "/password"): "viewer",
    ("POST", "/logout"): "viewer",
    # before the login, and for health checks
    ("GET", "/login"): "anyone",
    ("POST", "/login"): "anyone",
    ("GET", "/healthz"): "anyone",
    ("GET", "/readyz"): "anyone",
    ("GET", "/assets/<path:filename>"): "anyone",
    ("GET", "/_dash-component-suites/plotly/package_data/plotly.min.js"): "anyone",
    ("GET", "/_dash-component-suites/<string:package_name>/<path:fingerprinted_path>"): "anyone",
    ("GET", "/_favicon.ico"): "anyone",
}

CALLBACKS: Mapping[str, Role] = {
    # by the first output
    "header.children": "viewer",
    "ov-problem.children": "viewer",
    "mv-table.children": "viewer",
    "al-problem.children": "viewer",
    "in-problem.children": "viewer",
    "fd-problem.children": "viewer",
    "ar-problem.children": "viewer",
    "ar-explanation.children": "viewer",
    "se-problem.children": "viewer",
    "ac-timeline.children": "viewer",
    "ru-text.value": "viewer",
    "ru-message.children": "analyst",
    "vi-list.children": "viewer",
    "wa-text.value": "viewer",
    "wa-message.children": "analyst",
    "sr-problem.children": "viewer",
    "sr-found.children": "analyst",
    "sy-problem.children": "viewer",
    "sy-lag.children": "viewer",
    "de-problem.children": "viewer",
    "vd-ratings.children": "viewer",
    "pr-table.children": "viewer",
    "mo-problem.children": "viewer",
    "mo-news-problem.children": "viewer",
    "mo-which.data": "admin",
    "mo-dialog.opened": "admin",
    # changes
    "vi-message.children": "analyst",
    "vi-removed.children": "analyst",
    "wa-saved.children": "analyst",
    "ac-message.children": "analyst",
    "ar-message.children": "analyst",
    "ru-saved.children": "analyst",
    "sr-saved.children": "admin",
    "sr-removed.children": "admin",
    "sr-added.data": "admin",
    "de-message.children": "analyst",
    "vd-message.children": "analyst",
    # accounts, tokens and the audit log
    "pe-problem.children": "admin",
    "pe-message.children": "admin",
    "tk-message.children": "admin",
    "au-rows.children": "admin",
    "mo-message.children": "admin",
}

ALLOWED_BEFORE_PASSWORD_CHANGE = frozenset({"/password", "/logout"})
"""Routes that are allowed while the password is one that an admin set."""


def required_role_of_route(method: str, rule: str) -> RequiredRole | None:
    """The role for a route; None if it is not listed. Routes of the API are public here: they authenticate by token."""
    if rule.startswith(API_PREFIX):
        return "anyone"
    return ROUTES.get(("POST" if method == "POST" else "GET", rule)) or (ROUTES.get(("POST", rule)) if method == "OPTIONS" else None)


def callback_key(output: str) -> str:
    """Key of a callback in CALLBACKS: the first of its outputs, in Dash's notation."""
    return output.removeprefix("..").removesuffix("..").split("...")[0].split("@")[0]


def required_role_of_callback(output: str) -> Role | None:
    """The role for a callback; None if it is not listed."""
    return CALLBACKS.get(callback_key(output))


def allowed(role: Role | None, required: RequiredRole | None) -> bool:
    """Whether a role is sufficient. role: None without a login; required: None forbids everybody."""
    if required == "anyone":
        return True
    return role is not None and required is not None and may(role, required)
