"""Render articles as RSS 2.0 and Atom 1.0 feeds and as HTML pages. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from html import escape

from core.records import Language
from tocsin.newswire.cast import Newspaper
from tocsin.newswire.script import PublishedArticle

MAX_SUMMARY_CHARS = {"en": 160, "zh": 60}
"""Longest summary in a feed, in characters."""


def feed(paper: Newspaper, base: str, path: str, articles: Sequence[PublishedArticle], updated: datetime, *, full: bool) -> bytes:
    """Render the newspaper's feed, newest article first.

    Args:
        paper: the newspaper.
        base: address of its site.
        path: path of the feed.
        articles: in any order.
        updated: time of the last change.
        full: whether to include the full text, not only the lead.
    """
    newest_first = sorted(articles, key=lambda article: (article.published_at, article.url), reverse=True)
    form = _rss if paper.form == "rss" else _atom
    return form(paper, base, path, newest_first, updated, full).encode()


def summary_of(article: PublishedArticle) -> str:
    """The lead, shortened for a feed."""
    lead, limit = article.paragraphs[0], MAX_SUMMARY_CHARS[article.language]
    return lead if len(lead) <= limit else lead[: limit - 1].rstrip() + "…"


def _html(article: PublishedArticle) -> str:
    return "".join(f"<p>{escape(paragraph, quote=False)}</p>" for paragraph in article.paragraphs)


def _rss(paper: Newspaper, base: str, path: str, articles: Sequence[PublishedArticle], updated: datetime, full: bool) -> str:
    items = []
    for article in articles:
        content = f"<content:encoded>{escape(_html(article))}</content:encoded>" if full else ""
        items.append(
            f"<item><title>{escape(article.title)}</title><link>{escape(base + article.url)}</link>"
            f'<guid isPermaLink="false">{escape(guid_of(paper, article))}</guid><dc:creator>{escape(paper.name)}</dc:creator>'
            f"<category>{article.topic}</category><pubDate>{format_datetime(article.published_at, usegmt=True)}</pubDate>"
            f"<description>{escape(summary_of(article))}</description>{content}</item>"
        )
    older = f'<atom:link rel="prev-archive" href="{base}/archive.xml"/>' if path != "/archive.xml" else ""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>'
        f"<title>{escape(paper.name)}</title><link>{base}/</link><description>{escape(paper.name)}</description>"
        f"<language>{'zh-CN' if paper.language == 'zh' else 'en'}</language><ttl>1</ttl>"
        f"<lastBuildDate>{format_datetime(updated, usegmt=True)}</lastBuildDate>"
        f'<atom:link rel="self" type="application/rss+xml" href="{escape(base + path)}"/>{older}{"".join(items)}</channel></rss>\n'
    )


def _atom(paper: Newspaper, base: str, path: str, articles: Sequence[PublishedArticle], updated: datetime, full: bool) -> str:
    entries = []
    for article in articles:
        moment = article.published_at.isoformat()
        content = f'<content type="html">{escape(_html(article))}</content>' if full else ""
        entries.append(
            f"<entry><title>{escape(article.title)}</title><id>{escape(guid_of(paper, article))}</id>"
            f'<link rel="alternate" type="text/html" href="{escape(base + article.url)}"/>'
            f'<published>{moment}</published><updated>{moment}</updated><category term="{article.topic}"/>'
            f"<summary>{escape(summary_of(article))}</summary>{content}</entry>"
        )
    older = f'<link rel="prev-archive" href="{base}/archive.xml"/>' if path != "/archive.xml" else ""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="{"zh-CN" if paper.language == "zh" else "en"}">'
        f"<title>{escape(paper.name)}</title><id>tag:{paper.slug}.newswire.invalid,2026:{path}</id>"
        f'<link rel="self" type="application/atom+xml" href="{escape(base + path)}"/>{older}'
        f"<author><name>{escape(paper.name)}</name></author><updated>{updated.isoformat()}</updated>{''.join(entries)}</feed>\n"
    )


def guid_of(paper: Newspaper, article: PublishedArticle) -> str:
    """The article's id in its feed, independent of address and port."""
    return f"tag:{paper.slug}.newswire.invalid,2026:{article.url}"


_WORDS = {
    "en": ("Home", "Markets", "Companies", "World", "Subscribe", "More headlines", "Sign in to comment", "simulated by the Tocsin demo"),
    "zh": ("首页", "市场", "公司", "国际", "订阅", "更多新闻", "登录后发表评论", "由 Tocsin 演示程序模拟"),
}


def article_page(article: PublishedArticle, paper: Newspaper, base: str, others: Sequence[PublishedArticle]) -> bytes:
    """Render the article page; `others` are linked beside the article."""
    home, markets, companies, world, subscribe, more, comment, simulated = _WORDS[article.language]
    url = base + article.url
    moment = article.published_at.isoformat()
    data = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "headline": article.title,
        "datePublished": moment,
        "dateModified": moment,
        "inLanguage": article.language,
        "mainEntityOfPage": url,
        "publisher": {"@type": "Organization", "name": paper.name},
    }
    json_ld = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # a title must not end the script element
    links = "".join(f'<li><a href="{escape(base + other.url)}">{escape(other.title)}</a></li>' for other in others)
    text = "\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in article.paragraphs)
    nav = "".join(f'<li><a href="{base}/#{index}">{word}</a></li>' for index, word in enumerate((home, markets, companies, world)))
    return f"""<!doctype html>
<html lang="{"zh-CN" if article.language == "zh" else "en"}">
<head>
<meta charset="utf-8">
<title>{escape(article.title)} - {escape(paper.name)}</title>
<link rel="canonical" href="{escape(url)}">
<meta name="description" content="{escape(summary_of(article))}">
<meta property="og:title" content="{escape(article.title)}">
<meta property="og:type" content="article">
<meta property="article:published_time" content="{moment}">
<script type="application/ld+json">{json_ld}</script>
</head>
<body>
<header><a href="{base}/">{escape(paper.name)}</a>
<nav><ul>{nav}</ul></nav></header>
<main>
<h1>{escape(article.title)}</h1>
<p class="byline">{escape(paper.name)} <time datetime="{moment}">{article.published_at:%Y-%m-%d %H:%M} UTC</time></p>
<article>
{text}
</article>
<aside><h2>{more}</h2><ul>{links}</ul></aside>
</main>
<footer><p>&copy; {article.published_at.year} {escape(paper.name)} ({simulated})
| <a href="{base}/">{subscribe}</a> | {comment}</p></footer>
</body>
</html>
""".encode()


def front_page(name: str, language: Language, links: Sequence[tuple[str, str]]) -> bytes:
    """Render a front page with links: (URL, text) each."""
    items = "".join(f'<li><a href="{escape(url)}">{escape(words)}</a></li>' for url, words in links)
    return (
        f'<!doctype html><html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        f"<title>{escape(name)}</title></head><body><h1>{escape(name)}</h1><ul>{items}</ul></body></html>\n"
    ).encode()
