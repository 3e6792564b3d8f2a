"""Records, series, settings, errors and log masking."""

from __future__ import annotations

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import (
    BadRecord,
    BrokerError,
    Conflict,
    InvalidInput,
    LocalStoreError,
    NotFound,
    SettingsError,
    SourceError,
    StoreError,
    StoreUnavailable,
)
from core.log import mask
from core.records import NEWEST, OLDEST, Article, CompanyScore, Score, WatchlistScore, alert_id, article_id, clamp_published, decode, encode
from core.series import ALERTING, facts, is_negative, kind_of, register_watchlist_names, series_name
from core.settings import build
from core.taxonomy import TOPICS
from dashboard.translations import LABELS
from domain.tokens import new_token
from storage.timestamps import new_version

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def article(**changes: object) -> Article:
    fields = {"id": "0" * 32, "source": "wire", "language": "zh", "title": "央行降准", "published_at": NOW, "fetched_at": NOW}
    return Article(**{**fields, **changes})  # type: ignore[arg-type]


class TestEncoding:
    @given(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=500),
    )
    def test_decoding_reverses_encoding(self, title: str, text: str):
        sent = article(title=title, text=text, lsh_bands=(0, 2**63 - 1))
        assert decode(encode(sent), Article) == sent

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (None, "tombstone"),
            (b"", "tombstone"),
            (b"not json", "malformed"),
            (b"[]", "object"),
            (b"null", "object"),
            (b'{"v":1}', "id"),
            (b"\xff\xfe", "Article"),
            (b"[" * 100_000, "Article"),
            (encode(article()).replace(b'"zh"', b'"fr"'), "language"),
            (encode(article()).replace(b"{", b'{"v":2,', 1), "v"),
            (encode(article()).replace(b"2026-11-22", b"0026-11-22"), "outside"),
            (encode(article()).replace(b"03:00:00Z", b"03:00:00"), "timezone"),
            (encode(article()).replace("央行降准".encode(), b""), "title or a text"),
        ],
    )
    def test_a_malformed_message_is_rejected_with_the_reason(self, data: bytes | None, message: str):
        with pytest.raises(BadRecord, match=message):
            decode(data, Article)

    def test_unknown_fields_are_ignored(self):
        assert decode(encode(article()).replace(b"{", b'{"later":1,', 1), Article) == article()


class TestIdentity:
    def test_the_url_identifies_before_the_guid_and_the_guid_before_the_title(self):
        def ident(**changes: object) -> str:
            return article_id(**{"url": "", "source": "s", "guid": "", "title": "t", "published_at": NOW, **changes})  # type: ignore[arg-type]

        assert ident(url="https://a/x", guid="1", title="a") == ident(url="https://a/x", guid="2", title="b")
        assert ident(url="https://a/x", source="s1") != ident(url="https://a/x", source="s2"), "no source can replace another's article"
        assert ident(url="https://a/x", source="s1", owner="o") == ident(url="https://a/x", source="s2", owner="o")
        assert ident(guid="7", title="a") == ident(guid="7", title="b")
        assert ident(guid="7", source="s1") != ident(guid="7", source="s2")
        assert ident(published_at=NOW) == ident(published_at=NOW.astimezone(timezone(timedelta(hours=8))))
        assert ident(title="a") != ident(title="b")

    def test_the_parts_of_an_identity_are_separated(self):
        assert alert_id("a", "bc", NOW) != alert_id("ab", "c", NOW)

    def test_the_fingerprint_depends_only_on_the_text(self):
        assert article().fingerprint == article(source="other").fingerprint
        assert article().fingerprint != article(title="央行加息").fingerprint
        assert 0 <= article().fingerprint < 2**63

    @pytest.mark.parametrize("moment", [None, OLDEST - timedelta(days=1), NEWEST, NOW + timedelta(hours=1)])
    def test_an_implausible_publication_time_is_replaced_by_the_fetch_time(self, moment: datetime | None):
        assert clamp_published(moment, NOW) == (NOW, True)

    def test_a_plausible_publication_time_is_kept(self):
        assert clamp_published(NOW - timedelta(days=3), NOW) == (NOW - timedelta(days=3), False)


class TestSeries:
    def score(self, *companies: tuple[str, str, float]) -> Score:
        return Score(
            id="x",
            source="s",
            language="zh",
            published_at=NOW,
            story="x",
            p_negative=0.2,
            p_neutral=0.5,
            p_positive=0.3,
            topics={"energy": 0.9},
            companies=tuple(
                CompanyScore(company=key, sector=sector, p_negative=p, p_neutral=1 - p, p_positive=0.0) for key, sector, p in companies
            ),
            model="m",
            scored_at=NOW,
        )

    def test_a_sector_gets_the_sentiment_of_its_most_negative_company(self):
        rows = {series: p for series, p, *_ in facts(self.score(("A", "banks", 0.1), ("B", "banks", 0.9), ("C", "", 0.5)))}
        assert rows == {
            "market:all": 0.2,
            "language:zh": 0.2,
            "genre:news": 0.2,
            "topic:energy": 0.2,
            "company:A": 0.1,
            "company:B": 0.9,
            "company:C": 0.5,
            "sector:banks": 0.9,
        }

    def test_a_score_of_an_older_version_is_news_and_matches_no_watchlist(self):
        old = json.loads((Path(__file__).parents[2] / "corpus" / "wire" / "score.json").read_bytes())
        assert not {"genre", "watchlists"} & set(old)
        score = decode(json.dumps(old).encode(), Score)
        assert (score.genre, score.watchlists) == ("news", ())
        post = decode(encode(msgspec.structs.replace(score, genre="social")), Score)
        assert {"language:zh", "genre:social"} <= {series for series, *_ in facts(post)}

    def test_a_watchlist_gets_the_sentiment_that_was_matched(self):
        watched = WatchlistScore(name="property", p_negative=0.7, p_neutral=0.2, p_positive=0.1)
        score = decode(encode(msgspec.structs.replace(self.score(), watchlists=(watched,))), Score)
        assert ("watchlist:property", 0.7, 0.2, 0.1) in list(facts(score))

    def test_every_kind_of_series_has_a_name_in_both_languages(self):
        watched = WatchlistScore(name="property", p_negative=0.7, p_neutral=0.2, p_positive=0.1)
        score = msgspec.structs.replace(self.score(("A", "banks", 0.1)), watchlists=(watched,))
        assert {kind_of(series) for series, *_ in facts(score)} == set(ALERTING)
        for kind in ALERTING:
            assert f"kind.{kind}" in LABELS
        for series in ("language:zh", "language:en", "genre:news", "genre:social", "genre:filing"):
            english, chinese = series_name(series), series_name(series, "zh")
            assert english.isascii() and ":" not in english and not chinese.isascii()

    def test_a_watchlist_has_its_registered_name(self):
        assert series_name("watchlist:property", "zh") == "property"
        register_watchlist_names({"property": ("Developers' debt", "房企债务")})
        try:
            assert series_name("watchlist:property") == "Developers' debt"
            assert series_name("watchlist:property", "zh") == "房企债务"
            assert series_name("company:property") == "property"
        finally:
            register_watchlist_names({})

    def test_negative_means_at_least_as_likely_as_the_rest(self):
        assert is_negative(0.5, 0.3, 0.2)
        assert not is_negative(0.4, 0.4, 0.2)

    def test_topics_have_names_in_both_languages(self):
        assert series_name("topic:energy", "zh") == "能源"
        assert series_name("market:all") == "Whole market"
        assert series_name("company:600519.SH") == "600519.SH"
        assert len({topic.key for topic in TOPICS}) == len(TOPICS) == 21


class TestSettings:
    def test_the_environment_overrides_the_file_and_the_file_the_default(self):
        settings = build({"batch_max": 10, "partitions": 3}, {"TOCSIN_BATCH_MAX": "20", "UNRELATED": "x"})
        assert (settings.batch_max, settings.partitions, settings.replication) == (20, 3, 1)

    @pytest.mark.parametrize(
        ("file", "environment", "message"),
        [
            ({"batch_maxx": 1}, {}, "no setting 'batch_maxx'"),
            ({"batch_max": "many"}, {}, "batch_max"),
            ({"batch_max": 0}, {}, "batch_max.*>= 1"),
            ({}, {"TOCSIN_BATCH_MAX": "x"}, "TOCSIN_BATCH_MAX"),
            ({"webhooks": [{"url": "ftp://x"}]}, {}, "webhooks"),
            ({"webhooks": [{"address": "https://x"}]}, {}, "webhooks"),
            ({"dead_share": 0.5}, {}, "'dead_share' is now called 'dead_letter_max_ratio'"),
            ({}, {"TOCSIN_ALERT_LATENESS_S": "60"}, "TOCSIN_ALERT_LATENESS_S is now called TOCSIN_ALERT_MAX_AGE_S"),
            ({"webhooks": [{"url": "https://x", "tell_resolved": True}]}, {}, "'tell_resolved' is now called 'send_resolved'"),
            ({"webhooks": [{"url": "https://x", "min_severity": "flash"}]}, {}, "severity 'flash' is now called 'critical'"),
            ({"quiet_hours_except": "urgent"}, {}, "severity 'urgent' is now called 'warning'"),
        ],
    )
    def test_an_invalid_setting_is_named(self, file: dict[str, object], environment: dict[str, str], message: str):
        with pytest.raises(SettingsError, match=message):
            build(file, environment)

    def test_webhooks_are_read_from_the_file(self):
        assert build({"webhooks": [{"url": "https://x/y", "secret": "whsec_AAAA"}]}, {}).webhooks[0].url == "https://x/y"

    def test_settings_survive_encoding(self):
        settings = build({"webhooks": [{"url": "https://x/y"}]}, {})
        assert msgspec.json.decode(msgspec.json.encode(settings), type=type(settings)) == settings


def test_every_error_has_the_exit_code_and_http_status_of_its_kind():
    kinds = (SettingsError, InvalidInput, NotFound, Conflict, StoreError, StoreUnavailable, BrokerError, LocalStoreError, SourceError)
    found = {kind.__name__: (kind.exit_code, kind.http_status) for kind in kinds}
    assert found == {
        "SettingsError": (2, 422),
        "InvalidInput": (2, 422),
        "NotFound": (2, 404),
        "Conflict": (2, 409),
        "StoreError": (1, 503),
        "StoreUnavailable": (75, 503),
        "BrokerError": (75, 503),
        "LocalStoreError": (1, 503),
        "SourceError": (1, 500),
    }


def test_secrets_are_masked():
    assert mask("clickhouse://me:pa55@h:9000/d and whsec_MfKQ9r8GKYqrTwjU") == "clickhouse://me:***@h:9000/d and whsec_***"
    secret, _ = new_token("a", ["read"], author="b", now=datetime(2026, 1, 1, tzinfo=UTC))
    assert mask(f"Bearer {secret}, tocsin_api_requests") == "Bearer tocsin_***, tocsin_api_requests"


def test_versions_are_unique_across_threads_and_never_decrease(monkeypatch: pytest.MonkeyPatch):
    """With a clock that stops and goes back."""
    moments = itertools.cycle([5_000, 5_000, 2_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(lambda _: [new_version() for _ in range(500)], range(8)))
    assert all(run == sorted(run) for run in runs)
    assert len({version for run in runs for version in run}) == 4_000
