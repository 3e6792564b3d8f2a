"""Logging in and out in the browser: first login, expired session, insufficient role."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.browser.conftest import Page, Site, fill, refusals
from tests.browser.site import PASSWORD

CHOSEN = "seven grey herons"


def background(page: Page, css: str) -> str:
    return str(page.js(f"return getComputedStyle(document.querySelector('{css}')).backgroundColor"))


def test_the_first_login_sets_a_password_shows_the_overview_and_logs_out(stranger: Page, site: Site):
    page = stranger
    page.open("?lang=en")
    page.wait_for_text("h1", "Log in")
    page.driver.get("about:blank")  # a different fragment alone loads no new page
    page.driver.get(site.ids["link"])
    page.wait(lambda: page.find("#name").get_attribute("value") == "admin", "the name is filled in")
    assert "#" not in page.driver.current_url, "the password is removed from the address"
    page.press("button[type=submit].main")
    page.wait_for_text("h1", "Change your password")
    page.wait_for_text(".muted", "set by someone else")
    one_time = site.ids["link"].rpartition(":")[2]
    fill(page, old=one_time, new=CHOSEN, again=CHOSEN + "!")
    page.wait_for_text("#error", "differ")
    fill(page, old=one_time, new=CHOSEN, again=CHOSEN)
    page.find("#ov-alerts .alert-card")
    assert page.text("#person") == "admin"
    page.press("#logout")
    page.wait_for_text("h1", "Log in")
    page.open("?lang=en")
    page.wait_for_text("h1", "Log in")
    fill(page, name="admin", password=one_time)
    page.wait_for_text("#error", "Wrong name or password.")
    fill(page, name="Admin", password=CHOSEN)
    page.find("#ov-alerts .alert-card")
    refusals(page)


def test_a_viewer_can_log_in_and_is_denied_what_needs_an_analyst(stranger: Page):
    stranger.open("alert/nope?lang=zh")
    stranger.wait_for_text("h1", "登录")
    assert stranger.js("return document.documentElement.lang") == "zh-CN"
    fill(stranger, name="viewer", password=PASSWORD)
    stranger.wait_for_text("#page", "没有该编号的告警")  # redirected to the requested page
    assert stranger.js("return fetch('/metrics').then(answer => answer.status)") == 403
    refusals(stranger)


def test_an_expired_session_redirects_to_the_login_and_back(page: Page, site: Site):
    page.open("?lang=en&range=6h")
    page.find("#ov-alerts .alert-card")
    page.driver.add_cookie({"name": page.driver.get_cookies()[0]["name"], "value": "x", "httpOnly": True, "sameSite": "Lax"})
    page.wait_for_text("h1", "Log in")
    fill(page, name="analyst", password=PASSWORD)
    page.find("#ov-alerts .alert-card")
    assert "range=6h" in page.driver.current_url
    refusals(page)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_login_form_is_labelled_and_follows_the_theme(stranger: Page, lang: str):
    page = stranger
    page.open(f"login?lang={lang}")
    light = background(page, "body")
    labelled: Any = page.js("return [...document.querySelectorAll('input:not([type=hidden])')].map(e => e.labels.length)")
    assert labelled == [1, 1]
    page.wait(lambda: page.js("return document.activeElement.id") == "name", "the first field has the focus")
    page.js("window.localStorage.setItem('tocsin.theme', 'dark')")
    page.driver.refresh()
    page.wait(lambda: background(page, "body") != light, "a dark background")
    other = page.find(".languages a[lang='en']" if lang == "zh" else ".languages a[lang='zh-CN']")
    other.click()
    page.wait(lambda: page.driver.find_element(By.CSS_SELECTOR, "h1").text == ("Log in" if lang == "zh" else "登录"), "the other language")
    assert page.js("return document.documentElement.scrollWidth <= window.innerWidth")
