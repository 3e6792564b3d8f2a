"""The inbox and the actions of an alert in a real browser: results appear without a reload, and input is not lost."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Page, Site


def typed(page: Page, field: str, words: str) -> None:
    page.find(field).clear()
    page.find(field).send_keys(words)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_alert_is_acknowledged_commented_silenced_and_resolved(page: Page, site: Site, lang: str):
    key = site.send("alert")
    english = lang == "en"
    page.open(f"alerts?lang={lang}")
    page.press(f"#in-rows a[href*='{key}']")
    page.wait_for_text("#ac-timeline", "No activity yet." if english else "暂无处理记录。")
    assert page.find("#ac-unacknowledge").get_attribute("disabled")
    page.press("#ac-acknowledge")
    page.wait_for_text("#ac-timeline", "acknowledged the alert" if english else "确认了告警")
    page.wait(lambda: page.find("#ac-acknowledge").get_attribute("disabled"), "who acknowledged cannot do so again")
    typed(page, "#ac-words", "已联系交易台 <b>now</b>")
    page.press("#ac-note")
    page.wait_for_text("#ac-timeline", "已联系交易台 <b>now</b>")
    page.wait(lambda: page.find("#ac-words").get_attribute("value") == "", "the field is free for the next note")
    page.press("#ac-silence")
    page.wait_for_text("#ac-message", "✗ a silence needs a comment")
    typed(page, "#ac-reason", "年报季 / results season")
    page.press("#ac-silence")
    page.wait_for_text("#ac-timeline", "Silenced by analyst" if english else "已由 analyst 静默至")
    page.press("#ac-resolve")
    page.wait_for_text("#ac-timeline", "resolved the alert" if english else "解决了告警")
    page.open(f"alerts?lang={lang}")
    page.find("#in-rows")
    page.wait(lambda: not page.all(f"#in-rows a[href*='{key}']"), "what is resolved leaves the open ones")
    page.open(f"alerts?lang={lang}&state=resolved")
    page.find(f"#in-rows a[href*='{key}']")
    page.press("#states input[value='all'] + label")
    page.wait(lambda: "state=all" in page.driver.current_url, "the state is in the address")
    page.find(f"#in-rows a[href*='{site.ids['energy']}']")


def test_a_field_keeps_its_input_while_the_page_is_refreshed(page: Page, site: Site):
    page.open(f"alert/{site.ids['company']}?lang=en")
    page.wait_for_text("#ac-timeline", "Firing")
    typed(page, "#ac-words", "half a thou")
    before = page.text("#status")
    page.wait(lambda: page.text("#status") != before, "the page is refreshed")
    assert page.find("#ac-words").get_attribute("value") == "half a thou"


def test_the_inbox_shows_that_the_store_is_down_and_recovers(page: Page, site: Site):
    page.open("alerts?lang=en")
    page.find(f"#in-rows a[href*='{site.ids['energy']}']")
    site.send("break")
    try:
        page.wait_for_text("#in-problem", "The database does not respond")
    finally:
        site.send("mend")
    page.wait(lambda: page.text("#in-problem") == "", "it recovers by itself")
    page.find(f"#in-rows a[href*='{site.ids['energy']}']")
