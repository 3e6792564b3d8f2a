"""Several alerts in one message: each format says of all of them what it must, within its limits, and the local servers take it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
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
from tests.helpers.chat_servers import within_limits
from tests.helpers.strategies import examples
from tests.helpers.webhook_server import WebhookServer
from tests.unit.stream.delivery.formats.test_chats import EACH, FAMILY, Desk
from tests.unit.stream.delivery.formats.test_formats import ODD, SCHEMA, options
from tests.unit.stream.delivery.test_mail import MailServer, read, send, trusted

__all__ = ["trusted"]

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOTH = pytest.mark.parametrize("language", ["en", "zh"])


def alert(name: str, severity: Severity = "warning", titles: Sequence[str] = (ODD,), **more: Any) -> Alert:
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
    Member(alert("energy")),
    Member(alert("banks", "critical", [f"违约 {n}" for n in range(5)])),
    Member(alert("credit", "info")),
    Member(alert("旅游"), NOON + HOUR, fresh=False),
    Member(alert("steel", "critical"), fresh=False),
)
DESK = FormatOptions("desk")
GROUP = Bundle("g1", NOON + HOUR, FIVE)
AGAIN = Member(alert("energy", "info", id="id-again", detected_at=NOON + HOUR), NOON + 2 * HOUR)
DIGEST = Bundle("g2", NOON + 8 * HOUR, (FIVE[0], FIVE[1], AGAIN), digest=True)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


# -- what people read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "english", "chinese"),
    [
        (FIVE[:3], "[Critical] 3 alerts: banks, Energy, Bonds and credit", "【严重】3 条预警：banks、能源、债券与信用"),
        (FIVE, "[Critical] 4 alerts (3 new), 1 alert over: banks, steel, Energy and 2 more",
         "【严重】4 条预警（新增 3 条），1 条预警已解除：banks、steel、能源等 5 个对象"),
        (FIVE[4:], "[Critical] 1 alert still firing: steel", "【严重】1 条预警仍在持续：steel"),
        (FIVE[3:4], "[Warning] 1 alert over: 旅游", "【警告】1 条预警已解除：旅游"),
    ],
)  # fmt: skip
def test_a_headline_counts_and_names_the_most_severe_first(members: tuple[Member, ...], english: str, chinese: str):
    said = [render(Bundle("g", NOON, members), options(language)).headline for language in ("en", "zh")]
    assert said == [english, chinese]


def test_one_new_alert_reads_as_if_it_were_sent_alone():
    for language in ("en", "zh"):
        alone, together = (render(sent, options(language)) for sent in (FIVE[0].alert, Bundle("g", NOON, FIVE[:1])))
        assert (alone.headline, alone.pieces()) == (together.headline, together.pieces())


def test_a_digest_goes_series_by_series_with_counts():
    english, chinese = (render(DIGEST, options(language, link_base="https://t.example")) for language in ("en", "zh"))
    assert english.headline == "[Critical] 3 alerts on 2 series (digest, 2026-11-20 20:00 UTC)"
    assert chinese.headline == "【严重】3 条预警，涉及 2 个对象（摘要，2026-11-20 20:00 UTC）"
    texts = [piece.text for piece in english.pieces()]
    assert texts[0] == "[Critical] banks: 1 alert, at most 12 negative stories"
    assert texts[texts.index("and 2 more") + 1 :][:3] == [
        "[Warning] Energy: 2 alerts, at most 12 negative stories",
        "2026-11-20 12:15 UTC: 12 negative stories where 0.30 were expected",
        "2026-11-20 13:00 UTC: 12 negative stories where 0.30 were expected · over since 2026-11-20 14:00 UTC",
    ]
    assert [piece.url for piece in english.pieces()] == [piece.url for piece in chinese.pieces()]
    assert "https://t.example/alert/id-again" in [piece.url for piece in chinese.pieces()]


# -- chats and mail ----------------------------------------------------------------------------------------------------------


@EACH
@BOTH
@pytest.mark.parametrize("sent", [GROUP, DIGEST], ids=["group", "digest"])
def test_several_alerts_are_one_message(stack: ExitStack, key: str, language: Language, sent: Bundle):
    desk = Desk(key, stack, language=language)
    made = desk.send(sent)
    assert (made.delivered, made.error, made.taken, made.alert_id) == (True, "", 1, f"group:{sent.id}"), desk.chat.rejections
    (lines,) = desk.chat.messages
    assert lines[0] == render(sent, options(language)).headline
    for member in sent.members:
        assert any(line.endswith(f" https://t.example/alert/{member.alert.id}") for line in lines)
    assert any(line.startswith(ODD) for line in lines)
    assert sum(line.startswith("违约") for line in lines) == 3
    assert desk.chat.ids == [message_id(sent)] == [f"group_{sent.id}"]


@EACH
def test_many_alerts_are_several_messages_and_every_word_arrives(stack: ExitStack, key: str):
    names = [f"{n:02d}{f'好{FAMILY}' * 30}" for n in range(40)]
    many = Bundle("g", NOON, tuple(Member(alert(name, titles=[f"{n}-{k}" + "词" * 900 for k in range(3)])) for n, name in enumerate(names)))
    desk = Desk(key, stack)
    made = desk.send(many)
    while is_rate_limited(made):
        desk.clock.now += timedelta(seconds=made.retry_after_s)
        made = desk.send(many, taken=made.taken)
    assert made.delivered and made.taken == len(desk.chat.messages) > 1, (made.error, desk.chat.rejections)
    words = "".join(line for lines in desk.chat.messages for line in lines[1:])
    for n, name in enumerate(names):
        assert name in words
        assert all(f"{n}-{k}" + "词" * 900 in words for k in range(3))
    assert desk.chat.ids == [message_id(many, n) for n in range(1, len(desk.chat.messages) + 1)]
    assert desk.chat.rejections == []


members = st.builds(
    lambda name, rule, title, n, severity, over, fresh: Member(
        alert(name, severity, [title] * n, id=sha(name, rule, str(n)), rule=rule), NOON + HOUR if over else None, fresh
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
def test_whatever_decodes_becomes_messages_within_the_limits(key: str, language: Language, found: list[Member], digest: bool):
    bundle = Bundle("g", NOON, tuple(found), digest=digest)
    secret = "" if key == "json" else "s"
    first, later = (FORMATS[key].messages(bundle, options(language, secret=secret), NOON + timedelta(days=day)) for day in (0, 2))
    assert len(first) == len(later)
    for message in first:
        within_limits(key, message.body)


@BOTH
def test_a_letter_has_every_article_of_every_alert(language: Language):
    with MailServer() as server:
        made = send(server, GROUP, language=language)
    assert made.delivered, made.error
    ((_, people, raw),) = server.letters
    letter = read(raw)
    assert len(people) == 2
    assert "".join(letter["Subject"].split()) == "".join(render(GROUP, options(language)).headline.split())
    assert letter["Message-ID"] == f"<{message_id(GROUP)}@b.example>"
    text, page = letter.get_body(("plain",)), letter.get_body(("html",))
    assert text is not None and page is not None
    for content in (text.get_content(), page.get_content()):
        assert all(f"违约 {n}" in content for n in range(5))
    assert ODD in text.get_content() and "<@all>" not in page.get_content() and "<b>" not in page.get_content()


# -- programs ----------------------------------------------------------------------------------------------------------------


def test_a_body_is_as_the_schema_has_it_and_says_what_is_new_and_what_is_over():
    judge = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")), format_checker=jsonschema.FormatChecker())
    for bundle, kind in ((GROUP, "alerts.group"), (DIGEST, "alerts.digest")):
        (body,) = map(json.loads, group_bodies(bundle, DESK))
        judge.validate(body)
        assert body["type"] == kind
        assert not judge.is_valid(body | {"type": "alert.firing"})
    (body,) = map(json.loads, group_bodies(GROUP, DESK))
    said = [(each["series"], each["status"], each["new"], each.get("resolved_at", "")) for each in body["data"]["alerts"]]
    assert said == [
        ("topic:banks", "firing", True, ""),
        ("topic:steel", "firing", False, ""),
        ("topic:energy", "firing", True, ""),
        ("topic:旅游", "resolved", False, "2026-11-20T13:00:00.000Z"),
        ("topic:credit", "firing", True, ""),
    ]
    assert (body["data"]["firing"], body["data"]["resolved"], body["data"]["new"]) == (4, 1, 3)
    (digest,) = map(json.loads, group_bodies(DIGEST, DESK))
    assert [each["series"] for each in digest["data"]["alerts"]] == ["topic:banks", "topic:energy", "topic:energy"]


def test_parts_of_a_body_verify_each_with_an_id_of_its_own_and_hold_every_article_once(stack: ExitStack, receiver: WebhookServer):
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    fat = Bundle("g", NOON, tuple(Member(alert(f"t{n}", titles=["词" * 1000] * n)) for n in (0, 9, 1, 14, 3)))
    hook = Webhook(url=receiver.url, secret=secret, allow_private=True, name="desk")
    (made,) = stack.enter_context(closing(Webhooks([hook]))).send([Job("desk", fat, 1)])
    assert made.delivered and made.taken == len(receiver.requests) > 3
    told = [standardwebhooks.Webhook(secret).verify(request.body.decode(), request.headers) for request in receiver.requests]
    assert [(event["part"] if n else event.get("part", 1), event["parts"]) for n, event in enumerate(told)] == [
        (n + 1, len(told)) for n in range(len(told))
    ]
    shown = [(each["id"], item["id"]) for event in told for each in event["data"]["alerts"] for item in each["evidence"]]
    assert sorted(shown) == sorted((member.alert.id, item.id) for member in fat.members for item in member.alert.evidence)
    assert {each["id"] for event in told for each in event["data"]["alerts"]} == {member.alert.id for member in fat.members}
    assert all(len(request.body) < 20_000 for request in receiver.requests)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [message_id(fat, n + 1) for n in range(len(told))]


def test_an_address_too_long_for_a_message_is_left_out_of_a_group_too():
    item = Evidence(id="x", title="词" * 1000, url="https://a.example/" + "\u0001" * 3900, source="s", published_at=NOON, p_negative=0.9)
    long = msgspec.structs.replace(alert("energy"), evidence=(item, item))
    shown = [
        (entry["title"], entry["url"])
        for body in group_bodies(Bundle("g", NOON, (Member(long), Member(alert("banks")))), DESK)
        for each in json.loads(body)["data"]["alerts"]
        for entry in each["evidence"]
    ]
    assert shown == [(ODD, "https://example.org/0"), (item.title, ""), (item.title, "")]


@pytest.mark.parametrize(("by", "labels"), [((), {}), (("severity", "rule"), {"severity": "critical", "alertname": "r"})])
def test_alertmanagers_payload_holds_all_alerts_of_the_group(by: tuple[str, ...], labels: dict[str, str]):
    """As Alertmanager's own: what all agree in is common, a group fires while one of its alerts does, and what is over says since when."""
    severe = tuple(each for each in FIVE if each.alert.severity == "critical") if by else FIVE
    (message,) = FORMATS["alertmanager"].messages(Bundle("g", NOON, severe, by), options("zh", link_base="https://t.example"), NOON)
    body = json.loads(message.body)
    assert (body["version"], body["status"], body["groupLabels"], body["truncatedAlerts"]) == ("4", "firing", labels, 0)
    assert len({each["fingerprint"] for each in body["alerts"]}) == len(body["alerts"]) == len(severe)
    for each in body["alerts"]:
        assert labels.items() <= body["commonLabels"].items() <= each["labels"].items()
        assert body["commonAnnotations"].items() <= each["annotations"].items()
        assert (each["status"] == "resolved") == (each["endsAt"] != "0001-01-01T00:00:00Z")
    over = [(each["labels"]["series"], each["endsAt"]) for each in body["alerts"] if each["status"] == "resolved"]
    assert over == ([] if by else [("topic:旅游", "2026-11-20T13:00:00.000Z")])
    (message,) = FORMATS["alertmanager"].messages(Bundle("g", NOON, FIVE[3:4]), options(), NOON)
    assert json.loads(message.body)["status"] == "resolved"


# -- settings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"group_by": ("kind",)}, "group_by needs a group_wait_s"),
        ({"digest": "hourly", "group_wait_s": 30.0}, "a digest has its own times"),
        ({"digest": "at eight"}, "digest 'at eight': expected"),
        ({"group_wait_s": 30.0, "repeat_interval_s": 60.0}, "repeat_interval_s 0 or no shorter"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_the_endpoints_name(given: dict[str, Any], why: str):
    with pytest.raises(Exception, match=f"webhook desk: .*{why}"):
        list(endpoints([Webhook(url="https://a.example/x", name="desk", **given)]))


def test_without_any_of_these_settings_each_alert_is_sent_alone_and_at_once():
    plain, grouped = endpoints([Webhook(url="https://a.example", name=name, group_wait_s=wait) for name, wait in (("a", 0.0), ("b", 30.0))])
    assert plain.grouping is None
    assert grouped.grouping is not None and grouped.grouping.wait_s == 30.0
