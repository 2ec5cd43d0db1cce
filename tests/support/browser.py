"""Chromium without a screen, driven by the DevTools protocol through its own driver."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.daemons import Unavailable
from support.processes import PATIENCE

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARTIFACTS = Path(__file__).resolve().parent.parent / "artifacts"

# It is here for our pages only: none of what it does in the background by itself.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
)
# A page that is not in front keeps its pace.
AWAKE = (
    "--disable-backgrounding-occluded-windows",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Start one; Unavailable if it is not installed."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        raise Unavailable("selenium is not installed") from None
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        raise Unavailable("needs chromium and chromedriver (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for switch in ("--headless=new", *QUIET, *AWAKE):
        options.add_argument(switch)
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")  # It has none for root.
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(chrome)
    finally:
        chrome.quit()


class Browser:
    """A running browser."""

    def __init__(self, chrome: Chrome) -> None:
        self.chrome = chrome
        self._unused = chrome.current_window_handle

    def page(self, url: str) -> Page:
        """Open a page in a window of its own."""
        if self._unused:
            self.chrome.switch_to.window(self._unused)
            self._unused = ""
        else:
            self.chrome.switch_to.new_window("window")
        self.chrome.get(url)
        return Page(self.chrome, self.chrome.current_window_handle)

    def complaints(self) -> list[str]:
        """The warnings and errors on the consoles of all pages since the last time."""
        entries: list[dict[str, Any]] = self.chrome.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]


class Page:
    """One window."""

    def __init__(self, chrome: Chrome, handle: str) -> None:
        self.chrome = chrome
        self.handle = handle

    def front(self) -> Chrome:
        """The driver, which is about this window from now on."""
        self.chrome.switch_to.window(self.handle)
        return self.chrome

    def script(self, code: str, *args: object) -> Any:
        """What a script returns."""
        return self.front().execute_script(code, *args)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition to be true of the page; its value."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.front(), PATIENCE, poll_frequency=0.02)
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"not seen: {what}\n{self.text('body')}") from None

    def text(self, selector: str) -> str:
        """The text that is to be seen in an element."""
        return str(self.script("return document.querySelector(arguments[0]).innerText", selector))

    def shows(self, text: str, where: str = "body") -> None:
        """Wait until a text is to be seen."""
        self.until(lambda: text in self.text(where), text)

    def type(self, selector: str, text: str) -> None:
        """Type into a field, in place of what is in it, and press Enter."""
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        field = self.front().find_element(By.CSS_SELECTOR, selector)
        field.send_keys(Keys.CONTROL, "a")  # Held down until the end of the call.
        field.send_keys(text, Keys.ENTER)

    def click(self, selector: str) -> None:
        """Click on an element."""
        from selenium.webdriver.common.by import By

        self.front().find_element(By.CSS_SELECTOR, selector).click()

    def look(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Be a screen of a size, in colours."""
        metrics = {"width": width, "height": height, "mobile": phone}
        metrics["deviceScaleFactor"] = 2 if phone else 1
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        chrome = self.front()
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def screenshot(self, name: str) -> None:
        """Keep a picture of it among the artefacts of the test run."""
        path = ARTIFACTS / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self.front().save_screenshot(str(path))
