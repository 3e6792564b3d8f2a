"""A viewer can read everything and change nothing: no page offers forbidden actions, and the server rejects them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dashboard import shell
from dashboard.web.permissions import allowed, required_role_of_callback
from tests.browser.addresses import of_the_shell
from tests.browser.conftest import Page, Site

OFFERED = """
const same = (wanted, given) => Object.keys(wanted).every(key => wanted[key] === given[key] || typeof wanted[key] !== "string");
const fits = (wanted, id) => {
  if (typeof wanted === "string") return wanted === id;
  try { return same(wanted, JSON.parse(id)); } catch (_) { return false; }  // an id that is no pattern's
};
document.querySelectorAll("details").forEach(part => { part.open = true; });
return [...document.querySelectorAll("[id]")]
  .filter(e => arguments[0].some(wanted => fits(wanted, e.id)) && e.checkVisibility() && !e.disabled && !e.readOnly).map(e => e.id)
"""
FORGED = """
const [body, done] = [arguments[0], arguments[arguments.length - 1]];
fetch("/_dash-update-component", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)})
  .then(answer => done(answer.status), error => done(String(error)));
"""


def forbidden_callbacks(page: Page, role: Any) -> list[dict[str, Any]]:
    """The callbacks that are forbidden to a role, from /_dash-dependencies."""
    callbacks: list[dict[str, Any]] = page.driver.execute_async_script(
        "const done = arguments[0]; fetch('/_dash-dependencies').then(a => a.json()).then(done)"
    )
    return [each for each in callbacks if not each["clientside_function"] and not allowed(role, required_role_of_callback(each["output"]))]


def ids(node: Any) -> Iterator[str]:
    """The ids of a layout."""
    if getattr(node, "id", None) is not None:
        yield node.id
    children = getattr(node, "children", None)
    for child in children if isinstance(children, list) else [children] if children is not None else []:
        yield from ids(child)


def forged(callback: dict[str, Any]) -> dict[str, Any]:
    """The body that a browser would post if every button had been clicked."""
    places = [dict(zip(("id", "property"), place.rsplit(".", 1), strict=True)) for place in callback["output"].strip(".").split("...")]
    values = {"inputs": [{**item, "value": 1} for item in callback["inputs"]], "state": callback["state"]}
    changed = [f"{item['id']}.{item['property']}" for item in callback["inputs"]]
    outputs = places if callback["output"].startswith("..") else places[0]
    return {"output": callback["output"], "outputs": outputs, "changedPropIds": changed, **values}


@pytest.fixture
def looking(stranger: Page, viewer: dict[str, str]) -> Page:
    """The browser of a viewer."""
    stranger.let_in(viewer)
    return stranger


def test_no_page_offers_a_viewer_forbidden_actions(looking: Page, session: dict[str, str], site: Site):
    shell_ids = set(ids(shell.layout()))
    inputs = [item["id"] for each in forbidden_callbacks(looking, "viewer") for item in each["inputs"] if item["id"] not in shell_ids]
    buttons = [json.loads(id_) if id_.startswith("{") else id_ for id_ in inputs]
    assert {"ac-acknowledge", "ac-silence", "ar-save", "ru-save", "wa-save", "vi-save"} <= set(inputs)
    offered: dict[str, list[str]] = {}
    for address in of_the_shell():
        looking.open(address.of(site.ids, "en"))
        looking.settle()
        offered[address.name] = looking.js(OFFERED, buttons)
    assert {name: found for name, found in offered.items() if found} == {}
    assert looking.complaints() == [], "no page calls them by itself"
    looking.driver.delete_all_cookies()
    looking.let_in(session)
    looking.open(f"alert/{site.ids['energy']}?lang=en")
    looking.settle()
    assert "ac-silence" in looking.js(OFFERED, buttons), "an analyst has the action"


def test_the_server_rejects_forged_requests_of_a_viewer(looking: Page, site: Site):
    looking.open(f"alert/{site.ids['company']}?lang=en")
    looking.wait_for_text("#ac-timeline", "Firing")
    refused = forbidden_callbacks(looking, "viewer")
    answers = {each["output"]: looking.driver.execute_async_script(FORGED, forged(each)) for each in refused}
    assert answers
    assert set(answers.values()) == {403}, answers
    assert looking.driver.execute_async_script("const done = arguments[0]; fetch('/metrics').then(a => done(a.status))") == 403
    looking.driver.refresh()
    looking.settle()
    assert "No activity yet." in looking.text("#ac-timeline")
    assert all("status of 403" in line for line in looking.complaints())
