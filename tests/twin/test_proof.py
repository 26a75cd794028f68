"""The proof runs the tests that a page names, and counts what they say they tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import levada

from levada.hil.errors import UsageError
from levada.twin.proof import FIGURES, Proof, prove, rows_of, source_tree

TESTS = Path(__file__).parents[1]
PAGE = """
| | fault | must hold | test |
| --- | --- | --- | --- |
| S1 | a loop | cut | `test_guest.py`: a loop |
| S2 | recursion, a loop | trap | `test_guest.py`: deep, a loop |
| D1 | killed | stored | `test_store.py`; `unit_node.c`: anything |
"""
GUEST = """
import pytest

def test_a_loop_is_cut(proof):
    proof("forbidden publications", tried=7, found=0)

@pytest.mark.parametrize("depth", ["1 2", "x]"])
def test_deep_recursion(proof, depth):
    proof("forbidden publications", tried=100, found=0)

def test_of_no_row(proof):
    proof("forbidden publications", tried=1_000, found=0)
"""
STORE = """
import pytest

def test_killed(proof):
    proof("acknowledged rows lost", tried=50, found=LOST)
    proof("acknowledged rows doubled", tried=50, found=0)

@pytest.mark.slow
def test_killed_for_long(proof):
    proof("acknowledged rows lost", tried=5_000, found=0)

def test_where_it_can_be():
    pytest.skip("no such computer")
"""


def tree(folder: Path, *, lost: int = 0, page: str = PAGE) -> Path:
    """A source tree with three rows."""
    (folder / "docs").mkdir()
    (folder / "tests").mkdir()
    (folder / "docs/faults.md").write_text(page)
    (folder / "tests/conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n"
        "from proof_log import proof, pytest_runtest_logreport\n"
    )
    (folder / "tests/test_guest.py").write_text(GUEST)
    (folder / "tests/test_store.py").write_text(STORE.replace("LOST", str(lost)))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow: takes minutes\n")
    return folder


def counts(proof: Proof) -> dict[str, tuple[int, int]]:
    return {figure.name: (figure.tried, figure.found) for figure in proof.figures if figure.tried}


def test_a_row_is_its_last_column() -> None:
    rows = {row.name: row.tests for row in rows_of(PAGE)}
    assert rows == {
        "S1": (("test_guest.py", "a_loop"),),
        "S2": (("test_guest.py", "deep"), ("test_guest.py", "a_loop")),
        "D1": (("test_store.py", ""), ("unit_node.c", "anything")),
    }


@pytest.mark.slow
def test_what_was_tried_is_counted_once_and_by_row(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    proof = prove(tree(tmp_path), quick=False, progress=lambda *done: seen.append(done))
    assert proof.holds
    sandbox, store = proof.groups
    assert (sandbox.rows, sandbox.passed, sandbox.failed) == (2, 4, [])  # of S1, and of S2
    assert (store.rows, store.passed) == (1, 2)
    assert store.skipped == ["D1: tests/test_store.py::test_where_it_can_be"]
    assert counts(proof) == {
        "forbidden publications": (207, 0),
        "acknowledged rows lost": (5_050, 0),
        "acknowledged rows doubled": (50, 0),
    }
    assert seen[-1] == (6, 6)


@pytest.mark.slow
def test_the_command_shows_rows_figures_and_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levada.twin.proof.source_tree", lambda: tree(tmp_path, lost=3))
    out = tmp_path / "proof.json"
    done = levada("prove", "--quick", "--out", out, cwd=tmp_path)
    assert done.returncode == 1
    assert "failed: D1: tests/test_store.py::test_killed" in done.stdout
    (lost,) = (line for line in done.stdout.splitlines() if "rows lost" in line)
    assert lost.split()[-2:] == ["50", "3"]  # without what is slow
    written = json.loads(out.read_text())
    assert written["groups"][1]["failed"] == ["D1: tests/test_store.py::test_killed"]
    assert [figure["name"] for figure in written["figures"]] == list(FIGURES)


def test_a_page_that_names_no_test_is_refused(tmp_path: Path) -> None:
    page = "| S1 | a | b | `test_nowhere.py`: c |"
    with pytest.raises(UsageError, match=r"names `test_nowhere.py`, of which tests/ has 0"):
        prove(tree(tmp_path, page=page), quick=True)


def test_the_readme_shows_the_proof_that_is_kept() -> None:
    root = source_tree()
    kept = json.loads((root / "docs/proof.json").read_text("utf-8"))
    figures = kept["figures"]
    assert {figure["name"] for figure in figures} == set(FIGURES)
    assert all(figure["tried"] and not figure["found"] for figure in figures)
    assert not any(group["failed"] for group in kept["groups"])
    table = [f"| {f['name']} | {f['tried']:,} | {f['found']} |" for f in figures]
    assert "\n".join(table) in (root / "README.md").read_text("utf-8")


def test_every_row_of_the_page_itself_names_files_of_tests_that_are_there_once() -> None:
    rows = rows_of((TESTS.parent / "docs/faults.md").read_text("utf-8"))
    files = {file for row in rows for file, _ in row.tests}
    assert {len(list(TESTS.rglob(file))) for file in files} == {1}
    assert all(row.tests for row in rows)
    assert {row.name[0] for row in rows} == set("PSOBLD")


def test_the_tests_are_found_in_the_clone() -> None:
    assert (source_tree() / "docs/faults.md").is_file()
