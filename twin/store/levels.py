"""Smallest and largest values of a series in intervals of several widths: the table `extremes`.

A window of any length is drawn from some thousand rows: the points while they are few, else the
widest intervals that are still narrower than a pixel.  An interval is numbered by its distance from
1970 in its own width, so intervals of one width make up those of the next, also before 1970.

The intervals always say what the points say.  Newer values widen them; values that come late or
replace others, and whatever removes points, have them worked out anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, delete, func, insert, literal, select
from sqlalchemy import literal_column as plain

from levada.twin.store import schema
from levada.twin.store.engine import widen

__all__ = ["shifted", "update", "work_out"]

_APART: Final = 64
"""Narrowest intervals between two that are still worked out together."""


def shifted(column: Any, bits: int) -> Any:
    """`column` without its last `bits` bits: the interval that a time or an interval is in."""
    return column.bitwise_rshift(plain(str(bits), Integer))


def update(
    connection: Connection,
    values: Iterable[tuple[int, int, float]],
    newest_ms: Mapping[int, int],
) -> None:
    """Bring the intervals of (series, time, value) up to date, after the points were written.

    `newest_ms` holds the newest time of each series before that.
    """
    found: dict[tuple[int, int, int], tuple[int, float, float]] = {}
    late: dict[int, set[int]] = {}
    narrow = schema.SHIFTS[0]
    for series, time_ms, value in values:
        if time_ms <= newest_ms[series]:
            late.setdefault(series, set()).add(time_ms >> narrow)
        else:
            _widen(found, (series, narrow, time_ms >> narrow), (1, value, value))
    for below, shift in pairwise(schema.SHIFTS):
        for (series, level, slot), seen in list(found.items()):
            if level == below:
                _widen(found, (series, shift, slot >> shift - below), seen)
    if found:
        names = ("series_id", "shift", "slot", "count", "low", "high")
        connection.execute(
            widen(connection.engine, schema.extremes),
            [dict(zip(names, (*key, *seen), strict=True)) for key, seen in found.items()],
        )
    for series, slots in late.items():
        for first, last in _runs(sorted(slots)):
            work_out(connection, series, first << narrow, (last << narrow) + 1)


def _widen(
    found: dict[tuple[int, int, int], tuple[int, float, float]],
    key: tuple[int, int, int],
    new: tuple[int, float, float],
) -> None:
    old = found.get(key)
    found[key] = new if old is None else (old[0] + new[0], min(old[1], new[1]), max(old[2], new[2]))


def _runs(slots: list[int]) -> list[tuple[int, int]]:
    """First and last of what lies close together."""
    runs = [(slots[0], slots[0])]
    for slot in slots[1:]:
        first, last = runs[-1]
        if slot - last <= _APART:
            runs[-1] = (first, slot)
        else:
            runs.append((slot, slot))
    return runs


def work_out(connection: Connection, series: int, start_ms: int, end_ms: int) -> None:
    """Work out anew the intervals that hold any time with start_ms <= time < end_ms."""
    table, points = schema.extremes, schema.points
    for below, shift in pairwise((0, *schema.SHIFTS)):
        first, last = start_ms >> shift, (end_ms - 1) >> shift
        connection.execute(
            delete(table).where(
                table.c.series_id == series,
                table.c.shift == shift,
                table.c.slot.between(first, last),
            )
        )
        if below:
            place = table.c.slot
            mine: Any = (table.c.series_id == series) & (table.c.shift == below)
            seen: list[Any] = [
                func.sum(table.c.count),
                func.min(table.c.low),
                func.max(table.c.high),
            ]
        else:
            place = points.c.time_ms
            mine = points.c.series_id == series
            seen = [func.count(), func.min(points.c.value), func.max(points.c.value)]
        bits = shift - below
        slot = shifted(place, bits)
        source = (
            select(literal(series, BigInteger), literal(shift, Integer), slot, *seen)
            .where(mine, place >= first << bits, place < (last + 1) << bits)
            .group_by(slot)
        )
        names = ["series_id", "shift", "slot", "count", "low", "high"]
        connection.execute(insert(table).from_select(names, source))
