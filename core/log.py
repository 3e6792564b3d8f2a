"""Structured logging: human-readable on a terminal, else one JSON object per line. Secrets are masked, long values are cut."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import structlog

_SECRETS = (
    (re.compile(r"whsec_[A-Za-z0-9+/=]+"), "whsec_***"),
    (re.compile(r"\btocsin_[A-Za-z0-9_-]{43}"), "tocsin_***"),  # API tokens
    (re.compile(r"\bSEC[0-9a-f]{32,}"), "SEC***"),  # secrets of DingTalk bots
    (re.compile(r"([?&](?:access_token|key|sign|token)=)[^&\s\"'>]+"), r"\1***"),  # a path without its host
    (re.compile(r"(/open-apis/bot/v2/hook/|hooks\.slack\.com/(?:services|workflows|triggers)/)[^\s\"'?>]+"), r"\1***"),
)


_ADDRESS = re.compile(r"://[^\s\"'<>]*")
MAX_VALUE_CHARS, MAX_TRACE_CHARS, MAX_VALUES = 1_000, 20_000, 50
"""Longest text of a log entry, longest traceback, and most values of a list in it. Anybody may cause log entries, before a login too."""
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if code not in (0x09, 0x0A)}
MAX_LOG_BYTES = 50_000_000
"""Largest log file of a process that `tocsin up` starts; one older file of the same size is kept."""
REPEATS, REPEATS_S = 60, 60.0
"""Most entries of one refusal in so many seconds; further ones are counted and the next entry shows their number."""

_LIBRARY_LEVELS = {"clickhouse_driver": logging.CRITICAL, "kafka": logging.CRITICAL, "aiokafka": logging.ERROR}
"""Libraries that log with a traceback what they also raise."""


def mask(text: str) -> str:
    """The text with passwords, tokens and webhook secrets replaced by ***, and with scheme, host and path only of each URL.

    No list of names knows in which parameter a feed or a service expects its key.
    """
    if "://" in text:
        text = _ADDRESS.sub(_public_part, text)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _public_part(found: re.Match[str]) -> str:
    """The rest of a URL from "://", without password, query and fragment."""
    rest = found[0][3:]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, host = authority.rpartition("@")
    path = rest[len(authority) :]
    shown = re.split(r"[?#]", path, maxsplit=1)[0]
    name, _, password = user.partition(":")
    login = f"{name if password else '***'}{':***' if password else ''}@" if at else ""
    return f"://{login}{host}{shown}" + ("?***" if len(shown) < len(path) else "")


def webhook_address(url: str) -> str:
    """What is shown of a webhook's URL: scheme and host, as any other part may be its credential."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "***"


def _bounded(value: Any, limit: int) -> Any:
    """A value of a log entry: masked, without control characters, and not longer than the limit."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key)[:100]: _bounded(each, limit) for key, each in list(value.items())[:MAX_VALUES]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_bounded(each, limit) for each in list(value)[:MAX_VALUES]]
    text = value if isinstance(value, str) else str(value)
    cut = text[:limit].encode("utf-8", "backslashreplace").decode()
    return mask(cut).translate(_CONTROLS) + (f"… ({len(text)} characters)" if len(text) > limit else "")


def _mask_event(_logger: Any, _method: str, event: Any) -> Any:
    return {key: _bounded(value, MAX_TRACE_CHARS if key == "exception" else MAX_VALUE_CHARS) for key, value in event.items()}


class RefusalLog:
    """Logs refused requests, at most REPEATS of one event in REPEATS_S seconds: each is one line that a stranger causes."""

    def __init__(self, logger: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._counts: Counter[str] = Counter()

    def warning(self, event: str, **values: Any) -> None:
        """Log a refusal, or count it. The first entry after a pause has the number of those that were only counted, `suppressed`."""
        now = self._clock()
        with self._lock:
            if now - self._since.get(event, -REPEATS_S) >= REPEATS_S:
                if (suppressed := self._counts[event] - REPEATS) > 0:
                    values["suppressed"] = suppressed
                self._since[event], self._counts[event] = now, 0
            self._counts[event] += 1
            if self._counts[event] > REPEATS:
                return
        self._logger.warning(event, **values)


def configure(form: Literal["auto", "human", "json"] = "auto", level: str = "info") -> None:
    """Log to stderr in one format, warnings of libraries included. Call once at the start of a process."""
    human = form == "human" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    tail: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info, _mask_event]
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if human:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*tail, renderer]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name, least in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(least)
    for package in (
        "tocsin",
        "core",
        "storage",
        "domain",
        "actions",
        "stats",
        "net",
        "ingest",
        "models",
        "stream",
        "api",
        "dashboard",
        "bench",
    ):
        logging.getLogger(package).setLevel(level.upper())


def rotate(path: Path, most_bytes: int = MAX_LOG_BYTES) -> bool:
    """Move the content of a log file to PATH.1, replacing that, once it is larger than `most_bytes`. Returns whether it did.

    Its writers append and keep it open, so it is copied and emptied; lines written in that moment are lost.
    """
    try:
        if path.stat().st_size <= most_bytes:
            return False
        older = path.with_name(path.name + ".1")
        shutil.copyfile(path, older)
        older.chmod(0o600)
        os.truncate(path, 0)
    except FileNotFoundError:
        return False
    return True


def get_logger(name: str) -> Any:
    """A structlog logger: `log.info("event", key=value)`."""
    return structlog.stdlib.get_logger(name)
