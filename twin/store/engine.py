"""Connections to the database of the store, and what its errors mean.

SQLite runs with a write-ahead log and `synchronous = FULL`: a committed row survives a power cut.
PostgreSQL is told to do so (`levada.twin.store.postgres`).  Both are reached through SQLAlchemy
Core.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Insert, Select, Table, create_engine, event, func, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError

from levada.guest.text.redaction import redacted
from levada.twin.errors import StoreError
from levada.twin.store.health import State
from levada.twin.store.place import uri
from levada.twin.store.postgres import ANSWER_S, postgres_engine
from levada.twin.store.reserve import free_bytes
from levada.twin.store.statements import execute_text

__all__ = [
    "Content",
    "classify",
    "connect",
    "content",
    "database_file",
    "first_line",
    "insert_newer",
    "insert_or_replace",
    "is_sound",
    "normal_url",
    "replace_levels",
    "widen",
]

_BUSY_MS: Final = 5_000
"""How long a writer waits for another one [ms]."""
_LOG_PAGES: Final = 250
"""Pages of 4 KiB after which the write-ahead log is moved into the file: about as much as the
reserve of a full disk."""
_TRACE: Final = b"CREATE TABLE schema_version"
"""What is left near the beginning of a store whose header is damaged."""
_OURS: Final = {"schema_version", "telemetry"}


class Content(StrEnum):
    """What a file is."""

    NOTHING = "nothing"
    """It is not there, or empty."""
    STORE = "store"
    """A store, sound or damaged."""
    FOREIGN = "foreign"
    """Something else."""


def normal_url(where: str | Path) -> str:
    """A file name, `sqlite:///...` or `postgresql://...` as an URL for SQLAlchemy."""
    text = str(where)
    if "://" not in text:
        return f"sqlite:///{Path(text).absolute()}"
    scheme, _, rest = text.partition("://")
    if scheme in ("postgresql", "postgres"):
        return f"postgresql+psycopg://{rest}"
    if scheme in ("sqlite", "postgresql+psycopg"):
        return text
    raise StoreError(
        f"store {scheme[:20]}://...: permitted are a file, sqlite:/// and postgresql://"
    )


def database_file(url: str) -> Path | None:
    """The file of an SQLite store; of a symbolic link what it leads to, beside which SQLite has the
    log."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its text may quote a part of the password
        raise StoreError(
            "store URL: write postgresql://HOST:PORT/DATABASE, user and password before HOST with "
            "`@`, `:`, `/`, `?` and `#` as %40, %3A, %2F, %3F and %23"
        ) from None
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError("a store in memory keeps no promise: name a file")
    return Path(os.path.realpath(parsed.database))


def connect(
    url: str,
    *,
    writes: bool,
    busy_ms: int = _BUSY_MS,
    answer_s: float | None = ANSWER_S,
    sessions: int = 5,
) -> Engine:
    """An engine; one that only reads cannot write by mistake.

    On PostgreSQL a statement may take `answer_s` (None: as long as it wants), and connections are
    kept in a pool of `sessions`; the pool of one never has more.
    """
    file = database_file(url)
    if file is not None:
        engine = create_engine(url, creator=lambda: _open(file, writes))
        _configure_sqlite(engine, writes, busy_ms)
        return engine
    try:
        return postgres_engine(
            url, writes=writes, busy_ms=busy_ms, answer_s=answer_s, sessions=sessions
        )
    except ModuleNotFoundError as error:
        raise StoreError(
            f"store on PostgreSQL needs {error.name}: in the clone, .venv/bin/python -m pip "
            "install -e '.[postgres]'"
        ) from None


def _open(file: Path, writes: bool) -> sqlite3.Connection:
    where = uri(file, "rwc" if writes else "ro")
    return sqlite3.connect(where, uri=True, check_same_thread=False)


def _configure_sqlite(engine: Engine, writes: bool, busy_ms: int) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, so that DDL is inside too
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {busy_ms}")
        if writes:
            cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only while the file is new
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            cursor.execute(f"PRAGMA journal_size_limit = {_LOG_PAGES * 4096}")
            cursor.execute("PRAGMA foreign_keys = ON")
        else:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        # IMMEDIATE: a writer waits for the lock at the start, never halfway with a stale view
        execute_text(connection, "BEGIN IMMEDIATE" if writes else "BEGIN")


def content(file: Path) -> Content:
    """What `file` is, as far as it can be told without changing anything."""
    if not file.exists():
        return Content.NOTHING
    try:
        with closing(sqlite3.connect(uri(file, "ro"), uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_NOTADB:
            return Content.STORE  # damaged, or held by a program that writes it
        # not sooner: to close a file that SQLite has open here would take its locks away
        with file.open("rb") as opened:
            return Content.STORE if _TRACE in opened.read(1 << 20) else Content.FOREIGN
    if not tables:
        return Content.NOTHING
    return Content.STORE if tables >= _OURS else Content.FOREIGN


def first_line(error: DBAPIError) -> str:
    """What the database says."""
    return redacted(str(error.orig).strip().partition("\n")[0])


def is_sound(file: Path) -> bool:
    """Whether `file` is a database without damage to its structure."""
    try:
        where = uri(file, "rw")
        with closing(sqlite3.connect(where, uri=True, timeout=_BUSY_MS / 1000)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if _SQLITE_STATES.get(code) is State.CORRUPT:
            return False
        raise StoreError(f"store {file}: {error}") from None


@cache
def insert_or_replace(
    dialect: str, table: Table, keys: tuple[str, ...], values: tuple[str, ...]
) -> Insert:
    """INSERT that replaces `values` where `keys` exist."""
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement: sqlite.Insert | postgresql.Insert = make(table)
    return statement.on_conflict_do_update(
        index_elements=keys, set_={name: statement.excluded[name] for name in values}
    )


@cache
def insert_newer(dialect: str, table: Table, revision: str) -> Insert:
    """INSERT that replaces the row with the same key if the new one has a higher `revision`."""
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement: sqlite.Insert | postgresql.Insert = make(table)
    new, key = statement.excluded, table.primary_key.columns
    return statement.on_conflict_do_update(
        index_elements=list(key),
        set_={column.name: new[column.name] for column in table.columns if column not in set(key)},
        where=new[revision] > table.c[revision],
    )


@cache
def widen(dialect: str, table: Table) -> Insert:
    """INSERT into `extremes` that widens an interval that is there already."""
    on_sqlite = dialect == "sqlite"
    statement: sqlite.Insert | postgresql.Insert = (
        sqlite.insert(table) if on_sqlite else postgresql.insert(table)
    )
    new = statement.excluded
    least, greatest = (func.min, func.max) if on_sqlite else (func.least, func.greatest)
    return statement.on_conflict_do_update(
        index_elements=["series_id", "shift", "slot"],
        set_={
            "count": table.c.count + new["count"],
            "low": least(table.c.low, new.low),
            "high": greatest(table.c.high, new.high),
        },
    )


def replace_levels(dialect: str, table: Table, source: Select[Any]) -> Insert:
    """INSERT into `extremes` of what `source` finds, in the place of intervals that are there."""
    columns = ["series_id", "shift", "slot", "count", "low", "high"]
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement: sqlite.Insert | postgresql.Insert = make(table)
    new = statement.excluded
    return statement.from_select(columns, source).on_conflict_do_update(
        index_elements=columns[:3], set_={name: new[name] for name in columns[3:]}
    )


_SQLITE_STATES: Final = {
    sqlite3.SQLITE_FULL: State.FULL,
    sqlite3.SQLITE_BUSY: State.BUSY,
    sqlite3.SQLITE_LOCKED: State.BUSY,
    sqlite3.SQLITE_READONLY: State.READ_ONLY,
    sqlite3.SQLITE_PERM: State.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: State.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: State.CORRUPT,
    sqlite3.SQLITE_NOTADB: State.CORRUPT,
    sqlite3.SQLITE_IOERR: State.FAILED,
}
_NOT_AS_MADE: Final = ("no such table", "no such column", "has no column named")
"""How SQLite says that somebody has changed the tables; it has no code for it."""
_POSTGRESQL_STATES: Final = {
    "53100": State.FULL,  # disk_full
    "42501": State.DENIED,  # insufficient_privilege
    "42": State.MISSING,  # no such table or column, another type
    "25006": State.READ_ONLY,  # read_only_sql_transaction
    "40": State.BUSY,  # deadlock, serialization_failure
    "55": State.BUSY,  # lock_not_available, object_in_use
    "XX001": State.CORRUPT,  # data_corrupted
    "XX002": State.CORRUPT,  # index_corrupted
    "21": None,  # cardinality_violation
    "22": None,  # data_exception
    "54": None,  # program_limit_exceeded: too long for an index
}
"""https://www.postgresql.org/docs/current/errcodes-appendix.html, by code or class; whatever else
may happen is the server's own trouble."""


def classify(error: DBAPIError, file: Path | None) -> State | None:
    """What a database error means for the store; None: the statement or its data were wrong."""
    if isinstance(error, IntegrityError):
        return State.CONFLICT
    origin = error.orig
    code = getattr(origin, "sqlite_errorcode", None)
    if isinstance(code, int):
        if any(words in str(origin) for words in _NOT_AS_MADE):
            return State.MISSING
        state = _SQLITE_STATES.get(code & 0xFF)
        if state is State.FAILED and file is not None and free_bytes(file) < 65_536:
            return State.FULL  # SQLite cannot tell why growing its shared memory failed
        return state
    sqlstate = getattr(origin, "sqlstate", None)
    if sqlstate is None:  # the driver says it: of the data, or that there is no connection
        return None if isinstance(error, DataError) else State.FAILED
    for known in (sqlstate, sqlstate[:2]):
        if known in _POSTGRESQL_STATES:
            return _POSTGRESQL_STATES[known]
    return State.FAILED
