"""Changes a module, one operator or number at a time: do its own tests notice?

Usage: `python tests/mutate.py [FILE...]`.  Every mutant is made in a copy of the project, where the
tests of its file run until one fails.  Those that survive are listed, but for those of which
`EQUIVALENT` says why nothing can notice them.  The exit code is 1 if more than a tenth of a file's
others survive.  `make nightly` tries the same `EVERY_NIGHT` of each file every time; who names
files gets all of theirs.  `LEVADA_MUTANTS` says how many instead.
"""

from __future__ import annotations

import importlib
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
BROUGHT: Final = (
    *("cbor2", "cobs", "cryptography.hazmat.primitives.asymmetric.ed25519", "hypothesis", "numba"),
    *("paho.mqtt.client", "psutil", "pydantic"),
    *("pytest_cov", "pytest_timeout", "sqlalchemy.dialects.sqlite", "tomli_w", "wasmtime"),
    "xdist.plugin",
)
"""Of other projects: imported once, for all mutants, which saves half of their time."""
COPIED: Final = ("docs", "firmware", "guest", "hil", "levada", "scenarios", "sim", "tests", "twin")
CPU_S: Final = 60
"""A mutant that needs more goes on for ever: the others need 15 s, however busy the computer."""
WAITS: Final = 10
"""A mutant that takes half a minute longer than so many times what the tests need without a change,
by the clock, waits for itself."""
EVERY_NIGHT: Final = 30
"""Mutants of each file that `make nightly` tries."""
SEED: Final = 1
LEAST: Final = 0.9
"""Share of a file's mutants that must be noticed, without those that nothing can."""
LINK: Final = ("tests/hil/test_link_counts.py", "tests/hil/test_link_sessions.py")
CODEC: Final = ("tests/firmware/test_library.py",)
TOPICS: Final = ("tests/firmware/test_topic_rule.py",)
QUICK: Final = (
    "-k",
    "not l1_ and not l2_ and not l4_ and not l5_ and not past and not window_ask "
    "and not whose_sha_256",
)
"""Without tests by the million, or of a month, which are no better at this, and without the one
that notices every other module."""
NO_PROGRAM: Final = 77
"""Exit code of a mutant that does not compile."""

FORMATS: Final = tuple(f"tests/sim/test_weather_{of}.py" for of in ("text", "tables", "formats"))
SIGNING: Final = ("tests/guest/test_signing.py",)
SIGNATURES: Final = tuple(
    f"tests/firmware/test_signatures.py::test_every_port_takes_and_refuses_the_same[{cases}-python]"
    for cases in ("published", "forgeries", "malleable", "changed")
)
SCRIPTED: Final = ("tests/hil/test_scripted_board.py",)
INTAKE: Final = ("tests/twin/test_store_intake.py",)
INSTRUCTIONS: Final = ("tests/guest/test_instructions.py",)
OWN_FILES: Final = (*FORMATS[:2], "tests/sim/test_weather.py")

TARGETS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "guest/signing/envelope.py": ("DOMAIN: Final", "", (*SIGNING, *SIGNATURES)),
    "guest/signing/manifest.py": ("MANIFEST_VERSION: Final", "", SIGNING),
    "guest/topic.py": ("_NODE: Final", "", ("tests/guest/test_topic.py", *TOPICS)),
    "guest/module/arithmetic.py": ("OPCODES: Final", "", INSTRUCTIONS),
    "guest/module/instructions.py": ("CODE: Final", "", INSTRUCTIONS),
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
    "twin/diagnosis.py": ("class Cause", "", ("tests/twin/test_cause.py",)),
    "twin/mqtt/sequence.py": ("MODULUS: Final", "", ("tests/twin/test_sequence.py",)),
    "twin/ota/rollout.py": ("_MINUTE_MS: Final", "", ("tests/twin/ota/test_rollout.py",)),
    "twin/store/commit.py": ("class Known", "", ("tests/twin/test_store_commit.py",)),
    "twin/store/intake.py": ("_LARGE_ROWS: Final", "", INTAKE),
    "twin/store/points.py": ("_NEVER_MS: Final", "", ("tests/twin/test_store_commit.py",)),
    "twin/store/turns.py": ("class Turns", "", INTAKE),
    "twin/store/writer.py": ("_WATCH_S: Final", "", ("tests/twin/test_store_writer.py",)),
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
        "guest/signing/envelope.py",
        "return cbor2.dumps({SIGNATURES: signatures, MANIFEST: self.signed}, canonical=True)",
        "return cbor2.dumps({SIGNATURES: signatures, MANIFEST: self.signed}, canonical=False)",
    ): "its labels are in their order already, and all lengths are the shortest",
    (
        "guest/module/arithmetic.py",
        "for opcode in range(0x100)",
        "for opcode in range(0x101)",
    ): "no instruction has one byte more",
    (
        "twin/mqtt/sequence.py",
        "if oldest - 1 <= self.contiguous:",
        "if oldest - 1 < self.contiguous:",
    ): "a short cut that is not taken: nothing is missing then",
    (
        "twin/mqtt/sequence.py",
        "for number in sorted(n for n in self.beyond if n < oldest):",
        "for number in sorted(n for n in self.beyond if n <= oldest):",
    ): "the gap before it is the last one either way",
    (
        "twin/diagnosis.py",
        "_was_open: tuple[int, int] = (0, 0)",
        "_was_open: tuple[int, int] = (0, 1)",
    ): "the second is dropped before it is looked at",
    (
        "twin/diagnosis.py",
        "_twin_was_open: tuple[int, int] = (0, 0)",
        "_twin_was_open: tuple[int, int] = (0, 1)",
    ): "the second is dropped before it is looked at",
    (
        "twin/diagnosis.py",
        "flow_steps: int = 0",
        "flow_steps: int = 1",
    ): "the first step, before which nothing is open, sets it",
    (
        "twin/ota/rollout.py",
        "turn = min((e.group for e in waiting), default=0)",
        "turn = min((e.group for e in waiting), default=1)",
    ): "where none waits it is nobody's turn",
    (
        "guest/signing/manifest.py",
        'f"{name} {value!r:.60}: must be text of 1 to {TEXT_BYTES} bytes without control "',
        'f"{name} {value!r:.61}: must be text of 1 to {TEXT_BYTES} bytes without control "',
    ): "how much of a wrong text is shown",
    (
        "twin/store/intake.py",
        "self._taken = [0, 0]",
        "self._taken = [1, 0]",
    ): "only differences of it count",
    (
        "twin/store/intake.py",
        "self._taken = [0, 0]",
        "self._taken = [0, 1]",
    ): "only differences of it count",
    (
        "twin/store/intake.py",
        "large = max(most, _LARGE_ROWS if self._ended or self._hurried else 0)",
        "large = max(most, _LARGE_ROWS if self._ended or self._hurried else 1)",
    ): "a group is of one row at least",
    (
        "twin/store/intake.py",
        "for done, out, lane in zip(self._taken, self._out, self._lanes, strict=True)",
        "for done, out, lane in zip(self._taken, self._out, self._lanes, strict=False)",
    ): "there are two of each",
    (
        "twin/store/intake.py",
        "return lambda: all(done >= n for done, n in zip(self._taken, upto, strict=True))",
        "return lambda: all(done >= n for done, n in zip(self._taken, upto, strict=False))",
    ): "there are two of each",
    (
        "twin/store/points.py",
        "_NEVER_MS: Final = -(1 << 62)",
        "_NEVER_MS: Final = -(2 << 62)",
    ): "before every time",
    (
        "twin/store/points.py",
        "_NEVER_MS: Final = -(1 << 62)",
        "_NEVER_MS: Final = -(1 << 63)",
    ): "before every time",
    (
        "twin/store/points.py",
        "replaced = {(s, t) for s, t, message in wanted if not message and (s, t) in there}",
        "replaced = {(s, t) for s, t, message in wanted if not message or (s, t) in there}",
    ): "extremes that are worked out anew say the same as those that are widened",
    (
        "twin/store/writer.py",
        "if self.closing.wait(self._settings.retry_ms / 1000):",
        "if self.closing.wait(self._settings.retry_ms / 1001):",
    ): "a thousandth of a wait",
    (
        "twin/store/commit.py",
        "known = self.node_ids.get(name) or self.known.node_ids.get(name)",
        "known = self.node_ids.get(name) and self.known.node_ids.get(name)",
    ): "a short cut that is not taken: the database says the same",
    (
        "twin/store/commit.py",
        "if name in self.node_ids or name in self.known.node_ids:",
        "if name in self.node_ids and name in self.known.node_ids:",
    ): "a short cut that is not taken: the database says the same",
    (
        "twin/store/commit.py",
        "known = self.series_ids.get(key) or self.known.series_ids.get(key)",
        "known = self.series_ids.get(key) and self.known.series_ids.get(key)",
    ): "a short cut that is not taken: the database says the same",
    (
        "twin/store/commit.py",
        "if seq > life.highest:",
        "if seq >= life.highest:",
    ): "the highest is stored, and a repetition of it ends before",
    (
        "twin/store/commit.py",
        "late = seq < life.highest",
        "late = seq <= life.highest",
    ): "the highest is stored, and a repetition of it ends before",
    (
        "twin/store/commit.py",
        "self.touched[node_id] = max(self.touched.get(node_id, 0), row.received_ms)",
        "self.touched[node_id] = max(self.touched.get(node_id, 1), row.received_ms)",
    ): "nothing is received in 1970",
    (
        "hil/wire/message.py",
        "return cls(**dict(zip((n for n, _ in cls.FORMS), values, strict=True)))",
        "return cls(**dict(zip((n for n, _ in cls.FORMS), values, strict=False)))",
    ): "there is a value for every field",
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
        "sim/crop/crop.py",
        "out[:, ForcingCol.ET0_DAY_MM] = hourly(demand.reshape(-1, 24).sum(axis=1))",
        "out[:, ForcingCol.ET0_DAY_MM] = hourly(demand.reshape(-2, 24).sum(axis=1))",
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


def sampled(mutants: Callable[[str], Iterator[Mutant]]) -> Callable[[str], list[Mutant]]:
    """Of all mutants of a file as many as are to be tried, the same ones every time."""

    def some(file: str) -> list[Mutant]:
        found = list(mutants(file))
        usual = len(found) if sys.argv[1:] else EVERY_NIGHT
        most = min(len(found), int(os.environ.get("LEVADA_MUTANTS", usual)))
        return [found[k] for k in sorted(random.Random(SEED).sample(range(len(found)), most))]

    return some


@sampled
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
        self.waits_s = 0

    def passes(self, tests: tuple[str, ...]) -> bool:
        """Whether all tests pass without a change; says what pytest says if not."""
        begin_s = time.monotonic()
        if _ended(self._start(tests)):
            self.waits_s = 30 + WAITS * round(time.monotonic() - begin_s)
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
                code = _tested(self.folder, tests, self.waits_s, changed)
            except BaseException:  # noqa: BLE001 - the child must end here, whatever came
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        return child


def _tested(folder: Path, tests: tuple[str, ...], waits_s: int, changed: str) -> int:
    """Run tests in a copy of the project and in this process, which has imported nothing of it."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(waits_s)
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    if changed.endswith(".c") and not _built(folder / changed):
        return NO_PROGRAM
    plain = ("-p", "no:cacheprovider", "-p", "no:levada.hil.pytest_plugin", "--timeout", "0")
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
    for name in BROUGHT:
        importlib.import_module(name)
    failed = False
    with tempfile.TemporaryDirectory(prefix="levada-mutants-") as folder:
        workshops = [Workshop(Path(folder) / str(k)) for k in range(len(os.sched_getaffinity(0)))]
        for file in chosen:
            begin_s = time.monotonic()
            sys.dont_write_bytecode = False
            if not all(workshop.passes(TARGETS[file][2]) for workshop in workshops):
                print("the tests fail without a change", file=sys.stderr)
                return 1
            sys.dont_write_bytecode = True  # a mutant would find that of the one before
            found = mutants(file)
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
                f"{known} cannot be, {alive} survived, {time.monotonic() - begin_s:.0f} s",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
