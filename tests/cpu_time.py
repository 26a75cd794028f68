"""Names the tests that take most of the processor's time, their child processes' time included.

Durations say little where tests run side by side; these are about the same on a busy machine.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

MOST = 70


class CpuTime:
    """Measures each phase of a test where it runs, and prints the sums where the reports arrive."""

    def __init__(self) -> None:
        self._before_s = _used_s()
        self._of_test_s: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        """Writes into the report what was used since the one before it."""
        report: pytest.TestReport = yield
        now_s = _used_s()
        report.cpu_s = now_s - self._before_s
        self._before_s = now_s
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # a worker that crashed has measured nothing
        self._of_test_s[report.nodeid] += getattr(report, "cpu_s", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table."""
        if not self._of_test_s:
            return
        of_file_s: Counter[str] = Counter()
        for test, used_s in self._of_test_s.items():
            of_file_s[test.partition("::")[0]] += used_s
        for title, sums in ("tests", self._of_test_s), ("files", of_file_s):
            terminalreporter.section(f"most processor time: {title}")
            for name, used_s in sums.most_common(MOST):
                terminalreporter.write_line(f"{used_s:8.1f} s  {name}")
        terminalreporter.write_line(f"{sum(of_file_s.values()):8.1f} s  in all")


def _used_s() -> float:
    times = os.times()
    return sum(times[:4])
