"""`make screenshots`: every page of the dashboard, light and dark, over the invented news of tests.browser.site."""

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
"""Pages that are pictured in Chinese."""


class Shot(NamedTuple):
    """A picture of an address. Its files are NAME-light.png and NAME-dark.png."""

    name: str
    address: Address
    lang: str


BESIDES = (
    Shot("overview-zh", Address("overview", ""), "zh"),
    Shot("overview-companies", Address("overview", "?kind=company&colours=red-up"), "en"),
)
"""What some pages look like when they are asked otherwise; last, since a browser remembers it."""


def shots() -> Iterator[Shot]:
    """One of each page of the shell, and those besides."""
    for address in of_the_shell():
        if address.first:
            yield Shot(address.name, address, "zh" if address.name in IN_CHINESE else "en")
    yield from BESIDES


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
        written += _both(page, "login", "login?lang=en", folder)
        page.driver.add_cookie(cookie_of(site, "chief"))  # an admin sees all there is
        for shot in sorted(shots(), key=lambda shot: shot.name == "models"):
            if shot.name == "models":
                site.tell("months")  # after the others: their pages are of a young installation
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
