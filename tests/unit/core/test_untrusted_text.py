"""Unicode normalisation in linear time."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.untrusted_text import MAX_MARKS, is_mark, normalize

FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def test_every_combining_mark_of_unicode_is_known():
    marks = {chr(code) for code in range(sys.maxunicode + 1) if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])}
    assert all(map(is_mark, marks))
    assert not any(is_mark(char) for char in "aé中あ́"[:4])


@pytest.mark.parametrize("form", FORMS)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_ordinary_text_is_normalised_as_by_unicodedata(form, text):
    assert normalize(form, text) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("offset", range(MAX_MARKS + 2))
def test_marks_beyond_the_limit_are_dropped_wherever_they_begin(form, offset):
    start = "中" * offset
    assert normalize(form, f"{start}a{'̂' * 500}b") == unicodedata.normalize(form, f"{start}a{'̂' * MAX_MARKS}b")


def test_thirty_marks_are_kept():
    assert normalize("NFD", "a" + "̂" * MAX_MARKS) == "a" + "̂" * MAX_MARKS
