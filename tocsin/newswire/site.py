"""The newswire as a web site: feeds, article pages and robots.txt over HTTP on 127.0.0.1.

    GET /PAPER/feed.xml     the latest articles of a paper            GET /PAPER/archive.xml   its older ones
    GET /PAPER/Y/M/D/X.html an article                                GET /robots.txt          forbids /private/

Every answer has an ETag and a Last-Modified, and is not sent again to who names them; gzip for who accepts it.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spine.errors import SettingsError
from tocsin.newswire import feeds, pages
from tocsin.newswire.cast import PAPERS, Paper, companies_path
from tocsin.newswire.script import Plan, PublishedArticle
from tocsin.newswire.server import Answer, Server
from tocsin.newswire.timeline import Timeline

LATEST = 100
"""Articles that a feed shows: six minutes of the busiest paper at the default pace."""

INTERVAL_S = 1.5
ARCHIVE_INTERVAL_S = 30.0
ROBOTS = "User-agent: *\nDisallow: /private/\nAllow: /\n"


def now_utc() -> datetime:
    """The time that the newswire goes by unless it is told another."""
    return datetime.now(UTC)


class Newswire:
    """A running newswire. Its stories begin when it starts; all of them follow from `seed` and `plan`.

    clock: what time it is, in UTC
    port: 0 for any free one
    """

    def __init__(self, *, seed: int = 7, plan: Plan | None = None, clock: Callable[[], datetime] = now_utc, port: int = 0) -> None:
        self._seed, self._plan, self._clock, self._port = seed, plan or Plan(), clock, port
        self._server: Server | None = None
        self._base = ""
        self._timeline: Timeline | None = None
        self._cache: dict[str, tuple[int, Answer]] = {}
        self._lock = threading.Lock()
        self.requests: Counter[tuple[str, int]] = Counter()
        """How often each (path, status) was answered."""

    def __enter__(self) -> Newswire:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> str:
        """Begin to publish and to serve. Returns the address, such as "http://127.0.0.1:43211".

        Raises SettingsError when the port is taken.
        """
        if self._server is not None:
            return self.url
        try:
            server = Server(("127.0.0.1", self._port), self._answer)
        except OSError as error:
            raise SettingsError(f"newswire: port {self._port} of 127.0.0.1 cannot be used ({error.strerror}); choose another") from error
        self._timeline = Timeline(self._seed, self._clock(), self._plan)
        self._server, self._base = server, f"http://127.0.0.1:{server.server_address[1]}"
        server.begin()
        return self.url

    def stop(self) -> None:
        """Stop serving and close all connections. What was published stays readable in `published`."""
        if self._server is not None:
            self._server.end()
            self._server = None

    @property
    def url(self) -> str:
        """Its address."""
        if not self._base:
            raise RuntimeError("the newswire was never started")
        return self._base

    @property
    def companies_file(self) -> Path:
        """The invented companies, for the setting `companies`."""
        return companies_path()

    @property
    def crisis_started_at(self) -> datetime | None:
        """When the crisis began; None before it does, and when none is planned."""
        return self._running.crisis_began(self._clock())

    @property
    def _running(self) -> Timeline:
        if self._timeline is None:
            raise RuntimeError("the newswire was never started")
        return self._timeline

    def quiesce(self) -> None:
        """Publish no more, so that the ledger is final; what is published is still served."""
        self._running.freeze(self._clock())

    def published(self, now: datetime | None = None) -> list[PublishedArticle]:
        """The ledger: every article that is visible at `now` (default: the clock's), oldest first, with its whole URL."""
        return [replace(article, url=self._base + article.url) for article in self._running.published(now or self._clock())]

    def sources(self) -> list[dict[str, Any]]:
        """Two [[sources]] tables a paper: its feed, and once in a while its archive."""
        rows: list[dict[str, Any]] = []
        for paper in PAPERS:
            common = {
                "language": paper.language,
                "kind": paper.form,
                "full_text": "never" if paper.full else "when_short",
                "allow_private": True,
            }
            archive = "（旧闻）" if paper.language == "zh" else " (archive)"
            rows += [
                {"name": paper.name, "url": f"{self.url}/{paper.slug}/feed.xml", "interval_s": INTERVAL_S, "max_items": LATEST, **common},
                {
                    "name": paper.name + archive,
                    "url": f"{self.url}/{paper.slug}/archive.xml",
                    "interval_s": ARCHIVE_INTERVAL_S,
                    "max_items": 10_000,
                    **common,
                },
            ]
        return rows

    def write_config(self, folder: Path) -> Path:
        """Write `sources` as sources.toml into `folder`; returns its path."""
        tables = ("\n".join(["[[sources]]", *(f"{key} = {_toml(value)}" for key, value in row.items()), ""]) for row in self.sources())
        path = folder / "sources.toml"
        path.write_text("\n".join(tables), encoding="utf8")
        return path

    def _answer(self, path: str) -> Answer:
        answer = self._page(path)
        with self._lock:
            self.requests[path, answer.status] += 1
        return answer

    def _page(self, path: str) -> Answer:
        timeline, now = self._running, self._clock()
        if path == "/robots.txt":
            return Answer.of(ROBOTS.encode(), "text/plain; charset=utf-8", max_age_s=3600)
        if path == "/":
            return Answer.of(pages.front(None, self.url, []), _HTML)
        if path.startswith("/private/"):  # served all the same, so that a crawler that asks for it is found out
            return Answer.of(b"<!doctype html><title>private</title><p>No crawler should read this.</p>", _HTML)
        slug, _, rest = path[1:].partition("/")
        paper = next((paper for paper in PAPERS if paper.slug == slug), None)
        if paper is None:
            return Answer.missing()
        if rest == "feed.xml":
            return self._feed(paper, path, timeline.latest(paper.name, now, LATEST), archive=f"/{slug}/archive.xml")
        if rest == "archive.xml":
            return self._feed(paper, path, timeline.archive(paper.name))
        if not rest:
            return Answer.of(pages.front(paper, self.url, timeline.latest(paper.name, now, 20)), _HTML)
        article = timeline.article(path, now)
        if article is None:
            return Answer.missing()
        others = timeline.latest(paper.name, article.published_at, 4)
        return Answer.of(pages.render(article, paper, self.url, others), _HTML, changed_at=article.published_at, max_age_s=3600)

    def _feed(self, paper: Paper, path: str, articles: list[PublishedArticle], archive: str = "") -> Answer:
        """The feed, rendered once for each state that it is in."""
        state = hash((len(articles), articles[0].url, articles[-1].url)) if articles else 0
        with self._lock:
            known = self._cache.get(path)
        if known is not None and known[0] == state:
            return known[1]
        updated = articles[-1].published_at if articles else now_utc().replace(microsecond=0)
        body = feeds.render(paper, self.url, path, articles, updated, archive=archive)
        answer = Answer.of(body, f"application/{paper.form}+xml; charset=utf-8", changed_at=updated)
        with self._lock:
            self._cache[path] = (state, answer)
        return answer


_HTML = "text/html; charset=utf-8"


def _toml(value: object) -> str:
    """A TOML value: JSON writes strings, numbers and booleans the same way."""
    return json.dumps(value, ensure_ascii=False)
