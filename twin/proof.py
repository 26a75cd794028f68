"""The promises of `docs/faults.md`, proved: the tests of every row are run, and what they try is
counted.

The page is the list of what is promised: a row names a fault, what must hold then, and the tests
that inject it, as a file and words of their names.  A test says what it has tried by the fixture
`proof` of `tests/proof_log.py`: a figure, how many cases it tried, and in how many the promise did
not hold.  Nothing is proved twice: these are the tests that CI and the night run as well.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from levada.hil.errors import UsageError
from levada.hil.virtual import FIRMWARE, IN_CLONE

__all__ = [
    "FIGURES",
    "GROUPS",
    "LOG",
    "Figure",
    "Group",
    "Proof",
    "Row",
    "prove",
    "rows_of",
    "source_tree",
]

GROUPS: Final = {
    "P": "promises",
    "O": "updates",
    "S": "sandbox",
    "B": "broker and links",
    "L": "serial line",
    "D": "store, fog and twin",
}
LOG: Final = "LEVADA_PROOF"
"""Environment variable: the file to which tests write what came of them, a line of JSON each."""
FIGURES: Final = (
    "modules taken that must not be",
    "bad boots after a power cut",
    "forbidden publications",
    "acknowledged rows lost",
    "acknowledged rows doubled",
    "frames accepted that nobody sent",
    "valves open longer than permitted",
)
"""What is counted over all rows, in the order of the table; each has to be 0."""
_ROW: Final = re.compile(r"\| ([PSOBLD]\d+[a-z]?) \|")
_TEST: Final = re.compile(r"`((?:test|unit)_\w+\.(?:py|c))`(?:: ([^`;|]*))?")
"""Benchmarks that a row names beside them are measurements, and not run."""
_SOME_FAILED: Final = 1
"""Exit code of pytest when tests have failed."""
_COMMAND: Final = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of the page."""

    name: str
    tests: tuple[tuple[str, str], ...]
    """Files of tests, each with words that their names hold; "" are all of the file."""


@dataclass(kw_only=True, slots=True)
class Group:
    """What came of the rows of one letter."""

    letter: str
    rows: int = 0
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What they are about."""
        return GROUPS[self.letter]


@dataclass(kw_only=True, slots=True)
class Figure:
    """How often a promise was tried, and how often it did not hold."""

    name: str
    tried: int = 0
    found: int = 0


@dataclass(kw_only=True, slots=True)
class Proof:
    """All of it, as `docs/proof.json` has it."""

    date: str
    machine: str
    quick: bool
    seconds: float
    groups: list[Group]
    figures: list[Figure]

    @property
    def holds(self) -> bool:
        """Whether everything was run, passed, and found nothing."""
        complete = all(group.passed and not group.failed for group in self.groups)
        return complete and not any(figure.found for figure in self.figures)

    def to_json(self) -> str:
        """One key a line."""
        return json.dumps(asdict(self), indent=2) + "\n"


def rows_of(page: str) -> list[Row]:
    """The rows of `docs/faults.md`, in their order."""
    found = []
    for line in page.splitlines():
        row = _ROW.match(line)
        if row is None:
            continue
        tests = []
        for file, words in _TEST.findall(line.rstrip(" |").rpartition("|")[2]):
            parts = words.split(".")[0].split(",") if words else [""]
            tests += [(file, _as_name(part)) for part in parts]
        found.append(Row(name=row[1], tests=tuple(tests)))
    return found


def prove(
    root: Path,
    *,
    quick: bool,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Proof:
    """Run the tests of every row of the source tree `root`; `quick` leaves those out that take
    minutes.

    `progress(done, of)` is told how many tests have ended.  Raises UsageError if the page names
    tests that are not there, or they cannot be run.
    """
    begun = datetime.now(UTC)
    rows = rows_of((root / "docs/faults.md").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "proof"
        nodes = _collect(root, rows, quick=quick)
        _run(root, sorted({node for of_row in nodes.values() for node in of_row}), log, progress)
        cases = _cases(log)
    return Proof(
        date=begun.strftime("%Y-%m-%d"),
        machine=_machine(),
        quick=quick,
        seconds=round((datetime.now(UTC) - begun).total_seconds(), 1),
        groups=_grouped(rows, nodes, cases),
        figures=_figures(cases.values()),
    )


def source_tree() -> Path:
    """Where the tests are; raises UsageError where levada was installed without them."""
    root = FIRMWARE.resolve().parent
    if not IN_CLONE or not (root / "tests/conftest.py").is_file():
        raise UsageError(
            "levada prove: the proofs are the tests of the source tree, which an installed levada "
            "has not: run it in a clone of the project, after `make test`"
        )
    return root


# -- the tests ------------------------------------------------------------------------------------


def _as_name(words: str) -> str:
    return re.sub(r"\W+", "_", words.strip().lower())


@dataclass(frozen=True, slots=True)
class _Case:
    """A test that was run."""

    outcome: str
    """`passed`, `failed` or `skipped`."""
    figures: tuple[Figure, ...]


def _collect(root: Path, rows: Sequence[Row], *, quick: bool) -> dict[str, list[str]]:
    """Row -> the tests of pytest that belong to it, by their names in its report."""
    files = {file for row in rows for file, _ in row.tests if file.endswith(".py")}
    paths = {}
    for file in files:
        found = sorted((root / "tests").rglob(file))
        if len(found) != 1:
            raise UsageError(f"docs/faults.md names `{file}`, of which tests/ has {len(found)}")
        paths[file] = found[0].relative_to(root).as_posix()
    listed = _pytest(root, *sorted(paths.values()), "--collect-only", "-q", *_marks(quick))
    nodes = [line for line in listed.stdout.splitlines() if "::" in line]
    if listed.returncode or not nodes:
        raise UsageError(f"the tests cannot be collected:\n{listed.stdout[-2000:]}")
    by_row: dict[str, list[str]] = {}
    for row in rows:
        wanted = [(paths[file], words) for file, words in row.tests if file in paths]
        by_row[row.name] = [
            node
            for node in nodes
            if any(node.startswith(f"{path}::") and words in node.lower() for path, words in wanted)
        ]
    return by_row


def _marks(quick: bool) -> list[str]:
    return ["-m", "not slow" if quick else "slow or not slow"]


def _run(root: Path, nodes: Sequence[str], log: Path, progress: Callable[[int, int], None]) -> None:
    chosen = log.with_name("chosen")
    chosen.write_text("\n".join(nodes), "utf-8")
    command = [*_COMMAND, f"@{chosen}", *("-n", "2", "--dist", "worksteal"), *_marks(quick=False)]
    with subprocess.Popen(
        command,
        cwd=root,
        text=True,
        env=_environment() | {LOG: str(log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        assert running.stdout is not None
        said: deque[str] = deque(maxlen=30)
        for line in running.stdout:
            said.append(line)
            if log.is_file():
                progress(log.read_text("utf-8").count("\n"), len(nodes))
    if running.returncode not in (0, _SOME_FAILED):
        raise UsageError(f"pytest ended with {running.returncode}:\n{''.join(said)}")


def _pytest(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_COMMAND, *arguments],
        cwd=root,
        text=True,
        env=_environment(),
        capture_output=True,
        check=False,
    )


def _environment() -> dict[str, str]:
    """Without what a pytest that runs this one has set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


def _cases(log: Path) -> dict[str, _Case]:
    """Test -> what came of it."""
    found = {}
    for line in log.read_text("utf-8").splitlines():
        case = json.loads(line)
        figures = tuple(Figure(**figure) for figure in case["figures"])
        found[case["test"]] = _Case(case["outcome"], figures)
    return found


# -- what is told ---------------------------------------------------------------------------------


def _grouped(
    rows: Sequence[Row], nodes: Mapping[str, Sequence[str]], cases: Mapping[str, _Case]
) -> list[Group]:
    groups = {letter: Group(letter=letter) for letter in GROUPS}
    for row in rows:
        group = groups[row.name[0]]
        group.rows += 1
        for node in nodes[row.name]:
            case = cases.get(node)
            if case is None or case.outcome == "failed":
                group.failed.append(f"{row.name}: {node}")
            elif case.outcome == "skipped":
                group.skipped.append(f"{row.name}: {node}")
            else:
                group.passed += 1
    return [group for group in groups.values() if group.rows]


def _figures(cases: Iterable[_Case]) -> list[Figure]:
    total = {name: Figure(name=name) for name in FIGURES}
    for case in cases:
        for figure in case.figures:
            total[figure.name].tried += figure.tried
            total[figure.name].found += figure.found
    return list(total.values())


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
