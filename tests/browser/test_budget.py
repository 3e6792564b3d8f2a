"""The overview over a million stored articles on a real ClickHouse server is interactive in less than two seconds.

    navigation ─▶ scripts ─▶ layout ─▶ callbacks ─▶ page is rendered ─▶ the main thread is idle
                                                                        └ interactive: no long task for QUIET_MS after it

A long task takes 50 ms or more, as reported by the browser (https://www.w3.org/TR/longtasks-1). Every attempt starts with empty caches
of the dashboard and the browser. One within the budget is enough, because other programs can only slow a page down.

The budget is for a machine with two idle cores. A reference task runs in the same browser before and after each visit, as Lighthouse does
with its benchmark index: if it takes k times as long as on that machine, the page may too.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from selenium import webdriver

from actions.account_service import AccountService
from bench.store import fill
from dashboard.app import create_app
from dashboard.web.server import serve
from storage.store import Store, open_store
from tests.browser.conftest import Page, cookie_at
from tests.browser.site import PASSWORD
from tests.helpers.servers import ClickHouseServer

ARTICLES = 1_000_000
SPAN = timedelta(days=60)
BUDGET_MS = 2_000
ATTEMPTS = 6
WORK = """
var began = performance.now(), kept = [];
for (var n = 0; n < 400; n++) {
  var rows = [];
  for (var m = 0; m < 400; m++) { rows.push({ id: n * m, name: "row " + m, values: [m, m / 3, "x" + n] }); }
  kept.push(JSON.parse(JSON.stringify(rows)).sort(function (a, b) { return a.name < b.name ? -1 : 1; }).map(String).length);
}
return performance.now() - began;
"""
WORKS = 5
"""Repetitions of the reference task before and after a visit."""
QUIET_WORK_MS = 56.0
"""Duration of WORK on the machine of docs/performance.md without other load."""
QUIET_MS = 500
"""Time without a long task after which a page counts as interactive; shorter than the interval between two polls of the store."""


class Visit(NamedTuple):
    """One visit of the overview, in milliseconds since its navigation began.

    blank: duration of a page with two letters; fetched: kilobytes of all responses
    slowness: duration of the reference task relative to an idle machine; share: of the budget
    """

    interactive: float
    blank: float
    fetched: float
    slowness: float

    @property
    def share(self) -> float:
        return self.interactive / (BUDGET_MS * max(1.0, self.slowness))


@pytest.fixture(scope="module")
def large(clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with a million articles of two months and one account."""
    store = open_store(f"{clickhouse_server.address}/budget", tmp_path_factory.mktemp("budget"))
    store.migrate()
    fill(store, ARTICLES, SPAN, datetime.now(UTC).replace(microsecond=0), seed=10_000)
    people = AccountService(store, lambda: datetime.now(UTC))
    people.add(people.make("analyst", "analyst", PASSWORD, must_change=False), actor="test")
    assert store.articles.count() >= ARTICLES
    yield store
    store.close()


def interactive(drawn: float, long: Sequence[tuple[float, float]]) -> float:
    """Time at which a page that was rendered at `drawn` was idle. long: [from, to] of each long task"""
    moment = drawn
    for begin, end in sorted(long):
        if begin < moment + QUIET_MS:
            moment = max(moment, end)
    return moment


def visit(driver: webdriver.Chrome, store: Store) -> Visit:
    with serve(create_app(store), "127.0.0.1", 0) as running:
        page = Page(driver, running.url)
        page.remember_nothing()
        driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        page.let_in(cookie_at(running.url, "analyst"))
        page.open("healthz")
        work = [page.js(WORK) for _ in range(WORKS)]
        blank = page.js("return performance.getEntriesByType('navigation')[0].loadEventEnd")
        page.open("?lang=en")
        page.wait(lambda: page.js(f"return window.__watch.drawn !== null && performance.now() > window.__watch.drawn + {2 * QUIET_MS}"))
        drawn, long = page.js("return [window.__watch.drawn, window.__watch.long]")
        fetched = page.js("return performance.getEntriesByType('resource').reduce((sum, each) => sum + each.transferSize, 0)")
        assert len(page.all("#ov-grid .ag-row")) > 5
        assert page.all("#ov-mood .scatterlayer .trace")
        assert page.text("#ov-stored")
        assert page.complaints() == []
        page.open("healthz")
        work += [page.js(WORK) for _ in range(WORKS)]
    return Visit(interactive(drawn, long), blank, fetched / 1_000, statistics.median(work) / QUIET_WORK_MS)


@pytest.mark.alone
def test_the_overview_is_interactive_in_two_seconds_over_a_million_articles(
    driver: webdriver.Chrome, large: Store, capsys: pytest.CaptureFixture[str]
):
    visits: list[Visit] = []
    while len(visits) < ATTEMPTS and not any(each.share < 1 for each in visits):
        visits.append(visit(driver, large))
    best = min(visits, key=lambda each: each.share)
    with capsys.disabled():
        published = ", ".join(f"{each.interactive:.0f} (a blank page {each.blank:.0f}, slowness {each.slowness:.2f})" for each in visits)
        print(f"\noverview interactive in {published} ms; {best.fetched:,.0f} kB fetched; load {os.getloadavg()[0]:.1f}")
    assert best.share < 1, visits


@pytest.mark.parametrize(
    ("long", "moment"),
    [
        ([], 900.0),
        ([(100, 800), (850, 1_000)], 1_000.0),
        ([(1_000, 1_200), (1_650, 1_800)], 1_800.0),
        ([(1_500, 1_600)], 900.0),  # long after it was idle
        ([(1_300, 1_380), (1_850, 1_900), (5_000, 5_100)], 1_900.0),
    ],
)
def test_a_page_is_interactive_when_no_long_task_follows(long: list[tuple[float, float]], moment: float):
    assert interactive(900.0, long) == moment
