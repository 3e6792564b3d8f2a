"""Sources and the system in a real browser: problems come first; analysts test a feed, and admins add it."""

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


def test_sources_that_need_attention_come_first_with_a_reason(page: Page):
    page.open("?lang=en")
    page.operations("/sources")
    page.wait_for_text("#sr-rows tbody tr:first-child", "failing")
    page.wait_for_text("#sr-rows tbody tr:first-child", "4 consecutive visits failed: answered 503 <b>Service</b> Unavailable")
    page.wait_for_text("#sr-counts", "1 failing")
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
    page.wait_for_text("#sr-found", "Harbour dredging resumes")
    page.wait_for_text("#sr-found", "2 条中有 2 条缺少有效时间")
    page.wait_for_text("#sr-found", "Pier Gazette")
    assert page.js("return window.hacked") is None
    assert page.all("#sr-found script, #sr-add, #sr-remove") == []
    field = page.find("#sr-url")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("http://169.254.169.254/latest")
    page.press("#sr-look")
    page.wait_for_text("#sr-found", "not a public address")


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
    page.wait_for_text("#sr-saved", "The crawler starts to visit it within a minute")
    page.wait(lambda: any("码头报 Gazette" in row.text and "new" in row.text for row in page.all("#sr-rows tbody tr")), "its row")
    page.wait_for_text("#sr-rows", "added by chief")
    page.choose("#sr-added", "码头报")
    page.press("#sr-remove")
    page.wait_for_text("#sr-removed", "Removed")
    page.wait(lambda: all("码头报" not in row.text for row in page.all("#sr-rows tbody tr")), "its row goes")
    page.press("#logout")
    page.wait_for_text("h1", "Log in")
    log_in(page, "viewer", "sources?lang=en")
    page.find("#sr-rows tbody tr")
    assert page.all("#sr-url, #sr-look, #sr-add") == []
    assert all("status of 4" in line for line in page.complaints())


def test_the_system_page_shows_lost_processes_lag_and_throughput(page: Page):
    page.open("system?lang=en")
    page.wait_for_text("#sy-workers", "lost")
    rows = [row.text for row in page.all("#sy-workers tbody tr")]
    assert len(rows) == 3
    assert "lost" in rows[-1]
    assert "3 articles in the outbox" in " ".join(rows)
    page.wait_for_text("#sy-kpis", "1 lost")
    page.wait_for_text("#sy-lag", "43")
    page.wait_for_text("#sy-lag", "the topic does not exist")
    page.wait_for_text("#sy-dead", "byte # is not JSON")
    page.wait_for_text("#sy-deliveries", "pager")
    page.wait_for_text("#sy-tables", "mentions")
    page.wait_for_text("#sy-stages", "published → stored")
    page.find("#sy-rate .barlayer .trace")
    page.open("system?lang=zh")
    page.wait_for_text("#sy-workers", "失联")
    page.wait_for_text("#sy-lag", "主题不存在")


def test_both_pages_fit_a_phone_and_show_when_the_store_is_down(page: Page, site: Site):
    page.driver.set_window_size(400, 900)
    try:
        for path, part in (("sources", "#sr-rows tbody tr"), ("system", "#sy-tables tbody tr")):
            page.open(f"{path}?lang=zh")
            page.find(part)
            assert fits(page), path
        site.send("break")
        page.open("sources?lang=en")
        page.wait_for_text("#sr-problem", "The database does not respond")
        site.send("mend")
        page.find("#sr-rows tbody tr")
    finally:
        page.driver.set_window_size(1440, 1800)
