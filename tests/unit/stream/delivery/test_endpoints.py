"""Endpoints of the settings: filters, mail URLs and mistakes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from core.errors import SettingsError
from core.settings import Webhook
from stream.delivery.endpoints import endpoints
from tests.helpers.alerts import sample_alert


@pytest.mark.parametrize(
    ("filters", "accepted"),
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
def test_an_endpoint_accepts_the_alerts_that_its_filters_match(filters: dict[str, Any], accepted: bool):
    (endpoint,) = endpoints([Webhook(url="https://a.example/x", **filters)])
    assert endpoint.filter.matches(sample_alert()) is accepted


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (Webhook(url="https://a.example/x", format="slack", secret="s3cr3t"), "messages in the format slack are not signed"),
        (Webhook(url="https://a.example/x", format="feishu", secret="s3cr3t", previous_secret="s3cr3t"), "`previous_secret` needs"),
        (Webhook(url="https://a.example/s3cr3t", format="wecom", keyword="预警"), "bots of the format wecom have no keywords"),
        (Webhook(url="https://a.example/s3cr3t", format="dingtalk", keyword="a*b"), "`keyword` 'a*b' must be plain text"),
        (Webhook(url="https://a.example/s3cr3t", format="feishu", keyword=" 预警"), "without blanks around it"),
        (Webhook(url="https://a.example/s3cr3t", format="feishu", keyword="a\nb"), "must be plain text"),
        (Webhook(url="https://a.example/x", previous_secret="whsec_" + "a" * 44), "`previous_secret` needs"),
        (Webhook(url="smtp://u:s3cr3t@a.example", format="slack"), "http(s)://"),
        (Webhook(url="https://a.example/x", format="email"), "smtp(s)://"),
        (Webhook(url="smtp://u:s3cr3t@a.example", format="email"), "?from="),
        (Webhook(url="smtp://u:s3cr3t@a.example?from=a@b.example", format="email"), "?from="),
        (Webhook(url="smtp://u:s3cr3t@a.example?from=a@b.example&to=nobody", format="email"), "'nobody' is not a mail address"),
        (Webhook(url="smtp://u:s3cr3t@a.example?from=a@b.example&to=x%0d%0aBcc:y@z.example", format="email"), "is not a mail address"),
        (Webhook(url="smtp://u:s3cr3t@a.example?from=a@b.example&to=a@b@c.example", format="email"), "is not a mail address"),
        (Webhook(url="smtp://u:s3cr3t密@a.example?from=a@b.example&to=c@d.example", format="email"), "ASCII"),
        (Webhook(url="smtp://u:s3cr3t@a.example:99999?from=a@b.example&to=c@d.example", format="email"), "smtp(s)://"),
    ],
)
def test_an_invalid_endpoint_is_rejected_without_showing_its_secret(hook: Webhook, message: str):
    with pytest.raises(SettingsError, match="webhook") as caught:
        list(endpoints([hook]))
    assert message in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_mail_url_is_parsed_into_login_sender_and_recipients():
    url = "smtp://risk%40a.example:p%40ss@mail.example?from=Tocsin%20<alerts+tocsin@a.example>&to=a@b.example,风控%20<c@d.example>&to=e@f.example"
    (endpoint,) = endpoints([Webhook(url=url, format="email")])
    assert (endpoint.host, endpoint.port, endpoint.url) == ("mail.example", 587, "")
    assert (endpoint.mail_server.user, endpoint.mail_server.password, endpoint.mail_server.tls) == ("risk@a.example", "p@ss", False)
    assert endpoint.options.sender == "Tocsin <alerts+tocsin@a.example>"
    assert endpoint.options.recipients == ("a@b.example", "风控 <c@d.example>", "e@f.example")


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (Webhook(url="https://a.example/x", secret="whsec_???"), '"whsec_" followed by base64'),
        (Webhook(url="https://a.example/x", secret="whsec_" + base64.b64encode(b"short").decode()), "24 to 64 bytes; this one has 5"),
        (Webhook(url="https://me:pw@a.example/x"), "without a user name"),
        (Webhook(url="https://"), "http"),
        (Webhook(url="https://a.example:99999/x"), "host:port"),
    ],
)
def test_an_invalid_url_or_secret_is_rejected(hook: Webhook, message: str):
    with pytest.raises(SettingsError, match="webhook") as caught:
        list(endpoints([hook]))
    assert message in str(caught.value)
    assert hook.secret == "" or hook.secret not in str(caught.value)


def test_two_endpoints_cannot_have_the_same_name():
    with pytest.raises(SettingsError, match="a unique name"):
        list(endpoints([Webhook(url="https://a.example/x"), Webhook(url="https://a.example/y")]))
