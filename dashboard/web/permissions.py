"""Who may ask for what: every address and every callback of the dashboard, with the least role that may use it.

What does not stand here is refused to everybody; a test fails for what is missing, and one tries each line with each role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from domain.accounts import Role, may

Least = Role | Literal["anyone"]

PAGES = ("/", "/<path:path>")
"""Pages are drawn in the browser: their address is the same for all, and says nothing."""

API_PREFIX = "/api/"

ROUTES: Mapping[tuple[str, str], Least] = {
    ("GET", "/"): "viewer",
    ("GET", "/<path:path>"): "viewer",
    ("GET", "/_dash-layout"): "viewer",
    ("GET", "/_dash-dependencies"): "viewer",
    ("GET", "/_reload-hash"): "viewer",
    ("POST", "/_dash-update-component"): "viewer",  # and then the callback's own
    ("GET", "/export/articles.csv"): "viewer",
    ("GET", "/export/series.csv"): "viewer",
    ("GET", "/export/audit.csv"): "admin",
    ("GET", "/live"): "viewer",
    ("GET", "/live/state"): "viewer",
    ("GET", "/metrics"): "analyst",
    ("GET", "/password"): "viewer",
    ("POST", "/password"): "viewer",
    ("POST", "/logout"): "viewer",
    # what a browser needs before anybody is known, and what a machine asks about our health
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
    # by the first place that it fills
    "header.children": "viewer",
    "ov-problem.children": "viewer",
    "mv-table.children": "viewer",
    "al-problem.children": "viewer",
    "in-problem.children": "viewer",
    "fd-problem.children": "viewer",
    "ar-problem.children": "viewer",
    "ar-reasons.children": "viewer",
    "se-problem.children": "viewer",
    "ac-life.children": "viewer",
    "ru-text.value": "viewer",
    "ru-said.children": "analyst",
    "vi-list.children": "viewer",
    "wa-text.value": "viewer",
    "wa-said.children": "analyst",
    "sr-problem.children": "viewer",
    "sr-found.children": "analyst",
    "sy-problem.children": "viewer",
    "sy-lag.children": "viewer",
    "de-problem.children": "viewer",
    "vd-given.children": "viewer",
    "pr-table.children": "viewer",
    "mo-problem.children": "viewer",
    "mo-news-problem.children": "viewer",
    "mo-which.data": "admin",
    "mo-dialog.opened": "admin",
    # what changes something
    "vi-said.children": "analyst",
    "vi-gone.children": "analyst",
    "wa-kept.children": "analyst",
    "ac-said.children": "analyst",
    "ar-said.children": "analyst",
    "ru-kept.children": "analyst",
    "sr-kept.children": "admin",
    "sr-gone.children": "admin",
    "sr-added.data": "admin",
    "de-said.children": "analyst",
    "vd-said.children": "analyst",
    # who may come in, and what was done
    "pe-problem.children": "admin",
    "pe-said.children": "admin",
    "tk-said.children": "admin",
    "au-rows.children": "admin",
    "mo-said.children": "admin",
}

WITH_ANOTHERS_PASSWORD = frozenset({"/password", "/logout"})
"""All that may be asked for while the password is one that somebody else made."""


def least_of_route(method: str, rule: str) -> Least | None:
    """The least role for an address; None: it is nobody's. Those of the API ask for tokens, in api."""
    if rule.startswith(API_PREFIX):
        return "anyone"
    return ROUTES.get(("POST" if method == "POST" else "GET", rule)) or (ROUTES.get(("POST", rule)) if method == "OPTIONS" else None)


def callback_key(output: str) -> str:
    """What a callback is called in the table: the first of its outputs, as Dash names them."""
    return output.removeprefix("..").removesuffix("..").split("...")[0].split("@")[0]


def least_of_callback(output: str) -> Role | None:
    """The least role for a callback; None: it is nobody's."""
    return CALLBACKS.get(callback_key(output))


def allowed(role: Role | None, least: Least | None) -> bool:
    """Whether a role (None: nobody is logged in) is enough."""
    if least == "anyone":
        return True
    return role is not None and least is not None and may(role, least)
