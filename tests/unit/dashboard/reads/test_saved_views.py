"""Saved views: owners, sharing and deletion, over a real store and through callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import Conflict, InvalidInput, NotFound
from core.settings import Settings
from dashboard.app import create_app
from dashboard.pages.saved_views import items
from dashboard.reads.saved_views import MAX_ADDRESS_CHARS, MOST, SavedViewActions, kept_address
from dashboard.view import View
from domain.accounts import Person
from storage.store import Store
from tests.helpers.dashboard import callback_body
from tests.helpers.stores import migrated_store

NOW = datetime(2026, 11, 22, 12, 0, 0, 250, tzinfo=UTC)
ANN, LI, ADMIN = Person("ann", "analyst"), Person("李", "analyst"), Person("root", "admin")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated_store(tmp_path_factory.mktemp("views")) as store:
        yield store


@pytest.fixture
def view_actions(opened: Store) -> SavedViewActions:
    for table in ("saved_views", "audit"):
        opened.client.command(f"TRUNCATE TABLE {table}")
    return SavedViewActions(opened, lambda: NOW)


def test_ones_own_are_ones_own_and_the_teams_are_everybodys(view_actions: SavedViewActions, opened: Store):
    view_actions.save(ANN, "早班", "/", "?range=6h&kind=company&topics=A,B&lang=zh&colours=red-up", team=True)
    view_actions.save(ANN, "mine", "/articles", "?q=%E5%80%BA%E5%88%B8&before=1-a", team=False)
    assert [(view.name, view.address) for view in view_actions.of(ANN)] == [
        ("mine", "/articles?q=%E5%80%BA%E5%88%B8"),
        ("早班", "/?range=6h&kind=company&topics=A,B"),
    ]
    assert [view.name for view in view_actions.of(LI)] == ["早班"]
    assert [(entry.actor, entry.target) for entry in opened.audit.latest(5, action="view")] == [("ann", "mine"), ("ann", "早班")]
    view_actions.save(ANN, "早班", "/", "?range=7d", team=True)
    assert [view.address for view in view_actions.of(LI)] == ["/?range=7d"]


def test_who_may_drop_what(view_actions: SavedViewActions):
    team = view_actions.save(ANN, "team", "/", "", team=True)
    own = view_actions.save(ANN, "own", "/", "", team=False)
    for person, view in ((LI, team), (LI, own), (ADMIN, own)):
        with pytest.raises(NotFound, match="others"):
            view_actions.drop(person, view.id)
    view_actions.drop(ADMIN, team.id)
    view_actions.drop(ANN, own.id)
    assert view_actions.of(ANN) == []
    with pytest.raises(NotFound, match="gone"):
        view_actions.drop(ANN, own.id)
    assert "✕" not in str(items([team], LI, View())) and "✕" in str(items([team], ADMIN, View()))


@pytest.mark.parametrize(
    ("path", "search"),
    [("//evil.example", ""), ("https://evil.example", ""), ("javascript:alert(1)", ""), ("/\\evil", ""), ("/login", ""), ("/a?b", ""),
     (7, ""), (None, None), ("/" + "x" * MAX_ADDRESS_CHARS, "")],
)  # fmt: skip
def test_no_address_but_ours_is_kept(view_actions: SavedViewActions, path: Any, search: Any):
    assert kept_address(path, search) == ""
    with pytest.raises(InvalidInput, match="address"):
        view_actions.save(ANN, "x", path, search, team=True)
    assert view_actions.of(ANN) == []


def test_a_name_is_one_plain_line_and_a_menu_is_no_archive(view_actions: SavedViewActions):
    with pytest.raises(InvalidInput, match="name"):
        view_actions.save(ANN, " \u202e ", "/", "", team=False)
    assert view_actions.save(ANN, "a\nb\u202e" + "x" * 200, "/", "", team=False).name.startswith("a b xxx")
    for number in range(MOST - 1):
        view_actions.save(ANN, str(number), "/", "", team=False)
    with pytest.raises(Conflict, match="many"):
        view_actions.save(ANN, "one more", "/", "", team=False)
    view_actions.save(ANN, "7", "/alerts", "", team=False)  # its place is taken, not a new one


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_menu_saves_lists_and_drops(view_actions: SavedViewActions, opened: Store, language: str):
    app = create_app(opened, Settings(dashboard_login="none"), now=lambda: NOW)
    client = app.server.test_client()

    def ask(output: str, changed: str, **values: Any) -> dict[str, Any]:
        sent = callback_body(app, output, view_data={"lang": language}, **values) | {"changedPropIds": [changed]}
        answer = client.post("/_dash-update-component", json=sent)
        assert answer.status_code == 200, answer.text
        return dict(answer.json["response"])

    none = str(ask("vi-list.children", "vi-list.id", vi_list_id="vi-list"))
    assert ("No saved views" if language == "en" else "暂无保存的视图") in none
    saved = {"vi_save_n_clicks": 1, "vi_name_value": "夜班", "vi_team_checked": True, "url_pathname": "/alerts", "url_search": "?state=all"}
    answer = str(ask("vi-message.children", "vi-save.n_clicks", **saved))
    assert f"/alerts?state=all&lang={language}" in answer and "✓" in answer
    assert "✗" in str(ask("vi-message.children", "vi-save.n_clicks", **{**saved, "vi_name_value": None}))
    (view,) = view_actions.of(ANN)
    gone = str(ask("vi-removed.children", "vi-drop.data", vi_drop_data={"id": view.id}))
    assert "✓" in gone
    assert view_actions.of(ANN) == []
