"""A store in a file of SQLite: found, checked, locked, and put back when it is taken away.

A corrupt file is moved aside and a new one begun; a file of somebody else's is refused and left as
it is.  A full disk releases a reserve file, because even deleting needs room.

A file that is deleted, renamed, replaced or cut, or loses its log, while it is open is noticed
within a second (`levada.twin.store.place`).  What was stored is read through what is still open and
put under the name again; a file that was moved away is left where it is, and a new one begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection

from levada.twin.errors import StoreBusyError, StoreError, StoreReadOnlyError
from levada.twin.store import schema
from levada.twin.store.database import Database, DisplacedError, LogTooLongError
from levada.twin.store.engine import Content, connect, content, is_sound
from levada.twin.store.place import PRIVATE, Harm, Place, side_files
from levada.twin.store.reserve import Reserve
from levada.twin.store.rows import StoreSettings

__all__ = ["SqliteDatabase"]


class SqliteDatabase(Database):
    """The store in `file`, which `url` names; with `existing` it has to be there, and sound.

    `reserve` is told whether the reserve file is in place.
    """

    file: Path

    def __init__(
        self,
        url: str,
        file: Path,
        settings: StoreSettings,
        *,
        existing: bool,
        reserve: Callable[[bool], None],
    ) -> None:
        super().__init__()
        self.file = file
        self.name = f"store {file}"
        self._settings = settings
        self._reserve = Reserve(file, settings.reserve_bytes)
        self._tell_reserve = reserve
        _examine(file, existing)
        self._lock_file = self._take_lock()
        self._place: Place | None = None
        self._session: Connection | None = None
        """Of all transactions: one from the pool for each costs a tenth of a lone commit."""
        try:
            self._place = Place(file)
            self.engine = connect(url, writes=True, busy_ms=settings.busy_ms)
            self._open(existing)
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> int | None:
        lock = self.file.with_name(self.file.name + ".lock")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except OSError as error:
            raise StoreReadOnlyError(f"{self.name}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StoreBusyError(
                f"{self.name} is in use by another process: end that one, or name another"
            ) from None
        return descriptor

    def _open(self, existing: bool) -> None:
        if not is_sound(self.file):
            if existing:
                raise StoreError(f"{self.name} is damaged: it is left as it is")
            self.moved = self._move_aside()
        schema.migrate(self.engine, file=self.file)
        self._tell_reserve(self._reserve.make())
        assert self._place is not None
        self._place.settle()

    @contextlib.contextmanager
    def _begun(self) -> Iterator[Connection]:
        session = self._session
        if session is None:
            session = self._session = self.engine.connect()
        try:
            with session.begin():
                yield session
        except BaseException:
            self._end_session()
            raise

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _dispose(self) -> None:
        """Close all connections to the file."""
        self._end_session()
        self.engine.dispose()

    def close(self) -> None:
        """Give the file up."""
        if "engine" in vars(self):
            self._dispose()
        if self._place is not None:
            self._place.release()
            self._place = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    # What becomes of the file

    def check(self) -> None:
        """Raises DisplacedError if what is written is not what lies under the name."""
        if self._place is None:
            raise _HarmedError(Harm.GONE, f"{self.file} is not there again yet")
        harm, says = self._place.harm()
        if harm is not Harm.NONE:
            raise _HarmedError(harm, says)

    def recover(self, error: DisplacedError) -> Path | None:
        """Have a store under the name again, or raise what hinders it; what was moved aside."""
        assert isinstance(error, _HarmedError)
        if error.harm is Harm.CUT:
            return self.begin_anew()
        with self.lock:
            self._put_back(error.harm)
        return None

    def begin_anew(self) -> Path:
        """Move what is corrupt aside, or raise what hinders it; where it lies."""
        with self.lock:
            moved = self._move_aside()
            self.drop_readers()
            self._settle()
        return moved

    def _move_aside(self) -> Path:
        self._dispose()
        target = self._aside("corrupt")
        if self._place is not None:
            self._place.release()
            self._place = None
        for part in (self.file, *side_files(self.file)):
            if part.exists():
                part.rename(target.with_name(target.name + part.name[len(self.file.name) :]))
        self._place = Place(self.file)
        return target

    def _aside(self, why: str) -> Path:
        """A new name beside the file."""
        stamp = time.strftime("%Y%m%dT%H%M%S")
        target = self.file.with_name(f"{self.file.name}.{why}-{stamp}")
        while target.exists():
            target = target.with_name(target.name + "x")
        return target

    def _put_back(self, harm: Harm) -> None:
        """After `harm`, take what lies under the name, or put there what was stored."""
        place = self._place
        if place is None:  # an attempt before this one got no further
            place = self._place = Place(self.file)
        if not self.file.parent.is_dir():
            if not place.deleted:
                raise StoreError(f"folder {self.file.parent} is gone; bring it back")
            self.file.parent.mkdir(parents=True)
        place.move_log()
        if harm is Harm.GONE:
            place.drop_sides()
        found = content(self.file) if harm is Harm.GONE else Content.NOTHING
        if found is Content.FOREIGN:
            raise StoreError("it is no store of levada, and left as it is")
        copy = place.rescue() if harm is Harm.LOG_GONE or place.deleted else None
        self._dispose()
        self.drop_readers()
        place.release()
        self._place = None
        if found is Content.NOTHING:
            for side in side_files(self.file):
                side.unlink(missing_ok=True)
            if copy is not None:
                copy.replace(self.file)
        elif copy is not None:
            copy.rename(self._aside("before"))
        self._place = Place(self.file)
        self._settle()

    def _settle(self) -> None:
        """Open what lies under the name."""
        assert self._place is not None
        schema.migrate(self.engine, file=self.file)
        self._place.settle()
        self.sessions += 1

    # Room

    def room(self) -> bool:
        """Whether a full disk has room again: for the reserve and as much beside it."""
        if not self._settings.reserve_bytes:
            return True
        made = self._reserve.make()
        self._tell_reserve(made)
        return made

    def make_room(self) -> None:
        """The disk is full: give the reserve back."""
        self._reserve.release()
        self._tell_reserve(False)

    # The log

    def check_log(self) -> None:
        """Raises LogTooLongError if a reader that never ends keeps the log from being cut."""
        most = self._settings.log_bytes
        if self._log_bytes() <= most:
            return
        self.cut_log()
        size = self._log_bytes()
        if size > most:
            raise LogTooLongError(
                f"write-ahead log has {size} bytes: at most {most}; "
                "some program has been reading for too long"
            )

    def _log_bytes(self) -> int:
        try:
            return side_files(self.file)[0].stat().st_size
        except FileNotFoundError:
            return 0

    def cut_log(self) -> None:
        """Move the write-ahead log into the file, as far as readers permit, and cut it."""
        self._maintain("PRAGMA wal_checkpoint(TRUNCATE);")

    def give_back(self) -> None:
        """Hand free pages back to the file system."""
        checkpoint = "PRAGMA wal_checkpoint(TRUNCATE);"
        self._maintain(f"{checkpoint} PRAGMA incremental_vacuum(1000); {checkpoint}")

    def _maintain(self, script: str) -> None:
        with self.lock, self.engine.connect() as connection:
            if self._place is None or self._place.harm()[0] is not Harm.NONE:
                return
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.execute("PRAGMA busy_timeout = 100")
            # readers or a full disk may keep it from being done; there will be another time
            with contextlib.suppress(sqlite3.OperationalError):
                raw.executescript(script)
            self._place.harm()  # remembers how long the file is now
            raw.execute(f"PRAGMA busy_timeout = {self._settings.busy_ms}")


def _examine(file: Path, existing: bool) -> None:
    """Refuse what is no store, before anything is made beside it."""
    if not file.exists():
        found = Content.NOTHING
    elif not os.access(file, os.R_OK | os.W_OK):
        raise StoreReadOnlyError(f"store {file}: cannot be written (check its owner)")
    else:
        found = content(file)
    if found is Content.FOREIGN or (existing and found is Content.NOTHING):
        raise StoreError(f"{file} is no store of levada: it is left as it is")


class _HarmedError(DisplacedError):
    def __init__(self, harm: Harm, says: str) -> None:
        super().__init__(says)
        self.harm = harm
