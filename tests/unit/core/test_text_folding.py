"""Spellings that mean the same: one rule for the keywords of watchlists and for the patterns of searches."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.text_folding import fold, fold_character, has_latin_variants, spellings, variants
from storage.search_terms import search_patterns
from stream.watchlists.keywords import KeywordFinder, fold_article, occurs, parse_keyword
from tests.helpers.shared_data import shared_dir
from tests.helpers.strategies import examples, texts


def in_watchlist(keyword: str, text: str) -> bool:
    term = parse_keyword(keyword)
    return occurs(term, KeywordFinder([term]).find([fold_article("", text)])[0])


def in_search(query: str, text: str) -> bool:
    """Whether the patterns match, and also what is looked for before them."""
    all_of, none_of, word, characters = search_patterns(query)
    found = all(re.search(each, text) for each in all_of) and not any(re.search(each, text) for each in none_of)
    if found:
        assert word in text.lower() or has_latin_variants(text), (query, text, word)
        assert all(any(char in text for char in chars) for chars in characters), (query, text, characters)
    return found


def found(keyword: str, text: str) -> bool:
    """Whether a watchlist and a search for the phrase both find the keyword; they must agree."""
    on = in_watchlist(keyword, text)
    assert in_search(f'"{keyword}"', text) is on, (keyword, text)
    return on


GROUPS = (
    ("Moody's", "Moody’s", "MOODY‘S", "Moodyʼs", "Moody＇s", "Moody`s", "Moody´s", "ｍｏｏｄｙ＇ｓ", "Moo\u200bdy's"),
    ("write down", "write‑down", "write‐down", "Write–Down", "write−down", "write\u00a0down", "write\n down", "write\u2003down"),
    ("Nestle", "Nestlé", "NESTLÉ", "Nestle\u0301", "Ｎｅｓｔｌé"),
    ("Soren Orsted", "Søren Ørsted", "SØREN ØRSTED"),
    ("Maersk", "Mærsk", "MÆRSK"),
    ("Strasse", "Straße", "STRASSE", "STRAẞE"),
    ("office", "oﬃce", "ＯＦＦＩＣＥ", "oﬀice", "ofﬁce"),
    ("债券违约", "债券 违约", "债 券 违 约", "债券\u3000违约", "債券違約", "债券-违约", "债\u200b券违约", "债券\n违约"),
    ("约翰史密斯", "约翰·史密斯", "約翰・史密斯", "约翰•史密斯", "约翰‧史密斯"),
    ("A股", "Ａ股", "A 股", "A-股"),
    ("5G手机", "5G 手机", "５Ｇ手机", "5G手機"),
    ("JP Morgan", "J.P. Morgan", "J. P. Morgan", "J.P.Morgan", "jp morgan", "J.P.-Morgan", "Ｊ．Ｐ．　Morgan"),
    ("U.K.", "UK", "uk"),
    ("U.S. Steel", "US Steel", "U. S. Steel"),
    ("US-China", "U.S.-China", "US China", "U.S. – China".replace(" – ", "–")),
    ("台湾积体电路", "台灣積體電路", "台灣 積體 電路"),
)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0])
def test_every_spelling_finds_every_other(group: tuple[str, ...]):
    for keyword in group:
        for text in group:
            assert found(keyword, text), (keyword, text)
            assert found(keyword, f"某，{text}。") and found(keyword, f"(so {text})"), (keyword, text)


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("write-down", "a writedown", True),
        ("write-down", "a write\u00addown", True),
        ("writedown", "a write-down", False),  # the rule needs the hyphen in the keyword
        ("GPT-4", "GPT4 and GPT 4", True),
        ("U.S.", "they told us", False),
        ("us", "U.S. stocks", False),
        ("it", "I.T. shares", False),
        ("U.S.", "the U.S. economy", True),
        ("U.S.", "the U.S", True),
        ("JP", "J.P.M. and J.P.Q.", False),
        ("-5%", "profit -5%", True),
        ("-5%", "profit −5%", True),
        ("-5%", "下跌 -5%", True),
        ("3.5%", "35%", False),
        ("fi", "office", False),
        ("re-in", "rein", True),
        ("AI", "said", False),
        ("AI", "s·ai·d", True),
        ("Moody's", "Moody s", False),
        ("Moodys", "Moody's", False),
        ("ß", "SS", True),
        ("Ωmega", "ωMEGA", True),
        ("违约", "违，约", False),
        ("bond default", "bonddefault", False),
    ],
)
def test_what_is_another_spelling_and_what_is_not(keyword: str, text: str, expected: bool):
    assert found(keyword, text) is expected


def test_the_cases_that_users_reported():
    lines = (shared_dir() / "cases" / "21_keyword_apostrophe_hyphen" / "cases.tsv").read_text("utf-8").splitlines()
    for keyword, text in (line.split("\t") for line in lines):
        assert found(keyword, text), (keyword, text)
        assert in_search(keyword, text), (keyword, text)


def test_a_regular_expression_sees_folded_characters_and_its_own_blanks():
    assert in_watchlist("/moody's/", "Moody’s") and in_watchlist("/moody’s/", "Moody's")
    assert in_watchlist("/write[- ]down/", "write‑down") and in_watchlist("/债券 违约/", "債券\u3000違約")
    assert not in_watchlist("/债券违约/", "债券 违约")


PARTS = (
    "moody", "'", "’", "ʼ", "write", "down", "-", "‑", "–", "\u00ad", " ", "  ", "\u3000", "\n", "é", "e\u0301", "E", "ü", "ss", "ß",
    "債", "债", "券", "约", "·", "・", "•", "u", "s", ".", "us", "j.", "p.", "J.P.", "jp", "Ｊ", "ａ", "5", "%", "，", "股", "\u200b", "🔥",
    "x", "ﬁ", "fi",
)  # fmt: skip
phrases = st.lists(st.sampled_from(PARTS), min_size=1, max_size=9).map("".join)
KEYWORDS = tuple(dict.fromkeys(spelling for group in GROUPS for spelling in group))


@examples(400)
@given(st.sampled_from(KEYWORDS), phrases, phrases, st.sampled_from(KEYWORDS))
def test_searches_and_watchlists_agree_on_keywords_in_any_text(keyword: str, before: str, after: str, inside: str):
    found(keyword, before + inside + after)


@examples(400)
@given(st.data())
def test_searches_and_watchlists_agree_on_any_variant(data: st.DataObject):
    """Each character of a keyword is replaced by one with the same spelling, and invisible characters are added."""
    keyword = data.draw(st.sampled_from(KEYWORDS))
    text = "".join(
        data.draw(st.sampled_from([char, *variants().get(char, "")])) + data.draw(st.sampled_from(["", "", "", "\u200b", "\ufeff"]))
        for char in fold(keyword)
    )
    assert fold(text) == fold(keyword)
    assert found(keyword, text)


@examples(300)
@given(texts(200))
@example("Å ﬃ ŉ ǆ İ ı ẞ ½ ℃ ㍿ ´ ¨ ﷺ J.P.M.C.Q. a.b c. d.e.")
def test_folding_twice_is_folding_once(text: str):
    assert fold(fold(text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(fold(unicodedata.normalize("NFD", text)))


def test_each_folded_character_is_folded_to_itself():
    for folded, others in variants().items():
        assert all(fold_character(char) == folded for char in others)
        assert all(fold_character(char) == char for char in folded)


@examples(200)
@given(texts(30, 1), phrases)
def test_a_text_without_latin_variants_has_the_words_as_they_stand(text: str, more: str):
    plain = f"{text} {more}"
    if not has_latin_variants(plain):
        for word in re.findall("[a-z0-9]{2,}", fold(plain)):
            assert word in plain.lower()


def test_a_name_with_a_hyphen_has_the_joined_form():
    assert spellings("state-of-the-art") == ("state of the art", "stateoftheart")
    assert spellings("Coca‑Cola") == ("coca cola", "cocacola")
    assert spellings("-5%") == ("-5%",)
