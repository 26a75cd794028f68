"""Fewer points for the same curve: what a chart of a long time needs of a signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Select, desc, func, select, true

from levada.twin.store import schema
from levada.twin.store.levels import shifted

__all__ = [
    "count_about",
    "every_point",
    "extreme_points",
    "interval_extremes",
    "interval_shift",
    "thinned_indices",
    "window_ends",
]

End = tuple[int, float]


def window_ends(
    connection: Connection, series_id: int, start_ms: int | None, end_ms: int | None
) -> tuple[End, End] | None:
    """First and last point of a window; None: it has none."""
    table = schema.points
    statement = points_between(series_id, start_ms, end_ms)
    first = connection.execute(statement.order_by(table.c.time_ms, table.c.row_id).limit(1)).first()
    if first is None:
        return None
    last = connection.execute(
        statement.order_by(desc(table.c.time_ms), desc(table.c.row_id)).limit(1)
    ).one()
    return (int(first[0]), float(first[1])), (int(last[0]), float(last[1]))


def points_between(series_id: int, start_ms: int | None, end_ms: int | None) -> Select[Any]:
    """Points of a series in a window that may be open on either side."""
    table = schema.points
    statement = select(table.c.time_ms, table.c.value).where(table.c.series_id == series_id)
    if start_ms is not None:
        statement = statement.where(table.c.time_ms >= start_ms)
    if end_ms is not None:
        statement = statement.where(table.c.time_ms < end_ms)
    return statement


def count_about(
    connection: Connection, series_id: int, first_ms: int, last_ms: int, shift: int
) -> int:
    """Points from one time to another, counted by whole intervals of about `2^shift` ms."""
    table = schema.extremes
    level = max((s for s in schema.SHIFTS if s <= shift), default=schema.SHIFTS[0])
    counted = select(func.sum(table.c.count)).where(
        table.c.series_id == series_id,
        table.c.shift == level,
        table.c.slot.between(first_ms >> level, last_ms >> level),
    )
    return int(connection.scalar(counted) or 0)


def every_point(
    connection: Connection, series_id: int, start_ms: int | None, end_ms: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """All points of a window."""
    table = schema.points
    statement = points_between(series_id, start_ms, end_ms).order_by(
        table.c.time_ms, table.c.row_id
    )
    rows = connection.execute(statement).all()
    return np.array([r[0] for r in rows], np.int64), np.array([r[1] for r in rows], np.float64)


def interval_shift(span_ms: int, parts: int) -> int:
    """The widest intervals of 2^shift ms of which `parts` or more, less than twice, make a span."""
    return max(0, (span_ms // parts).bit_length() - 1)


def interval_extremes(
    series_ids: Sequence[int], first_ms: int, last_ms: int, shift: int
) -> Select[Any]:
    """Series, number of the interval of `2^shift` ms, smallest and largest value in it."""
    level = max((s for s in schema.SHIFTS if s <= shift), default=0)
    begin, end = first_ms >> level, last_ms >> level
    if level:
        table = schema.extremes
        series, place, low, high = table.c.series_id, table.c.slot, table.c.low, table.c.high
        mine: Any = table.c.shift == level
    else:
        points = schema.points
        series, place = points.c.series_id, points.c.time_ms
        low = high = points.c.value
        mine = true()
    slot = shifted(place, shift - level)
    return (
        select(series, slot, func.min(low), func.max(high))
        .where(series.in_(series_ids), mine, place.between(begin, end))
        .group_by(series, slot)
        .order_by(series, slot)
    )


def extreme_points(
    connection: Connection, series_id: int, first: End, last: End, shift: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Both ends, and between them smallest and largest value of every `2^shift` ms.

    Which of the two came first is not known; they are put as the neighbours suggest, so that a
    falling curve falls.
    """
    rows = connection.execute(interval_extremes([series_id], first[0], last[0], shift)).all()
    slots = np.array([r[1] for r in rows], np.int64)
    lows = np.array([r[2] for r in rows], np.float64)
    highs = np.array([r[3] for r in rows], np.float64)
    falls = np.gradient(lows + highs) < 0.0 if len(rows) > 1 else np.zeros(len(rows), np.bool_)
    starts, quarter = slots << shift, (1 << shift) // 4
    times = np.stack([starts + quarter, starts + 3 * quarter], axis=1).ravel()
    values = np.stack([np.where(falls, highs, lows), np.where(falls, lows, highs)], axis=1).ravel()
    times = np.concatenate([[first[0]], times.clip(first[0], last[0]), [last[0]]])
    return times, np.concatenate([[first[1]], values, [last[1]]])


def thinned_indices(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], max_points: int
) -> npt.NDArray[np.intp]:
    """Indices of about `max_points` values that keep the shape of the curve."""
    if len(times) <= max_points:
        return np.arange(len(times))
    from tsdownsample import MinMaxLTTBDownsampler  # only pages with many points need it

    return np.asarray(
        MinMaxLTTBDownsampler().downsample(  # type: ignore[no-untyped-call]
            np.ascontiguousarray(times), np.ascontiguousarray(values), n_out=max_points
        ),
        dtype=np.intp,
    )
