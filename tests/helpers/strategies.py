"""Hypothesis strategies for several tests: records of each kind, values of any type, and mutated bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, timedelta, timezone
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st

from core.records import (
    MAX_DECISIVE,
    MAX_TEXT_CHARS,
    MAX_TITLE_CHARS,
    NEWEST,
    OLDEST,
    Alert,
    Article,
    Chart,
    CompanyCount,
    CompanyScore,
    Evidence,
    MaterialityScore,
    Measure,
    Mention,
    Score,
    WatchlistScore,
    Why,
    WordCount,
)

MAX_MUTANT_BYTES = 50_000
ODD = ("", "涨停", "😀", "\x00", "\ufffd", "\u202e", "\x1f", "\U0010ffff", "e\u0301", "</script>", "javascript:alert(1)", "\u2028", '"')
TOKENS = (
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b"&#0;", b"&#xD800;", b"&#9999999999;", b"&amp;lt;",
    b"<!DOCTYPE x [", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<", b">", b'"', b"'", b"{", b"[", b"}", b",", b"\n", b"javascript:",
    b"1e999", b"-1", b"NaN", b"null", b"99999999999999999999999", b"9999-12-31T23:59:59-12:00", b"0001-01-01T00:00:00+12:00",
    "涨停".encode(), "跌".encode("gbk"), b"\xf0\x9f\x98",
)  # fmt: skip
"""What breaks parsers, for the places where chance would not put it."""


def examples(count: int) -> settings:
    """`count` examples, and as many times more as the profile asks for: fifty with `--hypothesis-profile=long`."""
    return settings(max_examples=math.ceil(count * settings().max_examples / 100), deadline=None)


def texts(most: int, least: int = 0) -> st.SearchStrategy[str]:
    """Any text that can be sent, odd characters more often than by chance."""
    plain = st.text(st.characters(exclude_categories=["Cs"]), min_size=least, max_size=min(most, 60))
    odd = st.lists(st.sampled_from(ODD), max_size=6).map("".join).filter(lambda text: least <= len(text) <= most)
    long = st.integers(least or 1, most).map(lambda length: "长" * length)
    return st.one_of(plain, odd, long)


_offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    OLDEST.replace(tzinfo=None) + timedelta(days=1),
    NEWEST.replace(tzinfo=None) - timedelta(days=1),
    timezones=st.one_of(st.just(UTC), _offsets),
)
shares = st.floats(0.0, 1.0)
counts = st.integers(0, 2**32 - 1)
amounts = st.floats(0.0, 1e300)
signed = st.floats(-1e300, 1e300)

roles = st.sampled_from(["subject", "speaker", "comparison"])
mentions = st.builds(Mention, company=texts(64, 1), surface=texts(200, 1), sector=texts(64), role=roles)
articles = st.builds(
    Article,
    id=texts(64, 16),
    url=texts(4_000),
    source=texts(200, 1),
    genre=st.sampled_from(["news", "social", "filing"]),
    language=st.sampled_from(["zh", "en"]),
    title=texts(MAX_TITLE_CHARS, 1),
    text=texts(MAX_TEXT_CHARS),
    published_at=moments,
    fetched_at=moments,
    mentions=st.lists(mentions, max_size=3).map(tuple),
    lsh_bands=st.lists(st.integers(0, 2**63 - 1), max_size=3).map(tuple),
    flags=st.lists(texts(20), max_size=2).map(tuple),
    trust=st.sampled_from(["domain", "feed", "archive", "push"]),
    owner=texts(400),
)
company_scores = st.builds(
    CompanyScore, company=texts(64, 1), sector=texts(64), role=roles, p_negative=shares, p_neutral=shares, p_positive=shares
)
watchlist_scores = st.builds(WatchlistScore, name=texts(64, 1), p_negative=shares, p_neutral=shares, p_positive=shares)
materialities = st.builds(MaterialityScore, p_background=shares, p_relevant=shares, p_urgent=shares)
scores = st.builds(
    Score,
    id=texts(64, 1),
    source=texts(200, 1),
    genre=st.sampled_from(["news", "social", "filing"]),
    language=st.sampled_from(["zh", "en"]),
    published_at=moments,
    story=texts(64, 1),
    p_negative=shares,
    p_neutral=shares,
    p_positive=shares,
    topics=st.dictionaries(texts(30, 1), shares, max_size=3),
    risks=st.dictionaries(texts(30, 1), shares, max_size=2),
    companies=st.lists(company_scores, max_size=3).map(tuple),
    watchlists=st.lists(watchlist_scores, max_size=2).map(tuple),
    materiality=st.none() | materialities,
    model=texts(40, 1),
    scored_at=moments,
)
evidence = st.builds(
    Evidence, id=texts(64, 1), title=texts(200), url=texts(200), source=texts(60, 1), published_at=moments, p_negative=shares
)
steps = st.lists(counts, max_size=100).map(tuple)
whys = st.builds(
    Why,
    stories=counts,
    more=st.booleans(),
    decisive_count=counts,
    decisive_article_ids=st.lists(texts(64, 1), max_size=MAX_DECISIVE).map(tuple),
    read=counts,
    words=st.lists(st.builds(WordCount, word=texts(40, 1), stories=counts), max_size=20).map(tuple),
    companies=st.lists(st.builds(CompanyCount, company=texts(64, 1), stories=counts), max_size=20).map(tuple),
    first_source=texts(200),
    first_at=st.none() | moments,
    chart=st.none() | st.builds(Chart, start=moments, step_s=st.integers(1, 86_400), negative=steps, expected=st.just((0.25,) * 36)),
)
alerts = st.builds(
    Alert,
    id=st.from_regex(r"[0-9A-Za-z_-]{1,64}", fullmatch=True),
    rule=texts(40, 1),
    series=texts(80, 1),
    window_start=moments,
    window_s=st.integers(1, 86_400),
    detected_at=moments,
    severity=st.sampled_from(["info", "warning", "critical"]),
    observed=counts,
    expected=amounts,
    surprise=amounts,
    total=counts,
    sources=counts,
    evidence=st.lists(evidence, max_size=3).map(tuple),
    why=st.none() | whys,
    measure=st.sampled_from(get_args(Measure)),
    value=signed,
    limit=signed,
    event=texts(64),
)

anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(10**18, 10**30), st.floats(), texts(30), st.just("2026-11-20T12:00:00"),
        st.just("0001-01-01T00:00:00Z"), st.just("9999-12-31T23:59:59Z"), st.just("\ud800"),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts(10), inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
"""Any JSON value, and what Python's json accepts in addition: NaN, infinity, lone surrogates."""


@st.composite
def mutants(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of `seeds` with one to five accidents: bytes changed, cut out, doubled many times over, put in, or taken from another."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 5))):
        start, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        how = draw(st.sampled_from(("change", "cut", "drop", "repeat", "insert", "splice")))
        if how == "change":
            data = data[:start] + draw(st.binary(min_size=1, max_size=4)) + data[start + 1 :]
        elif how == "cut":
            data = data[:end]
        elif how == "drop":
            data = data[:start] + data[end:]
        elif how == "repeat":
            data = data[:start] + data[start:end] * draw(st.integers(2, 40)) + data[end:]
        elif how == "insert":
            data = data[:start] + draw(st.sampled_from(TOKENS)) * draw(st.sampled_from((1, 1, 1, 50))) + data[start:]
        else:
            other = draw(st.sampled_from(seeds))
            data = data[:start] + other[draw(st.integers(0, len(other))) :]
        data = data[:MAX_MUTANT_BYTES]
    return data
