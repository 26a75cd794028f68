"""What is absent in the period asked for: said by column, or filled by a method that was named.

A value that is absent leaves the others of its row as they were measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from levada.sim.errors import PeriodError, WeatherError
from levada.sim.weather.series import (
    DAY_MS,
    HOUR_MS,
    HUMIDITY,
    NEEDED,
    FloatArray,
    IntArray,
    Step,
    WeatherTable,
    to_date,
    to_ms,
    to_text,
)

__all__ = ["FILL_METHODS", "Fill", "complete", "without_gauge"]

Fill = Literal["none", "linear", "previous-day"]
Mask = npt.NDArray[np.bool_]

FILL_METHODS: Final = ("none", "linear", "previous-day")
_LONGEST_LINEAR: Final = 3  # steps: beyond it a straight line misses the night, or a front
_NO_GAUGE: Final = 0.5
_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class _Hole:
    """Columns that lack the same values."""

    columns: tuple[str, ...]
    """Empty: the rows are not there at all."""
    absent: Mask


def without_gauge(table: WeatherTable, start: date | None, end: date | None) -> WeatherTable:
    """The table without its rain if more than half of that is absent, in the file and from `start`
    to `end`: nobody measured it.
    """
    if "rain_mm" not in table.columns:
        return table
    asked = np.ones(table.time_ms.size, bool)
    if start is not None:
        asked &= table.time_ms >= to_ms(start)
    if end is not None:
        asked &= table.time_ms < to_ms(end) + DAY_MS
    whole = table.columns["rain_mm"]
    rain = whole[asked]
    if not rain.size or min(np.isnan(whole).mean(), np.isnan(rain).mean()) <= _NO_GAUGE:
        return table
    absent = int(np.isnan(rain).sum())
    note = f"rain_mm absent in {_count(absent, rain.size, table.step)}: taken as no rain column"
    if np.nansum(rain) > 0.0:
        note += f", {np.nansum(rain):.1f} mm in the others left out"
    columns = {name: values for name, values in table.columns.items() if name != "rain_mm"}
    return replace(table, columns=columns, notes=(*table.notes, note))


def complete(
    table: WeatherTable, start: date | None, end: date | None, fill: Fill
) -> tuple[WeatherTable, tuple[str, ...]]:
    """The rows of whole days from `start` to `end`, what was absent filled, and what that was.

    Without `start` or `end`: from the first, or to the last day of which nothing is absent.
    """
    step_ms = DAY_MS if table.step == "daily" else HOUR_MS
    low, high = _period(table, start, end, step_ms)
    # the day before and the step after may serve to fill the period
    wide = np.arange(low - DAY_MS, high + DAY_MS + step_ms, step_ms, dtype=np.int64)
    at = np.searchsorted(table.time_ms, wide).clip(max=table.time_ms.size - 1)
    there = table.time_ms[at] == wide
    columns = {k: np.where(there, v[at], np.nan) for k, v in table.columns.items()}
    line = np.where(there, table.line[at], 0)
    inside = slice(DAY_MS // step_ms, wide.size - 1)
    holes = list(_holes(table.step, columns, there, inside))
    if holes and fill == "none":
        raise _refusal(table, holes, wide[inside], line[inside])
    for hole in holes:
        for name in hole.columns or _used(table.step, columns):
            columns[name] = _filled(table, name, columns[name], wide, inside, hole.absent, fill)
    filled = tuple(
        _said(hole, wide[inside], table.step, _how(hole, fill, "rain_mm" in columns))
        for hole in holes
    )
    columns = {name: values[inside] for name, values in columns.items()}
    return replace(table, time_ms=wide[inside], line=line[inside], columns=columns), filled


def _period(
    table: WeatherTable, start: date | None, end: date | None, step_ms: int
) -> tuple[int, int]:
    """Midnights of the first and the last day."""
    whole = np.ones(table.time_ms.size, bool)
    for absent in _absent(table.step, table.columns).values():
        whole &= ~absent
    known = table.time_ms[whole]
    if not known.size:
        raise WeatherError(table.path, 0, "no row with all values", "at least one day is needed")
    low = _first_day(known) if start is None else to_ms(start)
    high = _last_day(known, step_ms) if end is None else to_ms(end)
    first, last = _first_day(table.time_ms), _last_day(table.time_ms, step_ms)
    if low < first or high > last or low > high:
        there = f"{to_date(first)} to {to_date(last)}" if first <= last else "not one whole day"
        found = f"period {to_date(low)} to {to_date(high)}"
        raise PeriodError(table.path, 0, found, f"the file has {there}")
    return low, high


def _first_day(time_ms: IntArray) -> int:
    return -(-int(time_ms[0]) // DAY_MS) * DAY_MS


def _last_day(time_ms: IntArray, step_ms: int) -> int:
    return (int(time_ms[-1]) + step_ms) // DAY_MS * DAY_MS - DAY_MS


def _used(step: Step, columns: Mapping[str, FloatArray]) -> list[str]:
    """The columns without which there is a hole: of several kinds of humidity the best."""
    rain = [name for name in ("rain_mm",) if name in columns]
    return [*NEEDED[step], *_kinds(step, columns)[0], *rain]


def _kinds(step: Step, columns: Mapping[str, FloatArray]) -> list[tuple[str, ...]]:
    return [kind for kind in HUMIDITY[step] if all(name in columns for name in kind)]


def _absent(step: Step, columns: Mapping[str, FloatArray]) -> dict[str, Mask]:
    """By column, where its value is absent; a humidity that another one tells is not."""
    absent = {name: np.isnan(columns[name]) for name in _used(step, columns)}
    kinds = _kinds(step, columns)
    none = np.all([np.any([np.isnan(columns[n]) for n in k], axis=0) for k in kinds], axis=0)
    for name in kinds[0]:
        absent[name] &= none
    return absent


def _holes(
    step: Step, columns: Mapping[str, FloatArray], there: Mask, inside: slice
) -> Iterator[_Hole]:
    """Rows that are absent, then columns of which values are."""
    row = ~there[inside]
    if row.any():
        yield _Hole((), row)
    groups: dict[bytes, tuple[Mask, list[str]]] = {}
    for name, absent in _absent(step, columns).items():
        alone = absent[inside] & ~row
        if alone.any():
            groups.setdefault(alone.tobytes(), (alone, []))[1].append(name)
    for alone, names in groups.values():
        yield _Hole(tuple(names), alone)


def _count(absent: int, total: int, step: Step) -> str:
    return f"{absent} of {total} {'days' if step == 'daily' else 'hours'}"


def _how(hole: _Hole, fill: Fill, gauge: bool) -> str:
    rain = gauge and (not hole.columns or "rain_mm" in hole.columns)
    return f", filled by {fill}" + (", rain taken as 0" if rain and fill == "linear" else "")


def _said(hole: _Hole, time_ms: IntArray, step: Step, how: str = "") -> str:
    """`rain_mm absent in 120 of 216 hours, filled by linear: 2001-05-04T00:00 to ...`."""
    rows = np.flatnonzero(hole.absent)
    breaks = np.flatnonzero(np.diff(rows) > 1)
    begins, ends = rows[np.r_[0, breaks + 1]], rows[np.r_[breaks, rows.size - 1]]
    texts = []
    for begin, end in list(zip(begins, ends, strict=True))[:_SHOWN]:
        text = to_text(int(time_ms[begin]), step)
        texts.append(f"{text} to {to_text(int(time_ms[end]), step)}" if end > begin else text)
    if begins.size > _SHOWN:
        last = to_text(int(time_ms[ends[-1]]), step)
        texts.append(f"and {begins.size - _SHOWN} more times up to {last}")
    what = ", ".join(hole.columns) or "all columns"
    number = _count(int(hole.absent.sum()), hole.absent.size, step)
    return f"{what} absent in {number}{how}: {', '.join(texts)}"


def _refusal(
    table: WeatherTable, holes: Sequence[_Hole], time_ms: IntArray, line: IntArray
) -> WeatherError:
    found, hint = [], ""
    for hole in holes:
        if hole.columns:
            found.append(_said(hole, time_ms, table.step))
            continue
        first = int(time_ms[hole.absent][0])
        what = "day" if table.step == "daily" else "hour"
        count = int(hole.absent.sum())
        plural = "s" if count > 1 else ""
        found.append(f"{count} {what}{plural} absent, first {to_text(first, table.step)}")
        moment = datetime.fromtimestamp(first / 1000, UTC)
        if what == "hour" and moment.weekday() == 6 and 1 <= moment.hour <= 3:
            hint = "; a clock changed to daylight saving time? then name its `time_zone`"
    first = int(np.argmax(holes[0].absent))
    near = int(np.searchsorted(table.time_ms, time_ms[first]))
    return WeatherError(
        table.path,
        int(line[first]) or int(table.line[min(near, table.line.size - 1)]),
        "; ".join(found),
        f"none may be, or name a method: fill = linear or previous-day{hint}",
    )


def _filled(
    table: WeatherTable,
    name: str,
    values: FloatArray,
    time_ms: IntArray,
    inside: slice,
    absent: Mask,
    fill: Fill,
) -> FloatArray:
    rows = np.flatnonzero(absent) + inside.start
    if fill == "linear":
        return _linear(table, name, values, time_ms, rows)
    return _previous_day(table, name, values, time_ms, rows, inside.start)


def _linear(
    table: WeatherTable, name: str, values: FloatArray, time_ms: IntArray, rows: IntArray
) -> FloatArray:
    """A straight line over at most three absent steps; no rain in them."""
    known = np.flatnonzero(~np.isnan(values))
    after = np.searchsorted(known, rows)
    for row, k in zip(rows, after, strict=True):
        gap = int(known[k] - known[k - 1]) - 1 if 0 < k < known.size else 0
        if not 0 < gap <= _LONGEST_LINEAR:
            raise WeatherError(
                table.path,
                0,
                f"hole of {gap or 'unknown'} steps at {to_text(int(time_ms[row]))} in {name}",
                f"linear fills at most {_LONGEST_LINEAR}; use previous-day or another period",
            )
    out = values.copy()
    out[rows] = 0.0 if name == "rain_mm" else np.interp(rows, known, values[known])
    return out


def _previous_day(
    table: WeatherTable,
    name: str,
    values: FloatArray,
    time_ms: IntArray,
    rows: IntArray,
    per_day: int,
) -> FloatArray:
    """The same time of the day before, itself possibly filled."""
    out = values.copy()
    for row in rows:
        out[row] = out[row - per_day]
        if np.isnan(out[row]):
            raise WeatherError(
                table.path,
                0,
                f"no day before {to_text(int(time_ms[row]))} in {name}",
                "previous-day needs one; begin later",
            )
    return out
