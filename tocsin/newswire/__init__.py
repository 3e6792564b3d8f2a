"""The simulated newswire of the demo: invented articles, served as feeds and pages by a real HTTP server.

grammar (texts) ─▶ script (articles and their times) ─▶ site (HTTP: feeds and pages, rendered by render) ─▶ any crawler
"""

from tocsin.newswire.script import Plan, PublishedArticle
from tocsin.newswire.site import Newswire

__all__ = ["Newswire", "Plan", "PublishedArticle"]
