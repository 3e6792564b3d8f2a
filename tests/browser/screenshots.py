"""`make screenshots`: every page of the dashboard, light and dark, over the newsroom of tests.browser.newsroom."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.browser.addresses import Address, of_the_shell
from tests.browser.conftest import Page, Site, chromium, cookie_of

SIZE = "1440,1000"
THEMES = ("light", "dark")
IN_CHINESE = ("articles",)
"""Pages with screenshots in Chinese."""
NEWSROOM = {
    "alert": "alert/{alert}",
    "article": "article/{article}",
    "articles": "articles?q=债券&range=7d",
    "series": "series/sector/real_estate",
}
"""Addresses of pages with a variable part, with ids of tests.browser.newsroom."""


class Shot(NamedTuple):
    """A screenshot of an address; its files are NAME-light.png and NAME-dark.png."""

    name: str
    address: Address
    lang: str


FURTHER = (
    Shot("overview-zh", Address("overview", ""), "zh"),
    Shot("overview-companies", Address("overview", "?kind=company&colours=red-up"), "en"),
)
"""The overview with other options; last, because the browser stores them."""


def shots() -> Iterator[Shot]:
    """One screenshot of each page of the shell, then the others."""
    for address in of_the_shell():
        if address.first:
            shown = address._replace(path=NEWSROOM.get(address.name, address.path))
            yield Shot(address.name, shown, "zh" if address.name in IN_CHINESE else "en")
    yield from FURTHER


def shoot(folder: Path) -> list[Path]:
    """Write all screenshots to `folder`. Returns their paths."""
    if not subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=False).stdout:
        print(
            "  no Chinese font is installed, so its characters will be shown as boxes (apt-get install fonts-wqy-zenhei)", file=sys.stderr
        )
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-screens-")))
        site = Site(scratch / "store", "newsroom")
        stack.callback(site.stop)
        page = Page(stack.enter_context(chromium(scratch / "profile", SIZE)), site.url)
        written += _both(page, "login", "login?lang=en", folder)
        page.driver.add_cookie(cookie_of(site, "mei.chen"))  # an admin sees every control
        for shot in shots():
            written += _both(page, shot.name, shot.address.of(site.ids, shot.lang), folder)
    return written


def _both(page: Page, name: str, path: str, folder: Path) -> list[Path]:
    written = []
    page.open(path)
    for theme in THEMES:
        page.js(f"window.localStorage.setItem('tocsin.theme', '{theme}')")
        page.open(path)
        page.settle()
        page.js("document.activeElement.blur()")
        written.append(folder / f"{name}-{theme}.png")
        page.driver.save_screenshot(str(written[-1]))
        print(f"  {written[-1]}", file=sys.stderr)
    return written


if __name__ == "__main__":
    shoot(Path(sys.argv[1]))
