"""The commands of docker-compose.yml as processes, with a real Kafka and a real ClickHouse server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.settings import Settings
from dashboard.services import NewFeed
from storage.store import Store, open_store
from tests.helpers.http_site import Response, Site
from tests.helpers.servers import ROOT, ClickHouseServer, Kafka
from tocsin.newswire import Newswire
from tocsin.runtime.embedded_broker import free_port
from tocsin.services.factory import consumer_lag_reader
from tocsin.services.feed_service import StoredFeedService

TIMEOUT_S = 120.0


class Compose:
    """Runs services of docker-compose.yml with their commands and environment, and this machine's addresses and paths."""

    def __init__(self, folder: Path, replaced: dict[str, str], environment: dict[str, str]) -> None:
        self.services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
        self._folder, self._replaced, self._environment = folder, replaced, environment
        self.bootstrap = replaced["kafka:9092"]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}

    def start(self, service: str, name: str = "") -> subprocess.Popen[bytes]:
        name = name or service
        self.ports[name] = free_port()
        ports = {"8050": str(self.ports[name]), "9100": str(self.ports[name])}
        command = [self._replaced.get(word, ports.get(word, word)) for word in self.services[service]["command"]]
        given = {key: self._replaced.get(value, ports.get(value, value)) for key, value in self.services[service]["environment"].items()}
        folder = self._folder / name
        folder.mkdir()
        if "8050" in self.services[service]["command"]:
            given["TOCSIN_METRICS_PORT"] = "0"
        with (folder / "log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tocsin", *command],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **given, **self._environment, "TOCSIN_DATA_DIR": str(folder / "data")},
            )
        return self.processes[name]

    def healthy(self, service: str, name: str = "") -> bool:
        """The service's health check, run here."""
        test = self.services[service]["healthcheck"]["test"]
        code = test[3].replace("9100", str(self.ports[name or service])).replace("8050", str(self.ports[name or service]))
        return subprocess.run([sys.executable, *test[2:3], code], check=False, capture_output=True, timeout=30).returncode == 0

    def log(self, name: str) -> str:
        return (self._folder / name / "log").read_text(errors="replace")[-3000:]

    def stop(self) -> dict[str, int]:
        for process in self.processes.values():
            process.terminate()
        ended = {}
        for name, process in self.processes.items():
            try:
                ended[name] = process.wait(35)
            except subprocess.TimeoutExpired:
                process.kill()
                ended[name] = process.wait()
        return ended


@pytest.fixture
def newswire() -> Iterator[Newswire]:
    wire = Newswire(seed=3)
    wire.start()
    yield wire
    wire.stop()


@pytest.fixture
def compose(tmp_path: Path, kafka_server: Kafka, clickhouse_server: ClickHouseServer, newswire: Newswire) -> Iterator[Compose]:
    store = f"{clickhouse_server.address}/roles"
    made = Compose(
        tmp_path,
        {
            "/etc/tocsin/sources.toml": str(newswire.write_config(tmp_path)),
            "/etc/tocsin/tocsin.toml": str(ROOT / "deploy" / "tocsin.example.toml"),
            "kafka:9092": kafka_server.bootstrap,
        },
        {
            "TOCSIN_STORE": store,
            "TOCSIN_TOPIC_PREFIX": "roles.",
            "TOCSIN_CONSUMER_GROUP": "roles",
            "TOCSIN_COMPANIES": str(newswire.companies_file),
            "TOCSIN_PARTITIONS": "4",
        },
    )
    yield made
    made.stop()


def test_all_roles_together_bring_news_to_the_dashboard(
    compose: Compose, newswire: Newswire, clickhouse_server: ClickHouseServer, tmp_path: Path
):
    assert compose.start("migrate").wait(60) == 0, compose.log("migrate")
    del compose.processes["migrate"]
    running = {"crawler": "crawler", "worker-1": "worker", "worker-2": "worker", "scheduler": "scheduler", "dashboard": "dashboard"}
    for name, service in running.items():
        compose.start(service, name)
    deadline = time.monotonic() + TIMEOUT_S
    for name, service in running.items():
        while not compose.healthy(service, name):
            assert compose.processes[name].poll() is None, f"{name} ended: {compose.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not healthy: {compose.log(name)}"
            time.sleep(0.2)
    newswire.quiesce()
    wanted = newswire.article_ids().keys()
    store: Store = open_store(f"{clickhouse_server.address}/roles", tmp_path)
    try:
        while len(store.articles.keys(sorted(wanted))) < len(wanted):
            assert time.monotonic() < deadline, f"{len(store.articles.keys(sorted(wanted)))} of {len(wanted)} stored"
            time.sleep(0.2)
        assert store.articles.duplicates() == 0
        assert store.dead_letters.count() == 0
        known_to_the_dashboard(store, newswire, compose, deadline)
    finally:
        store.close()
    ended = compose.stop()
    assert ended == dict.fromkeys(running, 0), "\n\n".join(f"{name}: {compose.log(name)}" for name, code in ended.items() if code)


def known_to_the_dashboard(store: Store, newswire: Newswire, compose: Compose, deadline: float) -> None:
    """Each process has a heartbeat, visits are recorded, the lag can be read, and an added feed is crawled."""
    now = datetime.now(UTC)
    heartbeats = [heartbeat for heartbeat in store.heartbeats.latest(now - timedelta(minutes=1)) if heartbeat.state == "ready"]
    assert sorted(role for heartbeat in heartbeats for role in heartbeat.roles) == ["crawl", "dashboard", "schedule", "work", "work"]
    assert len({heartbeat.model for heartbeat in heartbeats if heartbeat.roles == ("work",)} - {""}) == 1
    of_file = store.visits.all()
    assert {visit.outcome for visit in of_file} <= {"ok", "not_modified"}
    settings = Settings(broker=compose.bootstrap, topic_prefix="roles.", consumer_group="roles", feeds_allow_private=True)
    read_lag = consumer_lag_reader(settings)
    assert read_lag is not None
    while any(sum(behind) for behind in read_lag().values()):
        assert time.monotonic() < deadline, read_lag()
        time.sleep(0.2)
    assert {topic: len(behind) for topic, behind in read_lag().items()} == {"articles": 4, "scores": 1, "alerts": 1}
    feed = b'<rss version="2.0"><channel><title>t</title><item><title>An added story</title></item></channel></rss>'
    with Site() as site:
        site.pages["/feed"] = Response(feed)
        StoredFeedService(settings, store, lambda: now).add(NewFeed(name="added", url=f"{site.url}/feed"), "Ann")
        added = time.monotonic()
        while not any(visit.source == "added" and visit.outcome == "ok" for visit in store.visits.all()):
            assert time.monotonic() - added < 60, "a running crawler takes it up within a minute"
            time.sleep(0.2)
    assert len(store.visits.all()) == len(of_file) + 1


@pytest.mark.parametrize("role", ["work", "dashboard", "schedule", "crawl"])
def test_a_role_without_its_server_names_the_setting(role: str, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", role],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment, "TOCSIN_DATA_DIR": str(tmp_path)},
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("tocsin: a single role needs external servers: set `")
