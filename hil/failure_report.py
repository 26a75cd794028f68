"""Pieces of a trace as text, for the report of a test that failed.

Around a moment; a golden run and a new one side by side; and where a failure has no moment, as that
of a total, its course over the whole time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from levada.guest.tape import time_text
from levada.sim.results.compare import Comparison
from levada.sim.run.evaluate import expression_values
from levada.sim.run.rundir import RunDir
from levada.sim.scenario import load as scenarios
from levada.sim.scenario.expect import Expect
from levada.sim.units import DAY_MS, HOUR_MS

__all__ = ["around", "course", "side_by_side"]

WINDOW_MS: Final = 6 * HOUR_MS
"""So much is shown before and after a moment."""
ROWS: Final = 32
"""Of a course, at most: days are taken together until it has no more."""
WORDS: Final = 24
"""Of an expression, at the head of its column, characters."""
SIGNALS: Final = 3
"""Of two runs side by side, at most."""
SHOWN: Final = ("counts", "pct", "why", "valve_commanded", "valve_open", "dr_mm", "raw_mm", "trap")
FLUXES: Final = ("rain_mm", "irrigation_mm", "evaporation_mm", "transpiration_mm", "drainage_mm")
STATES: Final = ("dr_mm", "raw_mm")

Values = npt.NDArray[Any]


def around(run: RunDir, zone: str | None, time_ms: int) -> str:
    """Six hours to each side of a moment."""
    rows = _near(run, zone, time_ms)
    table = [["time", *SHOWN]]
    for row in rows:
        table.append([_time(run, row), *(f"{run.trace[name][row]:.6g}" for name in SHOWN)])
    return f"zone {_name(run, zone)}\n{_table(table)}"


def side_by_side(golden: RunDir, run: RunDir, found: Comparison) -> str:
    """Both runs around their earliest difference: the signals that differ, first those that did."""
    moments = [(_ms(s.first), s.zone) for s in found.signals]
    if found.tape is not None and found.tape.time_ms is not None:
        moments.append((found.tape.time_ms, str(found.zone)))
    if not moments:
        return "no moment to show: zones or rows are in one run only"
    time_ms, zone = min(moments)
    ordered = sorted(found.signals, key=lambda s: (s.zone != zone, _ms(s.first)))
    allowed = {s.signal: s.allowed for s in ordered if s.zone == zone}
    signals = [*allowed][:SIGNALS] or ["counts", "valve_open", "dr_mm"]
    table = [["", *(text for s in signals for text in (s, ""))]]
    table.append(["time", *("golden", "now") * len(signals)])
    before, now = (
        {int(r.trace["time_ms"][row]): row for row in _near(r, zone, time_ms)}
        for r in (golden, run)
    )
    for moment in sorted(before.keys() | now.keys()):
        cells, differs = [_stamp(moment)], False
        for signal in signals:
            a, b = (
                float(r.trace[signal][rows[moment]]) if moment in rows else np.nan
                for r, rows in ((golden, before), (run, now))
            )
            cells += [_cell(a), _cell(b)]
            differs |= not (abs(a - b) <= allowed.get(signal, 0.0) or (np.isnan(a) and np.isnan(b)))
        table.append([*cells, "<" if differs else ""])
    head = f"zone {zone}, first difference {_stamp(time_ms)}"
    if len(allowed) > SIGNALS:
        head += f"; of {len(allowed)} signals that differ, the first {SIGNALS}"
    return f"{head}\n{_table(table)}"


def course(run: RunDir, expectation: dict[str, Any]) -> str:
    """How an amount of the whole time came about: what was asked, and the water, day by day."""
    scenario = scenarios.read(run.scenario_path).scenario
    expect = next(e for e in scenario.expect if e.name == expectation["name"])
    zone = expectation["zone"] or _foremost(run, expect)
    trace = run.trace
    time_ms = trace["time_ms"].astype(np.int64)
    inside = trace["zone"] == run.zones.index(zone)
    period = scenario.period
    inside &= time_ms > period.moment_ms(expect.start or timedelta())
    if expect.end is not None:
        inside &= time_ms <= period.moment_ms(expect.end)
    rows = np.flatnonzero(inside)
    if not rows.size:
        return f"zone {zone}: the trace has no rows of this time"
    day = (time_ms[rows] - 1) // DAY_MS
    length = -(-int(day[-1] - day[0] + 1) // ROWS)
    part = (day - day[0]) // length
    ends = np.searchsorted(part, np.unique(part), side="right") - 1
    hours = period.trace_s / 3600.0
    table = [["from"], *([f"{np.datetime64(int(day[0] + p * length), 'D')}"] for p in part[ends])]
    for name, values in _asked(expect, trace, rows, part, ends, hours):
        _add(table, name, values)
    for name in [flux for flux in FLUXES if flux not in table[0]]:
        _add(table, name, np.bincount(part, trace[name][rows].astype(np.float64))[part[ends]])
    for name in [state for state in STATES if state not in table[0]]:
        _add(table, name, trace[name][rows][ends])
    each = "a day" if length == 1 else f"{length} days"
    return f"zone {zone}, a row is {each}; dr_mm and raw_mm at its end\n{_table(table)}"


def _asked(
    expect: Expect, trace: Any, rows: Values, part: Values, ends: Values, hours: float
) -> Iterable[tuple[str, Values]]:
    """The columns of what an expectation asks for."""
    if expect.kind == "summary":
        return
    expression = expect.expression
    value, _ = expression_values(
        expression, {name: np.asarray(trace[name])[rows] for name in expression.signals}
    )
    value = np.nan_to_num(value.astype(np.float64))
    name = expression.text if len(expression.text) <= WORDS else f"{expression.text[:WORDS]}..."
    if expect.kind == "mean":
        yield f"mean of {name}", (np.bincount(part, value) / np.bincount(part).clip(1))[part[ends]]
        return
    if expect.kind == "count":
        value = np.diff(value, prepend=0.0).clip(0.0)
    elif expect.that is not None:
        name, value = f"{name} [h]", value * hours
    yield name, np.bincount(part, value)[part[ends]]
    yield "so far", np.cumsum(value)[ends]


def _foremost(run: RunDir, expect: Expect) -> str:
    """The zone with most of what is asked of the whole field."""

    def share(zone: dict[str, Any]) -> float:
        return abs(float(zone.get(str(expect.of), 0.0)))

    return str(max(run.summary["zones"], key=share)["name"])


def _name(run: RunDir, zone: str | None) -> str:
    return zone if zone in run.zones else run.zones[0]


def _near(run: RunDir, zone: str | None, time_ms: int) -> list[int]:
    apart = np.abs(run.trace["time_ms"].astype(np.int64) - time_ms)
    here = run.trace["zone"] == run.zones.index(_name(run, zone))
    return [int(row) for row in np.flatnonzero(here & (apart <= WINDOW_MS))]


def _add(table: list[list[str]], name: str, values: Values) -> None:
    for row, cell in zip(table, [name, *(f"{v:.4g}" for v in values)], strict=True):
        row.append(cell)


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.6g}"


def _time(run: RunDir, row: int) -> str:
    return _stamp(int(run.trace["time_ms"][row]))


def _stamp(time_ms: int) -> str:
    return time_text(time_ms)[:16].replace("T", " ")


def _ms(text: str) -> int:
    return int(np.datetime64(text, "ms").astype(np.int64))


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be; numbers stand to the right."""
    width = max(map(len, rows))
    padded = [[*row, *[""] * (width - len(row))] for row in rows]
    widths = [max(map(len, column)) for column in zip(*padded, strict=True)]
    pad: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (width - 1)]
    return "\n".join(
        "  ".join(p(cell, w) for p, cell, w in zip(pad, row, widths, strict=True)).rstrip()
        for row in padded
    )
