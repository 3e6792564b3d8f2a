"""Feeds and pages that are built to exhaust time and memory: rejected or parsed within two seconds and a hundred megabytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import SourceError
from ingest.crawl import feeds

ROOT = Path(__file__).resolve().parents[2]
DECLARED = '<!DOCTYPE rss [<!ENTITY a "x">]>'
FEED = '<rss version="2.0"><channel><item><title>&a;</title></item></channel></rss>'
LOLS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "before",
    [
        "",
        '<?xml version="1.0"?>',
        " " * 300,
        '<?xml version="1.0"?>' + "\n" * 3_000_000,
        "<!-- a comment -->" * 100,
        "<!-- <rss> -->",
        "<!-- <a -- b> ?> -->\t<?a <!-- ?>",
        "<?xml-stylesheet href='<rss>'?>" + " " * 300,
        "\ufeff",
        "\ufeff\ufeff" + " " * 250 + "\ufeff",
        "\x00" * 300,
        "\u3000\xa0" * 200,
        "< ",
        "junk " * 100,
        "<1",
        "]]>",
    ],
    ids=lambda before: ascii(before[:24]),
)
@pytest.mark.parametrize(
    "declared", [DECLARED, DECLARED.lower(), "<!DOCTYPE rss SYSTEM 'file:///etc/passwd'>", " <\x00!DOCTYPE rss>", "<!ENTITY a 'x'>"]
)
def test_nothing_before_it_hides_a_declaration(before: str, declared: str):
    with pytest.raises(SourceError, match="declares a document type or entities, which are not allowed"):
        feeds.parse((before + declared + FEED).encode(), url="http://example.com/")


@pytest.mark.parametrize(
    "before",
    ["<!-- never ends " + "x" * 300, "<?never ends", "<!--" * 2_000_000, "<?" * 4_000_000, "<!---->" * 1_000_000],
    ids=lambda before: before[:14],
)
def test_a_comment_that_never_ends_hides_no_declaration(before: str):
    with pytest.raises(SourceError, match="declares a document type or entities, which are not allowed"):
        feeds.parse((before + DECLARED + FEED).encode(), url="http://example.com/")


@pytest.mark.parametrize(
    "feed",
    [
        '\ufeff<?xml version="1.0"?>\n<!-- <!DOCTYPE html> -->\n<?xml-stylesheet href="a.xsl"?>\n' + FEED.replace("&a;", "t"),
        FEED.replace("&a;", "<![CDATA[<!DOCTYPE html><b>t</b>]]>"),
        FEED.replace("&a;", "t").replace("</channel>", "<!-- <!ENTITY a 'x'> --></channel>"),
    ],
    ids=["in a comment", "in CDATA", "after the first element"],
)
def test_a_declaration_that_declares_nothing_is_no_reason_to_refuse(feed: str):
    assert len(feeds.parse(feed.encode(), url="http://example.com/")) == 1


BOMBS = {
    "a billion laughs": (
        "feed",
        f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "lol">{LOLS}]><rss version="2.0"><channel><title>&l11;</title></channel></rss>',
    ),
    "quadratic blowup": (
        "feed",
        f'<!DOCTYPE rss [<!ENTITY a "{"x" * 100_000}">]><rss version="2.0"><channel><title>{"&a;" * 100_000}</title></channel></rss>',
    ),
    "8 MB of blanks": ("feed", " " * 8_000_000 + DECLARED + FEED),
    "100,000 open tags": ("feed", "<" * 100_000),
    "60,000 deep, a feed": (
        "feed",
        "<rss version='2.0'><channel><item><title>t</title>" + "<a>" * 60_000 + "</a>" * 60_000 + "</item></channel></rss>",
    ),
    "60,000 deep, a page": ("page", "<html><body>" + "<div>" * 60_000 + "t" + "</div>" * 60_000),
    "60,000 deep, inline": ("page", "<html><body><p>" + "<b>" * 60_000 + "t"),
    "60,000 deep, JSON": ("page", '<script type="application/ld+json">' + "[" * 60_000 + "]" * 60_000 + "</script><p>t</p>"),
    "entities in a page": ("page", f'<!DOCTYPE html [<!ENTITY l0 "lol">{LOLS}]><p>&l11;</p>'),
}
PROGRAM = """
import resource, sys, time
from ingest.crawl import feeds, pages
from core.errors import SourceError
feeds.parse(b"<rss version='2.0'><channel><item><title>t</title></item></channel></rss>", url="http://example.com/")
pages.extract(b"<html><body><article><p>" + b"Some words of a page. " * 40 + b"</p></article></body></html>", url="http://example.com/")
read = feeds.parse if sys.argv[1] == "feed" else pages.extract
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
try:
    message = str(read(data, url="http://example.com/"))[:200]
except SourceError as error:
    message = f"refused: {error}"
print(time.process_time() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, message)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_hardly_any_time_and_memory(name: str):
    """In a separate process, so that its peak memory includes C libraries and a crash is detected.

    The worst takes 0.7 s of the processor: half a second that is shared with others counts for a whole one.
    """
    kind, text = BOMBS[name]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], input=text.encode(), capture_output=True, check=False, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, megabytes, message = done.stdout.decode().split(" ", 2)
    assert float(seconds) < 2.0 and float(megabytes) < 100, (seconds, megabytes, message)
