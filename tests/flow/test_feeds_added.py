"""A feed is previewed and added on the dashboard, crawled by a running crawler, shown on the page, and removed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import flask
import msgspec
import pytest

from core.cache import Cache
from core.errors import Conflict, NotFound, SourceError, UserError
from core.records import Language
from core.settings import Settings
from dashboard.app import create_app
from dashboard.pages import sources, system
from dashboard.services import NewFeed, Services
from dashboard.view import View
from domain.accounts import Person, Role
from ingest.companies.company_files import load_companies
from ingest.crawl.crawler import Crawler
from ingest.crawl.crawler_mailbox import CrawlerMailbox
from ingest.crawl.fetcher import Fetcher
from ingest.crawl.sources import Source, read_visits
from ingest.kafka.outbox import Outbox
from storage.store import Store, open_store
from tests.helpers.dashboard import callback_body
from tests.helpers.http_site import Response, Site
from tests.helpers.waiting import until
from tocsin.runtime import crawler_bridge
from tocsin.runtime.crawler_bridge import CrawlerBridge, running_bridge
from tocsin.runtime.heartbeat import heartbeats
from tocsin.services.feed_service import StoredFeedService, interval

GAZETTEER = load_companies()
TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store("embedded", tmp_path_factory.mktemp("feeds"))
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def store(opened: Store) -> Store:
    for table in ("feeds", "source_visits", "heartbeats", "audit"):
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture
def service(store: Store) -> StoredFeedService:
    return StoredFeedService(Settings(feeds_allow_private=True), store, lambda: datetime.now(UTC), timeout_s=3)


def rss(count: int, title: str = "海港财经", every: timedelta = timedelta(minutes=20), **odd: str) -> bytes:
    """An RSS feed with a number of entries, the newest now; odd: replaces parts of an entry."""
    now = datetime.now(UTC)
    items = []
    for n in range(count):
        parts = {
            "title": f"第{n}条 <b>快讯</b>",
            "link": f"https://news.example/{n}",
            "description": "某公司公告称债券将按期兑付，市场反应平静，分析师维持原有评级，并预计下半年的现金流会有明显改善。",
            "pubDate": format_datetime(now - n * every),
            **odd,
        }
        items.append("<item>" + "".join(f"<{name}><![CDATA[{text}]]></{name}>" for name, text in parts.items() if text) + "</item>")
    return f'<rss version="2.0"><channel><title>{title}</title>{"".join(items)}</channel></rss>'.encode()


def test_a_preview_describes_the_feed_and_stores_nothing(service: StoredFeedService, store: Store, site: Site):
    site.pages["/feed"] = Response(rss(7))
    found = service.preview(f" {site.url}/feed ", "王芳")
    assert (found.title, found.kind, found.language, found.entries, found.problems) == ("海港财经", "rss20", "zh", 7, ())
    assert [entry.title for entry in found.newest] == [f"第{n}条 快讯" for n in range(5)]
    assert found.interval_s == 600
    assert [request.path for request in site.requests] == ["/robots.txt", "/feed"]
    assert store.feeds.all() == []
    (noted,) = store.audit.latest(5)
    assert (noted.actor, noted.action, noted.target) == ("王芳", "feed previewed", f"{site.url}/feed")


@pytest.mark.parametrize(
    ("feed", "problems"),
    [
        (rss(0), {"empty"}),
        (rss(3, title=""), set()),
        (rss(3, pubDate=""), {"undated"}),
        (rss(3, link=""), {"linkless"}),
        (rss(3, description="短"), {"short"}),
        (rss(3, every=timedelta(days=-2)), {"future"}),
        (rss(3, pubDate="Mon, 02 Nov 2020 08:00:00 GMT"), {"old"}),
        (rss(201), {"many"}),
    ],
)
def test_a_preview_lists_problems(service: StoredFeedService, site: Site, feed: bytes, problems: set[str]):
    site.pages["/feed"] = Response(feed)
    assert {problem.key for problem in service.preview(f"{site.url}/feed", "Ann").problems} == problems


def test_a_preview_follows_redirects_and_knows_existing_sources(service: StoredFeedService, site: Site):
    site.pages["/old"] = Response(status=301, headers={"Location": "/feed"})
    site.pages["/feed"] = Response(rss(2))
    service.add(NewFeed(name="mine", url=f"{site.url}/feed"), "Ann")
    keys = [(problem.key, dict(problem.values)) for problem in service.preview(f"{site.url}/old", "Ann").problems]
    assert keys == [("known", {"name": "mine"}), ("moved", {"url": f"{site.url}/feed"})]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not an http or https address"),
        ("file:///etc/passwd", "not an http or https address"),
        ("javascript:alert(1)", "not an http or https address"),
        ("https://user:secret@news.example/feed", "visible to all users"),
        ("http://127.0.0.1:1/feed", "not a public address"),
        ("localhost/feed", "not a public address"),
        ("http://2130706433/", "not a public address"),
        ("http://169.254.169.254/latest/meta-data", "not a public address"),
        ("http://[::1]/feed", "not a public address"),
    ],
)
def test_a_preview_obeys_the_crawlers_limits(store: Store, url: str, why: str):
    service = StoredFeedService(Settings(), store, lambda: datetime.now(UTC))
    with pytest.raises((UserError, SourceError), match=why):
        service.preview(url, "Ann")


def test_cloud_metadata_addresses_are_always_rejected(service: StoredFeedService, site: Site):
    site.pages["/feed"] = Response(status=302, headers={"Location": "http://169.254.169.254/latest"})
    with pytest.raises(SourceError, match="not a public address"):
        service.preview(f"{site.url}/feed", "Ann")


def test_a_preview_times_out_and_rejects_other_content(service: StoredFeedService, site: Site):
    def drips(closing: threading.Event) -> Iterator[bytes]:
        while not closing.wait(0.05):
            yield b" "

    site.pages["/slow"] = Response(chunks=drips)
    site.pages["/page"] = Response(b"<html><body>news</body></html>", content_type="text/html")
    site.pages["/bomb"] = Response(b"<!DOCTYPE x [<!ENTITY a 'b'>]><rss/>")
    began = time.monotonic()
    with pytest.raises(SourceError):
        service.preview(f"{site.url}/slow", "Ann")
    assert time.monotonic() - began < 10
    for path in ("page", "bomb", "nothing"):
        with pytest.raises(SourceError):
            service.preview(f"{site.url}/{path}", "Ann")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": ""}, "name"),
        ({"name": "taken"}, "already"),
        ({"url": "https://NEWS.example:443/a?utm_source=x"}, "'taken' already has this address"),
        ({"genre": "gossip"}, "genre"),
        ({"language": "xx"}, "language"),
        ({"full_text": "maybe"}, "full_text"),
        ({"interval_s": 1.0}, "is too short"),
        ({"interval_s": 1e9}, "interval_s"),
        ({"url": "ftp://x"}, "not an http"),
    ],
)
def test_an_invalid_source_is_not_added(service: StoredFeedService, store: Store, changes: dict[str, Any], why: str):
    service.add(NewFeed(name="taken", url="https://news.example/a"), "Ann")
    given: dict[str, Any] = {"name": "x", "url": "https://other.example/a", **changes}
    with pytest.raises(UserError, match=why):
        service.add(NewFeed(**given), "Ann")
    assert [feed.name for feed in store.feeds.all()] == ["taken"]


@contextlib.contextmanager
def crawling(folder: Path, *given: Source) -> Iterator[tuple[CrawlerMailbox, Outbox]]:
    """Run a crawler with a mailbox and an outbox in this folder."""
    stop = threading.Event()
    with (
        contextlib.closing(Outbox(folder / "outbox.sqlite", durable_broker=True)) as outbox,
        contextlib.closing(CrawlerMailbox(folder / "crawler.sqlite")) as mailbox,
        contextlib.closing(Fetcher(host_delay_s=0, deadline_s=5, idle_s=2)) as fetcher,
    ):
        thread = threading.Thread(target=Crawler(given, fetcher, outbox, GAZETTEER, mailbox=mailbox).run, args=(stop,))
        thread.start()
        try:
            yield mailbox, outbox
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def _swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawler_bridge, "EVERY_S", 0.2)


@pytest.mark.usefixtures("_swift")
def test_an_added_feed_is_crawled_until_it_is_removed(service: StoredFeedService, store: Store, site: Site, tmp_path: Path):
    site.pages["/file"] = Response(rss(1, link="https://paper.example/1"))
    site.pages["/feed"] = Response(rss(3))
    of_file = Source(name="of file", url=f"{site.url}/file", allow_private=True)
    with (
        crawling(tmp_path, of_file) as (_, outbox),
        running_bridge(tmp_path / "crawler.sqlite", lambda: contextlib.nullcontext(store)),
    ):
        service.add(NewFeed(name="海港", url=f"{site.url}/feed", interval_s=10.0), "王芳")
        added = time.monotonic()
        until(lambda: any(visit.outcome == "ok" for visit in store.visits.all() if visit.source == "海港"), "it is visited", TIMEOUT_S)
        assert time.monotonic() - added < 60
        found = {visit.source: visit for visit in store.visits.all()}
        assert (found["海港"].origin, found["海港"].entries, found["海港"].published) == ("dashboard", 3, 3)
        assert (found["of file"].origin, found["of file"].interval_s) == ("file", 120)
        assert outbox.counts().pending == 4
        assert [noted.action for noted in store.audit.latest(5, action="feed")] == ["feed added"]
        with pytest.raises(NotFound, match="was not added on the dashboard"):
            service.remove("of file", "Ann")
        with pytest.raises(Conflict, match="already"):
            service.add(NewFeed(name="of file", url=f"{site.url}/other"), "Ann")
        service.remove("海港", "Ann")
        until(lambda: [visit.source for visit in store.visits.all()] == ["of file"], "it is left", TIMEOUT_S)
        count = len(site.requests)
        site.pages["/right"] = Response(rss(2, link="https://news.example/another"))
        service.add(NewFeed(name="海港", url=f"{site.url}/right", interval_s=10.0), "Ann")
        until(
            lambda: any(visit.outcome == "ok" and visit.url.endswith("right") for visit in store.visits.all()),
            "under another address",
            TIMEOUT_S,
        )
        assert all(each.path != "/feed" for each in site.requests[count:])
        (crawler,) = store.heartbeats.latest(datetime.now(UTC) - timedelta(minutes=1))
        assert (crawler.roles, crawler.state) == (("crawl",), "ready")
    with contextlib.closing(CrawlerMailbox(tmp_path / "crawler.sqlite")) as mailbox:
        CrawlerBridge(mailbox, store).step()
    (crawler,) = store.heartbeats.latest(datetime.now(UTC) - timedelta(minutes=1))
    assert crawler.state == "ended"


def test_added_feeds_are_crawled_after_a_restart_without_a_store(service: StoredFeedService, store: Store, site: Site, tmp_path: Path):
    site.pages["/feed"] = Response(rss(2))
    service.add(NewFeed(name="mine", url=f"{site.url}/feed"), "Ann")
    with contextlib.closing(CrawlerMailbox(tmp_path / "crawler.sqlite")) as mailbox:
        CrawlerBridge(mailbox, store).step()
    with crawling(tmp_path) as (mailbox, _):
        until(lambda: "mine" in read_visits(mailbox) and read_visits(mailbox)["mine"].outcome == "ok", "it is visited", TIMEOUT_S)


def test_a_failing_source_reports_reason_and_count(store: Store, site: Site, tmp_path: Path):
    site.pages["/feed"] = Response(status=500)
    given = Source(name="bad", url=f"{site.url}/feed", allow_private=True, interval_s=1)
    now = datetime.now(UTC).replace(microsecond=0)
    with (
        contextlib.closing(Outbox(tmp_path / "o.sqlite", durable_broker=True)) as outbox,
        contextlib.closing(CrawlerMailbox(tmp_path / "b.sqlite")) as mailbox,
        contextlib.closing(Fetcher(host_delay_s=0)) as fetcher,
    ):
        crawler = Crawler([given], fetcher, outbox, GAZETTEER, mailbox=mailbox)
        for n in range(3):
            crawler.crawl_once(now + timedelta(hours=n))
        found = read_visits(mailbox)["bad"]
        assert (found.outcome, found.failures, found.ok_at) == ("failed", 3, None)
        assert "HTTP 500" in found.error
        site.pages["/feed"] = Response(rss(3))
        crawler.crawl_once(now + timedelta(hours=9))
        found = read_visits(mailbox)["bad"]
        assert (found.outcome, found.failures, found.error, found.entries) == ("ok", 0, "", 3)
        CrawlerBridge(mailbox, store).step()
    (stored,) = store.visits.all()
    assert stored.next_at is not None
    assert msgspec.structs.replace(stored, next_at=found.next_at) == found


def test_rejected_entries_are_counted_for_a_week(site: Site, tmp_path: Path):
    site.pages["/feed"] = Response(
        b'<rss version="2.0"><channel><item><guid>a</guid></item><item><title>news</title></item></channel></rss>'
    )
    given = Source(name="odd", url=f"{site.url}/feed", allow_private=True, interval_s=1)
    now = datetime.now(UTC).replace(microsecond=0)
    with (
        contextlib.closing(Outbox(tmp_path / "o.sqlite", durable_broker=True)) as outbox,
        contextlib.closing(CrawlerMailbox(tmp_path / "b.sqlite")) as mailbox,
        contextlib.closing(Fetcher(host_delay_s=0)) as fetcher,
    ):
        for days, refused in ((0, 1), (6, 1), (8, 0)):
            Crawler([given], fetcher, outbox, GAZETTEER, mailbox=mailbox).crawl_once(now + timedelta(days=days))
            assert read_visits(mailbox)["odd"].refused == refused


def test_a_process_writes_heartbeats_until_it_ends(store: Store):
    ready, model = threading.Event(), [""]

    def last() -> Any:
        found = store.heartbeats.latest(datetime.now(UTC) - timedelta(minutes=1))
        return found[0] if found else None

    with heartbeats(store, ("work", "dashboard"), ready=ready.is_set, model=lambda: model[0], every_s=0.1):
        until(lambda: last() and last().state == "starting", "it starts", TIMEOUT_S)
        model[0] = "tocsin-base-3"
        ready.set()
        until(lambda: last().state == "ready" and last().model == "tocsin-base-3", "it is ready", TIMEOUT_S)
    assert last().state == "ended"
    assert len(store.heartbeats.latest(datetime.now(UTC) - timedelta(minutes=1))) == 1


def test_the_median_gap_decides_the_interval():
    now = datetime.now(UTC)
    assert interval([]) == interval([now]) == 300
    assert [interval([now - n * timedelta(seconds=gap) for n in range(5)]) for gap in (1, 300, 3_700, 86_400)] == [60, 120, 1_800, 3_600]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_previews_adds_and_removes_feeds(service: StoredFeedService, store: Store, site: Site, language: str):
    app = create_app(store, Settings(dashboard_login="none"), cache=Cache(first_read_wait_s=5), services=Services(feeds=service))
    client = app.server.test_client()
    site.pages["/feed"] = Response(rss(3, title="<script>x</script>"))

    def ask(output: str, changed: str, **values: Any) -> str:
        sent = callback_body(app, output, view_data={"lang": language}, **values) | {"changedPropIds": [changed]}
        answer = client.post("/_dash-update-component", json=sent)
        assert answer.status_code in (200, 204), answer.text
        return str(answer.json["response"]) if answer.status_code == 200 else ""

    url = f"{site.url}/feed"
    assert "is not an http or https address" in ask("sr-found.children", "sr-look.n_clicks", sr_look_n_clicks=1, sr_url_value="x y")
    tested = ask("sr-found.children", "sr-look.n_clicks", sr_look_n_clicks=1, sr_url_value=url)
    assert ("No problems found" if language == "en" else "未发现问题") in tested
    fields = {"sr_url_value": url, "sr_language_value": "any", "sr_genre_value": "news", "sr_pages_value": "never", "sr_interval_value": 60}
    kept = ask("sr-saved.children", "sr-add.n_clicks", sr_add_n_clicks=1, sr_name_value="海港", **fields)
    assert ("starts to visit it" if language == "en" else "已添加") in kept
    assert "already" in ask("sr-saved.children", "sr-add.n_clicks", sr_add_n_clicks=2, sr_name_value="海港", **fields)
    assert "海港" in ask("sr-added.data", "sr-saved.children")
    rows = ask("sr-rows", "tick.n_intervals")
    assert "海港" in rows
    assert ("Not visited" if language == "en" else "尚未采集") in rows
    gone = ask("sr-removed.children", "sr-remove.n_clicks", sr_remove_n_clicks=1, sr_added_value="海港")
    assert ("The crawler stops" if language == "en" else "已移除") in gone
    assert "海港" not in ask("sr-rows", "tick.n_intervals")
    assert [noted.action for noted in store.audit.latest(9, action="feed")][:2] == ["feed removed", "feed added"]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("role", "ids"), [("viewer", set()), ("analyst", {"sr-url", "sr-look"}), ("admin", {"sr-url", "sr-look", "sr-add", "sr-remove"})]
)
def test_the_form_depends_on_the_role(role: Role, ids: set[str], language: Language):
    with flask.Flask("x").test_request_context():
        flask.g.person = Person(name="x", role=role)
        for page in (sources, system):
            drawn = page.layout(View(language=language), "")
            there = {str(supervised_thread.id) for supervised_thread in drawn._traverse() if getattr(supervised_thread, "id", None)}
            assert there & {"sr-url", "sr-look", "sr-add", "sr-remove"} == (ids if page is sources else set())
