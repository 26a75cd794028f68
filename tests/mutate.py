"""Changes topic rule, links, weather formats, crop and faults, one operator or number at a time.

Usage: `python tests/mutate.py [FILE...]`.  Every mutant is made in a copy of the project, where the
tests of its file run until one fails.  Those that survive are listed, but for those of which
`EQUIVALENT` says why nothing can notice them.  The exit code is 1 if more than a tenth of a file's
others survive.  Part of `make nightly`.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# imported once, for all mutants
import amqtt.broker  # type: ignore[import-untyped]  # noqa: F401
import hypothesis  # noqa: F401
import numba  # noqa: F401
import pytest
import wasmtime  # noqa: F401

ROOT: Final = Path(__file__).parents[1]
COPIED: Final = ("docs", "firmware", "guest", "hil", "levada", "scenarios", "sim", "tests", "twin")
CPU_S: Final = 60
"""A mutant that needs more goes on for ever: the others need 15 s, however busy the computer."""
WAITS_S: Final = 900
"""A mutant that needs longer by the clock waits for itself."""
LEAST: Final = 0.9
"""Share of a file's mutants that must be noticed, without those that nothing can."""
LINK: Final = ("tests/hil/test_link_counts.py", "tests/hil/test_link_sessions.py")
CODEC: Final = ("tests/firmware/test_library.py",)
TOPICS: Final = ("tests/firmware/test_topic_rule.py",)
QUICK: Final = ("-k", "not l1_ and not l2_ and not l4_ and not l5_ and not whose_sha_256")
"""Without the tests by the million, which are no better at this, and without the one that notices
every other module."""
NO_PROGRAM: Final = 77
"""Exit code of a mutant that does not compile."""

FORMATS: Final = tuple(f"tests/sim/test_weather_{of}.py" for of in ("text", "tables", "formats"))
SCRIPTED: Final = ("tests/hil/test_scripted_board.py",)
OWN_FILES: Final = (*FORMATS[:2], "tests/sim/test_weather.py")

TARGETS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "guest/topic.py": ("_NODE: Final", "", ("tests/guest/test_topic.py", *TOPICS)),
    "hil/link.py": ("CONSOLE_LINES: Final", "", LINK),
    "hil/node.py": ("BRIEF: Final", "", SCRIPTED),
    "hil/session.py": ("CHUNK: Final", "", SCRIPTED),
    "hil/wire/codec.py": ("def encode_frame", "", ("tests/hil/test_codec.py", *CODEC)),
    "hil/wire/message.py": ("MAX_BODY: Final", "", ("tests/hil/test_messages.py",)),
    "hil/wire/messages.py": ("WIRE_VERSION: Final", "", ("tests/hil/test_messages.py",)),
    "sim/crop/crop.py": ("def crop(", "", ("tests/sim/test_crop.py",)),
    "sim/scenario/fault.py": ("_COUNTS: Final", "", ("tests/sim/test_faults.py",)),
    "sim/weather/csv_file.py": ("def read_csv", "", OWN_FILES),
    "sim/weather/epw.py": ("_TYPICAL_YEAR", "", FORMATS),
    "sim/weather/nasa_power.py": ("_ABSENT: Final", "", FORMATS),
    "sim/weather/open_meteo.py": ("_UNITS: Final", "", FORMATS),
    "sim/weather/place.py": ("def place(", "", FORMATS),
    "sim/weather/text.py": ("def cells", "", FORMATS),
}
"""File -> text at which the part that is changed begins and ends, and its tests."""

CHANGES: Final[tuple[tuple[str, str], ...]] = (
    (r"==", "!="),
    (r"!=", "=="),
    (r"<=", "<"),
    (r">=", ">"),
    (r"(?<![<=-])<(?![<=])", "<="),
    (r"(?<![>=-])>(?![>=])", ">="),
    (r"&&", "||"),
    (r"\|\|", "&&"),
    (r"\band\b", "or"),
    (r"\bor\b", "and"),
    (r"\bnot (?!in\b)", ""),
    (r"(?<= )\+(?= )", "-"),
    (r"(?<= )-(?= )", "+"),
    (r"\+=", "-="),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"\bTrue\b", "False"),
    (r"\bFalse\b", "True"),
    (r"!(?=[a-z])", ""),
    (r"\b\d+\b(?!\")", "+1"),
    (r"\b0x[0-9A-F]+\b", "+1"),
)
"""What is changed into what; a number becomes the next."""

TEXT: Final = re.compile(r'([a-z]*)"((?:[^"\\]|\\.)*)"')


def prose(code: str) -> list[tuple[int, int]]:
    """Where a line of Python has texts of three words and more: what they say is no code."""
    found = TEXT.finditer(code)
    return [text.span(2) for text in found if text[1] == "" and text[2].count(" ") > 1]


EQUIVALENT: Final[dict[tuple[str, str, str], str]] = {
    (
        "hil/node.py",
        'return self._ran_for_ever(STEP if {"init", "step"} <= exports else MAIN)',
        'return self._ran_for_ever(STEP if {"init", "step"} < exports else MAIN)',
    ): "a guest exports its memory as well",
    (
        "hil/node.py",
        "self._booted_ms = 0",
        "self._booted_ms = 1",
    ): "the start before the first step sets it",
    (
        "hil/node.py",
        "self._retries = 0",
        "self._retries = 1",
    ): "the request that reads it sets it first",
    (
        "hil/link.py",
        "times = np.frombuffer(self.round_trips_s) * 1000.0 if self.round_trips_s else np.zeros(1)",
        "times = np.frombuffer(self.round_trips_s) * 1000.0 if self.round_trips_s else np.zeros(2)",
    ): "percentiles of one zero and of two are the same",
    (
        "hil/link.py",
        "self._sequence = secrets.randbelow(1 << 16)",
        "self._sequence = secrets.randbelow(2 << 16)",
    ): "the first request takes the lower 16 bits of it",
    (
        "hil/link.py",
        "self._sequence = secrets.randbelow(1 << 16)",
        "self._sequence = secrets.randbelow(1 << 17)",
    ): "the first request takes the lower 16 bits of it",
    (
        "hil/link.py",
        "self._answered = False",
        "self._answered = True",
    ): "the first of two such lines: without a session nothing is asked of it, and HELLO sets it",
    (
        "sim/crop/crop.py",
        "near = get_close_matches(name, TABLE, n=1)",
        "near = get_close_matches(name, TABLE, n=2)",
    ): "the first of two is the first of one",
    (
        "sim/crop/crop.py",
        "cover = np.minimum(over_min ** (1.0 + 0.5 * height), 0.99)  # Eq. 76",
        "cover = np.minimum(over_min ** (1.0 + 0.5 * height), 1.99)  # Eq. 76",
    ): "Kc_max is 0.05 above Kcb at least, so no crop of the permitted numbers covers as much",
    (
        "sim/crop/crop.py",
        "demand = kcb * by_hour.reshape(-1, 24).sum(axis=1)",
        "demand = kcb * by_hour.reshape(-2, 24).sum(axis=1)",
    ): "NumPy takes any negative length for the one to be found",
    (
        "sim/scenario/fault.py",
        "for index, (fault, span) in enumerate(zip(scenario.fault, acting, strict=True)):",
        "for index, (fault, span) in enumerate(zip(scenario.fault, acting, strict=False)):",
    ): "there is a span for every fault",
    (
        "sim/weather/nasa_power.py",
        'side = "ahead of" if ahead_h > 0.0 else "behind"',
        'side = "ahead of" if ahead_h >= 0.0 else "behind"',
    ): "at 0 nothing is said of a side",
    (
        "sim/weather/csv_file.py",
        'cell, commas = cell.replace(",", ".", 1), commas + 1',
        'cell, commas = cell.replace(",", ".", 2), commas + 1',
    ): "what has two commas is no number, whether both or one become points",
    (
        "sim/weather/csv_file.py",
        "near = stem or get_close_matches(name, known, n=1)",
        "near = stem or get_close_matches(name, known, n=2)",
    ): "the first of two is the first of one",
    (
        "sim/weather/csv_file.py",
        "standard = 0",
        "standard = 1",
    ): "the loop below always sets it",
    (
        "sim/weather/epw.py",
        "usual, number_of_usual = counts.most_common(1)[0]",
        "usual, number_of_usual = counts.most_common(2)[0]",
    ): "the first of two is the first of one",
    (
        "sim/weather/open_meteo.py",
        "places = [(n, dict(zip(block.titles, row, strict=True)))"
        " for n, row in block.rows.items()]",
        "places = [(n, dict(zip(block.titles, row, strict=False)))"
        " for n, row in block.rows.items()]",
    ): "rows of another length were refused before",
    (
        "sim/weather/open_meteo.py",
        "at = dict(zip(times, values, strict=True))",
        "at = dict(zip(times, values, strict=False))",
    ): "there is a value for every time",
    (
        "hil/wire/codec.py",
        'if data.startswith(b"\\0") and not self.waiting:',
        'if data.startswith(b"\\0") and self.waiting:',
    ): "a short cut that is not taken: the long way finds the same",
    (
        "hil/wire/codec.py",
        "opened = _open(data[1:-1])",
        "opened = _open(data[2:-1])",
    ): "a short cut that is not taken: the long way finds the same",
    (
        "hil/wire/codec.py",
        "opened = _open(data[1:-1])",
        "opened = _open(data[1:-2])",
    ): "a short cut that is not taken: the long way finds the same",
}
"""File, line and changed line -> why no test can tell them apart."""


@dataclass(frozen=True)
class Mutant:
    """One change."""

    file: str
    number: int
    before: str
    after: str
    text: str

    @property
    def known(self) -> tuple[str, str, str]:
        """Its key in `EQUIVALENT`."""
        return self.file, self.before.strip(), self.after.strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.before.strip()}  ->  {self.after.strip()}"


def mutants(file: str) -> Iterator[Mutant]:
    """All changes of a file."""
    begin, end, _ = TARGETS[file]
    lines = (ROOT / file).read_text("utf-8").splitlines(keepends=True)
    text = "".join(lines)
    first = text[: text.index(begin)].count("\n")
    last = text[: text.index(end)].count("\n") if end else len(lines)
    quoted = False
    for number in range(first, last):
        line = lines[number]
        code = re.split(r"/\*|  # |\s+#", line)[0]
        inside = quoted
        quoted ^= bool(line.count('"""') % 2)
        if inside or line.lstrip().startswith(('"""', "*", "/*", "#", "@", "__all__")):
            continue
        texts = prose(code) if file.endswith(".py") else []
        for pattern, new in CHANGES:
            for match in re.finditer(pattern, code):
                if any(start <= match.start() < end for start, end in texts):
                    continue
                with_ = new
                if new == "+1":
                    old = int(match[0], 16 if match[0].startswith("0x") else 10)
                    with_ = f"0x{old + 1:X}" if match[0].startswith("0x") else str(old + 1)
                after = line[: match.start()] + with_ + line[match.end() :]
                changed = "".join([*lines[:number], after, *lines[number + 1 :]])
                yield Mutant(file, number + 1, line, after, changed)


class Workshop:
    """A copy of the project in which mutants are made, each tried in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", "build")
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=ignored, symlinks=True)
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)

    def passes(self, tests: tuple[str, ...]) -> bool:
        """Whether all tests pass without a change; says what pytest says if not."""
        if _ended(self._start(tests)):
            return True
        print((self.folder / "said").read_text("utf-8", "replace"), file=sys.stderr)
        return False

    def begin(self, mutant: Mutant, tests: tuple[str, ...]) -> int:
        """Make a mutant and start its tests; the process."""
        (self.folder / mutant.file).write_text(mutant.text, "utf-8")
        return self._start(tests, mutant.file)

    def mend(self, mutant: Mutant) -> None:
        """The file is whole again, and the module that was built of it."""
        shutil.copyfile(ROOT / mutant.file, self.folder / mutant.file)
        if mutant.file.endswith(".c"):
            module = Path(mutant.file).with_suffix(".wasm")
            shutil.copyfile(ROOT / module, self.folder / module)

    def _start(self, tests: tuple[str, ...], changed: str = "") -> int:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = _tested(self.folder, tests, changed)
            except BaseException:  # noqa: BLE001 - the child must end here, whatever came
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        return child


def _tested(folder: Path, tests: tuple[str, ...], changed: str) -> int:
    """Run tests in a copy of the project and in this process, which has imported nothing of it."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(WAITS_S)
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    if changed.endswith(".c") and not _built(folder / changed):
        return NO_PROGRAM
    plain = ("-p", "no:cacheprovider", "-p", "no:levada", "--timeout", "0")
    early = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # hypothesis is there already
    code = pytest.main(["-x", "-q", *plain, *early, *QUICK, *tests])
    tested = Path(str(sys.modules["levada"].__file__))
    assert tested.is_relative_to(folder), f"{tested} was tested, not the mutant"
    return int(code)


def _built(source: Path) -> bool:
    """Whether a guest compiles; its module is put beside it."""
    from levada.guest.build import build  # that of the copy
    from levada.guest.errors import BuildError

    try:
        build([source], source.with_suffix(".wasm"))
    except BuildError:
        return False
    return True


def _ended(child: int) -> bool:
    """Wait for a process; whether its tests passed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def tried(
    found: list[Mutant], workshops: list[Workshop], tests: tuple[str, ...]
) -> Iterator[tuple[Mutant, int]]:
    """Each with the exit code of its tests, as many at a time as there are workshops."""
    waiting = iter(found)
    free = list(workshops)
    busy: dict[int, tuple[Workshop, Mutant]] = {}
    while True:
        for workshop, mutant in zip(free[:], waiting):  # noqa: B905 - as many as there are
            free.remove(workshop)
            busy[workshop.begin(mutant, tests)] = (workshop, mutant)
        if not busy:
            return
        child, status = os.waitpid(-1, 0)
        workshop, mutant = busy.pop(child)
        workshop.mend(mutant)
        free.append(workshop)
        yield mutant, os.waitstatus_to_exitcode(status)


def main() -> int:
    """0 if enough of the mutants of every file were noticed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copies are removed
    chosen = sys.argv[1:] or list(TARGETS)
    os.environ["CFLAGS"] = "-O1"
    failed = False
    with tempfile.TemporaryDirectory(prefix="levada-mutants-") as folder:
        workshops = [Workshop(Path(folder) / str(k)) for k in range(len(os.sched_getaffinity(0)))]
        tests = tuple(dict.fromkeys(test for file in chosen for test in TARGETS[file][2]))
        if not all(workshop.passes(tests) for workshop in workshops):
            print("the tests fail without a change", file=sys.stderr)
            return 1
        sys.dont_write_bytecode = True  # a mutant would find that of the one before
        for file in chosen:
            began = time.monotonic()
            found = list(mutants(file))
            alive = known = 0
            for mutant, code in tried(found, workshops, TARGETS[file][2]):
                if code:
                    continue
                if mutant.known in EQUIVALENT:
                    known += 1
                else:
                    alive += 1
                    print(f"survived  {mutant}", flush=True)
            failed |= alive > (1.0 - LEAST) * (len(found) - known)
            print(
                f"{file}: {len(found) - known - alive} of {len(found)} mutants noticed, "
                f"{known} cannot be, {alive} survived, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
