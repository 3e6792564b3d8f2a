"""The inbox, and actions on alerts on their pages, over a real store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dash
import pytest

from actions.audited_actions import AuditedActions
from core.cache import Cache
from core.errors import InvalidInput, NotFound
from core.records import Alert, alert_id
from core.series import MARKET
from core.settings import Settings
from dashboard.app import create_app
from dashboard.pages import alert_actions, inbox
from dashboard.reads.queries import Reads
from dashboard.view import View, parse
from domain.alert_lifecycle import TOCSIN, inhibitions
from storage.store import Store, SuppressedDelivery, open_store
from tests.helpers.dashboard import callback_body, words_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CREDIT = "topic:credit"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store("embedded", tmp_path_factory.mktemp("inbox"))
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def store(opened: Store) -> Store:
    for table in ("alerts", "alert_events", "alert_last_breach", "suppressed_deliveries", "silences", "silence_ends", "audit"):
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


@pytest.fixture
def app(store: Store) -> dash.Dash:
    seconds = itertools.count()
    settings = Settings(dashboard_login="none", alert_inhibit="market > *")
    return create_app(store, settings, now=lambda: NOW + timedelta(seconds=next(seconds)), cache=Cache(first_read_wait_s=1))


def raise_alert(store: Store, series: str = CREDIT, minutes: int = 10, **fields: Any) -> str:
    start = NOW - timedelta(minutes=minutes)
    alert = Alert(
        id=alert_id("spike", series, start), rule="spike", series=series, window_start=start, window_s=900, detected_at=start,
        severity="warning", observed=9, expected=1.25, surprise=6.5, total=12, sources=4, **fields,
    )  # fmt: skip
    store.alerts.insert([alert])
    return alert.id


def press(app: dash.Dash, button: str, key: str, **values: Any) -> tuple[int, str]:
    """The response to a click on a button: (status, text)."""
    asked = callback_body(
        app, "ac-message", al_key_data=key, view_data={"lang": "en"}, **{f"{button}_n_clicks".replace("-", "_"): 1}, **values
    )
    asked["changedPropIds"] = [f"{button}.n_clicks"]
    answer = app.server.test_client().post("/_dash-update-component", json=asked)
    return answer.status_code, answer.get_data(as_text=True)


def reads_of(store: Store, now: datetime = NOW + timedelta(minutes=1)) -> Reads:
    return Reads(store, lambda: now, None, inhibitions("market > *"))


def test_the_buttons_write_what_was_done_and_by_whom(app: dash.Dash, store: Store):
    key = raise_alert(store)
    assert press(app, "ac-acknowledge", key)[0] == 200
    assert press(app, "ac-assign", key, ac_words_value="李雷")[0] == 200
    status, shown_text = press(app, "ac-note", key, ac_words_value="已联系 <b>desk</b> =1+1")
    assert (status, "added a note" in shown_text) == (200, True)
    events = store.alert_lifecycle.events([key])
    assert sorted((each.kind, each.actor, each.text) for each in events) == [
        ("acknowledged", "local", ""),
        ("assigned", "local", "李雷"),
        ("note", "local", "已联系 <b>desk</b> =1+1"),
    ]
    timeline = reads_of(store).timeline(key)
    assert timeline is not None
    assert (timeline.life.state, timeline.life.assignee) == ("acknowledged", "李雷")
    noted = [(entry.actor, entry.action, entry.target, entry.after) for entry in store.audit.latest(3)]
    assert ("local", "alert note", key, "已联系 <b>desk</b> =1+1") in noted
    assert press(app, "ac-resolve", key)[0] == 200
    assert reads_of(store).alerts() == []
    assert press(app, "ac-reopen", key)[0] == 200
    assert [alert.id for alert in reads_of(store).alerts()] == [key]


def test_a_silence_suppresses_the_series_and_shows_its_end(app: dash.Dash, store: Store):
    key = raise_alert(store)
    status, shown_text = press(app, "ac-silence", key, ac_reason_value="年报季", ac_span_value="1h")
    assert (status, "13:00" in shown_text) == (200, True)
    (made,) = store.silences.all()
    assert (made.series, made.author, made.comment) == ((CREDIT,), "local", "年报季")
    assert made.ends_at - made.starts_at == timedelta(hours=1)
    timeline = reads_of(store, made.starts_at).timeline(key)
    assert timeline is not None
    assert [each.id for each in timeline.life.silenced] == [made.id]
    AuditedActions(store, lambda: NOW + timedelta(minutes=1), lambda: "Ann").end_silence(made.id)
    (ended,) = store.silences.all()
    assert (ended.ended_by, ended.state(NOW + timedelta(minutes=2))) == ("Ann", "ended")


@pytest.mark.parametrize(
    ("button", "values", "complaint"),
    [
        ("ac-note", {}, "a note needs a text"),
        ("ac-note", {"ac_words_value": "x" * 4_001}, "too long"),
        ("ac-silence", {}, "needs a comment"),
        ("ac-silence", {"ac_reason_value": {"a": 1}, "ac_span_value": ["x"]}, "are not delivered until"),  # odd, and harmless
    ],
)
def test_an_action_that_fails_shows_an_error_and_changes_nothing(app: dash.Dash, store: Store, button: str, values: Any, complaint: str):
    status, shown_text = press(app, button, raise_alert(store), **values)
    assert status == 200
    assert complaint in shown_text


@pytest.mark.parametrize("key", ["none", "", None, 7, "x' OR 1=1 --", "é" * 500])
def test_an_alert_that_there_is_not_gets_no_events(app: dash.Dash, store: Store, key: Any):
    assert press(app, "ac-acknowledge", key)[0] in (200, 204)
    assert press(app, "ac-silence", key, ac_reason_value="why")[0] in (200, 204)
    assert store.client.query("SELECT count() FROM alert_events")[0][0] == 0
    assert store.silences.all() == []
    with pytest.raises(NotFound, match="there is no silence"):
        AuditedActions(store, lambda: NOW, lambda: "Ann").end_silence("nope")


def test_nobody_acts_under_the_name_of_the_program(store: Store):
    with pytest.raises(InvalidInput, match="reserved for the program"):
        AuditedActions(store, lambda: NOW, lambda: TOCSIN).act(raise_alert(store), "acknowledged")


@pytest.mark.parametrize(("language", "open_word"), [("en", "Firing"), ("zh", "告警中")])
def test_the_inbox_lists_what_is_asked_for_and_marks_what_is_not_delivered(store: Store, language: Any, open_word: str):
    credit, market = raise_alert(store), raise_alert(store, MARKET, minutes=20)
    old = raise_alert(store, "topic:energy", minutes=60 * 24 * 40)
    rows = reads_of(store).inbox()
    assert [each.alert.id for each in rows] == [credit, market]
    assert old not in {each.alert.id for each in rows}
    view = View(language=language)
    words = words_of(inbox.table(rows, NOW, view))
    assert open_word in words
    assert ("not delivered" if language == "en" else "未推送") in words  # inhibited by the alert on the market
    resolved = inbox.table(rows, NOW, View(language=language, state="resolved"))
    assert ("No resolved alerts" if language == "en" else "没有已解决的告警") in words_of(resolved)
    AuditedActions(store, lambda: NOW, lambda: "Ann").act(credit, "resolved")
    rows = reads_of(store).inbox()
    assert open_word not in words_of(inbox.table(rows, NOW, View(language=language, state="resolved")))
    assert open_word in words_of(inbox.table(rows, NOW, View(language=language, state="all")))


def test_the_page_of_an_alert_shows_why_it_was_not_sent(store: Store):
    key = raise_alert(store)
    why = SuppressedDelivery(
        alert_id=key, endpoint="desk", cause="quiet hours", owner="quiet hours", at=NOW, until=None, text="quiet hours until 08:00"
    )
    store.alert_lifecycle.suppress([why])
    timeline = reads_of(store).timeline(key)
    assert timeline is not None
    words = words_of(alert_actions.activity(timeline, NOW, View()))
    assert "not sent to desk: quiet hours until 08:00" in words
    assert "No activity yet." in words


def test_the_state_that_is_looked_at_is_in_the_address():
    assert parse({"state": "resolved"}).state == "resolved"
    assert parse({"state": "x"}).state == parse({"state": ["all"]}).state == "open"
