"""The store on PostgreSQL: what a server, its administrator and what lies between may do to it."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Commits
from services import need, pgbouncer
from small_field import until
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from store_rows import row

from levada.twin.errors import StoreBusyError, StoreError, StoreVersionError
from levada.twin.store import schema as store_schema
from levada.twin.store.engine import connect, normal_url
from levada.twin.store.export import export
from levada.twin.store.health import State
from levada.twin.store.rows import StoreSettings
from levada.twin.store.store import Store

QUICK = StoreSettings(retry_ms=20, busy_ms=100)


class Server:
    """A database of its own, and its administrator."""

    def __init__(self, url: str) -> None:
        self._cluster = url
        self.url = url.replace("/postgres?", "/field?").replace("user=levada", "user=plain")

    def run(self, *statements: str, url: str = "") -> list[Any]:
        """Run statements, each by itself; rows of the last."""
        engine = connect(normal_url(url or self._field), writes=True)
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for statement in statements:
                    result = connection.execute(text(statement))
                return list(result) if result.returns_rows else []
        finally:
            engine.dispose()

    @property
    def _field(self) -> str:
        return self._cluster.replace("/postgres?", "/field?")

    def begin_anew(self) -> None:
        self.run(
            "DROP DATABASE IF EXISTS field WITH (FORCE)",
            "DROP ROLE IF EXISTS plain",
            "CREATE ROLE plain LOGIN",
            "CREATE DATABASE field OWNER plain",
            url=self._cluster,
        )

    def writer(self) -> int:
        """Process of the server that holds the lock of the store."""
        ((pid,),) = self.run(
            "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database "
            "WHERE locktype = 'advisory' AND d.datname = 'field' AND granted"
        )
        return int(pid)

    @contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """A process of the server that lives and does not answer."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def server(postgresql_url: str) -> Server:
    """A fresh database `field`, owned by a role that is no superuser."""
    made = Server(postgresql_url)
    made.begin_anew()
    return made


def stored(server: Server) -> list[int]:
    return [seq for (seq,) in server.run("SELECT seq FROM telemetry ORDER BY seq")]


def setting(store: Store, name: str) -> str:
    with store.transaction() as connection:
        return str(connection.scalar(text(f"SHOW {name}")))


# Durability ----------


@pytest.mark.parametrize("default", ["off", "remote_apply"])
def test_a_commit_is_durable_whatever_the_database_s_default_is(
    server: Server, default: str
) -> None:
    """`off` may lose what was acknowledged; what is stricter than `on` stays."""
    server.run(f"ALTER DATABASE field SET synchronous_commit = {default}")
    with Store(server.url, settings=QUICK) as store:
        expected = "on" if default == "off" else default
        assert setting(store, "synchronous_commit") == expected
        os.kill(server.writer(), signal.SIGTERM)
        until(lambda: store.health().ok and setting(store, "synchronous_commit") == expected)


def test_a_server_without_fsync_is_refused(server: Server, postgresql_url: str) -> None:
    def is_off() -> bool:
        return server.run("SHOW fsync") == [("off",)]

    server.run("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()", url=postgresql_url)
    try:
        until(is_off)
        with pytest.raises(StoreError, match=r"runs with fsync = off: .*Set fsync = on"):
            Store(server.url, settings=QUICK)
    finally:
        server.run("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()", url=postgresql_url)
        until(lambda: not is_off())
    Store(server.url, settings=QUICK).close()


# One writer ----------


def test_the_session_that_writes_is_the_one_that_holds_the_lock(server: Server) -> None:
    with Store(server.url, settings=QUICK) as store:
        for _ in range(3):
            with store.transaction() as connection:
                assert connection.scalar(text("SELECT pg_backend_pid()")) == server.writer()
            os.kill(server.writer(), signal.SIGTERM)
            until(lambda: _holds(server, store))


def _holds(server: Server, store: Store) -> bool:
    store.submit(row(0))
    return store.flush() and store.health().ok and bool(server.writer())


def test_who_lost_the_lock_in_the_midst_of_a_transaction_has_written_nothing(
    server: Server,
) -> None:
    with Store(server.url, settings=QUICK) as store:
        commits = Commits(store)
        assert store.submit(row(0))
        assert commits.wait("n", 1, 0)
        other: list[Store] = []
        with (
            pytest.raises(StoreError),
            store.transaction() as connection,
        ):
            connection.execute(
                text(
                    "INSERT INTO nodes (name, online, first_ms, last_ms) VALUES ('ghost', 0, 0, 0)"
                )
            )
            os.kill(server.writer(), signal.SIGTERM)
            until(lambda: _opens(server, other))
            connection.execute(text("SELECT 1"))
        assert store.submit(row(1))
        until(lambda: store.health().state is State.BUSY)
        assert "in use by another process" in store.health().detail
        assert [name for (name,) in server.run("SELECT name FROM nodes")] == ["n"]
        other[0].close()
        assert commits.wait("n", 1, 1)
        assert stored(server) == [0, 1]


def _opens(server: Server, other: list[Store]) -> bool:
    try:
        other.append(Store(server.url, settings=QUICK))
    except StoreBusyError:
        return False
    return True


def test_what_another_twin_stored_meanwhile_is_known_after_a_reconnection(
    server: Server,
) -> None:
    """The numbers of messages would be given twice, were the old ones remembered."""
    with Store(server.url, settings=QUICK) as store:
        commits = Commits(store)
        assert store.submit(row(0))
        assert commits.wait("n", 1, 0)
        with store._database.lock:  # it does not look meanwhile
            os.kill(server.writer(), signal.SIGTERM)
            other: list[Store] = []
            until(lambda: _opens(server, other))
            assert other[0].submit(row(1))
            assert other[0].flush()
            other[0].close()
        assert store.submit(row(1))
        assert store.submit(row(2))
        assert commits.wait("n", 1, 2)
        assert store.flush()
        assert stored(server) == [0, 1, 2]
        assert store.health().duplicates == 1


def test_a_pooler_that_shares_sessions_is_refused(server: Server, postgresql_url: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pgb"))
    try:
        host = Path(str(make_url(postgresql_url).query["host"]))
        with (
            pgbouncer(folder, host) as url,
            pytest.raises(StoreError, match=r"is a pooler, such as PgBouncer.*in the URL"),
        ):
            Store(url, settings=QUICK)
    finally:
        shutil.rmtree(folder)


# Kill -9 ----------


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_time_what_was_acknowledged_is_stored_and_the_next_twin_goes_on(
    server: Server, seed: int
) -> None:
    after = random.Random(seed).randrange(1, 40)
    child_file = Path(__file__).parent / "store_child.py"
    acknowledged = -1
    with subprocess.Popen(
        [sys.executable, str(child_file), "write", server.url], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for number, line in enumerate(child.stdout):
            acknowledged = int(line)
            if number == after:
                child.kill()
                break
    with Store(server.url) as store:  # its lock goes with it
        assert set(range(acknowledged + 1)) <= set(stored(server))
        upto = store.reader.acknowledged("n")[1]
        assert store.submit(row(upto + 1))
        assert store.flush()
        assert stored(server) == list(range(upto + 2))


def test_a_server_that_crashes_and_recovers_is_gone_on_with(server: Server) -> None:
    """Where one of its processes is killed, all sessions end and the log is gone through."""
    with Store(server.url, settings=QUICK) as store:
        commits = Commits(store)
        for seq in range(10):
            assert store.submit(row(seq))
        assert commits.wait("n", 1, 9)
        os.kill(server.writer(), signal.SIGKILL)
        for seq in range(10, 20):
            assert store.submit(row(seq))
        assert commits.wait("n", 1, 19)
        until(lambda: store.health().ok)
        assert stored(server) == list(range(20))


# Deadlines ----------


def test_a_server_that_does_not_answer_is_not_waited_for_endlessly(server: Server) -> None:
    engine = connect(normal_url(server.url), writes=False, answer_s=0.2)
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        assert isinstance(pid, int)
        with server.stopped(pid), pytest.raises(DBAPIError, match=r"not answered within 0\.3 s"):
            connection.execute(text("SELECT 1"))
        assert connection.invalidated
    engine.dispose()


def test_the_server_gives_a_statement_up_by_itself(server: Server) -> None:
    engine = connect(normal_url(server.url), writes=False, answer_s=5.0)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "5s"
        connection.execute(text("SET statement_timeout = 1"))
        with pytest.raises(DBAPIError, match="statement timeout"):
            connection.execute(text("SELECT pg_sleep(60)"))
    engine.dispose()


def test_what_the_url_says_of_the_socket_holds() -> None:
    engine = connect(normal_url("postgresql://h/d?connect_timeout=7"), writes=True)
    _, options = engine.dialect.create_connect_args(engine.url)
    assert options["connect_timeout"] == "7"
    engine.dispose()


def test_a_database_that_falls_silent_is_told_and_nothing_is_lost(server: Server) -> None:
    settings = StoreSettings(retry_ms=20, busy_ms=50, answer_ms=200)
    with Store(server.url, settings=settings) as store:
        commits = Commits(store)
        assert store.submit(row(0))
        assert commits.wait("n", 1, 0)
        with server.stopped(server.writer()):
            assert store.submit(row(1))
            until(lambda: not store.health().ok)
            assert commits.acks == {("n", 1): 0}
            with pytest.raises(StoreError):  # others are not kept waiting either
                store.begin_run("x", "hil", guest_sha256="", scenario="")
        assert commits.wait("n", 1, 1)
        until(lambda: store.health().ok)
        assert store.submit(row(1))
        assert store.flush()
        assert stored(server) == [0, 1]


def test_a_table_that_somebody_locks_is_told_and_waited_for(server: Server) -> None:
    with Store(server.url, settings=QUICK) as store:
        commits = Commits(store)
        assert store.submit(row(0))
        assert commits.wait("n", 1, 0)
        engine = connect(normal_url(server.url), writes=True)
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE telemetry IN ACCESS EXCLUSIVE MODE"))
            assert store.submit(row(1))
            until(lambda: store.health().state is State.BUSY)
            assert "lock timeout" in store.health().detail
        assert commits.wait("n", 1, 1)
        engine.dispose()


# Administrators ----------


def _denied(server: Server) -> Callable[[], None]:
    server.run("ALTER TABLE telemetry OWNER TO levada", "REVOKE ALL ON telemetry FROM plain")
    return lambda: server.run("GRANT ALL ON telemetry TO plain") and None


def _renamed(server: Server) -> Callable[[], None]:
    server.run("ALTER TABLE points RENAME COLUMN value TO val")
    return lambda: server.run("ALTER TABLE points RENAME COLUMN val TO value") and None


def _retyped(server: Server) -> Callable[[], None]:
    server.run("ALTER TABLE nodes ALTER COLUMN birth TYPE bytea USING NULL")
    server.run("ALTER TABLE telemetry ALTER COLUMN payload TYPE bytea USING ''::bytea")
    return lambda: (
        server.run("ALTER TABLE telemetry ALTER COLUMN payload TYPE text USING '{}'") and None
    )


@pytest.mark.parametrize(
    ("harm", "state", "says"),
    [
        (_denied, State.DENIED, "permission denied for table telemetry"),
        (_renamed, State.MISSING, r"no column value, but val: somebody has changed it"),
        (_retyped, State.MISSING, "payload"),
    ],
)
def test_what_the_database_no_longer_takes_is_told_and_no_row_is_given_up(
    server: Server, harm: Callable[[Server], Callable[[], None]], state: State, says: str
) -> None:
    with Store(server.url, settings=QUICK) as store:
        commits = Commits(store)
        assert store.submit(row(0))
        assert commits.wait("n", 1, 0)
        mend = harm(server)
        assert store.submit(row(1))
        until(lambda: store.health().state is state and says in store.health().detail)
        assert store.health().refused == 0
        mend()
        assert commits.wait("n", 1, 1)


def test_a_renamed_column_is_told_when_the_store_is_opened(server: Server) -> None:
    Store(server.url, settings=QUICK).close()
    server.run("ALTER TABLE nodes RENAME COLUMN first_ms TO born_ms")
    with pytest.raises(StoreError, match="table nodes of the store has no column first_ms, but "):
        Store(server.url, settings=QUICK)


@pytest.mark.parametrize("harm", ["DELETE FROM schema_version", "DROP TABLE schema_version"])
def test_a_store_that_says_no_version_is_not_given_one(server: Server, harm: str) -> None:
    with Store(server.url, settings=QUICK) as store:
        assert store.submit(row(0))
        assert store.flush()
    server.run(harm)
    with pytest.raises(StoreVersionError, match="does not say of which version"):
        Store(server.url, settings=QUICK)
    if harm.startswith("DELETE"):
        assert server.run("SELECT * FROM schema_version") == []
    assert stored(server) == [0]


def test_tables_of_somebody_else_s_are_not_written_into(server: Server) -> None:
    server.run("CREATE TABLE events (what text)")
    with pytest.raises(StoreVersionError, match=r"has tables events, .*name an empty database"):
        Store(server.url, settings=QUICK)
    assert server.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [
        ("events",)
    ]


def test_a_newer_store_is_not_exported(server: Server, tmp_path: Path) -> None:
    Store(server.url, settings=QUICK).close()
    server.run("UPDATE schema_version SET version = 99")
    with pytest.raises(StoreVersionError, match="version 99: this program knows 1 to"):
        export(server.url, tmp_path / "all.csv", format="csv")
    assert not (tmp_path / "all.csv").exists()


# As docs/deploy.md says ----------


def _as_documented(line: str, host: str, folder: Path) -> None:
    """Run a line of the page on the server of the tests, as its administrator."""
    bin_folder = Path(need("pg_dump", *sorted(Path("/usr/lib/postgresql").glob("*/bin")))).parent
    line = re.sub(
        r"postgresql://twin@db\.example/(\w+)", rf"postgresql:///\1?host={host}&user=twin", line
    )
    words = shlex.split(line.removeprefix("sudo -u postgres "))
    administrator = {"PGHOST": host, "PGUSER": "levada", "PGDATABASE": "postgres"}
    subprocess.run(
        [str(bin_folder / words[0]), *words[1:]],
        check=True,
        cwd=folder,
        env=os.environ | administrator,
    )


def test_a_site_is_set_up_backed_up_and_brought_back_as_the_page_says(
    server: Server, postgresql_url: str, tmp_path: Path
) -> None:
    for database in ("field", "again"):
        server.run(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)", url=postgresql_url)
    server.run("DROP ROLE IF EXISTS twin", url=postgresql_url)
    host = str(make_url(postgresql_url).query["host"])
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text("utf-8")
    lines = re.findall(r"^(?:sudo -u postgres|pg_)\S* .*$", page, re.MULTILINE)
    assert len(lines) == 5
    for line in lines[:2]:
        _as_documented(line, host, tmp_path)
    field = f"postgresql:///field?host={host}&user=twin"
    with Store(field, settings=QUICK) as store:
        assert store.submit(row(0))
        assert store.flush()
        _as_documented(lines[2], host, tmp_path)
        assert store.submit(row(1))
        assert store.flush()
    for line in lines[3:]:
        _as_documented(line, host, tmp_path)
    with Store(field.replace("/field", "/again"), settings=QUICK, existing=True) as store:
        assert store.reader.acknowledged("n") == {1: 0}
        assert store.submit(row(2, oldest=2))  # row 1 was acknowledged, and is not sent again
        assert store.flush()
        assert store.reader.acknowledged("n") == {1: 2}
        (gap,) = store.reader.events(kind="gap")
        assert gap["evidence"] == {"boot": 1, "first": 1, "last": 1}


# Migration ----------


def _of_version_1(server: Server) -> None:
    folder = Path(__file__).parent / "store_v1"
    for name in ("postgresql.sql", "rows.sql"):
        for statement in (folder / name).read_text().split(";\n"):
            if statement.strip():
                server.run(statement, url=server.url)


def test_before_a_migration_the_tables_are_copied_within_the_database(server: Server) -> None:
    _of_version_1(server)
    Store(server.url, settings=QUICK).close()
    assert server.run("SELECT version FROM schema_version") == [(store_schema.VERSION,)]
    assert server.run("SELECT version FROM levada_v1_backup.schema_version") == [(1,)]
    assert server.run("SELECT count(*) FROM levada_v1_backup.points") == [(10,)]


def test_without_a_copy_there_is_no_migration(server: Server, postgresql_url: str) -> None:
    _of_version_1(server)
    server.run("ALTER DATABASE field OWNER TO levada", url=postgresql_url)
    with pytest.raises(StoreError, match=r"is left as it is: no copy.*permission denied"):
        Store(server.url, settings=QUICK)
    assert server.run("SELECT version FROM schema_version") == [(1,)]


def test_a_copy_of_an_earlier_time_is_not_written_over(server: Server) -> None:
    _of_version_1(server)
    server.run("CREATE SCHEMA levada_v1_backup")
    with pytest.raises(StoreError, match=r"is left as it is: .* Drop or rename it"):
        Store(server.url, settings=QUICK)
    assert server.run("SELECT version FROM schema_version") == [(1,)]
