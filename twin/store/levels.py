"""Smallest and largest values of a series in intervals of several widths: the table `extremes`.

A window of any length is drawn from some thousand rows: the points while they are few, else the
widest intervals that are still narrower than a pixel.  An interval is numbered by its distance from
1970 in its own width, so intervals of one width make up those of the next, also before 1970.

The intervals always say what the points say.  New values widen them, whenever they are of; values
that replace others, and whatever removes points, have them worked out anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy import literal_column as plain

from levada.twin.store import schema
from levada.twin.store.engine import replace_levels, widen
from levada.twin.store.statements import execute_many

__all__ = ["shifted", "widen_by", "work_out", "work_out_at"]

_COLUMNS: Final = ["series_id", "shift", "slot", "count", "low", "high"]


def shifted(column: Any, bits: int) -> Any:
    """`column` without its last `bits` bits: the interval that a time or an interval is in."""
    return column.bitwise_rshift(plain(str(bits), Integer))


def widen_by(connection: Connection, values: Iterable[tuple[int, int, float]]) -> None:
    """Bring the intervals up to date after points of (series, time, value) were added."""
    found: dict[tuple[int, int, int], tuple[int, float, float]] = {}
    narrow = schema.SHIFTS[0]
    for series, time_ms, value in values:
        _widen(found, (series, narrow, time_ms >> narrow), (1, value, value))
    for below, shift in pairwise(schema.SHIFTS):
        for (series, level, slot), seen in list(found.items()):
            if level == below:
                _widen(found, (series, shift, slot >> shift - below), seen)
    if found:
        execute_many(
            connection,
            widen(connection.dialect.name, schema.extremes),
            [dict(zip(_COLUMNS, (*key, *seen), strict=True)) for key, seen in found.items()],
        )


def work_out_at(connection: Connection, touched: Iterable[tuple[int, int]]) -> None:
    """Work out anew the intervals of (series, time), where points were replaced."""
    narrow = schema.SHIFTS[0]
    slots = {(series, time_ms >> narrow) for series, time_ms in touched}
    for below, shift in pairwise((0, *schema.SHIFTS)):
        if not slots:
            return
        series, slot = bindparam("series", type_=BigInteger), bindparam("slot", type_=BigInteger)
        first, end = (bindparam(name, type_=BigInteger) for name in ("first", "end"))
        place, mine, seen = _source(below, series)
        source = select(series, literal(shift, Integer), slot, *seen).where(
            mine, place >= first, place < end
        )
        connection.execute(
            replace_levels(
                connection.dialect.name, schema.extremes, source.having(func.count() > 0)
            ),
            [
                {"series": s, "slot": n, "first": n << shift - below, "end": n + 1 << shift - below}
                for s, n in slots
            ],
        )
        index = schema.SHIFTS.index(shift) + 1
        if index < len(schema.SHIFTS):
            slots = {(s, n >> schema.SHIFTS[index] - shift) for s, n in slots}


def _source(below: int, series: Any) -> tuple[Any, Any, list[Any]]:
    """Where the intervals above `below` are worked out from: its place in time, which rows are of
    `series`, and count, smallest and largest value of them."""
    table, points = schema.extremes, schema.points
    if not below:
        seen = [func.count(), func.min(points.c.value), func.max(points.c.value)]
        return points.c.time_ms, points.c.series_id == series, seen
    mine = (table.c.series_id == series) & (table.c.shift == below)
    return (
        table.c.slot,
        mine,
        [
            func.sum(table.c.count),
            func.min(table.c.low),
            func.max(table.c.high),
        ],
    )


def _widen(
    found: dict[tuple[int, int, int], tuple[int, float, float]],
    key: tuple[int, int, int],
    new: tuple[int, float, float],
) -> None:
    old = found.get(key)
    found[key] = new if old is None else (old[0] + new[0], min(old[1], new[1]), max(old[2], new[2]))


def work_out(connection: Connection, series: int, start_ms: int, end_ms: int) -> None:
    """Work out anew the intervals that hold any time with start_ms <= time < end_ms."""
    table = schema.extremes
    for below, shift in pairwise((0, *schema.SHIFTS)):
        first, last = start_ms >> shift, (end_ms - 1) >> shift
        connection.execute(
            delete(table).where(
                table.c.series_id == series,
                table.c.shift == shift,
                table.c.slot.between(first, last),
            )
        )
        bits = shift - below
        place, mine, seen = _source(below, series)
        slot = shifted(place, bits)
        source = (
            select(literal(series, BigInteger), literal(shift, Integer), slot, *seen)
            .where(mine, place >= first << bits, place < (last + 1) << bits)
            .group_by(slot)
        )
        connection.execute(insert(table).from_select(_COLUMNS, source))
