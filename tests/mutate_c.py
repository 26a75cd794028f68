"""Changes the firmware's core, one operator, number or statement at a time.

Usage: `python tests/mutate_c.py [FILE...]`.  Every mutant is compiled and linked with the unit
tests of the core, which run with the known answers of `vectors.py`; what passes without sanitizers
is tried again with them.  Those that survive are listed, and the exit code is 1 if fewer than 90 %
of a file's mutants are noticed, those not counted that `EQUIVALENT` says nothing can notice.  Part
of `make nightly`.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mutate import CHANGES, ROOT, Mutant, sampled

TESTS: Final = ROOT / "tests" / "firmware"
CORE: Final = ROOT / "firmware" / "core"
LEAST_PERCENT: Final = 90
CPU_S: Final = 20
"""A mutant that needs more goes on for ever: the others need 3 s with sanitizers."""
FILES: Final = tuple(
    f"firmware/core/{name}.c" for name in ("ring", "tape", "host", "frame", "store", "kept")
)
"""Those that are known to reach it; any other file of the core can be named."""
PLAIN: Final = ("-std=c11", "-O0", "-w", "-DNDEBUG")
SANITIZED: Final = (
    *("-std=c11", "-O1", "-w", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
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

EQUIVALENT: Final[dict[tuple[str, str, str], str]] = {
    (
        "firmware/core/kept.c",
        "kept->changed |= kept->generation != 0;",
        "kept->changed = kept->generation != 0;",
    ): "what has changed without a generation are zeros of no use",
}
"""File, line and changed line -> why no test can tell them apart."""


@sampled
def mutants(file: str) -> Iterator[Mutant]:
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

    def prepare(self) -> None:
        """Compile every source as it is, and see the tests pass."""
        self.folder.mkdir(parents=True)
        for source in self.sources:
            self.objects[source.name] = self.folder / f"{source.stem}.o"
            self._compile(source, self.objects[source.name]).check_returncode()
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


def benches(folder: Path) -> list[Bench]:
    """Without sanitizers, and with them."""
    units = sorted(TESTS.glob("unit*.c"))
    include = (f"-I{CORE}", f"-I{TESTS}")
    sources = [*units, TESTS / "fake.c", *sorted(CORE.glob("*.c"))]
    data = folder / "vectors"
    if not data.exists():
        _run([sys.executable, str(TESTS / "vectors.py"), str(data)]).check_returncode()
    found = [
        Bench(folder / name, flags, sources, include, [str(data), "--first"])
        for name, flags in (("plain", PLAIN), ("sanitized", SANITIZED))
    ]
    for bench in found:
        bench.prepare()
    return found


def tried(file: str, found: list[Bench], jobs: int) -> tuple[int, int, list[Mutant]]:
    """Mutants that are programs, those known to be equivalent, and those that nobody noticed."""
    all_of_them = mutants(file)

    def survives(numbered: tuple[int, Mutant]) -> bool | None:
        number, mutant = numbered
        for bench in found:
            noticed = bench.notices(mutant, f"m{number % 64}-{os.getpid()}-{number}")
            for left in bench.folder.glob(f"m{number % 64}-{os.getpid()}-{number}*"):
                left.unlink()
            if noticed is not False:
                return None if noticed is None else False
        return True

    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(survives, enumerate(all_of_them)))
    programs = sum(result is not None for result in results)
    alive = [m for m, result in zip(all_of_them, results, strict=True) if result]
    known = [m for m in alive if m.known in EQUIVALENT]
    return programs, len(known), [m for m in alive if m.known not in EQUIVALENT]


def main() -> int:
    """0 if enough mutants of every file were noticed."""
    failed = False
    jobs = len(os.sched_getaffinity(0))
    table = ["| what | mutants | noticed | cannot be | score |", "| --- | --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory(prefix="levada-mutants-") as folder:
        found = benches(Path(folder))
        for file in sys.argv[1:] or FILES:
            programs, known, alive = tried(file, found, jobs)
            for mutant in alive:
                print(f"survived  {mutant}", flush=True)
            noticed = programs - known - len(alive)
            score = 100 * noticed // (programs - known)
            failed |= score < LEAST_PERCENT
            table.append(f"| `{file}` | {programs} | {noticed} | {known} | {score} % |")
            print(table[-1], flush=True)
    print("\n".join(table))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
