"""The crawler over real HTTP against a misbehaving site, with a real outbox."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from core.errors import SourceError
from core.records import Article, decode
from ingest.companies.company_files import load_companies
from ingest.crawl.crawler import Crawler, Visit, backoff_s
from ingest.crawl.fetcher import Fetcher
from ingest.crawl.sources import Source
from ingest.kafka.outbox import Outbox
from net import guarded_transport
from net.address_policy import kind_of
from net.timeouts import retry_after_s
from tests.helpers.http_site import Response, Site
from tests.helpers.shared_data import shared_dir
from tests.helpers.slow_server import SlowServer
from tests.helpers.waiting import until

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
GAZETTEER = load_companies()


@pytest.fixture
def site():
    with Site() as running:
        yield running


@pytest.fixture
def outbox(tmp_path):
    box = Outbox(tmp_path / "outbox.sqlite", durable_broker=True)
    yield box
    box.close()


@pytest.fixture
def fetching() -> Iterator[Callable[..., Fetcher]]:
    """Creates fetchers that are closed after the test; options are those of Fetcher."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(contextlib.closing(Fetcher(host_delay_s=0, **options)))


@pytest.fixture
def fetcher(fetching):
    return fetching(deadline_s=5, idle_s=2)


def crawler(outbox: Outbox, fetcher: Fetcher, *sources: Source) -> Crawler:
    return Crawler(sources, fetcher, outbox, GAZETTEER)


def source(url: str, **more: Any) -> Source:
    return Source(**{"name": "wire", "url": url, "allow_private": True, "timezone": "Asia/Shanghai", **more})


def rss(*items: tuple[str, str, str]) -> bytes:
    body = "".join(f"<item><guid>{guid}</guid><title>{title}</title>{rest}</item>" for guid, title, rest in items)
    return f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>wire</title>{body}</channel></rss>'.encode()


def kept(outbox: Outbox) -> list[Article]:
    return [decode(row.body, Article) for row in outbox.pending(10_000)]


def test_a_feed_becomes_articles_without_duplicates(site, outbox, fetcher):
    text = "<link>/a/1?utm_source=rss</link><pubDate>2026-11-22 11:00:00</pubDate>"
    text += "<description>&lt;p&gt;贵州茅台股价&lt;b&gt;下跌&lt;/b&gt;5%&lt;/p&gt;</description>"
    site.pages["/feed"] = Response(rss(("1", "茅台下跌", text), ("2", "Apple falls", "<link>javascript:alert(1)</link>")), etag='"v1"')
    crawl = crawler(outbox, fetcher, source(site.url + "/feed"))
    (visit,) = crawl.crawl_once(NOW)
    assert (visit.outcome, visit.entries, visit.published) == ("ok", 2, 2)
    chinese, english = kept(outbox)
    assert chinese.url == site.url + "/a/1"
    assert (chinese.text, chinese.language) == ("贵州茅台股价下跌5%", "zh")
    assert chinese.published_at == datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
    assert [mention.company for mention in chinese.mentions] == ["600519.SH"]
    assert (english.url, english.language, english.flags) == ("", "en", ("date",))

    assert crawl.crawl_once(NOW) == []  # not due yet
    later = NOW + timedelta(seconds=200)
    assert crawl.crawl_once(later)[0].outcome == "not_modified"
    assert site.requests[-1].headers["if-none-match"] == '"v1"'

    site.pages["/feed"] = Response(rss(("1", "茅台下跌", text.replace("5%", "7%")), ("2", "Apple falls", "")), etag='"v2"')
    assert crawl.crawl_once(later + timedelta(seconds=200))[0].published == 1
    articles = kept(outbox)
    assert len(articles) == 2, "the newer version took the place of the one that still waited"
    assert next(article for article in articles if article.id == chinese.id).text == "贵州茅台股价下跌7%"


def entries(*items: str) -> Response:
    body = "".join(f"<item>{item}</item>" for item in items)
    return Response(f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>w</title>{body}</channel></rss>'.encode())


def visits(outbox: Outbox, fetcher: Fetcher, feed: Source, site: Site, *documents: Response | bytes) -> list[Visit]:
    """One visit for each document of the feed, an hour apart."""
    found = []
    for hour, document in enumerate(documents):
        site.pages["/feed"] = document if isinstance(document, Response) else Response(document)
        found += crawler(outbox, fetcher, feed).crawl_once(NOW + timedelta(hours=hour))
    return found


@pytest.mark.parametrize(
    ("folder", "documents", "published"),
    [
        ("01_same_link_feed", ["feed.xml"], [6]),
        ("02_fragment_links", ["feed.xml"], [8]),
        ("03_same_guid_new_item", ["first.xml", "second.xml"], [3, 1]),
    ],
)
def test_reported_feeds_lose_no_article(site, outbox, fetcher, folder, documents, published):
    cases = shared_dir() / "cases" / folder
    bodies = [(cases / name).read_bytes() for name in (*documents, documents[-1])]
    found = visits(outbox, fetcher, source(site.url + "/feed"), site, *bodies)
    assert [visit.published for visit in found] == [*published, 0]
    assert len({article.id for article in kept(outbox)}) == sum(published)
    assert [dict(visit.skipped) for visit in found] == [{}] * len(found)


def test_the_newest_of_a_reported_feed_that_begins_with_the_oldest_are_read(site, outbox, fetcher):
    feed = (shared_dir() / "cases" / "04_oldest_first_feed" / "feed.xml").read_bytes()
    first, second = visits(outbox, fetcher, source(site.url + "/feed"), site, feed, feed)
    assert (first.entries, first.published, first.skipped) == (260, 200, {"passed_over": 60})
    assert (second.published, second.skipped) == (0, {}), "counted once"
    assert {article.title for article in kept(outbox)} == {f"Old notice number {n} from the port" for n in range(60, 260)}


def test_what_has_one_link_or_one_guid_is_published_on_every_visit(site, outbox, fetcher):
    live = [f"<title>快讯：第{n}家</title><link>/live</link><guid>k{n}</guid>" for n in range(6)]
    notes = [f"<title>Note {n}</title><link>/n/{n}</link><guid>N/A</guid>" for n in range(3)]
    found = visits(
        outbox,
        fetcher,
        source(site.url + "/feed"),
        site,
        entries(*live[:3], *notes[:2]),
        entries(*reversed([*live, *notes])),
        entries(live[5], notes[0]),
    )
    assert [visit.published for visit in found] == [5, 4, 0]
    assert len({article.id for article in kept(outbox)}) == 9


def test_a_guid_that_changes_at_every_visit_repeats_no_article(site, outbox, fetcher):
    documents = [entries(*[f"<title>Item {n}</title><link>/a/{n}</link><guid>{visit}-{n}</guid>" for n in range(4)]) for visit in range(3)]
    assert [visit.published for visit in visits(outbox, fetcher, source(site.url + "/feed"), site, *documents)] == [4, 0, 0]


def test_entries_without_an_article_are_counted_by_reason(site, outbox, fetcher):
    def skipped(reason: str) -> float:
        return REGISTRY.get_sample_value("tocsin_skipped_entries_total", {"source": "odd", "reason": reason}) or 0.0

    old = "<title>旧闻</title><link>/old</link><pubDate>2026-11-01 08:00</pubDate>"
    new = [f"<title>新闻 {n}</title><link>/{n}</link><pubDate>2026-11-2{n} 08:00</pubDate>" for n in range(2)]
    document = entries(old, new[0], new[0], new[0], "<link>/none</link><pubDate>2026-11-22 08:00</pubDate>", new[1])
    first, second, third = visits(
        outbox, fetcher, source(site.url + "/feed", name="odd", max_items=3), site, document, document, entries(old, new[0])
    )
    assert (first.published, first.skipped) == (2, {"repeated": 2, "empty": 1, "passed_over": 1})
    assert (second.published, second.skipped) == (0, {})
    assert (third.published, third.skipped) == (1, {}), "what was passed over is read once there is room"
    assert [skipped(reason) for reason in ("repeated", "empty", "passed_over")] == [2, 1, 1]


def test_sources_that_list_one_link_have_articles_of_their_own(site, outbox, fetcher):
    for path, title in (("/a", "Lender halts withdrawals"), ("/b", "Lender wins award")):
        site.pages[path] = entries(f"<title>{title}</title><link>{site.url}/1</link>")
    found = crawler(outbox, fetcher, source(site.url + "/a", name="a"), source(site.url + "/b", name="b")).crawl_once(NOW)
    assert [visit.published for visit in found] == [1, 1]
    first, second = kept(outbox)
    assert first.id != second.id
    assert first.url == second.url
    assert (first.trust, second.trust) == ("domain", "domain"), "both feeds are on the server of the link"


def test_a_source_has_the_trust_of_its_domain(site, outbox, fetcher):
    with Site() as other:
        link = f"{other.url}/news/1"
        for server in (site, other):
            server.pages["/feed"] = entries(f"<title>Lender halts withdrawals</title><link>{link}</link>")
        sources = [source(site.url + "/feed", name="press"), source(other.url + "/feed", name="wire")]
        crawler(outbox, fetcher, *sources).crawl_once(NOW)
    assert [(article.source, article.trust) for article in kept(outbox)] == [("press", "feed"), ("wire", "domain")]


def test_only_pages_of_the_links_own_domain_are_one_article_of_several_sources(site, outbox, fetcher):
    """Two feeds of the publisher share its article where they read its page; a feed of another server has its own."""
    page = b"<html><head><title>Lender</title></head><body><article>" + b"<p>The lender halted withdrawals on Monday morning.</p>" * 20
    site.pages["/1"] = Response(page + b"</article></body></html>", content_type="text/html; charset=utf-8")
    with Site() as other:
        for server, path in ((site, "/top"), (site, "/markets"), (other, "/feed")):
            server.pages[path] = entries(f"<title>Lender halts withdrawals</title><link>{site.url}/1</link>")
        sources = [
            source(site.url + "/top", name="top", full_text="always"),
            source(site.url + "/markets", name="markets", full_text="always"),
            source(other.url + "/feed", name="other", full_text="always"),
            source(site.url + "/top", name="headlines"),
        ]
        crawl = crawler(outbox, fetcher, *sources)
        assert [visit.published for visit in crawl.crawl_once(NOW)] == [1, 1, 1, 1]
        by_source = {article.source: article for article in kept(outbox)}
        assert sorted(by_source) == ["headlines", "markets", "other"], "the version of markets has replaced that of top"
        owner = by_source["markets"].owner
        assert owner.startswith("domain 127.0.0.1:")
        assert (by_source["other"].owner, by_source["headlines"].owner) == ("", "")
        del site.pages["/1"]
        site.pages["/top"] = entries(f"<title>Lender wins award</title><link>{site.url}/1</link>")
        later = {visit.source: visit.published for visit in crawl.crawl_once(NOW + timedelta(hours=1))}
    assert later == {"top": 0, "markets": 0, "other": 0, "headlines": 1}, "without its page, no feed revises what they share"


def test_a_crash_between_visits_loses_and_repeats_no_article(site, tmp_path, fetcher):
    site.pages["/feed"] = Response(rss(("1", "Fed holds rates", "")), modified="Sat, 21 Nov 2026 00:00:00 GMT")
    first = Outbox(tmp_path / "o.sqlite", durable_broker=True)
    crawler(first, fetcher, source(site.url + "/feed")).crawl_once(NOW)
    first.close()
    second = Outbox(tmp_path / "o.sqlite", durable_broker=True)
    later = crawler(second, fetcher, source(site.url + "/feed"))
    assert later.crawl_once(NOW) == []
    assert later.crawl_once(NOW + timedelta(hours=1))[0].outcome == "not_modified"
    assert len(kept(second)) == 1
    second.close()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("120", 120),
        ("999999999999", 86_400),
        ("9" * 5_000, 86_400),
        (format_datetime(datetime(2026, 11, 22, 5, 0, tzinfo=UTC), usegmt=True), 3_600),
        (format_datetime(datetime(2136, 11, 22, 5, 0, tzinfo=UTC), usegmt=True), 86_400),
        ("soon", None),
        ("-5", None),
        ("Tue, 99 Nov 2026 99:00:00 GMT", None),
    ],
    ids=["seconds", "30,000 years", "5,000 digits", "a date", "a date far away", "a word", "less than none", "no date"],
)
def test_retry_after_is_honoured(site, outbox, header, wait_s, status, fetching):
    date = format_datetime(datetime(2026, 11, 22, 4, 0, tzinfo=UTC), usegmt=True)
    site.pages["/feed"] = Response(status=status, headers={"Retry-After": header})
    fetcher = fetching()
    with pytest.raises(SourceError, match=str(status)) as caught:
        fetcher.get(site.url + "/feed", allow_private=True)
    if wait_s != 3_600:  # the site's own Date header is now, which the next test fixes
        assert caught.value.retry_after_s == wait_s
    assert retry_after_s(header, date) == wait_s
    if wait_s == 3_600:
        return
    count = len(site.requests)
    with pytest.raises(SourceError, match="next request"):  # the whole host is left alone, not only this page
        fetcher.get(site.url + "/other", allow_private=True)
    assert len(site.requests) == count


@pytest.mark.parametrize("tag", ['"é"', '"v1"\r\nX-Evil: 1', '"\x07"', '"中"'])
def test_an_invalid_etag_is_not_sent_back(site, fetcher, tag):
    site.pages["/feed"] = Response(b"x")
    assert fetcher.get(site.url + "/feed", etag=tag, last_modified=tag, allow_private=True).status == 200
    headers = site.requests[-1].headers
    assert not {"if-none-match", "if-modified-since", "x-evil"} & headers.keys()


def test_a_non_ascii_etag_does_no_harm(site, outbox, fetcher):
    site.pages["/feed"] = Response(rss(("1", "Fed holds rates", "")), etag='"é"')
    crawl = crawler(outbox, fetcher, source(site.url + "/feed"))
    assert crawl.crawl_once(NOW)[0].outcome == "ok"
    assert crawl.crawl_once(NOW + timedelta(hours=1))[0].outcome == "ok"
    assert "if-none-match" not in site.requests[-1].headers


def test_a_failing_source_is_visited_less_and_less_often(site, outbox, fetcher):
    site.pages["/feed"] = Response(status=500)
    crawl = crawler(outbox, fetcher, source(site.url + "/feed", interval_s=60))
    crawl.crawl_once(NOW)
    first = outbox.state("wire").next_due - NOW.timestamp()
    crawl.crawl_once(NOW + timedelta(seconds=first))
    second = outbox.state("wire").next_due - NOW.timestamp() - first
    assert (first, second, outbox.state("wire").failures) == (120, 240, 2)
    assert backoff_s(60, 500, None) == 6 * 3600
    assert backoff_s(60, 1, 86_400) == 86_400


def test_a_gzip_bomb_is_rejected_before_it_is_decompressed(site, fetcher):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()  # 512 MB in half a MB
    site.pages["/feed"] = Response(bomb, headers={"Content-Encoding": "gzip"})
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(SourceError, match="longer than"):
        fetcher.get(site.url + "/feed", allow_private=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20


def test_gzip_is_decompressed_and_other_encodings_are_rejected(site, fetcher):
    body = rss(("1", "涨停", ""))
    site.pages["/gzip"] = Response(gzip.compress(body[:40]) + gzip.compress(body[40:]), headers={"Content-Encoding": "gzip"})
    assert fetcher.get(site.url + "/gzip", allow_private=True).body == body
    site.pages["/short"] = Response(gzip.compress(body)[:-12], headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceError, match="truncated"):
        fetcher.get(site.url + "/short", allow_private=True)
    site.pages["/br"] = Response(body, headers={"Content-Encoding": "br"})
    with pytest.raises(SourceError, match="unsupported Content-Encoding"):
        fetcher.get(site.url + "/br", allow_private=True)


def drip(piece: bytes, every_s: float) -> Callable[[threading.Event], Iterator[bytes]]:
    def chunks(closing: threading.Event) -> Iterator[bytes]:
        while not closing.wait(every_s):
            yield piece

    return chunks


@pytest.mark.parametrize("chunks", [drip(b"x", 0.05), drip(b"x" * 65_536, 0)], ids=["slow drip", "endless flood"])
def test_an_endless_response_is_cut_off(site, chunks, fetching):
    site.pages["/feed"] = Response(chunks=chunks)
    fetcher = fetching(deadline_s=1.0, max_bytes=4 << 20)
    begun = time.monotonic()
    with pytest.raises(SourceError, match=r"longer than|timed out"):
        fetcher.get(site.url + "/feed", allow_private=True)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("start", ["", "HTTP/1.1 200 OK\r\nX: "], ids=["status", "header"])
@pytest.mark.parametrize("robots", [False, True], ids=["of a page", "of robots.txt"])
def test_a_slow_response_header_is_cut_off(start, robots, fetching):
    """Every single read succeeds: only the overall deadline ends it."""
    with SlowServer(start, robots=robots) as server:
        fetcher = fetching(deadline_s=0.5)
        begun = time.monotonic()
        with pytest.raises(SourceError, match="robots.txt is unavailable" if robots else "timed out|took longer"):
            fetcher.get(server.url + "/feed", allow_private=True)
        assert time.monotonic() - begun < 2
        assert len(server.requests) == 1


def test_redirects_are_followed_up_to_a_limit(site, fetcher):
    site.pages["/feed"] = Response(rss(("1", "t", "")))
    site.pages["/moved"] = Response(status=301, headers={"Location": "/feed"})
    assert fetcher.get(site.url + "/moved", allow_private=True).url == site.url + "/feed"
    site.pages["/loop"] = Response(status=302, headers={"Location": "/loop"})
    with pytest.raises(SourceError, match="redirects"):
        fetcher.get(site.url + "/loop", allow_private=True)
    assert site.request_count("/loop") == 6
    for target in ("file:///etc/passwd", "javascript:alert(1)", "ftp://example.com/", ""):
        site.pages["/evil"] = Response(status=302, headers={"Location": target})
        with pytest.raises(SourceError, match="not an http"):
            fetcher.get(site.url + "/evil", allow_private=True)


def test_a_public_site_cannot_redirect_to_a_private_address(site, fetching):
    """A public name is not enough: its address decides, at the first hop and at each redirect."""
    port = int(site.url.rpartition(":")[2])
    answers = {"public.example": ["93.184.216.34", "127.0.0.1"], "rebinding.example": ["127.0.0.1"]}
    fetcher = fetching(resolver=lambda host, _: answers.get(host, [host]))
    for host in ("public.example", "rebinding.example", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"):
        with pytest.raises(SourceError, match="not a public address"):
            fetcher.get(f"http://{host}:{port}/feed")
    assert site.requests == []


def test_a_redirect_is_checked_like_a_first_request(site, monkeypatch, fetching):
    """A public host, or its robots.txt, redirects to a private network or to a cloud metadata service."""
    resolved: list[str] = []
    answers = {"public.example": ["127.0.0.1"], "inside.example": ["10.0.0.1"], "cloud.example": ["169.254.169.254"]}

    def resolve(host: str, _port: int) -> list[str]:
        resolved.append(host)
        return answers.get(host, [host])

    # the site stands for a public one
    monkeypatch.setattr(guarded_transport, "kind_of", lambda address: "public" if address == "127.0.0.1" else kind_of(address))
    port = site.url.rpartition(":")[2]
    for target, private in [("inside.example", False), ("cloud.example", False), ("cloud.example", True), ("[::7f00:1]", True)]:
        for path in ("/feed", "/robots.txt"):
            site.pages = {"/robots.txt": Response(status=404), "/feed": Response(b"x")}
            site.pages[path] = Response(status=302, headers={"Location": f"http://{target}/"})
            fetcher = fetching(resolver=resolve)
            with pytest.raises(SourceError, match="not a public address"):
                fetcher.get(f"http://public.example:{port}/feed", allow_private=private)
            assert resolved[-1] == target.strip("[]")


def test_allow_private_covers_the_given_host_and_port_only(site, fetching):
    """A private feed, or its robots.txt, redirects to another server of the network."""
    with Site() as other:
        other.pages["/feed"] = Response(b"internal")
        for path in ("/feed", "/robots.txt"):
            site.pages = {"/robots.txt": Response(status=404), path: Response(status=302, headers={"Location": other.url + "/feed"})}
            with pytest.raises(SourceError, match="not a public address"):
                fetching().get(site.url + "/feed", allow_private=True)
        assert other.requests == []


def test_pages_of_other_private_servers_are_not_fetched(site, outbox, fetcher):
    with Site() as other:
        other.pages["/a"] = Response("<article><p>内部资料</p></article>".encode())
        site.pages["/feed"] = Response(rss(("1", "违约", f"<link>{other.url}/a</link>"), ("2", "停牌", f"<link>{site.url}/b</link>")))
        crawler(outbox, fetcher, source(site.url + "/feed", full_text="always")).crawl_once(NOW)
        assert other.requests == []
        assert site.request_count("/b") == 1


def test_https_connects_to_the_checked_address_and_verifies_the_name(certified, fetching):
    """The connection goes to the checked address; the certificate is verified against the name."""
    with Site(certified) as site:
        port = int(site.url.rpartition(":")[2])
        site.pages["/feed"] = Response(b"x")
        fetcher = fetching(resolver=lambda *_: ["127.0.0.1"])
        assert fetcher.get(f"https://wire.example:{port}/feed", allow_private=True).body == b"x"
        with pytest.raises(SourceError):
            fetcher.get(f"https://other.example:{port}/feed", allow_private=True)
        assert site.request_count("/feed") == 1


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0", "127.1", "localhost"])
def test_all_spellings_of_loopback_are_rejected(site, host, fetching):
    port = int(site.url.rpartition(":")[2])
    fetcher = fetching()
    with pytest.raises(SourceError, match="not a public address"):
        fetcher.get(f"http://{host}:{port}/feed")
    assert site.requests == []


def test_robots_txt_is_obeyed(site, fetching):
    site.pages["/a"] = site.pages["/b"] = Response(b"x")
    site.pages["/robots.txt"] = Response(
        b"User-agent: *\nDisallow: /a\n" + b"#" * 2_000_000 + b"\nDisallow: /b\n", content_type="text/plain"
    )
    fetcher = fetching()
    with pytest.raises(SourceError, match="robots"):
        fetcher.get(site.url + "/a", allow_private=True)
    assert fetcher.get(site.url + "/b", allow_private=True).status == 200, "rules behind the first 512 kB do not count"
    assert (site.request_count("/robots.txt"), site.request_count("/a")) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [(Response(status=404), True), (Response(status=403), True), (Response(status=500), False), (Response(status=429), False),
     (Response(status=301, headers={"Location": "/rules"}), False), (Response(status=302, headers={"Location": "/robots.txt"}), True)],
    ids=["404", "403", "500", "429", "redirect to rules", "redirect loop"],
)  # fmt: skip
def test_a_missing_robots_txt_allows_and_an_unavailable_one_disallows(site, answer, allowed, fetching):
    site.pages["/feed"] = Response(b"x")
    site.pages["/rules"] = Response(b"User-agent: *\nDisallow: /\n", content_type="text/plain")
    site.pages["/robots.txt"] = answer
    fetcher = fetching()
    if allowed:
        assert fetcher.get(site.url + "/feed", allow_private=True).body == b"x"
    else:
        with pytest.raises(SourceError, match="robots"):
            fetcher.get(site.url + "/feed", allow_private=True)
        assert site.request_count("/feed") == 0


def test_an_unrequested_304_is_an_error(site, fetcher):
    site.pages["/feed"] = Response(status=304)
    with pytest.raises(SourceError, match="304"):
        fetcher.get(site.url + "/feed", allow_private=True)


def test_short_entries_get_the_text_of_their_page(site, outbox, fetcher):
    paragraphs = "".join(
        f"<p>比亚迪今日发布公告，第{number}项议案获得通过，公司将继续推进新能源汽车业务的全球布局，预计明年海外销量翻倍。</p>"
        for number in range(6)
    )
    ld = '<script type="application/ld+json">{"@type":"NewsArticle","datePublished":"2026-11-22T09:30:00+08:00"}</script>'
    body = f"<body><nav>首页 财经</nav><article><h1>比亚迪公告</h1>{paragraphs}</article></body>"
    html = f"<html><head><title>比亚迪公告</title>{ld}</head>{body}</html>"
    site.pages["/page"] = Response(html.encode("gb18030"), content_type="text/html; charset=gb2312")
    site.pages["/feed"] = Response(rss(("1", "比亚迪公告", "<link>/page</link>"), ("2", "没有页面", "<link>/gone</link>")))
    crawler(outbox, fetcher, source(site.url + "/feed", full_text="when_short")).crawl_once(NOW)
    full, bare = kept(outbox)
    assert "第5项议案" in full.text
    assert "首页" not in full.text
    assert full.published_at == datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
    assert "no_page" in bare.flags


def test_the_loop_crawls_until_it_is_stopped(site, outbox, fetching):
    for number in range(5):
        site.pages[f"/feed{number}"] = Response(rss((str(number), f"Story {number}", "")))
    sources = [source(f"{site.url}/feed{number}", name=f"wire{number}", interval_s=0.2) for number in range(5)]
    fetcher = fetching()
    stop = threading.Event()
    thread = threading.Thread(target=crawler(outbox, fetcher, *sources).run, args=(stop,))
    thread.start()
    try:
        until(lambda: min(site.request_count(f"/feed{number}") for number in range(5)) >= 2, "each feed is fetched twice", 20)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert len(kept(outbox)) == 5


def test_a_full_outbox_pauses_crawling(site, tmp_path, fetcher):
    """Nothing is dropped: crawling continues when there is room."""
    site.pages["/feed"] = Response(rss(("1", "t", "")))
    box = Outbox(tmp_path / "small.sqlite", durable_broker=True, max_bytes=1)
    crawl = crawler(box, fetcher, source(site.url + "/feed", interval_s=0.1))
    crawl.crawl_once(NOW)
    assert box.full
    count = len(site.requests)
    stop = threading.Event()
    thread = threading.Thread(target=crawl.run, args=(stop,))
    thread.start()
    stop.wait(0.3)
    stop.set()
    thread.join(10)
    assert len(site.requests) == count
    box.close()


def test_one_broken_feed_does_not_affect_real_feeds(site, outbox, fetcher):
    """feedparser's 1,800 test feeds, old and broken ones included."""
    root = shared_dir() / "data" / "feeds" / "feedparser"
    files = [path for folder in ("wellformed/rss", "wellformed/atom10", "encoding") for path in sorted((root / folder).rglob("*.xml"))]
    sources = []
    for number, path in enumerate(files):
        site.pages[f"/{number}"] = Response(path.read_bytes(), content_type="application/xml")
        sources.append(source(f"{site.url}/{number}", name=path.relative_to(root).as_posix()))
    visits = crawler(outbox, fetcher, *sources).crawl_once(NOW)
    assert len(visits) == len(files) > 300
    unexpected = [
        visit
        for visit in visits
        if visit.outcome == "failed" and not re.search(r"neither RSS nor Atom|document type|no encoding|garbled", visit.error)
    ]
    assert unexpected == []
    assert sum(visit.outcome == "ok" for visit in visits) > 0.9 * len(visits)
    assert len(kept(outbox)) > 50


def test_chinese_feeds_in_other_encodings_are_decoded(site, outbox, fetcher):
    words = "恆生指數收市下跌三百點，銀行股與地產股領跌，投資者擔心經濟增長放緩"
    for charset in ("big5", "gb18030", "utf-16", "utf-8"):
        body = rss((charset, words, "")).decode().replace('encoding="utf-8"', f'encoding="{charset}"').encode(charset)
        site.pages[f"/{charset}"] = Response(body, content_type="application/rss+xml")
    crawl = crawler(outbox, fetcher, *(source(f"{site.url}/{charset}", name=charset) for charset in ("big5", "gb18030", "utf-16", "utf-8")))
    crawl.crawl_once(NOW)
    assert [article.title for article in kept(outbox)] == [words] * 4


@pytest.mark.parametrize(("folder", "floor"), [("article_extraction_benchmark", 0.945), ("fundus", 0.945)])
def test_extraction_quality_does_not_drop(site, fetcher, folder, floor):
    """Mean token F1 of extracted pages against human annotations. The floor may only rise."""
    root = shared_dir() / "data" / "pages" / folder
    if folder == "fundus":
        truth = {row["html"]: row["body"] for row in json.loads((root / "expected.json").read_text("utf-8"))}
        paths = {key: root / key for key in truth}
    else:
        truth = {key: row["articleBody"] for key, row in json.loads((root / "ground-truth.json").read_text("utf-8")).items()}
        paths = {key: root / "html" / f"{key}.html.gz" for key in truth}
    from ingest.crawl import pages

    scores = []
    for number, (key, expected) in enumerate(truth.items()):
        site.pages[f"/{number}"] = Response(paths[key].read_bytes(), content_type="text/html", headers={"Content-Encoding": "gzip"})
        fetched = fetcher.get(f"{site.url}/{number}", allow_private=True)
        scores.append(token_f1(pages.extract(fetched.body, url=fetched.url, content_type=fetched.content_type).text, expected))
    assert sum(scores) / len(scores) >= floor


def token_f1(found: str, expected: str) -> float:
    from collections import Counter

    one, two = (Counter(re.findall(r"[\u3040-\u9fff]|\w+", words.lower())) for words in (found, expected))
    common = sum((one & two).values())
    return 2 * common / max(1, sum(one.values()) + sum(two.values()))


def test_the_entries_that_prove_the_order_of_day_and_month_decide_for_the_feed(site, outbox, fetcher):
    """They are remembered: in the first days of a month no entry proves it."""
    dated = [("25/10/2026 09:30", "1"), ("05/11/2026 09:30", "2"), ("20/10/2026", "3")]
    site.pages["/feed"] = Response(rss(*((guid, f"News {guid}", f"<pubDate>{time}</pubDate>") for time, guid in dated)))
    crawl = crawler(outbox, fetcher, source(site.url + "/feed", timezone="UTC"))
    crawl.crawl_once(NOW)
    site.pages["/feed"] = Response(rss(("4", "News 4", "<pubDate>06/05/2026 09:30</pubDate>")))
    crawl.crawl_once(NOW + timedelta(hours=1))
    assert [f"{article.published_at:%m-%d}" for article in kept(outbox)] == ["10-25", "11-05", "10-20", "05-06"]
    assert {article.flags for article in kept(outbox)} == {()}


def test_a_feed_in_local_time_that_claims_to_be_gmt_is_read_in_its_own_zone(site, outbox, fetcher):
    site.pages["/feed"] = Response(
        rss(
            ("1", "八小时后", "<pubDate>Sun, 22 Nov 2026 11:55:00 GMT</pubDate>"),
            ("2", "明年", "<pubDate>Mon, 22 Nov 2027 11:55:00 GMT</pubDate>"),
        )
    )
    crawler(outbox, fetcher, source(site.url + "/feed")).crawl_once(NOW)
    local, future = kept(outbox)
    assert (local.published_at, local.flags) == (datetime(2026, 11, 22, 3, 55, tzinfo=UTC), ("zone",))
    assert (future.published_at, future.flags, future.counts) == (NOW, ("date",), False)


def test_page_times_match_their_publishers():
    from zoneinfo import ZoneInfo

    from ingest.crawl import pages
    from ingest.text import dates

    root = shared_dir() / "data" / "pages" / "fundus"
    rows = json.loads((root / "expected.json").read_text("utf-8"))
    right = 0
    for row in rows:
        page = pages.extract(gzip.decompress((root / row["html"]).read_bytes()), url="http://example.com/")
        found = dates.parse(page.published, ZoneInfo("Asia/Shanghai"), NOW)
        right += found is not None and abs(found - datetime.fromisoformat(row["published"]).astimezone(UTC)) < timedelta(days=1)
    assert right == len(rows)
