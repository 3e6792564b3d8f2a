"""What an all-day dashboard does by itself: it hears of news without asking, finds its server again, and rings once for each alert."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Page, Site

COUNTED = """
window.asked = [];
const ask = window.fetch;
window.fetch = function (where, options) {
  if (String(where).includes('_dash-update') || String(where).includes('/live')) {
    const body = options && options.body ? JSON.parse(options.body) : {};
    window.asked.push([String(where), body.output || '']);
  }
  return ask.apply(this, arguments);
};
"""
"""Writes down what the page asks the server for."""
HEARD = """
window.strokes = 0;
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (when) { window.strokes += 1; return start.call(this, when); };
window.notices = [];
const Real = window.Notification;
window.Notification = class extends Real {
  constructor(title, options) { super(title, options); window.notices.push([title, options.body]); window.notice = this; }
};
"""
"""Writes down the notices and sounds that the page gives, and gives them."""


@pytest.fixture
def counted(page: Page) -> Iterator[Page]:
    script = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": COUNTED})
    yield page
    page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.fixture
def heard(page: Page, site: Site) -> Iterator[Page]:
    page.driver.execute_cdp_cmd("Browser.grantPermissions", {"origin": site.url.rstrip("/"), "permissions": ["notifications"]})
    script = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": HEARD})
    yield page
    page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    page.driver.execute_cdp_cmd("Browser.resetPermissions", {})


def outputs(page: Page) -> list[str]:
    return [output for where, output in page.js("return window.asked") if "_dash-update" in where]


def settled(page: Page, seconds: float = 3.0) -> None:
    """Wait until the page has asked for nothing for so long."""
    state = {"count": -1, "since": time.monotonic()}

    def quiet() -> bool:
        count = len(page.js("return window.asked"))
        if count != state["count"]:
            state.update(count=count, since=time.monotonic())
        return time.monotonic() - state["since"] >= seconds

    page.wait(quiet, "the page asks for nothing")


def test_an_alert_appears_without_reload_and_without_polling(counted: Page, site: Site):
    page = counted
    page.open("?lang=en")
    page.find("#ov-alerts .alert-card")
    page.says("#status", "live · updated")
    page.js("window.stays = 1")
    settled(page, 5.0)  # two and a half of the ticks that there once were
    before = len(page.js("return window.asked"))
    id_ = site.tell("alert")
    page.find(f".alert-card[href*='{id_}']")
    asked = page.js("return window.asked")[before:]
    assert 1 <= len(asked) <= 6, asked
    assert all("ov-problem" in output or "mv-table" in output for _, output in asked), "the page's own refresh and nothing else"
    assert page.js("return window.stays") == 1
    page.open("alerts?lang=en")
    page.find(f"#in-rows a[href*='{id_}']")
    settled(page)
    before = len(outputs(page))
    article, other = site.tell("article"), site.tell("alert")
    page.find(f"#in-rows a[href*='{other}']")
    assert article
    assert 1 <= len(outputs(page)) - before <= 4, "an inbox does not follow the news"


def test_a_page_of_what_nobody_tells_asks_by_the_clock_and_one_that_nothing_changes_does_not(counted: Page):
    page = counted
    page.open("system?lang=en")
    page.find("#sy-workers *")
    page.says("#status", "live · updated")
    before = len(outputs(page))
    page.wait(lambda: len(outputs(page)) >= before + 2, "it asks once more")
    page.open("rules?lang=en")
    page.find("#ru-text")
    page.says("#status", "live · updated")
    settled(page, 6.0)


def test_the_title_counts_what_is_open_and_ages_go_on_by_themselves(page: Page, site: Site):
    page.open("alerts?lang=en&state=open")
    page.find("#in-rows tbody tr")
    page.wait(lambda: page.driver.title == f"({len(page.all('#in-rows tbody tr'))}) Tocsin", "open alerts in the title")
    page.js("document.querySelector('time.ago').setAttribute('datetime', new Date(Date.now() - 7.5 * 60000).toISOString())")
    page.wait(lambda: page.text("time.ago") == "7 min ago", "the age is counted on in the browser")


def test_a_page_that_lost_its_server_says_so_and_recovers(page: Page, site: Site):
    page.open("?lang=en")
    page.find("#ov-alerts .alert-card")
    page.says("#status", "live")
    page.js("window.stays = 1")
    site.tell("down")
    try:
        page.says("#status", "reconnecting")
        page.says("#status", "stale: no answer for")
        assert page.all(".alert-card"), "what was seen stays"
    finally:
        site.tell("up")
    page.says("#status", "live · updated")
    id_ = site.tell("alert")
    page.find(f".alert-card[href*='{id_}']")
    assert page.js("return window.stays") == 1, "without a reload"
    lost = page.complaints()
    assert all("ERR_" in line or "the server did not respond" in line for line in lost), lost


@pytest.mark.parametrize("writes", [True, False])
def test_a_page_takes_an_update_of_the_program_up_but_never_somebodys_words(page: Page, site: Site, writes: bool):
    script = page.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {"source": "const real = performance.now; performance.now = () => real.call(performance) + 60000"},  # a page that was open for long
    )
    site.tell("update" if writes else "down")
    if not writes:
        site.tell("up")
    try:
        page.open(f"alert/{site.ids['energy']}?lang=en")
        page.says("#ac-timeline", "Firing")
        page.says("#status", "live")
        page.js("window.stays = 1")
        if writes:
            page.find("#ac-words").send_keys("half a thou")
        site.tell("down" if writes else "update")
        if writes:
            page.wait(lambda: not page.text("#status").startswith("live"), "the server went")
            site.tell("up")
            page.says("#status", "live")
            assert page.find("#ac-words").get_attribute("value") == "half a thou"
            assert page.js("return window.stays") == 1
        else:
            page.wait(lambda: page.js("return window.stays") is None, "it loads itself anew")
            page.says("#ac-timeline", "Firing")
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    assert all("ERR_" in line or "the server did not respond" in line for line in page.complaints())


def test_where_no_stream_comes_through_the_page_asks_and_says_nothing_wrong(page: Page, site: Site):
    script = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": "window.EventSource = undefined;" + COUNTED})
    try:
        page.open("?lang=en")
        page.find("#ov-alerts .alert-card")
        page.says("#status", "live · updated")
        settled_asks = len(outputs(page))
        id_ = site.tell("alert")
        page.find(f".alert-card[href*='{id_}']")
        assert len(outputs(page)) - settled_asks <= 6, "what did not change is not asked for"
        assert any(where.endswith("/live/state") for where, _ in page.js("return window.asked"))
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def look_away(page: Page, away: bool) -> None:
    """Headless tabs are all in front: the page is told that it is not."""
    hidden = "true" if away else "false"
    page.js(
        f"Object.defineProperty(document, 'hidden', {{get: () => {hidden}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


def test_a_hidden_tab_asks_for_nothing_and_catches_up(counted: Page, site: Site):
    page = counted
    page.open("?lang=en")
    page.find("#ov-alerts .alert-card")
    page.says("#status", "live")
    settled(page)
    look_away(page, True)
    before, title = len(outputs(page)), page.driver.title
    id_ = site.tell("alert")
    page.wait(lambda: page.driver.title != title, "it has heard of the alert")
    assert len(outputs(page)) == before
    assert not page.all(f".alert-card[href*='{id_}']")
    look_away(page, False)
    page.find(f".alert-card[href*='{id_}']")


def everywhere(page: Page, handles: list[str], script: str) -> list[Any]:
    found = []
    for handle in handles:
        page.driver.switch_to.window(handle)
        found.append(page.js(script))
    return found


def test_the_bell_is_off_until_it_is_pressed_and_stays_as_it_was_left(heard: Page):
    page = heard
    page.open("?lang=en")
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "false", "off")
    assert not page.find("#bell-level").is_displayed()
    assert page.js("return window.strokes") == 0
    page.press("#bell")
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "true", "on")
    page.wait(lambda: page.js("return window.strokes") == 2, "one hears how it sounds")
    page.choose("#bell-level", "Flash only")
    page.wait(lambda: page.js("return window.localStorage.getItem('tocsin.bell')") == "critical", "kept")
    page.driver.refresh()
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "true", "remembered")
    page.wait(lambda: page.find("#bell-level").get_attribute("value") == "Flash only", "this too")
    page.press("#bell")
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "false", "off again")


def test_a_new_alert_rings_once_in_however_many_tabs_and_leads_to_its_page(heard: Page, site: Site):
    page = heard
    page.open("?lang=en")
    page.press("#bell")
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "true", "on")
    handles = [page.driver.current_window_handle]
    try:
        page.driver.switch_to.new_window("window")
        page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": HEARD})
        handles.append(page.driver.current_window_handle)
        page.open("alerts?lang=en")
        page.find("#in-rows a")
        page.says("#status", "live")
        page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "true", "one switch for all tabs")
        everywhere(page, handles, "window.notices = []; window.strokes = 0")
        id_ = site.tell("alert")
        page.wait(lambda: any(everywhere(page, handles, "return window.notices.length")), "a notice")
        for handle in handles:  # both have heard of it
            page.driver.switch_to.window(handle)
            page.find(f"a[href*='{id_}']")
        notices = everywhere(page, handles, "return window.notices")
        assert sorted(map(len, notices)) == [0, 1], notices
        assert sorted(everywhere(page, handles, "return window.strokes")) == [0, 2]
        ((title, body),) = notices[0] or notices[1]
        assert title.startswith("Warning · NEW")
        assert body == "5 negative stories, 0.30 expected"
        told = json.loads(page.js("return window.localStorage.getItem('tocsin.told')"))
        assert told.count(id_) == 1
        page.driver.switch_to.window(handles[0 if notices[0] else 1])
        page.js("window.stays = 1; window.notice.dispatchEvent(new Event('click'))")
        page.says("#al-summary", "NEW")
        assert f"/alert/{id_}?" in page.driver.current_url
        assert page.js("return window.stays") == 1
    finally:
        for handle in handles[1:]:
            page.driver.switch_to.window(handle)
            page.driver.close()
        page.driver.switch_to.window(handles[0])


def test_an_alert_below_what_is_chosen_does_not_ring(heard: Page, site: Site):
    page = heard
    page.open("?lang=en")
    page.press("#bell")
    page.choose("#bell-level", "Flash only")
    page.wait(lambda: page.js("return window.localStorage.getItem('tocsin.bell')") == "critical", "chosen")
    page.js("window.notices = []")
    id_ = site.tell("alert")  # urgent
    page.find(f".alert-card[href*='{id_}']")
    assert page.js("return window.notices") == []
    assert str(page.find("#bell").get_attribute("title")).startswith("The bell is on: new alerts")
