"""What becomes of a store whose files are deleted, renamed, replaced or cut while it is written."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Commits
from small_field import until
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from store_rows import T0, row

from levada.twin.errors import StoreBusyError, StoreError
from levada.twin.store import schema as store_schema
from levada.twin.store.engine import connect, normal_url
from levada.twin.store.export import export
from levada.twin.store.health import State
from levada.twin.store.policy import prune
from levada.twin.store.reads import StoreReader, to_read
from levada.twin.store.rows import StoreSettings
from levada.twin.store.store import Store
from levada.twin.store.writer import Writer

QUICK = StoreSettings(retry_ms=20, reserve_bytes=1 << 16)


def stored(file: Path) -> list[int]:
    """What another program finds under the name."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [n for (n,) in other.execute("SELECT seq FROM telemetry ORDER BY seq")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "s.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with Store(file, settings=QUICK) as made:
        for seq in range(10):
            assert made.submit(row(seq))
        assert made.flush()
        yield made


def delete(file: Path) -> None:
    file.unlink()


def delete_all(file: Path) -> None:
    for part in file.parent.iterdir():
        part.unlink()


def delete_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def delete_log(file: Path) -> None:
    file.with_name(file.name + "-wal").unlink()


def delete_index(file: Path) -> None:
    file.with_name(file.name + "-shm").unlink()


def empty_in_its_place(file: Path) -> None:
    file.unlink()
    file.touch()


@pytest.mark.parametrize(
    "harm", [delete, delete_all, delete_folder, delete_log, delete_index, empty_in_its_place]
)
def test_what_was_acknowledged_is_put_under_the_name_again(
    store: Store, file: Path, harm: Callable[[Path], None]
) -> None:
    commits = Commits(store)
    harm(file)
    for seq in range(10, 20):
        assert store.submit(row(seq, oldest=9))
    assert commits.wait("n", 1, 19)
    assert store.flush()
    assert stored(file) == list(range(20))
    assert store.reader.count("n") == 20
    (event,) = store.reader.events(kind="store")
    assert "missing" in event["text"]
    assert store.health().ok


def test_it_is_noticed_while_nothing_comes(store: Store, file: Path) -> None:
    file.unlink()
    until(file.exists)
    until(lambda: store.health().ok)
    assert stored(file) == list(range(10))


def test_a_store_that_was_moved_away_keeps_what_it_has_and_a_new_one_is_begun(
    store: Store, file: Path
) -> None:
    moved = file.with_name("moved.sqlite")
    file.rename(moved)
    commits = Commits(store)
    assert store.submit(row(10, oldest=10))
    assert commits.wait("n", 1, 10)
    assert stored(file) == [10]
    assert stored(moved) == list(range(10))


def test_a_folder_that_was_moved_away_is_waited_for(store: Store, file: Path) -> None:
    commits = Commits(store)
    away = file.parent.with_name("away")
    file.parent.rename(away)
    assert store.submit(row(10))
    until(lambda: store.health().state is State.MISSING)
    assert "is gone" in store.health().detail
    assert ("n", 1) not in commits.acks
    with pytest.raises(StoreError, match="is gone"):
        store.begin_run("x", "hil", guest_sha256="", scenario="")
    assert not file.parent.exists()
    away.rename(file.parent)
    assert commits.wait("n", 1, 10)
    assert stored(file) == list(range(11))


def test_another_store_under_the_name_is_gone_on_with_and_nothing_is_lost(
    store: Store, file: Path
) -> None:
    other = file.with_name("other.sqlite")
    with Store(other, settings=QUICK) as second:
        assert second.submit(row(3))
        assert second.flush()
    commits = Commits(store)
    other.replace(file)
    assert store.submit(row(10, oldest=10))
    assert commits.wait("n", 1, 10)
    assert stored(file) == [3, 10]
    (kept,) = file.parent.glob("s.sqlite.before-*")
    assert stored(kept) == list(range(10))


def test_what_is_no_store_is_left_alone_and_nothing_is_acknowledged(
    store: Store, file: Path
) -> None:
    commits = Commits(store)
    file.unlink()
    file.write_text("somebody else's notes, long enough to be looked at")
    assert store.submit(row(10))
    until(lambda: "no store of levada" in store.health().detail)
    assert not commits.acks
    assert file.read_text().startswith("somebody else's")
    file.unlink()
    assert commits.wait("n", 1, 10)
    assert stored(file) == list(range(11))


def test_a_reader_in_the_midst_of_the_log_is_no_harm(store: Store, file: Path) -> None:
    """The log is moved up to where a reader is: the header may come into the file before pages of
    which a later version waits behind it."""
    readers = []
    for batch in range(60):
        reader = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM telemetry").fetchall()
        for old in readers:
            old.close()
        readers = [reader]
        for seq in range(10 + 200 * batch, 210 + 200 * batch):
            assert store.submit(row(seq))
        assert store.flush()
    readers[0].close()
    assert store.health().ok
    assert store.health().moved_aside == ""
    assert stored(file) == list(range(10 + 200 * 60))


@pytest.mark.parametrize("size", [0, 100, 4096])
def test_a_file_that_was_cut_is_moved_aside(store: Store, file: Path, size: int) -> None:
    store.cut_log()
    commits = Commits(store)
    os.truncate(file, size)
    assert store.submit(row(10, oldest=10))
    assert commits.wait("n", 1, 10)
    assert stored(file) == [10]
    assert Path(store.health().moved_aside).exists()


def test_a_file_that_was_overwritten_is_moved_aside(store: Store, file: Path) -> None:
    store.cut_log()
    commits = Commits(store)
    with os.fdopen(os.open(file, os.O_WRONLY), "wb") as opened:
        opened.write(bytes(1 << 20))
    assert store.submit(row(10, oldest=10))
    assert commits.wait("n", 1, 10)
    assert stored(file) == [10]


def test_an_older_copy_that_is_written_over_the_file_is_moved_aside(
    store: Store, file: Path
) -> None:
    copy = file.with_name("copy.sqlite")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    for seq in range(10, 200):
        assert store.submit(row(seq))
    assert store.flush()
    store.cut_log()
    commits = Commits(store)
    shutil.copyfile(copy, file)
    assert store.submit(row(200, oldest=200))
    assert commits.wait("n", 1, 200)
    assert Path(store.health().moved_aside).exists()


def test_a_store_that_shrinks_later_because_somebody_was_reading_goes_on(
    store: Store, file: Path
) -> None:
    for seq in range(10, 1_000):
        assert store.submit(row(seq))
    assert store.flush()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM telemetry").fetchall()
        prune(store, before_ms=T0 + 990_000)
        before = file.stat().st_size
        other.execute("ROLLBACK")
    store.cut_log()
    assert file.stat().st_size < before
    assert store.submit(row(1_000))
    assert store.flush()
    assert store.health().ok
    assert not store.health().moved_aside
    assert stored(file) == list(range(990, 1_001))


def test_a_store_that_shrinks_by_our_own_doing_goes_on(store: Store, file: Path) -> None:
    prune(store, before_ms=T0 + 9_000)
    assert store.submit(row(10))
    assert store.flush()
    assert store.health().ok
    assert not store.health().moved_aside
    assert stored(file) == [9, 10]


WRITER = """
import sys
from levada.twin.errors import StoreBusyError
from levada.twin.store.store import Store
from levada.twin.store.writer import Writer
try:
    Store(sys.argv[1]).close()
except StoreBusyError as error:
    print(error)
    sys.exit(7)
"""


def test_a_deleted_lock_lets_no_second_writer_in(store: Store, file: Path) -> None:
    file.with_name(file.name + ".lock").unlink()
    with pytest.raises(StoreBusyError, match="in use by another process"):
        Store(file)
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert store.submit(row(10))
    assert store.flush()
    assert stored(file) == list(range(11))


def test_every_file_of_a_store_is_private(store: Store, file: Path) -> None:
    os.umask(0o022)
    modes = {part.name: part.stat().st_mode & 0o777 for part in file.parent.iterdir()}
    assert {"s.sqlite", "s.sqlite-wal", "s.sqlite-shm", "s.sqlite.lock"} < modes.keys()
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("there", [True, False], ids=["a store", "nothing yet"])
def test_a_link_to_another_file_system_is_a_store(
    memory_folder: Path, tmp_path: Path, there: bool
) -> None:
    target, link = memory_folder / "of-disk.sqlite", tmp_path / "store.sqlite"
    link.symlink_to(target)
    if there:
        with Store(target, settings=QUICK) as store:
            assert store.submit(row(0))
    with Store(link, settings=QUICK) as store:
        assert all(store.submit(row(seq)) for seq in range(10))
        assert store.flush()
        with to_read(link) as url, closing(StoreReader(url)) as reader:
            assert reader.count("n") == 10  # most of it in the log, beside the file
        with pytest.raises(StoreBusyError):
            Store(target)
        target.unlink()
        assert store.submit(row(10))
        assert store.flush()
    assert stored(target) == list(range(11))
    assert link.is_symlink()
    assert list(tmp_path.iterdir()) == [link]


def test_a_link_that_leads_to_itself_is_said(tmp_path: Path) -> None:
    link = tmp_path / "store.sqlite"
    link.symlink_to(link)
    with pytest.raises(StoreError, match="symbolic links"):
        Store(link)


def test_who_reads_makes_no_file(store: Store, file: Path) -> None:
    store.close()
    before = sorted(file.parent.iterdir())
    export(file, file.parent.with_name("all.csv"), format="csv")
    assert sorted(file.parent.iterdir()) == before
    file.unlink()
    with pytest.raises(StoreError, match="no store of levada: there is no such file"):
        export(file, file.parent.with_name("none.csv"), format="csv")
    store.reader.renew()
    with pytest.raises(Exception, match="unable to open"):
        store.reader.count()
    assert not file.exists()


def end_connections(url: str) -> None:
    """As a server that is started again does."""
    engine = connect(normal_url(url), writes=True)
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid != pg_backend_pid() AND backend_type = 'client backend'"
            )
        )
    engine.dispose()


@pytest.fixture
def empty_url(postgresql_url: str) -> str:
    engine = connect(normal_url(postgresql_url), writes=True)
    store_schema.metadata.drop_all(engine)
    engine.dispose()
    return postgresql_url


def test_who_loses_the_lock_on_postgresql_writes_nothing_until_it_has_it_again(
    empty_url: str,
) -> None:
    with Store(empty_url, settings=QUICK) as store:
        commits = Commits(store)
        assert store.submit(row(0))
        assert commits.wait("n", 1, 0)
        with store._database.lock:  # it does not look meanwhile
            end_connections(empty_url)
            other = Store(empty_url, settings=QUICK)
        assert store.submit(row(1))
        until(lambda: store.health().state is State.BUSY)
        assert commits.acks == {("n", 1): 0}
        other.close()
        assert commits.wait("n", 1, 1)
        assert store.reader.count("n") == 2


def test_tables_that_are_dropped_on_postgresql_are_made_again(empty_url: str) -> None:
    with Store(empty_url, settings=QUICK) as store:
        commits = Commits(store)
        assert store.submit(row(0))
        assert commits.wait("n", 1, 0)
        engine = connect(normal_url(empty_url), writes=True)
        store_schema.metadata.drop_all(engine)
        engine.dispose()
        assert store.submit(row(1, oldest=1))
        assert commits.wait("n", 1, 1)
        assert store.flush()
        assert store.health().ok
        assert "missing" in store.reader.events(kind="store")[0]["text"]


def test_a_file_system_that_fails_for_a_while_does_not_end_the_writer(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network share or a worn card that answers a look at the file with an error of its own."""

    def broken(_descriptor: int, _count: int, _at: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as harmed:
        harmed.setattr("levada.twin.store.place.os.pread", broken)
        assert store.submit(row(10))
        until(lambda: not store.health().ok)
        assert "Input/output error" in store.health().detail
    until(lambda: store.health().ok)
    assert store.flush()
    assert stored(file) == list(range(11))


def test_a_corrupt_file_that_cannot_be_moved_aside_yet_is_tried_again(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def corrupt(_self: Writer, _items: object) -> object:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise DBAPIError("INSERT", None, error)

    def fixed(self: Path, _target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with monkeypatch.context() as harmed:
        harmed.setattr(Writer, "_commit", corrupt)
        harmed.setattr(Path, "rename", fixed)
        assert store.submit(row(10))
        until(lambda: not store.health().ok)
        assert "Permission denied" in store.health().detail
    until(lambda: store.health().ok)
    assert store.flush()
    assert stored(file)[-1] == 10
