"""Attacks on several targets, and the record of what came of them."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, Protocol

from levada.guest.attacks.cases import Case, Suite
from levada.guest.attacks.mutants import SEED
from levada.guest.attacks.outcome import AttackOutcome, AttackVerdict, judge
from levada.guest.attacks.worker import MutantOutcome

__all__ = ["CRASHES", "AttackReport", "Mutants", "Target", "TargetReport", "alike", "run_attacks"]

CRASHES: Final = ("died", "restarted")
"""What no mutant may do to its host."""
SHOWN_MOST: Final = 20
"""So many mutants that failed are named."""
CUT: Final = "loop-in-step"
"""The case that tells how long an endless loop lasts."""


class Target(Protocol):
    """A host or a board that is attacked."""

    name: str
    engine: str
    """Name and version."""

    @property
    def board(self) -> bool:
        """Whether it is a board with an engine behind `firmware/engine/engine.h`."""

    def attack(self, case: Case) -> AttackOutcome:
        """What comes of a case."""

    def mutants(self, seed: int, count: int) -> Iterator[MutantOutcome]:
        """What comes of each of so many mutants."""

    def close(self) -> None:
        """Release it."""


@dataclass(kw_only=True, slots=True)
class Mutants:
    """What came of changed modules on one target."""

    tried: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    crashed: list[int] = field(default_factory=list)
    """Numbers of those that the target did not survive."""
    differ: list[int] = field(default_factory=list)
    """Numbers of those that made other calls than on the first target."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "tried": self.tried,
            **dict(sorted(self.kinds.items())),
            "crashes": len(self.crashed),
            "crashed": self.crashed[:SHOWN_MOST],
            "differences": len(self.differ),
            "different": self.differ[:SHOWN_MOST],
        }


@dataclass(kw_only=True, slots=True)
class TargetReport:
    """All that was tried on one target."""

    name: str
    engine: str
    board: bool
    verdicts: list[AttackVerdict] = field(default_factory=list)
    mutants: Mutants = field(default_factory=Mutants)

    @property
    def tried(self) -> int:
        """Cases and mutants."""
        return len(self.verdicts) + self.mutants.tried

    @property
    def failed(self) -> int:
        """Of these, those that did not come out as they must."""
        faulty = sum(not verdict.passed for verdict in self.verdicts)
        return faulty + len(self.mutants.crashed) + len(self.mutants.differ)

    @property
    def cut_ms(self) -> float | None:
        """How long a loop without an end lasts [wall-clock ms]; None if it did not begin."""
        for verdict in self.verdicts:
            if verdict.case.name == CUT and verdict.outcome.kind in ("stopped", "restarted"):
                return verdict.outcome.run_ms
        return None


@dataclass(kw_only=True, slots=True)
class AttackReport:
    """All that was tried."""

    cases: tuple[Case, ...]
    targets: list[TargetReport]
    not_tried: dict[str, str]
    """Targets that are not available, and why."""
    seed: int
    date: str

    @property
    def tried(self) -> int:
        """Cases and mutants on all targets."""
        return sum(target.tried for target in self.targets)

    @property
    def failed(self) -> int:
        """Of these, those that did not come out as they must."""
        return sum(target.failed for target in self.targets)

    @property
    def allowed(self) -> list[str]:
        """What engines have done otherwise, as the table allows: which, and why."""
        engines: dict[str, list[str]] = {}
        for target in self.targets:
            for because in sorted({v.because for v in target.verdicts if v.because}):
                engines.setdefault(because, []).append(target.name)
        return [f"{', '.join(names)}: {because}" for because, names in engines.items()]

    def to_dict(self) -> dict[str, Any]:
        """As the command writes it, for other programs."""
        return {
            "levada": version("levada"),
            "date": self.date,
            "machine": _machine(),
            "tried": self.tried,
            "failed": self.failed,
            "targets": {
                target.name: {
                    "engine": target.engine,
                    "board": target.board,
                    "tried": target.tried,
                    "failed": target.failed,
                    "cut_endless_loop_ms": _rounded(target.cut_ms),
                    "mutants": {"seed": self.seed, **target.mutants.to_dict()},
                }
                for target in self.targets
            },
            "not_tried": self.not_tried,
            "cases": [_case(number, case, self.targets) for number, case in enumerate(self.cases)],
        }


def run_attacks(
    suite: Suite,
    cases: Sequence[Case],
    targets: Sequence[Callable[[], Target]],
    *,
    mutants: int = 0,
    seed: int = SEED,
    not_tried: dict[str, str] | None = None,
    progress: Callable[[str, str], None] = lambda *_: None,
) -> AttackReport:
    """Try all cases, then so many mutants, on one target after the other.

    `progress` is told of each target and of what begins there.
    """
    report = AttackReport(
        cases=tuple(cases),
        targets=[],
        not_tried=not_tried or {},
        seed=seed,
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    first: list[MutantOutcome] = []
    for make in targets:
        target = make()
        try:
            found = TargetReport(name=target.name, engine=target.engine, board=target.board)
            report.targets.append(found)
            for case in cases:
                progress(target.name, f"{case.row} {case.name}")
                verdict = judge(suite, case, target.attack(case), target.name, board=target.board)
                found.verdicts.append(verdict)
            progress(target.name, f"{mutants} mutants")
            outcomes = []
            for outcome in target.mutants(seed, mutants):
                outcomes.append(outcome)
                _count(found.mutants, outcome, first)
            first = first or outcomes
        finally:
            target.close()
    return report


def _count(mutants: Mutants, outcome: MutantOutcome, first: Sequence[MutantOutcome]) -> None:
    mutants.tried += 1
    mutants.kinds[outcome.kind] += 1
    if outcome.kind in CRASHES:
        mutants.crashed.append(outcome.number)
    elif first and not alike(outcome, first[outcome.number]):
        mutants.differ.append(outcome.number)


def alike(one: MutantOutcome, other: MutantOutcome) -> bool:
    """Whether both made the same calls, if both ran to their own end.

    Engines count instructions differently, and some refuse what others only trap on.
    """
    told = {one.kind, other.kind} <= {"stopped", "contained"}
    cut = "out of fuel" in (one.trap, other.trap)
    return not told or cut or one[1:] == other[1:]


def _case(number: int, case: Case, targets: Sequence[TargetReport]) -> dict[str, Any]:
    return {
        "row": case.row,
        "name": case.name,
        "tries": case.tries,
        "expected": {"outcome": case.outcome, "trap": case.trap, "says": case.says},
        "results": {target.name: _result(target.verdicts[number]) for target in targets},
    }


def _result(verdict: AttackVerdict) -> dict[str, Any]:
    outcome = verdict.outcome
    return {
        "passed": verdict.passed,
        "faults": list(verdict.faults),
        "outcome": outcome.kind,
        "detail": outcome.detail.splitlines()[-1] if outcome.detail else "",
        "because": verdict.because,
        "load_ms": _rounded(outcome.load_ms),
        "run_ms": _rounded(outcome.run_ms),
        "neighbours": outcome.neighbours,
    }


def _machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "cpu": platform.machine(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
