"""As-of queries, pages and API tokens, over both ClickHouse clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from actions.alert_lifecycles import read_lifecycles
from core.errors import InvalidInput
from core.records import sha
from core.series import MARKET
from domain.alert_lifecycle import event, inhibitions, silence
from domain.tokens import digest_of, find, new_token
from storage.store import ArticlePosition, Label, Store
from tests.helpers.stores import ARTICLE_TABLES, MINUTE, NOON, ODD_TEXTS, alert, save, scored

SINCE, UNTIL = NOON - timedelta(days=2), NOON + timedelta(hours=2)


@pytest.fixture(autouse=True)
def empty(store: Store) -> None:
    more = (
        "dirty_hours",
        "alert_events",
        "alert_last_breach",
        "silences",
        "silence_ends",
        "api_tokens",
        "api_token_ends",
        "api_token_uses",
    )
    for table in (*ARTICLE_TABLES, *more):
        store.client.command(f"TRUNCATE TABLE {table}")


def pages(store: Store, size: int, **which: object) -> list[list[ArticlePosition]]:
    found: list[list[ArticlePosition]] = []
    while not found or len(found[-1]) == size:
        found.append(store.as_of.places(size, after=found[-1][-1] if found else None, **which))  # type: ignore[arg-type]
    return found


def test_pages_have_each_article_once_newest_first(store: Store):
    names = [f"{number}{word}" for number, word in enumerate(ODD_TEXTS)]
    save(store, *(scored(name, minutes=-(number // 3) * 500) for number, name in enumerate(names)))
    found = [place for page in pages(store, 5) for place in page]
    assert sorted(found, key=lambda place: (-place.at, place.id)) == found
    assert sorted(place.id for place in found) == sorted(map(sha, names))
    within = store.as_of.places(99, since=NOON - timedelta(minutes=1000), until=NOON)
    assert {place.id for place in within} == {sha(name) for name in names[3:9]}


def test_articles_stored_between_pages_do_not_change_later_pages(store: Store):
    save(store, *(scored(str(number), minutes=-number) for number in range(6)))
    first = store.as_of.places(3)
    save(store, scored("newer", minutes=9), scored("older", minutes=-20), *(scored(str(number), minutes=-number) for number in range(6)))
    rest = store.as_of.places(9, after=first[-1])
    assert [place.id for place in (*first, *rest)] == [sha(name) for name in ("0", "1", "2", "3", "4", "5", "older")]


def test_pages_of_a_series_a_language_and_a_source(store: Store):
    energy = scored("c", title="涨停")
    save(
        store,
        scored("a"),
        scored("b", source="另一家"),
        msgspec.structs.replace(energy, score=msgspec.structs.replace(energy.score, topics={"energy": 0.9})),
    )
    assert [place.id for place in store.as_of.places(9, series="topic:energy")] == [sha("c")]
    assert [place.id for place in store.as_of.places(9, source="另一家")] == [sha("b")]
    assert store.as_of.places(9, series="topic:nothing") == store.as_of.places(9, language="zh", series=MARKET, source="x") == []


def test_an_article_is_read_as_known_at_a_time(store: Store):
    save(store, scored("a", negative=0.9, model="m1"), scored("c", minutes=5, model="m1"))
    then = datetime.now(UTC)
    save(store, scored("a", negative=0.2, model="m2"), scored("b", model="m2"))
    here = [ArticlePosition(int(NOON.timestamp()), sha(name)) for name in ("b", "a")]
    now = {item.id: (item.model, round(item.p_negative, 3)) for item in store.as_of.articles(here)}
    assert now == {sha("a"): ("m2", 0.2), sha("b"): ("m2", 0.1)}
    (known,) = store.as_of.articles(here, then)
    assert (known.id, known.model, round(known.p_negative, 3)) == (sha("a"), "m1", 0.9)
    assert [place.id for place in store.as_of.places(9, as_of=then)] == [sha("c"), sha("a")]
    assert len(store.as_of.places(9)) == 3
    assert store.as_of.places(9, as_of=NOON - timedelta(days=3000)) == []


def test_sentiment_and_totals_are_read_as_known_at_a_time(store: Store):
    save(store, scored("a", negative=0.9, model="m1"), scored("copy", negative=0.9, story=sha("a"), source="other", model="m1"))
    then = datetime.now(UTC)
    save(store, scored("b", minutes=1, negative=0.8), scored("c", minutes=70, negative=0.1))
    now = store.as_of.sentiment(MARKET, SINCE, UNTIL, 3600)
    assert now == store.mentions.sentiment([MARKET], SINCE, UNTIL, 3600)
    assert [(point.stories, point.negative) for point in now] == [(2, 2), (1, 0)]
    (before,) = store.as_of.sentiment(MARKET, SINCE, UNTIL, 3600, then)
    assert (before.stories, before.negative) == (1, 1)
    totals = store.as_of.totals(SINCE, UNTIL, 99)
    assert {total.series: total for total in totals} == {total.series: total for total in store.mentions.totals(SINCE, UNTIL)}
    assert [total.series for total in totals] == sorted(total.series for total in totals)
    first = store.as_of.totals(SINCE, UNTIL, 2)
    assert first + store.as_of.totals(SINCE, UNTIL, 99, after=first[-1].series) == totals
    market = next(total for total in store.as_of.totals(SINCE, UNTIL, 99, kinds=["market"], as_of=then))
    assert (market.stories, market.negative, market.negative_sources) == (1, 1, 2)


def test_written_articles_come_in_the_order_of_writing(store: Store):
    save(store, scored("a"), scored("b", minutes=-60 * 24 * 5))
    (first,) = store.as_of.written(0, SINCE, 9)
    save(store, scored("c", minutes=-7), scored("d"))
    later = store.as_of.written(first.version, SINCE, 9)
    assert {new.id for new in later} == {sha("c"), sha("d")}
    assert store.as_of.written(first.version, SINCE, 1, after=later[0]) == later[1:]


def test_alerts_in_pages(store: Store):
    alerts = [alert(f"company:{name}", at=NOON - number // 2 * MINUTE) for number, name in enumerate("ABCDE")]
    store.alerts.insert(alerts)
    found: list[str] = []
    after = None
    while page := store.alerts.page(2, after=after):
        found += [each.id for each in page]
        after = (int(page[-1].detected_at.timestamp()), page[-1].id)
    assert found == [each.id for each in sorted(alerts, key=lambda each: (-each.detected_at.timestamp(), each.id))]
    assert [each.series for each in store.alerts.page(9, series="company:B")] == ["company:B"]
    assert len(store.alerts.page(9, since=NOON, until=NOON + MINUTE)) == 2
    written = store.alerts.written(0, SINCE)
    assert len(written) == 5
    assert store.alerts.written(written[-1][0], SINCE) == []


def test_the_lifecycle_of_an_alert_is_read_as_known_at_a_time(store: Store):
    rules = inhibitions("market > *")
    one, market = alert(), msgspec.structs.replace(alert(MARKET), detected_at=NOON + 6 * MINUTE)
    store.alerts.insert([one, market])
    at = one.detected_at
    store.alert_lifecycle.add([event(one.id, "acknowledged", "王芳", at + 2 * MINUTE), event(one.id, "resolved", "Li", at + 9 * MINUTE)])
    muted = silence(series=["topic:*"], author="Li", comment="known", starts_at=at, ends_at=at + 60 * MINUTE, now=at + 3 * MINUTE)
    store.silences.add([muted])
    store.silences.end([muted.id], at + 8 * MINUTE, "Li")
    store.alert_lifecycle.record_breach([one.id], at + 7 * MINUTE)
    states = []
    for minute in (1, 2, 4, 7, 8, 9):
        moment = at + minute * MINUTE
        lifecycle = read_lifecycles(store, [one], moment, rules, as_of=moment)[one.id]
        states.append((lifecycle.state, len(lifecycle.silenced), lifecycle.inhibited is not None, lifecycle.last_breach_at > at))
    assert states == [
        ("firing", 0, False, False),
        ("acknowledged", 0, False, False),
        ("acknowledged", 1, False, False),
        ("acknowledged", 1, True, True),
        ("acknowledged", 0, True, True),
        ("resolved", 0, False, True),
    ]
    (then,) = read_lifecycles(store, [one], at + 4 * MINUTE, rules, as_of=at + 4 * MINUTE)[one.id].silenced
    assert (then.ended_at, then.ended_by) == (None, ""), "nobody knew yet that it would be ended"


def test_labels_in_pages(store: Store):
    save(store, scored("a"), scored("b"))
    labels = [
        Label(id=sha(name), task="sentiment", labels=("negative",), company=company, author="Li", labelled_at=NOON + minute * MINUTE)
        for minute, name, company in ((0, "a", ""), (1, "a", "ACME"), (1, "a", "ZETA"), (1, "b", ""), (2, "b", "ACME"))
    ]
    store.labels.add(labels)
    found: list[Label] = []
    after = None
    while page := store.labels.page(2, after=after):
        found += page
        after = (int(page[-1].labelled_at.timestamp()), page[-1].id, page[-1].task, page[-1].company)
    assert sorted(found, key=str) == sorted(labels, key=str)
    assert [label.labelled_at for label in found] == sorted((label.labelled_at for label in labels), reverse=True)
    assert len(store.labels.page(9, until=NOON + MINUTE)) == 1


class TestTokens:
    def test_tokens_are_read_with_use_and_revocation(self, store: Store):
        made = {
            name: new_token(name, ["read"], author="王芳", now=NOON + n * MINUTE) for n, name in enumerate(("研究组 desk", "it's", "c"))
        }
        store.tokens.add([token for _, token in made.values()])
        ident = made["it's"][1].id
        store.tokens.revoke([ident], NOON + 9 * MINUTE, "Li")
        store.tokens.revoke([ident], NOON + 5 * MINUTE, "Wang")
        for minute in (3, 7, 4):
            store.tokens.used(ident, NOON + minute * MINUTE)
        found = store.tokens.all()
        assert [token.name for token in found] == ["c", "it's", "研究组 desk"]
        assert found[2] == made["研究组 desk"][1]
        assert (found[1].revoked_at, found[1].revoked_by, found[1].used_at) == (NOON + 5 * MINUTE, "Wang", NOON + 7 * MINUTE)
        secrets = {name: secret for name, (secret, _) in made.items()}
        assert find(secrets["c"], found, NOON) == found[0]
        assert find(secrets["it's"], found, NOON) is None
        stored = str(store.client.query("SELECT * FROM api_tokens"))
        assert not any(secret in stored for secret in secrets.values())
        assert digest_of(secrets["c"]) in stored

    def test_an_expired_token_is_not_valid(self):
        secret, token = new_token("a", ["read", "alerts", "read"], author="Li", now=NOON, expires_at=NOON + MINUTE)
        assert token.scopes == ("read", "alerts")
        assert len(secret) == len("tocsin_") + 43
        assert find(secret, [token], NOON + 0.9 * MINUTE) == token
        assert find(secret, [token], NOON + MINUTE) is None
        assert find(secret + "x", [token], NOON) is find("", [token], NOON) is find("\ud800", [token], NOON) is None

    @pytest.mark.parametrize(
        ("name", "scopes", "expires_at", "why"),
        [
            ("", ["read"], None, "needs a name"),
            ("a\nb", ["read"], None, "printable"),
            ("Tocsin", ["read"], None, "reserved for the program"),
            ("a", [], None, "needs a scope"),
            ("a", ["write"], None, "no scope 'write'"),
            ("a", ["read"], NOON, "in the future"),
        ],
    )
    def test_an_invalid_token_is_rejected(self, name: str, scopes: list[str], expires_at: datetime | None, why: str):
        with pytest.raises(InvalidInput, match=why):
            new_token(name, scopes, author="Li", now=NOON, expires_at=expires_at)
