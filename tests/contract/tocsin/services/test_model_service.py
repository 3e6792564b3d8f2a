"""Model versions on the dashboard, with real files and a real store, and the page that shows them."""

from __future__ import annotations

import ast
import os
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.cache import Cache
from core.errors import Conflict, ModelError
from core.settings import Settings
from dashboard.app import create_app
from dashboard.figures import model_charts
from dashboard.figures.model_charts import reliability, verdict
from dashboard.services import Services
from dashboard.translations import LABELS
from dashboard.view import View
from models.evaluation.card_reader import CARD_PATHS, read_card
from models.registry.versions import SHIPPED, Versions
from models.training.refresh_status import FILE, ProgressFile
from storage.store import Store
from tests.browser.versions import FIRST, KEPT, LOSER, SECOND, make_versions
from tests.helpers.dashboard import CALLBACK_PATH, EmptyClickHouse, callback_body
from tests.helpers.stores import migrated_store
from tests.helpers.waiting import until
from tocsin.services.model_service import LocalModelService

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated_store(tmp_path_factory.mktemp("models")) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    opened.client.command("TRUNCATE TABLE audit")
    return opened


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return make_versions(tmp_path, NOW)


@pytest.fixture
def service(store: Store, versions: Versions, tmp_path: Path) -> Iterator[LocalModelService]:
    with closing(LocalModelService(Settings(data_dir=str(tmp_path)), store, lambda: NOW)) as made:
        yield made


def audit(store: Store) -> list[tuple[str, str, str, str, str]]:
    return [(each.actor, each.action, each.target, each.before, each.after) for each in store.audit.latest(10)]


def test_versions_and_history_match_the_command_line(service: LocalModelService, versions: Versions):
    found = service.versions()
    assert (found.champion, found.before, found.setting, found.fault) == (SECOND, FIRST, "champion", "")
    assert [each.name for each in found.versions] == [entry.version for entry in versions.entries()]
    assert [(move.did, move.version, move.origin, move.gate) for move in found.history] == [
        ("promote", FIRST, SHIPPED, True),
        ("promote", SECOND, FIRST, True),
        ("keep", LOSER, SECOND, True),
    ]
    assert found.find(LOSER) == found.versions[-1]
    assert found.find(SECOND).rows == {"feedback": 909}  # type: ignore[union-attr]


def test_a_promotion_is_recorded_in_history_and_audit_log(service: LocalModelService, store: Store, versions: Versions):
    service.promote(LOSER, SECOND, "更适合公告", "王芳")
    assert versions.champion() == LOSER
    event = versions.history()[-1]
    assert (event.actor, event.why, event.origin) == ("王芳", "更适合公告", SECOND)
    service.rollback(LOSER, "", "Ann")
    assert versions.champion() == SECOND
    assert (versions.history()[-1].actor, versions.history()[-1].why) == ("Ann", "by hand")
    assert audit(store) == [
        ("Ann", "model rolled back", SECOND, f'{{"champion":"{LOSER}"}}', f'{{"champion":"{SECOND}","why":"by hand"}}'),
        ("王芳", "model promoted", LOSER, f'{{"champion":"{SECOND}"}}', f'{{"champion":"{LOSER}","why":"更适合公告"}}'),
    ]


def test_a_change_based_on_an_old_champion_is_rejected(service: LocalModelService, store: Store, versions: Versions):
    with pytest.raises(ModelError, match="is now"):
        service.promote(LOSER, FIRST, "", "Ann")
    with pytest.raises(ModelError, match="is now"):
        service.rollback(FIRST, "", "Ann")
    with pytest.raises(Conflict, match="already"):
        service.promote(SECOND, SECOND, "", "Ann")
    with pytest.raises(ModelError, match="a name has only letters"):
        service.promote("../../etc", SECOND, "", "Ann")
    with pytest.raises(ModelError, match="a name has only letters"):
        service.comparison("../measured/x", SECOND)
    assert (versions.champion(), audit(store)) == (SECOND, [])


def test_a_damaged_version_is_not_promoted(service: LocalModelService, versions: Versions):
    (versions.folder(LOSER) / "config.json").write_bytes(b"changed")
    with pytest.raises(ModelError, match=r"config\.json"):
        service.promote(LOSER, SECOND, "", "Ann")
    (versions.folder(LOSER) / "manifest.json").unlink()
    assert "manifest" in service.versions().find(LOSER).fault  # type: ignore[union-attr]
    assert versions.champion() == SECOND


def test_a_damaged_champion_is_reported_beside_the_other_versions(service: LocalModelService, versions: Versions):
    versions.champion_file.write_text("../x")
    found = service.versions()
    assert found.champion == ""
    assert "tocsin models rollback" in found.fault
    assert len(found.versions) == 4


def test_a_comparison_works_in_both_directions(service: LocalModelService):
    there, back = service.comparison(SECOND, FIRST), service.comparison(FIRST, SECOND)
    assert there is not None
    assert back is not None
    one, other = there.figures[0], back.figures[0]
    assert (one.before, one.now) == (other.now, other.before)
    assert (one.before, one.now) == pytest.approx((0.8, 0.83))
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert (verdict(one.low, one.high), verdict(other.low, other.high), verdict(-0.1, 0.1)) == ("better", "worse", "same")
    assert service.comparison(LOSER, FIRST) is None


def test_a_refresh_runs_in_a_separate_process_and_its_result_is_kept(service: LocalModelService, store: Store, versions: Versions):
    began = time.monotonic()
    service.refresh("王芳", force=True)
    assert time.monotonic() - began < 5
    found = service.refresh_status()
    assert found is not None
    assert (found.state, found.actor) == ("running", "王芳")
    with pytest.raises(Conflict, match="already running"):
        service.refresh("Ann", force=False)
    until(lambda: audit(store)[0][1] == "refresh ended", "its end is in the audit log", 200)
    found = service.refresh_status()
    assert found is not None
    assert (found.state, found.did, found.actor, found.reasons) == ("ended", "skip", "王芳", ("no labels to learn from",))
    assert [each[1] for each in audit(store)] == ["refresh ended", "refresh started"]
    assert '"action":"skip"' in audit(store)[0][4]
    assert list(versions.root.glob("snapshot*")) == []


def test_a_refresh_of_another_process_is_shown_and_not_repeated(service: LocalModelService, versions: Versions):
    with ProgressFile(versions.root, now=datetime.now(UTC), started_by="scheduler", report=lambda _: None) as report:
        report("training")
        found = service.refresh_status()
        assert found is not None
        assert (found.state, found.actor, found.log_lines[0][1]) == ("running", "scheduler", "training")
        with pytest.raises(Conflict, match="already running"):
            service.refresh("Ann", force=False)
        old = time.time() - 600
        kept = (versions.root / FILE).read_bytes()
    (versions.root / FILE).write_bytes(kept)
    os.utime(versions.root / FILE, (old, old))
    found = service.refresh_status()
    assert found is not None
    assert found.state == "lost"


def test_a_refresh_ends_with_the_dashboard(store: Store, versions: Versions, tmp_path: Path):
    service = LocalModelService(Settings(data_dir=str(tmp_path)), store, lambda: NOW)
    service.refresh("Ann", force=True)
    service.close(60)
    assert not any(versions.root.glob("snapshot*"))
    found = service.refresh_status()
    assert found is not None
    assert found.state == "failed"
    with pytest.raises(Conflict):
        service.refresh("Ann", force=True)


def test_a_failed_refresh_gives_its_reason(store: Store, versions: Versions, tmp_path: Path):
    settings = Settings(data_dir=str(tmp_path), refresh_tests=str(tmp_path / "nowhere"))
    with closing(LocalModelService(settings, store, lambda: NOW)) as service:
        service.refresh("Ann", force=True)
        found = until(lambda: (now := service.refresh_status()) and now.state == "failed" and now, "it is said to have failed", 200)
        assert found
        assert "nowhere" in found.error


def page(service: LocalModelService | None, store: Store, **values: Any) -> dict[str, Any]:
    app = create_app(
        store, Settings(dashboard_login="none"), now=lambda: NOW, cache=Cache(first_read_wait_s=1), services=Services(models=service)
    )
    answer = app.server.test_client().post(CALLBACK_PATH, json=callback_body(app, "mo-problem.children", **values))
    assert answer.status_code == 200, answer.text
    return dict(answer.json["response"])


@pytest.mark.parametrize(("language", "words"), [("en", "by the promotion gate of a refresh"), ("zh", "由模型更新的准入检查决定")])
def test_the_page_shows_the_champion_and_its_history(service: LocalModelService, store: Store, language: str, words: str):
    found = page(service, store, view_data={"lang": language, "zone": "Asia/Shanghai"})
    champion = str(found["mo-champion"])
    assert SECOND in champion
    assert words in champion
    assert "2026-11-13 20:00" in champion, "in the viewer's zone"
    assert KEPT in str(found["mo-history"])
    assert [row for row in ("fpb", "wwwxmu") if row not in str(found["mo-card"])] == []
    assert found["mo-problem"]["children"] == []
    assert "▲" in str(found["mo-contest-table"])


def test_versions_are_shown_without_the_store(service: LocalModelService):
    far = EmptyClickHouse()
    far.down = True
    assert SECOND in str(page(service, Store(far))["mo-champion"])


def test_a_process_without_versions_shows_a_message(store: Store):
    assert "tocsin models list" in str(page(None, store)["mo-problem"])


def test_an_unusable_folder_gives_a_clear_error(store: Store, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    service = LocalModelService(Settings(data_dir=str(tmp_path / "file" / "x")), store, lambda: NOW)
    assert "data_dir" in str(page(service, store)["mo-problem"])


def test_a_champion_that_is_not_in_use_gives_a_warning(store: Store, versions: Versions, tmp_path: Path):
    with closing(LocalModelService(Settings(data_dir=str(tmp_path), model="shipped"), store, lambda: NOW)) as service:
        assert "The setting `model` is shipped" in str(page(service, store)["mo-problem"])


def test_the_model_card_is_in_the_checkout_and_in_the_wheel():
    found = read_card()
    assert found is not None
    assert {figures.language for figures in found.figures} == {"en", "zh"}
    assert sum(n for n, _, _ in found.after["zh"]) == 2732  # rows of docs/model-card.md
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    placed = {(ROOT / source).resolve(): (ROOT / target).resolve() for source, target in wheel["force-include"].items()}
    assert placed[CARD_PATHS[0].resolve()] == CARD_PATHS[1].resolve()
    assert read_card(ROOT / "nowhere.json") is None


def test_a_curve_shows_feedback_beside_the_test_sets():
    bins = [(0.0, 0.0, 0.0), (10.0, 9.0, 8.0)]
    names = [str(trace.name) for trace in reliability(bins, bins, [(4.0, 3.6, 1.0)], View(), name="en").data]
    assert len(names) == 4
    assert "user labels" in names[3]
    assert "0.650" in names[3]
    assert reliability([], [], [], View(language="zh"), name="zh").layout.annotations[0].text == "该语言暂无数据"


def test_every_text_of_the_page_is_translated():
    used_keys = set()
    drawing = Path(model_charts.__file__)
    for path in (*drawing.parents[1].glob("pages/model*.py"), drawing):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "words" and len(node.args) > 1:
                key = node.args[1]
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    used_keys.add(f"models.{key.value}")
    assert len(used_keys) > 40
    assert used_keys <= set(LABELS)
