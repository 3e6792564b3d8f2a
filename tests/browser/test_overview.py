"""The overview in a real browser: custom time ranges, kinds of series, movers, colours and keyboard shortcuts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import Page

SHANGHAI = ZoneInfo("Asia/Shanghai")


def asked(page: Page, name: str) -> str:
    return parse_qs(urlsplit(page.driver.current_url).query).get(name, [""])[0]


def set_moment(page: Page, id_: str, value: str) -> None:
    """Set a field as a browser's date picker does: its native setter, then an event that bubbles."""
    page.find(f"#{id_}")
    page.js(
        f"const e = document.getElementById('{id_}'); Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')"
        f".set.call(e, '{value}'); e.dispatchEvent(new Event('input', {{bubbles: true}}))"
    )
    page.wait(lambda: page.find(f"#{id_}").get_attribute("value") == value, f"{id_} is set")


def press(page: Page, *keys: str) -> None:
    ActionChains(page.driver).send_keys(*keys).perform()


def test_a_custom_range_is_validated_and_the_same_on_every_page(page: Page):
    page.open("?lang=en")
    page.find("#ov-mood .scatterlayer .trace")
    page.press("#range-free summary")
    now = datetime.now(SHANGHAI).replace(second=0, microsecond=0, tzinfo=None)
    since, until = now - timedelta(hours=20), now - timedelta(hours=14)
    page.press("#range-show")
    page.wait_for_text("#range-message", "Enter a start and an end")
    set_moment(page, "range-from", f"{until:%Y-%m-%dT%H:%M}")
    set_moment(page, "range-to", f"{since:%Y-%m-%dT%H:%M}")
    page.press("#range-show")
    page.wait_for_text("#range-message", "The end is before the start")
    assert asked(page, "range") in ("", "24h")
    set_moment(page, "range-from", f"{since:%Y-%m-%dT%H:%M}")
    set_moment(page, "range-to", f"{until:%Y-%m-%dT%H:%M}")
    page.press("#range-show")
    page.wait(lambda: len(asked(page, "range")) > 3, "the range in the address")
    utc = [moment.replace(tzinfo=SHANGHAI).astimezone(UTC) for moment in (since, until)]
    assert asked(page, "range") == "-".join(f"{moment:%Y%m%dT%H%MZ}" for moment in utc)
    assert page.text("#range-message") == ""
    page.wait_for_text("#ov-mood-note", "15 min")
    page.wait(lambda: page.all("#ov-mood .scatterlayer .trace"), "lines")
    page.press("#ov-busiest a[href^='/series/topic/macro']")
    page.wait_for_text("#se-head h1", "Macro")
    assert page.find("#range-from").get_attribute("value") == f"{since:%Y-%m-%dT%H:%M}"
    page.wait_for_text("#se-kpis", f"{since:%H:%M} – ")
    page.driver.refresh()
    page.wait(lambda: page.find("#range-to").get_attribute("value") == f"{until:%Y-%m-%dT%H:%M}", "the range after a reload")
    page.press("#range input[value='6h'] + label")
    page.wait(lambda: asked(page, "range") == "6h", "a preset again")


def test_an_invalid_range_in_the_address_shows_an_error_and_one_day(page: Page):
    page.open("?lang=zh&range=20261121T0000Z-20261120T0000Z")
    page.wait_for_text("#range-message", "时间范围无效")
    page.find("#ov-mood .scatterlayer .trace")
    assert page.find("#range input[value='24h']").is_selected()


def test_companies_sectors_and_their_choice_are_in_the_address(page: Page):
    page.open("?lang=zh")
    page.press("#kind input[value='company'] + label")
    page.wait(lambda: asked(page, "kind") == "company", "the kind in the address")
    page.wait(lambda: any("恒曦电力" in item.text for item in page.all("#ov-heat .ytick text")), "companies by name in the heat map")
    page.choose("#topics", "Quayside")
    page.wait(lambda: asked(page, "topics") == "QBK", "the chosen company in the address")
    page.wait(lambda: [item.text for item in page.all("#ov-mood .legendtext")][:1] == ["Quayside Bank"], "its line alone")
    page.driver.refresh()
    page.wait(lambda: [item.text for item in page.all("#ov-mood .legendtext")][:1] == ["Quayside Bank"], "the same after a reload")
    press(page, Keys.ESCAPE)
    page.press("#kind input[value='sector'] + label")
    page.wait(lambda: asked(page, "kind") == "sector" and not asked(page, "topics"), "what was chosen was of another kind")
    page.wait(lambda: "能源" in [item.text for item in page.all("#ov-heat .ytick text")], "sectors in the heat map")


def test_movers_are_sorted_by_each_measure(page: Page):
    page.open("?lang=en")
    page.wait(lambda: page.text("#mv-table") != "", "the table, or why there is none")
    page.press("#by input[value='volume'] + label")
    page.wait(lambda: asked(page, "by") == "volume", "the order in the address")


def test_red_for_positive_is_an_option_that_the_browser_stores(page: Page):
    page.open("?lang=zh")
    page.wait_for_text("#ov-heat-note", "蓝色 ▲")
    page.press("#colours")
    page.wait_for_text("#ov-heat-note", "红色 ▲")
    assert asked(page, "colours") == "red-up"
    assert page.find("#colours").get_attribute("aria-pressed") == "true"
    negative = page.js("return getComputedStyle(document.documentElement).getPropertyValue('--negative').trim()")
    assert negative == "#00704f"
    page.open("?lang=zh")
    page.wait_for_text("#ov-heat-note", "红色 ▲")
    page.press("#colours")
    page.wait_for_text("#ov-heat-note", "蓝色 ▲")


def test_keyboard_shortcuts_work_except_in_fields(page: Page):
    page.open("?lang=en")
    page.find("#ov-stored")
    page.wait(lambda: page.all(".pages a"), "the header")
    press(page, "/")
    page.wait(lambda: page.driver.switch_to.active_element.get_attribute("id") == "fd-q", "the search box has the focus")
    press(page, "g", "a", "?", "/")
    assert page.find("#fd-q").get_attribute("value") == "ga?/"
    page.js("document.activeElement.blur()")
    press(page, "g", "a")
    page.find(".pages a.current[href^='/alerts']")
    press(page, "?")
    page.wait(lambda: page.find("#keys").is_displayed(), "the list of keys")
    press(page, Keys.ESCAPE)
    page.wait(lambda: not page.find("#keys").is_displayed(), "the list is gone")
    press(page, "g", "o")
    page.wait(lambda: urlsplit(page.driver.current_url).path == "/", "the overview")
