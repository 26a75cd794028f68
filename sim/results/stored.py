"""Stored results of a scenario: what a run of it is held against, on any computer.

Key figures and one value a day of some signals, each with its tolerance, in
`scenarios/results/NAME.json`.  They are not digests, which are for one computer: another processor
or mathematical library may differ in the last bit, the solver then takes other steps, and an
opening of the valve can come one reading earlier.  That is less than 1 mm of water: field capacity
changed by 1e-9 of itself left every figure of quickstart and sandy-soil as it was to 1e-4 mm.  So
water may differ by 1 mm or 2 %; a run beyond that tells another story, and the days on which it
does are named.  A run to be repeated to the bit is a golden run, see `levada.sim.results.golden`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.text.json_text import parse
from levada.sim.run.rundir import RunDir, RunDirError
from levada.sim.units import DAY_MS

__all__ = [
    "FIGURES",
    "SIGNALS",
    "DeviationWindow",
    "FigureDifference",
    "StoredComparison",
    "compare_results",
    "results_of",
    "results_path",
    "write_results",
]

Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]

FORMAT: Final = 1
MOST_ZONES: Final = 4
"""Of a larger field the mean of all zones is kept."""
MEAN: Final = "mean of all zones"

FIGURES: Final[dict[str, tuple[float, float]]] = {
    "days": (0.0, 0.0),
    "steps": (0.0, 1e-3),
    "rain_mm": (1e-3, 0.0),
    "et0_mm": (1e-3, 1e-6),
    "irrigation_mm": (1.0, 0.02),
    "et_mm": (1.0, 0.01),
    "drainage_mm": (1.0, 0.02),
    "runoff_mm": (1.0, 0.02),
    "storage_change_mm": (1.0, 0.02),
    "balance_error_mm": (1e-6, 0.0),
    "stress_days": (1.0, 0.0),
    "dry_stress_days": (1.0, 0.0),
    "wet_stress_days": (1.0, 0.0),
    "valve_openings": (1.0, 0.02),
    "longest_opening_s": (1.0, 0.0),
    "energy_j": (1.0, 1e-3),
    "traps": (0.0, 0.0),
}
"""Key of the summary -> tolerance: absolute, and relative to the value; the larger counts."""


def _so_far(values: Floats, day: Days, days: int) -> Floats:
    return np.cumsum(np.bincount(day, values, days))


def _mean(values: Floats, day: Days, days: int) -> Floats:
    return np.asarray(np.bincount(day, values, days) / np.bincount(day, minlength=days))


SIGNALS: Final[dict[str, tuple[float, Callable[[Floats, Days, int], Floats]]]] = {
    "irrigation_mm": (1.0, _so_far),
    "evaporation_mm": (1.0, _so_far),
    "transpiration_mm": (1.0, _so_far),
    "drainage_mm": (1.0, _so_far),
    "runoff_mm": (1.0, _so_far),
    "dr_mm": (2.0, _mean),
    "theta_probe": (0.005, _mean),
    "battery_mv": (5.0, _mean),
}
"""Signal of the trace -> absolute tolerance of its daily value, and what that is: the sum since the
start, or the mean of the day."""
OF_SUM: Final = 0.02
"""Tolerance of a sum since the start, share of what it is at the end, if that is more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureDifference:
    """A figure of the summary that is not as stored."""

    name: str
    stored: float
    found: float
    allowed: float

    def __str__(self) -> str:
        return (
            f"{self.name} = {self.found:.6g}: stored {self.stored:.6g}, "
            f"allowed difference {self.allowed:.3g}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviationWindow:
    """Days in a row on which a signal is not as stored."""

    signal: str
    zone: str
    first: str
    """Date."""
    last: str
    largest: float
    """Largest difference of the daily value in these days."""
    allowed: float

    def __str__(self) -> str:
        return (
            f"{self.signal} of {self.zone}, {self.first} to {self.last}: differs by up to "
            f"{self.largest:.3g}, allowed {self.allowed:.3g}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredComparison:
    """A run beside the stored results of its scenario."""

    scenario: str
    figures: tuple[FigureDifference, ...]
    windows: tuple[DeviationWindow, ...]
    expectations: tuple[str, ...]
    """Expectations that have another outcome than the stored one, or that are new or gone."""

    @property
    def equal(self) -> bool:
        """Whether the run tells the same story."""
        return not (self.figures or self.windows or self.expectations)


def results_path(scenario: Path) -> Path:
    """Where the results of a scenario file are stored."""
    return scenario.parent / "results" / f"{scenario.stem}.json"


def results_of(run: RunDir) -> dict[str, Any]:
    """What is stored of a run; raises RunDirError for a run that broke off."""
    summary = run.summary
    if summary["partial"]:
        raise RunDirError(f"{run.path}: the run was interrupted on {summary['ended']}")
    return {
        "format": FORMAT,
        "scenario": summary["scenario"],
        "start": summary["start"][:10],
        "figures": {
            name: {"value": round(float(summary[name]), 6), "tolerance": _allowed(name, summary)}
            for name in FIGURES
        },
        "expectations": {e["name"]: e["passed"] for e in summary["expectations"]},
        "daily": {
            zone: {
                signal: {"tolerance": _tolerance(signal, values), "values": values}
                for signal, values in signals.items()
            }
            for zone, signals in _daily(run)
        },
    }


def write_results(run: RunDir, path: Path) -> None:
    """Store the results of a run: they are those to compare with from now on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(results_of(run)) + "\n", encoding="utf-8")


def _stored(path: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = parse(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunDirError(f"{path}: damaged: {error}") from None
    return stored


def compare_results(run: RunDir, path: Path) -> StoredComparison:
    """Hold a run against stored results; raises RunDirError if they are not of its scenario."""
    if not path.is_file():
        raise RunDirError(f"{path}: no stored results")
    stored = _stored(path)
    found = results_of(run)
    for key in ("format", "scenario", "start"):
        if stored[key] != found[key]:
            raise RunDirError(f"{path}: {key} is {stored[key]}, that of the run {found[key]}")
    figures = tuple(
        FigureDifference(
            name=name,
            stored=figure["value"],
            found=found["figures"][name]["value"],
            allowed=figure["tolerance"],
        )
        for name, figure in stored["figures"].items()
        if not abs(found["figures"][name]["value"] - figure["value"]) <= figure["tolerance"]
    )
    before, now = stored["expectations"], found["expectations"]
    return StoredComparison(
        scenario=found["scenario"],
        figures=figures,
        windows=tuple(_windows(stored, found)),
        expectations=tuple(name for name in {**before, **now} if before.get(name) != now.get(name)),
    )


def _allowed(name: str, summary: dict[str, Any]) -> float:
    absolute, relative = FIGURES[name]
    return max(absolute, float(f"{relative * abs(summary[name]):.3g}"))


def _tolerance(signal: str, values: list[float]) -> float:
    absolute, daily = SIGNALS[signal]
    return max(absolute, float(f"{OF_SUM * abs(values[-1]):.3g}")) if daily is _so_far else absolute


def _daily(run: RunDir) -> Iterator[tuple[str, dict[str, list[float]]]]:
    trace = run.trace
    zone = np.asarray(trace["zone"])
    start_ms = datetime.fromisoformat(run.summary["start"]).replace(tzinfo=UTC).timestamp() * 1000
    # a row stands for the time before it
    day = (np.asarray(trace["time_ms"], np.int64) - 1 - int(start_ms)) // DAY_MS
    inside = day >= 0
    days = int(day.max()) + 1
    names = run.zones
    if len(names) > MOST_ZONES:
        masks = {MEAN: (inside, len(names))}
    else:
        masks = {name: (inside & (zone == i), 1) for i, name in enumerate(names)}
    for name, (rows, zones) in masks.items():
        signals = {}
        for signal, (_, daily) in SIGNALS.items():
            values = daily(np.asarray(trace[signal], np.float64)[rows], day[rows], days)
            if daily is _so_far:
                values = values / zones
            signals[signal] = [round(v, 4) for v in values.tolist()]
        yield name, signals


def _windows(stored: dict[str, Any], found: dict[str, Any]) -> Iterator[DeviationWindow]:
    start = np.datetime64(stored["start"])
    for zone, signals in stored["daily"].items():
        for signal, series in signals.items():
            now = found["daily"].get(zone, {}).get(signal, {}).get("values", [])
            if len(now) != len(series["values"]):
                raise RunDirError(f"{signal} of {zone}: other zones or days than were stored")
            apart = np.abs(np.array(now) - np.array(series["values"]))
            beyond = ~(apart <= series["tolerance"])  # so is NaN
            edges = np.flatnonzero(np.diff(np.concatenate(([0], beyond.astype(np.int8), [0]))))
            for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                yield DeviationWindow(
                    signal=signal,
                    zone=zone,
                    first=str(start + a),
                    last=str(start + b - 1),
                    largest=float(apart[a:b].max()),
                    allowed=series["tolerance"],
                )


def _text(value: object, indent: str = "") -> str:
    """JSON in which whatever holds only numbers stands on one line: good to read and to compare."""
    if isinstance(value, dict) and not all(isinstance(v, int | float) for v in value.values()):
        inner = indent + " "
        lines = [f"{inner}{json.dumps(key)}: {_text(v, inner)}" for key, v in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return json.dumps(value)
