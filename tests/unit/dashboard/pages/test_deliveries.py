"""The delivery log over a real store: outcomes, counts, filters and resending."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dash
import pytest

from actions.audited_actions import AuditedActions
from core.cache import Cache
from core.errors import NotFound, UserError
from core.records import Alert, alert_id
from core.settings import Settings, Webhook
from dashboard.app import create_app
from dashboard.pages import deliveries
from dashboard.services import OUTCOMES, EndpointStatus, Services
from dashboard.view import View
from storage.store import AlertGroup, Delivery, Store, open_store
from stream.delivery.delivery_scheduler import MAX_DELIVERY_AGE, RETRY_SCHEDULE_S
from stream.delivery.formats.generic import TEST
from tests.helpers.dashboard import callback_body, words_of
from tocsin.services.delivery_service import StoredDeliveryService

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOOKS = (
    Webhook(name="desk", url="https://desk.example/hook"),
    Webhook(name="quiet", url="https://quiet.example/hook", paused=True),
    Webhook(name="left", url="https://left.example/hook"),
)
TABLES = ("alerts", "deliveries", "delivery_replays", "alert_groups", "audit", "alert_events")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store("embedded", tmp_path_factory.mktemp("deliveries"))
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def store(opened: Store) -> Store:
    for table in TABLES:
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


@pytest.fixture
def service(store: Store) -> StoredDeliveryService:
    return StoredDeliveryService(Settings(webhooks=HOOKS), store, lambda: NOW)


@pytest.fixture
def app(store: Store, service: StoredDeliveryService) -> dash.Dash:
    return create_app(
        store, Settings(dashboard_login="none"), now=lambda: NOW, cache=Cache(first_read_wait_s=1), services=Services(deliveries=service)
    )


def raise_alert(store: Store, name: str) -> str:
    start = NOW - timedelta(hours=1)
    alert = Alert(
        id=alert_id("spike", name, start), rule="spike", series=name, window_start=start, window_s=900, detected_at=start,
        severity="warning", observed=9, expected=1.25, surprise=6.5, total=12, sources=4,
    )  # fmt: skip
    store.alerts.insert([alert])
    return alert.id


def sent(subject: str, endpoint: str = "desk", attempt: int = 1, status: int = 200, error: str = "", minutes: float = 2) -> Delivery:
    at = NOW - timedelta(minutes=minutes)
    return Delivery(alert_id=subject, endpoint=endpoint, attempt=attempt, sent_at=at, status=status, error=error)


def actions_of(store: Store) -> AuditedActions:
    return AuditedActions(store, lambda: NOW, lambda: "Ann", "dashboard")


def test_each_delivery_has_the_outcome_that_the_courier_would_act_on(store: Store, service: StoredDeliveryService):
    long_ago = MAX_DELIVERY_AGE.total_seconds() / 60 + 60
    store.alerts.log_deliveries(
        [
            sent("taken", attempt=1, status=500, error="HTTP 500", minutes=9),
            sent("taken", attempt=2),
            sent("spared", minutes=1, status=0, error="rate limited: the endpoint accepts a limited number of messages per minute"),
            sent("again", status=503, error="HTTP 503"),
            sent("last", attempt=len(RETRY_SCHEDULE_S), status=503, error="HTTP 503"),
            sent("private", status=0, error="not sent: 10.0.0.1 is a private address"),
            sent("old", status=503, error="HTTP 503", minutes=long_ago),
            sent("ancient", minutes=60 * 24 * 40),
            sent("elsewhere", "former", status=503, error="HTTP 503"),
            sent("gone", "left", status=410, error="HTTP 410", minutes=1),
            sent("before", "left", status=503, error="HTTP 503"),
        ]
    )
    found = service.log()
    assert {each.subject: each.outcome for each in found.deliveries} == {
        "taken": "delivered",
        "spared": "waiting",
        "again": "failed",
        "last": "dead",
        "private": "dead",
        "old": "dead",
        "elsewhere": "dead",
        "gone": "dead",
        "before": "dead",
    }
    by_name = {each.subject: each for each in found.deliveries}
    assert by_name["taken"].attempt == 2
    due = by_name["again"].next_at
    assert due is not None
    assert due > by_name["again"].sent_at
    assert by_name["last"].next_at is None
    assert [(place.endpoint, place.state) for place in found.endpoints] == [
        ("desk", "waiting"), ("quiet", "paused"), ("left", "gone"), ("former", ""),
    ]  # fmt: skip
    counts = {place.endpoint: tuple(place.counts[outcome] for outcome in OUTCOMES) for place in found.endpoints}
    assert counts == {"desk": (1, 1, 1, 3), "quiet": (0, 0, 0, 0), "left": (0, 0, 0, 2), "former": (0, 0, 0, 1)}


def test_what_is_asked_for_once_more_waits_until_another_attempt_was_made(store: Store, service: StoredDeliveryService):
    store.alerts.log_deliveries([sent("a", attempt=3, status=500, error="HTTP 500"), sent("b")])
    assert service.replay("desk", ["a", "b"], actions_of(store)) == 2
    assert service.replay("desk", ["a"], actions_of(store)) == 1
    assert sorted((each.alert_id, each.after, each.actor) for each in store.replays.since(NOW)) == [("a", 3, "Ann"), ("b", 1, "Ann")]
    assert {(each.subject, each.outcome, each.requested_by) for each in service.log().deliveries} == {
        ("a", "waiting", "Ann"),
        ("b", "waiting", "Ann"),
    }
    store.alerts.log_deliveries([sent("a", attempt=4, minutes=0)])
    assert {(each.subject, each.outcome, each.requested_by) for each in service.log().deliveries} == {
        ("a", "delivered", ""),
        ("b", "waiting", "Ann"),
    }
    noted = [(each.actor, each.action, each.target, each.address) for each in store.audit.latest(5)]
    assert noted == [("Ann", "deliveries replayed", "desk", "dashboard")] * 2
    assert "a, b" in {each.after for each in store.audit.latest(5)}


def test_all_that_failed_of_an_endpoint_and_nothing_else_is_asked_for(store: Store, service: StoredDeliveryService):
    failed = {"status": 500, "error": "HTTP 500"}
    store.alerts.log_deliveries(
        [sent("f1", **failed), sent("f2", attempt=10, **failed), sent("ok"), sent(TEST, **failed), sent("other", "former", **failed)]  # type: ignore[arg-type]
    )
    assert service.replay_failed("desk", actions_of(store)) == 2
    assert {each.alert_id for each in store.replays.since(NOW)} == {"f1", "f2"}
    assert service.replay_failed("desk", actions_of(store)) == 0, "they are asked for already"


@pytest.mark.parametrize(
    ("endpoint", "subjects", "why"),
    [
        ("quiet", ["a"], "is paused in the settings"),
        ("left", ["a"], "send a test first"),
        ("former", ["a"], "no webhook 'former'"),
        ("desk", ["never"], "was never sent to desk"),
        ("desk", [TEST], "was never sent"),
        ("desk", [str(n) for n in range(501)], "are too many"),
    ],
)
def test_a_delivery_that_cannot_be_resent_shows_an_error(
    store: Store, service: StoredDeliveryService, endpoint: str, subjects: list[str], why: str
):
    store.alerts.log_deliveries([sent("a"), sent(TEST), sent("a", "left", status=410, error="HTTP 410")])
    with pytest.raises(UserError, match=why):
        service.replay(endpoint, subjects, actions_of(store))
    assert store.replays.since(NOW) == []


def test_a_test_may_be_sent_to_what_is_paused_or_gone(store: Store, service: StoredDeliveryService):
    store.alerts.log_deliveries([sent(TEST, "left", attempt=2, status=410, error="HTTP 410")])
    for endpoint in ("quiet", "left"):
        service.send_test(endpoint, actions_of(store))
    assert sorted((each.endpoint, each.alert_id, each.after) for each in store.replays.since(NOW)) == [
        ("left", TEST, 2),
        ("quiet", TEST, 0),
    ]
    with pytest.raises(NotFound, match="no webhook"):
        service.send_test("former", actions_of(store))


def shown(app: dash.Dash, **values: Any) -> Any:
    answer = app.server.test_client().post(
        "/_dash-update-component", json=callback_body(app, "de-rows.children", view_data={"lang": "en"}, **values)
    )
    assert answer.status_code == 200
    return answer.json["response"]


def press(app: dash.Dash, button: str, **values: Any) -> str:
    asked = callback_body(
        app, "de-message.children...", **{"view_data": {"lang": "en"}, f"{button}_n_clicks".replace("-", "_"): 1, **values}
    )
    asked["changedPropIds"] = [f"{button}.n_clicks"]
    answer = app.server.test_client().post("/_dash-update-component", json=asked)
    assert answer.status_code == 200
    return json.dumps(answer.json["response"], ensure_ascii=False)


def test_the_page_shows_filters_and_asks(app: dash.Dash, store: Store, service: StoredDeliveryService):
    credit, energy = raise_alert(store, "topic:credit"), raise_alert(store, "topic:energy")
    group = AlertGroup(
        id="g1", endpoint="desk", key="k", at=NOW - timedelta(minutes=5), firing=(credit, energy), new_alerts=(credit, energy)
    )
    store.alert_groups.insert([group])
    store.alerts.log_deliveries([sent(credit, status=500, error="<b>HTTP 500</b>"), sent(group.subject), sent(TEST)])
    rows = json.dumps(shown(app)["de-rows"], ensure_ascii=False)
    assert f"/alert/{credit}" in rows
    assert "2 in total" in rows
    assert "<b>HTTP 500</b>" in rows
    failed = json.dumps(shown(app, de_outcome_value="failed")["de-rows"], ensure_ascii=False)
    assert "2 in total" not in failed
    assert credit in failed
    assert "No matching deliveries" in json.dumps(shown(app, de_where_value="left")["de-rows"])
    key = next(deliveries.value_of(each) for each in service.log().deliveries if each.subject == credit)
    assert "1 will be resent" in press(app, "de-replay", de_chosen_value=[key])
    assert "requested by local" in json.dumps(shown(app)["de-rows"], ensure_ascii=False)
    assert "A test message will be sent to quiet" in press(app, "de-test", de_endpoint_value="quiet")
    assert "0 will be resent" in press(app, "de-replay-failed", de_endpoint_value="desk")


@pytest.mark.parametrize(
    ("button", "values", "why"),
    [
        ("de-replay", {}, "Select deliveries"),
        ("de-replay", {"de_chosen_value": ["nothing"]}, "Select deliveries"),
        ("de-replay", {"de_chosen_value": {"a": 1}}, "Select deliveries"),
        ("de-replay", {"de_chosen_value": ["desk\x1fnever"]}, "was never sent"),
        ("de-replay-failed", {}, "Select an endpoint"),
        ("de-test", {"de_endpoint_value": "nobody"}, "no webhook 'nobody'"),
    ],
)
def test_odd_requests_are_refused_and_ask_for_nothing(app: dash.Dash, store: Store, button: str, values: Any, why: str):
    assert why in press(app, button, **values)
    assert store.replays.since(NOW) == []
    assert store.audit.latest(5) == []


def test_a_missing_service_and_a_lost_store_show_errors(app: dash.Dash, store: Store):
    without = create_app(store, Settings(dashboard_login="none"), now=lambda: NOW)
    assert "not available in this process" in json.dumps(shown(without)["de-problem"])
    store.client.command("RENAME TABLE deliveries TO deliveries_gone")
    try:
        assert "does not respond" in json.dumps(shown(app)["de-problem"])
        assert "does not respond" in press(app, "de-test", de_endpoint_value="desk")
    finally:
        store.client.command("RENAME TABLE deliveries_gone TO deliveries")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_empty_log_shows_a_message_in_both_languages(language: Any):
    view = View(language=language)
    shown_text = words_of([deliveries.places([], NOW, view), deliveries.table([], {}, NOW, view)])
    assert ("docs/webhooks.md" in shown_text) and (("No matching deliveries" if language == "en" else "没有符合条件的推送") in shown_text)


@pytest.mark.parametrize(("language", "expected"), [("en", "Keyword: 预警"), ("zh", "关键词：预警")])
def test_the_keyword_of_a_bot_is_shown(language: Any, expected: str):
    bot = EndpointStatus("desk", "ok", NOW, dict.fromkeys(OUTCOMES, 0), "预警")
    assert expected in json.dumps(deliveries.places([bot], NOW, View(language=language)).to_plotly_json(), default=str, ensure_ascii=False)
