"""Groups and digests: text, splitting and size limits in every format, and deliveries to local servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any

import jsonschema
import msgspec
import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from core.records import Alert, Evidence, Language, Severity, sha
from core.settings import Webhook
from stream.delivery.endpoints import endpoints
from stream.delivery.formats import FORMATS
from stream.delivery.formats.base import Bundle, FormatOptions, Member, is_rate_limited, message_id
from stream.delivery.formats.generic import group_bodies
from stream.delivery.formats.group_text import render
from stream.delivery.webhooks import Job, Webhooks
from tests.helpers.alerts import FAMILY, MARKUP_TITLE, NOON, SCHEMA, format_options
from tests.helpers.chat_endpoint import CHATS, ChatEndpoint
from tests.helpers.chat_servers import assert_within_limits
from tests.helpers.mail_server import MailServer, parse_mail, send_mail_alert
from tests.helpers.strategies import examples
from tests.helpers.webhook_server import WebhookServer

HOUR = timedelta(hours=1)
BOTH_LANGUAGES = pytest.mark.parametrize("language", ["en", "zh"])
EACH_CHAT = pytest.mark.parametrize("key", sorted(CHATS))


def series_alert(name: str, severity: Severity = "warning", titles: Sequence[str] = (MARKUP_TITLE,), **more: Any) -> Alert:
    shown = tuple(
        Evidence(id=f"{name}-{n}", title=title, url=f"https://example.org/{n}", source="wire", published_at=NOON, p_negative=0.9)
        for n, title in enumerate(titles)
    )
    given: dict[str, Any] = {
        "id": f"id-{name}", "rule": "r", "series": f"topic:{name}", "window_start": NOON, "window_s": 900, "detected_at": NOON + HOUR / 4,
        "severity": severity, "observed": 12, "expected": 0.3, "surprise": 8.1, "total": 15, "sources": 4, "evidence": shown,
    }  # fmt: skip
    return Alert(**(given | more))


FIVE = (
    Member(series_alert("energy")),
    Member(series_alert("banks", "critical", [f"违约 {n}" for n in range(5)])),
    Member(series_alert("credit", "info")),
    Member(series_alert("旅游"), NOON + HOUR, is_new=False),
    Member(series_alert("steel", "critical"), is_new=False),
)
OPTIONS = FormatOptions("risk")
GROUP = Bundle("g1", NOON + HOUR, FIVE)
AGAIN = Member(series_alert("energy", "info", id="id-again", detected_at=NOON + HOUR), NOON + 2 * HOUR)
DIGEST = Bundle("g2", NOON + 8 * HOUR, (FIVE[0], FIVE[1], AGAIN), digest=True)


# -- text of a group --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "english", "chinese"),
    [
        (FIVE[:3], "[Critical] 3 alerts: banks, Energy, Bonds and credit", "【严重】3 条告警：banks、能源、债券与信用"),
        (FIVE, "[Critical] 4 alerts (3 new), 1 alert resolved: banks, steel, Energy and 2 more",
         "【严重】4 条告警（新增 3 条），1 条告警已解决：banks、steel、能源等 5 个对象"),
        (FIVE[4:], "[Critical] 1 alert still firing: steel", "【严重】1 条告警仍在持续：steel"),
        (FIVE[3:4], "[Warning] 1 alert resolved: 旅游", "【警告】1 条告警已解决：旅游"),
    ],
)  # fmt: skip
def test_a_headline_has_counts_and_names_the_most_severe_series_first(members: tuple[Member, ...], english: str, chinese: str):
    rendered = [render(Bundle("g", NOON, members), format_options(language)).headline for language in ("en", "zh")]
    assert rendered == [english, chinese]


def test_a_group_of_one_new_alert_has_the_text_of_that_alert():
    for language in ("en", "zh"):
        alone, grouped = (render(sent, format_options(language)) for sent in (FIVE[0].alert, Bundle("g", NOON, FIVE[:1])))
        assert (alone.headline, alone.paragraphs()) == (grouped.headline, grouped.paragraphs())


def test_a_digest_is_ordered_by_series_with_counts():
    english, chinese = (render(DIGEST, format_options(language, link_base="https://t.example")) for language in ("en", "zh"))
    assert english.headline == "[Critical] 3 alerts on 2 series (digest, 2026-11-20 20:00 UTC)"
    assert chinese.headline == "【严重】3 条告警，涉及 2 个对象（摘要，2026-11-20 20:00 UTC）"
    texts = [paragraph.text for paragraph in english.paragraphs()]
    assert texts[0] == "[Critical] banks: 1 alert, up to 12 negative stories"
    assert texts[texts.index("and 2 more") + 1 :][:3] == [
        "[Warning] Energy: 2 alerts, up to 12 negative stories",
        "2026-11-20 12:15 UTC: 12 negative stories, 0.30 expected",
        "2026-11-20 13:00 UTC: 12 negative stories, 0.30 expected · resolved at 2026-11-20 14:00 UTC",
    ]
    assert [paragraph.url for paragraph in english.paragraphs()] == [paragraph.url for paragraph in chinese.paragraphs()]
    assert "https://t.example/alert/id-again" in [paragraph.url for paragraph in chinese.paragraphs()]


# -- chats and mail ----------------------------------------------------------------------------------------------------------


@EACH_CHAT
@BOTH_LANGUAGES
@pytest.mark.parametrize("sent", [GROUP, DIGEST], ids=["group", "digest"])
def test_several_alerts_fit_into_one_message(stack: ExitStack, key: str, language: Language, sent: Bundle):
    endpoint = ChatEndpoint(key, stack, language=language)
    delivery = endpoint.send(sent)
    assert (delivery.delivered, delivery.error, delivery.parts_delivered, delivery.alert_id) == (True, "", 1, f"group:{sent.id}"), (
        endpoint.chat.rejections
    )
    (lines,) = endpoint.chat.messages
    assert lines[0] == render(sent, format_options(language)).headline
    for member in sent.members:
        assert any(line.endswith(f" https://t.example/alert/{member.alert.id}") for line in lines)
    assert any(line.startswith(MARKUP_TITLE) for line in lines)
    assert sum(line.startswith("违约") for line in lines) == 3
    assert endpoint.chat.ids == [message_id(sent)] == [f"group_{sent.id}"]


@EACH_CHAT
def test_many_alerts_are_split_into_messages_without_losing_text(stack: ExitStack, key: str):
    names = [f"{n:02d}{f'好{FAMILY}' * 30}" for n in range(40)]
    many = Bundle(
        "g", NOON, tuple(Member(series_alert(name, titles=[f"{n}-{k}" + "词" * 900 for k in range(3)])) for n, name in enumerate(names))
    )
    endpoint = ChatEndpoint(key, stack)
    delivery = endpoint.send(many)
    while is_rate_limited(delivery):
        endpoint.clock.now += timedelta(seconds=delivery.retry_after_s)
        delivery = endpoint.send(many, parts_delivered=delivery.parts_delivered)
    assert delivery.delivered and delivery.parts_delivered == len(endpoint.chat.messages) > 1, (delivery.error, endpoint.chat.rejections)
    text = "".join(line for lines in endpoint.chat.messages for line in lines[1:])
    for n, name in enumerate(names):
        assert name in text
        assert all(f"{n}-{k}" + "词" * 900 in text for k in range(3))
    assert endpoint.chat.ids == [message_id(many, n) for n in range(1, len(endpoint.chat.messages) + 1)]
    assert endpoint.chat.rejections == []


members = st.builds(
    lambda name, rule, title, n, severity, resolved, is_new: Member(
        series_alert(name, severity, [title] * n, id=sha(name, rule, str(n)), rule=rule), NOON + HOUR if resolved else None, is_new
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=290),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=1000),
    st.integers(0, 6),
    st.sampled_from(["info", "warning", "critical"]),
    st.booleans(),
    st.booleans(),
)


@examples(20)
@given(
    st.sampled_from(["slack", "feishu", "dingtalk", "wecom", "json"]),
    st.sampled_from(["en", "zh"]),
    st.lists(members, min_size=1, max_size=8),
    st.booleans(),
)
def test_messages_respect_the_size_limits_for_any_text(key: str, language: Language, found: list[Member], digest: bool):
    bundle = Bundle("g", NOON, tuple(found), digest=digest)
    secret = "" if key == "json" else "s"
    first, later = (FORMATS[key].messages(bundle, format_options(language, secret=secret), NOON + timedelta(days=day)) for day in (0, 2))
    assert len(first) == len(later)
    for message in first:
        assert_within_limits(key, message.body)


@BOTH_LANGUAGES
@pytest.mark.usefixtures("trusted_certificate")
def test_a_mail_has_every_article_of_every_alert(language: Language):
    with MailServer() as server:
        delivery = send_mail_alert(server, GROUP, language=language)
    assert delivery.delivered, delivery.error
    ((_, recipients, raw),) = server.mails
    mail = parse_mail(raw)
    assert len(recipients) == 2
    assert "".join(mail["Subject"].split()) == "".join(render(GROUP, format_options(language)).headline.split())
    assert mail["Message-ID"] == f"<{message_id(GROUP)}@b.example>"
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None and page is not None
    for content in (text.get_content(), page.get_content()):
        assert all(f"违约 {n}" in content for n in range(5))
    assert MARKUP_TITLE in text.get_content() and "<@all>" not in page.get_content() and "<b>" not in page.get_content()


# -- JSON ------------------------------------------------------------------------------------------------------------------------


def test_group_bodies_match_the_schema_and_mark_new_and_resolved_alerts():
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")), format_checker=jsonschema.FormatChecker())
    for bundle, kind in ((GROUP, "alerts.group"), (DIGEST, "alerts.digest")):
        (body,) = map(json.loads, group_bodies(bundle, OPTIONS))
        validator.validate(body)
        assert body["type"] == kind
        assert not validator.is_valid(body | {"type": "alert.firing"})
    (body,) = map(json.loads, group_bodies(GROUP, OPTIONS))
    rendered = [(each["series"], each["status"], each["new"], each.get("resolved_at", "")) for each in body["data"]["alerts"]]
    assert rendered == [
        ("topic:banks", "firing", True, ""),
        ("topic:steel", "firing", False, ""),
        ("topic:energy", "firing", True, ""),
        ("topic:旅游", "resolved", False, "2026-11-20T13:00:00.000Z"),
        ("topic:credit", "firing", True, ""),
    ]
    assert (body["data"]["firing"], body["data"]["resolved"], body["data"]["new"]) == (4, 1, 3)
    (digest,) = map(json.loads, group_bodies(DIGEST, OPTIONS))
    assert [each["series"] for each in digest["data"]["alerts"]] == ["topic:banks", "topic:energy", "topic:energy"]


def test_each_part_of_a_group_has_an_id_and_every_article_is_sent_once(stack: ExitStack, receiver: WebhookServer):
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    long_group = Bundle("g", NOON, tuple(Member(series_alert(f"t{n}", titles=["词" * 1000] * n)) for n in (0, 9, 1, 14, 3)))
    hook = Webhook(url=receiver.url, secret=secret, allow_private=True, name="risk")
    (delivery,) = stack.enter_context(closing(Webhooks([hook]))).send([Job("risk", long_group, 1)])
    assert delivery.delivered and delivery.parts_delivered == len(receiver.requests) > 3
    events = [standardwebhooks.Webhook(secret).verify(request.body.decode(), request.headers) for request in receiver.requests]
    assert [(event["part"] if n else event.get("part", 1), event["parts"]) for n, event in enumerate(events)] == [
        (n + 1, len(events)) for n in range(len(events))
    ]
    shown = [(each["id"], item["id"]) for event in events for each in event["data"]["alerts"] for item in each["evidence"]]
    assert sorted(shown) == sorted((member.alert.id, item.id) for member in long_group.members for item in member.alert.evidence)
    assert {each["id"] for event in events for each in event["data"]["alerts"]} == {member.alert.id for member in long_group.members}
    assert all(len(request.body) < 20_000 for request in receiver.requests)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [message_id(long_group, n + 1) for n in range(len(events))]


def test_a_url_too_long_for_a_message_is_dropped_from_a_group():
    item = Evidence(id="x", title="词" * 1000, url="https://a.example/" + "\u0001" * 3900, source="s", published_at=NOON, p_negative=0.9)
    long = msgspec.structs.replace(series_alert("energy"), evidence=(item, item))
    shown = [
        (entry["title"], entry["url"])
        for body in group_bodies(Bundle("g", NOON, (Member(long), Member(series_alert("banks")))), OPTIONS)
        for each in json.loads(body)["data"]["alerts"]
        for entry in each["evidence"]
    ]
    assert shown == [(MARKUP_TITLE, "https://example.org/0"), (item.title, ""), (item.title, "")]


@pytest.mark.parametrize(("by", "labels"), [((), {}), (("severity", "rule"), {"severity": "critical", "alertname": "r"})])
def test_the_alertmanager_payload_has_all_alerts_of_the_group(by: tuple[str, ...], labels: dict[str, str]):
    """As in Alertmanager: common labels are shared by all, the group fires while any alert does, and resolved alerts have an end."""
    severe = tuple(each for each in FIVE if each.alert.severity == "critical") if by else FIVE
    (message,) = FORMATS["alertmanager"].messages(Bundle("g", NOON, severe, by), format_options("zh", link_base="https://t.example"), NOON)
    body = json.loads(message.body)
    assert (body["version"], body["status"], body["groupLabels"], body["truncatedAlerts"]) == ("4", "firing", labels, 0)
    assert len({each["fingerprint"] for each in body["alerts"]}) == len(body["alerts"]) == len(severe)
    for each in body["alerts"]:
        assert labels.items() <= body["commonLabels"].items() <= each["labels"].items()
        assert body["commonAnnotations"].items() <= each["annotations"].items()
        assert (each["status"] == "resolved") == (each["endsAt"] != "0001-01-01T00:00:00Z")
    resolved = [(each["labels"]["series"], each["endsAt"]) for each in body["alerts"] if each["status"] == "resolved"]
    assert resolved == ([] if by else [("topic:旅游", "2026-11-20T13:00:00.000Z")])
    (message,) = FORMATS["alertmanager"].messages(Bundle("g", NOON, FIVE[3:4]), format_options(), NOON)
    assert json.loads(message.body)["status"] == "resolved"


# -- settings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"group_by": ("kind",)}, "group_by needs a group_wait_s"),
        ({"digest": "hourly", "group_wait_s": 30.0}, "a digest has its own schedule"),
        ({"digest": "at eight"}, "digest 'at eight': expected"),
        ({"group_wait_s": 30.0, "repeat_interval_s": 60.0}, "repeat_interval_s 0 or >= group_interval_s"),
    ],
)
def test_invalid_grouping_is_rejected_with_the_name_of_the_endpoint(fields: dict[str, Any], message: str):
    with pytest.raises(Exception, match=f"webhook risk: .*{message}"):
        list(endpoints([Webhook(url="https://a.example/x", name="risk", **fields)]))


def test_without_grouping_settings_each_alert_is_sent_alone():
    plain, grouped = endpoints([Webhook(url="https://a.example", name=name, group_wait_s=wait) for name, wait in (("a", 0.0), ("b", 30.0))])
    assert plain.grouping is None
    assert grouped.grouping is not None and grouped.grouping.wait_s == 30.0
