"""The newswire as web sites on 127.0.0.1. Each newspaper has its own port, so that a crawler's per-host pacing does not slow it down.

    GET /feed.xml       the latest articles            GET /archive.xml   older articles, with their full text
    GET /Y/M/D/X.html   an article                            GET /robots.txt    disallows /private/

Feeds and pages support conditional requests (ETag, Last-Modified) and gzip.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from core.records import article_id, domain_owner
from ingest.text.urls import canonical, registrable_domain
from tocsin.newswire import render
from tocsin.newswire.cast import PAPERS, Newspaper, companies_path
from tocsin.newswire.script import Plan, PublishedArticle, Timeline
from tocsin.newswire.server import HttpAnswer, WireServer

LATEST = 100
"""Articles in a feed: more than the busiest newspaper publishes in five minutes with a crisis."""

INTERVAL_S = 1.5
ARCHIVE_INTERVAL_S = 30.0
ROBOTS = "User-agent: *\nDisallow: /private/\nAllow: /\n"
_HTML = "text/html; charset=utf-8"


def now_utc() -> datetime:
    """The current time, aware UTC: the default clock."""
    return datetime.now(UTC)


class Newswire:
    """A running newswire. Its articles are determined by `seed`, `plan` and the time when it starts.

    Args:
        seed: random seed.
        plan: parameters; None for the defaults.
        clock: the current time, aware UTC.
        port: port of the index page; 0 for any free port. The newspapers use free ports.
    """

    def __init__(self, *, seed: int = 7, plan: Plan | None = None, clock: Callable[[], datetime] = now_utc, port: int = 0) -> None:
        self._seed, self._plan, self._clock, self._port = seed, plan or Plan(), clock, port
        self._servers: list[WireServer] = []
        self._timeline: Timeline | None = None
        self._bases: dict[str, str] = {}
        self._cache: dict[str, tuple[tuple[str, ...], HttpAnswer]] = {}
        self._lock = threading.Lock()
        self.requests: Counter[tuple[str, int]] = Counter()
        """Number of requests per (URL, status); a 304 counts as 200."""

    def __enter__(self) -> Newswire:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> str:
        """Start publishing and serving. Returns the address of the index page, such as "http://127.0.0.1:43211".

        Raises SettingsError if the port is in use.
        """
        try:
            for paper in (None, *PAPERS):
                server = WireServer(("127.0.0.1", 0 if paper else self._port), partial(self._answer, paper))
                self._servers.append(server)
                self._bases[paper.name if paper else ""] = f"http://127.0.0.1:{server.server_address[1]}"
        except OSError as error:
            for server in self._servers:
                server.server_close()
            self._servers.clear()
            raise SettingsError(f"newswire: port {self._port} of 127.0.0.1 cannot be used ({error.strerror}); choose another") from error
        self._timeline = Timeline(self._seed, self._clock(), self._plan)
        for server in self._servers:
            server.begin()
        return self.url

    def stop(self) -> None:
        """Stop serving and close all connections. `published` still works."""
        for server in self._servers:
            server.end()
        self._servers.clear()

    @property
    def url(self) -> str:
        """Address of the index page."""
        return self._bases[""]

    def url_of(self, paper: Newspaper) -> str:
        """Address of a newspaper's site."""
        return self._bases[paper.name]

    @property
    def companies_file(self) -> Path:
        """Path of the companies file, for the setting `companies`."""
        return companies_path()

    @property
    def _running(self) -> Timeline:
        if self._timeline is None:
            raise RuntimeError("the newswire was never started")
        return self._timeline

    @property
    def crisis_started_at(self) -> datetime | None:
        """When the crisis started; None before that and without a crisis."""
        return self._running.crisis_began(self._clock())

    def quiesce(self) -> None:
        """Stop publishing; published articles are still served."""
        self._running.freeze(self._clock())

    def published(self, now: datetime | None = None) -> list[PublishedArticle]:
        """All articles published by `now` (default: the clock's time), oldest first, with full URLs."""
        articles = self._running.published(now or self._clock())
        return [replace(article, url=self._bases[article.source] + article.url) for article in articles]

    def article_ids(self) -> dict[str, PublishedArticle]:
        """All articles published so far, by the ids that the crawler gives them.

        The archive of a newspaper is a source of its own. Where the feed has only the lead, the crawler reads the page, so that the
        article belongs to the domain of the newspaper.
        """
        found: dict[str, PublishedArticle] = {}
        for paper in PAPERS:
            archived = {article.url for article in self._running.archive(paper.name)}
            domain = "" if paper.full else domain_owner(registrable_domain(self.url_of(paper)))
            for article in self._running.published(self._clock()):
                if article.source == paper.name:
                    own = article.url not in archived
                    key = article_id(
                        url=canonical(self._bases[paper.name] + article.url),
                        source=paper.name if own else _archive_name(paper),
                        guid="",
                        title=article.title,
                        published_at=article.published_at,
                        owner=domain if own else "",
                    )
                    found[key] = article
        return found

    def sources(self) -> list[dict[str, Any]]:
        """Two [[sources]] tables per newspaper: its feed, and its archive with a longer interval."""
        rows: list[dict[str, Any]] = []
        for paper in PAPERS:
            common = {"language": paper.language, "kind": paper.form, "allow_private": True}
            full_text = "never" if paper.full else "when_short"
            feed = {"url": f"{self.url_of(paper)}/feed.xml", "interval_s": INTERVAL_S, "max_items": LATEST, "full_text": full_text}
            older = {"url": f"{self.url_of(paper)}/archive.xml", "interval_s": ARCHIVE_INTERVAL_S, "max_items": 10_000}
            rows += [{"name": paper.name, **feed, **common}, {"name": _archive_name(paper), **older, **common}]
        return rows

    def write_config(self, folder: Path) -> Path:
        """Write `sources` to sources.toml in `folder`. Returns its path."""
        tables = ("\n".join(["[[sources]]", *(f"{key} = {_toml(value)}" for key, value in row.items()), ""]) for row in self.sources())
        path = folder / "sources.toml"
        path.write_text("\n".join(tables), encoding="utf8")
        return path

    def _answer(self, paper: Newspaper | None, path: str) -> HttpAnswer:
        answer = self._look_up(paper, path)
        with self._lock:
            self.requests[self._bases[paper.name if paper else ""] + path, answer.status] += 1
        return answer

    def _look_up(self, paper: Newspaper | None, path: str) -> HttpAnswer:
        timeline, now = self._running, self._clock()
        if path == "/robots.txt":
            return HttpAnswer.of(ROBOTS.encode(), "text/plain; charset=utf-8", max_age_s=3600)
        if path.startswith("/private/"):  # served nevertheless, to detect crawlers that ignore robots.txt
            return HttpAnswer.of(b"<!doctype html><title>private</title><p>No crawler should read this.</p>", _HTML)
        if paper is None:
            papers = [(f"{self.url_of(each)}/", each.name) for each in PAPERS]
            return HttpAnswer.of(render.front_page("Newswire", "en", papers), _HTML) if path == "/" else HttpAnswer.missing()
        if path == "/":
            latest = [(article.url, article.title) for article in timeline.latest(paper.name, now, 20)]
            return HttpAnswer.of(render.front_page(paper.name, paper.language, latest), _HTML)
        if path == "/feed.xml":
            return self._feed(paper, path, timeline.latest(paper.name, now, LATEST), full=paper.full)
        if path == "/archive.xml":
            return self._feed(paper, path, timeline.archive(paper.name), full=True)
        article = timeline.article(paper.name, path, now)
        if article is None:
            return HttpAnswer.missing()
        others = timeline.latest(paper.name, article.published_at, 4)
        page = render.article_page(article, paper, self.url_of(paper), others)
        return HttpAnswer.of(page, _HTML, changed_at=article.published_at, max_age_s=3600)

    def _feed(self, paper: Newspaper, path: str, articles: list[PublishedArticle], *, full: bool) -> HttpAnswer:
        """The rendered feed, cached until its articles change."""
        base = self.url_of(paper)
        state = tuple(article.url for article in articles)
        with self._lock:
            known = self._cache.get(base + path)
        if known is not None and known[0] == state:
            return known[1]
        updated = articles[-1].published_at if articles else self._running.start
        answer = HttpAnswer.of(
            render.feed(paper, base, path, articles, updated, full=full),
            f"application/{paper.form}+xml; charset=utf-8",
            changed_at=updated,
        )
        with self._lock:
            self._cache[base + path] = (state, answer)
        return answer


def _archive_name(paper: Newspaper) -> str:
    return paper.name + ("（旧闻）" if paper.language == "zh" else " (archive)")


def _toml(value: object) -> str:
    """A TOML value; JSON has the same syntax for strings, numbers and booleans."""
    return json.dumps(value, ensure_ascii=False)
