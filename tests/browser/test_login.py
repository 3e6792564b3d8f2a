"""The doors as a person meets them: the first login, the way out, a login that ended, a role that is not enough."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.browser.conftest import Page, Site
from tests.browser.site import PASSWORD

CHOSEN = "seven grey herons"


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        field = page.find(f"#{name}")
        field.clear()
        field.send_keys(value)
    page.press("button[type=submit].main")


def reads(page: Page, css: str) -> str:
    return str(page.js(f"return getComputedStyle(document.querySelector('{css}')).backgroundColor"))


def refusals(page: Page) -> None:
    """What the console says of answers that refuse; everything else still fails the test."""
    said = page.complaints()
    assert all("status of 4" in line for line in said), said


def test_the_first_login_chooses_a_password_sees_the_overview_and_leaves(stranger: Page, site: Site):
    page = stranger
    page.open("?lang=en")
    page.says("h1", "Log in")
    page.driver.get("about:blank")  # a link that differs behind the # alone is no new page
    page.driver.get(site.ids["link"])
    page.wait(lambda: page.find("#name").get_attribute("value") == "admin", "the name is filled in")
    assert "#" not in page.driver.current_url, "the password is not left in the address"
    page.press("button[type=submit].main")
    page.says("h1", "Change your password")
    page.says(".muted", "Somebody else made the password")
    one_time = site.ids["link"].rpartition(":")[2]
    fill(page, old=one_time, new=CHOSEN, again=CHOSEN + "!")
    page.says("#trouble", "not the same")
    fill(page, old=one_time, new=CHOSEN, again=CHOSEN)
    page.find("#ov-alerts .alert-card")
    assert page.text("#person") == "admin"
    page.press("#logout")
    page.says("h1", "Log in")
    page.open("?lang=en")
    page.says("h1", "Log in")
    fill(page, name="admin", password=one_time)
    page.says("#trouble", "Name or password is not right.")
    fill(page, name="Admin", password=CHOSEN)
    page.find("#ov-alerts .alert-card")
    refusals(page)


def test_a_viewer_sees_and_is_refused_what_is_an_analysts(stranger: Page):
    stranger.open("alert/nope?lang=zh")
    stranger.says("h1", "登录")
    assert stranger.js("return document.documentElement.lang") == "zh-CN"
    fill(stranger, name="viewer", password=PASSWORD)
    stranger.says("#page", "没有该编号的警报")  # it led to where one wanted to go
    assert stranger.js("return fetch('/metrics').then(answer => answer.status)") == 403
    refusals(stranger)


def test_a_login_that_ended_leads_to_the_login_and_back(page: Page, site: Site):
    page.open("?lang=en&range=6h")
    page.find("#ov-alerts .alert-card")
    page.driver.add_cookie({"name": page.driver.get_cookies()[0]["name"], "value": "x", "httpOnly": True, "sameSite": "Lax"})
    page.says("h1", "Log in")
    fill(page, name="analyst", password=PASSWORD)
    page.find("#ov-alerts .alert-card")
    assert "range=6h" in page.driver.current_url
    refusals(page)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_login_is_labelled_and_follows_the_theme(stranger: Page, lang: str):
    page = stranger
    page.open(f"login?lang={lang}")
    light = reads(page, "body")
    labelled: Any = page.js("return [...document.querySelectorAll('input:not([type=hidden])')].map(e => e.labels.length)")
    assert labelled == [1, 1]
    page.wait(lambda: page.js("return document.activeElement.id") == "name", "the cursor stands in the first field")
    page.js("window.localStorage.setItem('tocsin.theme', 'dark')")
    page.driver.refresh()
    page.wait(lambda: reads(page, "body") != light, "a dark ground")
    other = page.find(".languages a[lang='en']" if lang == "zh" else ".languages a[lang='zh-CN']")
    other.click()
    page.wait(lambda: page.driver.find_element(By.CSS_SELECTOR, "h1").text == ("Log in" if lang == "zh" else "登录"), "the other language")
    assert page.js("return document.documentElement.scrollWidth <= window.innerWidth")
