"""The time of a page is its own article's, and what a feed shows of an entry is the article's own text."""

from __future__ import annotations

import pytest

from ingest.crawl.feeds import Entry, parse
from ingest.crawl.pages import extract
from ingest.text.clean_text import clean
from tests.helpers.shared_data import shared_dir

URL = "https://news.example/plant"
BODY = (
    "<p>The carmaker said it would close its plant in the north and cut two thousand jobs as demand fell to the lowest in ten years.</p>"
    * 2
)


def published(head: str = "", before: str = "", after: str = "", *, url: str = URL) -> str:
    body = f"<body><article><h1>Plant closes</h1>{before}{BODY}</article>{after}</body>"
    page = f"<html><head><title>Plant closes</title>{head}</head>{body}</html>"
    return extract(page.encode(), url=url).published


def ld(text: str) -> str:
    return f'<script type="application/ld+json">{text}</script>'


OWN = '{"@type":"NewsArticle","headline":"Plant closes","datePublished":"2026-11-30T03:00:00Z"}'
OTHER = '{"@type":"NewsArticle","headline":"Old plant opens","url":"https://news.example/old","datePublished":"2019-01-02T00:00:00Z"}'


@pytest.mark.parametrize(
    "head",
    [
        ld(f'{{"@type":"ItemList","itemListElement":[{OTHER}]}}') + ld(OWN),
        ld(f'{{"@graph":[{{"@type":"WebPage","datePublished":"2015-05-05T00:00:00Z"}},{OWN}]}}'),
        ld(f"[{OTHER},{OWN}]"),
        ld(OTHER) + ld(OWN),
        ld(OWN) + ld(OTHER),
        ld(f'{{"@type":["WebPage"],"datePublished":"2015-05-05","mainEntity":{OWN},"relatedLink":[{OTHER}]}}'),
        ld('{"@type":"NewsArticle","mainEntityOfPage":{"@id":"https://news.example/plant/"},"datePublished":"2026-11-30T03:00:00Z"}')
        + ld(OTHER),
        ld('{"@type":"NewsArticle","@id":"https://[domain]/plant","datePublished":"2019-01-02T00:00:00Z"}') + ld(OWN),
        ld(OTHER.replace("NewsArticle", "VideoObject")) + ld(OWN.replace("NewsArticle", "https://schema.org/ReportageNewsArticle")),
        '<meta property="article:published_time" content="2026-11-30T03:00:00Z"><meta name="date" content="2019-01-02">',
    ],
)
def test_the_time_is_that_of_the_page_s_own_article(head):
    assert published(head) == "2026-11-30T03:00:00Z"


@pytest.mark.parametrize(
    "after",
    [
        '<aside><time datetime="2019-01-02T00:00:00Z">related</time></aside>',
        '<footer><time datetime="2019-01-02">x</time></footer>',
        '<div class="related-news"><time datetime="2019-01-02">x</time></div>',
        '<ul><li><a href="/old">Old <time datetime="2019-01-02">2019</time></a></li></ul>',
        '<div class="推荐阅读 recommend"><span class="date">2019-01-02</span></div>',
        ld(f'{{"@type":"ItemList","itemListElement":[{OTHER}]}}'),
        ld(OTHER),
        '<section><article><h2>Old plant opens</h2><time datetime="2019-01-02">x</time></article></section>',
        '<article><h2>Old</h2><span class="pub-date">2019-01-02</span></article>',
    ],
)
def test_the_time_of_another_article_is_none(after):
    assert published(after=after) == ""
    assert published(before='<time datetime="2026-11-30T03:00:00Z">today</time>', after=after) == "2026-11-30T03:00:00Z"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("<div class='article-info'><span class='pubtime'>2026-11-30 09:30</span> 来源：某报</div>", "2026-11-30 09:30"),
        ("<p class='source'>2026年11月30日09:30 来源：某报</p>", "2026年11月30日09:30"),
        ("<div id='pub_date'>30 November 2026</div>", "30 November 2026"),
        ("<span class='byline'>By A. Writer, Nov 30, 2026 9:30 am</span>", "Nov 30, 2026 9:30 am"),
    ],
)
def test_the_time_beside_the_heading_is_read(before, expected):
    assert published(before=before) == expected


def test_the_day_in_the_address_is_the_last_resort():
    assert published(url="https://news.example/2026/11/30/plant.html") == "2026-11-30"
    assert published(url="https://news.example/n1/2026/1130/c1.html") == "2026-11-30"
    assert published(url="https://news.example/20261399/1.html") == ""


@pytest.mark.parametrize(("name", "expected"), [("graph", "2026-11-30T03:00:00Z"), ("related", "2026-11-30T03:00:00Z"), ("aside", "")])
def test_the_pages_of_the_case(name, expected):
    page = shared_dir() / f"cases/07_page_date_of_another_article/{name}.html"
    assert extract(page.read_bytes(), url=URL).published == expected


def entry(inside: str) -> Entry:
    spaces = (
        'xmlns:media="http://search.yahoo.com/mrss/" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/"'
    )
    (found,) = parse(f'<rss version="2.0" {spaces}><channel><title>t</title><item>{inside}</item></channel></rss>'.encode(), url=URL)
    return found


CAPTION = "A happy crowd celebrates record growth and strong profits at a sunny festival last summer"
OWN_TEXT = "<title>Plant closes</title><description>Carmaker shuts its plant.</description>"


@pytest.mark.parametrize(
    "other",
    [
        f"<media:content url='a.jpg'><media:description>{CAPTION}</media:description><media:title>{CAPTION}</media:title></media:content>",
        f"<media:group><media:content url='a.jpg'/><media:description>{CAPTION}</media:description></media:group>",
        f"<media:description>{CAPTION}</media:description>",
        f"<itunes:summary>{CAPTION}</itunes:summary><itunes:title>{CAPTION}</itunes:title>",
        f"<dc:description>{CAPTION}</dc:description>",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_captions_are_not_the_text_of_an_entry(other, first):
    found = entry(other + OWN_TEXT if first else OWN_TEXT + other)
    assert (found.title, found.summary) == ("Plant closes", "Carmaker shuts its plant.")


def test_what_stands_alone_is_read():
    assert entry("<title>a</title><dc:description>The text.</dc:description>").summary == "The text."
    assert entry("<title>a</title><itunes:summary>The text.</itunes:summary>").summary == "The text."
    assert (
        entry(
            f"<title>a</title><media:content url='a.jpg' medium='image'><media:description>{CAPTION}</media:description></media:content>"
        ).summary
        == ""
    )
    video = "<media:group><media:content url='a' type='video/mp4'/><media:description>What happens.</media:description></media:group>"
    assert entry(f"<title>a</title>{video}").summary == "What happens."
    assert entry(
        f"<title>a</title><description>Short.</description><content:encoded>{'Long text. ' * 9}</content:encoded>"
    ).summary.startswith("Long")


def test_a_figcaption_is_not_the_text():
    assert (
        clean(f"<figure><img src='a'><figcaption class='x'>{CAPTION}</figcaption></figure><p>Carmaker shuts its plant.</p>")
        == "Carmaker shuts its plant."
    )
    assert clean("<p>One</p><figcaption>open <p>Two</p>") == "One open Two"


AMPERSANDS = {
    "S&P 500 slides; AT&T and P&G fall": "S&P 500 slides; AT&T and P&G fall",
    "R&D; M&A at H&M; Q&A": "R&D; M&A at H&M; Q&A",
    "A &amp; B &lt;C&gt; &#38; D": "A & B <C> & D",
    "caf&eacute; &nbsp;&hellip; 5&nbsp;%": "café … 5 %",
    "a&b=1&copy=2&times=3&lang=zh&para=4": "a&b=1&copy=2&times=3&lang=zh&para=4",
    "<![CDATA[S&P 500 & AT&T]]>": "S&P 500 & AT&T",
    "5 &LT; 6 &GT; 4 &AMP; 1 &QUOT;x&QUOT;": '5 < 6 > 4 & 1 "x"',
    "财报&分析；A&B公司": "财报&分析；A&B公司",
}


@pytest.mark.parametrize(("written", "read"), AMPERSANDS.items())
def test_a_bare_ampersand_damages_neither_titles_nor_links(written, read):
    found = entry(f"<title>{written}</title><link>https://n.example/a?id=1&lang=zh&copy=3&amp;yen=4</link>")
    assert clean(found.title) == read
    assert found.link == "https://n.example/a?id=1&lang=zh&copy=3&yen=4"


def test_the_feeds_of_the_cases():
    (caption,) = parse((shared_dir() / "cases/06_media_description/feed.xml").read_bytes(), url=URL)
    assert caption.summary == "Carmaker shuts its loss-making plant."
    (bare,) = parse((shared_dir() / "cases/08_bare_ampersand_feed/feed.xml").read_bytes(), url=URL)
    assert (clean(bare.title), bare.link) == ("S&P 500 slides; AT&T and P&G fall", "https://n.example/a?id=1&lang=zh&copy=3")
