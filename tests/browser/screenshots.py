"""`make screenshots`: every page of the dashboard, light and dark, over the invented news of tests.browser.site."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.browser.conftest import Page, Site, chromium, cookie_of

SIZE = "1440,1000"
EVIDENCE = "#al-evidence a[href^='/article/']"
THEMES = ("light", "dark")


class Shot(NamedTuple):
    """A picture. path: with {energy}, the id of an alert, and {article}, that of an article; ready: what stands there when it is drawn"""

    name: str
    path: str
    ready: str


SHOTS = (
    Shot("overview", "?lang=en", "#ov-mood .scatterlayer .trace"),
    Shot("overview-zh", "?lang=zh", "#ov-mood .scatterlayer .trace"),
    Shot("alerts", "alerts?lang=en", "#in-rows a"),
    Shot("alert", "alert/{energy}?lang=en", "#al-chart .barlayer .trace"),
    Shot("articles", "articles?lang=zh&q=停产", "#fd-grid .ag-row"),
    Shot("article", "article/{article}?lang=en", "#ar-scores *"),
    Shot("overview-companies", "?lang=en&kind=company&colours=red-up", "#ov-mood .scatterlayer .trace"),
    Shot("watchlists", "watchlists?lang=en", "#wa-text"),
    Shot("sources", "sources?lang=en", "#sr-rows img.spark"),
    Shot("system", "system?lang=en", "#sy-rate .barlayer .trace"),
    Shot("series", "series/topic/energy?lang=en", "#se-trend .scatterlayer .trace"),
)


def shoot(folder: Path) -> list[Path]:
    """Picture everything into `folder`; the files that were written."""
    if not subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=False).stdout:
        print("  no Chinese font is installed: its signs will be boxes (apt-get install fonts-wqy-zenhei)", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-screens-")))
        site = Site(scratch / "store")
        stack.callback(site.stop)
        page = Page(stack.enter_context(chromium(scratch / "profile", SIZE)), site.url)
        page.open("login?lang=en")
        written += _both(page, "login", "form", folder)
        page.driver.add_cookie(cookie_of(site))
        page.open(f"alert/{site.ids['energy']}?lang=en")
        page.find(EVIDENCE)
        article = page.all(EVIDENCE)[2].get_attribute("href").split("/article/")[1].split("?")[0]  # the first is hostile
        for shot in SHOTS:
            page.open(shot.path.format(energy=site.ids["energy"], article=article))
            written += _both(page, shot.name, shot.ready, folder)
    return written


def _both(page: Page, name: str, ready: str, folder: Path) -> list[Path]:
    written = []
    for theme in THEMES:
        page.js(f"window.localStorage.setItem('tocsin.theme', '{theme}')")
        page.driver.refresh()
        page.find(ready)
        page.wait(lambda: not page.all(".mantine-Skeleton-root"), f"{name}: everything is drawn")
        page.js("document.activeElement.blur()")
        path = folder / f"{name}-{theme}.png"
        page.driver.save_screenshot(str(path))
        written.append(path)
        print(f"  {path}", file=sys.stderr)
    return written


if __name__ == "__main__":
    shoot(Path(sys.argv[1]))
