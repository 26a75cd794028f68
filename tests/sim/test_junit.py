from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from levada.sim.results.junit import PROPERTIES, write_junit


def summary(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = dict.fromkeys(PROPERTIES, 1)
    return plain | {
        "scenario": "storm",
        "wall_s": 1.5,
        "link": None,
        "expectations": [
            {"name": "It pours", "passed": True, "detail": "total 84 mm", "time_ms": None},
            {"name": "No <trap> & more", "passed": False, "detail": 'held "x" < 3', "time_ms": 1},
        ],
        **changes,
    }


def test_each_run_is_a_suite_and_each_expectation_a_case(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    write_junit(path, [summary(), summary(scenario="dry-spell", expectations=[])])
    root = ET.parse(path).getroot()
    suites = root.findall("testsuite")
    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in suites] == ["storm", "dry-spell"]
    assert (suites[0].get("tests"), suites[0].get("failures")) == ("2", "1")
    assert float(suites[0].get("time", "")) == 1.5
    cases = suites[0].findall("testcase")
    assert [case.get("name") for case in cases] == ["It pours", "No <trap> & more"]
    assert [case.get("classname") for case in cases] == ["storm", "storm"]


def test_a_failure_says_what_was_found(tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", [summary()])
    first, second = ET.parse(tmp_path / "junit.xml").getroot().findall("testsuite/testcase")
    assert first.find("failure") is None
    failure = second.find("failure")
    assert failure is not None
    assert failure.get("message") == 'held "x" < 3'


def test_the_figures_of_a_run_are_properties(tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", [summary(seed=42, partial=True)])
    found = {
        p.get("name"): p.get("value")
        for p in ET.parse(tmp_path / "junit.xml").getroot().findall(".//property")
    }
    assert found["seed"] == "42"
    assert found["partial"] == "True"
    assert set(found) == set(PROPERTIES)


def test_a_link_has_properties_and_a_void_one_is_an_error(tmp_path: Path) -> None:
    links = {
        "north": {"retries": 9, "restarts": ["10:00: watchdog", "11:00: panic"], "void": "too bad"},
        "south": {"retries": 0, "restarts": [], "void": None},
    }
    write_junit(tmp_path / "junit.xml", [summary(link=links)])
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    found = {p.get("name"): p.get("value") for p in suite.findall(".//property")}
    assert found["link.north.restarts"] == "10:00: watchdog; 11:00: panic"
    assert found["link.north.retries"] == "9"
    assert (found["link.south.restarts"], found["link.south.void"]) == ("none", "no")
    assert suite.get("errors") == "1"
    errors = {case.get("name"): case.find("error") for case in suite.findall("testcase")}
    error = errors["link of zone north"]
    assert error is not None
    assert error.get("message") == "too bad"
    assert "link of zone south" not in errors
