"""The overview over a million stored articles on a real ClickHouse server is interactive in less than two seconds.

    navigation ─▶ scripts ─▶ layout ─▶ callbacks ─▶ everything is drawn ─▶ the main thread is idle
                                                                           └ interactive: no long task for QUIET_MS after it

A long task is one of 50 ms or more, as the browser itself counts them (https://www.w3.org/TR/longtasks-1). Every attempt begins with
nothing: caches of the dashboard and of the browser are empty. The best of three counts.

The budget is that of a machine of two quiet cores. What a machine, and who else is on it, makes of the same work is measured in the
same browser before and after each visit, as Lighthouse does with its benchmark index: where it takes k times as long, so may the page.
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
ATTEMPTS, MOST_ATTEMPTS = 3, 6
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
"""Times before, and after."""
QUIET_WORK_MS = 56.0
"""What WORK takes where nobody else is: on the machine of docs/performance.md."""
QUIET_MS = 500
"""So long nothing happens after a page is interactive: less than the time between two looks at the store."""


class Visit(NamedTuple):
    """One visit of the overview, in milliseconds since its navigation began.

    blank: what a page took beside it that shows two letters; fetched: kilobytes of everything that was fetched
    slowness: how many times as long as on a quiet machine the same work took then; share: of the budget
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
    """A store with a million articles of two months, and an account."""
    store = open_store(f"{clickhouse_server.address}/budget", tmp_path_factory.mktemp("budget"))
    store.migrate()
    fill(store, ARTICLES, SPAN, datetime.now(UTC).replace(microsecond=0), seed=10_000)
    people = AccountService(store, lambda: datetime.now(UTC))
    people.add(people.make("analyst", "analyst", PASSWORD, must_change=False), actor="test")
    assert store.articles.count() >= ARTICLES
    yield store
    store.close()


def interactive(drawn: float, long: Sequence[tuple[float, float]]) -> float:
    """When a page that was drawn at `drawn` was idle; long: [from, to] of each long task."""
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
    while len(visits) < ATTEMPTS or (len(visits) < MOST_ATTEMPTS and min(each.share for each in visits) >= 1):
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
