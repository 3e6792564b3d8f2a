"""The page of models in a real browser: analysts can read it, and admins confirm each action."""

from __future__ import annotations

import urllib.parse

import pytest

from tests.browser.conftest import Page, Site, cookie_of
from tests.browser.versions import FIRST, LOSER, SECOND


@pytest.fixture
def admin(stranger: Page, site: Site) -> Page:
    """The browser of an admin."""
    stranger.driver.add_cookie({**cookie_of(site, "chief"), "httpOnly": True, "sameSite": "Lax"})
    return stranger


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_analyst_sees_everything_but_no_button(page: Page, lang: str):
    page.open(f"?lang={lang}")
    page.operations("/models")
    page.wait_for_text("#mo-champion", SECOND)
    page.wait_for_text("#mo-champion", "by the promotion gate of a refresh" if lang == "en" else "由模型更新的准入检查决定")
    page.wait_for_text("#mo-contest-note", FIRST)
    page.find("#mo-contest .scatterlayer .trace")
    page.find("#mo-curve-zh .scatterlayer .trace")
    page.find("#mo-days .scatterlayer .trace")
    page.find("#mo-topics .annotation-text, #mo-topics .scatterlayer .trace")
    page.wait_for_text("#mo-history", LOSER)
    page.wait_for_text("#mo-versions", SECOND)
    assert "fpb" in page.text("#mo-card")
    assert page.all("#mo-do-refresh, #mo-do-promote, #mo-do-rollback, #mo-which") == []
    assert page.js("return document.documentElement.scrollWidth <= window.innerWidth") is True


def test_forged_requests_of_an_analyst_are_rejected(page: Page):
    page.open("models?lang=en")
    page.wait_for_text("#mo-champion", SECOND)
    sent = (
        "const part = (id, property, value) => ({id, property, value});"
        "return fetch('/_dash-dependencies').then(a => a.json()).then(all => {"
        "  const known = all.find(each => each.output.includes('mo-message.children'));"
        "  const places = known.output.replace(/^\\.\\.|\\.\\.$/g, '').split('...').map(each => each.split('.'));"
        "  return fetch('/_dash-update-component', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({"
        "    output: known.output, outputs: places.map(([id, property]) => ({id, property})), changedPropIds: ['mo-confirm.n_clicks'],"
        "    inputs: known.inputs.map(each => part(each.id, each.property, 1)),"
        "    state: known.state.map(each => part(each.id, each.property,"
        "      each.id === 'mo-asked' ? {what: 'rollback', version: '', champion: 'invented'} : null))})});"
        "}).then(answer => answer.status)"
    )
    assert page.js(sent) == 403
    page.driver.refresh()
    page.wait_for_text("#mo-champion", SECOND)
    assert all("status of 403" in line for line in page.complaints())


def test_an_admin_promotes_and_rolls_back_after_confirming(admin: Page, site: Site):
    admin.open("models?lang=en")
    admin.press("#mo-do-promote")
    admin.wait_for_text("#mo-question", "Select a version first.")
    assert admin.find("#mo-confirm").get_attribute("disabled")
    admin.press("#mo-cancel")
    admin.wait(lambda: not admin.all("#mo-question"), "the question is gone")
    admin.choose("#mo-which", LOSER)
    admin.press("#mo-do-promote")
    admin.wait_for_text("#mo-question", f"Replace {SECOND} with {LOSER}?")
    admin.wait_for_text("#mo-question", "lost 3.1 points")
    admin.wait_for_text("#mo-champion", SECOND)
    admin.find("#mo-why").send_keys("对手更好 <b>x</b>")
    admin.press("#mo-confirm")
    admin.wait_for_text("#mo-message", f"{LOSER} is now the champion.")
    admin.wait_for_text("#mo-champion", LOSER)
    admin.wait_for_text("#mo-champion", "by chief")
    admin.wait_for_text("#mo-history", "对手更好 <b>x</b>")
    admin.press("#mo-do-rollback")
    admin.wait_for_text("#mo-question", f"Roll back from {LOSER} to {SECOND}?")
    admin.press("#mo-confirm")
    admin.wait_for_text("#mo-message", f"Rolled back; {SECOND} is now the champion.")
    admin.wait_for_text("#mo-champion", SECOND)
    found_text = [(each["actor"], each["action"], each["target"]) for each in site.send("audit")]
    assert found_text[:2] == [("chief", "model rolled back", SECOND), ("chief", "model promoted", LOSER)]


def test_a_refresh_runs_in_the_background_and_its_result_is_shown(admin: Page, site: Site):
    admin.open("models?lang=zh")
    admin.press("#mo-do-refresh")
    admin.wait_for_text("#mo-question", "用人工标注训练新版本")
    admin.press("#mo-confirm")
    admin.wait_for_text("#mo-message", "模型更新已启动")
    admin.wait_for_text("#mo-refreshing", "chief")
    admin.wait_for_text("#mo-refreshing", "新标注不足", timeout_s=200)  # too few labels; the program loads torch first
    ended = ("chief", "refresh ended")
    admin.wait(lambda: ended in [(each["actor"], each["action"]) for each in site.send("audit")], "it stands in the audit log")


def test_the_page_does_not_scroll_sideways_on_a_phone(page: Page):
    page.driver.set_window_size(390, 900)
    try:
        page.open("models?" + urllib.parse.urlencode({"lang": "zh"}))
        page.wait_for_text("#mo-champion", SECOND)
        page.find("#mo-days .scatterlayer .trace")
        assert page.js("return document.documentElement.scrollWidth <= window.innerWidth + 1") is True
    finally:
        page.driver.set_window_size(1440, 1800)
