"""Webhook formats: content, escaping, splitting and size limits of the messages for one alert."""

from __future__ import annotations

import email
import email.policy
import html
import json
from datetime import timedelta
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.records import MAX_DECISIVE, Chart, CompanyCount, Evidence, Language, Why, WordCount
from core.settings import Webhook
from stream.delivery.formats import FORMATS
from stream.delivery.formats.alert_text import alert_text, safe_url
from stream.delivery.formats.alertmanager import fingerprint
from stream.delivery.formats.base import message_id
from stream.delivery.formats.generic import alert_bodies, make_test_alert, schema
from stream.delivery.formats.splitting import Paragraph, graphemes, pack, split_text
from stream.delivery.signing import dingtalk_query, feishu_sign
from tests.helpers.alerts import FAMILY, FLAG, MARKUP_TITLE, NOON, SCHEMA, format_options, sample_alert, sample_explanation
from tests.helpers.chat_servers import assert_within_limits

# -- splitting ---------------------------------------------------------------------------------------------------------------


def test_graphemes_keep_marks_emoji_and_flags_together():
    assert list(graphemes(f"e\u0301{FAMILY}{FLAG}👍🏽好a")) == ["e\u0301", FAMILY, FLAG, "👍🏽", "好", "a"]
    assert "".join(graphemes(MARKUP_TITLE)) == MARKUP_TITLE


@given(st.text(alphabet=st.sampled_from(f"ab 好，e\u0301{FAMILY}{FLAG}"), max_size=200), st.integers(1, 40))
def test_parts_of_a_split_text_fit_and_join_to_the_text(text: str, max_bytes: int):
    parts = split_text(text, lambda part: len(part.encode()) <= max_bytes)
    assert "".join(parts) == text
    for part in parts:
        assert len(part.encode()) <= max_bytes or len(part) == 1
    if max_bytes >= 40:
        assert [char for part in parts for char in graphemes(part)] == list(graphemes(text))


def test_a_text_is_split_at_a_space_near_the_limit():
    assert split_text("one two three four", lambda part: len(part) <= 10) == ["one two ", "three four"]
    assert split_text("abcdefghijkl m", lambda part: len(part) <= 10) == ["abcdefghij", "kl m"]


@given(st.lists(st.integers(0, 30), max_size=30))
def test_packing_keeps_the_order_and_splits_only_paragraphs_that_do_not_fit(lengths: list[int]):
    paragraphs = [Paragraph(str(n % 10) * length) for n, length in enumerate(lengths)]
    pages = pack(paragraphs, lambda some: sum(len(paragraph.text) for paragraph in some) <= 20)
    assert pages
    assert "".join(paragraph.text for page in pages for paragraph in page) == "".join(paragraph.text for paragraph in paragraphs)
    assert all(sum(len(paragraph.text) for paragraph in page) <= 20 for page in pages)
    if max(lengths, default=0) <= 20:
        assert [paragraph for page in pages for paragraph in page] == paragraphs


# -- text of an alert --------------------------------------------------------------------------------------------------------


def test_both_languages_have_the_same_content():
    english, chinese = (alert_text(sample_alert(), format_options(language, link_base="https://t.example/")) for language in ("en", "zh"))
    assert english.headline == "[Warning] Energy: 12 negative stories, 0.30 expected"
    assert chinese.headline == "【警告】能源：12 条负面报道，预期 0.30 条"
    assert english.sentences[0] == "12 of 15 stories in the window 2026-11-20 12:00–12:15 UTC were negative, from 4 sources."
    assert chinese.sentences[0] == "2026-11-20 12:00–12:15 UTC 共 15 条报道，其中 12 条为负面，来自 4 个来源。"
    assert "1 in 125,892,541" in english.sentences[1] and "1/125,892,541" in chinese.sentences[1]
    assert [fact.key for fact in english.facts] == [fact.key for fact in chinese.facts]
    assert english.link == chinese.link == f"https://t.example/alert/{sample_alert().id}"
    for text in (english, chinese):
        assert all(paragraph.text.startswith(MARKUP_TITLE) for paragraph in text.evidence)


def test_an_explanation_is_one_sentence_in_both_languages():
    sentences = [alert_text(sample_alert(why=sample_explanation(6)), format_options(language)).explanation for language in ("en", "zh")]
    assert sentences == [
        "3 of 9 stories are decisive; first source: Reuters, 2026-11-20 12:03 UTC; keywords: default, 债券, bond, 违约, coupon; "
        "companies: 600519.SH, ACME.",
        "9 条报道中有 3 条为关键报道；首发来源：Reuters，2026-11-20 12:03 UTC；关键词：default、债券、bond、违约、coupon；"
        "涉及公司：600519.SH、ACME。",
    ]
    assert (
        alert_text(sample_alert(), format_options()).explanation == alert_text(sample_alert(why=Why()), format_options()).explanation == ""
    )
    large = sample_explanation(1, stories=2_000, more=True, read=300, decisive_count=0, companies=())
    sentences = [alert_text(sample_alert(why=large), format_options(language)).explanation for language in ("en", "zh")]
    assert sentences[0] == "first source: Reuters, 2026-11-20 12:03 UTC; keywords of the 300 most negative stories: default."
    assert sentences[1] == "首发来源：Reuters，2026-11-20 12:03 UTC；关键词（负面程度最高的 300 条）：default。"
    one = alert_text(sample_alert(why=Why(stories=12, more=True, decisive_count=1)), format_options()).explanation
    assert one == "1 of 12+ stories is decisive."
    assert "\u202e" not in alert_text(sample_alert(why=sample_explanation(first_source="a\u202e\nb")), format_options()).explanation


@pytest.mark.parametrize("key", sorted(set(FORMATS) - {"json"}))
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_format_contains_the_explanation(key: str, language: Language):
    """The message is parsed as the receiver does: JSON or mail."""
    (message,) = FORMATS[key].messages(sample_alert(why=sample_explanation()), format_options(language), NOON)
    why = alert_text(sample_alert(why=sample_explanation()), format_options(language)).explanation
    if key == "email":
        mail = email.message_from_bytes(message.body, policy=email.policy.default)
        bodies = [mail.get_body((kind,)) for kind in ("plain", "html")]
        assert all(body is not None and why in body.get_content() for body in bodies)
    else:
        assert why in json.dumps(json.loads(message.body), ensure_ascii=False)
    if key == "alertmanager":
        assert json.loads(message.body)["alerts"][0]["annotations"]["why"] == why


def test_the_json_has_the_explanation_and_a_link():
    (message,) = FORMATS["json"].messages(sample_alert(why=sample_explanation(), n=3), format_options(link_base="https://t.example/"), NOON)
    data = json.loads(message.body)["data"]
    assert data["url"] == f"https://t.example/alert/{sample_alert().id}"
    assert [(item["id"], item["decisive"]) for item in data["evidence"]] == [("0", True), ("1", True), ("2", False)]
    assert data["why"] == {
        "stories": 9, "more": False, "decisive_count": 3, "decisive_article_ids": ["0", "1", "x"], "read": 9,
        "words": [{"word": "default", "stories": 7}, {"word": "债券", "stories": 7}],
        "companies": [{"company": "600519.SH", "stories": 4}, {"company": "ACME", "stories": 1}],
        "first_source": "Reuters", "first_at": "2026-11-20T12:03:00.000Z",
        "chart": {"start": "2026-11-20T12:00:00.000Z", "step_s": 300, "negative": [0, 9], "expected": [0.25, 0.25]},
    }  # fmt: skip
    for unexplained in (sample_alert(), make_test_alert(NOON)):
        (message,) = FORMATS["json"].messages(unexplained, format_options(), NOON)
        assert (json.loads(message.body)["data"]["why"], json.loads(message.body)["data"]["url"]) == (None, "")


def test_the_longest_explanation_fits_beside_the_longest_article():
    word, key = "\x01" * 40, "\x01" * 64
    worst = Why(
        stories=10**9, more=True, decisive_count=10**9, decisive_article_ids=(key,) * MAX_DECISIVE, read=10**9,
        words=(WordCount(word=word, stories=1),) * 20,
        companies=(CompanyCount(company=key, stories=1),) * 20, first_source="\x01" * 200, first_at=NOON,
        chart=Chart(start=NOON, step_s=300, negative=(10**9,) * 100, expected=(1e300 / 3,) * 100),
    )  # fmt: skip
    item = Evidence(
        id=key, title="\x01" * 1000, url="https://a.example/" + "\x01" * 3900, source="\x01" * 200, published_at=NOON, p_negative=0.9
    )
    bodies = alert_bodies(
        sample_alert(evidence=(item,) * 3, why=worst, rule="\x01" * 300, series="\x01" * 300), "https://t.example/" + "a" * 200
    )
    assert max(map(len, bodies)) < 20_000
    first = json.loads(bodies[0])["data"]
    assert (first["why"]["decisive_count"], first["why"]["chart"]) == (10**9, None)
    typical = sample_explanation(
        decisive_article_ids=tuple(f"{n:032x}" for n in range(MAX_DECISIVE)),
        chart=Chart(start=NOON, step_s=300, negative=(99,) * 36, expected=(12.345,) * 36),
    )
    (body,) = alert_bodies(sample_alert(why=typical))
    kept = json.loads(body)["data"]["why"]
    assert len(kept["decisive_article_ids"]) == MAX_DECISIVE and kept["chart"] is not None, "an explanation of ours fits completely"


@pytest.mark.parametrize(
    ("measured", "english", "chinese"),
    [
        (
            {"measure": "negative_share", "value": 0.7222, "limit": 0.6, "total": 18, "observed": 13},
            ("72.2% of 18 stories were negative", "above 60%"),
            ("18 条报道中 72.2% 为负面", "高于 60%"),
        ),
        (
            {"measure": "mean_tone", "value": -0.42, "limit": -0.3, "total": 1},
            ("the mean sentiment of 1 story was −0.42", "below −0.30"),
            ("1 条报道的平均情绪为 −0.42", "低于 −0.30"),
        ),
        (
            {"measure": "volume", "value": 1_250.0, "limit": 1_000.0, "total": 1_250},
            ("1,250 stories were published", "1,000 or more"),
            ("共 1,250 条报道", "达到 1,000 条"),
        ),
        (
            {"measure": "risk_event", "value": 0.931, "limit": 0.8, "event": "accounting_fraud"},
            ("Accounting fraud was detected with a probability of 93.1%", "80% or more"),
            ("报道提及财务造假，概率 93.1%", "概率达到 80%"),
        ),
    ],
)
def test_an_alert_of_a_limit_rule_states_the_value_and_the_threshold(
    measured: dict[str, Any], english: tuple[str, str], chinese: tuple[str, str]
):
    raised = sample_alert(rule="规则 1", expected=0.0, surprise=0.0, **measured)
    en, zh = (alert_text(raised, format_options(language)) for language in ("en", "zh"))
    assert en.headline == f"[Warning] Energy: {english[0]}"
    assert zh.headline == f"【警告】能源：{chinese[0]}"
    window = "2026-11-20 12:00–12:15 UTC"
    assert en.sentences == (f"{window}: {english[0]}; the rule's threshold is {english[1]}.", "Reported by 4 sources.")
    assert zh.sentences == (f"{window}：{chinese[0]}；规则阈值：{chinese[1]}。", "来自 4 个来源。")
    for text, words in ((en, english), (zh, chinese)):
        facts = {fact.key: fact.value for fact in text.facts}
        assert facts["limit"] == words[1] and facts["measured"] in words[0] and "expected" not in facts
    (body,) = alert_bodies(raised)
    data = json.loads(body)["data"]
    assert {key: data[key] for key in ("measure", "value", "limit")} == {key: measured[key] for key in ("measure", "value", "limit")}
    assert data["event"] == measured.get("event", "")
    (posted,) = FORMATS["alertmanager"].messages(raised, format_options(), NOON)
    assert json.loads(posted.body)["alerts"][0]["annotations"]["limit"] == english[1]


def test_a_test_message_has_no_figures():
    for language, words in (("en", "Test message from Tocsin"), ("zh", "Tocsin 测试消息")):
        text = alert_text(make_test_alert(NOON), format_options(language, link_base="https://t.example"))  # type: ignore[arg-type]
        assert (text.headline, text.facts, text.evidence, text.link) == (words, (), (), "")


def test_a_title_cannot_add_lines_or_change_the_direction_of_text():
    (paragraph,) = alert_text(sample_alert("one\r\ntwo\u2028three\u202e\x00four", 1), format_options()).evidence
    assert paragraph.text.startswith("one two three four (")


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://例子.中国/路?a=(b)", "https://例子.中国/路?a=%28b%29"),
        ("https://a.example/x|y>z", "https://a.example/x%7Cy%3Ez"),
        ("HTTPS://a.example/", "HTTPS://a.example/"),
        ("javascript:sample_alert(1)", ""),
        ("", ""),
    ],
)
def test_a_url_is_http_and_cannot_contain_markup(url: str, link: str):
    assert safe_url(url) == link


# -- formats -----------------------------------------------------------------------------------------------------------------


def test_settings_accept_exactly_the_registered_formats():
    assert set(get_args(get_type_hints(Webhook)["format"])) == set(FORMATS)


@pytest.mark.parametrize("key", sorted(FORMATS))
def test_a_later_attempt_has_the_same_messages(key: str):
    """A retry continues after the messages already accepted, so the rest must be the same."""
    long = sample_alert("好" * 1000, 20)
    first, later = (FORMATS[key].messages(long, format_options(secret="s"), NOON + timedelta(days=day)) for day in (0, 2))
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
def test_messages_respect_the_size_limits_for_any_text(key: str, language: Language, n: int, title: str, name: str):
    why = sample_explanation(first_source=name[:200])
    made = FORMATS[key].messages(
        sample_alert(title, n, series=f"topic:{name}"[:300], rule=name, why=why), format_options(language, secret="s"), NOON
    )
    for message in made:
        assert_within_limits(key, message.body)


def test_the_documented_schema_is_generated_from_the_code():
    """Regenerate it with python -c
    "import json; from stream.delivery.formats.generic import schema; print(json.dumps(schema(), indent=2))"."""
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema()


def test_the_schema_accepts_every_body_and_rejects_malformed_ones():
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")), format_checker=jsonschema.FormatChecker())
    validator.check_schema(validator.schema)
    bodies = [
        json.loads(body)
        for made in (
            sample_alert(),
            sample_alert(why=sample_explanation()),
            sample_alert(n=0),
            sample_alert("\u0001" * 1000, 20),
            make_test_alert(NOON),
        )
        for body in alert_bodies(made)
    ]
    assert len(bodies) > 6
    for body in bodies:
        validator.validate(body)
    wrong: list[dict[str, Any]] = [{"type": "alert.unknown"}, {"data": {}}, {"part": 0}, {"data": bodies[0]["data"] | {"observed": -1}}]
    for broken in wrong:
        assert not validator.is_valid(bodies[0] | broken)


def test_a_url_too_long_for_a_message_is_dropped_and_the_title_kept():
    huge = sample_alert("词" * 1000, 1)
    item = Evidence(id="x", title="词" * 1000, url="https://a.example/" + "\u0001" * 3900, source="s", published_at=NOON, p_negative=0.9)
    (body,) = alert_bodies(sample_alert(evidence=(item,)))
    (shown,) = json.loads(body)["data"]["evidence"]
    assert (shown["title"], shown["url"]) == (huge.evidence[0].title, "")


def test_the_alertmanager_payload_has_version_4():
    (message,) = FORMATS["alertmanager"].messages(sample_alert(), format_options("zh", link_base="https://t.example"), NOON)
    body = json.loads(message.body)
    assert set(body) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL",
        "alerts",
    }  # fmt: skip
    assert (body["version"], body["status"], body["receiver"], body["truncatedAlerts"]) == ("4", "firing", "risk", 0)
    assert body["groupKey"] == '{}:{alertname="default", series="topic:energy"}'
    (one,) = body["alerts"]
    assert set(one) == {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}
    assert one["labels"] | body["groupLabels"] == one["labels"] == body["commonLabels"]
    assert all(isinstance(value, str) for value in (*one["labels"].values(), *one["annotations"].values()))
    assert (one["startsAt"], one["endsAt"]) == ("2026-11-20T12:00:00.000Z", "0001-01-01T00:00:00Z")
    assert one["generatorURL"] == f"{body['externalURL']}/alert/{sample_alert().id}"
    assert MARKUP_TITLE in one["annotations"]["articles"] and one["annotations"]["summary"].startswith("【警告】能源")


def test_a_fingerprint_equals_that_of_prometheus():
    """Vectors of common/model/signature_test.go."""
    assert int(fingerprint({}), 16) == 14695981039346656037
    assert int(fingerprint({"name": "garland, briggs", "fear": "love is not enough"}), 16) == 5799056148416392346


def test_a_mail_has_text_and_html_and_its_subject_cannot_add_headers():
    (message,) = FORMATS["email"].messages(sample_alert(series="company:A\r\nBcc: x@evil.example"), format_options("zh"), NOON)
    mail = email.message_from_bytes(message.body, policy=email.policy.default)
    assert mail["Bcc"] is None
    assert mail["Subject"] == "【警告】A Bcc: x@evil.example：12 条负面报道，预期 0.30 条"
    assert (mail["To"].addresses[0].display_name, mail["To"].addresses[0].addr_spec) == ("风控", "c@d.example")
    assert mail["Message-ID"] == f"<{message_id(sample_alert())}@b.example>"
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None and page is not None
    assert MARKUP_TITLE in text.get_content()
    assert html.escape(MARKUP_TITLE) in page.get_content() and "<b>" not in page.get_content()
    assert 'href="https://example.org/0?a=%28b%29&amp;c=d"' in page.get_content()


def test_signatures_of_bots_match_their_documentation():
    """Vectors computed with `openssl dgst -sha256 -hmac`."""
    assert feishu_sign("demo", 1599360473) == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="
    assert dingtalk_query("SECdemo", 1599360473000) == "timestamp=1599360473000&sign=tGWkA5eQOQNCNPDgphtxIoNLO%2B%2FgD8Lcb705KQoRzeY%3D"
