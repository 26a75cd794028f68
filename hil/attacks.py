"""Attacks on the engines of boards, and on everything that is there: `attack()`.

A virtual board is given each module as it is, without the checks of the host before it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

from levada.guest.abi import Call, ErrorCode, TrapKind
from levada.guest.attacks.cases import Case, OutcomeKind, honest, suite
from levada.guest.attacks.host import (
    MUTANT_BUDGET,
    NEIGHBOURS,
    READINGS,
    START_MS,
    STEP_MS,
    readings,
)
from levada.guest.attacks.mutants import SEED, mutant
from levada.guest.attacks.outcome import AttackOutcome, calls_of
from levada.guest.attacks.report import AttackReport, Target, run_attacks
from levada.guest.attacks.worker import HostTarget, MutantOutcome
from levada.guest.fast import fastpath
from levada.guest.lifecycle import Closing
from levada.guest.limits import EDGE, Budget
from levada.guest.shipped import DEFAULT_GUEST
from levada.guest.wasm.fleet import SimNodes
from levada.hil.errors import DeviceError, DeviceRestarted, HilError, LinkError, UsageError
from levada.hil.link import Link, Patience
from levada.hil.virtual import ENGINES, VirtualDevice, allow_boards, build_board
from levada.hil.wire.messages import (
    Ack,
    Configure,
    InstallBegin,
    InstallChunk,
    InstallEnd,
    ReadTape,
    ResetReason,
    Start,
    StartFlag,
    Step,
    StepFlag,
    StepResult,
    Tape,
)

__all__ = ["TARGETS", "BoardTarget", "attack", "available"]

HOSTS: Final = {"python": "ordinary", "fast": "fast"}
"""Targets that are this process's own engine, and their paths."""
TARGETS: Final = (*HOSTS, *ENGINES)
CHUNK: Final = 1000
PATIENCE: Final = Patience(least_s=0.1, most_s=0.5, tries=600)
"""A board that starts again is noticed soon, and one that is slow has all the time it wants."""
PIN_PLACES: Final = 16


class _BoardLife(NamedTuple):
    """One life of a guest on a board."""

    kind: OutcomeKind
    detail: str
    tape: bytes
    run_s: float
    """Of its last run."""


class _Board(Closing):
    """A virtual board that is asked request by request."""

    def __init__(self, engine: str, folder: Path) -> None:
        self._pins = folder / f"pins-{id(self)}"
        self._open = ExitStack()
        device = self._open.enter_context(VirtualDevice(engine, pins=self._pins))
        self._link = Link(device.port(), name=f"virtual:{engine}", patience=PATIENCE)
        self._open.callback(self._link.close)
        self.birth = self._link.hello()

    def begin(self, module: bytes, limits: Budget) -> None:
        """Install a module; DeviceError if the board refuses it."""
        ask = self._link.ask
        pins = EDGE.pins
        configuration = Configure(
            node="esp32",
            prefix=EDGE.topic_prefix,
            counts=(2500, 1000, 2000),
            imports=sum(1 << Call[name.upper()] for name in EDGE.imports),
            pin_count=len(pins),
            pins=(*pins, *(0,) * (PIN_PLACES - len(pins))),
            instructions=limits.instructions,
            deadline_ms=limits.deadline_ms,
            memory_pages=limits.memory_pages,
            host_calls=limits.host_calls,
            log_bytes=limits.log_bytes,
            publish_bytes=limits.publish_bytes,
            lease_ms=0,
        )
        ask(configuration, Ack)
        ask(InstallBegin(size=len(module), sha256=hashlib.sha256(module).digest()), Ack)
        for offset in range(0, len(module), CHUNK):
            ask(InstallChunk(offset=offset, data=module[offset : offset + CHUNK]), Ack)
        ask(InstallEnd(), Ack)

    def start(self) -> tuple[int, bytes]:
        """Trap and tape of `init`."""
        request = Start(time_ms=START_MS, flags=StartFlag.FORGET, parameters=())
        return self._result(self._link.ask(request, StepResult))

    def step(self, number: int, moisture: int = READINGS[0]) -> tuple[int, bytes]:
        """Trap and tape of the step of that number, counted from 1."""
        time_ms = START_MS + STEP_MS * number
        request = Step(
            time_ms=time_ms,
            flags=StepFlag.ONLINE,
            readings=(moisture, *READINGS[1:]),
            uptime_ms=time_ms - START_MS,
        )
        return self._result(self._link.ask(request, StepResult))

    def reset_reason(self) -> str:
        """Open a session again; why the board had started."""
        return ResetReason(self._link.hello().reset_reason).name.lower().replace("_", " ")

    def outputs(self) -> tuple[int, ...]:
        """As the record of the pins has them, which the board cannot change afterwards."""
        states = dict.fromkeys(EDGE.pins, 0)
        for line in self._pins.read_text("ascii").splitlines():
            if line in ("boot", "off"):
                states = dict.fromkeys(EDGE.pins, 0)
            else:
                pin, state = map(int, line.split())
                states[pin] = state
        return tuple(states[pin] for pin in EDGE.pins)

    def close(self) -> None:
        """End the board."""
        with suppress(LinkError):
            self._open.close()

    def _result(self, answer: StepResult) -> tuple[int, bytes]:
        tape = bytearray(answer.tape)
        while len(tape) < answer.tape_bytes:
            tape += self._link.ask(ReadTape(offset=len(tape)), Tape).tape
        return answer.trap, bytes(tape)


class BoardTarget(Closing):
    """A virtual board of one engine, beside nine others that go on all the time."""

    board: Final = True

    def __init__(self, engine: str) -> None:
        allow_boards(NEIGHBOURS + 1)
        self.name = engine
        self._folder = Path(tempfile.mkdtemp(prefix="levada-attack-"))
        self._boards: list[_Board] = []
        """The one that is attacked, then the others."""
        self._twin: SimNodes | None = None
        """What the others are compared with."""
        self._steps = 0
        try:
            for _ in range(NEIGHBOURS + 1):
                self._boards.append(_Board(engine, self._folder))
            self.engine = self._boards[0].birth.engine
            module = DEFAULT_GUEST.read_bytes() if engine == "native" else honest()
            self._twin = SimNodes(module)
            self._twin.boot(START_MS)
            self._twin.drain_tape(0)
            for board in self._boards[1:]:
                board.begin(module, Budget())
                board.start()
        except BaseException:
            self.close()
            raise

    def attack(self, case: Case) -> AttackOutcome:
        """What comes of a case."""
        board = self._boards[0]
        begin_s = perf_counter()
        try:
            board.begin(case.module, case.limits)
            load_s = perf_counter() - begin_s
            first = self._live(board, case)
            second = first if first.kind == "restarted" else self._live(board, case)
        except DeviceError as error:
            return AttackOutcome(
                kind="refused",
                detail=str(error).partition(": ")[2],
                load_ms=1000.0 * (perf_counter() - begin_s),
                neighbours=self._step_neighbours(),
                of_neighbours=NEIGHBOURS,
            )
        except HilError as error:
            self._replace()
            return AttackOutcome(kind="died", detail=str(error))
        return AttackOutcome(
            kind=first.kind,
            detail=first.detail,
            calls=calls_of(first.tape),
            outputs=board.outputs(),
            load_ms=1000.0 * load_s,
            run_ms=1000.0 * min(first.run_s, second.run_s),
            repeats=first[:3] == second[:3],
            neighbours=self._step_neighbours(),
            of_neighbours=NEIGHBOURS,
        )

    def mutants(self, seed: int, count: int) -> Iterator[MutantOutcome]:
        """What comes of each of so many mutants."""
        for number in range(count):
            yield MutantOutcome(number, *self._mutant(mutant(seed, number)))

    def close(self) -> None:
        """End all boards."""
        for board in self._boards:
            board.close()
        self._boards.clear()
        if self._twin is not None:
            self._twin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _live(self, board: _Board, case: Case) -> _BoardLife:
        begin_s = perf_counter()
        try:
            trap, tape = board.start()
            for number in range(1, case.steps + 1):
                if trap:
                    break
                last = case.nodes > 1 and number == case.steps
                begin_s = perf_counter()
                trap, told = board.step(number, ErrorCode.UNAVAILABLE if last else READINGS[0])
                if number == case.steps:
                    tape += told
        except DeviceRestarted:
            took_s = perf_counter() - begin_s
            return _BoardLife("restarted", board.reset_reason(), b"", took_s)
        took_s = perf_counter() - begin_s
        return _BoardLife("stopped" if trap else "contained", _name(trap), tape, took_s)

    def _mutant(self, module: bytes) -> tuple[OutcomeKind, str, str]:
        board = self._boards[0]
        try:
            board.begin(module, MUTANT_BUDGET)
            trap, tape = board.start()
            if not trap:
                trap, more = board.step(1)
                tape += more
        except DeviceError:
            return "refused", "", ""
        except DeviceRestarted:
            return "restarted", board.reset_reason(), ""
        except HilError as error:
            self._replace()
            return "died", str(error), ""
        digest = hashlib.sha256(tape).hexdigest()[:16]
        return "stopped" if trap else "contained", _name(trap), digest

    def _step_neighbours(self) -> int:
        """How many of the neighbours make their next step as if nothing had happened."""
        assert self._twin is not None
        self._steps += 1
        self._twin.step(START_MS + STEP_MS * self._steps, readings(1))
        expected = self._twin.drain_tape(0)
        unharmed = 0
        for board in self._boards[1:]:
            with suppress(HilError):
                unharmed += board.step(self._steps) == (0, expected)
        return unharmed

    def _replace(self) -> None:
        """Another board in the place of one that is gone."""
        self._boards[0].close()
        self._boards[0] = _Board(self.name, self._folder)


def available() -> tuple[dict[str, Callable[[], Target]], dict[str, str]]:
    """Every target that can be had here, and why the others cannot."""
    found: dict[str, Callable[[], Target]] = {}
    missing: dict[str, str] = {}
    for name in TARGETS:
        try:
            found[name] = _target(name)
        except HilError as error:
            missing[name] = str(error)
    return found, missing


def _target(name: str) -> Callable[[], Target]:
    """What makes a target; HilError if it cannot be had."""
    if name == "fast" and fastpath.chosen() != "fast":
        raise HilError("compiled host calls are switched off here: `levada doctor` says why")
    if name in HOSTS:
        path: fastpath.PathName = "fast" if name == "fast" else "ordinary"
        return lambda: HostTarget(name, path)
    build_board(name)
    return lambda: BoardTarget(name)


def attack(
    engines: Sequence[str] = (),
    cases: Sequence[str] = (),
    *,
    mutants: int = 0,
    seed: int = SEED,
    progress: Callable[[str, str], None] = lambda *_: None,
) -> AttackReport:
    """Attack the engines named, or all that there are, with the cases named, or all.

    Boards may be named as nodes are, such as `virtual:xtensa`.

    Of the report, `tried` and `failed` are the counts, `to_dict()` is the whole of it.
    Raises UsageError for an engine or case that does not exist, HilError for an engine that is
    named and cannot be had.
    """
    engines = ["wasm3" if n == "virtual" else n.removeprefix("virtual:") for n in engines]
    unknown = [name for name in engines if name not in TARGETS]
    if unknown:
        raise UsageError(f"engine `{unknown[0]}`: there are {', '.join(TARGETS)}")
    chosen = suite().chosen(tuple(cases))
    missing: dict[str, str] = {}
    if engines:
        found = {name: _target(name) for name in engines}
    else:
        found, missing = available()
    return run_attacks(
        suite(),
        chosen,
        list(found.values()),
        mutants=mutants,
        seed=seed,
        not_tried=missing,
        progress=progress,
    )


def _name(trap: int) -> str:
    return TrapKind(trap).name.lower().replace("_", " ") if trap else ""
