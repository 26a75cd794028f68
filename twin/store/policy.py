"""How long the store keeps what: pruning and thinning of old rows.

Both work in small transactions between those of the writer, and give the room back to the file
system, so that they also help when the disk is full.  What was pruned stays acknowledged: a late
repetition is recognised by its number and not stored again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    cast,
    delete,
    desc,
    func,
    insert,
    select,
)

from levada.guest.text.ranges import check_range
from levada.sim.units import HOUR_MS
from levada.twin.errors import StoreFullError
from levada.twin.store import schema
from levada.twin.store.levels import work_out
from levada.twin.store.store import Store

__all__ = ["Removed", "downsample", "prune"]

AMOUNTS: Final = frozenset(
    {"rain_mm", "irrigation_mm", "et_mm", "et0_mm", "flow_l", "flow", "energy_j"}
)
"""Signals that tell how much there was since the value before."""
CODES: Final = frozenset({"cause", "why"})
"""Signals whose numbers stand for words."""
_CHUNK: Final = 500
"""Rows of one transaction: little enough for the reserve of a full disk."""
_SMALLEST_CHUNK: Final = 4
_CHUNK_MS: Final = HOUR_MS
"""Time that one transaction thins [ms]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """What a policy has removed."""

    messages: int = 0
    points: int = 0
    events: int = 0


def prune(
    store: Store,
    *,
    before_ms: int,
    events: bool = False,
    between: Callable[[], None] = lambda: None,
) -> Removed:
    """Remove messages, points and windows older than `before_ms`, also events if wanted.

    Calibrations and runs are never pruned: they are few, and say who did what.  `between` is called
    before every transaction, and may raise what ends it.
    """
    store.give_back()
    table = schema.telemetry
    old = select(table.c.id).where(table.c.time_ms < before_ms)
    messages = _delete(store, table, [table.c.id], old, between)
    points = 0
    table = schema.points
    keys = [table.c.series_id, table.c.time_ms, table.c.row_id]
    for series_id in _series(store):
        old = select(*keys).where(keys[0] == series_id, keys[1] < before_ms).order_by(*keys)
        points += _delete(store, table, keys, old, between, _forget_extremes)
    table = schema.windows
    keys = list(table.primary_key.columns)
    _delete(store, table, keys, select(*keys).where(table.c.start_ms < before_ms), between)
    deleted = 0
    if events:
        table = schema.events
        old = select(table.c.id).where(table.c.time_ms < before_ms)
        deleted = _delete(store, table, [table.c.id], old, between)
    return Removed(messages=messages, points=points, events=deleted)


def _forget_extremes(connection: Connection, removed: list[tuple[Any, ...]]) -> None:
    """Points of one series, in the order of time, are removed."""
    series_id, first_ms, _ = removed[0]
    work_out(connection, series_id, first_ms, removed[-1][1] + 1)


def _delete(
    store: Store,
    table: Table,
    keys: list[Column[Any]],
    old: Select[Any],
    between: Callable[[], None],
    then: Callable[[Connection, list[tuple[Any, ...]]], None] = lambda _connection, _removed: None,
) -> int:
    """Delete the rows whose keys `old` finds, part by part, each with `then`; how many."""
    size = _CHUNK
    removed = 0
    names = [f"{key.name}_" for key in keys]
    one = delete(table).where(
        *(key == bindparam(name) for key, name in zip(keys, names, strict=True))
    )
    while True:
        between()
        try:
            with store.transaction() as connection:
                found = [tuple(row) for row in connection.execute(old.limit(size))]
                if found:
                    # one by one: for a list of pairs SQLite would read the whole table
                    connection.execute(one, [dict(zip(names, key, strict=True)) for key in found])
                    then(connection, found)
        except StoreFullError:
            if size <= _SMALLEST_CHUNK:
                raise
            size //= 4  # a row may be as large as a page of the log
            store.give_back()
            continue
        removed += len(found)
        store.give_back()
        if len(found) < size:
            return removed


def downsample(
    store: Store, *, before_ms: int, every_ms: int, between: Callable[[], None] = lambda: None
) -> Removed:
    """Replace points older than `before_ms` by one per `every_ms`, at its start.

    Amounts are summed, of codes the last is kept, of anything else the mean; that of a valve's
    state is its duty.  Only whole intervals are thinned, so doing it again changes nothing.
    `between` is called before every transaction, and may raise what ends it.
    """
    check_range("every_ms", every_ms, 1_000, _CHUNK_MS * 24, "ms")
    end_ms = before_ms - before_ms % every_ms
    step_ms = max(every_ms, _CHUNK_MS - _CHUNK_MS % every_ms)
    table = schema.points
    removed = 0
    for series_id, name in _series(store).items():
        mine = table.c.series_id == series_id
        position: int | None = None
        while True:
            between()
            # the next time with points, so that gaps of any length cost nothing
            with store.transaction() as connection:
                after = mine if position is None else mine & (table.c.time_ms >= position)
                first = connection.scalar(
                    select(func.min(table.c.time_ms)).where(after, table.c.time_ms < end_ms)
                )
                if first is None:
                    break
                start = int(first) - int(first) % every_ms
                stop = min(start + step_ms, end_ms)
                # counted from `start`: databases divide towards zero, also times before 1970
                interval = cast((table.c.time_ms - start) // every_ms, BigInteger)
                part = (mine, table.c.time_ms >= start, table.c.time_ms < stop)
                kept = connection.execute(_one_each(name, interval).where(*part)).all()
                count = connection.execute(delete(table).where(*part)).rowcount
                connection.execute(
                    insert(table),
                    [
                        {
                            "series_id": series_id,
                            "time_ms": start + int(number) * every_ms,
                            "row_id": 0,
                            "value": float(value),
                        }
                        for number, value in kept
                    ],
                )
                work_out(connection, series_id, start, stop)
            removed += count - len(kept)
            position = stop
            store.give_back()
    return Removed(points=removed)


def _one_each(name: str, interval: ColumnElement[int]) -> Select[Any]:
    """The value of a signal in each interval."""
    table = schema.points
    chosen: Select[Any]
    if name in CODES:
        latest = [desc(table.c.time_ms), desc(table.c.row_id)]
        last = func.first_value(table.c.value).over(partition_by=interval, order_by=latest)
        chosen = select(interval, last).distinct()
    else:
        value = func.sum(table.c.value) if name in AMOUNTS else func.avg(table.c.value)
        chosen = select(interval, value).group_by(interval)
    return chosen


def _series(store: Store) -> dict[int, str]:
    """Names of the signals by number."""
    table = schema.series
    with store.transaction() as connection:
        return {
            int(n): str(name) for n, name in connection.execute(select(table.c.id, table.c.name))
        }
