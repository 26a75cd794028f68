"""The store as one table for other programs: a row a value, as Parquet or CSV.

Also of a store that a twin is writing: readers see what was committed when they began a series.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from twin import store_schema as schema
from twin.store_engine import connect, normal_url

__all__ = ["COLUMNS", "export"]

COLUMNS: Final = ("zone", "kind", "signal", "unit", "time_ms", "value")
CHUNK: Final = 50_000
_TYPES: Final = pa.schema(
    [
        ("zone", pa.string()),
        ("kind", pa.string()),
        ("signal", pa.string()),
        ("unit", pa.string()),
        ("time_ms", pa.int64()),
        ("value", pa.float64()),
    ]
)
_FORMULA: Final = tuple("=+-@\t\r")
"""A spreadsheet takes a text that starts so for a formula."""


def export(
    where: str | Path,
    target: Path,
    form: Literal["parquet", "csv"],
    *,
    zone: str | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> int:
    """Write the points of a store, those of `zone` if given, start_ms <= time < end_ms; how many.

    Rows are ordered by series, then time.
    """
    rows = 0
    with ExitStack() as open_:
        engine = connect(normal_url(where), writes=False)
        open_.callback(engine.dispose)
        if form == "parquet":
            parquet = open_.enter_context(pq.ParquetWriter(target, _TYPES, compression="zstd"))
        else:
            out = csv.writer(open_.enter_context(target.open("w", encoding="utf-8", newline="")))
            out.writerow(COLUMNS)
        for labels, times, values in _chunks(engine, zone, start_ms, end_ms):
            rows += len(times)
            if form == "parquet":
                columns = [[label] * len(times) for label in labels]
                parquet.write_table(pa.table([*columns, times, values], schema=_TYPES))
            else:
                safe = [f"'{label}" if label.startswith(_FORMULA) else label for label in labels]
                out.writerows([*safe, t, v] for t, v in zip(times, values, strict=True))
    return rows


def _chunks(
    engine: Any, zone: str | None, start_ms: int | None, end_ms: int | None
) -> Iterator[tuple[tuple[str, str, str, str], list[int], list[float]]]:
    series, points, nodes = schema.series, schema.points, schema.nodes
    known = (
        select(series.c.id, nodes.c.name, series.c.kind, series.c.name, series.c.unit)
        .join(nodes, nodes.c.id == series.c.node_id)
        .order_by(nodes.c.name, series.c.kind, series.c.name)
    )
    if zone is not None:
        known = known.where(nodes.c.name == zone)
    with engine.connect() as connection:
        found = connection.execute(known).all()
    for series_id, *labels in found:
        wanted = (
            select(points.c.time_ms, points.c.value)
            .where(points.c.series_id == series_id)
            .order_by(points.c.time_ms, points.c.row_id)
        )
        if start_ms is not None:
            wanted = wanted.where(points.c.time_ms >= start_ms)
        if end_ms is not None:
            wanted = wanted.where(points.c.time_ms < end_ms)
        # one transaction a series: a reader that never ends keeps the log of SQLite from being cut
        with engine.connect() as connection:
            result = connection.execution_options(yield_per=CHUNK).execute(wanted)
            for part in result.partitions():
                times, values = zip(*part, strict=True)
                yield tuple(labels), list(times), list(values)
