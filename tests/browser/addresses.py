"""Addresses of all pages: those of the shell, and those outside Dash, such as the login page.

Pages of the shell are tested and rendered without an entry here, unless their address has a variable part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dashboard import shell

EXAMPLES = {
    "overview": ("", "?kind=company&colours=red-up"),
    "alert": ("alert/{energy}",),
    "article": ("article/{article}",),
    "articles": ("articles?q=停产", "articles"),
    "series": ("series/topic/energy", "series/company/HXD.SH"),
}
"""Addresses of pages with a variable part, with ids of tests.browser.site, and of pages with further options.

Keys are names of page modules; screenshots show the first address.
"""


class Address(NamedTuple):
    """name: for a test or a file; path: relative to the site, with placeholders for ids; first: whether it is the first of its page"""

    name: str
    path: str
    first: bool = True

    def of(self, ids: Mapping[str, str], lang: str) -> str:
        """The path with ids filled in, in a language."""
        path = self.path.format(**ids)
        return f"{path}{'&' if '?' in path else '?'}lang={lang}"


def of_the_shell() -> Iterator[Address]:
    """The pages of dashboard.shell. Raises LookupError if a page with a variable address has no entry in EXAMPLES."""
    for module in shell.EVERY_PAGE:
        known = module.__name__.rpartition(".")[2]
        path = "" if module.match("/") is not None else str(getattr(module, "PATH", "")).strip("/")
        examples = EXAMPLES.get(known, () if module.match("/" + path) is None else (path,))
        if not examples:
            raise LookupError(f"no address of the page {known} is known: give one in tests/browser/addresses.py")
        for number, example in enumerate(examples, 1):
            name = re.split(r"[/?]", example)[0] or "overview"
            yield Address(name if number == 1 else f"{name}-{number}", example, number == 1)


DOORS = (Address("login", "login"), Address("password", "password"))
NOWHERE = Address("nowhere", "nowhere")
EVERY = (*of_the_shell(), *DOORS, NOWHERE)
