"""Runs, or the zones of one run, side by side: what an agronomist asks of a season."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from levada.sim.run.rundir import RunDir, RunDirError

__all__ = [
    "FIGURES",
    "ComparedRun",
    "Figure",
    "expectation_rows",
    "run_names",
    "side_by_side",
    "table",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of a season, by its key in summary.json."""

    name: str
    key: str
    unit: str
    digits: int = 0
    factor: float = 1.0
    """From the unit of summary.json to that which is shown."""


FIGURES: Final = (
    Figure(name="irrigation", key="irrigation_mm", unit="mm", digits=1),
    Figure(name="water", key="water_l", unit="L"),
    Figure(name="valve openings", key="valve_openings", unit=""),
    Figure(name="longest opening", key="longest_opening_s", unit="s"),
    Figure(name="rain", key="rain_mm", unit="mm", digits=1),
    Figure(name="evaporation", key="evaporation_mm", unit="mm", digits=1),
    Figure(name="transpiration", key="transpiration_mm", unit="mm", digits=1),
    Figure(name="drainage", key="drainage_mm", unit="mm", digits=1),
    Figure(name="runoff", key="runoff_mm", unit="mm", digits=1),
    Figure(name="change of storage", key="storage_change_mm", unit="mm", digits=1),
    Figure(name="days too dry", key="dry_stress_days", unit="d"),
    Figure(name="days too wet", key="wet_stress_days", unit="d"),
    Figure(name="yield (FAO-33)", key="relative_yield", unit="%", digits=1, factor=100.0),
    Figure(name="energy (model)", key="energy_j", unit="J"),
    Figure(name="traps", key="traps", unit=""),
)
"""In the order in which they are shown; those that a run does not have are left out."""


_VERDICTS: Final = {True: "passed", False: "failed", None: "not judged"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRun:
    """A column: a run, or a zone of one."""

    name: str
    period: tuple[str, str]
    """Start and end, as summary.json has them."""
    figures: Mapping[str, float]
    """By key; what is missing was not worked out in that run."""
    passed: int
    failed: int
    """Expectations."""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """Of each expectation by name: passed, failed, not judged."""


def side_by_side(runs: Sequence[RunDir]) -> list[ComparedRun]:
    """A column for each run; of a single run, one for each zone.

    Raises RunDirError if a single run has a single zone.
    """
    if len(runs) > 1:
        names = run_names(runs)
        return [
            _column(name, run.summary, run.summary) for name, run in zip(names, runs, strict=True)
        ]
    (run,) = runs
    zones = run.summary["zones"]
    if len(zones) < 2:
        raise RunDirError(
            f"{run.path}: one run with one zone: nothing to compare it with; name another run"
        )
    return [_column(zone["name"], zone, run.summary) for zone in zones]


def table(columns: Sequence[ComparedRun]) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Rows: name, unit, values, and by how much each differs from the first column.

    A difference is empty for the first column, where a value is missing, and where there is none.
    """
    for figure in FIGURES:
        values = [column.figures.get(figure.key) for column in columns]
        if all(value is None for value in values):
            continue
        first = values[0]
        shown = ["–" if value is None else f"{value:,.{figure.digits}f}" for value in values]
        differences = [
            ""
            if first is None or value is None or shown[k] == shown[0]
            else f"{value - first:+,.{figure.digits}f}"
            for k, value in enumerate(values)
        ]
        yield figure.name, figure.unit, shown, differences


def expectation_rows(columns: Sequence[ComparedRun]) -> Iterator[tuple[str, list[str]]]:
    """Name of each expectation, and its verdict in each column; a dash where it was not asked."""
    names = dict.fromkeys(name for column in columns for name in column.verdicts)
    for name in names:
        yield name, [column.verdicts.get(name, "–") for column in columns]


def _column(name: str, of: Mapping[str, Any], summary: Mapping[str, Any]) -> ComparedRun:
    items = [
        item
        for item in summary["expectations"]
        if of is summary or item.get("zone") in (None, "", name)
    ]
    verdicts = [item["passed"] for item in items]
    relative = (of.get("yield") or {}).get("relative")
    values: dict[str, Any] = {"relative_yield": relative} | dict(of)
    return ComparedRun(
        name=name,
        period=(str(summary["start"]), str(summary["ended"])),
        figures={
            f.key: f.factor * float(values[f.key]) for f in FIGURES if values.get(f.key) is not None
        },
        passed=verdicts.count(True),
        failed=verdicts.count(False),
        verdicts={item["name"]: _VERDICTS[item["passed"]] for item in items},
    )


def run_names(runs: Sequence[RunDir]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    parts = [run.path.absolute().parts for run in runs]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(of[-count:]) for of in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(of[-1:])} ({k + 1})" for k, of in enumerate(parts)]
