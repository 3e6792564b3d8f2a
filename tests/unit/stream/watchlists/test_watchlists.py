"""Watchlists: the syntax of keywords, mistakes in files, and matching."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from core.records import Article, CompanyScore, Score, Scored
from core.settings import Settings
from core.taxonomy import TOPIC_KEYS
from core.text_folding import fold
from stream.watchlists.keywords import KeywordFinder, fold_article, occurs, parse_keyword
from stream.watchlists.matcher import Matcher, Subject
from stream.watchlists.watchlists import Watchlist, load_watchlists, titles_of
from tests.helpers.strategies import examples, texts
from tocsin.wiring import make_watchlists

ROOT = Path(__file__).parents[4]
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
COMPANIES = ("AAPL", "NVDA", "000002.SZ")


def watchlist(*keywords: str, companies: tuple[str, ...] = (), topics: tuple[str, ...] = (), name: str = "w") -> Watchlist:
    terms = tuple(parse_keyword(keyword) for keyword in keywords)
    return Watchlist(name=name, title_en=name, title_zh=name, companies=companies, topics=topics, terms=terms)


def matches(keywords: tuple[str, ...], title: str, text: str = "") -> bool:
    return bool(Matcher([watchlist(*keywords)]).match([Subject(title, text)])[0])


@pytest.mark.parametrize(
    ("keyword", "text", "found"),
    [
        ("default", "Acme Default feared", True),
        ("default", "defaults and defaulted", False),  # whole words
        ("AI", "Acme said it", False),
        ("AI", "用AI技术", True),  # adjacent Chinese is not part of the word
        ("ai", "生成式ＡＩ", True),  # full width
        ("5G", "15G 5GHz", False),
        ("3.5%", "up 13.5%", False),
        ("3.5%", "up ３．５％", True),
        ("C++", "written in c++.", True),
        ("$AAPL", "buy $aapl now", True),
        ("bond default", "Bond\n  default", True),  # all spaces are equal
        ("bond default", "bond defaults", False),
        ("Société Générale", "SOCIE\u0301TE\u0301 GE\u0301NE\u0301RALE cuts", True),
        ("Straße", "WALLSTRASSE, STRASSE", True),
        ("违约", "公司债券违约了", True),
        ("违约", "违\u200b约", True),  # zero-width space
        ("违约", "违，约", False),
        ("债券违约", "违约的债券", False),
        ("实体清单", "列入「实体清单」", True),
        ("爆雷💣", "又爆雷💣了", True),
        ("⚠", "⚠️ warning", True),
        ("⚠️", "⚠ warning", True),
        ("🔥", "💥", False),
        ("bond default | 债券违约", "债券违约", True),
        ("bond default ｜ 债券违约", "a bond default", True),
        ("/bond (default|coupon)s?/", "missed Bond Coupons", True),
        ("/债(券|务).{0,4}违约/", "债务可能违约", True),
        ("/债券（违约）?爆雷/", "债券（违约）爆雷", True),  # a full-width bracket is a literal, not a group
        ("/债券（违约）?爆雷/", "债券爆雷", False),
        ("/５Ｇ/", "5g", True),
        ("/^债券/", "债券", True),
    ],
)
def test_a_keyword_matches_words_phrases_and_patterns(keyword: str, text: str, found: bool):
    assert matches((keyword,), text) is found
    assert matches((keyword,), "Title", text) is (found and not keyword.startswith("/^"))


def test_a_word_and_a_pattern_with_the_same_letters_are_distinct():
    matcher = Matcher([watchlist("/ab/", name="pattern"), watchlist("ab", name="word"), watchlist("a", name="letter")])
    on = [
        [hit.name for hit in hits]
        for hits in matcher.match([Subject("cabs", ""), Subject("ab", ""), Subject("ab-c x", ""), Subject("a-b", "")])
    ]
    assert on == [["pattern"], ["pattern", "word"], ["pattern", "word"], ["letter"]]


def test_no_keyword_matches_across_title_and_text():
    assert not matches(("债券违约",), "某公司债券", "违约金上升")
    assert not matches(("bond default",), "Acme bond", "default insurance")


def test_an_article_needs_any_plain_all_required_and_no_excluded_keyword():
    keywords = ("恒大 | Evergrande", "碧桂园", "+债 | bond", "+违约 | default", "!周年")
    assert matches(keywords, "恒大债券违约")
    assert matches(keywords, "EVERGRANDE: bond default")
    assert not matches(keywords, "恒大债券上涨")
    assert not matches(keywords, "某公司债券违约")
    assert not matches(keywords, "恒大债券违约", "三周年")
    assert not matches(("＋违约", "恒大"), "恒大")
    assert not matches(("！违约", "恒大"), "恒大违约")
    assert not matches(("!/第.周年/", "恒大"), "恒大第三周年")
    assert not matches(("+/\\d{2} 亿/", "恒大"), "恒大 5 亿") and matches(("+/\\d{2} 亿/", "恒大"), "恒大 50 亿")


def test_companies_and_topics_match_like_plain_keywords():
    matcher = Matcher([watchlist("+debt", "!anniversary", companies=("NVDA", "AAPL"), topics=("credit",))])
    (on,) = matcher.match([Subject("Debt", "", ("AAPL",), ("macro",))])[0]
    assert (on.companies, on.topics, on.keywords) == (("AAPL",), (), ("+debt",))
    assert matcher.match([Subject("Debt", "", (), {"credit": 0.9})])[0][0].topics == ("credit",)
    for unmatched in (Subject("Profit", "", ("AAPL",)), Subject("Debt", "", ("MSFT",)), Subject("Debt anniversary", "", ("AAPL",))):
        assert matcher.match([unmatched]) == [[]]


def scored(title: str, *companies: tuple[str, float], topics: tuple[str, ...] = (), text: str = "") -> Scored:
    common = {"id": "0" * 32, "source": "s", "published_at": NOW, "language": "zh"}
    own = tuple(CompanyScore(company=key, p_negative=p, p_neutral=1 - p, p_positive=0.0) for key, p in companies)
    sentiment = {"p_negative": 0.3, "p_neutral": 0.6, "p_positive": 0.1, "topics": dict.fromkeys(topics, 0.9), "companies": own}
    score = Score(**common, story="x", model="m", scored_at=NOW, **sentiment)  # type: ignore[arg-type]
    return Scored(article=Article(**common, title=title, text=text, fetched_at=NOW), score=score)  # type: ignore[arg-type]


def test_a_watchlist_has_the_sentiment_of_its_most_negative_company_or_of_the_article():
    matcher = Matcher([watchlist("违约", companies=("AAPL", "NVDA"))])
    items = [scored("x", ("AAPL", 0.2), ("NVDA", 0.8), ("MSFT", 0.9)), scored("违约", ("MSFT", 0.9)), scored("平静", ("MSFT", 0.9))]
    first, second, third = matcher.add_watchlists(items)
    assert [(it.name, it.p_negative, it.p_positive) for it in first.score.watchlists] == [("w", 0.8, 0.0)]
    assert [(it.name, it.p_negative, it.p_positive) for it in second.score.watchlists] == [("w", 0.3, 0.1)]
    assert third is items[2]
    assert first.article is items[0].article


PARTS = ("违约", "违约金", "恒大", "default", "bond default", "ai", "AI芯片", "🔥", "5g", "周年", "s&p 500", "ß")
keyword_lists = st.lists(st.sampled_from(PARTS), min_size=1, max_size=8, unique=True)
news = st.lists(st.sampled_from((*PARTS, *map(str.upper, PARTS), "的", " ", "，", "\n", "x", "ｄｅｆａｕｌｔ")), max_size=12).map("".join)


@examples(150)
@given(keyword_lists, st.lists(news, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_matching_is_independent_of_keyword_order_and_batch(words: list[str], batch: list[str], dice: random.Random):
    signed = [sign + word for sign, word in zip(("", "", "+", "!", "", "+", "", "!"), words, strict=False)]
    mixed = signed[:]
    dice.shuffle(mixed)
    one, other = Matcher([watchlist(*signed)]), Matcher([watchlist(*mixed)])
    subjects = [Subject(text, text[::-1]) for text in batch]
    found = [bool(hits) for hits in one.match(subjects)]
    assert found == [bool(hits) for hits in other.match(subjects)] == [bool(one.match([subject])[0]) for subject in subjects]
    assert watchlist(*signed).digest == watchlist(*mixed).digest


@examples(150)
@given(keyword_lists, news, st.sampled_from(PARTS))
def test_an_excluded_keyword_takes_precedence(words: list[str], text: str, excluded: str):
    keep = tuple(word for word in words if word != excluded) or ("x",)
    everything = Subject(f"{excluded} {text}", "", ("AAPL",), ("credit",))
    assert Matcher([watchlist(*keep, f"!{excluded}", companies=("AAPL",), topics=("credit",))]).match([everything]) == [[]]
    assert Matcher([watchlist(*keep, companies=("AAPL",), topics=("credit",))]).match([everything]) != [[]]


def wide(text: str) -> str:
    """The text in full-width characters."""
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


@examples(150)
@given(keyword_lists, news)
def test_width_and_case_are_ignored(words: list[str], text: str):
    plain = matches(tuple(words), text)
    assert matches(tuple(words), wide(text)) is plain
    assert matches(tuple(map(wide, words)), text) is plain
    assert matches(tuple(map(str.swapcase, words)), text) is plain


@examples(150)
@given(texts(200))
def test_folding_is_idempotent(text: str):
    assert fold(fold(text)) == fold(text)


@examples(150)
@given(texts(40, 1), texts(40), texts(40))
def test_a_keyword_is_found_in_any_text_that_contains_it(word: str, before: str, after: str):
    """For any keyword, including emoji and unusual characters: the index of tokens loses nothing."""
    try:
        term = parse_keyword(word)
    except ValueError:
        return
    if term.words:
        assert (
            occurs(term, KeywordFinder([term]).find([fold_article("", f"{before} {word.split('|', maxsplit=1)[0]} {after}")])[0])
            or term.sign
        )


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("", "is empty"),
        ("+", "is empty"),
        ("! ", "is empty"),
        ("\u200b", "is empty"),
        ("违约 | ", "empty alternative"),
        ("a | +b", "must precede the first alternative"),
        ("++a", "must precede the first alternative"),
        ("a | /b/", "must precede the first alternative"),
        ("/ab", "does not end with /"),
        ("//", "does not end with /"),
        ("/(ab/", "missing )"),
        ("/(?<=a)b/", "not a valid RE2 regular expression"),
        ("/(a)\\1/", "not a valid RE2 regular expression"),
        ("/a*/", "matches every text"),
        ("x" * 501, "501 characters"),
    ],
)
def test_an_invalid_keyword_is_rejected_with_a_reason(keyword: str, message: str):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        parse_keyword(keyword)


def test_no_pattern_takes_exponential_time():
    """Each of these is exponential in a backtracking engine."""
    bad = ("/(a+)+$/", "/(a|aa)+$/", "/(a|a)*b/", "/(.*)*x{2}/", "/.*.*.*.*.*.*z/")
    matcher = Matcher([watchlist(*bad)])
    began = time.process_time()
    assert matcher.match([Subject("a" * 20_000 + "!", "a" * 20_000 + "!")] * 3) == [[]] * 3
    assert time.process_time() - began < 10


MISTAKES = """
[[watchlist]]
name = "Bad Name"
companies = ["万科", "NOPE"]
topics = ["credits", "credit", "credit"]
keywords = ["/(a/", "a | ", "违约", "!违约"]
colour = "red"

[[watchlist]]
name = "required"
keywords = ["+债", "!周年"]

[[watchlist]]
name = "required"
companies = []
title_zh = ""
topics = "credit"
"""


def test_all_mistakes_of_a_file_are_reported_at_once(tmp_path: Path):
    path = tmp_path / "w.toml"
    path.write_text(MISTAKES, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_watchlists(path, COMPANIES, TOPIC_KEYS, {"万科": "000002.SZ"}.get)  # type: ignore[arg-type]
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"watchlists {path}: number ") for line in lines)
    reported = [line.removeprefix(f"watchlists {path}: number ") for line in lines]
    for start, part in [
        ("1 (Bad Name): unknown field 'colour'", ""),
        ("1 (Bad Name): name: 'Bad Name'", "lower-case letters"),
        ("1 (Bad Name): companies: '万科' is unknown", "did you mean '000002.SZ'?"),
        ("1 (Bad Name): companies: 'NOPE' is unknown", "tocsin companies link"),
        ("1 (Bad Name): topics: 'credits' is unknown", "did you mean 'credit'?"),
        ("1 (Bad Name): topics: 'credit' is duplicated", ""),
        ("1 (Bad Name): keywords: '/(a/' is not a valid RE2 regular expression", "missing )"),
        ("1 (Bad Name): keywords: 'a | ' has an empty alternative", ""),
        ("1 (Bad Name): keywords: '违约' is excluded by '!违约'", ""),
        ("2 (required): matches nothing", "besides those with + and !"),
        ("3 (required): companies: is empty", ""),
        ("3 (required): title_zh: must have 1 to 80", ""),
        ("3 (required): topics: must be a list of strings", ""),
        ("3 (required): matches nothing", ""),
        ("3 (required): name: also used by number 2", ""),
    ]:
        assert [line for line in reported if line.startswith(start) and part in line], (start, reported)
    assert len(reported) == 15


@pytest.mark.parametrize(
    ("content", "message"),
    [("watchlist = 3", r"has no \[\["), ("", r"has no \[\["), ("[[watchlists]]\n", "only"), ("=", "is not valid TOML")],
)
def test_a_file_without_watchlists_is_rejected(content: str, message: str, tmp_path: Path):
    path = tmp_path / "w.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        load_watchlists(path, COMPANIES, TOPIC_KEYS)
    assert titles_of(path) == {}
    with pytest.raises(SettingsError, match="cannot be read"):
        load_watchlists(tmp_path / "none.toml", COMPANIES, TOPIC_KEYS)


def test_the_example_file_is_valid_and_matches_as_described():
    path = ROOT / "deploy" / "watchlists.example.toml"
    found = make_watchlists(Settings(watchlists=str(path), data_dir="/nowhere"))
    assert {name: title[1] for name, title in titles_of(path).items()} == {each.name: each.title_zh for each in found}
    matcher = Matcher(found)
    on = matcher.match(
        [
            Subject("多家房企美元债违约", ""),
            Subject("Real estate developer misses debt payment", ""),
            Subject("房企债券十周年", ""),
            Subject("芯片再遭出口管制", ""),
            Subject("Profit up", "", ("NVDA",)),
            Subject("Fed holds", "", (), ("central_banks",)),
        ]
    )
    assert [[hit.name for hit in hits] for hits in on] == [
        ["property_credit"], ["property_credit"], [], ["chip_controls"], ["chip_controls"], ["rates"],
    ]  # fmt: skip


def test_no_watchlist_is_the_default_and_titles_fall_back(tmp_path: Path):
    assert make_watchlists(Settings()) == ()
    assert Matcher().match([Subject("a", "b")]) == [[]]
    path = tmp_path / "w.toml"
    path.write_text(
        '[[watchlist]]\nname = "a"\ntitle_zh = "关注"\nkeywords = ["x"]\n[[watchlist]]\nname = "b"\nkeywords = ["x"]\n', "utf-8"
    )
    assert titles_of(path) == {"a": ("关注", "关注"), "b": ("b", "b")}
