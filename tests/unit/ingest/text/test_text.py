"""URLs, text cleaning, character encodings and dates in both languages."""

from __future__ import annotations

import string
import time
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadRecord
from ingest.text import clean_text, dates, urls

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("HTTPS://News.Example.COM:443/A/b?utm_source=x&id=7&fbclid=q#top", "https://news.example.com/A/b?id=7"),
        ("http://example.com:8080", "http://example.com:8080/"),
        ("https://example.com/?b=2&a=1&spm=a2", "https://example.com/?b=2&a=1"),
        ("https://example.com/新闻?词=涨", "https://example.com/%E6%96%B0%E9%97%BB?%E8%AF%8D=%E6%B6%A8"),
        ("https://example.com/%E6%96%B0%E9%97%BB", "https://example.com/%E6%96%B0%E9%97%BB"),
        ("https://user:secret@example.com/a", "https://example.com/a"),
        ("https://例子.测试/a", "https://xn--fsqu00a.xn--0zwm56d/a"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("  https://example.com/a \n", "https://example.com/a"),
        ("https://example.com/#/news/1?utm_source=x", "https://example.com/#/news/1"),
        ("https://example.com/#!新闻", "https://example.com/#!%E6%96%B0%E9%97%BB"),
        ("https://example.com/blog#entry-5", "https://example.com/blog#entry-5"),
        ("https://example.com/list#id=5&xtor=RSS-1", "https://example.com/list#id=5"),
        ("https://example.com/a#xtor=RSS-1", "https://example.com/a"),
        ("https://example.com/a#:~:text=gold", "https://example.com/a"),
        ("https://example.com/a#comments", "https://example.com/a"),
        ("https://example.com/#/", "https://example.com/"),
    ],
)
def test_equivalent_urls_have_one_canonical_form(given_url, expected):
    assert urls.canonical(given_url) == expected
    assert urls.canonical(expected) == expected


@pytest.mark.parametrize(
    "url", ["", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//example.com/a", "http://", "http://[::1", "http://a:99999/",
            "mailto:a@b.c",
            "https://example.com/" + "a" * 5_000, "ftp://example.com/a"]
)  # fmt: skip
def test_other_addresses_have_no_canonical_form(url):
    assert urls.canonical(url) == ""


def test_links_are_resolved_against_the_feed():
    assert urls.absolute("https://example.com/feed/rss.xml", "../a/1") == "https://example.com/a/1"
    assert urls.absolute("https://example.com/rss", "javascript:alert(1)") == ""


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://news.example.co.uk/a", "example.co.uk"),
        ("https://finance.sina.com.cn/a", "sina.com.cn"),
        ("https://WWW.Reuters.com:443/a", "reuters.com"),
        ("https://reuters.com.evil.net/a", "evil.net"),
        ("https://reuters.com@evil.net/a", "evil.net"),
        ("https://one.github.io/a", "one.github.io"),
        ("https://www.例子.中国/a", "xn--fsqu00a.xn--fiqs8s"),
        ("http://a.news.example/1", "news.example"),
        ("http://127.0.0.1:8080/1", "127.0.0.1:8080"),
        ("http://[::1]:8080/1", "[::1]:8080"),
        ("http://localhost/1", "localhost"),
        ("http://co.uk/", "co.uk"),
        ("", ""),
        ("javascript:alert(1)", ""),
    ],
)
def test_the_registrable_domain_is_that_of_one_owner(url, domain):
    assert urls.registrable_domain(url) == domain


def test_the_page_of_a_link_is_the_same_in_every_spelling():
    assert len({urls.page_key(f"{scheme}://{host}/a?id=1{rest}") for scheme in ("http", "https") for host in ("a.com", "www.A.com")
                for rest in ("", "&utm_source=x", "#top")}) == 1  # fmt: skip
    assert urls.page_key("https://a.com") == urls.page_key("https://a.com/#top") == urls.page_key("") == ""
    assert urls.page_key("https://a.com/#/1") != urls.page_key("https://a.com/#/2")


@given(st.text(max_size=200))
def test_domain_and_page_of_any_text_can_be_computed(value):
    url = "https://" + value
    assert bool(urls.registrable_domain(url)) == bool(urls.canonical(url))
    assert urls.page_key(url) == urls.page_key(urls.canonical(url))


@given(st.text(max_size=200), st.sampled_from(["", "#", "a#", "?b#"]))
def test_canonical_is_stable_for_any_text(value, before):
    once = urls.canonical("https://example.com/" + before + value)
    assert urls.canonical(once) == once


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("<p>沪指跌逾2%</p><p>券商股<b>集体</b>下挫</p>", "沪指跌逾2% 券商股集体下挫"),
        ("AT&amp;T &mdash; Q&A, R&D, P&ampG", "AT&T — Q&A, R&D, P&ampG"),
        ("&lt;p&gt;Fed holds&lt;/p&gt; &amp;amp; waits", "Fed holds & waits"),
        ("PE<15 and ROE>20, a < b", "PE<15 and ROE>20, a < b"),
        ("x<script>alert('1')</script>y", "x y"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;Shares fall", "Shares fall"),
        ("<a href='javascript:alert(1)'>点击</a>", "点击"),
        ("a\x00b\x0bc\ud800d\ufffde\u200bf\u202eg", "ab cdefg"),
        ("上涨\u3000\u3000５％\n\t下跌", "上涨 ５％ 下跌"),
        ("Nestle\u0301", "Nestlé"),
        ("<!-- 广告 -->正文<img src=x onerror=alert(1)>", "正文"),
        ("《财经》“引号”—— 😀👨‍👩‍👧", "《财经》“引号”—— 😀👨‍👩‍👧"),
        ("if x&lt;y and y&gt;z", "if x<y and y>z"),
        ("", ""),
    ],
)
def test_clean_returns_the_visible_text(raw, expected):
    assert clean_text.clean(raw) == expected


@given(st.text(alphabet=st.characters(min_codepoint=0xA1, exclude_categories=["Cs", "Cc", "Cf", "Zs", "Zl", "Zp", "Cn"]), max_size=300))
def test_non_ascii_characters_are_kept(value):
    """Every character must survive, in order: many tools delete Chinese."""
    value = value.replace("\ufffd", "")
    assert clean_text.clean(value) == unicodedata.normalize("NFC", value)


@given(st.text(max_size=300))
def test_clean_text_is_clean_for_any_input(value):
    cleaned = clean_text.clean(value)
    cleaned.encode("utf-8")
    assert cleaned == cleaned.strip()
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in cleaned)
    assert "  " not in cleaned


def test_hostile_text_is_cleaned_in_linear_time():
    """Patterns over '<' must not be quadratic: 200 kB of each take seconds, and would take hours."""
    begun = time.process_time()
    for piece in ("<", "<script>", "<!--", "&", "<a ", "&lt;", "<a <b "):
        clean_text.clean(piece * (200_000 // len(piece)))
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("沪指跌逾2%", "zh"),
        ("苹果 iPhone 17 Pro Max 发布", "zh"),
        ("Alibaba (阿里巴巴) shares rose after results in Hong Kong trading", "en"),
        ("Fed holds rates", "en"),
        ("", "en"),
        ("12:30 😀", "en"),
        ("第一季度GDP", "zh"),
    ],
)
def test_the_dominant_language_is_detected(words, expected):
    assert clean_text.language(words) == expected


def test_cut_reports_whether_text_was_removed():
    assert clean_text.cut("涨停", 2) == ("涨停", False)
    assert clean_text.cut("涨 停板", 2) == ("涨", True)


PARAGRAPH = "财联社11月22日电，A股三大指数今日集体调整，截至收盘，沪指跌2.13%，深成指跌2.61%，创业板指跌3.05%。"
TRADITIONAL = "恆生指數今日收市下跌三百點，銀行股與地產股領跌，成交額達一千億元，投資者擔心經濟增長放緩。"


@pytest.mark.parametrize(
    ("data", "declared", "expected"),
    [
        (PARAGRAPH.encode("gb18030"), "utf-8", PARAGRAPH),
        (PARAGRAPH.encode(), "gbk", PARAGRAPH),
        (PARAGRAPH.encode("gb18030"), "", PARAGRAPH),
        (PARAGRAPH.encode("gb18030"), "iso-8859-1", PARAGRAPH),
        (TRADITIONAL.encode("big5"), "big5", TRADITIONAL),
        (TRADITIONAL.encode("big5"), "utf-8", TRADITIONAL),
        (TRADITIONAL.encode("big5"), "gb2312", TRADITIONAL),
        ("㐀𠀀涨跌：股市今日".encode("gb18030"), "gb2312", "㐀𠀀涨跌：股市今日"),
        (b"\xef\xbb\xbf" + PARAGRAPH.encode(), "gbk", PARAGRAPH),
        (PARAGRAPH.encode("utf-16"), "utf-8", PARAGRAPH),
        (("<a>" + PARAGRAPH).encode("utf-16-le"), "", "<a>" + PARAGRAPH),
        ("Société Générale’s café".encode("cp1252"), "iso-8859-1", "Société Générale’s café"),
        ("日経平均株価は続落した。銀行株が安い。".encode("shift_jis"), "shift_jis", "日経平均株価は続落した。銀行株が安い。"),
        (PARAGRAPH.encode()[:-1], "utf-8", PARAGRAPH[:-1] + "\ufffd"),
        (PARAGRAPH.encode().decode("latin-1").encode(), "utf-8", PARAGRAPH),  # encoded twice: repaired
        (b"plain", "no-such-charset", "plain"),
        (
            f'<?xml version="1.0" encoding="gb2312"?><a>{PARAGRAPH}'.encode("gb18030"),
            "",
            f'<?xml version="1.0" encoding="gb2312"?><a>{PARAGRAPH}',
        ),
        (b"", "", ""),
    ],
)
def test_bytes_are_decoded_to_the_original_text(data, declared, expected):
    assert clean_text.decode(data, declared) == expected


def test_garbled_text_is_rejected():
    """GBK decoded as windows-1252: no article is better than a garbled one."""
    garbled = ("股市 " + PARAGRAPH).encode("gb18030").decode("latin-1")
    with pytest.raises(BadRecord, match="garbled"):
        clean_text.decode((garbled + "涨").encode(), "utf-8")


@given(st.binary(max_size=400))
def test_any_bytes_are_decoded_or_rejected(data):
    with suppress(BadRecord):
        assert isinstance(clean_text.decode(data, "gbk"), str)


@pytest.mark.parametrize(
    ("written", "zone", "expected"),
    [
        ("Sun, 22 Nov 2026 03:00:00 +0800", UTC, "2026-11-21T19:00:00"),
        ("Sun, 22 Nov 2026 03:00:00", SHANGHAI, "2026-11-21T19:00:00"),
        ("Sun, 22 Nov 2026 03:00:00 CST", SHANGHAI, "2026-11-21T19:00:00"),
        ("Sun, 22 Nov 2026 03:00:00 CST", ZoneInfo("America/Chicago"), "2026-11-22T09:00:00"),
        ("Sun, 22 Nov 2026 03:00:00 BST", UTC, "2026-11-22T02:00:00"),
        ("22 Nov 26 03:00 GMT", UTC, "2026-11-22T03:00:00"),
        ("2026-11-22 03:00:00", SHANGHAI, "2026-11-21T19:00:00"),
        ("2026-11-22T03:00:00Z", SHANGHAI, "2026-11-22T03:00:00"),
        ("2026-11-22T03:00:00.123456+08:00", UTC, "2026-11-21T19:00:00"),
        ("2026-11-22T03:00:00+0530", UTC, "2026-11-21T21:30:00"),
        ("2026/11/22 3:05", SHANGHAI, "2026-11-21T19:05:00"),
        ("2026-11-22", SHANGHAI, "2026-11-21T16:00:00"),
        ("20261122", UTC, "2026-11-22T00:00:00"),
        ("20261122030000", UTC, "2026-11-22T03:00:00"),
        ("20261122T030000Z", UTC, "2026-11-22T03:00:00"),
        ("2026年11月22日 03:00", SHANGHAI, "2026-11-21T19:00:00"),
        ("2026年11月22日（星期日）下午3:05", SHANGHAI, "2026-11-22T07:05:00"),
        ("２０２６年１１月２２日 ０３：００", SHANGHAI, "2026-11-21T19:00:00"),
        ("2026年11月22日03时05分06秒", SHANGHAI, "2026-11-21T19:05:06"),
        ("11月21日 08:00", SHANGHAI, "2026-11-21T00:00:00"),
        ("12月31日 08:00", SHANGHAI, "2025-12-31T00:00:00"),
        ("5分钟前", SHANGHAI, "2026-11-22T03:55:00"),
        ("3小时前", UTC, "2026-11-22T01:00:00"),
        ("昨天 12:30", SHANGHAI, "2026-11-21T04:30:00"),
        ("1795320000", SHANGHAI, "2026-11-22T04:00:00"),
        ("1795320000123", UTC, "2026-11-22T04:00:00"),
        ("Nov 22, 2026 3:00 PM EST", UTC, "2026-11-22T20:00:00"),
        ("November 22nd, 2026 at 12:00 AM", UTC, "2026-11-22T00:00:00"),
        ("Sun Nov 22 03:00:00 2026", UTC, "2026-11-22T03:00:00"),
        ("11/22/2026 03:00", UTC, "2026-11-22T03:00:00"),
        ("22/11/2026", UTC, "2026-11-22T00:00:00"),
        ("2026-11-22T24:00:00Z", UTC, "2026-11-23T00:00:00"),
        ("2026-12-31T23:59:60Z", UTC, "2027-01-01T00:00:00"),
        ("Sun, 22 Nov 2026 03:00:00 +0000 (UTC)", SHANGHAI, "2026-11-22T03:00:00"),
        ("2026-11-22 03:00:00 UTC+8", UTC, "2026-11-21T19:00:00"),
    ],
)
def test_times_are_parsed_as_their_source_means_them(written, zone, expected):
    assert dates.parse(written, zone, NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    ["", "yesterday-ish", "32 Nov 2026", "2026-02-30", "Sun, 22 Nov 0026 03:00:00 GMT", "0026-11-22", "03/04/2026",
     "17953", "999999999999999999", "2026-13-01", "2026-11-22 25:00", "99999-01-01", "+++", "1969-12-31", "2026年13月1日"],
)  # fmt: skip
def test_ambiguous_times_give_none(written):
    assert dates.parse(written, SHANGHAI, NOW) is None


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1)), st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Asia/Kolkata"])
)
def test_times_with_a_zone_round_trip(moment, name):
    aware = moment.replace(microsecond=0, tzinfo=ZoneInfo(name))
    for written in (aware.isoformat(), aware.strftime("%a, %d %b %Y %H:%M:%S %z"), aware.strftime("%Y年%m月%d日 %H:%M:%S %z")):
        assert dates.parse(written, UTC, NOW) == aware.astimezone(UTC)


@given(st.text(alphabet=string.digits + "-/: 年月日时分TZ+.", max_size=40))
def test_any_text_gives_a_time_or_none(written):
    found = dates.parse(written, SHANGHAI, NOW)
    assert found is None or found.utcoffset() == timedelta(0)
