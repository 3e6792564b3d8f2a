"""Was an alert right? The last words of people, what they come to, and the page and panel over a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dash
import pytest

from actions.audited_actions import AuditedActions
from core.cache import Cache
from core.records import Alert
from core.settings import Settings
from dashboard.app import create_app
from dashboard.pages import alert_verdicts, precision
from dashboard.view import View
from domain.alert_lifecycle import AlertEvent, event, lifecycle_of
from domain.alert_lifecycle.verdicts import KINDS, VERDICTS, Verdict, VerdictCounts, latest_verdicts, tally, verdict_of
from storage.store import Store, open_store
from tests.helpers.api import ApiHarness
from tests.helpers.dashboard import callback_body
from tests.unit.dashboard.pages.test_inbox import NOW, ring, words_of


def said(actor: str, verdict: Verdict, minute: int, text: str = "") -> AlertEvent:
    return event("a", KINDS[verdict], actor, NOW + timedelta(minutes=minute), text)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ([], None),
        ([("Ann", "right")], "right"),
        ([("Ann", "false"), ("Ann", "right")], "right"),  # she thought better of it
        ([("Ann", "right"), ("Bob", "false"), ("Eve", "false")], "false"),
        ([("Ann", "right"), ("Bob", "false")], "false"),  # of as many, what was said last
        ([("Bob", "false"), ("Ann", "right")], "right"),
        ([("Ann", "late"), ("Bob", "false"), ("Ann", "right"), ("Bob", "right"), ("Eve", "late")], "right"),
    ],
)
def test_the_last_word_of_each_person_counts_and_most_of_them_decide(words: list[tuple[str, Verdict]], verdict: Verdict | None):
    events = [said(actor, word, minute) for minute, (actor, word) in enumerate(words)]
    noise = [event("a", "note", "Ann", NOW + timedelta(hours=1), "x"), event("a", "acknowledged", "Bob", NOW)]
    assert verdict_of(events[::-1] + noise) == verdict
    assert len(latest_verdicts(events + noise)) == len({actor for actor, _ in words})


def test_a_judgement_changes_nothing_of_an_alerts_state():
    alert = Alert(
        id="a", rule="r", series="topic:credit", window_start=NOW, window_s=900, detected_at=NOW, severity="info",
        observed=3, expected=0.1, surprise=4.0, total=3, sources=2,
    )  # fmt: skip
    events = [event("a", "resolved", "Ann", NOW + timedelta(minutes=1))]
    assert lifecycle_of(alert, events) == lifecycle_of(alert, [*events, *(said("Bob", verdict, 5) for verdict in VERDICTS)])


def test_a_tally_counts_those_that_nobody_judged():
    found = tally({"spike": 4, "own": 1}, [("spike", "right"), ("spike", "right"), ("spike", "late")])
    assert found == {"spike": VerdictCounts(4, 2, 0, 1), "own": VerdictCounts(1)}
    known = found["spike"].precision
    assert known is not None
    assert known.share == pytest.approx(2 / 3)
    assert found["own"].precision is None


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store("embedded", tmp_path_factory.mktemp("verdicts"))
    store.migrate()
    yield store
    store.close()


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


def test_a_judgement_is_kept_with_who_and_why_and_counted_at_once(app: dash.Dash, store: Store):
    key, other = ring(store), ring(store, "company:HXD.SH", minutes=20)
    ring(store, "topic:energy", minutes=60 * 24 * 40)
    before = json.dumps(post(app, "pr-table.children"))
    assert "0 of 2 alerts were judged" in before
    answer = post(app, "vd-message.children", "vd-false", vd_false_n_clicks=1, al_key_data=key, vd_note_value="<b>旧闻</b>")
    assert "False alarm" in json.dumps(answer)
    (kept,) = store.alert_lifecycle.events([key])
    assert (kept.kind, kept.actor, kept.text) == ("verdict_false", "local", "<b>旧闻</b>")
    (noted,) = store.audit.latest(2)
    assert (noted.actor, noted.action, noted.target, noted.address) == ("local", "alert verdict_false", key, "dashboard")
    shown = json.dumps(post(app, "vd-given.children", al_key_data=key), ensure_ascii=False)
    assert "✗ False alarm" in shown
    assert "<b>旧闻</b>" in shown
    AuditedActions(store, lambda: NOW + timedelta(seconds=30), lambda: "Ann").act(other, "verdict_right")
    after = precision.read(store, NOW - timedelta(days=31))
    assert after.whole == VerdictCounts(2, 1, 1, 0)
    assert after.by["kind"] == {"company": VerdictCounts(1, 1, 0, 0), "topic": VerdictCounts(1, 0, 1, 0)}
    assert after.by["rule"] == {"spike": VerdictCounts(2, 1, 1, 0)}
    assert precision.read(store, NOW - timedelta(days=90)).whole == VerdictCounts(3, 1, 1, 0)
    panel = json.dumps(post(app, "pr-table.children", pr_days_value="90"), ensure_ascii=False)
    assert "2 of 3 alerts were judged" in panel
    assert "50%" in panel
    assert "(9% to 91%)" in panel


@pytest.mark.parametrize("key", ["none", "", None, 7, "x' OR 1=1 --"])
def test_an_alert_that_there_is_not_is_not_judged(app: dash.Dash, store: Store, key: Any):
    asked = callback_body(app, "vd-message.children", view_data={"lang": "en"}, vd_right_n_clicks=1, al_key_data=key)
    asked["changedPropIds"] = ["vd-right.n_clicks"]
    assert app.server.test_client().post("/_dash-update-component", json=asked).status_code in (200, 204)
    assert store.client.query("SELECT count() FROM alert_events")[0][0] == 0


@pytest.mark.parametrize(("language", "words"), [("en", "Nobody has judged it yet."), ("zh", "尚无人评价。")])
def test_nothing_is_said_of_what_nobody_judged(language: Any, words: str):
    assert words in words_of(alert_verdicts.given([], NOW, View(language=language)))
    none = precision.Precision(VerdictCounts(0), {side: {} for side in precision.SIDES})
    assert "31" in words_of(precision.table(none, 31, View(language=language)))


def test_a_verdict_can_be_given_through_the_api(store: Store):
    harness = ApiHarness(store)
    key = ring(store)
    harness.post(f"/alerts/{key}/events", {"kind": "verdict_late", "text": "已收盘"})
    detail = harness.get(f"/alerts/{key}")
    harness.close()
    assert [(each["kind"], each["actor"], each["text"]) for each in detail["events"]] == [("verdict_late", "研究组 alerts", "已收盘")]
    assert detail["alert"]["lifecycle"]["state"] == "firing"
    assert verdict_of(store.alert_lifecycle.verdicts(datetime(2020, 1, 1, tzinfo=UTC))) == "late"
