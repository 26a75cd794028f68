"""What axe-core finds on a page, at the sizes of a phone and of a desk, on light and dark paper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Final

from selenium import webdriver

__all__ = ["LOOKS", "emulated", "violations"]

LOOKS: Final = tuple(product((1280, 390), ("light", "dark")))
"""Width of the window [CSS px] and colour scheme."""
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RUN: Final = """
const [tags, done] = arguments;
axe.run(document, {runOnly: tags, resultTypes: ['violations']}).then(
    found => done(found.violations.flatMap(rule => rule.nodes.map(node =>
        `${rule.id}: ${node.target} ${node.html.slice(0, 160)} (${node.failureSummary})`))),
    error => done([String(error)]));
"""


def _source() -> str:
    """The program of axe-core, which the package for Playwright brings along."""
    spec = find_spec("axe_playwright_python")
    assert spec is not None and spec.origin is not None, "axe-playwright-python is not installed"
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@contextmanager
def emulated(browser: webdriver.Chrome, width: int, scheme: str) -> Iterator[None]:
    """A screen of that width; what changes slowly changes at once."""
    phone = width < 640
    size = {
        "width": width,
        "height": 844 if phone else 900,
        "deviceScaleFactor": 2 if phone else 1,
        "mobile": phone,
    }
    media = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def violations(browser: webdriver.Chrome) -> list[str]:
    """Rules of WCAG 2.2 AA, and of good practice, that the present page breaks, and where."""
    if not browser.execute_script("return typeof axe !== 'undefined'"):
        browser.execute_script(_source())
    return list(browser.execute_async_script(RUN, TAGS))
