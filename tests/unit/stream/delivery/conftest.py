"""Fixtures of the tests of deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.helpers.mail_server import PEM


@pytest.fixture
def trusted_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate of tests/helpers/mail_server.py, for mail.example, is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes at the end of the test what was opened in it."""
    with ExitStack() as opened:
        yield opened
