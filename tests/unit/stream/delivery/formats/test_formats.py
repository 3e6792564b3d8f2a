"""The formats of alert deliveries, pure: nothing is cut, no limit is passed, no character is torn, and text from the web stays text."""

from __future__ import annotations

import email
import email.policy
import html
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SettingsError
from core.records import MAX_NEEDED, Alert, Chart, CompanyCount, Evidence, Language, Why, WordCount, alert_id
from core.settings import Webhook
from stream.delivery.endpoints import endpoints
from stream.delivery.formats import FORMATS
from stream.delivery.formats.alert_text import address, read
from stream.delivery.formats.alertmanager import fingerprint
from stream.delivery.formats.base import Limit, Options
from stream.delivery.formats.generic import bodies_of, schema, trial
from stream.delivery.formats.splitting import Piece, characters, cut, packed
from stream.delivery.rate_limit import Allowance
from stream.delivery.signing import dingtalk_query, feishu_sign, message_id
from tests.chats import within_limits

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SCHEMA = Path(__file__).resolve().parents[5] / "docs" / "webhook.schema.json"
FAMILY = "👨‍👩‍👧"
FLAG = "🇨🇳"
ODD = f"油价暴跌 {FAMILY}{FLAG} Oil <b>*plunges*</b> & [more](http://evil.example) <@all> ![x](http://evil.example/p) e\u0301"


def alert(title: str = ODD, n: int = 2, **more: Any) -> Alert:
    shown = tuple(
        Evidence(id=f"{i}", title=title, url=f"https://example.org/{i}?a=(b)&c=d", source="wire", published_at=NOON, p_negative=0.9)
        for i in range(n)
    )
    given: dict[str, Any] = {
        "rule": "default", "series": "topic:energy", "window_start": NOON, "window_s": 900, "detected_at": NOON + timedelta(minutes=8),
        "severity": "warning", "observed": 12, "expected": 0.3, "surprise": 8.1, "total": 15, "sources": 4, "evidence": shown,
    }  # fmt: skip
    return Alert(id=alert_id("r", "topic:energy", NOON), **(given | more))


def reasons(words: int = 2, **more: Any) -> Why:
    given: dict[str, Any] = {
        "stories": 9, "carried": 3, "needed": ("0", "1", "x"), "read": 9,
        "first_source": "Reuters", "first_at": NOON + timedelta(minutes=3),
        "words": tuple(WordCount(word=word, stories=7) for word in ("default", "债券", "bond", "违约", "coupon", "panic"))[:words],
        "companies": (CompanyCount(company="600519.SH", stories=4), CompanyCount(company="ACME", stories=1)),
        "chart": Chart(start=NOON, step_s=300, negative=(0, 9), expected=(0.25, 0.25)),
    }  # fmt: skip
    return Why(**(given | more))


def options(language: Language = "en", **more: Any) -> Options:
    return Options("desk", language, sender="Tocsin <a@b.example>", recipients=("风控 <c@d.example>",), **more)


# -- splitting ---------------------------------------------------------------------------------------------------------------


def test_a_character_is_what_a_reader_takes_for_one():
    assert list(characters(f"e\u0301{FAMILY}{FLAG}👍🏽好a")) == ["e\u0301", FAMILY, FLAG, "👍🏽", "好", "a"]
    assert "".join(characters(ODD)) == ODD


@given(st.text(alphabet=st.sampled_from(f"ab 好，e\u0301{FAMILY}{FLAG}"), max_size=200), st.integers(1, 40))
def test_what_is_cut_is_whole_when_joined_and_each_part_fits(text: str, room: int):
    parts = cut(text, lambda part: len(part.encode()) <= room)
    assert "".join(parts) == text
    for part in parts:
        assert len(part.encode()) <= room or len(part) == 1
    if room >= 40:
        assert [char for part in parts for char in characters(part)] == list(characters(text))


def test_a_text_is_cut_at_a_blank_where_one_is_near():
    assert cut("one two three four", lambda part: len(part) <= 10) == ["one two ", "three four"]
    assert cut("abcdefghijkl m", lambda part: len(part) <= 10) == ["abcdefghij", "kl m"]


@given(st.lists(st.integers(0, 30), max_size=30))
def test_pieces_keep_their_order_and_go_whole_where_they_can(lengths: list[int]):
    pieces = [Piece(str(n % 10) * length) for n, length in enumerate(lengths)]
    pages = packed(pieces, lambda some: sum(len(piece.text) for piece in some) <= 20)
    assert pages
    assert "".join(piece.text for page in pages for piece in page) == "".join(piece.text for piece in pieces)
    assert all(sum(len(piece.text) for piece in page) <= 20 for page in pages)
    if max(lengths, default=0) <= 20:
        assert [piece for page in pages for piece in page] == pieces


# -- what people read --------------------------------------------------------------------------------------------------------


def test_both_languages_say_the_same():
    english, chinese = (read(alert(), options(language, link_base="https://t.example/")) for language in ("en", "zh"))
    assert english.headline == "[Warning] Energy: 12 negative stories where 0.30 were expected"
    assert chinese.headline == "【警告】能源：12 条负面报道，预期 0.30 条"
    assert english.sentences[0] == "Of 15 stories in 2026-11-20 12:00–12:15 UTC, 12 were negative; they come from 4 sources."
    assert chinese.sentences[0] == "2026-11-20 12:00–12:15 UTC 共 15 条报道，其中 12 条为负面，来自 4 个来源。"
    assert "1 of 125,892,541 windows" in english.sentences[1] and "1/125,892,541" in chinese.sentences[1]
    assert [fact.key for fact in english.facts] == [fact.key for fact in chinese.facts]
    assert english.link == chinese.link == f"https://t.example/alert/{alert().id}"
    for reading in (english, chinese):
        assert all(piece.text.startswith(ODD) for piece in reading.evidence)


def test_why_it_rang_is_one_sentence_in_either_language():
    said = [read(alert(why=reasons(6)), options(language)).why for language in ("en", "zh")]
    assert said == [
        "3 of 9 stories carry it; first: Reuters, 2026-11-20 12:03 UTC; words: default, 债券, bond, 违约, coupon; "
        "companies: 600519.SH, ACME.",
        "9 条报道中缺这 3 条就不会报警；最早：Reuters，2026-11-20 12:03 UTC；关键词：default、债券、bond、违约、coupon；"
        "涉及公司：600519.SH、ACME。",
    ]
    assert read(alert(), options()).why == read(alert(why=Why()), options()).why == ""
    large = reasons(1, stories=2_000, more=True, read=300, carried=0, companies=())
    said = [read(alert(why=large), options(language)).why for language in ("en", "zh")]
    assert said[0] == "first: Reuters, 2026-11-20 12:03 UTC; words of the 300 most negative: default."
    assert said[1] == "最早：Reuters，2026-11-20 12:03 UTC；关键词（最负面的 300 条）：default。"
    one = read(alert(why=Why(stories=12, more=True, carried=1)), options()).why
    assert one == "1 of 12+ stories carries it."
    assert "\u202e" not in read(alert(why=reasons(first_source="a\u202e\nb")), options()).why


@pytest.mark.parametrize("key", sorted(set(FORMATS) - {"json"}))
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_format_says_why(key: str, language: Language):
    """Read as the receiver does: JSON, or a letter."""
    (message,) = FORMATS[key].messages(alert(why=reasons()), options(language), NOON)
    why = read(alert(why=reasons()), options(language)).why
    if key == "email":
        letter = email.message_from_bytes(message.body, policy=email.policy.default)
        bodies = [letter.get_body((kind,)) for kind in ("plain", "html")]
        assert all(body is not None and why in body.get_content() for body in bodies)
    else:
        assert why in json.dumps(json.loads(message.body), ensure_ascii=False)
    if key == "alertmanager":
        assert json.loads(message.body)["alerts"][0]["annotations"]["why"] == why


def test_the_json_says_why_and_where_to_look():
    (message,) = FORMATS["json"].messages(alert(why=reasons(), n=3), options(link_base="https://t.example/"), NOON)
    data = json.loads(message.body)["data"]
    assert data["url"] == f"https://t.example/alert/{alert().id}"
    assert [(item["id"], item["needed"]) for item in data["evidence"]] == [("0", True), ("1", True), ("2", False)]
    assert data["why"] == {
        "stories": 9, "more": False, "carried": 3, "needed": ["0", "1", "x"], "read": 9,
        "words": [{"word": "default", "stories": 7}, {"word": "债券", "stories": 7}],
        "companies": [{"company": "600519.SH", "stories": 4}, {"company": "ACME", "stories": 1}],
        "first_source": "Reuters", "first_at": "2026-11-20T12:03:00.000Z",
        "chart": {"start": "2026-11-20T12:00:00.000Z", "step_s": 300, "negative": [0, 9], "expected": [0.25, 0.25]},
    }  # fmt: skip
    for old in (alert(), trial(NOON)):
        (message,) = FORMATS["json"].messages(old, options(), NOON)
        assert (json.loads(message.body)["data"]["why"], json.loads(message.body)["data"]["url"]) == (None, "")


def test_the_longest_why_leaves_room_for_the_longest_article():
    word, key = "\x01" * 40, "\x01" * 64
    worst = Why(
        stories=10**9, more=True, carried=10**9, needed=(key,) * MAX_NEEDED, read=10**9, words=(WordCount(word=word, stories=1),) * 20,
        companies=(CompanyCount(company=key, stories=1),) * 20, first_source="\x01" * 200, first_at=NOON,
        chart=Chart(start=NOON, step_s=300, negative=(10**9,) * 100, expected=(1e300 / 3,) * 100),
    )  # fmt: skip
    item = Evidence(
        id=key, title="\x01" * 1000, url="https://a.example/" + "\x01" * 3900, source="\x01" * 200, published_at=NOON, p_negative=0.9
    )
    bodies = bodies_of(alert(evidence=(item,) * 3, why=worst, rule="\x01" * 300, series="\x01" * 300), "https://t.example/" + "a" * 200)
    assert max(map(len, bodies)) < 20_000
    first = json.loads(bodies[0])["data"]
    assert (first["why"]["carried"], first["why"]["chart"]) == (10**9, None)
    usual = reasons(
        needed=tuple(f"{n:032x}" for n in range(MAX_NEEDED)),
        chart=Chart(start=NOON, step_s=300, negative=(99,) * 36, expected=(12.345,) * 36),
    )
    (body,) = bodies_of(alert(why=usual))
    kept = json.loads(body)["data"]["why"]
    assert len(kept["needed"]) == MAX_NEEDED and kept["chart"] is not None, "one of ours is told whole"


@pytest.mark.parametrize(
    ("measured", "english", "chinese"),
    [
        (
            {"measure": "negative_share", "value": 0.7222, "limit": 0.6, "total": 18, "observed": 13},
            ("72.2% of 18 stories were negative", "over 60%"),
            ("18 条报道中 72.2% 为负面", "高于 60%"),
        ),
        (
            {"measure": "mean_tone", "value": -0.42, "limit": -0.3, "total": 1},
            ("the mean tone of 1 story was −0.42", "below −0.30"),
            ("1 条报道的平均情绪为 −0.42", "低于 −0.30"),
        ),
        (
            {"measure": "volume", "value": 1_250.0, "limit": 1_000.0, "total": 1_250},
            ("1,250 stories came", "from 1,000 on"),
            ("共 1,250 条报道", "达到 1,000 条"),
        ),
        (
            {"measure": "risk_event", "value": 0.931, "limit": 0.8, "event": "accounting_fraud"},
            ("Accounting fraud is told of, 93.1% likely", "from 80% on"),
            ("报道提及财务造假，概率 93.1%", "概率达到 80%"),
        ),
    ],
)
def test_a_rule_of_ones_own_is_told_by_what_it_saw_and_where_it_rings(
    measured: dict[str, Any], english: tuple[str, str], chinese: tuple[str, str]
):
    raised = alert(rule="规则 1", expected=0.0, surprise=0.0, **measured)
    en, zh = (read(raised, options(language)) for language in ("en", "zh"))
    assert en.headline == f"[Warning] Energy: {english[0]}"
    assert zh.headline == f"【警告】能源：{chinese[0]}"
    span = "2026-11-20 12:00–12:15 UTC"
    assert en.sentences == (f"In {span}, {english[0]}; the rule rings {english[1]}.", "Told by 4 sources.")
    assert zh.sentences == (f"{span} {chinese[0]}；规则在{chinese[1]}时触发。", "来自 4 个来源。")
    for reading, words in ((en, english), (zh, chinese)):
        facts = {fact.key: fact.value for fact in reading.facts}
        assert facts["limit"] == words[1] and facts["measured"] in words[0] and "expected" not in facts
    (body,) = bodies_of(raised)
    data = json.loads(body)["data"]
    assert {key: data[key] for key in ("measure", "value", "limit")} == {key: measured[key] for key in ("measure", "value", "limit")}
    assert data["event"] == measured.get("event", "")
    (posted,) = FORMATS["alertmanager"].messages(raised, options(), NOON)
    assert json.loads(posted.body)["alerts"][0]["annotations"]["limit"] == english[1]


def test_a_test_says_that_it_is_one_and_shows_no_figures():
    for language, words in (("en", "A test from Tocsin"), ("zh", "Tocsin 测试消息")):
        reading = read(trial(NOON), options(language, link_base="https://t.example"))  # type: ignore[arg-type]
        assert (reading.headline, reading.facts, reading.evidence, reading.link) == (words, (), (), "")


def test_a_title_cannot_begin_a_line_of_its_own_or_turn_what_follows():
    (piece,) = read(alert("one\r\ntwo\u2028three\u202e\x00four", 1), options()).evidence
    assert piece.text.startswith("one two three four (")


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://例子.中国/路?a=(b)", "https://例子.中国/路?a=%28b%29"),
        ("https://a.example/x|y>z", "https://a.example/x%7Cy%3Ez"),
        ("HTTPS://a.example/", "HTTPS://a.example/"),
        ("javascript:alert(1)", ""),
        ("", ""),
    ],
)
def test_a_link_leads_to_the_web_and_holds_no_markup(url: str, link: str):
    assert address(url) == link


# -- formats -----------------------------------------------------------------------------------------------------------------


def test_the_settings_name_the_formats_that_there_are():
    assert set(get_args(get_type_hints(Webhook)["format"])) == set(FORMATS)


@pytest.mark.parametrize("key", sorted(FORMATS))
def test_an_attempt_made_later_says_the_same_in_as_many_messages(key: str):
    """Those that were taken are not sent again, so the others must be the same ones."""
    fat = alert("好" * 1000, 20)
    first, later = (FORMATS[key].messages(fat, options(secret="s"), NOON + timedelta(days=day)) for day in (0, 2))
    assert len(first) == len(later)
    if key in ("json", "alertmanager", "slack", "wecom", "dingtalk"):
        assert [message.body for message in first] == [message.body for message in later]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["slack", "feishu", "dingtalk", "wecom"]),
    st.sampled_from(["en", "zh"]),
    st.integers(0, 12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=1000),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
)
def test_whatever_decodes_becomes_messages_within_the_limits(key: str, language: Language, n: int, title: str, name: str):
    why = reasons(first_source=name[:200])
    made = FORMATS[key].messages(alert(title, n, series=f"topic:{name}"[:300], rule=name, why=why), options(language, secret="s"), NOON)
    for message in made:
        within_limits(key, message.body)


def test_the_schema_in_the_docs_is_that_of_the_code():
    """Write it anew with python -c
    "import json; from stream.delivery.formats.generic import schema; print(json.dumps(schema(), indent=2))"."""
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema()


def test_the_schema_takes_every_body_and_no_other():
    judge = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")), format_checker=jsonschema.FormatChecker())
    judge.check_schema(judge.schema)
    bodies = [
        json.loads(body)
        for made in (alert(), alert(why=reasons()), alert(n=0), alert("\u0001" * 1000, 20), trial(NOON))
        for body in bodies_of(made)
    ]
    assert len(bodies) > 6
    for body in bodies:
        judge.validate(body)
    wrong: list[dict[str, Any]] = [{"type": "alert.sung"}, {"data": {}}, {"part": 0}, {"data": bodies[0]["data"] | {"observed": -1}}]
    for broken in wrong:
        assert not judge.is_valid(bodies[0] | broken)


def test_a_url_too_long_for_a_message_is_left_out_and_no_word_is():
    huge = alert("词" * 1000, 1)
    item = Evidence(id="x", title="词" * 1000, url="https://a.example/" + "\u0001" * 3900, source="s", published_at=NOON, p_negative=0.9)
    (body,) = bodies_of(alert(evidence=(item,)))
    (shown,) = json.loads(body)["data"]["evidence"]
    assert (shown["title"], shown["url"]) == (huge.evidence[0].title, "")


def test_alertmanagers_payload_is_of_version_4():
    (message,) = FORMATS["alertmanager"].messages(alert(), options("zh", link_base="https://t.example"), NOON)
    body = json.loads(message.body)
    assert set(body) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL",
        "alerts",
    }  # fmt: skip
    assert (body["version"], body["status"], body["receiver"], body["truncatedAlerts"]) == ("4", "firing", "desk", 0)
    assert body["groupKey"] == '{}:{alertname="default", series="topic:energy"}'
    (one,) = body["alerts"]
    assert set(one) == {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}
    assert one["labels"] | body["groupLabels"] == one["labels"] == body["commonLabels"]
    assert all(isinstance(value, str) for value in (*one["labels"].values(), *one["annotations"].values()))
    assert (one["startsAt"], one["endsAt"]) == ("2026-11-20T12:00:00.000Z", "0001-01-01T00:00:00Z")
    assert one["generatorURL"] == f"{body['externalURL']}/alert/{alert().id}"
    assert ODD in one["annotations"]["articles"] and one["annotations"]["summary"].startswith("【警告】能源")


def test_a_fingerprint_is_prometheus_own():
    """The vectors of its common/model/signature_test.go."""
    assert int(fingerprint({}), 16) == 14695981039346656037
    assert int(fingerprint({"name": "garland, briggs", "fear": "love is not enough"}), 16) == 5799056148416392346


def test_a_letter_says_the_same_in_text_and_html_and_its_subject_cannot_add_a_header():
    (message,) = FORMATS["email"].messages(alert(series="company:A\r\nBcc: x@evil.example"), options("zh"), NOON)
    letter = email.message_from_bytes(message.body, policy=email.policy.default)
    assert letter["Bcc"] is None
    assert letter["Subject"] == "【警告】A Bcc: x@evil.example：12 条负面报道，预期 0.30 条"
    assert (letter["To"].addresses[0].display_name, letter["To"].addresses[0].addr_spec) == ("风控", "c@d.example")
    assert letter["Message-ID"] == f"<{message_id(alert())}@b.example>"
    text, page = letter.get_body(("plain",)), letter.get_body(("html",))
    assert text is not None and page is not None
    assert ODD in text.get_content()
    assert html.escape(ODD) in page.get_content() and "<b>" not in page.get_content()
    assert 'href="https://example.org/0?a=%28b%29&amp;c=d"' in page.get_content()


def test_the_bots_signatures_are_those_of_their_documentation():
    """Vectors worked out with `openssl dgst -sha256 -hmac`."""
    assert feishu_sign("demo", 1599360473) == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="
    assert dingtalk_query("SECdemo", 1599360473000) == "timestamp=1599360473000&sign=tGWkA5eQOQNCNPDgphtxIoNLO%2B%2FgD8Lcb705KQoRzeY%3D"


# -- limits and filters ------------------------------------------------------------------------------------------------------


def test_no_window_holds_more_than_the_limit_and_waiting_helps():
    allowance, sent, now = Allowance((Limit(5, 1.0), Limit(100, 60.0))), list[datetime](), NOON
    while len(sent) < 300:
        wait_s = allowance.spend(now)
        if wait_s:
            assert wait_s <= 60.5
            now += timedelta(seconds=wait_s)
        else:
            sent.append(now)
    for most, seconds in ((5, 1.0), (100, 60.0)):
        assert all((late - early).total_seconds() > seconds for early, late in zip(sent, sent[most:], strict=False))
    assert (sent[-1] - sent[0]).total_seconds() < 185


def test_an_endpoint_that_asked_for_quiet_gets_it_and_a_clock_set_back_does_not_silence_it_for_long():
    allowance = Allowance((Limit(1, 60.0),))
    allowance.rest(NOON, 600)
    allowance.rest(NOON, 5)
    assert allowance.spend(NOON + timedelta(seconds=599)) == 1
    assert allowance.spend(NOON + timedelta(seconds=600)) == 0
    assert allowance.spend(NOON - timedelta(days=1)) > 60  # it asked for quiet until later
    other = Allowance((Limit(1, 60.0),))
    assert other.spend(NOON) == 0
    assert other.spend(NOON - timedelta(days=1)) == 60.5
    assert Allowance(()).spend(NOON) == 0


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"min_severity": "warning"}, True),
        ({"min_severity": "critical"}, False),
        ({"series": ("topic:*",)}, True),
        ({"series": ("company:AAPL", "topic:energy")}, True),
        ({"series": ("company:*",)}, False),
        ({"series": ("topic:energ",)}, False),
        ({"rules": ("def*",)}, True),
        ({"rules": ("other",)}, False),
        ({"series": ("topic:*",), "rules": ("other",)}, False),
        ({"paused": True}, False),
    ],
)
def test_an_endpoint_is_told_of_what_its_filters_let_through(filters: dict[str, Any], wanted: bool):
    (endpoint,) = endpoints([Webhook(url="https://a.example/x", **filters)])
    assert endpoint.wanted.fits(alert()) is wanted


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (Webhook(url="https://a.example/x", format="slack", secret="s3cr3t"), "slack has no signature"),
        (Webhook(url="https://a.example/x", format="feishu", secret="s3cr3t", previous_secret="s3cr3t"), "`previous_secret` needs"),
        (Webhook(url="https://a.example/x", previous_secret="whsec_" + "a" * 44), "`previous_secret` needs"),
        (Webhook(url="smtp://u:s3cr3t@a.example", format="slack"), "http(s)://"),
        (Webhook(url="https://a.example/x", format="email"), "smtp(s)://"),
        (Webhook(url="smtp://u:s3cr3t@a.example", format="email"), "?from="),
        (Webhook(url="smtp://u:s3cr3t@a.example?from=a@b.example", format="email"), "?from="),
        (Webhook(url="smtp://u:s3cr3t@a.example?from=a@b.example&to=nobody", format="email"), "'nobody' is no mail address"),
        (Webhook(url="smtp://u:s3cr3t@a.example?from=a@b.example&to=x%0d%0aBcc:y@z.example", format="email"), "is no mail address"),
        (Webhook(url="smtp://u:s3cr3t@a.example?from=a@b.example&to=a@b@c.example", format="email"), "is no mail address"),
        (Webhook(url="smtp://u:s3cr3t密@a.example?from=a@b.example&to=c@d.example", format="email"), "ASCII"),
        (Webhook(url="smtp://u:s3cr3t@a.example:99999?from=a@b.example&to=c@d.example", format="email"), "smtp(s)://"),
    ],
)
def test_an_endpoint_of_a_format_that_cannot_work_is_refused_with_a_sentence(hook: Webhook, why: str):
    with pytest.raises(SettingsError, match="webhook") as caught:
        list(endpoints([hook]))
    assert why in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_mailbox_is_read_as_people_write_it():
    url = "smtp://desk%40a.example:p%40ss@mail.example?from=Tocsin%20<alerts+tocsin@a.example>&to=a@b.example,风控%20<c@d.example>&to=e@f.example"
    (endpoint,) = endpoints([Webhook(url=url, format="email")])
    assert (endpoint.host, endpoint.port, endpoint.url) == ("mail.example", 587, "")
    assert (endpoint.server.user, endpoint.server.password, endpoint.server.tls) == ("desk@a.example", "p@ss", False)
    assert endpoint.options.sender == "Tocsin <alerts+tocsin@a.example>"
    assert endpoint.options.recipients == ("a@b.example", "风控 <c@d.example>", "e@f.example")
