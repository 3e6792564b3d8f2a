"""Watchlists edited on the dashboard, with a real store: previewed, validated, saved, loaded by workers, listed by API and CLI."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.cache import Cache
from core.errors import Conflict, SettingsError, UserError
from core.records import Article, encode
from core.series import series_name
from core.settings import Settings
from dashboard.app import create_app
from dashboard.services import Services
from models.inference.keyword import KeywordClassifier
from storage.store import Store
from stream.detection.spike_rule import SpikeRule
from stream.watchlists.matcher import Matcher
from stream.worker.batches import RawMessage
from stream.worker.pipeline import Pipeline
from tests.helpers.dashboard import callback_body
from tests.helpers.stores import migrated_store
from tests.helpers.stories import store_stories
from tocsin import wiring
from tocsin.cli import main
from tocsin.runtime.pipeline import make_pipeline
from tocsin.services.api_backends import backends
from tocsin.services.rule_service import StoredRuleService
from tocsin.services.watchlist_service import MAX_CHARS, StoredWatchlistService, WatchlistUpdates

NOW = datetime.now(UTC).replace(microsecond=0)
BONDS = """
[[watchlist]]
name = "bonds"
title_en = "Bonds"
title_zh = "债券关注"
keywords = ["债券 | bond"]
"""
FLOOD = '[[rules]]\nname = "flood"\nkind = "volume"\nseries = ["watchlist:bonds"]\nover = 5\n'
INVALID = '[[watchlist]]\nname = "Bonds!"\ncompanies = ["NOBODY"]\ntopics = ["crdit"]\nkeywords = ["/(/"]\n'


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated_store(tmp_path_factory.mktemp("watchlists")) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Iterator[Store]:
    for table in ("watchlist_texts", "rule_texts", "watchlists", "audit", "articles", "article_keys", "mentions", "alerts"):
        opened.client.command(f"TRUNCATE TABLE {table}")
    yield opened
    wiring.register_watchlist_names(())


@pytest.fixture
def clock() -> Callable[[], datetime]:
    seconds = itertools.count()
    return lambda: NOW + timedelta(seconds=next(seconds))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path))


@pytest.fixture
def service(store: Store, settings: Settings, clock: Callable[[], datetime]) -> StoredWatchlistService:
    return StoredWatchlistService(settings, store, clock)


def followed(store: Store) -> int:
    """Number of stories of the watchlist."""
    found = store.stories.total("watchlist:bonds", NOW - timedelta(days=40), NOW + timedelta(days=1))
    return found.stories if found else 0


def test_watchlists_are_previewed_on_a_week_of_articles(service: StoredWatchlistService, store: Store):
    store_stories(store, 7, NOW - timedelta(days=2))
    store_stories(store, 5, NOW - timedelta(days=9))
    found = service.preview(BONDS)
    (only,) = found.lists
    assert (only.name, only.articles, only.negative, found.read) == ("bonds", 7, 0, 7)
    assert [why for _, why in only.newest] == ["keywords 债券 | bond"] * 5
    moments = [row.published_at for row, _ in only.newest]
    assert moments == sorted(moments, reverse=True)
    assert (service.active().text, followed(store)) == ("", 0)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (INVALID, ["number 1 (Bonds!): name", "companies: 'NOBODY'", "did you mean 'credit'", "keywords: '/(/'"]),
        ("[[watchlist", ["not valid TOML"]),
        ("[[rules]]\nx = 1\n", ["'rules'"]),
        (BONDS + BONDS, ["also used by number 1"]),
        ("x" * (MAX_CHARS + 1), ["the limit is 200,000"]),
    ],
)
def test_all_errors_are_reported_and_nothing_is_saved(service: StoredWatchlistService, store: Store, text: str, problems: list[str]):
    for ask in (lambda: service.preview(text), lambda: service.save(text, "", "王芳")):
        with pytest.raises(UserError) as error:
            ask()
        assert all(problem in str(error.value) for problem in problems), str(error.value)
    assert store.watchlist_texts.latest() == []


def test_saved_watchlists_are_active_audited_and_protected_from_conflicts(service: StoredWatchlistService, store: Store):
    kept = service.save(BONDS, "", "王芳")
    assert service.active() == kept
    assert series_name("watchlist:bonds", "zh") == "债券关注"
    (noted,) = store.audit.latest(2, action="watchlists")
    assert (noted.actor, noted.before, noted.after) == ("王芳", "", BONDS)
    with pytest.raises(Conflict, match="王芳 has changed the watchlists in the meantime"):
        service.save("", "", "Ann")
    assert service.save("", kept.id, "Ann").text == ""


def test_a_watchlist_used_by_a_rule_cannot_be_removed(service: StoredWatchlistService, store: Store, settings: Settings, clock: Any):
    rules = StoredRuleService(settings, store, clock)
    with pytest.raises(SettingsError, match="bonds"):
        rules.save(FLOOD, "", "Ann")
    kept = service.save(BONDS, "", "王芳")
    rules.save(FLOOD, "", "Ann")
    with pytest.raises(Conflict, match="an active rule refers to it"):
        service.save("", kept.id, "王芳")
    assert [each.name for each in wiring.active_rules(settings, store).limit_rules] == ["flood"]


def arrived(title: str, number: int, moment: datetime) -> RawMessage:
    article = Article(id=f"{number:032x}", source="s", language="zh", title=title, published_at=moment, fetched_at=moment)
    return RawMessage(topic="articles", partition=0, offset=number, key=None, value=encode(article))


def test_a_worker_backfills_a_new_watchlist_and_misses_no_article(service: StoredWatchlistService, store: Store, settings: Settings):
    store_stories(store, 7, NOW - timedelta(days=2))
    updates = WatchlistUpdates(settings, store, every_s=0.0, now=lambda: NOW)
    pipeline = Pipeline(KeywordClassifier(), store, SpikeRule(warmup_s=0), matcher_updates=updates)
    pipeline.score([arrived("债券 平静", 1, NOW)], NOW)  # the poll that it starts finds nothing
    updates.wait()
    assert followed(store) == 0
    service.save(BONDS, "", "王芳")
    pipeline.score([arrived("债券 之前", 2, NOW)], NOW)  # not active yet: the backfill runs beside it
    updates.wait()
    assert followed(store) >= 7
    assert store.watchlists.filled() == {}
    pipeline.score([arrived("债券 之后", 3, NOW), arrived("股票 上涨", 4, NOW)], NOW)
    updates.wait()
    assert followed(store) == 10
    assert list(store.watchlists.filled()) == ["bonds"]
    store.watchlist_texts.add(INVALID, "Ann", NOW + timedelta(minutes=5))
    for number in (5, 6):
        pipeline.score([arrived(f"债券 {number}", number, NOW)], NOW)
        updates.wait()
    assert followed(store) == 12  # those before stay in force
    assert [each.name for each in wiring.active_watchlists(settings, store)] == ["bonds"]
    pipeline.close()


def test_a_later_worker_uses_the_saved_watchlists(service: StoredWatchlistService, store: Store, tmp_path: Path):
    path = tmp_path / "watchlists.toml"
    path.write_text(BONDS.replace("bonds", "of_file"), "utf-8")
    settings = Settings(data_dir=str(tmp_path), watchlists=str(path))
    assert [each.name for each in wiring.active_watchlists(settings, store)] == ["of_file"]
    assert StoredWatchlistService(settings, store, lambda: NOW).active().text == path.read_text("utf-8")
    service.save(BONDS, "", "王芳")
    store_stories(store, 7, NOW - timedelta(days=2))
    pipeline = make_pipeline(settings, store, KeywordClassifier())
    assert followed(store) == 7
    pipeline.close()


def test_the_api_returns_the_active_watchlists(service: StoredWatchlistService, store: Store, settings: Settings, clock: Any):
    with backends(settings, store) as able:
        assert able.watchlists is not None and able.rules is not None
        assert list(able.watchlists()) == []
        service.save(BONDS, "", "王芳")
        StoredRuleService(settings, store, clock).save(
            '[[rules]]\nname = "flood"\nkind = "volume"\nseries = ["watchlist:bonds"]\nover = 5\n', "", "Ann"
        )
        (listed,) = able.watchlists()
        assert (listed.name, listed.title_zh, listed.keywords, listed.backfilled) == ("bonds", "债券关注", ("债券 | bond",), False)
        assert [rule.name for rule in able.rules()] == ["negative-spike", "flood"]
        store.watchlists.mark({each.name: each.digest for each in Matcher(wiring.active_watchlists(settings, store)).watchlists})
        assert able.watchlists()[0].backfilled


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_shows_previews_and_saves(service: StoredWatchlistService, store: Store, language: str):
    store_stories(store, 7, NOW - timedelta(days=2))
    app = create_app(
        store, Settings(dashboard_login="none"), now=lambda: NOW, cache=Cache(first_read_wait_s=1), services=Services(watchlists=service)
    )
    client = app.server.test_client()

    def ask(output: str, changed: str, **values: Any) -> dict[str, Any]:
        sent = callback_body(app, output, view_data={"lang": language}, **values) | {"changedPropIds": [changed]}
        answer = client.post("/_dash-update-component", json=sent)
        assert answer.status_code == 200, answer.text
        return dict(answer.json["response"])

    assert ask("wa-text.value", "wa-text.id", wa_text_id="wa-text")["wa-text"]["value"] == ""
    tried = str(ask("wa-message.children", "wa-try.n_clicks", wa_try_n_clicks=1, wa_text_value=BONDS))
    assert ("Bonds" if language == "en" else "债券关注") in tried
    assert ("7 articles, 0 negative" if language == "en" else "7 篇，负面 0 篇") in tried
    rejected = str(ask("wa-message.children", "wa-try.n_clicks", wa_try_n_clicks=1, wa_text_value=INVALID))
    assert "did you mean" in rejected and "✗" in rejected
    kept = ask("wa-saved.children", "wa-save.n_clicks", wa_save_n_clicks=1, wa_text_value=BONDS, wa_base_data="")
    assert ("Saved by local" if language == "en" else "local 保存于") in str(kept)


def test_the_command_line_lists_the_active_watchlists(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """With the file of the settings and no store: listing creates nothing."""
    path = tmp_path / "watchlists.toml"
    path.write_text(BONDS, "utf-8")
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TOCSIN_WATCHLISTS", str(path))
    assert main(["watchlists", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "bonds"
    assert not list((tmp_path / "data").glob("*"))


def test_patterns_that_take_long_for_one_article_are_not_saved(service: StoredWatchlistService):
    patterns = [f"'/{chr(0x4E00 + n)}.{{0,190}}zq/'" for n in range(10)]
    with pytest.raises(UserError, match=r"the regular expressions take up to \d+\.\d s for one article; the limit .* is 0\.3 s"):
        service.save(f'[[watchlist]]\nname = "slow"\nkeywords = [{", ".join(patterns)}]\n', "", "Li")
    assert service.active().text == ""
