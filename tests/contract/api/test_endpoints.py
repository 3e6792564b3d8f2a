"""Every endpoint of the API over a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from api.authentication import TTL_S
from api.endpoints import MAX_ARTICLES_BODY_BYTES, MAX_BODY_BYTES, ROOT
from core.errors import BrokerError, ModelError, StoreUnavailable
from core.records import Alert, sha
from core.series import MARKET
from storage.store import Delivery, Store, SuppressedDelivery
from tests.helpers.api import VALID_BODIES, ApiHarness, invalid_fields
from tests.helpers.stores import NOON, alert, save, scored

MINUTE = timedelta(minutes=1)


@pytest.fixture
def harness(store: Store) -> Iterator[ApiHarness]:
    made = ApiHarness(store)
    yield made
    made.close()


class TestReads:
    def test_articles_are_listed_and_read_one_by_one(self, harness: ApiHarness):
        long = scored("long", minutes=2, title="涨停", text="长" * 2_000, negative=0.7)
        save(harness.store, scored("a"), long, scored("b", minutes=1, source="另一家"))
        page = harness.get("/articles")
        assert [item["id"] for item in page["items"]] == [sha(name) for name in ("long", "b", "a")]
        assert page["next"] == ""
        first = page["items"][0]
        assert (first["truncated"], first["text"], first["published_at"]) == (True, "长" * 300, "2026-11-20T12:02:00Z")
        assert first["sentiment"] == {"negative": 0.7, "neutral": 0.15, "positive": 0.15}
        assert first["companies"][0]["company"] == "ACME"
        assert first["topics"] == {"earnings": 0.9}
        assert harness.get("/articles", text="full")["items"][0]["text"] == harness.get(f"/articles/{sha('long')}")["text"] == "长" * 2_000
        assert [item["id"] for item in harness.get("/articles", source="另一家")["items"]] == [sha("b")]
        assert [item["id"] for item in harness.get("/articles", since=NOON + MINUTE, until=NOON + 2 * MINUTE)["items"]] == [sha("b")]
        assert harness.get("/articles", series="company:ACME", language="en")["items"] == page["items"]
        assert harness.get("/articles", series="company:NOBODY") == {"items": [], "next": ""}

    def test_articles_have_a_materiality_and_are_filtered_by_it(self, harness: ApiHarness):
        urgent, background = (0.99, 0.9, 0.75), (0.9, 0.25, 0.0)
        save(
            harness.store, scored("停牌", minutes=2, materiality=urgent), scored("球赛", minutes=1, materiality=background), scored("older")
        )
        found = {item["id"]: item["materiality"] for item in harness.get("/articles")["items"]}
        assert found[sha("停牌")] == {"level": 3, "background": 0.99, "relevant": 0.9, "urgent": 0.75}
        assert found[sha("球赛")] == {"level": 1, "background": 0.9, "relevant": 0.25, "urgent": 0.0}
        assert found[sha("older")] is None
        assert harness.get(f"/articles/{sha('停牌')}")["materiality"]["level"] == 3
        for least, names in ((0, ["停牌", "球赛", "older"]), (0.2, ["停牌", "球赛"]), (0.5, ["停牌"]), (1, [])):
            assert [item["id"] for item in harness.get("/articles", min_materiality=least)["items"]] == [sha(name) for name in names]
        assert harness.get("/series/market:all", since=NOON - MINUTE, until=NOON + 9 * MINUTE)["points"][0]["stories"] == 2

    @pytest.mark.parametrize("least", ["-0.1", "1.5", "50", "nan", "inf", "some", ""])
    def test_a_materiality_that_is_no_probability_is_rejected(self, harness: ApiHarness, least: str):
        answer = harness.request("GET", "/articles", min_materiality=least)
        assert (answer.status_code, invalid_fields(answer)) == (422, ["min_materiality"])

    def test_a_url_that_is_no_web_link_is_left_out(self, harness: ApiHarness):
        stored = scored("a")
        save(harness.store, msgspec.structs.replace(stored, article=msgspec.structs.replace(stored.article, url="javascript:alert(1)")))
        assert harness.get("/articles")["items"][0]["url"] == ""

    def test_pagination_is_stable_while_articles_are_added(self, harness: ApiHarness):
        save(harness.store, *(scored(str(number), minutes=-number // 2) for number in range(11)))
        found: list[str] = []
        cursor = ""
        while True:
            page = harness.get("/articles", limit=3, cursor=cursor)
            found += [item["id"] for item in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
            save(harness.store, scored(f"new {cursor}", minutes=5), scored(str(len(found)), minutes=-len(found) // 2, model="m2"))
        assert len(found) == len(set(found))
        assert set(found) == {sha(str(number)) for number in range(11)}

    def test_a_cursor_is_valid_only_for_its_own_query(self, harness: ApiHarness):
        save(harness.store, *(scored(str(number), minutes=-number) for number in range(4)))
        cursor = harness.get("/articles", limit=2)["next"]
        assert len(harness.get("/articles", limit=3, cursor=cursor, text="full")["items"]) == 2
        for other in ({"language": "en"}, {"series": "topic:earnings"}, {"since": NOON - MINUTE}, {"as_of": datetime.now(UTC)}):
            answer = harness.request("GET", "/articles", limit=2, cursor=cursor, **other)
            assert (answer.status_code, invalid_fields(answer)) == (422, ["cursor"]), other
        assert harness.request("GET", "/alerts", limit=2, cursor=cursor).status_code == 422

    def test_as_of_answers_from_what_was_known_at_that_time(self, harness: ApiHarness):
        save(harness.store, scored("a", negative=0.9, model="m1"))
        then = datetime.now(UTC)
        save(harness.store, scored("a", negative=0.2, model="m2"), scored("b", minutes=1))
        assert [item["model"] for item in harness.get("/articles", as_of=then)["items"]] == ["m1"]
        assert harness.get(f"/articles/{sha('a')}", as_of=then)["sentiment"]["negative"] == 0.9
        assert harness.get(f"/articles/{sha('a')}")["sentiment"]["negative"] == 0.2
        assert harness.request("GET", f"/articles/{sha('b')}", as_of=then).status_code == 404
        span = {"since": NOON - 60 * MINUTE, "until": NOON + 60 * MINUTE}
        history = harness.get("/series/market:all", as_of=then, **span)
        assert [(point["stories"], point["negative"]) for point in history["points"]] == [(1, 1)]
        assert [(point["stories"], point["negative"]) for point in harness.get("/series/market:all", **span)["points"]] == [(2, 0)]
        (market,) = harness.get("/series", kind="market", as_of=then, **span)["items"]
        assert (market["stories"], market["negative"], market["name_zh"]) == (1, 1, "全市场")

    def test_an_unescaped_plus_in_a_time_is_accepted(self, harness: ApiHarness):
        save(harness.store, scored("a"))
        headers = {"Authorization": f"Bearer {harness.secrets['read']}"}
        answer = harness.client.get(f"{ROOT}/articles?since=2026-11-20T20:00:00+08:00", headers=headers)
        assert [item["id"] for item in answer.json["items"]] == [sha("a")]

    def test_series_are_paginated_and_read_over_time(self, harness: ApiHarness):
        save(harness.store, scored("a", negative=0.9), scored("b", minutes=70))
        span = {"since": NOON - 60 * MINUTE, "until": NOON + 120 * MINUTE}
        everything = harness.get("/series", **span)["items"]
        names: list[str] = []
        cursor = ""
        while not names or cursor:
            page = harness.get("/series", limit=2, cursor=cursor, **span)
            names += [item["series"] for item in page["items"]]
            cursor = page["next"]
        assert names == sorted(names) == [item["series"] for item in everything]
        assert {"market:all", "topic:earnings", "company:ACME"} <= set(names)
        history = harness.get("/series/company:ACME", step_s=3600, **span)
        assert [(point["start"], point["stories"]) for point in history["points"]] == [
            ("2026-11-20T12:00:00Z", 1),
            ("2026-11-20T13:00:00Z", 1),
        ]
        assert harness.get("/series/company:A/B", **span)["points"] == []
        too_fine = harness.request("GET", "/series/market:all", step_s=60, since=NOON - timedelta(days=9), until=NOON)
        assert (too_fine.status_code, invalid_fields(too_fine)) == (422, ["step_s"])
        assert invalid_fields(harness.request("GET", "/series", since=NOON, until=NOON)) == ["since"]

    def test_the_default_period_is_the_last_24_hours(self, harness: ApiHarness):
        harness.now = NOON + timedelta(hours=23)
        save(harness.store, scored("a"), scored("b", minutes=-120))
        page = harness.get("/series", kind="market")
        assert (page["since"], page["until"], page["items"][0]["stories"]) == ("2026-11-20T11:00:00Z", "2026-11-21T11:00:00Z", 1)

    def test_alerts_have_their_lifecycle_as_of_a_time(self, harness: ApiHarness):
        found = [alert(f"company:{name}", at=NOON - number * MINUTE) for number, name in enumerate("ABC")]
        harness.store.alerts.insert(found)
        first = harness.get("/alerts", limit=2)
        rest = harness.get("/alerts", limit=2, cursor=first["next"])
        assert [item["id"] for item in (*first["items"], *rest["items"])] == [each.id for each in found]
        assert rest["next"] == ""
        assert harness.get("/alerts", series="company:B")["items"][0]["lifecycle"]["state"] == "firing"
        harness.now = NOON + 9 * MINUTE
        harness.post(f"/alerts/{found[1].id}/events", {"kind": "acknowledged"})
        assert [item["id"] for item in harness.get("/alerts", state="acknowledged")["items"]] == [found[1].id]
        assert harness.get("/alerts", state="acknowledged", as_of=NOON + 8 * MINUTE)["items"] == []
        assert len(harness.get("/alerts", as_of=NOON + 0.5 * MINUTE)["items"]) == 2
        assert harness.request("GET", f"/alerts/{found[0].id}", as_of=NOON).status_code == 404

    def test_an_alert_has_its_events_deliveries_and_suppressed_deliveries(self, harness: ApiHarness):
        one = alert(at=NOON)
        harness.store.alerts.insert([one])
        harness.store.alerts.log_deliveries([Delivery(alert_id=one.id, endpoint="风控", attempt=1, sent_at=NOON + 3 * MINUTE, status=200)])
        why = SuppressedDelivery(
            alert_id=one.id, endpoint="desk", cause="quiet hours", owner="q", at=NOON + 2 * MINUTE, until=None, text="夜里"
        )
        harness.store.alert_lifecycle.suppress([why])
        harness.now = NOON + 5 * MINUTE
        harness.post(f"/alerts/{one.id}/events", {"kind": "note", "text": "发行人已回应"})
        detail = harness.get(f"/alerts/{one.id}")
        assert [event["text"] for event in detail["events"]] == ["发行人已回应"]
        assert (detail["deliveries"][0]["endpoint"], detail["suppressed"][0]["text"]) == ("风控", "夜里")
        before = harness.get(f"/alerts/{one.id}", as_of=NOON + 2 * MINUTE)
        assert (len(before["events"]), len(before["deliveries"]), len(before["suppressed"])) == (0, 0, 1)

    def test_rules_and_watchlists_are_listed(self, harness: ApiHarness):
        assert harness.get("/rules")["items"][0]["name"] == "negative-spike"
        assert harness.get("/watchlists")["items"][0]["title_zh"] == "关注"


class TestActions:
    def test_an_action_on_an_alert_is_recorded_under_the_name_of_the_token(self, harness: ApiHarness):
        one = alert()
        harness.store.alerts.insert([one])
        harness.now = NOON + 5 * MINUTE
        done = harness.post(f"/alerts/{one.id}/events", {"kind": "acknowledged", "text": "calling the issuer"})
        assert done["lifecycle"]["acknowledged"] == {"actor": "研究组 alerts", "at": "2026-11-20T12:05:00Z"}
        noted = harness.store.audit.latest(1, target=one.id, since=harness.now)[0]
        assert (noted.actor, noted.action, noted.after, noted.address) == (
            "token:研究组 alerts",
            "alert acknowledged",
            "calling the issuer",
            "api",
        )
        assert done["lifecycle"]["state"] == "acknowledged"
        assert harness.post(f"/alerts/{one.id}/events", {"kind": "assigned", "text": "王芳"})["lifecycle"]["assignee"] == "王芳"
        assert harness.post(f"/alerts/{one.id}/events", {"kind": "resolved"})["lifecycle"]["state"] == "resolved"
        empty = harness.request("POST", f"/alerts/{one.id}/events", {"kind": "note", "text": " "})
        assert (empty.status_code, empty.json["detail"]) == (422, "a note needs a text")
        assert invalid_fields(harness.request("POST", f"/alerts/{one.id}/events", {"kind": "shouted"})) == ["kind"]
        assert harness.request("POST", f"/alerts/{'e' * 32}/events", {"kind": "resolved"}).status_code == 404

    def test_a_silence_is_added_and_expired(self, harness: ApiHarness):
        harness.store.alerts.insert([alert()])
        harness.now = NOON + 5 * MINUTE
        made = harness.post("/silences", {"series": ["topic:*"], "ends_at": "2026-11-20T22:00:00+08:00", "comment": "年报窗口期"})
        assert (made["status"], made["author"], made["ends_at"]) == ("active", "研究组 alerts", "2026-11-20T14:00:00Z")
        assert harness.get("/alerts")["items"][0]["lifecycle"]["silenced"][0]["id"] == made["id"]
        harness.now = NOON + 9 * MINUTE
        ended = harness.request("DELETE", f"/silences/{made['id']}").json
        assert (ended["status"], ended["ended_by"]) == ("ended", "研究组 alerts")
        assert harness.request("DELETE", f"/silences/{made['id']}").json == ended
        assert harness.get("/silences")["items"] == []
        assert harness.get("/silences", include_expired=True)["items"] == [ended]
        (then,) = harness.get("/silences", as_of=NOON + 6 * MINUTE)["items"]
        assert (then["status"], then["ended_at"], then["ended_by"]) == ("active", None, "")
        assert harness.get("/silences", as_of=NOON)["items"] == []

    def test_silences_are_paginated(self, harness: ApiHarness):
        for number in range(5):
            harness.now = NOON + number // 2 * MINUTE
            harness.post("/silences", {"series": [f"topic:{number}"], "ends_at": "2026-11-21T00:00:00Z", "comment": "x"})
        found: list[str] = []
        cursor = ""
        while not found or cursor:
            page = harness.get("/silences", limit=2, cursor=cursor)
            found += [item["series"][0] for item in page["items"]]
            cursor = page["next"]
        assert sorted(found) == [f"topic:{number}" for number in range(5)]
        assert found[0] == "topic:4"

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"series": ["topic"]}, "is not a series pattern"),
            ({"comment": " "}, "needs a comment"),
            ({"ends_at": "2026-11-20T11:00:00Z"}, "must end after it starts"),
            ({"least": "critical", "most": "info"}, "covers nothing"),
        ],
    )
    def test_an_invalid_silence_is_rejected(self, harness: ApiHarness, change: dict[str, Any], reason: str):
        harness.now = NOON
        answer = harness.request("POST", "/silences", {**VALID_BODIES["/silences"], **change})
        assert answer.status_code == 422
        assert reason in answer.json["detail"]

    def test_labels_are_stored_all_or_none(self, harness: ApiHarness):
        save(harness.store, scored("a", model="m7"), scored("b"))
        harness.now = NOON
        valid = {"id": sha("a"), "task": "sentiment", "labels": ["negative"], "company": "ACME"}
        for invalid, field in (
            ({"id": sha("a"), "task": "sentiment", "labels": ["bad"]}, "labels[1]"),
            ({"id": sha("nobody"), "task": "topic", "labels": ["other"]}, "labels[1].id"),
            ({"id": sha("b"), "task": "mood", "labels": ["bad"]}, "labels[1].task"),
        ):
            answer = harness.request("POST", "/feedback", {"labels": [valid, invalid]})
            assert answer.status_code == 422
            assert invalid_fields(answer)[0].startswith(field), answer.text
        assert harness.get("/feedback")["items"] == []
        assert harness.post("/feedback", {"labels": [valid, {"id": sha("b"), "task": "topic", "labels": ["credit", "energy"]}]}) == {
            "stored": 2
        }
        first = harness.get("/feedback", limit=1)
        (second,) = harness.get("/feedback", limit=1, cursor=first["next"])["items"]
        both = {item["id"]: item for item in (*first["items"], second)}
        assert (both[sha("a")]["author"], both[sha("a")]["model"]) == ("研究组 feedback", "m7")
        assert harness.get("/feedback", as_of=NOON - MINUTE)["items"] == []

    def test_tokens_are_created_listed_and_revoked(self, harness: ApiHarness):
        parent = harness.create_token("admin", "read", name="parent")
        body = {"name": "夜班", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"}
        made = harness.request("POST", "/tokens", body, secret=parent).json
        assert made["token"].startswith("tocsin_")
        listed = {item["id"]: item for item in harness.get("/tokens")["items"]}
        assert listed[made["id"]] == {name: value for name, value in made.items() if name != "token"}
        harness.forget_tokens()
        assert harness.request("GET", "/articles", secret=made["token"]).status_code == 200
        assert harness.request("DELETE", f"/tokens/{made['id']}").json["revoked_by"] == "token:研究组 admin"
        harness.forget_tokens()
        assert harness.request("GET", "/articles", secret=made["token"]).status_code == 401
        used = next(item for item in harness.get("/tokens")["items"] if item["id"] == made["id"])
        assert used["used_at"] is not None
        assert harness.request("POST", "/tokens", {"name": "tocsin", "scopes": ["admin"]}).status_code == 422
        assert TTL_S <= 5, "a revoked token is rejected within seconds"


class TestIngestion:
    def test_an_invalid_article_is_rejected_and_the_others_are_accepted(self, harness: ApiHarness):
        articles = [
            {"source": "wire", "title": "某公司债券违约", "url": "https://example.org/1", "published_at": "2026-11-20T20:00:00+08:00"},
            {"source": "wire", "title": 7},
            {"title": "no source"},
            "nonsense",
            {"source": "wire", "title": "x", "published_at": "2026-11-20T20:00:00"},
            {"source": "wire", "text": "Acme beats", "genre": "social", "companies": ["00700.HK"]},
        ]
        answer = harness.request("POST", "/articles", {"articles": articles})
        assert answer.status_code == 202
        assert (answer.json["accepted"], answer.json["rejected"]) == (2, 4)
        assert [result["accepted"] for result in answer.json["results"]] == [True, False, False, False, False, True]
        assert [result["index"] for result in answer.json["results"]] == list(range(6))
        for number, word in ((1, "title"), (2, "source"), (4, "timezone")):
            assert word in answer.json["results"][number]["reason"]
        assert [article.title for article in harness.pushed] == ["某公司债券违约", ""]
        assert harness.push_tokens == ["研究组 ingest"], "which token may revise them"

    def test_a_body_of_articles_may_be_larger_than_other_bodies(self, harness: ApiHarness):
        article = {"source": "wire", "title": "大", "text": "x" * 390_000}
        body = {"articles": [article] * 12}
        assert MAX_BODY_BYTES < len(json.dumps(body)) < MAX_ARTICLES_BODY_BYTES
        assert harness.post("/articles", body)["accepted"] == 12
        assert harness.request("POST", "/articles", {"articles": [{"source": "a", "title": "b"}] * 501}).status_code == 422

    def test_texts_are_classified(self, harness: ApiHarness):
        answer = harness.post("/classify", VALID_BODIES["/classify"])
        assert (answer["model"], len(answer["items"])) == ("m", 2)
        assert harness.request("POST", "/classify", {"texts": []}).status_code == 422
        assert harness.request("POST", "/classify", {"texts": ["x"] * 65}).status_code == 422

    def test_a_missing_backend_names_the_setting_that_enables_it(self, store: Store):
        harness = ApiHarness(store, classify=None, push=None, rules=None, watchlists=None)
        assert "api_classify" in harness.request("POST", "/classify", VALID_BODIES["/classify"]).json["detail"]
        assert "`broker`" in harness.request("POST", "/articles", VALID_BODIES["/articles"]).json["detail"]
        assert harness.request("GET", "/rules").status_code == harness.request("GET", "/watchlists").status_code == 503

    def test_an_unavailable_backend_is_a_503_with_retry_after(self, store: Store):
        def failing(error: Exception) -> Any:
            def call(*_: Any) -> Any:
                raise error

            return call

        harness = ApiHarness(
            store, classify=failing(ModelError("damaged")), push=failing(BrokerError("away")), rules=failing(StoreUnavailable("away"))
        )
        assert "damaged" in harness.request("POST", "/classify", VALID_BODIES["/classify"]).json["detail"]
        for method, path in (("POST", "/articles"), ("GET", "/rules")):
            answer = harness.request(method, path, VALID_BODIES["/articles"] if method == "POST" else None)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")

    def test_an_internal_error_does_not_expose_details(self, store: Store):
        def broken() -> Any:
            raise KeyError("secret")

        harness = ApiHarness(store, rules=broken)
        answer = harness.client.get(ROOT + "/rules", headers={"Authorization": f"Bearer {harness.secrets['read']}"})
        assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
        assert "secret" not in answer.text


def test_requests_over_the_rate_limit_get_429_with_retry_after(store: Store):
    harness = ApiHarness(store, per_minute=3)
    codes = [harness.request("GET", "/rules").status_code for _ in range(3)]
    refused = harness.request("GET", "/rules")
    assert (codes, refused.status_code) == ([200] * 3, 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert refused.headers["RateLimit-Policy"] == '"token";q=3;w=60'
    assert refused.headers["RateLimit"].startswith('"token";r=0;t=')
    assert harness.request("GET", "/tokens").status_code == 200, "each token has its own bucket"
    assert harness.request("GET", "/rules", secret="tocsin_x").status_code == 401


def test_an_alert_has_the_same_fields_in_the_api_and_in_kafka(harness: ApiHarness):
    one = alert()
    harness.store.alerts.insert([one])
    (item,) = harness.get("/alerts")["items"]
    lifecycle = item.pop("lifecycle")
    assert msgspec.convert(item, Alert) == one
    assert lifecycle["alert_id"] == one.id
    assert MARKET == "market:all"
