"""What `levada prove` is told of the tests: what came of each, and what it has tried."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from levada.twin.proof import FIGURES, LOG

__all__ = ["Prove", "proof", "pytest_runtest_logreport"]

Prove = Callable[..., None]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write it down, if `levada prove` has asked."""
    log = os.environ.get(LOG)
    if not log or "PYTEST_XDIST_WORKER" in os.environ:
        return
    if report.when == "call" or not report.passed:
        figures = [value for name, value in report.user_properties if name == "proof"]
        line = {"test": report.nodeid, "outcome": report.outcome, "figures": figures}
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Prove:
    """Says what a test has tried: `proof("acknowledged rows lost", tried=2_000, found=0)`, with a
    figure of `levada.twin.proof.FIGURES`; what is found fails the test."""

    def tell(name: str, *, tried: int, found: int) -> None:
        assert name in FIGURES
        assert tried > 0
        request.node.user_properties.append(
            ("proof", {"name": name, "tried": tried, "found": found})
        )
        assert found == 0, f"{name}: {found} of {tried}"

    return tell
