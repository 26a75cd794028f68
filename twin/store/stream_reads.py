"""Reading what fogs have forwarded: windows, the last readings of a node, relayed messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import desc, select

from levada.guest.text.json_text import parse
from levada.twin.store import schema
from levada.twin.store.reads import StoreReader
from levada.twin.store.rows import Aggregate

__all__ = ["RELAYED", "RelayedMessage", "aggregates", "last_values", "relayed", "stored_row"]

_LIMIT: Final = 5_000
"""Rows of one answer."""
RELAYED: Final = "relayed"
"""Member of a stored payload that holds a row of the raw stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayedMessage:
    """A message of a node that a fog has relayed."""

    id: int
    time_ms: int
    device_ms: int | None
    flags: int
    row: Mapping[str, Any]
    """As members of `levada.twin.mqtt.messages.ForwardedRow`."""


def stored_row(stream: str, row: str) -> str:
    """The payload under which a row of a stream is stored, of its JSON."""
    return f'{{"{stream}":{row}}}'


def aggregates(
    reader: StoreReader, node: str, *, start_ms: int | None = None, limit: int = _LIMIT
) -> list[Aggregate]:
    """What was summed up of a node's signals: the newest windows, oldest first."""
    table = schema.windows
    columns = [table.c[field.name] for field in fields(Aggregate)]
    statement = (
        select(*columns)
        .join(schema.nodes, schema.nodes.c.id == table.c.node_id)
        .where(schema.nodes.c.name == node)
        .order_by(desc(table.c.start_ms), table.c.signal, table.c.length_s)
        .limit(limit)
    )
    if start_ms is not None:
        statement = statement.where(table.c.start_ms >= start_ms)
    return [Aggregate(**row._mapping) for row in reader.rows(statement)][::-1]


def last_values(
    reader: StoreReader, node: str, signal: str, *, kind: str, before_ms: int, count: int
) -> list[tuple[int, float]]:
    """The newest `count` values of a series before a time, oldest first, as (time [ms], value)."""
    points, series = schema.points, schema.series
    statement = (
        select(points.c.time_ms, points.c.value)
        .join(series, series.c.id == points.c.series_id)
        .join(schema.nodes, schema.nodes.c.id == series.c.node_id)
        .where(
            schema.nodes.c.name == node,
            series.c.kind == kind,
            series.c.name == signal,
            points.c.time_ms < before_ms,
        )
        .order_by(desc(points.c.time_ms), desc(points.c.row_id))
        .limit(count)
    )
    return [(int(t), float(v)) for t, v in reader.rows(statement)][::-1]


def relayed(
    reader: StoreReader, device: str, *, start_ms: int, end_ms: int, after_id: int = 0
) -> list[RelayedMessage]:
    """Messages of a device that fogs have relayed, with start_ms <= time < end_ms, in the order in
    which they were stored; at most 5,000, those behind `after_id`."""
    table, series = schema.telemetry, schema.series
    # a fog has no readings of its own; so, where nobody is a fog, no message is looked at
    fogs = select(schema.nodes.c.id).where(
        schema.nodes.c.id.not_in(select(series.c.node_id).where(series.c.kind == "raw"))
    )
    begin = stored_row(RELAYED, f'{{"node":{json.dumps(device, ensure_ascii=False)}')[:-1]
    statement = (
        select(table.c.id, table.c.time_ms, table.c.device_ms, table.c.flags, table.c.payload)
        .where(
            table.c.node_id.in_(fogs),
            table.c.id > after_id,
            table.c.time_ms >= start_ms,
            table.c.time_ms < end_ms,
            table.c.payload.startswith(begin, autoescape=True),
        )
        .order_by(table.c.id)
        .limit(_LIMIT)
    )
    found = []
    for identity, time_ms, device_ms, flags, payload in reader.rows(statement):
        row = parse(payload)[RELAYED]
        if row["node"] == device:  # SQLite takes small letters for large ones
            found.append(
                RelayedMessage(
                    id=identity, time_ms=time_ms, device_ms=device_ms, flags=flags, row=row
                )
            )
    return found
