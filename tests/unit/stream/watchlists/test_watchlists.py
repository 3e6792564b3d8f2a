"""Watchlists: what a keyword means, what a file may say, and which articles are on which list."""

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
from stream.watchlists.keywords import Finder, fold, fold_article, has, parse
from stream.watchlists.matcher import Matcher, Subject
from stream.watchlists.watchlists import Watchlist, load_watchlists, titles_of
from tests.helpers.strategies import examples, texts
from tocsin.runtime.wiring import make_watchlists

ROOT = Path(__file__).parents[4]
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
COMPANIES = ("AAPL", "NVDA", "000002.SZ")


def watchlist(*keywords: str, companies: tuple[str, ...] = (), topics: tuple[str, ...] = (), name: str = "w") -> Watchlist:
    terms = tuple(parse(keyword) for keyword in keywords)
    return Watchlist(name=name, title_en=name, title_zh=name, companies=companies, topics=topics, terms=terms)


def matches(keywords: tuple[str, ...], title: str, text: str = "") -> bool:
    return bool(Matcher([watchlist(*keywords)]).match([Subject(title, text)])[0])


@pytest.mark.parametrize(
    ("keyword", "text", "there"),
    [
        ("default", "Acme Default feared", True),
        ("default", "defaults and defaulted", False),  # whole words
        ("AI", "Acme said it", False),
        ("AI", "用AI技术", True),  # Chinese beside it is no part of the word
        ("ai", "生成式ＡＩ", True),  # full width
        ("5G", "15G 5GHz", False),
        ("3.5%", "up 13.5%", False),
        ("3.5%", "up ３．５％", True),
        ("C++", "written in c++.", True),
        ("$AAPL", "buy $aapl now", True),
        ("bond default", "Bond\n  default", True),  # blanks are alike
        ("bond default", "bond defaults", False),
        ("Société Générale", "SOCIE\u0301TE\u0301 GE\u0301NE\u0301RALE cuts", True),
        ("Straße", "WALLSTRASSE, STRASSE", True),
        ("违约", "公司债券违约了", True),
        ("违约", "违\u200b约", True),  # a blank that nobody sees
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
        ("/债券（违约）?爆雷/", "债券（违约）爆雷", True),  # a full-width bracket is a character, not a group
        ("/债券（违约）?爆雷/", "债券爆雷", False),
        ("/５Ｇ/", "5g", True),
        ("/^债券/", "债券", True),
    ],
)
def test_what_a_keyword_finds(keyword: str, text: str, there: bool):
    assert matches((keyword,), text) is there
    assert matches((keyword,), "Title", text) is (there and not keyword.startswith("/^"))


def test_a_word_and_a_pattern_of_the_same_letters_are_two_things():
    matcher = Matcher([watchlist("/ab/", name="pattern"), watchlist("ab", name="word"), watchlist("a", name="letter")])
    on = [
        [hit.name for hit in hits]
        for hits in matcher.match([Subject("cabs", ""), Subject("ab", ""), Subject("ab-c x", ""), Subject("a-b", "")])
    ]
    assert on == [["pattern"], ["pattern", "word"], ["pattern", "word"], ["letter"]]


def test_nothing_is_found_across_title_and_text():
    assert not matches(("债券违约",), "某公司债券", "违约金上升")
    assert not matches(("bond default",), "Acme bond", "default insurance")


def test_any_plain_all_musts_and_no_excluded_word():
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


def test_companies_and_topics_count_as_plain_words_do():
    matcher = Matcher([watchlist("+debt", "!anniversary", companies=("NVDA", "AAPL"), topics=("credit",))])
    (on,) = matcher.match([Subject("Debt", "", ("AAPL",), ("macro",))])[0]
    assert (on.companies, on.topics, on.keywords) == (("AAPL",), (), ("+debt",))
    assert matcher.match([Subject("Debt", "", (), {"credit": 0.9})])[0][0].topics == ("credit",)
    for left_out in (Subject("Profit", "", ("AAPL",)), Subject("Debt", "", ("MSFT",)), Subject("Debt anniversary", "", ("AAPL",))):
        assert matcher.match([left_out]) == [[]]


def scored(title: str, *companies: tuple[str, float], topics: tuple[str, ...] = (), text: str = "") -> Scored:
    common = {"id": "0" * 32, "source": "s", "published_at": NOW, "language": "zh"}
    own = tuple(CompanyScore(company=key, p_negative=p, p_neutral=1 - p, p_positive=0.0) for key, p in companies)
    said = {"p_negative": 0.3, "p_neutral": 0.6, "p_positive": 0.1, "topics": dict.fromkeys(topics, 0.9), "companies": own}
    score = Score(**common, story="x", model="m", scored_at=NOW, **said)  # type: ignore[arg-type]
    return Scored(article=Article(**common, title=title, text=text, fetched_at=NOW), score=score)  # type: ignore[arg-type]


def test_a_watchlist_has_the_mood_of_its_worst_company_else_of_the_article():
    matcher = Matcher([watchlist("违约", companies=("AAPL", "NVDA"))])
    items = [scored("x", ("AAPL", 0.2), ("NVDA", 0.8), ("MSFT", 0.9)), scored("违约", ("MSFT", 0.9)), scored("平静", ("MSFT", 0.9))]
    first, second, third = matcher.mark(items)
    assert [(it.name, it.p_negative, it.p_positive) for it in first.score.watchlists] == [("w", 0.8, 0.0)]
    assert [(it.name, it.p_negative, it.p_positive) for it in second.score.watchlists] == [("w", 0.3, 0.1)]
    assert third is items[2]
    assert first.article is items[0].article


PARTS = ("违约", "违约金", "恒大", "default", "bond default", "ai", "AI芯片", "🔥", "5g", "周年", "s&p 500", "ß")
keyword_lists = st.lists(st.sampled_from(PARTS), min_size=1, max_size=8, unique=True)
news = st.lists(st.sampled_from((*PARTS, *map(str.upper, PARTS), "的", " ", "，", "\n", "x", "ｄｅｆａｕｌｔ")), max_size=12).map("".join)


@examples(150)
@given(keyword_lists, st.lists(news, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_matching_depends_neither_on_the_order_of_keywords_nor_on_the_batch(words: list[str], batch: list[str], dice: random.Random):
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
def test_an_excluded_word_always_wins(words: list[str], text: str, shut: str):
    keep = tuple(word for word in words if word != shut) or ("x",)
    everything = Subject(f"{shut} {text}", "", ("AAPL",), ("credit",))
    assert Matcher([watchlist(*keep, f"!{shut}", companies=("AAPL",), topics=("credit",))]).match([everything]) == [[]]
    assert Matcher([watchlist(*keep, companies=("AAPL",), topics=("credit",))]).match([everything]) != [[]]


def wide(text: str) -> str:
    """In full width."""
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


@examples(150)
@given(keyword_lists, news)
def test_width_and_case_make_no_difference(words: list[str], text: str):
    plain = matches(tuple(words), text)
    assert matches(tuple(words), wide(text)) is plain
    assert matches(tuple(map(wide, words)), text) is plain
    assert matches(tuple(map(str.swapcase, words)), text) is plain


@examples(150)
@given(texts(200))
def test_folding_twice_is_folding_once(text: str):
    assert fold(fold(text)) == fold(text)


@examples(150)
@given(texts(40, 1), texts(40), texts(40))
def test_a_text_is_found_in_itself_between_blanks(word: str, before: str, after: str):
    """Any words at all, emoji and odd characters too: the quick look at pieces hides nothing."""
    try:
        term = parse(word)
    except ValueError:
        return
    if term.words:
        assert has(term, Finder([term]).found([fold_article("", f"{before} {word.split('|', maxsplit=1)[0]} {after}")])[0]) or term.sign


@pytest.mark.parametrize(
    ("keyword", "says"),
    [
        ("", "is empty"),
        ("+", "is empty"),
        ("! ", "is empty"),
        ("\u200b", "is empty"),
        ("违约 | ", "empty alternative"),
        ("a | +b", "the sign stands once"),
        ("++a", "the sign stands once"),
        ("a | /b/", "the sign stands once"),
        ("/ab", "does not end with /"),
        ("//", "does not end with /"),
        ("/(ab/", "missing )"),
        ("/(?<=a)b/", "no regular expression of RE2"),
        ("/(a)\\1/", "no regular expression of RE2"),
        ("/a*/", "every text matches"),
        ("x" * 501, "501 characters"),
    ],
)
def test_a_keyword_that_cannot_be_right_says_why(keyword: str, says: str):
    with pytest.raises(ValueError, match=says.replace("(", r"\(").replace(")", r"\)")):
        parse(keyword)


def test_no_pattern_can_hold_a_worker_up():
    """Each of these takes a backtracking engine longer than the universe is old."""
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
name = "musts"
keywords = ["+债", "!周年"]

[[watchlist]]
name = "musts"
companies = []
title_zh = ""
topics = "credit"
"""


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path):
    path = tmp_path / "w.toml"
    path.write_text(MISTAKES, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_watchlists(path, COMPANIES, TOPIC_KEYS, {"万科": "000002.SZ"}.get)  # type: ignore[arg-type]
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"watchlists {path}: number ") for line in lines)
    told = [line.removeprefix(f"watchlists {path}: number ") for line in lines]
    for begins, holds in [
        ("1 (Bad Name): there is no field 'colour'", ""),
        ("1 (Bad Name): name: 'Bad Name'", "small letters"),
        ("1 (Bad Name): companies: '万科' is not known", "did you mean '000002.SZ'?"),
        ("1 (Bad Name): companies: 'NOPE' is not known", "tocsin companies link"),
        ("1 (Bad Name): topics: 'credits' is not known", "did you mean 'credit'?"),
        ("1 (Bad Name): topics: 'credit' is given twice", ""),
        ("1 (Bad Name): keywords: '/(a/' is no regular expression", "missing )"),
        ("1 (Bad Name): keywords: 'a | ' has an empty alternative", ""),
        ("1 (Bad Name): keywords: '违约' is shut out by '!违约'", ""),
        ("2 (musts): looks for nothing", "beside those with + and !"),
        ("3 (musts): companies: is empty", ""),
        ("3 (musts): title_zh: has 1 to 80", ""),
        ("3 (musts): topics: is not a list of strings", ""),
        ("3 (musts): looks for nothing", ""),
        ("3 (musts): name: number 2 has the same", ""),
    ]:
        assert [line for line in told if line.startswith(begins) and holds in line], (begins, told)
    assert len(told) == 15


@pytest.mark.parametrize(
    ("content", "says"),
    [("watchlist = 3", "holds no"), ("", "holds no"), ("[[watchlists]]\n", "no 'watchlists' here"), ("=", "is not TOML")],
)
def test_a_file_that_is_none_says_so(content: str, says: str, tmp_path: Path):
    path = tmp_path / "w.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=says):
        load_watchlists(path, COMPANIES, TOPIC_KEYS)
    assert titles_of(path) == {}
    with pytest.raises(SettingsError, match="cannot be read"):
        load_watchlists(tmp_path / "none.toml", COMPANIES, TOPIC_KEYS)


def test_the_example_is_whole_and_finds_what_it_says():
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
