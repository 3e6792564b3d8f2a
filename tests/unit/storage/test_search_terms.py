"""Search queries as RE2 patterns, which Python's `re` interprets the same way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.search_terms import MAX_CHARS, MAX_TERMS, search_patterns, tidy


def found(words: str, text: str) -> bool:
    all_of, none_of, *_ = search_patterns(words)
    return all(re.search(pattern, text, re.ASCII) for pattern in all_of) and not any(
        re.search(pattern, text, re.ASCII) for pattern in none_of
    )


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ("bond default", "Defaults on bonds", True),
        ("bond default", "Defaults on loans", False),
        ("AI", "用AI技术", True),
        ("AI", "It was said", False),
        ('"AI"', "An airline", False),
        ("AI", "An airline", True),
        ('"missed  payment"', "a MISSED\npayment.", True),
        ('"missed payment"', "payment missed", False),
        ("“债券违约”", "公司债券违约", True),
        ("「债券」", "债券", True),
        ("债券 违约", "违约的债券", True),
        ("债券　-展期", "债券展期", False),
        ("－展期", "债券违约", True),
        ('-"no comment" bond', "bond; comment: no", True),
        ('-"no comment" bond', "bond, no comment", False),
        ('"half a phrase', "half a phrase", True),
        ("mid-cap", "mid-cap shares", True),
        ("A.B", "AxB", False),
        ("S&P 3.5%", "S&P falls 3.5%", True),
        ('- -- "" \'', "anything", True),
        ("", "anything", True),
    ],
)
def test_terms_phrases_and_exclusions(words: str, text: str, expected: bool):
    assert found(words, text) is expected


@pytest.mark.parametrize(
    ("words", "word", "characters"),
    [
        ("oil bond -default", "bond", ()),
        ('"missed payment" 债券', "payment", ()),
        ("“债券违约” bonds", "", ("券", "债債", "违違")),  # those with the fewest variants
        ("Übernahme Straße 中信", "ubernahme", ()),
        ("write-down", "write", ()),
        ("U.S.", "", ()),  # its letters do not stand together
        ("A股", "", ("股",)),
        ("Ωmega μ", "mega", ()),
        ("-展期", "", ()),
        ("", "", ()),
    ],
)
def test_what_every_match_contains(words: str, word: str, characters: tuple[str, ...]):
    assert search_patterns(words)[2:] == (word, characters)


def test_a_query_is_bounded():
    assert len(search_patterns("a " * 500).all_of) == 1
    all_of, none_of, *_ = search_patterns(" ".join(f"w{n}" for n in range(99)))
    assert len(all_of) + len(none_of) == MAX_TERMS
    assert len(tidy("x" * 10_000)) == MAX_CHARS
    assert tidy("a\x00b\nc\u202ed\ud800e\u00adf") == "a b cd ef"


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_query_compiles_and_matches_quickly(words: str):
    for pattern in (*search_patterns(words).all_of, *search_patterns(words).none_of):
        re.compile(pattern).search("a" * 5_000)


@given(st.text(min_size=1, max_size=30))
def test_a_text_matches_each_of_its_words(text: str):
    for word in tidy(text).split():
        if not set(word) & set('"“”「」《》') and word[0] not in "-−－":
            assert found(word, "x " + word)
