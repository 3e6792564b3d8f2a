"""An alert is judged in a real browser, and the inbox counts it."""

from __future__ import annotations

from tests.browser.conftest import Page, Site


def test_an_alert_is_judged_and_the_inbox_counts_it(page: Page, site: Site):
    key = site.tell("alert")
    page.open(f"alert/{key}?lang=en")
    page.says("#vd-ratings", "Nobody has judged it yet.")
    page.find("#vd-note").send_keys("an old story <b>")
    page.press("#vd-false")
    page.says("#vd-ratings", "False alarm")
    page.says("#vd-ratings", "an old story <b>")
    page.press("#vd-right")
    page.says("#vd-ratings", "✓ Useful")
    page.wait(lambda: "False alarm" not in page.text("#vd-ratings"), "the last word counts")
    page.says("#ac-timeline", "judged it a false alarm")  # what was done stays known
    page.open("alerts?lang=en")
    page.says("#pr-table", "alerts were judged")
    page.says("#pr-table", "By kind of series")
    page.press("#pr-days input[value='90'] + label")
    page.says("#pr-table", "negative-spike")
