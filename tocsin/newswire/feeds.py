"""Articles as RSS 2.0 and Atom 1.0. Pure: articles in, XML out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from html import escape

from tocsin.newswire.cast import Paper
from tocsin.newswire.script import PublishedArticle

LEAD_CHARS = {"en": 160, "zh": 60}
"""A summary is cut after so many characters."""


def render(paper: Paper, base: str, path: str, articles: Sequence[PublishedArticle], updated: datetime, *, full: bool) -> bytes:
    """The paper's feed, newest article first.

    path: where it is served; full: with the whole text of each article, not only its lead
    """
    newest_first = sorted(articles, key=lambda article: (article.published_at, article.url), reverse=True)
    form = _rss if paper.form == "rss" else _atom
    return form(paper, base, path, newest_first, updated, full).encode()


def summary_of(article: PublishedArticle) -> str:
    """The lead, cut to what a feed shows of it."""
    lead, limit = article.paragraphs[0], LEAD_CHARS[article.language]
    return lead if len(lead) <= limit else lead[: limit - 1].rstrip() + "…"


def _html(article: PublishedArticle) -> str:
    return "".join(f"<p>{escape(paragraph, quote=False)}</p>" for paragraph in article.paragraphs)


def _rss(paper: Paper, base: str, path: str, articles: Sequence[PublishedArticle], updated: datetime, full: bool) -> str:
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


def _atom(paper: Paper, base: str, path: str, articles: Sequence[PublishedArticle], updated: datetime, full: bool) -> str:
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


def guid_of(paper: Paper, article: PublishedArticle) -> str:
    """The article's id in its feed: the same wherever the newswire listens."""
    return f"tag:{paper.slug}.newswire.invalid,2026:{article.url}"
