"""Accessibility of every page, in both themes and languages, on a desktop and a phone.

axe-core (https://github.com/dequelabs/axe-core) checks the criteria of WCAG 2.2 AA that can be tested automatically.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from selenium.common.exceptions import TimeoutException

from tests.browser.addresses import EVERY, Address
from tests.browser.conftest import Page, Site

LOOKS = (("en", "light"), ("zh", "dark"))
"""Colours depend on the theme and texts on the language, so two combinations cover all of both."""
GRAVE = ("serious", "critical")
TARGET_PX = 24
"""Minimum size of touch targets: WCAG 2.2, 2.5.8. Links within a sentence are exempt."""
REFIT_S = 5.0
"""Time for charts to be rendered again after the screen became narrower."""
JUDGE = """
const [options, done] = [arguments[0], arguments[arguments.length - 1]];
axe.run(document, options).then(found => done(found.violations), error => done([{id: String(error), impact: "critical", nodes: []}]));
"""
RUN = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SMALL = """
const shown = e => e.checkVisibility({visibilityProperty: true, opacityProperty: true});
const big = e => { const r = e.getBoundingClientRect(); return r.width >= arguments[0] && r.height >= arguments[0]; };
const inline = e => ["inline", "contents"].includes(getComputedStyle(e).display);
const within = e => inline(e) && [...e.parentElement.childNodes].some(n => n !== e && n.textContent.trim());  // a link in a sentence
return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, label, [role=button], [role=option]")]
  .filter(e => shown(e) && !e.disabled && !within(e) && !e.closest("[aria-hidden=true], .sr-only, .skip, .js-plotly-plot"))
  .filter(e => e.tagName !== "LABEL" || (e.control && !shown(e.control)))
  .filter(e => !big(e) && ![...(e.labels || [])].some(big))
  .map(e => `${Math.round(e.getBoundingClientRect().width)}×${Math.round(e.getBoundingClientRect().height)} ${e.outerHTML.slice(0, 160)}`)
"""
WIDE = """
const edge = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= edge) return [];
return [...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > edge + 1 && !e.closest(".scroll, .ag-root-wrapper"))
  .slice(0, 5).map(e => e.outerHTML.slice(0, 160))
"""


def grave(page: Page, axe: str) -> list[str]:
    """Serious and critical findings of axe-core, one line per rule."""
    if not page.js("return 'axe' in window"):
        page.js(axe)
    found: list[dict[str, Any]] = page.driver.execute_async_script(JUDGE, RUN)
    return [
        f"{each['id']} ({each['impact']}, {len(each['nodes'])} times): {each['nodes'][0]['html'][:300] if each['nodes'] else ''}"
        f" {each['nodes'][0].get('failureSummary', '') if each['nodes'] else ''}"
        for each in found
        if each["impact"] in GRAVE
    ]


@pytest.mark.parametrize("address", EVERY, ids=lambda address: address.name)
def test_a_page_is_accessible(stranger: Page, session: dict[str, str], site: Site, axe: str, address: Address):
    page = stranger
    if address.name != "login":
        page.let_in(session)
    faults: list[str] = []
    for lang, theme in LOOKS:
        page.js(f"window.localStorage.setItem('tocsin.theme', '{theme}')")
        page.open(address.of(site.ids, lang))
        page.settle()
        assert page.js("return document.documentElement.dataset.mantineColorScheme") == theme
        faults += [f"{lang}, {theme}: {fault}" for fault in grave(page, axe)]
        with page.phone():
            with contextlib.suppress(TimeoutException):
                page.wait(lambda: not page.js(WIDE), timeout_s=REFIT_S)
            page.settle()
            faults += [f"{lang}, on a phone: too wide: {part}" for part in page.js(WIDE)]
            faults += [f"{lang}, on a phone: too small for a finger: {part}" for part in page.js(SMALL, TARGET_PX)]
        faults += [f"{lang}: against the policy: {what}" for what in page.js("return window.__watch.refused")]
    assert not faults, "\n".join(faults)


def test_errors_of_a_page_are_detected(page: Page, axe: str):
    """The checks find an error in a script, a script that violates the policy, and a button without a name."""
    page.open("login?lang=en")
    page.js("setTimeout(() => { throw new Error('of the test'); })")
    page.js("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)")
    page.wait(lambda: page.js("return window.__watch.refused.length"), "the policy's word")
    assert page.js("return window.ran") is None
    found_text = page.complaints()
    assert any("of the test" in line for line in found_text), found_text
    assert any("Content Security Policy" in line for line in found_text), found_text
    page.js("const b = document.createElement('button'); b.style = 'width: 20px'; document.querySelector('main').append(b)")
    assert any("<button" in fault for fault in page.js(SMALL, TARGET_PX))
    assert any("button-name" in fault for fault in grave(page, axe))
