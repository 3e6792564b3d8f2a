"""Live updates: changes without polling, reconnecting, and one notification per alert."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Page, Site

COUNT_REQUESTS = """
window.requests = [];
const originalFetch = window.fetch;
window.fetch = function (where, options) {
  if (String(where).includes('_dash-update') || String(where).includes('/live')) {
    const body = options && options.body ? JSON.parse(options.body) : {};
    window.requests.push([String(where), body.output || '']);
  }
  return originalFetch.apply(this, arguments);
};
"""
"""Records the requests of the page."""
RECORD_NOTIFICATIONS = """
window.strokes = 0;
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (when) { window.strokes += 1; return start.call(this, when); };
window.notices = [];
const Real = window.Notification;
window.Notification = class extends Real {
  constructor(title, options) { super(title, options); window.notices.push([title, options.body]); window.notice = this; }
};
"""
"""Records notifications and sounds, and passes them on."""


@pytest.fixture
def counted(page: Page) -> Iterator[Page]:
    script = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": COUNT_REQUESTS})
    yield page
    page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.fixture
def notified(page: Page, site: Site) -> Iterator[Page]:
    page.driver.execute_cdp_cmd("Browser.grantPermissions", {"origin": site.url.rstrip("/"), "permissions": ["notifications"]})
    script = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": RECORD_NOTIFICATIONS})
    yield page
    page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    page.driver.execute_cdp_cmd("Browser.resetPermissions", {})


def outputs(page: Page) -> list[str]:
    return [output for where, output in page.js("return window.requests") if "_dash-update" in where]


def settled(page: Page, seconds: float = 3.0) -> None:
    """Wait until the page has sent no request for so long."""
    state = {"count": -1, "since": time.monotonic()}

    def quiet() -> bool:
        count = len(page.js("return window.requests"))
        if count != state["count"]:
            state.update(count=count, since=time.monotonic())
        return time.monotonic() - state["since"] >= seconds

    page.wait(quiet, "no more requests")


def test_an_alert_appears_without_reload_and_without_polling(counted: Page, site: Site):
    page = counted
    page.open("?lang=en")
    page.find("#ov-alerts .alert-card")
    page.wait_for_text("#status", "live · updated")
    page.js("window.stays = 1")
    settled(page, 5.0)  # longer than a polling interval would be
    before = len(page.js("return window.requests"))
    id_ = site.send("alert")
    page.find(f".alert-card[href*='{id_}']")
    requests = page.js("return window.requests")[before:]
    assert 1 <= len(requests) <= 6, requests
    assert all("ov-problem" in output or "mv-table" in output for _, output in requests), "only the refresh of this page"
    assert page.js("return window.stays") == 1
    page.open("alerts?lang=en")
    page.find(f"#in-rows a[href*='{id_}']")
    settled(page)
    before = len(outputs(page))
    article, other = site.send("article"), site.send("alert")
    page.find(f"#in-rows a[href*='{other}']")
    assert article
    assert 1 <= len(outputs(page)) - before <= 4, "the inbox does not refresh for articles"


def test_only_pages_outside_the_change_feed_refresh_by_the_clock(counted: Page):
    page = counted
    page.open("system?lang=en")
    page.find("#sy-workers *")
    page.wait_for_text("#status", "live · updated")
    before = len(outputs(page))
    page.wait(lambda: len(outputs(page)) >= before + 2, "a periodic refresh")
    page.open("rules?lang=en")
    page.find("#ru-text")
    page.wait_for_text("#status", "live · updated")
    settled(page, 6.0)


def test_the_title_counts_open_alerts_and_ages_are_updated_in_the_browser(page: Page, site: Site):
    page.open("alerts?lang=en&state=open")
    page.find("#in-rows tbody tr")
    page.wait(lambda: page.driver.title == f"({len(page.all('#in-rows tbody tr'))}) Tocsin", "open alerts in the title")
    page.js("document.querySelector('time.ago').setAttribute('datetime', new Date(Date.now() - 7.5 * 60000).toISOString())")
    page.wait(lambda: page.text("time.ago") == "7 minutes ago", "the age is updated")


def test_a_page_without_its_server_shows_it_and_recovers(page: Page, site: Site):
    page.open("?lang=en")
    page.find("#ov-alerts .alert-card")
    page.wait_for_text("#status", "live")
    page.js("window.stays = 1")
    site.send("down")
    try:
        page.wait_for_text("#status", "reconnecting")
        page.wait_for_text("#status", "stale: no response for")
        assert page.all(".alert-card"), "the last data stays"
    finally:
        site.send("up")
    page.wait_for_text("#status", "live · updated")
    id_ = site.send("alert")
    page.find(f".alert-card[href*='{id_}']")
    assert page.js("return window.stays") == 1, "without a reload"
    errors = page.complaints()
    assert all("ERR_" in line or "the server did not respond" in line for line in errors), errors


@pytest.mark.parametrize("writes", [True, False])
def test_a_page_reloads_after_an_update_unless_it_has_unsaved_input(page: Page, site: Site, writes: bool):
    script = page.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {
            "source": "const real = performance.now; performance.now = () => real.call(performance) + 60000"
        },  # as if the page had been open for a minute
    )
    site.send("update" if writes else "down")
    if not writes:
        site.send("up")
    try:
        page.open(f"alert/{site.ids['energy']}?lang=en")
        page.wait_for_text("#ac-timeline", "Firing")
        page.wait_for_text("#status", "live")
        page.js("window.stays = 1")
        if writes:
            page.find("#ac-words").send_keys("half a thou")
        site.send("down" if writes else "update")
        if writes:
            page.wait(lambda: not page.text("#status").startswith("live"), "the server stopped")
            site.send("up")
            page.wait_for_text("#status", "live")
            assert page.find("#ac-words").get_attribute("value") == "half a thou"
            assert page.js("return window.stays") == 1
        else:
            page.wait(lambda: page.js("return window.stays") is None, "it reloads")
            page.wait_for_text("#ac-timeline", "Firing")
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    assert all("ERR_" in line or "the server did not respond" in line for line in page.complaints())


def test_without_a_stream_the_page_polls_and_shows_no_error(page: Page, site: Site):
    script = page.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "window.EventSource = undefined;" + COUNT_REQUESTS}
    )
    try:
        page.open("?lang=en")
        page.find("#ov-alerts .alert-card")
        page.wait_for_text("#status", "live · updated")
        requests_before = len(outputs(page))
        id_ = site.send("alert")
        page.find(f".alert-card[href*='{id_}']")
        assert len(outputs(page)) - requests_before <= 6, "unchanged data is not requested"
        assert any(where.endswith("/live/state") for where, _ in page.js("return window.requests"))
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def set_hidden(page: Page, is_hidden: bool) -> None:
    """Headless tabs are never hidden, so the property is overridden."""
    hidden = "true" if is_hidden else "false"
    page.js(
        f"Object.defineProperty(document, 'hidden', {{get: () => {hidden}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


def test_a_hidden_tab_sends_no_requests_and_catches_up(counted: Page, site: Site):
    page = counted
    page.open("?lang=en")
    page.find("#ov-alerts .alert-card")
    page.wait_for_text("#status", "live")
    settled(page)
    set_hidden(page, True)
    before, title = len(outputs(page)), page.driver.title
    id_ = site.send("alert")
    page.wait(lambda: page.driver.title != title, "it received the alert")
    assert len(outputs(page)) == before
    assert not page.all(f".alert-card[href*='{id_}']")
    set_hidden(page, False)
    page.find(f".alert-card[href*='{id_}']")


def everywhere(page: Page, handles: list[str], script: str) -> list[Any]:
    found = []
    for handle in handles:
        page.driver.switch_to.window(handle)
        found.append(page.js(script))
    return found


def test_the_bell_is_off_by_default_and_its_state_is_saved(notified: Page):
    page = notified
    page.open("?lang=en")
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "false", "off")
    assert not page.find("#bell-level").is_displayed()
    assert page.js("return window.strokes") == 0
    page.press("#bell")
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "true", "on")
    page.wait(lambda: page.js("return window.strokes") == 2, "a sample sound")
    page.choose("#bell-level", "Critical only")
    page.wait(lambda: page.js("return window.localStorage.getItem('tocsin.bell')") == "critical", "kept")
    page.driver.refresh()
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "true", "remembered")
    page.wait(lambda: page.find("#bell-level").get_attribute("value") == "Critical only", "the severity too")
    page.press("#bell")
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "false", "off again")


def test_a_new_alert_notifies_once_over_all_tabs_and_links_to_its_page(notified: Page, site: Site):
    page = notified
    page.open("?lang=en")
    page.press("#bell")
    page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "true", "on")
    handles = [page.driver.current_window_handle]
    try:
        page.driver.switch_to.new_window("window")
        page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": RECORD_NOTIFICATIONS})
        handles.append(page.driver.current_window_handle)
        page.open("alerts?lang=en")
        page.find("#in-rows a")
        page.wait_for_text("#status", "live")
        page.wait(lambda: page.find("#bell").get_attribute("aria-pressed") == "true", "one switch for all tabs")
        everywhere(page, handles, "window.notices = []; window.strokes = 0")
        id_ = site.send("alert")
        page.wait(lambda: any(everywhere(page, handles, "return window.notices.length")), "a notice")
        for handle in handles:  # both received it
            page.driver.switch_to.window(handle)
            page.find(f"a[href*='{id_}']")
        notices = everywhere(page, handles, "return window.notices")
        assert sorted(map(len, notices)) == [0, 1], notices
        assert sorted(everywhere(page, handles, "return window.strokes")) == [0, 2]
        ((title, body),) = notices[0] or notices[1]
        assert title.startswith("Warning · NEW")
        assert body == "5 negative stories, 0.30 expected"
        ids = json.loads(page.js("return window.localStorage.getItem('tocsin.notified')"))
        assert ids.count(id_) == 1
        page.driver.switch_to.window(handles[0 if notices[0] else 1])
        page.js("window.stays = 1; window.notice.dispatchEvent(new Event('click'))")
        page.wait_for_text("#al-summary", "NEW")
        assert f"/alert/{id_}?" in page.driver.current_url
        assert page.js("return window.stays") == 1
    finally:
        for handle in handles[1:]:
            page.driver.switch_to.window(handle)
            page.driver.close()
        page.driver.switch_to.window(handles[0])


def test_an_alert_below_the_chosen_severity_does_not_notify(notified: Page, site: Site):
    page = notified
    page.open("?lang=en")
    page.press("#bell")
    page.choose("#bell-level", "Critical only")
    page.wait(lambda: page.js("return window.localStorage.getItem('tocsin.bell')") == "critical", "chosen")
    page.js("window.notices = []")
    id_ = site.send("alert")  # of severity warning
    page.find(f".alert-card[href*='{id_}']")
    assert page.js("return window.notices") == []
    assert str(page.find("#bell").get_attribute("title")).startswith("Notifications are on:")
