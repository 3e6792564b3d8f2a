"""robots.txt rules of each site (RFC 9309), parsed by protego."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from core.errors import SourceError
from ingest.text.urls import canonical
from net.guarded_transport import ForbiddenSource

ReadRobots = Callable[[str], tuple[int, bytes]]
"""URL of a robots.txt -> (status, body), following redirects. Raises SourceError if it is unreachable."""

KEEP_S = 24 * 3600.0
KEEP_FAILURE_S = 600.0
MAX_DELAY_S = 60.0


class _Rules(NamedTuple):
    """Cached rules of one site. parsed: None allows everything; until: expiry; reachable: False disallows everything."""

    parsed: Any
    until: float
    reachable: bool = True


class Robots:
    """Caches the rules of each site for a day, and a failure to read them for ten minutes. Thread safe."""

    MAX_BYTES = 512 * 1024  # RFC 9309: at least 500 KiB must be parsed; the rest is ignored

    def __init__(self, user_agent: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._agent = user_agent
        self._clock = clock
        self._rules: dict[str, _Rules] = {}
        self._lock = threading.Lock()

    def allows(self, url: str, read: ReadRobots) -> bool:
        """Whether `url` may be fetched. `read` fetches the site's robots.txt if it is not cached."""
        site = _site(url)
        rules = self._rules.get(site)
        if rules is None or rules.until <= self._clock():
            rules = self._load(site, read, rules)
            with self._lock:
                self._rules[site] = rules
                if len(self._rules) > 5_000:
                    self._rules.pop(next(iter(self._rules)))
        if not rules.reachable:
            return False
        return rules.parsed is None or bool(rules.parsed.can_fetch(url, self._agent))

    def _load(self, site: str, read: ReadRobots, old: _Rules | None) -> _Rules:
        """4xx: no rules, everything is allowed. Unreachable, 5xx or 429: the previous rules, else nothing is allowed for a while."""
        try:
            status, body = read(f"{site}/robots.txt")
        except ForbiddenSource:
            raise
        except SourceError:
            status, body = 0, b""
        now = self._clock()
        if status == 200:
            from protego import Protego

            return _Rules(Protego.parse(body.decode("utf-8", "replace")), now + KEEP_S)
        if 400 <= status < 500 and status != 429:
            return _Rules(None, now + KEEP_S)
        if old is not None and old.reachable:
            return old._replace(until=now + KEEP_FAILURE_S)
        return _Rules(None, now + KEEP_FAILURE_S, reachable=False)

    def delay_s(self, url: str) -> float:
        """The site's Crawl-delay in seconds, at most MAX_DELAY_S; 0 for none."""
        rules = self._rules.get(_site(url))
        delay = rules.parsed.crawl_delay(self._agent) if rules and rules.parsed is not None else None
        return min(float(delay), MAX_DELAY_S) if delay else 0.0

    def retry_in_s(self, url: str) -> float | None:
        """Seconds until an unavailable robots.txt is fetched again; None if the rules themselves disallow the URL."""
        rules = self._rules.get(_site(url))
        return max(rules.until - self._clock(), 0.0) if rules and not rules.reachable else None


def _site(url: str) -> str:
    parts = urlsplit(canonical(url))
    return f"{parts.scheme}://{parts.netloc}"
