"""Verdicts on alerts over a real store: the panels of the dashboard and the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dash
import pytest

from actions.audited_actions import AuditedActions
from core.cache import Cache
from core.records import Alert, alert_id
from core.settings import Settings
from dashboard.app import create_app
from dashboard.pages.alert_actions import ratings
from dashboard.pages.inbox import GROUPINGS, Precision, precision_table, read_precision
from dashboard.view import View
from domain.alert_lifecycle.verdicts import VerdictCounts, verdict_of
from storage.store import Store
from tests.helpers.api import ApiHarness
from tests.helpers.dashboard import callback_body
from tests.helpers.stores import migrated_store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def store_alert(store: Store, series: str = "topic:credit", minutes: int = 10) -> str:
    start = NOW - timedelta(minutes=minutes)
    alert = Alert(
        id=alert_id("spike", series, start), rule="spike", series=series, window_start=start, window_s=900, detected_at=start,
        severity="warning", observed=9, expected=1.25, surprise=6.5, total=12, sources=4,
    )  # fmt: skip
    store.alerts.insert([alert])
    return alert.id


def as_json(component: Any) -> str:
    return json.dumps(component, default=lambda part: part.to_plotly_json(), ensure_ascii=False)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with migrated_store(tmp_path_factory.mktemp("verdicts")) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    for table in ("alerts", "alert_events", "alert_last_breach", "silences", "audit"):
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


@pytest.fixture
def app(store: Store) -> dash.Dash:
    return create_app(store, Settings(dashboard_login="none"), now=lambda: NOW + timedelta(minutes=1), cache=Cache(first_read_wait_s=1))


def post(app: dash.Dash, output: str, button: str = "", **values: Any) -> Any:
    asked = callback_body(app, output, view_data={"lang": "en"}, **values)
    if button:
        asked["changedPropIds"] = [f"{button}.n_clicks"]
    answer = app.server.test_client().post("/_dash-update-component", json=asked)
    assert answer.status_code == 200
    return answer.json["response"]


def test_a_verdict_is_stored_with_actor_and_note_and_counted_at_once(app: dash.Dash, store: Store):
    key, other = store_alert(store), store_alert(store, "company:HXD.SH", minutes=20)
    store_alert(store, "topic:energy", minutes=60 * 24 * 40)
    before = json.dumps(post(app, "pr-table.children"))
    assert "0 of 2 alerts were rated" in before
    answer = post(app, "vd-message.children", "vd-false", vd_false_n_clicks=1, al_key_data=key, vd_note_value="<b>旧闻</b>")
    assert "False alarm" in json.dumps(answer)
    (kept,) = store.alert_lifecycle.events([key])
    assert (kept.kind, kept.actor, kept.text) == ("verdict_false", "local", "<b>旧闻</b>")
    (noted,) = store.audit.latest(2)
    assert (noted.actor, noted.action, noted.target, noted.address) == ("local", "alert verdict_false", key, "dashboard")
    shown = json.dumps(post(app, "vd-ratings.children", al_key_data=key), ensure_ascii=False)
    assert "✗ False alarm" in shown
    assert "<b>旧闻</b>" in shown
    AuditedActions(store, lambda: NOW + timedelta(seconds=30), lambda: "Ann").act(other, "verdict_right")
    after = read_precision(store, NOW - timedelta(days=31))
    assert after.whole == VerdictCounts(2, 1, 1, 0)
    assert after.by["kind"] == {"company": VerdictCounts(1, 1, 0, 0), "topic": VerdictCounts(1, 0, 1, 0)}
    assert after.by["rule"] == {"spike": VerdictCounts(2, 1, 1, 0)}
    assert read_precision(store, NOW - timedelta(days=90)).whole == VerdictCounts(3, 1, 1, 0)
    panel = json.dumps(post(app, "pr-table.children", pr_days_value="90"), ensure_ascii=False)
    assert "2 of 3 alerts were rated" in panel
    assert "50%" in panel
    assert "(9% to 91%)" in panel


@pytest.mark.parametrize("key", ["none", "", None, 7, "x' OR 1=1 --"])
def test_an_unknown_alert_gets_no_verdict(app: dash.Dash, store: Store, key: Any):
    asked = callback_body(app, "vd-message.children", view_data={"lang": "en"}, vd_right_n_clicks=1, al_key_data=key)
    asked["changedPropIds"] = ["vd-right.n_clicks"]
    assert app.server.test_client().post("/_dash-update-component", json=asked).status_code in (200, 204)
    assert store.client.query("SELECT count() FROM alert_events")[0][0] == 0


@pytest.mark.parametrize(("language", "words"), [("en", "No ratings yet."), ("zh", "暂无评价。")])
def test_panels_without_verdicts_show_no_figures(language: Any, words: str):
    assert words in as_json(ratings([], NOW, View(language=language)))
    none = Precision(VerdictCounts(0), {side: {} for side in GROUPINGS})
    assert "31" in as_json(precision_table(none, 31, View(language=language)))


def test_a_verdict_can_be_given_through_the_api(store: Store):
    harness = ApiHarness(store)
    key = store_alert(store)
    harness.post(f"/alerts/{key}/events", {"kind": "verdict_late", "text": "已收盘"})
    detail = harness.get(f"/alerts/{key}")
    harness.close()
    assert [(each["kind"], each["actor"], each["text"]) for each in detail["events"]] == [("verdict_late", "研究组 alerts", "已收盘")]
    assert detail["alert"]["lifecycle"]["state"] == "firing"
    assert verdict_of(store.alert_lifecycle.verdicts(datetime(2020, 1, 1, tzinfo=UTC))) == "late"
