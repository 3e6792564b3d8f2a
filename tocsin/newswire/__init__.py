"""The simulated newswire of the demo: a real HTTP server, feeds and pages, and stories that nobody has to believe.

grammar (words) ─▶ script (who publishes what, when) ─▶ timeline (what is visible now) ─▶ site (HTTP) ─▶ any crawler
"""

from tocsin.newswire.script import Plan, PublishedArticle
from tocsin.newswire.site import Newswire

__all__ = ["Newswire", "Plan", "PublishedArticle"]
