"""Statements of the writer, as directly to SQLite as may be.

A group of a quiet store is one row.  What SQLAlchemy does about each execution then takes longer
than what SQLite does about the row, so SQLite gets the compiled text and the values as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase

__all__ = ["execute_many", "execute_text"]

_DIALECT: Final = sqlite.dialect(paramstyle="named")


def execute_many(
    connection: Connection, statement: UpdateBase, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Execute `statement` for each of `rows`, which all have the same keys: columns or the names of
    bound parameters.

    Raises DBAPIError, and ValueError if other values, such as defaults of columns, would be
    written: those belong into the statement as text.
    """
    raw: Any = connection.connection.dbapi_connection
    if not isinstance(raw, sqlite3.Connection):
        connection.execute(statement, rows)
        return
    text = _compiled(statement, tuple(rows[0]))
    try:
        raw.executemany(text, rows)
    except sqlite3.Error as error:
        raise _wrapped(text, error) from error


def execute_text(connection: Connection, text: str) -> None:
    """Execute `text`, without a result, on SQLite; raises DBAPIError."""
    raw: Any = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    try:
        raw.execute(text)
    except sqlite3.Error as error:
        raise _wrapped(text, error) from error


@lru_cache(maxsize=64)
def _compiled(statement: UpdateBase, keys: tuple[str, ...]) -> str:
    compiled = statement.compile(dialect=_DIALECT, column_keys=list(keys))
    if others := set(compiled.params) - set(keys):
        raise ValueError(f"values in the statement that are not in the rows: {sorted(others)}")
    return str(compiled)


def _wrapped(text: str, error: sqlite3.Error) -> Exception:
    return DBAPIError.instance(text, None, error, sqlite3.Error)
