"""An article's page as papers print it: the text between navigation, other headlines and a footer. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from core.records import Language
from tocsin.newswire.cast import Paper
from tocsin.newswire.feeds import summary_of
from tocsin.newswire.script import PublishedArticle

_WORDS = {
    "en": ("Home", "Markets", "Companies", "World", "Subscribe", "More headlines", "Sign in to comment", "simulated by the Tocsin demo"),
    "zh": ("首页", "市场", "公司", "国际", "订阅", "更多新闻", "登录后发表评论", "由 Tocsin 演示程序模拟"),
}


def render(article: PublishedArticle, paper: Paper, base: str, others: Sequence[PublishedArticle]) -> bytes:
    """The page; `others` are linked beside the article."""
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


def front(name: str, language: Language, links: Sequence[tuple[str, str]]) -> bytes:
    """A front page: (URL, words) of each link."""
    items = "".join(f'<li><a href="{escape(url)}">{escape(words)}</a></li>' for url, words in links)
    return (
        f'<!doctype html><html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        f"<title>{escape(name)}</title></head><body><h1>{escape(name)}</h1><ul>{items}</ul></body></html>\n"
    ).encode()
