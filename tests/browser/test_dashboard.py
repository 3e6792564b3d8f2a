"""The dashboard in a real browser over a real store: overview, alert page, language, theme, updates, errors."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.browser.conftest import Page, Site
from tests.browser.site import HOSTILE_TITLE


def overview(page: Page, query: str = "?lang=en") -> None:
    page.open(query)
    page.find("#ov-alerts .alert-card")
    page.find("#ov-mood .scatterlayer .trace")


def test_the_overview_shows_alerts_sentiment_and_articles(page: Page):
    overview(page)
    energy = next(card for card in page.all(".alert-card") if card.find_element(By.CSS_SELECTOR, ".series").text == "Energy")
    for words in ("Critical", "11 negative stories, 0.84 expected", "1 in 200 million by chance", "3 independent sources"):
        assert words in energy.text
    assert len(page.all("#ov-mood .legend .traces")) >= 5
    page.find("#ov-heat .heatmaplayer")
    page.find("#ov-volume .barlayer .trace")
    page.find("#ov-grid .ag-row a[href^='https://']")
    assert "Asia/Shanghai (UTC+8)" in str(page.find("#status").get_attribute("title"))
    page.wait_for_text("#status", "live · updated")
    page.wait(lambda: page.driver.title.startswith("("), "open alerts in the title")


def test_nothing_is_fetched_from_elsewhere(page: Page, site: Site):
    overview(page)
    names = page.js("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(names) > 10
    assert [name for name in names if not name.startswith((site.url, "data:", "blob:"))] == []


def test_an_alert_page_shows_explanation_evidence_source_and_deliveries(page: Page, site: Site):
    overview(page)
    page.press(f".alert-card[href*='{site.ids['energy']}']")
    page.wait_for_text("#al-summary", "predicts 0.84 (1 in 200 million by chance)")
    assert f"/alert/{site.ids['energy']}?range=24h&lang=en" in page.driver.current_url
    page.wait_for_text("#al-summary", "2 of 11 stories; without them the alert would not have been raised")
    assert [chip.text for chip in page.all("#al-summary .chip")] == ["停产 6", "<b>turbines</b> 4", "HXD.SH 7", "A/B?c 1"]
    assert "/series/company/A%2FB%3Fc?range=24h&lang=en" in page.all("#al-summary a.chip")[1].get_attribute("href")
    assert len(page.all("#al-evidence .decisive")) == 2
    page.find("#al-chart .barlayer .trace")
    page.find("#al-chart .shapelayer path")
    link = page.find("#al-evidence .articles a.out")
    assert link.get_attribute("href").startswith("https://")
    assert link.get_attribute("target") == "_blank"
    assert "noopener" in link.get_attribute("rel")
    deliveries = page.text("#al-deliveries")
    for words in ("503 Service Unavailable", "delivered (200)", "no response connection refused"):
        assert words in deliveries
    page.press("#al-back")
    page.find("#ov-alerts .alert-card")


def test_the_language_switches_and_stays(page: Page):
    overview(page)
    page.press("#language input[value='zh'] + label")
    page.wait_for_text("#page", "未解决告警")
    page.wait_for_text("#ov-alerts", "能源")
    page.wait_for_text("#status", "实时")
    assert "lang=zh" in page.driver.current_url
    assert page.js("return document.documentElement.lang") == "zh-CN"
    page.open()  # without the parameter, the stored language is used
    page.wait_for_text("#page", "未解决告警")


def test_the_theme_switches_and_stays(page: Page):
    def ground() -> str:
        return str(page.js("return getComputedStyle(document.body).backgroundColor"))

    overview(page)
    light = ground()
    before = page.js("return document.querySelector('#ov-mood .legendtext').style.fill")
    page.press("#theme-switch")
    page.wait(lambda: ground() != light, "another ground")
    page.wait(lambda: page.js("return document.querySelector('#ov-mood .legendtext').style.fill") != before, "another chart text")
    dark = ground()
    page.driver.refresh()
    page.find("#ov-alerts .alert-card")
    assert ground() == dark


def test_the_address_contains_the_view(page: Page):
    overview(page, "?lang=en&range=6h&topics=macro,earnings")
    page.wait(lambda: len(page.all("#ov-mood .legend .traces")) >= 2, "the legend")
    names = [item.text for item in page.all("#ov-mood .legend .legendtext")]
    assert names[:2] == ["Macro data", "Earnings"]
    page.press("#range input[value='1h'] + label")
    page.wait(lambda: "range=1h" in page.driver.current_url, "the address")
    page.wait_for_text("#ov-mood-note", "3 min")
    page.driver.back()
    page.wait_for_text("#ov-mood-note", "15 min")
    page.wait(lambda: page.find("#range input[value='6h']").is_selected(), "the picker follows the address")


def zoom(page: Page) -> object:
    return page.js(
        "const {xaxis, yaxis} = document.querySelector('#ov-mood .js-plotly-plot')._fullLayout; return [xaxis.range, yaxis.range]"
    )


def test_an_alert_appears_by_itself_and_the_zoom_is_kept(page: Page, site: Site):
    overview(page)
    page.js("window.stays = 1")
    before = zoom(page)
    plot = page.find("#ov-mood .nsewdrag")
    ActionChains(page.driver).move_to_element_with_offset(plot, -60, -40).click_and_hold().move_by_offset(120, 80).release().perform()
    page.wait(lambda: zoom(page) != before, "the zoom")
    zoomed = zoom(page)
    id_ = site.send("alert")
    page.find(f".alert-card[href*='{id_}']")
    article = site.send("article")
    page.find(f"#ov-grid .ag-row[row-id='{article}']")
    assert page.js("return window.stays") == 1
    assert zoom(page) == zoomed


def test_markup_in_titles_is_shown_as_text(page: Page, site: Site):
    overview(page)
    page.wait(lambda: any("<script>" in cell.text for cell in page.all("#ov-grid [col-id='title']")), "the hostile title")
    page.open(f"alert/{site.ids['energy']}?lang=en")
    page.wait_for_text("#al-evidence", HOSTILE_TITLE[:60])
    assert page.js("return window.hacked") is None
    assert page.all("#page script, #page img[src='x']") == []
    schemes = set(page.js("return [...document.querySelectorAll('a')].map(a => a.protocol)"))
    assert schemes <= {"http:", "https:"}


def test_a_lost_store_is_shown_and_recovers(page: Page, site: Site):
    overview(page)
    page.wait_for_text("#status", "live")
    site.send("break")
    try:
        page.wait_for_text("#status", "database unreachable, retrying")
        page.wait_for_text("#ov-problem", "The database does not respond")
        assert page.all(".alert-card"), "what was seen stays"
    finally:
        site.send("mend")
    page.wait_for_text("#status", "live")
    page.wait(lambda: page.text("#ov-problem") == "", "the banner goes")


def test_a_stopped_server_is_shown_and_recovers(page: Page):
    overview(page)
    page.wait_for_text("#status", "live")
    page.driver.set_network_conditions(offline=True, latency=0, download_throughput=0, upload_throughput=0)
    try:
        page.wait_for_text("#status", "stale: no response for")
    finally:
        page.driver.delete_network_conditions()
    page.wait_for_text("#status", "live")
    lost = page.complaints()  # failed requests while the server was down
    assert lost
    assert all("ERR_INTERNET_DISCONNECTED" in line or "the server did not respond" in line for line in lost), lost


@pytest.mark.parametrize(
    ("path", "words"), [("alert/nope?lang=en", "There is no alert with this ID"), ("nowhere?lang=en", "There is no page at this address")]
)
def test_unknown_addresses_show_a_not_found_page(page: Page, path: str, words: str):
    page.open(path)
    page.wait_for_text("#page", words)
    page.press("#page .not-found a.button")
    page.find("#ov-alerts .alert-card")


def test_an_empty_range_shows_a_message(page: Page):
    page.open("?lang=en&topics=crypto")
    page.wait_for_text("#ov-mood", "No articles in this time range")


@pytest.mark.parametrize("path", ["?lang=zh", "alert/{energy}?lang=en", "series/topic/energy?lang=zh"])
def test_pages_do_not_scroll_sideways_on_a_phone(page: Page, site: Site, path: str):
    with page.phone():
        page.open(path.format(**site.ids))
        page.find(".alert-card, #al-evidence .articles")
        page.find(".js-plotly-plot .barlayer .trace")
        page.wait(lambda: page.js("return document.documentElement.scrollWidth") <= 375, "no wider than the phone")


def test_the_page_is_usable_by_keyboard_and_labelled(page: Page):
    overview(page)
    unnamed = page.js(
        "return [...document.querySelectorAll('button, a, input:not([type=hidden]):not([type=radio])')]"
        ".filter(e => e.offsetParent && !((e.checkVisibility() ? e.innerText : e.textContent) || '').trim()"  # a closed menu's has none
        " && !e.getAttribute('aria-label') && !e.labels?.length"
        " && !e.placeholder && !e.title && !e.closest('[aria-hidden=true]') && !e.closest('.modebar') && !e.closest('.ag-root'))"
        ".map(e => e.outerHTML.slice(0, 200))"
    )
    assert unnamed == []
    assert len(page.all("h1")) == 1
