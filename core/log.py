"""Structured logging: human-readable on a terminal, else one JSON object per line. Secrets are masked."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal

import structlog

_SECRETS = (
    (re.compile(r"(?<=://)([^/\s:@]*):([^/\s?#\"]+)@"), r"\1:***@"),
    (re.compile(r"whsec_[A-Za-z0-9+/=]+"), "whsec_***"),
    (re.compile(r"\btocsin_[A-Za-z0-9_-]{43}"), "tocsin_***"),  # API tokens
    (re.compile(r"\bSEC[0-9a-f]{32,}"), "SEC***"),  # secrets of DingTalk bots
    (re.compile(r"([?&](?:access_token|key|sign|token)=)[^&\s\"'>]+"), r"\1***"),  # the URL of a chat bot is its credential
    (re.compile(r"(/open-apis/bot/v2/hook/|hooks\.slack\.com/(?:services|workflows|triggers)/)[^\s\"'?>]+"), r"\1***"),
)


_LIBRARY_LEVELS = {"clickhouse_driver": logging.CRITICAL, "kafka": logging.CRITICAL, "aiokafka": logging.ERROR}
"""Libraries that log with a traceback what they also raise."""


def mask(text: str) -> str:
    """The text with passwords, tokens and webhook secrets replaced by ***."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _mask_event(_logger: Any, _method: str, event: Any) -> Any:
    return {key: mask(value) if isinstance(value, str) else value for key, value in event.items()}


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


def get_logger(name: str) -> Any:
    """A structlog logger: `log.info("event", key=value)`."""
    return structlog.stdlib.get_logger(name)
