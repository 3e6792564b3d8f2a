"""Rules edited on the dashboard, with a real store: previewed, validated, saved, and loaded by workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.cache import Cache
from core.errors import Conflict, UserError
from core.settings import Settings
from dashboard.app import create_app
from dashboard.services import Services
from models.inference.keyword import KeywordClassifier
from storage.store import Store, open_store
from stream.detection.spike_rule import SpikeRule
from stream.worker.pipeline import Pipeline
from tests.helpers.dashboard import callback_body
from tests.helpers.stores import NOON, save, scored
from tests.helpers.stories import store_stories
from tocsin import wiring
from tocsin.services.rule_service import MAX_CHARS, RuleUpdates, StoredRuleService

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FLOOD = """
[[rules]]
name = "洪水"
kind = "volume"
series = ["topic:credit"]
over = 5
window = "1h"
"""
INVALID = '[[rules]]\nname = "x"\nkind = "volum"\nseries = ["topic:crdit"]\nover = 5\n'


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store("embedded", tmp_path_factory.mktemp("rules"))
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def store(opened: Store) -> Store:
    for table in ("rule_texts", "audit", "articles", "article_keys", "mentions", "alerts", "alert_last_breach"):
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


@pytest.fixture
def clock() -> Callable[[], datetime]:
    seconds = itertools.count()
    return lambda: NOW + timedelta(seconds=next(seconds))


@pytest.fixture
def service(store: Store, clock: Callable[[], datetime], tmp_path: Path) -> StoredRuleService:
    return StoredRuleService(Settings(data_dir=str(tmp_path)), store, clock)


def test_rules_are_previewed_on_stored_news(service: StoredRuleService, store: Store):
    store_stories(store, 7, NOW - timedelta(days=2))
    found = service.preview(FLOOD)
    assert (found.rules, [alert.series for alert in found.alerts]) == ({"洪水": 1}, ["topic:credit"])
    assert found.stories == 7
    assert service.active().text == ""
    assert store.rule_texts.latest() == []


def test_a_preview_counts_each_rule_by_its_own_materiality(service: StoredRuleService, store: Store):
    """Seven stories: five do not bear on prices, one does, and an older model scored one."""
    levels: list[Any] = [(0.5, 0.125, 0.0)] * 5 + [(1.0, 0.875, 0.25), None]
    minutes = int((NOW - timedelta(days=2) - NOON).total_seconds() // 60)
    save(store, *(scored(f"报道 {n}", minutes=minutes + n, negative=0.9, materiality=each) for n, each in enumerate(levels)))

    def rule(name: str, over: int, least: str) -> str:
        return f'[[rules]]\nname = "{name}"\nkind = "volume"\nseries = ["market:all"]\nover = {over}\nwindow = "1h"\n{least}\n'

    text = (
        rule("as set 2", 2, "") + rule("as set 3", 3, "") + rule("all", 7, "min_materiality = 0") + rule("sure", 2, "min_materiality = 0.9")
    )
    found = service.preview(text)
    assert found.rules == {"as set 2": 1, "as set 3": 0, "all": 1, "sure": 0}
    by_rule = {alert.rule: alert for alert in found.alerts}
    assert (by_rule["all"].total, by_rule["as set 2"].total) == (7, 2)
    assert len(by_rule["as set 2"].evidence) == 2 < len(by_rule["all"].evidence)
    assert found.stories == 2


def test_saved_rules_are_active_and_audited(service: StoredRuleService, store: Store):
    kept = service.save(FLOOD, "", "王芳")
    assert service.active() == kept
    assert (kept.actor, kept.text) == ("王芳", FLOOD)
    again = service.save("", kept.id, "Ann")
    assert [each.actor for each in store.rule_texts.latest()] == ["Ann", "王芳"]
    noted = store.audit.latest(2, action="rules")
    assert [(entry.actor, entry.before, entry.after) for entry in noted] == [("Ann", FLOOD, ""), ("王芳", "", FLOOD)]
    with pytest.raises(Conflict, match="Ann has changed the rules in the meantime"):
        service.save(FLOOD, kept.id, "王芳")
    assert service.active() == again


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (INVALID, ["kind: 'volum'", "no topic 'crdit'"]),
        ("[[rules", ["not valid TOML"]),
        ("[[other]]\nx = 1\n", ["'other'"]),
        ("x" * (MAX_CHARS + 1), ["the limit is 100,000"]),
        ("rules = 3\n", [r"[[rules]]"]),
    ],
)
def test_errors_are_reported_and_nothing_is_saved(service: StoredRuleService, store: Store, text: str, problems: list[str]):
    for ask in (lambda: service.preview(text), lambda: service.save(text, "", "王芳")):
        with pytest.raises(UserError) as error:
            ask()
        assert all(problem in str(error.value) for problem in problems), str(error.value)
    assert store.rule_texts.latest() == []


def test_the_file_is_active_until_rules_are_saved(store: Store, clock: Callable[[], datetime], tmp_path: Path):
    path = tmp_path / "rules.toml"
    path.write_text(FLOOD, "utf-8")
    service = StoredRuleService(Settings(data_dir=str(tmp_path), alert_rules=str(path)), store, clock)
    assert (service.active().text, service.active().id) == (FLOOD, "")
    path.unlink()
    assert service.active().text == ""
    service.save("", "", "Ann")
    path.write_text(FLOOD, "utf-8")
    assert service.active().text == ""


def test_a_worker_loads_new_rules_and_keeps_the_last_valid_ones(service: StoredRuleService, store: Store, tmp_path: Path):
    settings = Settings(data_dir=str(tmp_path))
    pipeline = Pipeline(KeywordClassifier(), store, SpikeRule(warmup_s=0), rule_updates=RuleUpdates(settings, store))
    assert pipeline.watch(store_stories(store, 7, NOW), NOW) == []
    kept = service.save(FLOOD, "", "王芳")
    later = NOW + timedelta(seconds=20)
    assert pipeline.watch(store_stories(store, 1, later), later) == []
    later += timedelta(seconds=20)
    (alert,) = pipeline.watch(store_stories(store, 1, later), later)
    assert (alert.rule, alert.series) == ("洪水", "topic:credit")
    store.rule_texts.add(INVALID, "Ann", NOW + timedelta(minutes=5))
    assert kept.text == FLOOD
    much_later = NOW + timedelta(hours=5)
    (again,) = pipeline.watch(store_stories(store, 7, much_later), much_later)
    assert again.rule == "洪水"
    pipeline.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_shows_previews_and_saves(service: StoredRuleService, store: Store, language: str, tmp_path: Path):
    store_stories(store, 7, NOW - timedelta(days=2))
    app = create_app(
        store, Settings(dashboard_login="none"), now=lambda: NOW, cache=Cache(first_read_wait_s=1), services=Services(rules=service)
    )
    client = app.server.test_client()

    def ask(output: str, changed: str, **values: Any) -> dict[str, Any]:
        sent = callback_body(app, output, view_data={"lang": language}, **values) | {"changedPropIds": [changed]}
        answer = client.post("/_dash-update-component", json=sent)
        assert answer.status_code == 200, answer.text
        return dict(answer.json["response"])

    assert ask("ru-text.value", "ru-text.id", ru_text_id="ru-text")["ru-text"]["value"] == ""
    tried = str(ask("ru-message.children", "ru-try.n_clicks", ru_try_n_clicks=1, ru_text_value=FLOOD))
    assert ("1 alerts in the last" if language == "en" else "会触发 1 条告警") in tried
    rejected = str(ask("ru-message.children", "ru-try.n_clicks", ru_try_n_clicks=1, ru_text_value=INVALID))
    assert "did you mean" in rejected and "✗" in rejected
    kept = ask("ru-saved.children", "ru-save.n_clicks", ru_save_n_clicks=1, ru_text_value=FLOOD, ru_base_data="")
    assert ("Saved by local" if language == "en" else "local 保存于") in str(kept)
    late = ask("ru-saved.children", "ru-save.n_clicks", ru_save_n_clicks=1, ru_text_value="", ru_base_data="")
    assert "changed the rules in the meantime" in str(late)
    assert store.rule_texts.newest() is not None
    assert wiring.make_rules(Settings(data_dir=str(tmp_path)), text=FLOOD).limit_rules[0].name == "洪水"


def test_a_page_without_a_rule_service_shows_a_message(store: Store):
    app = create_app(store, Settings(dashboard_login="none"), now=lambda: NOW, cache=Cache(first_read_wait_s=1))
    sent = callback_body(app, "ru-text.value", ru_text_id="ru-text", view_data={"lang": "en"})
    answer = app.server.test_client().post("/_dash-update-component", json=sent)
    assert "cannot be edited here" in answer.text
