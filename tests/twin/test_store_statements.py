"""The writer's short way to SQLite: the same rows and the same errors as by SQLAlchemy."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Float,
    MetaData,
    Table,
    Text,
    bindparam,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from store_rows import row

from levada.twin.store.engine import connect, normal_url
from levada.twin.store.statements import execute_many, execute_text
from levada.twin.store.store import Store

TABLE = Table(
    "things",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("words", Text),
    Column("value", Float(53)),
)
ROWS: list[dict[str, Any]] = [
    {"id": 1, "words": "100 % :of ? it", "value": 0.1},
    {"id": (1 << 63) - 1, "words": None, "value": -1e308},
    {"id": -(1 << 63), "words": "\N{BOPOMOFO LETTER B} \0", "value": None},
]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = connect(normal_url(tmp_path / "things.sqlite"), writes=True)
    TABLE.metadata.create_all(found)
    yield found
    found.dispose()


def rows(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(found) for found in connection.execute(select(TABLE).order_by(TABLE.c.id))]


def test_rows_are_those_that_sqlalchemy_writes(engine: Engine, tmp_path: Path) -> None:
    other = create_engine(f"sqlite:///{tmp_path / 'other.sqlite'}")
    TABLE.metadata.create_all(other)
    change = update(TABLE).where(TABLE.c.id == bindparam("of"))
    changes = [{"of": 1, "words": "changed"}, {"of": 2, "words": "not there"}]
    with other.begin() as connection:
        connection.execute(insert(TABLE), ROWS)
        connection.execute(change, changes)
    with engine.begin() as connection:
        execute_many(connection, insert(TABLE), ROWS)
        execute_many(connection, change, changes)
    assert rows(engine) == rows(other)
    assert (1, "changed", 0.1) in rows(engine)
    other.dispose()


def test_errors_are_those_of_sqlalchemy_and_nothing_is_written(engine: Engine) -> None:
    with pytest.raises(IntegrityError) as caught, engine.begin() as connection:
        execute_many(connection, insert(TABLE), [ROWS[0], ROWS[0]])
    assert isinstance(caught.value.orig, sqlite3.IntegrityError)
    with pytest.raises(OperationalError) as failed, engine.begin() as connection:
        execute_many(connection, insert(TABLE), ROWS)
        execute_text(connection, "DROP TABLE absent")
    assert "no such table: absent" in str(failed.value.orig)
    with pytest.raises(OverflowError), engine.begin() as connection:
        execute_many(connection, insert(TABLE), [{"id": 1 << 63, "words": "", "value": 0.0}])
    assert rows(engine) == []


def test_a_locked_database_is_told_as_such(engine: Engine, tmp_path: Path) -> None:
    engine.dispose()
    held = sqlite3.connect(tmp_path / "things.sqlite", isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    hasty = connect(normal_url(tmp_path / "things.sqlite"), writes=True, busy_ms=0)
    with pytest.raises(DBAPIError) as caught, hasty.begin():
        pass
    origin = caught.value.orig
    assert isinstance(origin, sqlite3.OperationalError)
    assert origin.sqlite_errorcode == sqlite3.SQLITE_BUSY
    held.close()
    hasty.dispose()


def test_a_value_within_a_statement_is_noticed(engine: Engine) -> None:
    statement = update(TABLE).where(TABLE.c.id == bindparam("of")).values(words="within")
    with engine.begin() as connection, pytest.raises(ValueError, match="words"):
        execute_many(connection, statement, [{"of": 1, "value": 2.0}])


def test_a_lone_row_takes_few_calls(tmp_path: Path) -> None:
    """What a quiet store adds to the way of a message is, beside the disk, Python: the calls that
    one commit of one row takes, counted where no clock has a say.  By SQLAlchemy it was 880."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    with Store(tmp_path / "store.sqlite") as store:
        commit = store._writer._commit
        for number in range(20):
            commit([row(number)])
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            commit([row(20)])
        finally:
            sys.setprofile(before)
    assert 100 < calls < 550
