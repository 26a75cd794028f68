"""Changes the firmware's core and the shipped guest, one operator, number or statement at a time.

Usage: `python tests/mutate_c.py [FILE...]`.  A mutant of the core is compiled and linked with its
unit tests, which run with the known answers of `vectors.py`; what passes without sanitizers is
tried again with them.  One of the guest is built to a module, on which the guest's tests run.
Those that survive are listed, and the exit code is 1 if fewer than 90 % of a file's mutants are
noticed, those not counted that `EQUIVALENT` says nothing can notice.  Part of `make nightly`.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import mutate
from equivalent_c import EQUIVALENT
from mutate import CHANGES, NO_PROGRAM, ROOT, Mutant, Workshop, sampled

TESTS: Final = ROOT / "tests" / "firmware"
CORE: Final = ROOT / "firmware" / "core"
LEAST_PERCENT: Final = 90
CPU_S: Final = 5
"""A mutant that needs more goes on for ever: the others need 0.3 s with sanitizers."""
FILES: Final = tuple(
    f"firmware/core/{name}.c"
    for name in (
        *("backoff", "frame", "host", "json", "kept", "link", "manifest", "node", "outbox"),
        *("ring", "store", "tape", "update"),
    )
)
"""Those that are known to reach it; any other file of the core can be named."""
GUEST: Final = "guest/irrigation/irrigation.c"
GUEST_TESTS: Final = tuple(
    f"tests/guest/test_{name}.py"
    for name in ("abi_tables", "irrigation_edges", "irrigation", "irrigation_limits")
)
PLAIN: Final = ("-std=c11", "-O0", "-w", "-DNDEBUG")
SANITIZED: Final = (
    # at -O1 GCC 12 leaves some reads beyond the end unchecked
    *("-std=c11", "-O0", "-w", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
CHANGES_C: Final = (
    *(change for change in CHANGES if change[0] not in (r"\band\b", r"\bor\b", r"\bnot (?!in\b)")),
    (r"(?<= )&(?= )", "|"),
    (r"(?<= )\|(?= )", "&"),
    (r"\|=", "="),
    (r"\+\+", "--"),
    (r"<<", ">>"),
    (r"(?<=\()!(?=[a-z(])", ""),
)
STATEMENT: Final = re.compile(r"^(\s+)(?!return\b|const\b|static\b|break\b|continue\b|else\b)"
                              r"([*(\w][^=;]*(?:\(.*\)|[-+|]?=(?!=).*|\+\+|--));$")  # fmt: skip
DECLARES: Final = re.compile(r"^\s+(?:const )?(?:struct )?\w+ \*?\w+(?:\[[^]]*\])?(?: = |;|, )")
"""A statement alone on its line, which may be left out, and a declaration, which may not."""


def every_mutant(file: str) -> Iterator[Mutant]:
    """All changes of a file: assertions, declarations of tables and comments are none of them."""
    lines = (ROOT / file).read_text("utf-8").splitlines(keepends=True)
    comment = False
    for number, line in enumerate(lines):
        code = re.split(r"/\*", line)[0]
        inside = comment
        comment = (comment and "*/" not in line) or ("/*" in line and "*/" not in line)
        if inside or not code.strip() or code.lstrip().startswith(("#", "LV_ASSERT", "_Static")):
            continue
        for after in _changed(line, code):
            text = "".join([*lines[:number], after, *lines[number + 1 :]])
            yield Mutant(file, number + 1, line, after, text)


mutants = sampled(every_mutant)


def _changed(line: str, code: str) -> Iterator[str]:
    literals = [m.span() for m in re.finditer(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])+\'', code)]
    for pattern, new in CHANGES_C:
        for match in re.finditer(pattern, code):
            if any(a <= match.start() < b for a, b in literals):
                continue
            with_ = new
            if new == "+1":
                old = int(match[0], 0)
                with_ = f"0x{old + 1:X}" if match[0].startswith("0x") else str(old + 1)
            yield line[: match.start()] + with_ + line[match.end() :]
    whole = STATEMENT.match(code.rstrip())
    if whole and not DECLARES.match(code):
        yield f"{whole[1]};\n"


@dataclass
class Bench:
    """Compiled tests, to which one changed file is linked."""

    folder: Path
    flags: tuple[str, ...]
    sources: list[Path]
    include: tuple[str, ...]
    data: list[str]
    objects: dict[str, Path] = field(default_factory=dict)

    def prepare(self, jobs: int) -> None:
        """Compile every source as it is, and see the tests pass."""
        self.folder.mkdir(parents=True)
        self.objects = {source.name: self.folder / f"{source.stem}.o" for source in self.sources}
        with ThreadPoolExecutor(jobs) as pool:
            for done in pool.map(self._compile, self.sources, self.objects.values()):
                done.check_returncode()
        self._link(self.folder / "whole", list(self.objects.values())).check_returncode()
        if not self._passes(self.folder / "whole"):
            raise SystemExit(f"the tests fail without a change: {self.folder / 'whole'}")

    def _compile(self, source: Path, out: Path) -> subprocess.CompletedProcess[bytes]:
        options = (*self.flags, "-O2", *self.include)
        return _run(["cc", *options, "-c", "-o", str(out), str(source)])

    def _link(self, out: Path, objects: list[Path]) -> subprocess.CompletedProcess[bytes]:
        sanitizers = [flag for flag in self.flags if flag.startswith("-fsanitize")]
        return _run(["cc", *sanitizers, "-o", str(out), *map(str, objects)])

    def _passes(self, program: Path) -> bool:
        return _run([str(program), *self.data], CPU_S).returncode == 0

    def notices(self, mutant: Mutant, name: str) -> bool | None:
        """Whether a test fails; None if it is no program."""
        whole = ROOT / mutant.file
        source = self.folder / f"{name}.c"
        # includes are found beside the file that is changed
        source.write_text(mutant.text, "utf-8")
        out = source.with_suffix(".o")
        done = _run(
            [
                "cc",
                *self.flags,
                f"-I{whole.parent}",
                *self.include,
                "-c",
                "-o",
                str(out),
                str(source),
            ]
        )
        if done.returncode:
            return None
        others = [path for name, path in self.objects.items() if name != whole.name]
        if self._link(source.with_suffix(""), [*others, out]).returncode:
            return None
        return not self._passes(source.with_suffix(""))


def _limit(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(command: list[str], seconds: int = 300) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, capture_output=True, check=False, preexec_fn=lambda: _limit(seconds)
    )


def benches(folder: Path, jobs: int) -> list[Bench]:
    """Without sanitizers, and with them."""
    units = sorted(TESTS.glob("unit*.c"))
    include = (f"-I{CORE}", f"-I{TESTS}")
    sources = [*units, TESTS / "fake.c", TESTS / "signer.c", *sorted(CORE.glob("*.c"))]
    data = folder / "vectors"
    if not data.exists():
        _run([sys.executable, str(TESTS / "vectors.py"), str(data)]).check_returncode()
    found = [
        Bench(folder / name, flags, sources, include, [str(data), "--first"])
        for name, flags in (("plain", PLAIN), ("sanitized", SANITIZED))
    ]
    for bench in found:
        bench.prepare(jobs)
    return found


@dataclass
class Score:
    """How many of a file's mutants were noticed, how many cannot be, and how many survived."""

    noticed: int = 0
    known: int = 0
    alive: int = 0

    @classmethod
    def of(cls, results: Iterable[tuple[Mutant, bool | None]]) -> Score:
        """Of mutants and whether they were noticed, None if they are no programs; tells of those
        that survive."""
        score = cls()
        for mutant, noticed in results:
            if noticed:
                score.noticed += 1
            elif noticed is False and mutant.known in EQUIVALENT:
                score.known += 1
            elif noticed is False:
                score.alive += 1
                print(f"survived  {mutant}", flush=True)
        return score

    @property
    def percent(self) -> int:
        """Noticed of those that can be."""
        return 100 * self.noticed // (self.noticed + self.alive)


def score_of_core(file: str, found: list[Bench], jobs: int) -> Score:
    """By the unit tests of the core."""

    def noticed(numbered: tuple[int, Mutant]) -> tuple[Mutant, bool | None]:
        number, mutant = numbered
        name = f"m{os.getpid()}-{number}"
        for bench in found:
            result = bench.notices(mutant, name)
            for left in bench.folder.glob(f"{name}*"):
                left.unlink()
            if result is not False:
                return mutant, result
        return mutant, False

    with ThreadPoolExecutor(jobs) as pool:
        return Score.of(pool.map(noticed, enumerate(mutants(file))))


def score_of_guest(folder: Path, jobs: int) -> Score:
    """By the tests of the guest, on the module that each mutant is built to."""
    workshops = [Workshop(folder / str(k)) for k in range(jobs)]
    if not all(workshop.passes(GUEST_TESTS) for workshop in workshops):
        raise SystemExit("the tests of the guest fail without a change")
    sys.dont_write_bytecode = True
    codes = mutate.tried(mutants(GUEST), workshops, GUEST_TESTS)
    return Score.of((mutant, None if code == NO_PROGRAM else code != 0) for mutant, code in codes)


def stale(file: str) -> list[tuple[str, str, str]]:
    """What `EQUIVALENT` has of a file that is none of its mutants any more."""
    found = {mutant.known for mutant in every_mutant(file)}
    return [known for known in EQUIVALENT if known[0] == file and known not in found]


def main() -> int:
    """0 if enough mutants of every file were noticed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copies are removed
    failed = False
    jobs = len(os.sched_getaffinity(0))
    table = ["| what | mutants | noticed | cannot be | score | took |"]
    table.append("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="levada-mutants-") as folder:
        found: list[Bench] = []
        for file in sys.argv[1:] or (*FILES, GUEST):
            began = time.monotonic()
            if file == GUEST:
                score = score_of_guest(Path(folder), jobs)
            else:
                found = found or benches(Path(folder), jobs)
                score = score_of_core(file, found, jobs)
            for known in stale(file):
                print(f"no such mutant  {known}", flush=True)
                failed = True
            failed |= score.percent < LEAST_PERCENT
            programs = score.noticed + score.known + score.alive
            counts = f"{programs} | {score.noticed} | {score.known} | {score.percent} %"
            table.append(f"| `{file}` | {counts} | {time.monotonic() - began:.0f} s |")
            print(table[-1], flush=True)
    print("\n".join(table))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
