"""No input of a public door takes more than a time proportional to its length: t(4n) / t(n) is at most 6.

Each door is a function that a stranger, a feed, a token or an account reaches with a text of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.http import parse_cookie

from api.requests import ArticleIn
from core.log import mask
from core.text_folding import fold
from core.toml_files import parse_toml
from core.untrusted_text import body, plain, safe_url
from dashboard.web.request_guards import has_lone_surrogates, nesting_depth
from domain.accounts import account_name, account_subject, password_fault
from ingest.crawl import feeds
from ingest.text import clean_text, dates, near_duplicates, personal_data
from ingest.text.urls import absolute, canonical
from models.inference.canonical import model_text
from storage.search_terms import search_patterns
from stream.watchlists.keywords import KeywordFinder, fold_article, parse_keyword
from stream.watchlists.pattern_cost import steps
from tests.helpers.growth import growth

MOST_GROWTH = 6.0
SIZE = 10_000
"""Characters of the shorter text."""
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
FINDER = KeywordFinder([parse_keyword(each) for each in ("债券 违约", "bond default | U.S. Steel", "/债券.{0,6}违约/")])
RSS = "<rss version='2.0' xmlns:content='http://purl.org/rss/1.0/modules/content/'><channel><title>t</title>{}</channel></rss>"


def feed(items: str) -> object:
    return feeds.read(RSS.format(items).encode("utf-8", "replace"), url="https://wire.example/feed")


def has_json(text: str) -> object:
    data = text.encode("utf-8", "surrogatepass")
    try:
        decoded = json.loads(data)
    except RecursionError:
        return None  # the guard answers 400
    return nesting_depth(decoded), has_lone_surrogates(data, decoded)


DOORS: dict[str, Callable[[str], object]] = {
    "text": clean_text.clean,
    "language": clean_text.language,
    "folding": fold,
    "time": lambda text: dates.read(text, UTC, NOW),
    "link": canonical,
    "relative link": lambda text: absolute("https://wire.example/feed", text),
    "personal data": lambda text: personal_data.mask(text, "zh"),
    "story": lambda text: near_duplicates.lsh_bands("", text),
    "model": lambda text: model_text("", text),
    "feed title": lambda text: feed(f"<item><title>{text}</title></item>"),
    "feed element": lambda text: feed(f"<item>{text}</item>"),
    "feed": lambda text: feeds.read(text.encode("utf-8", "replace"), url="https://wire.example/feed"),
    "TOML": lambda text: parse_toml(text, "text"),
    "TOML value": lambda text: parse_toml(f"a = {text}", "text"),
    "keyword": parse_keyword,
    "regular expression": lambda text: parse_keyword(f"/{text}/"),
    "size of a pattern": steps,
    "keywords in a text": lambda text: FINDER.find([fold_article(text, text)]),
    "search": search_patterns,
    "cookies": parse_cookie,
    "JSON": has_json,
    "article of the API": lambda text: msgspec.json.decode(text.encode("utf-8", "replace"), type=ArticleIn),
    "log": mask,
    "shown text": lambda text: (plain(text), body(text), safe_url(text)),
    "account name": account_name,
    "failed name": account_subject,
    "password": lambda text: password_fault(text, "lee"),
}
HOSTILE = (
    "\u0345\u0301", "&#x345;&#x301;", "é", "ﷺ", "a.", "[", "[[", "{a=", '{"a":', "a,", "<", "<b>",
    "<!--", "<![CDATA[", "&amp;", "&", "&#", "]]>", "//", "://", "://a@", "http://a/", "?", "#",
    "=", "; ", "; a=", '"', "\\", "\\u0041", "'", "(", "(a", "a{9}", "a|", "9", "9-", "9:", "9年",
    "一", "债券", "U.S. ", "a-", "·", " ", "\t", "\n", "\x00", "1 ", "a b ", "@", "a@b.",
    "<figcaption>", "<p a='1' ", "xmlns:a='b' ", "</b>", "😀", "\ud800", "Ａ", "违 约 ", "<script>",
    "%",
)  # fmt: skip


def attributes(size: int) -> str:
    return "<x " + " ".join(f"a{n}='1'" for n in range(size // 8)) + "/>"


def namespaces(size: int) -> str:
    count = size // 40
    return "".join(f"<x xmlns:p{n}='u{n}'>" for n in range(count)) + f"<p{count - 1}:y/>" * count + "</x>" * count


def base(size: int) -> str:
    return f"<x xml:base='/{'a/' * (size // 4)}'>" + "<link href='b' rel='alternate'/>" * (size // 60) + "</x>"


def netloc(size: int) -> str:
    return (
        f"<link>http://a{chr(0x345) * (size // 2)}{chr(0x301) * (size // 2)}/</link><x xml:base='//b{'&#x345;&#x301;' * (size // 15)}/'/>"
    )


@pytest.mark.parametrize("make", [attributes, namespaces, base, netloc], ids=lambda make: make.__name__)
def test_a_feed_that_is_slow_for_feedparser_takes_linear_time(make: Callable[[int], str]):
    assert growth(DOORS["feed element"], make, 4 * SIZE) <= MOST_GROWTH


@pytest.mark.parametrize("door", DOORS)
def test_repeated_hostile_text_takes_linear_time(door: str):
    slow = {}
    for part in HOSTILE:
        for start in ("", "a"):
            factor = growth(DOORS[door], lambda size, part=part, start=start: start + part * (size // len(part)), SIZE)  # type: ignore[misc]
            if factor > MOST_GROWTH:
                slow[start + part] = factor
    assert slow == {}


@pytest.mark.parametrize("door", DOORS)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(parts=st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=4))
def test_mixed_hostile_text_takes_linear_time(door: str, parts: list[str]):
    unit = "".join(parts)
    assert growth(DOORS[door], lambda size: unit * (size // len(unit)), SIZE) <= MOST_GROWTH, unit
