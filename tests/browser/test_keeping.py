"""Saved views and watchlists in a real browser: views are shared with the team, watchlists are previewed before they are saved."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Page

LISTS = """[[watchlist]]
name = "plants"
title_en = "Plants that stand still"
title_zh = "停产电厂"
companies = {companies}
keywords = ["停产 | halts"]
"""


def write(page: Page, text: str) -> None:
    """Set the text of the editor, as if it was pasted."""
    page.find("#wa-text")
    page.driver.execute_script(
        "const e = document.getElementById('wa-text'); Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value')"
        ".set.call(e, arguments[0]); e.dispatchEvent(new Event('input', {bubbles: true}))",
        text,
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_view_is_saved_for_the_team_opened_and_deleted(page: Page, lang: str):
    english = lang == "en"
    page.open(f"?lang={lang}&range=6h&kind=sector")
    page.wait_for_text("#vi-menu summary", "Views" if english else "视图")
    page.press("#vi-menu summary")
    page.press("#vi-save")
    page.wait_for_text("#vi-message", "Enter a name" if english else "请填写名称")
    page.find("#vi-name").send_keys(f"夜班 <b>{lang}</b>")
    page.press("#vi-team")
    page.press("#vi-save")
    page.wait_for_text("#vi-list", f"夜班 <b>{lang}</b>")
    page.open(f"alerts?lang={lang}")
    page.press("#vi-menu summary")
    page.wait_for_text("#vi-list", "analyst")
    page.press("#vi-list a")
    page.wait(lambda: page.all("#kind input[value='sector']:checked"), "the view's kind")
    assert urlsplit(page.driver.current_url).path == "/"
    assert page.find("#range input[value='6h']").is_selected()
    page.press("#vi-menu summary")
    page.press("#vi-list .vi-drop")
    page.driver.switch_to.alert.accept()
    page.wait_for_text("#vi-list", "No saved views" if english else "暂无保存的视图")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_watchlists_are_rejected_previewed_and_saved(page: Page, lang: str):
    english = lang == "en"
    page.open(f"watchlists?lang={lang}")
    page.find(".pages a.current[href^='/watchlists']")
    page.wait(lambda: page.text("#wa-who"), "the active text is loaded")
    write(page, LISTS.format(companies='["NOBODY"]'))
    page.press("#wa-try")
    page.wait_for_text("#wa-message", "companies: 'NOBODY' is unknown")
    write(page, LISTS.format(companies='["600519.SH"]'))
    page.press("#wa-try")
    page.wait_for_text("#wa-message", "Plants that stand still" if english else "停产电厂")
    page.find("#wa-message .articles a[href^='/article/']")
    page.wait_for_text("#wa-message", "keywords 停产 | halts")
    page.press("#wa-save")
    page.wait_for_text("#wa-saved", "Saved" if english else "已保存")
    page.wait_for_text("#wa-who", "analyst")
    page.driver.refresh()
    page.wait(lambda: "停产 | halts" in (page.find("#wa-text").get_attribute("value") or ""), "the text after a reload")
