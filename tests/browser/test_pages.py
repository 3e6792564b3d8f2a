"""Articles and series in a real browser: search, article pages, labels, and links between them."""

from __future__ import annotations

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import Page, Site


def shown(page: Page) -> list[str]:
    return [cell.text for cell in page.all("#fd-grid .ag-center-cols-container [col-id='title']")]


def test_a_chinese_search_leads_to_an_article_whose_label_is_corrected(page: Page):
    page.open("articles?lang=zh")
    page.find("#fd-grid .ag-row")
    box = page.find("#fd-q")
    box.send_keys("恒曦电力 停产")
    page.wait(lambda: shown(page) and all("恒曦电力因设备故障停产两座电厂" in title for title in shown(page)), "what was searched for")
    assert "q=%E6%81%92%E6%9B%A6" in page.driver.current_url
    page.choose("#fd-language", "英文")
    page.wait_for_text("#fd-note", "没有匹配的文章")
    page.driver.back()
    page.wait(lambda: shown(page), "the search before")
    page.wait(lambda: page.find("#fd-language").get_attribute("value") == "", "the filter follows the address")
    assert page.find("#fd-q").get_attribute("value") == "恒曦电力 停产"
    page.press("#fd-grid a.page")
    page.wait_for_text("#ar-head h1", "恒曦电力因设备故障停产两座电厂")
    assert page.find("#ar-head a.out").get_attribute("rel") == "noopener noreferrer nofollow"
    page.press("#ar-explain")
    page.wait_for_text("#ar-explanation", "此进程未加载模型")
    page.press(".wrong summary")
    page.press("#ar-sentiment input[value='neutral'] + label")
    page.press("#ar-save")
    page.wait_for_text("#ar-message", "已保存")
    page.wait_for_text("#ar-labels", "情绪：● 中性 — analyst")
    assert page.text("#ar-labels").count("invented") == 1
    page.driver.refresh()
    page.wait_for_text("#ar-labels", "情绪：● 中性 — analyst")


def test_a_series_shows_its_alert_and_leads_to_its_articles_and_companies(page: Page, site: Site):
    page.open("?lang=en")
    page.press("#ov-busiest a[href^='/series/topic/energy']")
    page.wait_for_text("#se-head h1", "Energy")
    page.find("#se-trend .barlayer .trace")
    page.wait(lambda: any("Alert" in item.text for item in page.all("#se-trend .legend .legendtext")), "the alert in the chart")
    page.find(f"#se-alerts .alert-card[href*='{site.ids['energy']}']")
    page.find("#se-negative .articles a[href^='/article/']")
    page.press("#range input[value='6h'] + label")
    page.wait_for_text("#se-trend-note", "15 min")
    assert "range=6h" in page.driver.current_url
    page.press("#se-related a[href^='/series/company/HXD.SH']")
    page.wait_for_text("#se-head h1", "恒曦电力")
    page.find("#se-head a[href^='/series/sector/energy']")
    page.press(f"#se-alerts .alert-card[href*='{site.ids['company']}']")
    page.press("#al-summary h1 a[href^='/series/company/HXD.SH']")
    page.wait_for_text("#se-head h1", "恒曦电力")
    assert "range=6h" in page.driver.current_url


def test_search_results_have_pages_and_the_search_works_by_keyboard(page: Page):
    page.open("articles?lang=en")
    page.wait(lambda: len(shown(page)) > 5, "rows")
    first = shown(page)[0]
    page.press("#fd-older")
    page.wait(lambda: "before=" in page.driver.current_url and shown(page)[:1] != [first], "an older page")
    page.press("#fd-newest")
    page.wait(lambda: "before=" not in page.driver.current_url and shown(page)[:1] == [first], "the newest page")
    page.find("#fd-q").send_keys("halts", Keys.TAB)
    assert page.driver.switch_to.active_element.get_attribute("id") == "fd-language"
    page.wait(lambda: shown(page) and all("halts" in title for title in shown(page)), "what was searched for")
    unnamed = page.js(
        "return [...document.querySelectorAll('main button, main a, main input:not([type=hidden]):not([type=radio])')]"
        ".filter(e => e.offsetParent && !(e.innerText || '').trim() && !e.getAttribute('aria-label') && !e.labels?.length"
        " && !e.closest('.ag-root') && !e.closest('[aria-hidden=true]')).map(e => e.outerHTML.slice(0, 200))"
    )
    assert unnamed == []


def test_markup_is_shown_as_text_on_article_and_series_pages(page: Page):
    page.open("articles?lang=en&q=HYPERLINK&company=%3Cscript%3E")
    page.wait_for_text("#fd-note", "No matching articles")
    page.open("articles?lang=en&q=HYPERLINK")
    page.wait(lambda: any("<script>" in title for title in shown(page)), "the hostile title")
    page.press("#fd-grid a.page")
    page.wait_for_text("#ar-head h1", "<script>window.hacked=1</script>")
    assert page.find("#ar-head").find_elements(By.CSS_SELECTOR, "a.out") == []  # its URL is not http
    page.open("series/company/%3Cimg%20src%3Dx%20onerror%3D%22window.hacked%3D9%22%3E?lang=en")
    page.wait_for_text("#se-head h1", "<img src=x")
    page.wait_for_text("#se-negative", "No stories in this time range.")
    assert page.js("return window.hacked") is None
    assert page.all("main script, main img[src='x']") == []
