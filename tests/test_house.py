"""The house: rooms of a size to read in, doors in one direction, every room on the plan."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "levada"  # in a source distribution the folders are nowhere else
FLOORS = ("guest", "sim", "hil", "twin")
"""From the ground up: each may import those before it."""
CLOSED: dict[tuple[str, ...], tuple[str, ...]] = {
    (
        "levada.sim.crop",
        "levada.sim.devices",
        "levada.sim.settings",
        "levada.sim.signals",
        "levada.sim.soil",
        "levada.sim.units",
        "levada.sim.weather",
    ): ("levada.sim.scenario", "levada.sim.run", "levada.sim.results"),
    ("levada.sim.scenario", "levada.sim.settings"): (
        "numpy",
        "levada.sim.run",
        "levada.sim.results",
    ),
}
"""Rooms -> what nothing in them imports: `levada.sim.run` alone turns a scenario into arrays."""
MOST_LINES = 500
MOST_FUNCTION_LINES = 100

TYPES_ONLY: set[tuple[str, str]] = {
    ("levada.sim.scenario.mapped", "levada.sim.scenario.mapping"),
    ("levada.sim.scenario.checks", "levada.sim.scenario.model"),
    ("levada.sim.scenario.fault", "levada.sim.scenario.model"),
    ("levada.sim.scenario.idle", "levada.sim.scenario.zone"),
    ("levada.sim.scenario.mapped", "levada.sim.scenario.mapping"),
}
"""Imports under `if TYPE_CHECKING` that would close a circle if they were made at run time."""


def files() -> list[Path]:
    return sorted(path for floor in FLOORS for path in (PACKAGE / floor).rglob("*.py"))


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(("levada", *(parts[:-1] if parts[-1] == "__init__" else parts)))


MODULES = {module(path): path for path in files()}


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(nodes: list[ast.stmt], *, types: bool = False) -> Iterator[tuple[str, bool]]:
    """Modules of ours that are imported when a module is, and whether only for types."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in MODULES:
                    yield name, types
                elif node.module in MODULES:
                    yield node.module, types
        elif isinstance(node, ast.Import):
            yield from ((a.name, types) for a in node.names if a.name in MODULES)
        elif isinstance(node, ast.If):
            checking = "TYPE_CHECKING" in ast.dump(node.test)
            yield from imports(node.body, types=types or checking)
            yield from imports(node.orelse, types=types)
        elif isinstance(node, ast.Try):
            yield from imports(node.body, types=types)


def edges(*, with_types: bool) -> dict[str, set[str]]:
    return {
        name: {to for to, types in imports(tree.body) if to != name and (with_types or not types)}
        for name, tree in trees().items()
    }


def test_imports_go_down_the_floors_only() -> None:
    wrong = []
    for name, tree in trees().items():
        floor = FLOORS.index(name.split(".")[1])
        for node in ast.walk(tree):  # imports within functions too
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for to, _ in imports([node]):
                if FLOORS.index(to.split(".")[1]) > floor:
                    wrong.append(f"{name} -> {to}")
    assert wrong == []


def roots(tree: ast.Module) -> set[str]:
    """Every module that is named in an import, those within functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def under(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def test_models_know_no_scenario_and_the_scenario_knows_no_arrays_and_no_run() -> None:
    wrong = [
        f"{name} -> {to}"
        for name, tree in trees().items()
        for rooms, closed in CLOSED.items()
        for to in roots(tree)
        if under(name, rooms) and under(to, closed)
    ]
    assert wrong == []


def test_a_scenario_is_read_without_arrays() -> None:
    program = "import sys, levada.sim.scenario.load; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    try:
        tuple(TopologicalSorter(edges(with_types=False)).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for to in graph[todo.pop()] - seen:
            seen.add(to)
            todo.append(to)
    return seen


def test_imports_for_types_that_close_a_circle_are_listed() -> None:
    runtime = edges(with_types=False)
    found = {
        (name, to)
        for name, tree in trees().items()
        for to, types in imports(tree.body)
        if types and name in reachable(to, runtime)
    }
    assert found == TYPES_ONLY


def test_a_file_of_more_than_500_lines_says_why() -> None:
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in MODULES.values()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > MOST_LINES
    }
    assert long == {}, "cut it, or there is a better reason than size"


def test_functions_are_short() -> None:
    lengths = {
        f"{name}.{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {k: n for k, n in lengths.items() if n > MOST_FUNCTION_LINES} == {}
    assert median(lengths.values()) <= 8
    assert quantiles(lengths.values(), n=10)[-1] <= 30


def test_every_room_is_a_package_that_is_installed() -> None:
    rooms = {path.parent for path in files()}
    assert {room for room in rooms if not (room / "__init__.py").exists()} == set()
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    listed = [
        line for line in setup["options"]["packages"].split("\n") if line and line[0] not in "#"
    ]
    assert sorted(listed) == sorted({"levada", *(module(room / "__init__.py") for room in rooms)})


def test_the_changelog_says_everything_once() -> None:
    for version in (ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## ")[1:]:
        lines = version.splitlines()
        said = [line for line in lines if line.startswith(("### ", "- "))]
        assert {line for line in said if said.count(line) > 1} == set()
        parts = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
        assert set(parts) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
        blocks = "\n".join(lines).split("\n\n")  # what stands apart begins as a heading or a point
        assert [b for b in blocks[1:] if b[0] == " "] == []
