"""A real browser, and what a person does in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

__all__ = ["WAIT_S", "Look", "chrome"]

WAIT_S: Final = 120.0


@contextmanager
def chrome(*, any_authority: bool = False) -> Iterator[webdriver.Chrome]:
    """A browser without a window; one that takes certificates of `any_authority`."""
    options = webdriver.ChromeOptions()
    options.accept_insecure_certs = any_authority
    for argument in (
        "--headless=new",
        "--no-sandbox",  # in a container there is no other user
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1200,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield made
    finally:
        made.quit()


class Look:
    """What a person does in the browser."""

    def __init__(self, browser: webdriver.Chrome, base: str, shots: Path) -> None:
        self.browser = browser
        self.base = base
        self.shots = shots

    def open(self, path: str) -> None:
        self.browser.get(self.base + path)

    def find(self, selector: str) -> WebElement:
        return self.until(lambda b: b.find_element(By.CSS_SELECTOR, selector))

    def until(self, met: Callable[[webdriver.Chrome], Any]) -> Any:
        """Wait for what the page shows, not for a time."""
        return WebDriverWait(
            self.browser, WAIT_S, poll_frequency=0.1, ignored_exceptions=(Exception,)
        ).until(met)

    def type(self, box: WebElement, text: str) -> None:
        """Key by key, as a person does, who looks at what appears."""
        for count, key in enumerate(text, 1):
            box.send_keys(key)
            self.until(lambda _, typed=text[:count]: box.get_attribute("value") == typed)

    def text(self, selector: str, *parts: str) -> str:
        """The text of an element, once it holds all of `parts`."""
        return str(
            self.until(
                lambda b: (
                    all(part in b.find_element(By.CSS_SELECTOR, selector).text for part in parts)
                    and b.find_element(By.CSS_SELECTOR, selector).text
                )
            )
        )

    def points(self, chart: str) -> list[int]:
        """Points of every curve of a chart."""
        found = self.browser.execute_script(
            "const c = document.querySelector(arguments[0] + ' .js-plotly-plot');"
            "return c && c.data ? c.data.map(t => t.x.length) : []",
            chart,
        )
        return list(found)

    def shoot(self, name: str) -> None:
        self.browser.save_screenshot(str(self.shots / f"{name}.png"))

    def complaints(self) -> list[str]:
        """What the browser's console has said since the last look."""
        return [entry["message"] for entry in self.browser.get_log("browser")]
