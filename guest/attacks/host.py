"""Attacks on the host in this process: Wasmtime by the fast path or the ordinary one."""

from __future__ import annotations

import hashlib
from time import perf_counter
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import ErrorCode
from levada.guest.attacks.cases import Case, OutcomeKind, honest
from levada.guest.attacks.outcome import AttackOutcome, calls_of
from levada.guest.errors import GuestError
from levada.guest.fast.fastpath import PathName
from levada.guest.lifecycle import Closing
from levada.guest.limits import Budget
from levada.guest.wasm.fleet import SimNodes

__all__ = [
    "MUTANT_BUDGET",
    "NEIGHBOURS",
    "READINGS",
    "START_MS",
    "STEP_MS",
    "PythonHost",
    "readings",
]

START_MS: Final = 1_681_516_800_000
"""2023-04-15 00:00."""
STEP_MS: Final = 3_600_000
READINGS: Final = (1800, 2150, 3700, 12)
NEIGHBOURS: Final = 9
AFTERWARDS: Final = 3
"""Steps of the others after one of many was stopped."""
MUTANT_BUDGET: Final = Budget(instructions=100_000)
BAD: Final = 4
"""Of many nodes, the one whose probe does not answer in the last step."""


class PythonHost(Closing):
    """Runs one case after the other, beside nine neighbours that go on all the time."""

    def __init__(self, path: PathName) -> None:
        self._path = path
        self._neighbours = SimNodes(honest(), NEIGHBOURS, path=path)
        self._neighbours.boot(START_MS)
        for zone in range(NEIGHBOURS):
            self._neighbours.drain_tape(zone)
        self._steps = 0

    def attack(self, case: Case) -> AttackOutcome:
        """What comes of a case."""
        begin_s = perf_counter()
        try:
            nodes = SimNodes(case.module, case.nodes, budget=case.limits, path=self._path)
        except GuestError as error:
            return self._refused(error, perf_counter() - begin_s)
        load_s = perf_counter() - begin_s
        with nodes:
            try:
                first = _Life(nodes, case)
                second = _Life(nodes, case)
            except GuestError as error:
                return self._refused(error, perf_counter() - begin_s)
            outputs = tuple(int(v) for v in nodes.outputs[first.zone])
        neighbours = self.step_neighbours()
        return AttackOutcome(
            kind=first.kind,
            detail=first.trap,
            calls=first.calls,
            outputs=outputs,
            load_ms=1000.0 * load_s,
            run_ms=1000.0 * min(first.run_s, second.run_s),
            repeats=first.same(second),
            neighbours=neighbours + first.unharmed,
            of_neighbours=NEIGHBOURS + case.nodes - 1,
        )

    def mutant(self, module: bytes) -> tuple[OutcomeKind, str, str]:
        """OutcomeKind, trap and digest of the tape of a changed module."""
        try:
            with SimNodes(module, budget=MUTANT_BUDGET, path=self._path) as nodes:
                nodes.boot(START_MS)
                if not nodes.trap[0]:
                    nodes.step(START_MS + STEP_MS, readings(1))
                tape = hashlib.sha256(nodes.drain_tape(0)).hexdigest()[:16]
                trap = _trap(nodes, 0)
        except GuestError:
            return "refused", "", ""
        return "stopped" if trap else "contained", trap, tape

    def step_neighbours(self) -> int:
        """How many of the neighbours make their next step as if nothing had happened."""
        self._steps += 1
        ran = self._neighbours.step(START_MS + STEP_MS * self._steps, readings(NEIGHBOURS))
        expected = (
            "set_output(23, 1)",
            "read_sensor(moisture) -> 1800",
            "log_int(1800)",
            f"log_int({self._steps})",
        )
        right = [calls_of(self._neighbours.drain_tape(z)) == expected for z in range(NEIGHBOURS)]
        return sum(right) if ran == NEIGHBOURS else 0

    def close(self) -> None:
        """Release the neighbours."""
        self._neighbours.close()

    def _refused(self, error: GuestError, took_s: float) -> AttackOutcome:
        return AttackOutcome(
            kind="refused",
            detail=str(error),
            load_ms=1000.0 * took_s,
            neighbours=self.step_neighbours(),
            of_neighbours=NEIGHBOURS,
        )


class _Life:
    """One life of the guests of a case, from their boot on."""

    def __init__(self, nodes: SimNodes, case: Case) -> None:
        self.zone = BAD if nodes.n > 1 else 0
        nodes.kept[:] = 0
        begin_s = perf_counter()
        nodes.boot(START_MS)
        self.run_s = perf_counter() - begin_s
        self._tapes = [nodes.drain_tape(zone) for zone in range(nodes.n)]
        for step in range(case.steps):
            if nodes.trap[self.zone]:
                break
            values = readings(nodes.n)
            if nodes.n > 1 and step == case.steps - 1:
                values[self.zone, 0] = ErrorCode.UNAVAILABLE
            begin_s = perf_counter()
            nodes.step(START_MS + STEP_MS * (step + 1), values)
            self.run_s = perf_counter() - begin_s
            if step == case.steps - 1:
                self._tapes = [t + nodes.drain_tape(z) for z, t in enumerate(self._tapes)]
            else:
                for zone in range(nodes.n):
                    nodes.drain_tape(zone)
        self.trap = _trap(nodes, self.zone)
        self.kind: OutcomeKind = "stopped" if self.trap else "contained"
        self.calls = calls_of(self._tapes[self.zone])
        self.unharmed = self._afterwards(nodes, case) if nodes.n > 1 else 0

    def same(self, other: _Life) -> bool:
        """Whether another life went the same way, bit by bit."""
        return (self.trap, self._tapes) == (other.trap, other._tapes)

    def _afterwards(self, nodes: SimNodes, case: Case) -> int:
        """How many of the others make all of their next steps."""
        others = nodes.n - 1
        for step in range(AFTERWARDS):
            if (
                nodes.step(START_MS + STEP_MS * (case.steps + step + 1), readings(nodes.n))
                != others
            ):
                return 0
        tapes = {nodes.drain_tape(zone) for zone in range(nodes.n) if zone != self.zone}
        return others if len(tapes) == 1 and int((nodes.trap == 0).sum()) == others else 0


def readings(n: int) -> npt.NDArray[np.int32]:
    """The same for every node."""
    return np.tile(np.array(READINGS, dtype=np.int32), (n, 1))


def _trap(nodes: SimNodes, zone: int) -> str:
    error = nodes.trap_error(zone)
    return error.kind.name.lower().replace("_", " ") if error else ""
