"""A store on PostgreSQL.

There is one session that writes, and it holds an advisory lock.  So the lock cannot be lost without
what is being written: where the session ends, its transaction does, and a new session has to get
the lock before it writes anything.  A pooler in between (PgBouncer) would give the lock to a
session that others share, and is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError

from levada.guest.text.redaction import redacted
from levada.twin.errors import StoreBusyError, StoreError
from levada.twin.store import schema
from levada.twin.store.database import Database, DisplacedError
from levada.twin.store.engine import connect
from levada.twin.store.rows import StoreSettings

__all__ = ["PostgresDatabase"]

_LOCK: Final = 0x6C6576616461
"""The key of the advisory lock: "levada"."""


class PostgresDatabase(Database):
    """The store that `url` names; with `existing` it has to be there."""

    name = "store on PostgreSQL"

    def __init__(self, url: str, settings: StoreSettings, *, existing: bool) -> None:
        super().__init__()
        self.engine = connect(
            url,
            writes=True,
            busy_ms=settings.busy_ms,
            answer_s=settings.answer_ms / 1000,
            sessions=1,
        )
        event.listen(self.engine, "connect", self._begin_session)
        try:
            self.watch()  # takes the lock
            self._open(url, existing)
        except BaseException as error:
            self.close()
            if isinstance(error, DBAPIError):
                raise self.error(error) from None
            raise

    def _open(self, url: str, existing: bool) -> None:
        if existing:
            with self.engine.connect() as connection:
                if not schema.stored_version(connection):
                    raise StoreError("the database on PostgreSQL holds no store of levada")
        patient = connect(url, writes=True, answer_s=None)  # a migration takes its time
        try:
            schema.migrate(patient)
        finally:
            patient.dispose()

    def _begin_session(self, connection: Any, _record: Any) -> None:
        from psycopg import Error
        from psycopg.errors import LockNotAvailable

        try:
            _examine(connection)
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            connection.commit()
        except LockNotAvailable:
            connection.close()
            raise StoreBusyError(
                "the store on PostgreSQL is in use by another process: end that one"
            ) from None
        except Error as error:
            connection.close()
            says = str(error).strip().partition("\n")[0]
            raise StoreError(f"{self.name}: {redacted(says)}") from None
        except StoreError:
            connection.close()
            raise
        self.sessions += 1

    def close(self) -> None:
        """End the session, and with it the lock."""
        self.engine.dispose()

    def check(self) -> None:
        """There is nothing that could lie elsewhere."""

    def watch(self) -> None:
        """Look whether the session lives; begin another one if it does not."""
        with self.lock, self.engine.connect() as connection:
            connection.scalar(select(1))

    def recover(self, error: DisplacedError) -> Path | None:
        """Never needed."""
        raise StoreError(str(error))


def _examine(connection: Any) -> None:
    """Refuse a session that cannot keep the lock, and a server that does not keep commits."""
    (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
    if pid != connection.info.backend_pid:
        raise StoreError(
            "between the twin and PostgreSQL is a pooler, such as PgBouncer, that shares sessions: "
            "the lock of the store needs one of its own. Name the server itself in the URL"
        )
    (fsync,) = connection.execute("SHOW fsync").fetchone()
    if fsync == "off":
        raise StoreError(
            "PostgreSQL runs with fsync = off: a power cut may take what was acknowledged, and the "
            "whole store. Set fsync = on in postgresql.conf and reload it"
        )
