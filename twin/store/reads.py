"""Reading the store: windows of series thinned on the server, deltas, events, nodes.

Readers work on their own connections, never wait for the writer and never hold a transaction open
longer than one answer.  A window of many points is drawn from the smallest and largest values of
intervals (`levada.twin.store.levels`), and thinned by MinMaxLTTB (Van Der Donckt et al. 2023,
arXiv:2305.00332), which picks the points that shape the curve.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Select, desc, func, select
from sqlalchemy.exc import DBAPIError

from levada.guest.text.json_text import parse
from levada.guest.text.ranges import check_range
from levada.twin.errors import StoreError
from levada.twin.store import schema
from levada.twin.store.engine import (
    Content,
    connect,
    content,
    database_file,
    first_line,
    normal_url,
)
from levada.twin.store.thinning import (
    count_about,
    every_point,
    extreme_points,
    interval_extremes,
    interval_shift,
    thinned_indices,
    window_ends,
)

__all__ = [
    "Latest",
    "NodeInfo",
    "SeriesInfo",
    "StoreReader",
    "Window",
    "to_read",
]

_FETCH: Final = 4_000
"""Points that are fetched one by one to be thinned; of more, the extremes of intervals are."""
_SCAN: Final = 100_000
"""Points whose extremes are looked for among the points themselves ..."""
_FEW: Final = 250
"""... beyond, kept intervals are used, if there are as many as this."""
_LIMIT: Final = 5_000
"""Rows of one answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Part of a series, for drawing."""

    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    total: int
    """Points in the window before thinning; where intervals are used, all that these hold."""
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


@contextmanager
def to_read(where: str | Path) -> Iterator[str]:
    """URL of a store that is there and not newer than this program; StoreError if there is none,
    or it cannot be read within."""
    url = normal_url(where)
    file = database_file(url)
    if file is not None and content(file) is not Content.STORE:
        why = "" if file.exists() else ": there is no such file"
        raise StoreError(f"{file} is no store of levada{why}")
    try:
        engine = connect(url, writes=False)
        try:
            with engine.connect() as connection:
                schema.readable(connection)
        finally:
            engine.dispose()
        yield url
    except DBAPIError as error:
        raise StoreError(f"store {file or 'on PostgreSQL'}: {first_line(error)}") from None


class StoreReader:
    """Reads a store, also one that another process writes."""

    def __init__(self, where: str) -> None:
        self._engine = connect(normal_url(where), writes=False)
        self._known: dict[tuple[str, str, str], tuple[int, str]] = {}

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def renew(self) -> None:
        """Drop the connections: the file behind them has been replaced."""
        self._engine.dispose()
        self._known.clear()

    def rows(self, statement: Select[Any]) -> Sequence[Any]:
        """What a statement of one's own finds."""
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
            SeriesInfo(node=r[0], kind=r[1], name=r[2], unit=r[3]) for r in self.rows(statement)
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
        check_range("max_points", max_points, 4, 100_000)
        read = self._read(node, signal, kind, start_ms, end_ms, max_points)
        chosen = thinned_indices(read.time_ms, read.value, max_points)
        return Window(
            time_ms=read.time_ms[chosen],
            value=read.value[chosen],
            total=read.total,
            unit=read.unit,
        )

    def _read(
        self,
        node: str,
        signal: str,
        kind: str,
        start_ms: int | None,
        end_ms: int | None,
        max_points: int,
    ) -> Window:
        """Up to 4,000 points, or `max_points` if that is more; else about `max_points` extremes."""
        found = self._series_row(node, signal, kind)
        if found is None:
            return Window(time_ms=np.empty(0, np.int64), value=np.empty(0), total=0, unit="")
        series_id, unit = found
        with self._engine.connect() as connection:
            ends = window_ends(connection, series_id, start_ms, end_ms)
            if ends is None:
                return Window(time_ms=np.empty(0, np.int64), value=np.empty(0), total=0, unit=unit)
            span_ms = ends[1][0] - ends[0][0]
            shift = interval_shift(span_ms, max_points // 4)
            total = count_about(connection, series_id, ends[0][0], ends[1][0], shift)
            if total <= max(max_points, min(_FETCH, 2 * max_points)):
                times, values = every_point(connection, series_id, start_ms, end_ms)
                total = len(times)
            else:
                if total > _SCAN and span_ms >> schema.SHIFTS[0] >= _FEW:
                    shift = max(shift, schema.SHIFTS[0])
                times, values = extreme_points(connection, series_id, *ends, shift)
        return Window(time_ms=times, value=values, total=total, unit=unit)

    def after(
        self, node: str, signal: str, after_ms: int, *, kind: str = "raw", limit: int = _LIMIT
    ) -> Window:
        """The delta of a live curve: up to `limit` values later than `after_ms`."""
        found = self._series_row(node, signal, kind)
        if found is None:
            return Window(time_ms=np.empty(0, np.int64), value=np.empty(0), total=0, unit="")
        table = schema.points
        rows = self.rows(
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

    def grid(
        self,
        node: str,
        signals: Sequence[str],
        *,
        kind: str = "twin",
        start_ms: int | None = None,
        end_ms: int | None = None,
        columns: int = 240,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Series that are written together, as a table: times, and a row of values a signal.

        All values if they are up to twice `columns`, else `columns` to twice as many means of
        smallest and largest value.  NaN where a signal has none.
        """
        ids = [r[0] for s in signals if (r := self._series_row(node, s, kind)) is not None]
        empty = np.empty(0, np.int64), np.empty((len(signals), 0))
        if len(ids) != len(signals) or not ids:
            return empty
        with self._engine.connect() as connection:
            ends = window_ends(connection, ids[0], start_ms, end_ms)
            if ends is None:
                return empty
            first_ms, last_ms = ends[0][0], ends[1][0]
            shift = interval_shift(last_ms - first_ms, columns)
            if count_about(connection, ids[0], first_ms, last_ms, shift) <= 2 * columns:
                shift = 0
            rows = connection.execute(interval_extremes(ids, first_ms, last_ms, shift)).all()
        times, column = np.unique(np.array([r[1] for r in rows], np.int64), return_inverse=True)
        row_of = {series_id: k for k, series_id in enumerate(ids)}
        values = np.full((len(ids), len(times)), np.nan)
        values[[row_of[r[0]] for r in rows], column] = [(r[2] + r[3]) / 2 for r in rows]
        return ((times << shift) + (1 << shift) // 2).clip(first_ms, last_ms), values

    def _series_row(self, node: str, signal: str, kind: str) -> tuple[int, str] | None:
        known = self._known.get((node, signal, kind))
        if known is not None:
            return known
        table = schema.series
        rows = self.rows(
            select(table.c.id, table.c.unit)
            .join(schema.nodes, schema.nodes.c.id == table.c.node_id)
            .where(schema.nodes.c.name == node, table.c.kind == kind, table.c.name == signal)
        )
        if not rows:
            return None
        found = int(rows[0][0]), str(rows[0][1])
        self._known[node, signal, kind] = found
        return found

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
        return [_latest(row) for row in self.rows(statement)]

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
        life = self.rows(newest)
        if not life:
            return None
        rows = self.rows(
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
        return int(self.rows(statement)[0][0])

    def nodes(self) -> list[NodeInfo]:
        """All nodes, by name."""
        table = schema.nodes
        return [
            NodeInfo(
                name=row.name,
                online=bool(row.online),
                boot=row.boot,
                birth=_object(row.birth or "{}"),
                first_ms=row.first_ms,
                last_ms=row.last_ms,
            )
            for row in self.rows(select(table).order_by(table.c.name))
        ]

    def acknowledged(self, node: str) -> dict[int, int]:
        """Boot -> number up to which everything is stored."""
        table = schema.boots
        rows = self.rows(
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
        found = [dict(row._mapping) for row in self.rows(statement)]
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
        return [dict(row._mapping) for row in self.rows(statement)][::-1]

    def runs(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest runs, oldest first."""
        table = schema.runs
        rows = self.rows(select(table).order_by(desc(table.c.id)).limit(limit))
        found = [dict(row._mapping) for row in rows][::-1]
        for run in found:
            run["detail"] = json.loads(run["detail"])
        return found


def _object(text: str) -> Mapping[str, Any]:
    """A stored JSON object; empty if an older program has stored something else."""
    try:
        found = parse(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _latest(row: Any) -> Latest:
    return Latest(
        id=row.id,
        boot=row.boot,
        seq=row.seq,
        time_ms=row.time_ms,
        device_ms=row.device_ms,
        received_ms=row.received_ms,
        flags=row.flags,
        payload=_object(row.payload),
    )
