"""Changes the wire codec and the topic rule, one operator or number at a time: a test must notice.

Usage: `python tests/mutate.py [FILE...]`.  Every mutant is made in a copy of the project, where the
tests of its file run until one fails.  Those that survive are listed, and the exit code is 1 unless
`EQUIVALENT` says why nothing can notice them.  Part of `make nightly`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

ROOT: Final = Path(__file__).parents[1]
COPIED: Final = ("levada", "tests")
CODEC: Final = ("tests/firmware/test_library.py",)
QUICK: Final = ("-k", "not l1_ and not l2_ and not l4_ and not l5_")
"""Without the tests by the million, which are no better at this."""

TARGETS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "levada/firmware/core/frame.c": ("uint32_t lv_crc32", "", CODEC),
    "levada/firmware/core/host.c": ("/* RFC 3629, section 4 */", "", CODEC),
    "levada/guest/topic.py": ("_NODE: Final", "", ("tests/guest/test_topic.py", *CODEC)),
    "levada/hil/wire/codec.py": ("def encode_frame", "", ("tests/hil/test_codec.py", *CODEC)),
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

EQUIVALENT: Final[dict[tuple[str, str, str], str]] = {}
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
        for pattern, new in CHANGES:
            for match in re.finditer(pattern, code):
                with_ = new
                if new == "+1":
                    old = int(match[0], 0)
                    with_ = f"0x{old + 1:X}" if match[0].startswith("0x") else str(old + 1)
                after = line[: match.start()] + with_ + line[match.end() :]
                changed = "".join([*lines[:number], after, *lines[number + 1 :]])
                yield Mutant(file, number + 1, line, after, changed)


class Workshop:
    """A copy of the project in which mutants are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "build")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)

    def run(self, tests: tuple[str, ...]) -> bool:
        """Whether all tests pass."""
        command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "--timeout", "60", *QUICK, *tests],
            cwd=self.folder,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self.folder)},
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def survives(self, mutant: Mutant) -> bool:
        """Whether the tests let a mutant pass; the file is whole again afterwards."""
        path = self.folder / mutant.file
        path.write_text(mutant.text, "utf-8")
        try:
            return self.run(TARGETS[mutant.file][2])
        finally:
            shutil.copyfile(ROOT / mutant.file, path)


def main() -> int:
    """0 if every mutant that can be noticed was."""
    chosen = sys.argv[1:] or list(TARGETS)
    found = [mutant for file in chosen for mutant in mutants(file)]
    workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        free: SimpleQueue[Workshop] = SimpleQueue()
        for k in range(workers):
            free.put(Workshop(Path(folder) / str(k)))
        whole = free.get()
        if not whole.run(tuple({test for file in chosen for test in TARGETS[file][2]})):
            print("the tests fail without a change", file=sys.stderr)
            return 1
        free.put(whole)

        def survives(mutant: Mutant) -> bool:
            workshop = free.get()
            try:
                alive = workshop.survives(mutant)
            finally:
                free.put(workshop)
            if alive and mutant.known not in EQUIVALENT:
                print(f"survived  {mutant}", flush=True)
            return alive

        with ThreadPoolExecutor(workers) as pool:
            lives = list(pool.map(survives, found))
    survivors = [mutant for mutant, alive in zip(found, lives, strict=True) if alive]
    known = [mutant for mutant in survivors if mutant.known in EQUIVALENT]
    killed = len(found) - len(survivors)
    print(f"{killed} of {len(found)} mutants noticed, {len(known)} cannot be")
    return 1 if len(survivors) > len(known) else 0


if __name__ == "__main__":
    sys.exit(main())
