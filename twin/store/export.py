"""The series of a store as Parquet or CSV, one row a value.

Columns: node, kind, signal, unit, time_ms, value, boot, seq, flags; the last three are empty for
values that no message brought.  The rows stream, so a large store needs little memory.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import and_, select

from levada.twin.errors import StoreError
from levada.twin.store import schema
from levada.twin.store.engine import connect, database_file, normal_url
from levada.twin.store.reads import to_read

__all__ = ["COLUMNS", "export", "stream_csv"]

COLUMNS: Final = ("node", "kind", "signal", "unit", "time_ms", "value", "boot", "seq", "flags")
_BATCH: Final = 50_000


def export(
    where: str | Path,
    target: Path,
    *,
    format: Literal["parquet", "csv"],
    node: str | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> int:
    """Write values with start_ms <= time < end_ms to `target`; how many.

    Spreadsheets take a text that begins with `=`, `+`, `-` or `@` for a formula, so names that do
    get an apostrophe before them in CSV.  Raises StoreError if there is no such store, or `target`
    cannot be written.
    """
    file = database_file(normal_url(where))
    if file is not None and file.exists() and target.exists() and target.samefile(file):
        raise StoreError(f"{target} is the store itself: name another file")
    write = _csv if format == "csv" else _parquet
    with _batches(where, node, start_ms, end_ms) as batches:
        try:
            return write(target, batches)
        except OSError as error:
            raise StoreError(f"{target}: {error.strerror or error}") from None


@contextmanager
def _batches(
    where: str | Path, node: str | None, start_ms: int | None, end_ms: int | None
) -> Iterator[Iterator[Sequence[Any]]]:
    points, series, nodes, messages = schema.points, schema.series, schema.nodes, schema.telemetry
    statement = (
        select(
            nodes.c.name,
            series.c.kind,
            series.c.name,
            series.c.unit,
            points.c.time_ms,
            points.c.value,
            messages.c.boot,
            messages.c.seq,
            messages.c.flags,
        )
        .select_from(points)
        .join(series, series.c.id == points.c.series_id)
        .join(nodes, nodes.c.id == series.c.node_id)
        .join(
            messages,
            and_(messages.c.id == points.c.row_id, points.c.row_id != 0),
            isouter=True,
        )
        .order_by(points.c.series_id, points.c.time_ms, points.c.row_id)
    )
    if node is not None:
        statement = statement.where(nodes.c.name == node)
    if start_ms is not None:
        statement = statement.where(points.c.time_ms >= start_ms)
    if end_ms is not None:
        statement = statement.where(points.c.time_ms < end_ms)
    with to_read(where) as url:
        engine = connect(url, writes=False, answer_s=None)  # to sort a year takes its time
        try:
            with engine.connect().execution_options(yield_per=_BATCH) as connection:
                yield connection.execute(statement).partitions()
        finally:
            engine.dispose()


def _csv(target: Path, batches: Iterator[Sequence[Any]]) -> int:
    count = 0
    with target.open("w", newline="", encoding="utf-8") as file:
        file.write(_lines([COLUMNS]))
        for batch in batches:
            file.write(_lines(batch))
            count += len(batch)
    return count


def stream_csv(
    where: str | Path, node: str, start_ms: int | None, end_ms: int | None
) -> Iterator[str]:
    """What `export` writes as CSV, piece by piece."""
    with _batches(where, node, start_ms, end_ms) as batches:
        yield _lines([COLUMNS])
        for batch in batches:
            yield _lines(batch)


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


def _parquet(target: Path, batches: Iterator[Sequence[Any]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.dictionary(pa.int32(), pa.string()), pa.int64()
    types = (text, text, text, text, number, pa.float64(), number, number, pa.int32())
    layout = pa.schema(list(zip(COLUMNS, types, strict=True)))
    count = 0
    with (
        target.open("wb") as file,
        pq.ParquetWriter(file, layout, compression="zstd") as writer,
    ):
        for batch in batches:
            columns = list(zip(*batch, strict=True))
            arrays = [
                pa.array(column, type=kind) for column, kind in zip(columns, types, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=layout))
            count += len(batch)
    return count
