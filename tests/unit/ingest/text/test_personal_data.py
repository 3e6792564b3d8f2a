"""Personal data in posts is masked; similar numbers are not."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import MAX_TITLE_CHARS, Article, Genre
from ingest.articles import RawArticle, build_article
from ingest.companies.gazetteer import Gazetteer
from ingest.text.personal_data import mask

NOW = datetime(2026, 11, 22, tzinfo=UTC)
WIDE = str.maketrans("0123456789-+@.X", "０１２３４５６７８９－＋＠．Ｘ")


def identity(area: int, born: date, order: int) -> str:
    """A number with the check digit of GB 11643-1999, computed by powers of two, unlike the code under test."""
    body = f"{area:06d}{born:%Y%m%d}{order:03d}"
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(body))
    check = (1 - total) % 11
    return body + ("X" if check == 10 else str(check))


def card(prefix: str, digits: str) -> str:
    """A number with its Luhn check digit."""
    for last in "0123456789":
        number = prefix + digits + last
        total = 0
        for place, sign in enumerate(number[::-1]):
            value = int(sign) * (2 if place % 2 else 1)
            total += value - 9 if value > 9 else value
        if total % 10 == 0:
            return number
    raise AssertionError


IDENTITIES = st.builds(identity, st.integers(110000, 659999), st.dates(date(1900, 1, 1), date(2099, 12, 31)), st.integers(0, 999))
CARDS = st.builds(card, st.sampled_from(["62", "4", "51", "37", "35"]), st.from_regex(r"\d{13}", fullmatch=True))
MOBILES = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)
MAILS = st.from_regex(r"[a-z][a-z0-9._]{0,12}[a-z0-9]@[a-z]{1,8}\.(com|cn|co\.uk)", fullmatch=True)
FOUR = range(0, 19, 4)


@given(
    st.one_of(
        IDENTITIES, CARDS, CARDS.map(lambda n: " ".join(n[i : i + 4] for i in FOUR).strip()), MOBILES, MAILS, MOBILES.map("+86 {}".format)
    ),
    st.sampled_from(["", "加微信", "电话：", "账户 ", "（"]),
    st.sampled_from(["", "，谢谢", "。", " 老师", "）联系"]),
    st.booleans(),
)
def test_personal_numbers_are_masked_next_to_han_and_in_full_width(number: str, before: str, after: str, wide: bool):
    written = number.translate(WIDE) if wide else number
    masked = mask(before + written + after, "zh")
    assert len(masked.kinds) == 1, masked
    assert masked.text.startswith(before + "[")
    assert masked.text.endswith("]" + after)
    assert not any(sign.isdigit() for sign in masked.text.removeprefix(before).removesuffix(after))


@pytest.mark.parametrize(
    "text",
    [
        "净利润13812345678元，成交15000000000股，市值 13912345678 万元",
        "volume 1,380,012,345,678 shares, turnover 13812345678 yuan, $13812345678, up 13812345678%",
        "EPS 1.38, P/E 13.8123 4567, +3.5 %, +1200 points, from 2024-01-02 to 2025-03-04",
        "600519.SH 00700.HK 沪深300 创业板399006 科创50",
        "10年期国债收益率2.65%，美元兑人民币7.1234，比特币 68000",
        "order 20241231123456789012; trade 110105194912310021",  # a wrong check digit
        "@elonmusk $TSLA to the moon; see a@b",
        "6222021234567890",  # not Luhn's
    ],
)
def test_amounts_and_codes_are_not_masked(text: str):
    assert mask(text, "en") == (text, ())


@given(st.text(max_size=200))
def test_only_found_numbers_change(text: str):
    masked = mask(text, "en")
    assert masked.kinds or masked.text == text
    assert mask(masked.text, "en").text == masked.text


@pytest.mark.parametrize(
    ("genre", "expected"), [("social", "call [phone]"), ("news", "call 138-1234-5678"), ("filing", "call 138-1234-5678")]
)
def test_articles_built_from_posts_are_masked(genre: Genre, expected: str):
    article = build(RawArticle("forum", title="call 138-1234-5678", text="mail joe@example.com", genre=genre))
    assert article.title == expected
    assert article.flags == (("masked",) if genre == "social" else ())
    assert ("joe" in article.text) == (genre != "social")


def test_a_title_lengthened_by_masking_is_cut():
    article = build(RawArticle("forum", title="a@b.cn " * 142 + "a@b.cn", genre="social"))
    assert len(article.title) == MAX_TITLE_CHARS
    assert article.flags == ("cut", "masked")


def build(raw: RawArticle) -> Article:
    return build_article(raw._replace(published=NOW), fetched_at=NOW, zone=ZoneInfo("Asia/Shanghai"), gazetteer=Gazetteer([]))
