"""Reading the store: windows of series thinned on the server, deltas, events, nodes.

Readers work on their own connections, never wait for the writer and never hold a transaction open
longer than one answer.  A window of many points is drawn from the smallest and largest values of
short intervals, which the writer keeps, and thinned by MinMaxLTTB (Van Der Donckt et al. 2023,
arXiv:2305.00332), which picks the points that shape the curve.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import BigInteger, Connection, Select, cast, desc, func, select

from twin import store_schema as schema
from twin.store_engine import connect, normal_url

__all__ = ["Latest", "NodeInfo", "SeriesInfo", "StoreReader", "Window"]

_FETCH: Final = 40_000
"""Points that are fetched one by one; beyond, the extremes of intervals are."""
_NARROW: Final = 4
"""Intervals of the database a point that is wanted."""
_LIMIT: Final = 5_000
"""Rows of one answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Part of a series, for drawing."""

    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    total: int
    """Points in the window before thinning; beyond 40,000 by whole intervals, so a little more."""
    unit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesInfo:
    """A series that exists."""

    node: str
    kind: str
    name: str
    unit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeInfo:
    """A node that was ever heard of."""

    name: str
    online: bool
    boot: int | None
    birth: Mapping[str, Any]
    first_ms: int
    last_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Latest:
    """The newest message of a node: of its newest life, the highest number."""

    id: int
    boot: int
    seq: int
    time_ms: int
    device_ms: int | None
    received_ms: int
    flags: int
    payload: Mapping[str, Any]


class StoreReader:
    """Reads a store, also one that another process writes."""

    def __init__(self, where: str) -> None:
        self._engine = connect(normal_url(where), writes=False)

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def renew(self) -> None:
        """Drop the connections: the file behind them has been replaced."""
        self._engine.dispose()

    def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(statement).all()

    # -- series -----------------------------------------------------------------------------------

    def series(self, node: str | None = None) -> list[SeriesInfo]:
        """All series, or those of `node`."""
        table = schema.series
        statement = (
            select(schema.nodes.c.name, table.c.kind, table.c.name, table.c.unit)
            .join(schema.nodes, schema.nodes.c.id == table.c.node_id)
            .order_by(schema.nodes.c.name, table.c.kind, table.c.name)
        )
        if node is not None:
            statement = statement.where(schema.nodes.c.name == node)
        return [
            SeriesInfo(node=r[0], kind=r[1], name=r[2], unit=r[3]) for r in self._rows(statement)
        ]

    def window(
        self,
        node: str,
        signal: str,
        *,
        kind: str = "raw",
        start_ms: int | None = None,
        end_ms: int | None = None,
        max_points: int = 2_000,
    ) -> Window:
        """Values with start_ms <= time < end_ms, thinned to about `max_points`; in time order."""
        if not 4 <= max_points <= 100_000:
            raise ValueError(f"max_points = {max_points}: permitted 4 to 100000")
        found = self._series_row(node, signal, kind)
        if found is None:
            return Window(time_ms=np.empty(0, np.int64), value=np.empty(0), total=0, unit="")
        series_id, unit = found
        with self._engine.connect() as connection:
            total = _about(connection, series_id, start_ms, end_ms)
            if total <= max(_FETCH, max_points):
                times, values = _each(connection, series_id, start_ms, end_ms)
                total = len(times)
            else:
                times, values = _extremes(connection, series_id, start_ms, end_ms, max_points)
        chosen = _thin(times, values, max_points)
        return Window(time_ms=times[chosen], value=values[chosen], total=total, unit=unit)

    def after(
        self, node: str, signal: str, after_ms: int, *, kind: str = "raw", limit: int = _LIMIT
    ) -> Window:
        """The delta of a live curve: up to `limit` values later than `after_ms`."""
        found = self._series_row(node, signal, kind)
        if found is None:
            return Window(time_ms=np.empty(0, np.int64), value=np.empty(0), total=0, unit="")
        table = schema.points
        rows = self._rows(
            select(table.c.time_ms, table.c.value)
            .where(table.c.series_id == found[0], table.c.time_ms > after_ms)
            .order_by(table.c.time_ms, table.c.row_id)
            .limit(limit)
        )
        return Window(
            time_ms=np.array([r[0] for r in rows], np.int64),
            value=np.array([r[1] for r in rows], np.float64),
            total=len(rows),
            unit=found[1],
        )

    def _series_row(self, node: str, signal: str, kind: str) -> tuple[int, str] | None:
        table = schema.series
        rows = self._rows(
            select(table.c.id, table.c.unit)
            .join(schema.nodes, schema.nodes.c.id == table.c.node_id)
            .where(schema.nodes.c.name == node, table.c.kind == kind, table.c.name == signal)
        )
        return (int(rows[0][0]), str(rows[0][1])) if rows else None

    # -- messages, nodes, events ------------------------------------------------------------------

    def messages(
        self,
        node: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = _LIMIT,
    ) -> list[Latest]:
        """Messages of a node, life by life, in the order in which the device numbered them."""
        table, lives = schema.telemetry, schema.boots
        statement = (
            self._messages(node)
            .order_by(lives.c.first_received_ms, table.c.boot, table.c.seq)
            .limit(limit)
        )
        if start_ms is not None:
            statement = statement.where(table.c.time_ms >= start_ms)
        if end_ms is not None:
            statement = statement.where(table.c.time_ms < end_ms)
        return [_latest(row) for row in self._rows(statement)]

    def latest(self, node: str) -> Latest | None:
        """What a node said last: never a late row, never one of a former life."""
        table, lives = schema.telemetry, schema.boots
        newest = (
            select(lives.c.node_id, lives.c.boot)
            .join(schema.nodes, schema.nodes.c.id == lives.c.node_id)
            .where(schema.nodes.c.name == node)
            .order_by(desc(lives.c.first_received_ms), desc(lives.c.boot))
            .limit(1)
        )
        life = self._rows(newest)
        if not life:
            return None
        rows = self._rows(
            self._messages(node)
            .where(table.c.node_id == life[0][0], table.c.boot == life[0][1])
            .order_by(desc(table.c.seq))
            .limit(1)
        )
        return _latest(rows[0]) if rows else None

    def _messages(self, node: str) -> Select[Any]:
        table, lives = schema.telemetry, schema.boots
        return (
            select(
                table.c.id,
                table.c.boot,
                table.c.seq,
                table.c.time_ms,
                table.c.device_ms,
                table.c.received_ms,
                table.c.flags,
                table.c.payload,
            )
            .join(schema.nodes, schema.nodes.c.id == table.c.node_id)
            .join(lives, (lives.c.node_id == table.c.node_id) & (lives.c.boot == table.c.boot))
            .where(schema.nodes.c.name == node)
        )

    def count(self, node: str | None = None) -> int:
        """Messages stored, of all nodes or of one."""
        statement = select(func.count()).select_from(schema.telemetry)
        if node is not None:
            statement = statement.join(
                schema.nodes, schema.nodes.c.id == schema.telemetry.c.node_id
            ).where(schema.nodes.c.name == node)
        return int(self._rows(statement)[0][0])

    def nodes(self) -> list[NodeInfo]:
        """All nodes, by name."""
        table = schema.nodes
        return [
            NodeInfo(
                name=row.name,
                online=bool(row.online),
                boot=row.boot,
                birth=json.loads(row.birth or "{}"),
                first_ms=row.first_ms,
                last_ms=row.last_ms,
            )
            for row in self._rows(select(table).order_by(table.c.name))
        ]

    def acknowledged(self, node: str) -> dict[int, int]:
        """Boot -> number up to which everything is stored."""
        table = schema.boots
        rows = self._rows(
            select(table.c.boot, table.c.contiguous)
            .join(schema.nodes, schema.nodes.c.id == table.c.node_id)
            .where(schema.nodes.c.name == node)
        )
        return {int(boot): int(contiguous) for boot, contiguous in rows}

    def events(
        self,
        *,
        after_id: int = 0,
        node: str | None = None,
        kind: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
    ) -> list[dict[str, Any]]:
        """The newest events, oldest first, as id, time_ms, node, kind, severity, text, evidence."""
        table = schema.events
        statement = (
            select(
                table.c.id,
                table.c.time_ms,
                schema.nodes.c.name.label("node"),
                table.c.kind,
                table.c.severity,
                table.c.text,
                table.c.evidence,
            )
            .join(schema.nodes, schema.nodes.c.id == table.c.node_id, isouter=True)
            .where(table.c.id > after_id)
            .order_by(desc(table.c.id))
            .limit(limit)
        )
        if node is not None:
            statement = statement.where(schema.nodes.c.name == node)
        if kind is not None:
            statement = statement.where(table.c.kind == kind)
        if start_ms is not None:
            statement = statement.where(table.c.time_ms >= start_ms)
        if end_ms is not None:
            statement = statement.where(table.c.time_ms < end_ms)
        found = [dict(row._mapping) for row in self._rows(statement)]
        for event in found:
            event["evidence"] = json.loads(event["evidence"])
        return found[::-1]

    def calibrations(self, node: str | None = None, limit: int = 500) -> list[dict[str, Any]]:
        """Who changed what: the newest requests, oldest first."""
        table = schema.calibrations
        statement = (
            select(
                schema.nodes.c.name.label("node"),
                *(c for c in table.c if c.name not in ("id", "node_id")),
            )
            .join(schema.nodes, schema.nodes.c.id == table.c.node_id)
            .order_by(desc(table.c.id))
            .limit(limit)
        )
        if node is not None:
            statement = statement.where(schema.nodes.c.name == node)
        return [dict(row._mapping) for row in self._rows(statement)][::-1]

    def runs(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest runs, oldest first."""
        table = schema.runs
        rows = self._rows(select(table).order_by(desc(table.c.id)).limit(limit))
        found = [dict(row._mapping) for row in rows][::-1]
        for run in found:
            run["detail"] = json.loads(run["detail"])
        return found


def _inside(
    series: Any, time: Any, series_id: int, start_ms: int | None, end_ms: int | None
) -> list[Any]:
    conditions: list[Any] = [series == series_id]
    if start_ms is not None:
        conditions.append(time >= start_ms)
    if end_ms is not None:
        conditions.append(time < end_ms)
    return conditions


def _about(connection: Connection, series_id: int, start_ms: int | None, end_ms: int | None) -> int:
    """Values in a window, counted by whole intervals."""
    table = schema.extremes
    begin = None if start_ms is None else start_ms - schema.EXTREMES_MS + 1
    inside = _inside(table.c.series_id, table.c.start_ms, series_id, begin, end_ms)
    return int(connection.scalar(select(func.sum(table.c.count)).where(*inside)) or 0)


def _each(
    connection: Connection, series_id: int, start_ms: int | None, end_ms: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    table = schema.points
    statement = (
        select(table.c.time_ms, table.c.value)
        .where(*_inside(table.c.series_id, table.c.time_ms, series_id, start_ms, end_ms))
        .order_by(table.c.time_ms, table.c.row_id)
    )
    rows = [tuple(row) for row in connection.execute(statement)]
    data = np.array(rows, dtype=[("t", np.int64), ("v", np.float64)])
    return data["t"], data["v"]


def _extremes(
    connection: Connection,
    series_id: int,
    start_ms: int | None,
    end_ms: int | None,
    max_points: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Smallest and largest value of narrow intervals, at their start and their middle."""
    table = schema.extremes
    inside = _inside(table.c.series_id, table.c.start_ms, series_id, start_ms, end_ms)
    first, last = connection.execute(
        select(func.min(table.c.start_ms), func.max(table.c.start_ms)).where(*inside)
    ).one()
    if first is None:  # many values in less than one interval
        return _each(connection, series_id, start_ms, end_ms)
    wanted = (int(last) - int(first)) // (max_points * _NARROW)
    width = max(1, wanted // schema.EXTREMES_MS + 1) * schema.EXTREMES_MS
    interval = cast(table.c.start_ms // width, BigInteger).label("interval")
    rows = connection.execute(
        select(interval, func.min(table.c.low), func.max(table.c.high))
        .where(*inside)
        .group_by(interval)
        .order_by(interval)
    ).all()
    if len(rows) < max_points // 2:  # dense values in a short time
        return _each(connection, series_id, start_ms, end_ms)
    data = np.array([tuple(row) for row in rows], dtype=np.float64)
    starts = data[:, 0].astype(np.int64) * width
    return np.stack([starts, starts + width // 2], axis=1).ravel(), data[:, 1:].ravel()


def _thin(
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


def _latest(row: Any) -> Latest:
    return Latest(
        id=row.id,
        boot=row.boot,
        seq=row.seq,
        time_ms=row.time_ms,
        device_ms=row.device_ms,
        received_ms=row.received_ms,
        flags=row.flags,
        payload=json.loads(row.payload),
    )
