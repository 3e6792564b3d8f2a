"""The newswire over real HTTP, with an HTTP client, a feed parser and the crawler."""

import gzip
import json
import re
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import feedparser
import httpx
import pytest

from core.errors import SettingsError
from core.records import Article, decode
from ingest.companies.company_files import load_companies
from ingest.crawl import feeds, pages
from ingest.crawl.crawler import Crawler
from ingest.crawl.fetcher import Fetcher
from ingest.crawl.sources import load_sources
from ingest.kafka.outbox import Outbox
from ingest.text import clean_text
from tocsin.newswire import Newswire, Plan
from tocsin.newswire.cast import PAPERS, companies_path

ROOT = Path(__file__).parents[2]
PLAN = Plan(history_articles=160, history_h=6)


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def newswire(clock):
    with Newswire(seed=5, plan=PLAN, clock=clock) as running:
        yield running


@pytest.fixture
def client(newswire):
    with httpx.Client(base_url=newswire.url, trust_env=False) as session:
        yield session


def test_feeds_and_archives_together_have_every_article_once(newswire, client, clock):
    clock.on(60)
    entries = []
    for row in newswire.sources():
        answer = client.get(row["url"])
        parsed = feedparser.parse(answer.content)
        assert not parsed.bozo, (row["url"], parsed.bozo_exception if parsed.bozo else "")
        assert parsed.version == {"rss": "rss20", "atom": "atom10"}[row["kind"]]
        entries += [(entry.link, entry.title, entry.id) for entry in parsed.entries]
    ledger = newswire.published()
    assert len(ledger) > 180
    assert sorted((link, title) for link, title, _ in entries) == sorted((article.url, article.title) for article in ledger)
    assert len({identity for _, _, identity in entries}) == len(ledger)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.slug)
def test_feeds_have_the_full_text_or_the_lead(newswire, client, paper):
    for name, full in (("feed", paper.full), ("archive", True)):
        answer = client.get(f"{newswire.url_of(paper)}/{name}.xml")
        entries = feeds.parse(answer.content, url=str(answer.url), content_type=answer.headers["content-type"])
        ledger = {article.url: article for article in newswire.published()}
        assert entries
        for entry in entries:
            article = ledger[entry.link]
            assert (clean_text.clean(entry.summary).split() == article.text.split()) == full
            assert parsedate(entry.published) == article.published_at


def parsedate(words: str) -> datetime:
    return datetime.fromisoformat(words) if words[0].isdigit() else parsedate_to_datetime(words)


def test_names_and_prices_survive_markup(newswire, client):
    """Newspaper names have ampersands, quotes have quotation marks."""
    clauses = [article for article in newswire.published() if "&" in article.title or '"' in article.text]
    assert len(clauses) > 10
    for article in clauses[:20]:
        page = pages.extract(client.get(article.url).content, url=article.url)
        assert page.title == article.title
        assert page.text.replace("\n", " ") == article.text.replace("\n", " ")


def test_pages_give_title_text_and_time(newswire, client):
    for article in newswire.published()[::7]:
        answer = client.get(article.url)
        page = pages.extract(answer.content, url=article.url, content_type=answer.headers["content-type"])
        assert page.title == article.title
        assert datetime.fromisoformat(page.published) == article.published_at
        missing = [paragraph for paragraph in article.paragraphs if paragraph not in page.text]
        assert not missing
        assert "Subscribe" not in page.text
        assert "登录后发表评论" not in page.text
        assert f'<link rel="canonical" href="{article.url}">' in answer.text
        [found] = re.findall(r'<script type="application/ld\+json">(.*?)</script>', answer.text, re.DOTALL)
        assert json.loads(found)["headline"] == article.title


def test_unchanged_feeds_are_not_sent_again(newswire, client, clock):
    path = f"{newswire.url_of(PAPERS[0])}/feed.xml"
    first = client.get(path)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    for headers in (
        {"If-None-Match": etag},
        {"If-Modified-Since": modified},
        {"If-None-Match": f'"other", W/{etag}'},
        {"If-None-Match": "*"},
    ):
        again = client.get(path, headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    stale = client.get(path, headers={"If-None-Match": '"other"', "If-Modified-Since": modified})
    assert stale.status_code == 200, "an ETag that does not match makes the date void"
    clock.on(60)
    changed = client.get(path, headers={"If-None-Match": etag, "If-Modified-Since": modified})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag
    assert client.get(path, headers={"If-Modified-Since": modified}).status_code == 200


def test_a_served_second_never_gets_more_articles(newswire, client, clock):
    """Last-Modified has whole seconds, so all articles of a second must be visible at its start."""
    path = f"{newswire.url_of(PAPERS[0])}/feed.xml"
    clock.now = clock.now.replace(microsecond=0)
    for _ in range(30):
        clock.on(1)
        early = client.get(path).content
        clock.on(0.999)
        assert client.get(path).content == early
        clock.on(-0.999)


def test_gzip_only_for_clients_that_accept_it(newswire, client):
    path = f"{newswire.url_of(PAPERS[4])}/archive.xml"
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    assert packed.headers["etag"] != plain.headers["etag"], "two encodings are two representations"
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_head_is_get_without_body(newswire, client):
    path = f"{newswire.url_of(PAPERS[1])}/feed.xml"
    get, head = client.get(path), client.head(path)
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


def test_an_article_is_missing_before_it_is_published(newswire, client, clock):
    future = newswire.published(clock.now + timedelta(minutes=1))[-1]
    assert client.get(future.url).status_code == 404
    clock.on(60)
    assert client.get(future.url).status_code == 200
    assert client.get("/no/such/page.html").status_code == 404
    assert client.get(f"{newswire.url_of(PAPERS[0])}/2026/no.html").status_code == 404


def test_the_crisis_starts_as_planned_and_quiesce_stops_publishing(newswire, client, clock):
    start = clock.now.replace(microsecond=0)
    assert newswire.crisis_started_at is None
    clock.on(PLAN.crisis_after_s + 10)
    assert newswire.crisis_started_at == start + timedelta(seconds=PLAN.crisis_after_s)
    newswire.quiesce()
    ledger = newswire.published()
    path = f"{newswire.url_of(PAPERS[0])}/feed.xml"
    before = client.get(path)
    clock.on(600)
    assert newswire.published() == ledger
    assert client.get(path, headers={"If-None-Match": before.headers["etag"]}).status_code == 304


def test_two_newswires_with_one_seed_are_equal(newswire, clock):
    clock.on(90)
    with Newswire(seed=5, plan=PLAN, clock=lambda: clock.now - timedelta(seconds=90)) as other:
        theirs = other.published(clock.now)
    ours = newswire.published()
    assert [replace(article, url="") for article in ours] == [replace(article, url="") for article in theirs]


def articles_in(outbox: Outbox) -> dict[str, Article]:
    return {article.id: article for article in (decode(row.body, Article) for row in outbox.pending(5_000))}


def test_the_real_crawler_gets_every_article_once_and_nothing_private(newswire, clock, tmp_path):
    """All articles, from feeds and pages, with the expected ids; no request to /private/."""
    gazetteer = load_companies(companies_path())
    with closing(Outbox(tmp_path / "outbox.sqlite", durable_broker=True)) as outbox, closing(Fetcher(host_delay_s=0.0)) as fetcher:
        crawler = Crawler(load_sources(newswire.write_config(tmp_path)), fetcher, outbox, gazetteer)
        for _ in range(3):
            visits = crawler.crawl_once(clock.now)
            assert {visit.outcome for visit in visits} <= {"ok", "not_modified"}, visits
            clock.on(35)
        newswire.quiesce()
        crawler.crawl_once(clock.now)
        got = articles_in(outbox)
    ledger = newswire.article_ids()
    assert got.keys() == ledger.keys()
    for identity, article in ledger.items():
        assert got[identity].title == article.title
        assert got[identity].language == article.language
        assert got[identity].published_at == article.published_at
        assert article.paragraphs[1] in got[identity].text, "the page was read where the feed has only the lead"
        assert {mention.company for mention in got[identity].mentions} == set(article.companies)
    assert all(newswire.requests[f"{newswire.url_of(paper)}/robots.txt", 200] for paper in PAPERS)
    assert not [url for url, _ in newswire.requests if "/private/" in url]


def test_a_port_in_use_gives_one_clear_error(newswire):
    port = int(newswire.url.rpartition(":")[2])
    with pytest.raises(SettingsError, match=rf"port {port} of 127\.0\.0\.1 cannot be used"):
        Newswire(port=port).start()


def test_it_runs_alone_as_a_program(tmp_path):
    command = [sys.executable, "-m", "tocsin.newswire", "--seed", "3", "--history-articles", "80", "--config", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        try:
            assert program.stdout is not None
            address = program.stdout.readline().strip()
            assert program.stdout.readline().startswith("sources written to")
            assert httpx.get(f"{address}/robots.txt", trust_env=False).text.endswith("Allow: /\n")
            assert len(load_sources(tmp_path / "sources.toml")) == 2 * len(PAPERS)
        finally:
            program.send_signal(signal.SIGTERM)
            _, errors = program.communicate(timeout=20)
    assert program.returncode == 0
    assert errors == ""


def test_the_program_reports_errors_in_one_sentence(newswire):
    port = newswire.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.newswire", "--port", port], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
