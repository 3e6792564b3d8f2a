"""The delivery log in a real browser: filters, resending and test messages."""

from __future__ import annotations

from tests.browser.conftest import Page, Site


def test_an_analyst_resends_a_delivery_and_sends_a_test(page: Page, site: Site):
    page.open("deliveries?lang=en")
    page.wait_for_text("#de-endpoints", "pager")
    page.wait_for_text("#de-rows", "connection refused")
    page.find(f"#de-rows a[href*='{site.ids['energy']}']")
    page.press("#de-rows input[type=checkbox][value^='pager']")
    page.press("#de-replay")
    page.wait_for_text("#de-message", "1 will be resent")
    page.wait_for_text("#de-rows", "requested by analyst")
    page.press("#de-endpoints input[value='desk-chat']")
    page.press("#de-test")
    page.wait_for_text("#de-message", "A test message will be sent to desk-chat")
    page.choose("#de-where", "desk-chat")
    page.wait(lambda: "pager" not in page.text("#de-rows"), "the others are filtered out")
    page.wait_for_text("#de-rows", "Delivered")


def test_the_page_fits_a_phone_in_chinese(page: Page):
    page.driver.set_window_size(420, 900)
    try:
        page.open("deliveries?lang=zh")
        page.wait_for_text("#de-endpoints", "pager")
        page.wait(lambda: page.js("return document.documentElement.scrollWidth <= window.innerWidth"), "no sideways scrolling")
    finally:
        page.driver.set_window_size(1440, 1800)
