"""Tables of the store, their version, and how an older one becomes the present one.

    nodes         who was ever heard of, with the last birth
    boots         per life of a node: up to where everything is stored
    telemetry     every message, once, by (node, boot, seq)
    series        a signal of a node: raw (device), filtered (fog) or twin (simulated)
    points        the values of the series
    extremes      smallest and largest value of every 131 s, 17.5 min, 2.3 h, 18.6 h and 6.2 d,
                  for windows of many points
    windows       what fog has summed up: count, mean, extremes, sum of a signal over a time
    events        alerts, gaps, refusals, restarts, with evidence
    calibrations  who changed which parameter when, from what to what
    runs          when the twin ran, in which mode, on what

Times are integer milliseconds since 1970.  An empty database gets the present tables.  An older one
is brought up by numbered functions that run once, in one transaction, after a copy has been made;
they are written in plain SQL, because what they do must not change with this file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError

from levada.twin.errors import StoreError, StoreVersionError

__all__ = [
    "MIGRATIONS",
    "SHIFTS",
    "VERSION",
    "boots",
    "calibrations",
    "check_columns",
    "events",
    "extremes",
    "make_missing",
    "metadata",
    "migrate",
    "nodes",
    "points",
    "readable",
    "runs",
    "schema_version",
    "series",
    "stored_version",
    "telemetry",
    "windows",
]

SHIFTS: Final = (17, 20, 23, 26, 29)
"""Intervals of `extremes` are 2^shift ms wide: eight of one width make up one of the next."""

metadata = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself in SQLite

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

nodes = Table(
    "nodes",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("birth", Text),  # JSON of the last birth
    Column("boot", BigInteger),
    Column("online", Integer, nullable=False, default=0),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)

boots = Table(
    "boots",
    metadata,
    Column("node_id", _ID, ForeignKey("nodes.id"), primary_key=True),
    Column("boot", BigInteger, primary_key=True),
    Column("contiguous", BigInteger, nullable=False),
    Column("highest", BigInteger, nullable=False),
    Column("last_ms", BigInteger),  # time of the row with the highest number
    Column("first_received_ms", BigInteger, nullable=False),
)

telemetry = Table(
    "telemetry",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("node_id", _ID, ForeignKey("nodes.id"), nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("device_ms", BigInteger),
    Column("received_ms", BigInteger, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("payload", Text, nullable=False),
    UniqueConstraint("node_id", "boot", "seq"),  # promise P1: exactly once
    Index("telemetry_time", "node_id", "time_ms"),
)

series = Table(
    "series",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("node_id", _ID, ForeignKey("nodes.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("unit", String(32), nullable=False),
    UniqueConstraint("node_id", "kind", "name"),
)

points = Table(
    "points",
    metadata,
    Column("series_id", _ID, ForeignKey("series.id"), primary_key=True),
    Column("time_ms", BigInteger, primary_key=True),
    # telemetry.id, 0 for points that no message brought; orders points of one time
    Column("row_id", BigInteger, primary_key=True),
    Column("value", Float(53), nullable=False),
    # the points of a series lie side by side in the file, so that a window is one read
    sqlite_with_rowid=False,
)

extremes = Table(
    "extremes",
    metadata,
    Column("series_id", _ID, ForeignKey("series.id"), primary_key=True),
    Column("shift", Integer, primary_key=True, autoincrement=False),
    Column("slot", BigInteger, primary_key=True),  # time_ms >> shift
    Column("count", BigInteger, nullable=False),
    Column("low", Float(53), nullable=False),
    Column("high", Float(53), nullable=False),
    sqlite_with_rowid=False,
)

windows = Table(
    "windows",
    metadata,
    Column("node_id", _ID, ForeignKey("nodes.id"), primary_key=True),
    Column("signal", Text, primary_key=True),
    Column("length_s", Integer, primary_key=True, autoincrement=False),
    Column("start_ms", BigInteger, primary_key=True),
    Column("revision", BigInteger, nullable=False),  # a higher one replaces a lower
    Column("count", BigInteger),
    Column("mean", Float(53)),
    Column("low", Float(53)),
    Column("high", Float(53)),
    Column("total", Float(53)),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("node_id", _ID, ForeignKey("nodes.id")),
    Column("kind", String(64), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON object
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("request_id", String(64), nullable=False, index=True),
    Column("node_id", _ID, ForeignKey("nodes.id"), nullable=False),
    Column("parameter", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("old_value", BigInteger),
    Column("new_value", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("state", String(16), nullable=False),
    Column("settled_ms", BigInteger),
    Column("read_back", BigInteger),
    Column("reason", Text, nullable=False, default=""),
)

runs = Table(
    "runs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("guest_sha256", String(64), nullable=False),
    Column("scenario", Text, nullable=False),
    Column("detail", Text, nullable=False),
)


def _levels(connection: Connection) -> None:
    """Extremes of one width become those of five, worked out from the points."""
    lite = connection.dialect.name == "sqlite"
    key, real = ("INTEGER", "FLOAT") if lite else ("BIGINT", "DOUBLE PRECISION")
    for statement in (
        "DROP TABLE extremes",
        f"""CREATE TABLE extremes (
            series_id {key} NOT NULL REFERENCES series (id),
            shift INTEGER NOT NULL,
            slot BIGINT NOT NULL,
            count BIGINT NOT NULL,
            low {real} NOT NULL,
            high {real} NOT NULL,
            PRIMARY KEY (series_id, shift, slot)
        ) {"WITHOUT ROWID" if lite else ""}""",
        """INSERT INTO extremes
            SELECT series_id, 17, time_ms >> 17, count(*), min(value), max(value)
            FROM points GROUP BY series_id, time_ms >> 17""",
        *(
            f"""INSERT INTO extremes
                SELECT series_id, {below + 3}, slot >> 3, sum(count), min(low), max(high)
                FROM extremes WHERE shift = {below} GROUP BY series_id, slot >> 3"""
            for below in (17, 20, 23, 26)
        ),
    ):
        connection.exec_driver_sql(statement)


def _windows(connection: Connection) -> None:
    """What fog sums up gets a table."""
    lite = connection.dialect.name == "sqlite"
    key, real = ("INTEGER", "FLOAT") if lite else ("BIGINT", "DOUBLE PRECISION")
    connection.exec_driver_sql(
        f"""CREATE TABLE windows (
            node_id {key} NOT NULL REFERENCES nodes (id),
            signal TEXT NOT NULL,
            length_s INTEGER NOT NULL,
            start_ms BIGINT NOT NULL,
            revision BIGINT NOT NULL,
            count BIGINT,
            mean {real},
            low {real},
            high {real},
            total {real},
            PRIMARY KEY (node_id, signal, length_s, start_ms)
        ) {"WITHOUT ROWID" if lite else ""}"""
    )


MIGRATIONS: Final[Mapping[int, Callable[[Connection], None]]] = {2: _levels, 3: _windows}
"""Version -> what makes it out of the version before."""
VERSION: Final = max(MIGRATIONS)
_NAMED: Final = schema_version.name
_RESTORE: Final = "somebody has changed it. Name it back, or bring back a backup"


def stored_version(connection: Connection) -> int:
    """Schema version of the database, 0 if it is empty.

    Raises StoreVersionError if it has tables of ours, or of such names, and says no version.
    """
    there = set(inspect(connection).get_table_names())
    ours = sorted(there & set(metadata.tables))
    if not ours:
        return 0
    found = list(connection.scalars(select(schema_version.c.version))) if _NAMED in there else []
    if len(found) != 1:
        raise StoreVersionError(
            f"the database has tables {', '.join(ours)}, and does not say of which version of a "
            "store: bring back a backup, or name an empty database"
        )
    return int(found[0])


def readable(connection: Connection) -> None:
    """Raises StoreVersionError if the store is newer than this program."""
    found, newest = stored_version(connection), VERSION
    if found > newest:
        raise _newer(found, newest)


def _newer(found: int, newest: int) -> StoreVersionError:
    return StoreVersionError(
        f"store has schema version {found}: this program knows 1 to {newest}; "
        "use a newer levada or another store"
    )


def migrate(
    engine: Engine,
    migrations: Mapping[int, Callable[[Connection], None]] = MIGRATIONS,
    *,
    file: Path | None = None,
) -> Path | None:
    """Bring the database to the newest version; the copy made of `file` before, if one was needed.

    On PostgreSQL the copies of the tables lie in a schema of the same database.  Raises
    StoreVersionError if the database is newer than this program, StoreError if its tables are not
    as they were made, or no copy can be made.  It is then left alone.
    """
    newest = max(migrations)
    with engine.connect() as connection:
        found = stored_version(connection)
        if found > newest:
            raise _newer(found, newest)
        if found == newest:
            check_columns(connection)
            return None
    backup = _copy_file(file, found) if found and file is not None else None
    with engine.begin() as connection:
        if found == 0:
            metadata.create_all(connection)
        else:
            if file is None:
                _copy_tables(connection, found)
            for version in range(found + 1, newest + 1):
                migrations[version](connection)
            check_columns(connection)
        connection.execute(schema_version.delete())
        connection.execute(schema_version.insert().values(version=newest))
    return backup


def make_missing(engine: Engine) -> None:
    """Make tables again that somebody has removed; StoreError if others are not as they were."""
    with engine.begin() as connection:
        found = stored_version(connection)
        metadata.create_all(connection)
        check_columns(connection)
        if not found:
            connection.execute(schema_version.insert().values(version=VERSION))


def check_columns(connection: Connection) -> None:
    """Raises StoreError if a table or a column is missing."""
    found = inspect(connection)
    for table in metadata.sorted_tables:
        if not found.has_table(table.name):
            raise StoreError(f"the store has no table {table.name} any more: {_RESTORE}")
        there = {column["name"] for column in found.get_columns(table.name)}
        missing = [column.name for column in table.c if column.name not in there]
        if missing:
            foreign = sorted(there - {column.name for column in table.c})
            others = f", but {', '.join(foreign)}" if foreign else ""
            raise StoreError(
                f"table {table.name} of the store has no column {', '.join(missing)}{others}: "
                f"{_RESTORE}"
            )


def _copy_file(file: Path, version: int) -> Path:
    backup = file.with_name(f"{file.name}.v{version}.backup")
    try:
        backup.unlink(missing_ok=True)
        os.close(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with (
            closing(sqlite3.connect(file)) as source,
            closing(sqlite3.connect(backup)) as target,
        ):
            source.backup(target)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            backup.unlink()
        raise StoreError(
            f"the store is of version {version}, and is left as it is: no copy can be made of it "
            f"first, {backup}: {error}"
        ) from None
    return backup


def _copy_tables(connection: Connection, version: int) -> None:
    """Copies of the tables beside them; they come into being with the migration, or not at all."""
    name = f"levada_v{version}_backup"
    if inspect(connection).has_schema(name):
        raise StoreError(
            f"the store is of version {version}, and is left as it is: its copy would lie in "
            f"schema {name}, which is there from an earlier time. Drop or rename it"
        )
    try:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        for table in inspect(connection).get_table_names():
            if table in metadata.tables:
                connection.exec_driver_sql(f"CREATE TABLE {name}.{table} AS TABLE {table}")
    except DBAPIError as error:
        raise StoreError(
            f"the store is of version {version}, and is left as it is: no copy can be made of it "
            f"first, in schema {name}: {str(error.orig).strip().partition(chr(10))[0]}"
        ) from None
