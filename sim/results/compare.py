"""Compares two runs: the first divergent host call, then signals beyond their tolerance.

The tape comes first: equal readings and different calls accuse the guest or what runs it; different
readings accuse plant or probe, and then the signals say which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.guest.abi import Call
from levada.guest.tape import (
    Difference,
    TapeReader,
    first_difference,
    iter_records,
    tape_digest,
    time_text,
)
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.run.trace import TYPES, Trace

__all__ = [
    "RELATIVE_TOLERANCE",
    "Comparison",
    "SignalDifference",
    "compare_runs",
    "count_calls",
    "tape_flaws",
]

RELATIVE_TOLERANCE: Final = 1e-6
"""Of a signal without a tolerance of its own, relative to its largest value: what storing a value
in four bytes can lose.  Whole numbers must be equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalDifference:
    """Where a signal of two runs parts by more than is allowed."""

    signal: str
    zone: str
    first: str
    """When it does first."""
    a: float
    b: float
    largest: float
    """Largest difference in this zone."""
    allowed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What two runs have in common."""

    calls: int
    """Host calls compared."""
    zone: str | None
    """Zone of the first divergent call."""
    tape: Difference | None
    signals: tuple[SignalDifference, ...]
    notes: tuple[str, ...]
    """What could not be compared."""

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.tape is None and not self.signals and not self.notes


def compare_runs(a: RunDir, b: RunDir, tolerances: Mapping[str, float]) -> Comparison:
    """Compare two runs, zone by zone of the same name.

    `tolerances` are absolute, by signal.  Raises RunDirError for a signal that does not exist.
    """
    for signal in tolerances:
        if signal not in TYPES:
            raise RunDirError(
                f"no signal `{signal}` in a trace: there are {', '.join(list(TYPES)[2:])}"
            )
    notes = []
    common = [name for name in a.zones if name in b.zones]
    for left, right, which in ((a, b, "first"), (b, a, "second")):
        only = [name for name in left.zones if name not in right.zones]
        if only:
            notes.append(f"only in the {which} run: {', '.join(only[:5])} ({len(only)} zones)")
    calls, zone, difference, flaws = _tapes(a, b, common)
    notes += flaws
    signals, rows = _signals(a, b, common, tolerances)
    return Comparison(
        calls=calls, zone=zone, tape=difference, signals=tuple(signals), notes=(*notes, *rows)
    )


def _tapes(
    a: RunDir, b: RunDir, common: list[str]
) -> tuple[int, str | None, Difference | None, list[str]]:
    left, right = TapeReader(a.tape_path), TapeReader(b.tape_path)
    left_tapes, right_tapes = left.tapes(), right.tapes()
    flaws = tape_flaws(a, left, left_tapes) + tape_flaws(b, right, right_tapes)
    of_a = dict(zip(left.zones, left_tapes, strict=True))
    of_b = dict(zip(right.zones, right_tapes, strict=True))
    calls = 0
    found: Difference | None = None
    where: str | None = None
    for name in common:
        difference = first_difference(of_a[name], of_b[name])
        if difference is None:
            calls += count_calls(of_a[name])
        elif found is None or (difference.time_ms or 0) < (found.time_ms or 0):
            found, where = difference, name
    return calls, where, found, flaws


def tape_flaws(run: RunDir, tape: TapeReader, tapes: Sequence[bytes]) -> list[str]:
    """What shows that a tape is not the whole tape of its run; call it after `tape.tapes()`."""
    flaws = []
    if tape.truncated:
        flaws.append(f"{tape.path}: the file is cut off")
    if tape_digest(tapes) != run.summary["tape_digest"]:
        flaws.append(f"{tape.path}: not the tape that summary.json names, or not all of it")
    return flaws


def count_calls(records: bytes) -> int:
    """Number of host calls on a tape."""
    return sum(Call.READ_SENSOR <= record.call <= Call.KEEP_SET for record in iter_records(records))


def _signals(
    a: RunDir, b: RunDir, common: list[str], tolerances: Mapping[str, float]
) -> tuple[list[SignalDifference], list[str]]:
    found, notes = [], []
    for name in common:
        rows_a = _rows(a.trace, a.zones.index(name))
        rows_b = _rows(b.trace, b.zones.index(name))
        times, at_a, at_b = np.intersect1d(
            a.trace["time_ms"][rows_a],
            b.trace["time_ms"][rows_b],
            assume_unique=True,
            return_indices=True,
        )
        missing = len(rows_a) + len(rows_b) - 2 * len(times)
        if missing:
            notes.append(f"zone {name}: {missing} rows are in one run only")
        for signal in list(TYPES)[2:]:
            difference = _signal(
                signal,
                name,
                times,
                a.trace[signal][rows_a][at_a],
                b.trace[signal][rows_b][at_b],
                tolerances.get(signal),
            )
            if difference is not None:
                found.append(difference)
    return found, notes


def _rows(trace: Trace, zone: int) -> npt.NDArray[np.int64]:
    return np.flatnonzero(trace["zone"] == zone)


def _signal(
    signal: str,
    zone: str,
    times: npt.NDArray[np.generic],
    left: npt.NDArray[np.generic],
    right: npt.NDArray[np.generic],
    tolerance: float | None,
) -> SignalDifference | None:
    x, y = left.astype(np.float64), right.astype(np.float64)
    if tolerance is None:
        whole = np.issubdtype(left.dtype, np.integer)
        size = np.nanmax(np.abs(x), initial=0.0)
        tolerance = 0.0 if whole else RELATIVE_TOLERANCE * float(size)
    apart = np.abs(x - y)
    # a value on one side and none on the other is a difference, none on both is not
    apart[np.isnan(x) ^ np.isnan(y)] = np.inf
    apart[np.isnan(x) & np.isnan(y)] = 0.0
    beyond = np.flatnonzero(apart > tolerance)
    if not beyond.size:
        return None
    at = int(beyond[0])
    return SignalDifference(
        signal=signal,
        zone=zone,
        first=time_text(int(times[at])),
        a=float(x[at]),
        b=float(y[at]),
        largest=float(apart.max()),
        allowed=tolerance,
    )
