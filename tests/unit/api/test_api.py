"""The API over a real store: each endpoint, good and bad, and who gets in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from api.authentication import TTL_S
from api.endpoints import LARGE, ROOT, SMALL
from core.errors import BrokerError, ModelError, StoreUnavailable
from core.records import Alert, sha
from core.series import MARKET
from storage.store import Delivery, Store, Withheld
from tests.api_desk import GOOD, Desk, fields, real_store
from tests.contract.test_alert_life_store import alert
from tests.contract.test_store import NOON, save, scored

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with real_store(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture
def desk(store: Store) -> Iterator[Desk]:
    made = Desk(store)
    yield made
    made.close()


class TestReads:
    def test_articles_and_one_of_them(self, desk: Desk):
        long = scored("long", minutes=2, title="涨停", text="长" * 2_000, negative=0.7)
        save(desk.store, scored("a"), long, scored("b", minutes=1, source="另一家"))
        page = desk.get("/articles")
        assert [item["id"] for item in page["items"]] == [sha(name) for name in ("long", "b", "a")]
        assert page["next"] == ""
        first = page["items"][0]
        assert (first["cut"], first["text"], first["published_at"]) == (True, "长" * 300, "2026-11-20T12:02:00Z")
        assert first["sentiment"] == {"negative": 0.7, "neutral": 0.15, "positive": 0.15}
        assert first["companies"][0]["company"] == "ACME"
        assert first["topics"] == {"earnings": 0.9}
        assert desk.get("/articles", text="full")["items"][0]["text"] == desk.get(f"/articles/{sha('long')}")["text"] == "长" * 2_000
        assert [item["id"] for item in desk.get("/articles", source="另一家")["items"]] == [sha("b")]
        assert [item["id"] for item in desk.get("/articles", since=NOON + MINUTE, until=NOON + 2 * MINUTE)["items"]] == [sha("b")]
        assert desk.get("/articles", series="company:ACME", language="en")["items"] == page["items"]
        assert desk.get("/articles", series="company:NOBODY") == {"items": [], "next": ""}

    def test_a_link_that_is_none_is_not_handed_on(self, desk: Desk):
        odd = scored("a")
        save(desk.store, msgspec.structs.replace(odd, article=msgspec.structs.replace(odd.article, url="javascript:alert(1)")))
        assert desk.get("/articles")["items"][0]["url"] == ""

    def test_pages_follow_each_other_while_news_comes(self, desk: Desk):
        save(desk.store, *(scored(str(number), minutes=-number // 2) for number in range(11)))
        found: list[str] = []
        cursor = ""
        while True:
            page = desk.get("/articles", limit=3, cursor=cursor)
            found += [item["id"] for item in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
            save(desk.store, scored(f"new {cursor}", minutes=5), scored(str(len(found)), minutes=-len(found) // 2, model="m2"))
        assert len(found) == len(set(found))
        assert set(found) == {sha(str(number)) for number in range(11)}

    def test_a_cursor_belongs_to_its_question(self, desk: Desk):
        save(desk.store, *(scored(str(number), minutes=-number) for number in range(4)))
        cursor = desk.get("/articles", limit=2)["next"]
        assert len(desk.get("/articles", limit=3, cursor=cursor, text="full")["items"]) == 2
        for other in ({"language": "en"}, {"series": "topic:earnings"}, {"since": NOON - MINUTE}, {"as_of": datetime.now(UTC)}):
            answer = desk.ask("GET", "/articles", limit=2, cursor=cursor, **other)
            assert (answer.status_code, fields(answer)) == (422, ["cursor"]), other
        assert desk.ask("GET", "/alerts", limit=2, cursor=cursor).status_code == 422

    def test_as_of_is_what_was_known_then(self, desk: Desk):
        save(desk.store, scored("a", negative=0.9, model="m1"))
        then = datetime.now(UTC)
        save(desk.store, scored("a", negative=0.2, model="m2"), scored("b", minutes=1))
        assert [item["model"] for item in desk.get("/articles", as_of=then)["items"]] == ["m1"]
        assert desk.get(f"/articles/{sha('a')}", as_of=then)["sentiment"]["negative"] == 0.9
        assert desk.get(f"/articles/{sha('a')}")["sentiment"]["negative"] == 0.2
        assert desk.ask("GET", f"/articles/{sha('b')}", as_of=then).status_code == 404
        span = {"since": NOON - 60 * MINUTE, "until": NOON + 60 * MINUTE}
        mood = desk.get("/series/market:all", as_of=then, **span)
        assert [(point["stories"], point["negative"]) for point in mood["points"]] == [(1, 1)]
        assert [(point["stories"], point["negative"]) for point in desk.get("/series/market:all", **span)["points"]] == [(2, 0)]
        (market,) = desk.get("/series", kind="market", as_of=then, **span)["items"]
        assert (market["stories"], market["negative"], market["name_zh"]) == (1, 1, "全市场")

    def test_a_plus_that_was_not_escaped_is_still_a_zone(self, desk: Desk):
        save(desk.store, scored("a"))
        headers = {"Authorization": f"Bearer {desk.secrets['read']}"}
        answer = desk.client.get(f"{ROOT}/articles?since=2026-11-20T20:00:00+08:00", headers=headers)
        assert [item["id"] for item in answer.json["items"]] == [sha("a")]

    def test_series_in_pages_and_over_time(self, desk: Desk):
        save(desk.store, scored("a", negative=0.9), scored("b", minutes=70))
        span = {"since": NOON - 60 * MINUTE, "until": NOON + 120 * MINUTE}
        everything = desk.get("/series", **span)["items"]
        names: list[str] = []
        cursor = ""
        while not names or cursor:
            page = desk.get("/series", limit=2, cursor=cursor, **span)
            names += [item["series"] for item in page["items"]]
            cursor = page["next"]
        assert names == sorted(names) == [item["series"] for item in everything]
        assert {"market:all", "topic:earnings", "company:ACME"} <= set(names)
        mood = desk.get("/series/company:ACME", step_s=3600, **span)
        assert [(point["start"], point["stories"]) for point in mood["points"]] == [
            ("2026-11-20T12:00:00Z", 1),
            ("2026-11-20T13:00:00Z", 1),
        ]
        assert desk.get("/series/company:A/B", **span)["points"] == []
        too_fine = desk.ask("GET", "/series/market:all", step_s=60, since=NOON - timedelta(days=9), until=NOON)
        assert (too_fine.status_code, fields(too_fine)) == (422, ["step_s"])
        assert fields(desk.ask("GET", "/series", since=NOON, until=NOON)) == ["since"]

    def test_the_default_stretch_is_the_last_day(self, desk: Desk):
        desk.now = NOON + timedelta(hours=23)
        save(desk.store, scored("a"), scored("b", minutes=-120))
        page = desk.get("/series", kind="market")
        assert (page["since"], page["until"], page["items"][0]["stories"]) == ("2026-11-20T11:00:00Z", "2026-11-21T11:00:00Z", 1)

    def test_alerts_with_their_lives_as_known_then(self, desk: Desk):
        found = [alert(f"company:{name}", at=NOON - number * MINUTE) for number, name in enumerate("ABC")]
        desk.store.alerts.insert(found)
        first = desk.get("/alerts", limit=2)
        rest = desk.get("/alerts", limit=2, cursor=first["next"])
        assert [item["id"] for item in (*first["items"], *rest["items"])] == [each.id for each in found]
        assert rest["next"] == ""
        assert desk.get("/alerts", series="company:B")["items"][0]["life"]["state"] == "firing"
        desk.now = NOON + 9 * MINUTE
        desk.post(f"/alerts/{found[1].id}/events", {"kind": "acknowledged"})
        assert [item["id"] for item in desk.get("/alerts", state="acknowledged")["items"]] == [found[1].id]
        assert desk.get("/alerts", state="acknowledged", as_of=NOON + 8 * MINUTE)["items"] == []
        assert len(desk.get("/alerts", as_of=NOON + 0.5 * MINUTE)["items"]) == 2
        assert desk.ask("GET", f"/alerts/{found[0].id}", as_of=NOON).status_code == 404

    def test_the_whole_story_of_an_alert(self, desk: Desk):
        one = alert(at=NOON)
        desk.store.alerts.insert([one])
        desk.store.alerts.log([Delivery(alert_id=one.id, endpoint="风控", attempt=1, sent_at=NOON + 3 * MINUTE, status=200)])
        why = Withheld(alert_id=one.id, endpoint="desk", cause="quiet hours", owner="q", at=NOON + 2 * MINUTE, until=None, text="夜里")
        desk.store.lives.withhold([why])
        desk.now = NOON + 5 * MINUTE
        desk.post(f"/alerts/{one.id}/events", {"kind": "note", "text": "发行人已回应"})
        story = desk.get(f"/alerts/{one.id}")
        assert [event["text"] for event in story["events"]] == ["发行人已回应"]
        assert (story["deliveries"][0]["endpoint"], story["withheld"][0]["text"]) == ("风控", "夜里")
        before = desk.get(f"/alerts/{one.id}", as_of=NOON + 2 * MINUTE)
        assert (len(before["events"]), len(before["deliveries"]), len(before["withheld"])) == (0, 0, 1)

    def test_rules_and_watchlists(self, desk: Desk):
        assert desk.get("/rules")["items"][0]["name"] == "negative-spike"
        assert desk.get("/watchlists")["items"][0]["title_zh"] == "关注"


class TestActions:
    def test_what_is_done_to_an_alert_is_signed_by_the_token(self, desk: Desk):
        one = alert()
        desk.store.alerts.insert([one])
        desk.now = NOON + 5 * MINUTE
        done = desk.post(f"/alerts/{one.id}/events", {"kind": "acknowledged", "text": "calling the issuer"})
        assert done["life"]["acknowledged"] == {"who": "研究组 alerts", "at": "2026-11-20T12:05:00Z"}
        noted = desk.store.audit.latest(1, about=one.id, since=desk.now)[0]
        assert (noted.who, noted.what, noted.after, noted.address) == ("研究组 alerts", "alert acknowledged", "calling the issuer", "api")
        assert done["life"]["state"] == "acknowledged"
        assert desk.post(f"/alerts/{one.id}/events", {"kind": "assigned", "text": "王芳"})["life"]["assignee"] == "王芳"
        assert desk.post(f"/alerts/{one.id}/events", {"kind": "resolved"})["life"]["state"] == "resolved"
        empty = desk.ask("POST", f"/alerts/{one.id}/events", {"kind": "note", "text": " "})
        assert (empty.status_code, empty.json["detail"]) == (422, "a note needs words")
        assert fields(desk.ask("POST", f"/alerts/{one.id}/events", {"kind": "shouted"})) == ["kind"]
        assert desk.ask("POST", f"/alerts/{'e' * 32}/events", {"kind": "resolved"}).status_code == 404

    def test_silences_begin_and_end(self, desk: Desk):
        desk.store.alerts.insert([alert()])
        desk.now = NOON + 5 * MINUTE
        made = desk.post("/silences", {"series": ["topic:*"], "ends_at": "2026-11-20T22:00:00+08:00", "comment": "年报窗口期"})
        assert (made["status"], made["author"], made["ends_at"]) == ("active", "研究组 alerts", "2026-11-20T14:00:00Z")
        assert desk.get("/alerts")["items"][0]["life"]["silenced"][0]["id"] == made["id"]
        desk.now = NOON + 9 * MINUTE
        ended = desk.ask("DELETE", f"/silences/{made['id']}").json
        assert (ended["status"], ended["ended_by"]) == ("ended", "研究组 alerts")
        assert desk.ask("DELETE", f"/silences/{made['id']}").json == ended
        assert desk.get("/silences")["items"] == []
        assert desk.get("/silences", ended=True)["items"] == [ended]
        (then,) = desk.get("/silences", as_of=NOON + 6 * MINUTE)["items"]
        assert (then["status"], then["ended_at"], then["ended_by"]) == ("active", None, "")
        assert desk.get("/silences", as_of=NOON)["items"] == []

    def test_silences_in_pages(self, desk: Desk):
        for number in range(5):
            desk.now = NOON + number // 2 * MINUTE
            desk.post("/silences", {"series": [f"topic:{number}"], "ends_at": "2026-11-21T00:00:00Z", "comment": "x"})
        found: list[str] = []
        cursor = ""
        while not found or cursor:
            page = desk.get("/silences", limit=2, cursor=cursor)
            found += [item["series"][0] for item in page["items"]]
            cursor = page["next"]
        assert sorted(found) == [f"topic:{number}" for number in range(5)]
        assert found[0] == "topic:4"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"series": ["topic"]}, "is no pattern of series"),
            ({"comment": " "}, "needs a comment"),
            ({"ends_at": "2026-11-20T11:00:00Z"}, "must end after it starts"),
            ({"least": "critical", "most": "info"}, "is about nothing"),
        ],
    )
    def test_a_silence_that_makes_no_sense_is_refused(self, desk: Desk, change: dict[str, Any], why: str):
        desk.now = NOON
        answer = desk.ask("POST", "/silences", {**GOOD["/silences"], **change})
        assert answer.status_code == 422
        assert why in answer.json["detail"]

    def test_feedback_is_kept_whole_or_not_at_all(self, desk: Desk):
        save(desk.store, scored("a", model="m7"), scored("b"))
        desk.now = NOON
        good = {"id": sha("a"), "task": "sentiment", "labels": ["negative"], "company": "ACME"}
        for bad, field in (
            ({"id": sha("a"), "task": "sentiment", "labels": ["bad"]}, "labels[1]"),
            ({"id": sha("nobody"), "task": "topic", "labels": ["other"]}, "labels[1].id"),
            ({"id": sha("b"), "task": "mood", "labels": ["bad"]}, "labels[1].task"),
        ):
            answer = desk.ask("POST", "/feedback", {"labels": [good, bad]})
            assert answer.status_code == 422
            assert fields(answer)[0].startswith(field), answer.text
        assert desk.get("/feedback")["items"] == []
        assert desk.post("/feedback", {"labels": [good, {"id": sha("b"), "task": "topic", "labels": ["credit", "energy"]}]}) == {"kept": 2}
        first = desk.get("/feedback", limit=1)
        (second,) = desk.get("/feedback", limit=1, cursor=first["next"])["items"]
        both = {item["id"]: item for item in (*first["items"], second)}
        assert (both[sha("a")]["author"], both[sha("a")]["model"]) == ("研究组 feedback", "m7")
        assert desk.get("/feedback", as_of=NOON - MINUTE)["items"] == []

    def test_tokens_are_made_shown_and_revoked(self, desk: Desk):
        made = desk.post("/tokens", {"name": "夜班", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"})
        assert made["token"].startswith("tocsin_")
        listed = {item["id"]: item for item in desk.get("/tokens")["items"]}
        assert listed[made["id"]] == {name: value for name, value in made.items() if name != "token"}
        desk.look_again()
        assert desk.ask("GET", "/articles", secret=made["token"]).status_code == 200
        assert desk.ask("DELETE", f"/tokens/{made['id']}").json["revoked_by"] == "研究组 admin"
        desk.look_again()
        assert desk.ask("GET", "/articles", secret=made["token"]).status_code == 401
        used = next(item for item in desk.get("/tokens")["items"] if item["id"] == made["id"])
        assert used["used_at"] is not None
        assert desk.ask("POST", "/tokens", {"name": "tocsin", "scopes": ["read"]}).status_code == 422
        assert TTL_S <= 5, "a token that was revoked opens nothing within seconds"


class TestFeeding:
    def test_one_bad_article_does_not_lose_the_rest(self, desk: Desk):
        articles = [
            {"source": "wire", "title": "某公司债券违约", "url": "https://example.org/1", "published_at": "2026-11-20T20:00:00+08:00"},
            {"source": "wire", "title": 7},
            {"title": "no source"},
            "nonsense",
            {"source": "wire", "title": "x", "published_at": "2026-11-20T20:00:00"},
            {"source": "wire", "text": "Acme beats", "genre": "social", "companies": ["00700.HK"]},
        ]
        answer = desk.ask("POST", "/articles", {"articles": articles})
        assert answer.status_code == 202
        assert (answer.json["accepted"], answer.json["rejected"]) == (2, 4)
        assert [result["accepted"] for result in answer.json["results"]] == [True, False, False, False, False, True]
        assert [result["index"] for result in answer.json["results"]] == list(range(6))
        for number, word in ((1, "title"), (2, "source"), (4, "timezone")):
            assert word in answer.json["results"][number]["reason"]
        assert [article.title for article in desk.pushed] == ["某公司债券违约", ""]

    def test_a_body_of_articles_may_be_larger_than_others(self, desk: Desk):
        article = {"source": "wire", "title": "大", "text": "x" * 390_000}
        body = {"articles": [article] * 12}
        assert SMALL < len(json.dumps(body)) < LARGE
        assert desk.post("/articles", body)["accepted"] == 12
        assert desk.ask("POST", "/articles", {"articles": [{"source": "a", "title": "b"}] * 501}).status_code == 422

    def test_texts_are_classified(self, desk: Desk):
        answer = desk.post("/classify", GOOD["/classify"])
        assert (answer["model"], len(answer["items"])) == ("m", 2)
        assert desk.ask("POST", "/classify", {"texts": []}).status_code == 422
        assert desk.ask("POST", "/classify", {"texts": ["x"] * 65}).status_code == 422

    def test_what_is_not_here_says_how_it_is_switched_on(self, store: Store):
        desk = Desk(store, classify=None, push=None, rules=None, watchlists=None)
        assert "api_classify" in desk.ask("POST", "/classify", GOOD["/classify"]).json["detail"]
        assert "`broker`" in desk.ask("POST", "/articles", GOOD["/articles"]).json["detail"]
        assert desk.ask("GET", "/rules").status_code == desk.ask("GET", "/watchlists").status_code == 503

    def test_what_is_away_is_a_503_that_says_when_to_come_again(self, store: Store):
        def down(error: Exception) -> Any:
            def call(*_: Any) -> Any:
                raise error

            return call

        desk = Desk(store, classify=down(ModelError("damaged")), push=down(BrokerError("away")), rules=down(StoreUnavailable("away")))
        assert "damaged" in desk.ask("POST", "/classify", GOOD["/classify"]).json["detail"]
        for method, path in (("POST", "/articles"), ("GET", "/rules")):
            answer = desk.ask(method, path, GOOD["/articles"] if method == "POST" else None)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")

    def test_a_mistake_of_ours_is_a_problem_without_details(self, store: Store):
        def broken() -> Any:
            raise KeyError("secret")

        desk = Desk(store, rules=broken)
        answer = desk.client.get(ROOT + "/rules", headers={"Authorization": f"Bearer {desk.secrets['read']}"})
        assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
        assert "secret" not in answer.text


def test_too_many_requests_are_told_when_to_come_again(store: Store):
    desk = Desk(store, per_minute=3)
    codes = [desk.ask("GET", "/rules").status_code for _ in range(3)]
    refused = desk.ask("GET", "/rules")
    assert (codes, refused.status_code) == ([200] * 3, 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert refused.headers["RateLimit-Policy"] == '"token";q=3;w=60'
    assert refused.headers["RateLimit"].startswith('"token";r=0;t=')
    assert desk.ask("GET", "/tokens").status_code == 200, "another token has a bucket of its own"
    assert desk.ask("GET", "/rules", secret="tocsin_x").status_code == 401


def test_the_alert_of_the_api_is_the_alert_of_the_wire(desk: Desk):
    one = alert()
    desk.store.alerts.insert([one])
    (item,) = desk.get("/alerts")["items"]
    life = item.pop("life")
    assert msgspec.convert(item, Alert) == one
    assert life["alert_id"] == one.id
    assert MARKET == "market:all"
