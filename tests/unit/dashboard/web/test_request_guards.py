"""Bodies of callbacks that are refused."""

from __future__ import annotations

import json

import pytest

from dashboard.web.request_guards import has_lone_surrogates


@pytest.mark.parametrize(
    ("data", "lone"),
    [
        (rb'{"a": "\ud800"}', True),
        (rb'{"a": "\uDFFF x"}', True),
        (rb'{"\ud800": [1]}', True),
        (b'{"a": "\xed\xa0\x80"}', True),
        (rb'{"a": "\ud83d\ude00"}', False),
        ('{"a": "😀 한국 违约"}'.encode(), False),
        (b"{}", False),
    ],
)
def test_lone_surrogates_are_found_however_they_are_written(data: bytes, lone: bool):
    assert has_lone_surrogates(data, json.loads(data)) is lone
