"""What came of an attack, and whether it is what must come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from levada.guest.abi import Call
from levada.guest.attacks.cases import Case, OutcomeKind, Suite
from levada.guest.tape import iter_records, record_text

__all__ = ["AttackOutcome", "AttackVerdict", "calls_of", "judge"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackOutcome:
    """What came of one case on one target."""

    kind: OutcomeKind
    detail: str = ""
    """The reason of a refusal, or the name of the trap."""
    calls: tuple[str, ...] = ()
    outputs: tuple[int, ...] = (0, 0, 0, 0)
    load_ms: float = 0.0
    """From the bytes of the module to a guest that could run, or to the refusal [wall-clock ms]."""
    run_ms: float = 0.0
    """Of the last run of the guest, until it returned or was stopped; of two lives the shorter
    one [wall-clock ms]."""
    repeats: bool = True
    """A second life of the guest made the same calls."""
    neighbours: int = 0
    """So many other guests ran their next step afterwards as if nothing had happened."""
    of_neighbours: int = 0
    """How many there are."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> AttackOutcome:
        """What `to_dict` has made, after JSON."""
        return cls(**found | {name: tuple(found[name]) for name in ("calls", "outputs")})


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackVerdict:
    """An outcome beside what was expected."""

    case: Case
    outcome: AttackOutcome
    faults: tuple[str, ...]
    """All that is not as it must be."""
    because: str = ""
    """Why this engine may differ from the table's outcome, if it does."""

    @property
    def passed(self) -> bool:
        """Whether all is as it must be."""
        return not self.faults


def calls_of(tape: bytes) -> tuple[str, ...]:
    """The host calls on a tape."""
    imports = range(Call.READ_SENSOR, Call.KEEP_SET + 1)
    return tuple(record_text(r) for r in iter_records(tape) if r.call in imports)


def judge(
    suite: Suite, case: Case, outcome: AttackOutcome, target: str, *, board: bool
) -> AttackVerdict:
    """Compare an outcome with the table."""
    difference = suite.difference(case, target, board=board)
    because, faults = "", tuple[str, ...]()
    if outcome.kind == "died" or outcome.neighbours != outcome.of_neighbours:
        missed = outcome.of_neighbours - outcome.neighbours
        faults = (f"{outcome.kind} ({outcome.detail}), {missed} neighbours missed a step",)
    elif difference is not None:
        because = difference.because
        faults = tuple(_other_kind(outcome, difference.outcome))
    else:
        says = case.says_on_boards if board and case.says_on_boards else case.says
        faults = tuple(_other_kind(outcome, case.outcome)) or tuple(_faults(case, outcome, says))
    return AttackVerdict(case=case, outcome=outcome, faults=faults, because=because)


def _other_kind(outcome: AttackOutcome, expected: OutcomeKind) -> Iterator[str]:
    if outcome.kind != expected:
        yield f"{outcome.kind} ({outcome.detail}), expected {expected}"


def _faults(case: Case, outcome: AttackOutcome, says: str) -> Iterator[str]:
    if case.outcome == "refused":
        if says not in outcome.detail:
            yield f"says {outcome.detail!r}, expected {says!r}"
        return
    if case.trap != outcome.detail:
        yield f"stopped by {outcome.detail}, expected {case.trap}"
    if outcome.calls != case.expected_calls:
        yield f"calls {_shown(outcome.calls)}, expected {_shown(case.expected_calls)}"
    if outcome.outputs != case.outputs:
        yield f"outputs {outcome.outputs}, expected {case.outputs}"
    if not outcome.repeats:
        yield "a second life of the guest made other calls"


def _shown(calls: tuple[str, ...]) -> str:
    text = "; ".join(calls)
    return f"{len(calls)}: {text}" if len(text) <= 400 else f"{len(calls)}: {text[:400]}..."
