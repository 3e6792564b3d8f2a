"""Sources and the system in a real browser: what is wrong is seen first, a feed is tested by an analyst and added by an admin."""

from __future__ import annotations

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import Page, Site
from tests.browser.site import PASSWORD


def log_in(page: Page, name: str, path: str) -> None:
    page.open(path)
    for id_, value in (("name", name), ("password", PASSWORD)):
        page.find(f"#{id_}").send_keys(value)
    page.press("button[type=submit].main")


def fits(page: Page) -> bool:
    return bool(page.js("return document.documentElement.scrollWidth <= window.innerWidth"))


def test_sources_that_want_a_person_come_first_and_say_why(page: Page):
    page.open("?lang=en")
    page.operations("/sources")
    page.says("#sr-rows tbody tr:first-child", "failing")
    page.says("#sr-rows tbody tr:first-child", "4 visits in a row failed: answered 503 <b>Service</b> Unavailable")
    page.says("#sr-counts", "1 failing")
    first = page.find("#sr-rows tbody tr:first-child")
    image = first.find_element(By.CSS_SELECTOR, "img.spark")
    assert page.js("return document.querySelector('img.spark').naturalWidth") == 120, "the browser can draw it"
    assert "articles in the last 24 hours" in image.get_attribute("alt")
    assert "0 + 3" in next(row.text for row in page.all("#sr-rows tbody tr") if "tidal-news" in row.text)
    first.find_element(By.CSS_SELECTOR, "th a").click()
    page.wait(lambda: "source=" in page.driver.current_url, "its articles")
    page.find("#fd-grid .ag-row")


def test_an_analyst_tests_a_feed_whose_words_stay_words(page: Page, site: Site):
    page.open("sources?lang=zh")
    page.find("#sr-url").send_keys(site.ids["feed"], Keys.ENTER)
    page.says("#sr-found", "Harbour dredging resumes")
    page.says("#sr-found", "2 条中有 2 条没有可读时间")
    page.says("#sr-found", "Pier Gazette")
    assert page.js("return window.hacked") is None
    assert page.all("#sr-found script, #sr-add, #sr-remove") == []
    field = page.find("#sr-url")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("http://169.254.169.254/latest")
    page.press("#sr-look")
    page.says("#sr-found", "not a public address")


def test_an_admin_adds_a_feed_and_removes_it_and_a_viewer_may_not(stranger: Page, site: Site):
    page = stranger
    log_in(page, "chief", "sources?lang=en")
    page.find("#sr-url").send_keys(site.ids["feed"])
    page.press("#sr-look")
    page.wait(lambda: page.find("#sr-name").get_attribute("value") == "127.0.0.1", "a name is suggested")
    name = page.find("#sr-name")
    name.send_keys(Keys.CONTROL, "a")
    name.send_keys("码头报 Gazette")
    page.press("#sr-add")
    page.says("#sr-saved", "The crawler takes it up within a minute")
    page.wait(lambda: any("码头报 Gazette" in row.text and "new" in row.text for row in page.all("#sr-rows tbody tr")), "its row")
    page.says("#sr-rows", "added by chief")
    page.choose("#sr-added", "码头报")
    page.press("#sr-remove")
    page.says("#sr-removed", "Removed")
    page.wait(lambda: all("码头报" not in row.text for row in page.all("#sr-rows tbody tr")), "its row goes")
    page.press("#logout")
    page.says("h1", "Log in")
    log_in(page, "viewer", "sources?lang=en")
    page.find("#sr-rows tbody tr")
    assert page.all("#sr-url, #sr-look, #sr-add") == []
    assert all("status of 4" in line for line in page.complaints())


def test_the_system_says_what_is_gone_what_waits_and_how_fast_it_goes(page: Page):
    page.open("system?lang=en")
    page.says("#sy-workers", "gone")
    rows = [row.text for row in page.all("#sy-workers tbody tr")]
    assert len(rows) == 3
    assert "gone" in rows[-1]
    assert "3 articles wait in its outbox" in " ".join(rows)
    page.says("#sy-kpis", "1 gone")
    page.says("#sy-lag", "43")
    page.says("#sy-lag", "the topic is not there")
    page.says("#sy-dead", "byte # is not JSON")
    page.says("#sy-deliveries", "pager")
    page.says("#sy-tables", "mentions")
    page.says("#sy-stages", "published → stored")
    page.find("#sy-rate .barlayer .trace")
    page.open("system?lang=zh")
    page.says("#sy-workers", "失联")
    page.says("#sy-lag", "主题不存在")


def test_both_pages_fit_a_phone_and_say_when_the_store_is_away(page: Page, site: Site):
    page.driver.set_window_size(400, 900)
    try:
        for path, part in (("sources", "#sr-rows tbody tr"), ("system", "#sy-tables tbody tr")):
            page.open(f"{path}?lang=zh")
            page.find(part)
            assert fits(page), path
        site.tell("break")
        page.open("sources?lang=en")
        page.says("#sr-problem", "The store does not answer")
        site.tell("mend")
        page.find("#sr-rows tbody tr")
    finally:
        page.driver.set_window_size(1440, 1800)
