"""A headless Chromium and a dashboard, both shared by the tests of this folder."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.site import PASSWORD
from tests.helpers.servers import unavailable

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # pages must work without the internet
)
WAIT_S = 40.0
NOT_YET = (NoSuchElementException, StaleElementReferenceException, ElementClickInterceptedException, ElementNotInteractableException)
"""Exceptions of the driver while a page is rendered again."""
WATCH = (Path(__file__).parent / "watch.js").read_text(encoding="utf-8")
QUIET_MS = 250
"""A page counts as settled when it has not changed for so long."""


class Site:
    """The dashboard of tests.browser.site: its address, the ids of its data, and the commands that it accepts."""

    def __init__(self, folder: Path, scene: str = "test") -> None:
        command = [sys.executable, "-m", "tests.browser.site", str(folder), scene]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started = self._answer()
        self.url: str = started["url"]
        self.ids: dict[str, str] = started

    def _stream(self, stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream

    def _answer(self) -> Any:
        line = self._stream(self._process.stdout).readline()
        assert line, f"the site ended with {self._process.wait()}"
        return json.loads(line)

    def _report(self, word: str) -> None:
        stdin = self._stream(self._process.stdin)
        stdin.write(word + "\n")
        stdin.flush()

    def send(self, word: str) -> Any:
        self._report(word)
        return self._answer()

    def stop(self) -> None:
        with self._process:
            self._report("quit")
            self._process.wait(20)


class Page:
    """A browser with helpers that wait for elements and read them."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver, self.url = driver, url

    def open(self, path: str = "") -> None:
        self.driver.get(self.url + path)

    def wait(self, condition: Any, what: str = "", timeout_s: float = WAIT_S) -> Any:
        def met(_driver: Any) -> Any:
            try:
                return condition()
            except NOT_YET:
                return False

        return WebDriverWait(self.driver, timeout_s, poll_frequency=0.1).until(met, what)

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def find(self, css: str) -> Any:
        return self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, css), css)

    def press(self, css: str) -> None:
        """Click on an element; retried while the page renders it again or something covers it."""

        def pressed() -> bool:
            self.driver.find_element(By.CSS_SELECTOR, css).click()
            return True

        self.wait(pressed, css)

    def choose(self, css: str, words: str) -> None:
        """Choose an option of a dropdown by its text."""
        options = "[...document.querySelectorAll('[role=option]')]"
        chosen = options + ".find(each => each.checkVisibility() && each.textContent.includes(arguments[0]))"
        self.press(css)

        def pressed() -> bool:
            option = self.js(f"return {chosen}", words)
            if option:
                option.click()
            return bool(option)

        self.wait(pressed, f"{words!r} in the list of {css}")

    def operations(self, address: str) -> None:
        """Navigate with the header's menu, without reloading the page."""
        self.press("#operations > summary")
        self.press(f"#operations a[href^='{address}?']")

    def text(self, css: str) -> str:
        return str(self.find(css).text)

    def wait_for_text(self, css: str, words: str, timeout_s: float = WAIT_S) -> None:
        self.wait(lambda: words in self.driver.find_element(By.CSS_SELECTOR, css).text, f"{words!r} in {css}", timeout_s)

    def js(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def settle(self) -> None:
        """Wait until the page is rendered: no empty parts, no pending requests and no changes."""
        script = f"const w = window.__watch; return w.complete() && !w.busy && performance.now() - w.changed > {QUIET_MS}"
        self.wait(lambda: self.js(script), "the page is rendered")

    def complaints(self) -> list[str]:
        """Severe entries of the browser console since the last call: script errors, failed requests, violations of the policy.

        The missing icon of /healthz, which is not a page, is left out.
        """
        found_text = [entry["message"] for entry in self._log() if entry["level"] == "SEVERE"]
        return [message for message in found_text if "/favicon.ico - " not in message]

    def remember_nothing(self) -> None:
        """Clear cookies, storage and the console log."""
        self.open("healthz")
        self.driver.delete_all_cookies()
        self.js("window.localStorage.clear(); window.sessionStorage.clear()")
        self.complaints()

    def let_in(self, cookie: dict[str, str]) -> None:
        """Log in with a session cookie (see cookie_of)."""
        self.driver.add_cookie({**cookie, "httpOnly": True, "sameSite": "Lax"})

    @contextlib.contextmanager
    def phone(self) -> Iterator[None]:
        """Emulate a phone: 375 × 812, touch instead of a mouse."""
        size = {"width": 375, "height": 812, "deviceScaleFactor": 2, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def _log(self) -> list[dict[str, str]]:
        return self.driver.get_log("browser")  # type: ignore[no-untyped-call, no-any-return]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site"))
    yield running
    running.stop()


@contextlib.contextmanager
def chromium(profile: Path, size: str = "1440,1800") -> Iterator[webdriver.Chrome]:
    """A browser in the time zone of Shanghai."""
    binary, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not chromedriver:
        unavailable("chromium and chromedriver are not installed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--window-size={size}", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(chromedriver))
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Shanghai"})
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="session")
def session(site: Site) -> dict[str, str]:
    """The session cookie of an analyst."""
    return cookie_of(site)


@pytest.fixture(scope="session")
def viewer(site: Site) -> dict[str, str]:
    """The session cookie of a viewer."""
    return cookie_of(site, "viewer")


def cookie_of(site: Site, name: str = "analyst") -> dict[str, str]:
    """The session cookie of a new login."""
    return cookie_at(site.url, name)


def cookie_at(url: str, name: str, password: str = PASSWORD) -> dict[str, str]:
    """The session cookie of a new login at the dashboard of an address."""
    form = urllib.parse.urlencode({"name": name, "password": password}).encode()
    jar = http.cookiejar.CookieJar()
    urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)).open(url + "login", form, timeout=WAIT_S).close()
    (cookie,) = jar
    return {"name": cookie.name, "value": str(cookie.value)}


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        field = page.find(f"#{name}")
        field.clear()
        field.send_keys(value)
    page.press("button[type=submit].main")


def refusals(page: Page) -> None:
    """Console messages about rejected requests; everything else still fails the test."""
    found_text = page.complaints()
    assert all("status of 4" in line for line in found_text), found_text


@pytest.fixture
def stranger(driver: webdriver.Chrome, site: Site) -> Iterator[Page]:
    """A browser without cookies and storage, in English; after the test its console must have no errors."""
    opened = Page(driver, site.url)
    opened.remember_nothing()
    yield opened
    assert opened.complaints() == []


@pytest.fixture
def page(stranger: Page, session: dict[str, str]) -> Page:
    """The same, logged in as an analyst."""
    stranger.let_in(session)
    return stranger


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which checks the accessibility of a page."""
    try:
        return max((ROOT / ".cache" / "axe").glob("axe-core-*.min.js")).read_text(encoding="utf-8")
    except ValueError:
        unavailable("no axe-core here: run tests/install, which needs npm")
