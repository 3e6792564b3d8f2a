"""Verdicts on an alert in a real browser, and their counts in the inbox."""

from __future__ import annotations

from tests.browser.conftest import Page, Site


def test_an_alert_is_judged_and_the_inbox_counts_it(page: Page, site: Site):
    key = site.send("alert")
    page.open(f"alert/{key}?lang=en")
    page.wait_for_text("#vd-ratings", "No ratings yet.")
    page.find("#vd-note").send_keys("an old story <b>")
    page.press("#vd-false")
    page.wait_for_text("#vd-ratings", "False alarm")
    page.wait_for_text("#vd-ratings", "an old story <b>")
    page.press("#vd-right")
    page.wait_for_text("#vd-ratings", "✓ Useful")
    page.wait(lambda: "False alarm" not in page.text("#vd-ratings"), "the latest verdict counts")
    page.wait_for_text("#ac-timeline", "rated the alert a false alarm")  # earlier verdicts stay in the timeline
    page.open("alerts?lang=en")
    page.wait_for_text("#pr-table", "alerts were rated")
    page.wait_for_text("#pr-table", "By kind of series")
    page.press("#pr-days input[value='90'] + label")
    page.wait_for_text("#pr-table", "negative-spike")
