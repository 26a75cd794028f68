"""The days of runs, or of the zones of one: sums and means to lay beside each other."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from levada.sim.results.side_by_side import run_names
from levada.sim.run.rundir import RunDir
from levada.sim.units import DAY_MS

__all__ = [
    "DAILY_SIGNALS",
    "DailySeries",
    "DailySignal",
    "daily_rows",
    "daily_series",
    "days_apart",
    "write_csv",
]

Floats = npt.NDArray[np.float64]

LEAST_MM: Final = 0.05
"""Less is not told of a day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DailySignal:
    """What is made of a signal of the trace for a day."""

    name: str
    """Column of a table of days; ends in its unit."""
    label: str
    signal: str
    mean: bool = False
    """The mean of the day's rows; else their sum."""
    factor: float = 1.0


DAILY_SIGNALS: Final = (
    DailySignal(
        name="root_zone_pct",
        label="Water content of the root zone, % of volume",
        signal="theta_root",
        mean=True,
        factor=100.0,
    ),
    DailySignal(name="depletion_mm", label="Depletion, mm", signal="dr_mm", mean=True),
    DailySignal(name="ks", label="Stress coefficient, 1 = no stress", signal="ks", mean=True),
    DailySignal(name="irrigation_mm", label="Irrigation, mm a day", signal="irrigation_mm"),
    DailySignal(name="rain_mm", label="Rain, mm a day", signal="rain_mm"),
    DailySignal(
        name="transpiration_mm", label="Transpiration, mm a day", signal="transpiration_mm"
    ),
    DailySignal(name="drainage_mm", label="Drainage, mm a day", signal="drainage_mm"),
    DailySignal(name="energy_j", label="Energy (model), J a day", signal="energy_j"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DailySeries:
    """The days of a run, or of one of its zones."""

    name: str
    dates: tuple[date, ...]
    values: dict[str, Floats]
    """By name of `DAILY_SIGNALS`, a value a day; NaN on a day without rows."""


def daily_series(runs: Sequence[RunDir]) -> list[DailySeries]:
    """The days of each run, zones weighted by their areas; of a single run, of each zone."""
    if len(runs) > 1:
        names = run_names(runs)
        return [_series(name, run, _areas(run)) for name, run in zip(names, runs, strict=True)]
    (run,) = runs
    count = len(run.zones)
    return [_series(name, run, np.eye(count)[k]) for k, name in enumerate(run.zones)]


def daily_rows(series: Sequence[DailySeries]) -> Iterator[tuple[str, date, str, float, float]]:
    """Rows of a long table: run, date, signal, value, and value less that of the first run.

    The difference is NaN where the first run has no such day.
    """
    first = series[0]
    known = {day: k for k, day in enumerate(first.dates)}
    for of in series:
        for k, day in enumerate(of.dates):
            for signal in DAILY_SIGNALS:
                value = float(of.values[signal.name][k])
                at = known.get(day)
                base = np.nan if at is None else float(first.values[signal.name][at])
                yield of.name, day, signal.name, value, value - base


def days_apart(series: Sequence[DailySeries]) -> Iterator[str]:
    """A line for each day and run on which sums of water differ from the first run's."""
    shown = {"irrigation_mm": "irrigation", "drainage_mm": "drainage", "depletion_mm": "depletion"}
    width = max(len(of.name) for of in series)
    apart: dict[tuple[date, str], list[str]] = {}
    for name, day, signal, value, difference in daily_rows(series):
        if signal in shown and abs(difference) >= LEAST_MM:
            text = f"{shown[signal]} {value:.1f} mm ({difference:+.1f})"
            apart.setdefault((day, name), []).append(text)
    if not apart:
        yield f"no day on which irrigation, drainage or depletion differ by {LEAST_MM} mm"
    for (day, name), parts in sorted(apart.items()):
        yield f"{day}  {name:<{width}}  {', '.join(parts)}"


def write_csv(series: Sequence[DailySeries], path: Path) -> int:
    """Write `daily_rows` as CSV; the number of rows.  What is not known is empty."""
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("run", "date", "signal", "value", "difference_to_first"))
        for name, day, signal, *numbers in daily_rows(series):
            cells = ["" if np.isnan(number) else f"{number:.6g}" for number in numbers]
            writer.writerow((name, day.isoformat(), signal, *cells))
            count += 1
    return count


def _areas(run: RunDir) -> Floats:
    tables = run.scenario["zone"]
    areas = [float(t.get("area_m2", 1.0)) for t in tables for _ in range(t.get("count", 1))]
    return np.asarray(areas)


def _series(name: str, run: RunDir, weights: Floats) -> DailySeries:
    start = datetime.fromisoformat(run.summary["start"]).replace(tzinfo=UTC)
    time_ms = np.asarray(run.trace["time_ms"], np.int64)
    zone = np.asarray(run.trace["zone"], np.int64)
    # a row tells of the time before it: that of midnight belongs to the day that ends
    day = np.maximum((time_ms - round(start.timestamp() * 1000) - 1) // DAY_MS, 0)
    days, zones = int(day.max(initial=-1)) + 1, len(run.zones)
    cell = day * zones + zone
    count = np.bincount(cell, minlength=days * zones).reshape(days, zones)
    values = {}
    for signal in DAILY_SIGNALS:
        column = np.asarray(run.trace[signal.signal], np.float64)
        sums = np.bincount(cell, column, minlength=days * zones).reshape(days, zones)
        found = np.asarray(sums, np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = found / count if signal.mean else np.where(count > 0, found, np.nan)
            used = weights > 0
            values[signal.name] = signal.factor * np.average(
                found[:, used], axis=1, weights=weights[used]
            )
    first = start.date()
    return DailySeries(
        name=name,
        dates=tuple(first + timedelta(days=k) for k in range(days)),
        values=values,
    )
