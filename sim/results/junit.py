"""Expectations as JUnit XML, for CI systems."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from levada.guest.text.plain import plain_values

__all__ = ["link_properties", "write_junit"]

PROPERTIES: Final = (
    "seed",
    "guest_sha256",
    "tape_digest",
    "trace_digest",
    "steps",
    "irrigation_mm",
    "balance_error_mm",
    "partial",
)


def link_properties(quality: dict[str, Any]) -> dict[str, Any]:
    """Figures of a link, with words where there is nothing to tell."""
    return quality | {
        "restarts": "; ".join(quality["restarts"]) or "none",
        "void": quality["void"] or "no",
    }


def write_junit(path: Path, summaries: Iterable[dict[str, Any]]) -> None:
    """One suite a run, one case an expectation, figures as properties.

    A link that makes the run void is a case with an error.
    """
    xml = JUnitXml("levada")
    for summary in map(plain_values, summaries):  # XML has no place for controls
        suite = TestSuite(summary["scenario"])
        for name in PROPERTIES:
            suite.add_property(name, str(summary[name]))
        for item in summary["expectations"]:
            case = TestCase(item["name"], classname=summary["scenario"])
            if item["passed"] is None:
                case.result = [Skipped(item["detail"])]
            elif not item["passed"]:
                case.result = [Failure(item["detail"], "expectation")]
            suite.add_testcase(case)
        for zone, link in (summary["link"] or {}).items():
            for name, value in link_properties(link).items():
                suite.add_property(f"link.{zone}.{name}", str(value))
            if link["void"]:
                case = TestCase(f"link of zone {zone}", classname=summary["scenario"])
                case.result = [Error(link["void"], "void")]
                suite.add_testcase(case)
        suite.update_statistics()  # type: ignore[no-untyped-call]
        suite.time = summary["wall_s"]  # which the line before has set to the cases' sum
        xml.add_testsuite(suite)
    xml.write(str(path), pretty=True)
