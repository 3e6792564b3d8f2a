"""The page of people in a real browser: an admin adds accounts and tokens; other roles have no access."""

from __future__ import annotations

from tests.browser.conftest import Page, Site, fill, refusals
from tests.browser.site import PASSWORD


def log_in(page: Page, name: str, path: str, password: str = PASSWORD) -> None:
    page.open(path)
    page.wait_for_text("h1", "Log in")
    fill(page, name=name, password=password)


def test_an_admin_adds_an_account_creates_a_token_and_reads_the_log(stranger: Page, site: Site):
    page, name = stranger, "newcomer"
    log_in(page, "chief", "people?lang=en")
    page.wait_for_text("#pe-rows", "analyst")
    page.wait_for_text(".pages summary.current", "Operations")
    page.find("#pe-name").send_keys(name)
    page.press("#pe-add")
    page.wait_for_text("#pe-message", f"{name} (viewer): password for the first login")
    password = page.text("#pe-message .secret")
    page.wait_for_text("#pe-rows", name)
    page.press(f"#pe-rows input[value='{name}']")
    page.press("#pe-disable")
    page.wait_for_text("#pe-message", f"{name} is disabled")
    page.press("#pe-enable")
    page.wait_for_text("#pe-message", f"{name} is enabled")
    page.find("#tk-name").send_keys("desk")
    page.press("#tk-make")
    page.wait_for_text("#tk-message", "shown only once")
    assert page.text("#tk-message .secret").startswith("tocsin_")
    page.wait_for_text("#tk-rows", "desk")
    page.wait_for_text("#au-rows", "created a token")
    page.wait_for_text("#au-rows", "enabled an account")
    assert password not in page.text("#au-rows")
    exported = page.js("return fetch(document.querySelector('#au-export').href).then(answer => answer.text())")
    assert "account added" in exported
    page.press("#logout")
    log_in(page, name, "people?lang=en", password)
    page.wait_for_text("h1", "Change your password")
    refusals(page)


def test_others_see_that_the_page_requires_an_admin(page: Page, site: Site):
    page.open("people?lang=en")
    page.wait_for_text("#page", "This page requires the admin role")
    assert not page.all(".pages a[href*='/people']")
    assert page.js("return fetch('/export/audit.csv').then(answer => answer.status)") == 403
    refusals(page)
