"""Sessions of PostgreSQL: durable whatever the server's default is, and never waited for endlessly.

libpq waits for an answer as long as the connection seems to be alive, so there are deadlines: to
connect, for a peer that is gone (TCP), for a statement and for a lock (by the server), and, for a
server that is alive and does not answer, one here.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, create_engine, event, make_url

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["ANSWER_S", "postgres_engine"]

ANSWER_S: Final = 20.0
"""For so long the server may work on one statement [s]."""
_SILENT: Final = 1.5
"""Times as long it is waited for, since a server that is well says itself that it gives up."""
_SOCKET: Final = {
    "connect_timeout": 5,  # s
    "keepalives_idle": 10,  # s
    "keepalives_interval": 5,  # s
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}
"""https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
_SERVER_SOCKET: Final = ("tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5")
"""So that the server soon gives back the lock of a twin whose computer is gone."""


def postgres_engine(
    url: str, *, writes: bool, busy_ms: int, answer_s: float | None, sessions: int
) -> Engine:
    """An engine; ModuleNotFoundError if there is no driver.

    A statement may take `answer_s` (None: as long as it wants), a lock `busy_ms`.  What the URL
    says of the socket holds.
    """
    given = make_url(url).query
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=sessions,
        max_overflow=0 if sessions == 1 else 10,
        connect_args={name: value for name, value in _SOCKET.items() if name not in given},
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return _impatient(answer_s).connect(*arguments, **options)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Connection[Any], _record: Any) -> None:
        settings = [
            f"lock_timeout = {max(1, busy_ms)}",
            f"statement_timeout = {round((answer_s or 0.0) * 1000)}",
            *_SERVER_SOCKET,
        ]
        if not writes:
            settings.append("default_transaction_read_only = on")
        for setting in settings:
            connection.execute(f"SET {setting}")
        if writes:
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()  # else a rollback would take the settings back

    return engine


@cache
def _impatient(answer_s: float | None) -> type[Connection[Any]]:
    """The class of connections that wait `answer_s` for an answer, and then are closed."""
    import psycopg

    if answer_s is None:
        return psycopg.Connection
    silent_s = answer_s * _SILENT

    class Impatient(psycopg.Connection[Any]):
        def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            steps = _until(gen, monotonic() + silent_s)
            try:
                return super().wait(steps, *arguments, **options)
            except _SilentError:
                self.pgconn.finish()
                raise psycopg.OperationalError(
                    f"the server has not answered within {silent_s:g} s"
                ) from None

    return Impatient


class _SilentError(Exception):
    pass


def _until(steps: Generator[Any, Any, Any], end_s: float) -> Generator[Any, Any, Any]:
    """What `steps` yields and returns, up to a time of the monotonic clock.

    psycopg waits for the socket in short intervals, and goes on here after each.
    """
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if monotonic() > end_s:
                raise _SilentError
            wanted = steps.send(ready)
    except StopIteration as end:
        return end.value
