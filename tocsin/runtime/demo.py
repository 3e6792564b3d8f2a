"""The demo: a simulated newswire goes through the whole system, from the crawler to a signed webhook.

Only the newswire is special to the demo. The summary is read from the store and compared with the newswire's list of published
articles.
"""

from __future__ import annotations

import base64
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from core.errors import TocsinError
from core.series import series_name
from core.settings import Settings, Webhook
from core.taxonomy import BY_KEY
from ingest.crawl.sources import load_sources
from ingest.text.urls import canonical
from tocsin import wiring
from tocsin.newswire import Newswire, Plan
from tocsin.runtime.embedded import Stack
from tocsin.runtime.first_login import FirstLogin, dashboard_address, first_login
from tocsin.runtime.webhook_receiver import Received, Receiver

CRISIS_AFTER_S = 30.0
"""Time to load the model, classify the history and show a quiet dashboard before the crisis."""
SETTLE_S = 30.0
"""How long the last articles may take to the store after the newswire has stopped publishing."""


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a demo run. Times in seconds.

    Attributes:
        articles: distinct articles that the newswire published.
        lost: published articles that are not in the store.
        duplicates: articles that readers of the store see more than once.
        first_scored_s: from the command to the first scored article.
        alert_delay_s: from the first crisis article to its alert's webhook.
    """

    articles: int
    scored: int
    stored: int
    alerts: int
    webhooks: int
    first_scored_s: float | None
    alert_delay_s: float | None
    alert_series: str
    lost: int
    duplicates: int
    dead_letters: int
    total_s: float
    model: str


class Demo:
    """One run of the demo.

    Args:
        settings: of this installation; a temporary data folder replaces theirs.
        notify: called with progress messages for a person.
        show_login: called with the first login and the dashboard's address.
        seed: of the newswire.
        forever: serve until interrupted instead of ending with the crisis alert.
        dashboard: whether to serve the dashboard.
        timeout_s: without a crisis alert within this time the run fails.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        notify: Callable[[str], None],
        show_login: Callable[[FirstLogin, str], None] = lambda *_: None,
        seed: int = 7,
        forever: bool,
        dashboard: bool,
        timeout_s: float = 300.0,
    ) -> None:
        self._settings, self._notify, self._show_login, self._seed = settings, notify, show_login, seed
        self._forever, self._dashboard, self._timeout_s = forever, dashboard, timeout_s
        self._began = time.monotonic()
        self._first_scored_s: float | None = None
        self._reported = 0
        self._status_at = 0.0

    def run(self) -> DemoSummary:
        """Run it in a temporary data folder. Raises TocsinError if there is no crisis alert within `timeout_s`."""
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        with tempfile.TemporaryDirectory(prefix="tocsin-demo-", ignore_cleanup_errors=True) as temporary, Receiver(secret) as receiver:
            folder = Path(temporary)
            newswire = Newswire(seed=self._seed, plan=Plan(crisis_after_s=CRISIS_AFTER_S))
            address = newswire.start()
            self._notify(f"newswire publishing on {address}")
            try:
                settings = msgspec.structs.replace(
                    self._settings,
                    data_dir=str(folder / "data"),
                    companies=str(newswire.companies_file),
                    webhooks=(*self._settings.webhooks, Webhook(url=receiver.url, secret=secret, allow_private=True, name="demo receiver")),
                )
                sources = load_sources(newswire.write_config(folder))
                wanted = self._dashboard and settings.dashboard_login == "password"
                first = first_login("demo", must_change=False) if wanted else None  # the store is deleted at the end
                with Stack(settings, sources=sources, dashboard=self._dashboard, notify=self._notify, first=first) as stack:
                    crisis_alert = self._watch(stack, newswire, receiver)
                    newswire.quiesce()
                    if not self._forever:
                        self._settle(stack, newswire)
                    scored = stack.worker.metrics().get("tocsin_scored_total", 0.0)
                return self._summarise(settings, newswire, receiver, crisis_alert, int(scored))
            finally:
                newswire.stop()

    def _watch(self, stack: Stack, newswire: Newswire, receiver: Receiver) -> Received | None:
        """Print progress until the crisis is alerted (or without end). Returns the webhook of the crisis alert."""
        if self._dashboard:
            self._notify(f"dashboard on {dashboard_address(stack.settings)}")
            if stack.first is not None:
                self._show_login(stack.first, dashboard_address(stack.settings))
        crisis_alert: Received | None = None
        try:
            while True:
                stack.check()
                self._report_progress(stack, newswire, receiver)
                crisis_alert = crisis_alert or next((webhook for webhook in receiver.received if is_crisis_alert(webhook, newswire)), None)
                if crisis_alert is not None and not self._forever:
                    return crisis_alert
                if not self._forever and time.monotonic() - self._began > self._timeout_s:
                    raise TocsinError(f"the crisis raised no alert within {self._timeout_s:.0f} s")
                time.sleep(0.1)
        except KeyboardInterrupt:
            if not self._forever:
                raise
            self._notify("stopping")
            return crisis_alert

    def _report_progress(self, stack: Stack, newswire: Newswire, receiver: Receiver) -> None:
        now = time.monotonic()
        if self._first_scored_s is None or now - self._status_at > 5:
            scored = stack.worker.metrics().get("tocsin_scored_total", 0.0)
            if scored and self._first_scored_s is None:
                self._first_scored_s = now - self._began
                self._notify(f"first articles scored after {self._first_scored_s:.1f} s")
            if now - self._status_at > 5:
                self._status_at = now
                crisis = " · crisis in progress" if newswire.crisis_started_at else ""
                self._notify(f"{len(newswire.published())} articles published, {scored:.0f} scored{crisis}")
        for webhook in receiver.received[self._reported :]:
            self._reported += 1
            data = webhook.data
            self._notify(
                f"ALERT ({data['severity']}): {series_name(data['series'])}: {data['observed']} negative stories, "
                f"{data['expected']:.1f} expected; signed webhook received"
            )

    def _settle(self, stack: Stack, newswire: Newswire) -> None:
        """Wait until the last articles are stored."""
        self._notify("crisis alerted; waiting for the last articles to be stored")
        deadline = time.monotonic() + SETTLE_S
        expected = len(newswire.article_ids())
        while time.monotonic() < deadline:
            stack.check()
            if stack.settled() and stack.worker.metrics().get("tocsin_scored_total", 0.0) >= expected:
                return
            time.sleep(0.1)

    def _summarise(
        self, settings: Settings, newswire: Newswire, receiver: Receiver, crisis_alert: Received | None, scored: int
    ) -> DemoSummary:
        """Read the results from the store, which the worker has closed."""
        store = wiring.make_store(settings)
        try:
            ids = newswire.article_ids().keys()
            totals = store.articles.totals()
            rows = store.articles.latest(1)
            started = newswire.crisis_started_at
            return DemoSummary(
                articles=len(ids),
                scored=scored,
                stored=totals.articles,
                alerts=store.alerts.count(),
                webhooks=len(receiver.received),
                first_scored_s=round(self._first_scored_s, 2) if self._first_scored_s is not None else None,
                alert_delay_s=round(crisis_alert.at - started.timestamp(), 2) if crisis_alert and started else None,
                alert_series=crisis_alert.data["series"] if crisis_alert else "",
                lost=len(ids - set(store.articles.keys(sorted(ids)))),
                duplicates=store.articles.duplicates(),
                dead_letters=store.dead_letters.count(),
                total_s=round(time.monotonic() - self._began, 1),
                model=rows[0].model if rows else "",
            )
        finally:
            store.close()


def is_crisis_alert(webhook: Received, newswire: Newswire) -> bool:
    """Whether the alert's evidence includes crisis articles."""
    crisis = {canonical(article.url) for article in newswire.published() if article.crisis}
    return any(canonical(str(item.get("url", ""))) in crisis for item in webhook.data.get("evidence", ()))


def summary_line(summary: DemoSummary) -> str:
    """The summary as one line of text."""
    delay = f"crisis alerted after {summary.alert_delay_s:.1f} s" if summary.alert_delay_s is not None else "no crisis alert"
    kind, _, key = summary.alert_series.partition(":")
    where = f" ({kind} {BY_KEY[key].en if key in BY_KEY else key})" if key else ""
    return (
        f"{summary.articles} articles published, {summary.stored} stored, {summary.lost} lost, {summary.duplicates} duplicated; "
        f"{summary.alerts} alerts, {summary.webhooks} webhooks received; {delay}{where}"
    )
