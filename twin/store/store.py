"""The store: what came from the field, kept so that an acknowledged message is there exactly once.

Network threads hand rows over with `submit`; one writer thread commits them in groups (at most 50
rows or 100 ms) and only then tells its listeners, which acknowledge.  Reading happens elsewhere
(`levada.twin.store.reads`) and never waits for the writer.

When the database cannot be written, the writer keeps its group, says so in `health()` and tries
again; meanwhile the queue fills, `submit` refuses, nothing is acknowledged, and the devices keep
what they have.  A corrupt file is moved aside and a new one begun; a file of somebody else's is
refused and left as it is.  A full disk releases a reserve file, because even deleting needs room.

A file that is deleted, renamed, replaced or cut, or loses its log, while it is open is noticed
within a second (`levada.twin.store.place`), and nothing is acknowledged any more.  What was stored
is read through what is still open and put under the name again; a file that was moved away is left
where it is, and a new one begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import DBAPIError

from levada.guest.lifecycle import Closing
from levada.guest.text.logs import LimitedLog
from levada.twin.errors import StoreBusyError, StoreError, StoreFullError, StoreReadOnlyError
from levada.twin.store import schema
from levada.twin.store.commit import Known, Work, clean, make_node, new_id
from levada.twin.store.engine import (
    Content,
    classify,
    connect,
    content,
    database_file,
    first_line,
    free_bytes,
    is_sound,
    normal_url,
)
from levada.twin.store.health import Health, Refusal, State, Vitals
from levada.twin.store.place import PRIVATE, Harm, Place, side_files
from levada.twin.store.reads import StoreReader
from levada.twin.store.rows import Commit, Event, Item, StoreSettings

__all__ = ["Store"]

_log = logging.getLogger(__name__)

_WATCH_S: Final = 1.0
"""Between two looks at the names of the files, while nothing is written."""


class _Flush:
    def __init__(self) -> None:
        self.done = threading.Event()


_Queued = Item | _Flush | None
_HINDRANCES: Final = (StoreError, DBAPIError, sqlite3.Error, OSError)
"""What may keep a store from being opened, moved or put back, for now."""


class Store(Closing):
    """One store, written by this process alone.

    `where` is a file or a URL (`postgresql://...`).  `clock_ms` gives the time in which the field
    lives, which in a simulation is virtual.  With `existing` nothing is begun anew: the store has
    to be there, and sound.  Raises StoreError if the store cannot be opened.
    """

    def __init__(
        self,
        where: str | Path,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        settings: StoreSettings | None = None,
        existing: bool = False,
    ) -> None:
        self.url = normal_url(where)
        self.file = database_file(self.url)
        self.settings = settings or StoreSettings()
        self._clock_ms = clock_ms
        self._queue: queue.Queue[_Queued] = queue.Queue(self.settings.queue_rows)
        self._listeners: list[Callable[[Commit], None]] = []
        self._vitals = Vitals(self.settings.queue_rows)
        self._write_lock = threading.Lock()
        self._closing = threading.Event()
        self._said = LimitedLog(_log)
        self._existing = existing
        self._examine()
        self._place: Place | None = None
        self._lock_file = self._take_lock()
        if self.file is not None:
            self._place = self._take_place(self.file)
        self._engine = connect(self.url, writes=True, busy_ms=self.settings.busy_ms)
        self._advisory: Connection | None = None
        try:
            self._advisory = self._take_advisory_lock()
            moved = self._open()
            if self._place is not None:
                self._place.settle()
        except BaseException as error:
            self._release_all()
            if isinstance(error, DBAPIError):
                raise self._open_error(error) from None
            raise
        self.reader = StoreReader(self.url)
        self._forget()
        self._writer = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._writer.start()
        if moved is not None:
            self._tell_moved(moved)

    # -- network side --------------------------------------------------------------------------

    def submit(self, item: Item) -> bool:
        """Hand `item` to the writer; False if too much waits already.  Never blocks."""
        if self._closing.is_set():
            self._vitals.refuse(item.node, Refusal.CLOSED)
            return False
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._vitals.refuse(item.node, Refusal.QUEUE)
            return False
        return True

    def listen(self, listener: Callable[[Commit], None]) -> None:
        """Call `listener` after every commit of rows, in the writer's thread; it must not block."""
        self._listeners.append(listener)

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until all that was submitted before is committed; False if it takes too long."""
        marker = _Flush()
        try:
            self._queue.put(marker, timeout=timeout_s)
        except queue.Full:
            return False
        return marker.done.wait(timeout_s)

    def health(self) -> Health:
        """How the store is now."""
        return self._vitals.look(waiting=self._queue.qsize(), writer=self._writer.is_alive())

    def now_ms(self) -> int:
        """Time in which the field lives [ms since 1970]."""
        return self._clock_ms()

    def close(self, timeout_s: float = 10.0) -> None:
        """Commit what waits (if the database lets us) and release everything."""
        if self._closing.is_set():
            return
        deadline = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            self._closing.set()
        if self._vitals.state is not State.OK:
            self._closing.set()  # the writer is waiting for a database that may never come back
        self._writer.join(max(0.0, deadline - time.monotonic()))
        self._closing.set()
        self._writer.join(timeout_s)
        self.reader.close()
        self._release_all()

    # -- small writes, done at once in the caller's thread -------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of its own, between two of the writer; StoreError if it fails."""
        try:
            with self._write_lock:
                self._check_place()
                with self._engine.begin() as connection:
                    yield connection
                self._check_place()
        except DBAPIError as error:
            raise self._open_error(error) from None
        except (_DisplacedError, OSError) as error:
            raise StoreError(f"store: {error}") from None

    def node_id(self, node: str) -> int:
        """Row of `node`, made if it is new."""
        known = self._known.node_ids.get(node)
        if known is not None:
            return known
        with self.transaction() as connection:
            return make_node(connection, node, self._clock_ms())

    def request_calibration(
        self,
        node: str,
        request_id: str,
        changes: Mapping[str, tuple[int | None, int]],
        *,
        who: str,
        expires_ms: int | None = None,
    ) -> None:
        """Note that `who` wants parameters changed: name -> (value before, value wanted)."""
        node_id = self.node_id(node)
        now = self._clock_ms()
        rows = [
            {
                "request_id": request_id,
                "node_id": node_id,
                "parameter": name,
                "time_ms": now,
                "who": clean(who),
                "old_value": old,
                "new_value": new,
                "expires_ms": expires_ms,
                "state": "wanted",
            }
            for name, (old, new) in changes.items()
        ]
        with self.transaction() as connection:
            connection.execute(insert(schema.calibrations), rows)

    def settle_calibration(
        self,
        request_id: str,
        *,
        state: Literal["in force", "refused", "expired", "unanswered"],
        before: Mapping[str, int] | None = None,
        values: Mapping[str, int] | None = None,
        reason: str = "",
    ) -> None:
        """Note what became of a request; `values` are those read back from the guest.

        `before` are those that it replaced, if others were in force when it was wanted.
        """
        table = schema.calibrations
        mine = table.c.request_id == request_id
        with self.transaction() as connection:
            connection.execute(
                update(table)
                .where(mine)
                .values(state=state, reason=clean(reason), settled_ms=self._clock_ms())
            )
            for column, found in ((table.c.read_back, values), (table.c.old_value, before)):
                for name, value in (found or {}).items():
                    connection.execute(
                        update(table).where(mine, table.c.parameter == name).values({column: value})
                    )

    def cut_log(self) -> None:
        """Move the write-ahead log into the file, as far as readers permit, and cut it."""
        self._maintain("PRAGMA wal_checkpoint(TRUNCATE);")

    def give_back(self) -> None:
        """Hand free pages back to the file system (PostgreSQL does so by itself)."""
        checkpoint = "PRAGMA wal_checkpoint(TRUNCATE);"
        self._maintain(f"{checkpoint} PRAGMA incremental_vacuum(1000); {checkpoint}")

    def _maintain(self, script: str) -> None:
        if self.file is None:
            return
        with self._write_lock, self._engine.connect() as connection:
            if self._place is None or self._place.harm()[0] is not Harm.NONE:
                return
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.execute("PRAGMA busy_timeout = 100")
            # readers or a full disk may keep it from being done; there will be another time
            with contextlib.suppress(sqlite3.OperationalError):
                raw.executescript(script)
            self._place.harm()  # remembers how long the file is now
            raw.execute(f"PRAGMA busy_timeout = {self.settings.busy_ms}")

    def begin_run(
        self,
        name: str,
        mode: Literal["hil", "shadow", "replay"],
        *,
        guest_sha256: str,
        scenario: str,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Note that the twin starts; the number of the run."""
        with self.transaction() as connection:
            result = connection.execute(
                insert(schema.runs).values(
                    name=name,
                    mode=mode,
                    started_ms=self._clock_ms(),
                    guest_sha256=guest_sha256,
                    scenario=scenario,
                    detail=json.dumps(dict(detail or {})),
                )
            )
            return new_id(result.inserted_primary_key)

    def end_run(self, run: int) -> None:
        """Note that a run has ended."""
        with self.transaction() as connection:
            connection.execute(
                update(schema.runs).where(schema.runs.c.id == run).values(ended_ms=self._clock_ms())
            )

    # -- opening -------------------------------------------------------------------------------

    def _examine(self) -> None:
        """Refuse what is no store, before anything is made beside it."""
        if self.file is None or not self.file.exists():
            found = Content.NOTHING
        elif not os.access(self.file, os.R_OK | os.W_OK):
            raise StoreReadOnlyError(f"store {self.file}: cannot be written (check its owner)")
        else:
            found = content(self.file)
        needed = self._existing and self.file is not None
        if found is Content.FOREIGN or (needed and found is Content.NOTHING):
            raise StoreError(f"{self.file} is no store of levada: it is left as it is")

    def _take_lock(self) -> int | None:
        if self.file is None:
            return None
        lock = self.file.with_name(self.file.name + ".lock")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except OSError as error:
            raise StoreReadOnlyError(f"store {self.file}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StoreBusyError(
                f"store {self.file} is in use by another process: end that one, or name another"
            ) from None
        return descriptor

    def _release_all(self) -> None:
        if self._advisory is not None:
            self._advisory.close()
        self._engine.dispose()
        if self._place is not None:
            self._place.release()
            self._place = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _take_place(self, file: Path) -> Place:
        try:
            return Place(file)
        except StoreError:
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None
            raise

    def _take_advisory_lock(self) -> Connection | None:
        if self.file is not None:
            return None
        connection = self._engine.connect()
        key = 0x6C6576616461  # "levada"
        if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            connection.commit()
            return connection
        connection.close()
        raise StoreBusyError("the store on PostgreSQL is in use by another process: end that one")

    def _open(self) -> Path | None:
        """Check, migrate, reserve; where a corrupt file was moved to, if it was."""
        moved = None
        if self.file is not None and not is_sound(self.file):
            if self._existing:
                raise StoreError(f"store {self.file} is damaged: it is left as it is")
            moved = self._move_aside()
        if self._existing and self.file is None:
            with self._engine.connect() as connection:
                if not schema.stored_version(connection):
                    raise StoreError("the database on PostgreSQL holds no store of levada")
        schema.migrate(self._engine, file=self.file)
        if self.file is not None:
            self._vitals.note(reserve=self._make_reserve())
        return moved

    def _move_aside(self) -> Path:
        assert self.file is not None
        self._engine.dispose()
        target = self._aside("corrupt")
        if self._place is not None:
            self._place.release()
            self._place = None
        for ending in ("", "-wal", "-shm"):
            part = self.file.with_name(self.file.name + ending)
            if part.exists():
                part.rename(target.with_name(target.name + ending))
        self._place = Place(self.file)
        return target

    def _aside(self, why: str) -> Path:
        """A new name beside the file."""
        assert self.file is not None
        stamp = time.strftime("%Y%m%dT%H%M%S")
        target = self.file.with_name(f"{self.file.name}.{why}-{stamp}")
        while target.exists():
            target = target.with_name(target.name + "x")
        return target

    def _tell_moved(self, moved: Path) -> None:
        message = f"store {self.file} was corrupt: moved to {moved.name}, a new one begun"
        _log.error("%s", message)
        self._vitals.note(moved_aside=str(moved))
        self.submit(Event(kind="store", severity="error", text=message, time_ms=self._clock_ms()))

    def _make_reserve(self) -> bool:
        if self.file is None or not self.settings.reserve_bytes:
            return True
        reserve = self.file.with_name(self.file.name + ".reserve")
        if reserve.exists() and reserve.stat().st_size == self.settings.reserve_bytes:
            return True
        if free_bytes(self.file) < 2 * self.settings.reserve_bytes:
            return False
        reserve.unlink(missing_ok=True)
        try:
            with open(
                os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb"
            ) as file:
                os.posix_fallocate(file.fileno(), 0, self.settings.reserve_bytes)
        except OSError:  # a quota, which the file system does not tell of
            reserve.unlink(missing_ok=True)
            return False
        return True

    def _release_reserve(self) -> None:
        if self.file is not None:
            self.file.with_name(self.file.name + ".reserve").unlink(missing_ok=True)
            self._vitals.note(reserve=False)

    def _open_error(self, error: DBAPIError) -> StoreError:
        state = classify(error, self.file)
        kinds = {
            State.FULL: StoreFullError,
            State.BUSY: StoreBusyError,
            State.READ_ONLY: StoreReadOnlyError,
        }
        where = self.file or "on PostgreSQL"
        kind = kinds.get(state, StoreError) if state else StoreError
        return kind(f"store {where}: {first_line(error)}")

    # -- the writer ----------------------------------------------------------------------------

    def _forget(self) -> None:
        """Forget what is known of the database; it is read again when needed."""
        self._known = Known()

    def _write(self) -> None:
        try:
            self._write_groups()
        except Exception as error:  # noqa: BLE001 - a fault of ours; silence would look like health
            self._vitals.become(State.ENDED, f"the writer has ended: {error!r}", self._clock_ms())
            self._closing.set()
            _log.exception("writer of the store ended")

    def _write_groups(self) -> None:
        while True:
            item = self._next_item()
            group = [item]
            deadline = time.monotonic() + self.settings.group_ms / 1000
            while len(group) < self.settings.group_rows and not isinstance(group[-1], _Flush):
                if group[-1] is None:
                    break
                try:
                    remaining = max(0.0, deadline - time.monotonic())
                    group.append(self._queue.get(timeout=remaining))
                except queue.Empty:
                    break
            stop = group[-1] is None
            items = [i for i in group if isinstance(i, Item)]
            self._vitals.begin()
            committed = self._commit_until_done(items) if items else True
            self._vitals.rest()
            if committed and isinstance(group[-1], _Flush):
                group[-1].done.set()
            if stop or self._closing.is_set():
                return

    def _next_item(self) -> _Queued:
        """The next item; meanwhile the place of the store is watched."""
        while True:
            try:
                return self._queue.get(timeout=_WATCH_S)
            except queue.Empty:
                if self._closing.is_set():
                    return None
            self._vitals.begin()
            try:
                with self._write_lock:
                    self._check_place()
            except _DisplacedError as error:
                self._recover(error)
            except (StoreError, OSError) as error:
                self._in_trouble(_state_of(error), str(error))
            except DBAPIError as error:
                self._in_trouble(classify(error, self.file) or State.FAILED, first_line(error))
            else:
                self._well()
            self._vitals.rest()

    def _check_place(self) -> None:
        """Raises _DisplacedError if what is written is not what lies under the name."""
        if self.file is None:
            self._check_advisory_lock()
            return
        if self._place is None:
            raise _DisplacedError(Harm.GONE, f"{self.file} is not there again yet")
        harm, says = self._place.harm()
        if harm is not Harm.NONE:
            raise _DisplacedError(harm, says)

    def _check_advisory_lock(self) -> None:
        """The lock on PostgreSQL goes with its connection; who lost it writes nothing more until it
        has it again."""
        if self._advisory is not None:
            try:
                self._advisory.execute(text("SELECT 1"))
                self._advisory.commit()
            except DBAPIError:
                self._advisory.invalidate()
                self._advisory.close()
                self._advisory = None
            else:
                return
        self._advisory = self._take_advisory_lock()

    def _recover(self, error: _DisplacedError) -> None:
        """Have a store under the name again, if that can be done now."""
        if self._vitals.state is not State.MISSING:
            self._in_trouble(State.MISSING, str(error))
        try:
            with self._write_lock:
                if error.harm is Harm.CUT:
                    moved = self._begin_anew()
                else:
                    moved = None
                    self._put_back(error.harm)
        except _HINDRANCES as hindrance:
            self._in_trouble(State.MISSING, f"{error}; {_said(hindrance)}")
            return
        if moved is not None:
            self._tell_moved(moved)

    def _put_back(self, harm: Harm) -> None:
        """After `harm`, take what lies under the name, or put there what was stored."""
        place = self._place
        assert self.file is not None
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
        self._engine.dispose()
        self.reader.renew()
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
        schema.migrate(self._engine, file=self.file)
        self._place.settle()
        self._forget()

    def _commit_until_done(self, items: Sequence[Item]) -> bool:
        """Commit `items`, waiting for the database as long as it takes; False at the end of it."""
        conflicts = 0
        while True:
            try:
                self._check_log()
                commit = self._commit(items)
            except _DisplacedError as error:
                self._recover(error)
            except (StoreError, OSError) as error:
                self._in_trouble(_state_of(error), str(error))
            except DBAPIError as error:
                state = classify(error, self.file)
                if state is State.CONFLICT and conflicts < 3:
                    conflicts += 1
                    self._forget()
                    continue
                if state in (None, State.CONFLICT):
                    return self._commit_singly(items, first_line(error))
                assert state is not None
                self._forget()  # the transaction may have made nodes or series
                says = first_line(error)
                if state is State.CORRUPT and self.file is not None:
                    hindrance = self._replace_corrupt()
                    if not hindrance:
                        continue
                    says = f"{says}; it cannot be moved aside: {hindrance}"
                self._in_trouble(state, says)
                if state is State.MISSING:
                    self._make_tables()
            except _LogTooLongError as error:
                self._in_trouble(State.LOG_TOO_LONG, str(error))
            except (ArithmeticError, TypeError, ValueError) as error:
                # what cannot be written in a database or as JSON: that item, not the writer, ends
                return self._commit_singly(items, str(error))
            else:
                self._well()
                self._announce(commit)
                return True
            if self._closing.wait(self.settings.retry_ms / 1000):
                return False
            while self._vitals.state is State.FULL and not self._room():
                if self._closing.wait(self.settings.retry_ms / 1000):
                    return False

    def _make_tables(self) -> None:
        """Somebody has removed tables: a new store is begun in what is left."""
        try:
            with self._write_lock:
                schema.metadata.create_all(self._engine)
                schema.migrate(self._engine, file=self.file)
        except (StoreError, DBAPIError) as error:
            self._in_trouble(State.MISSING, str(error))

    def _commit_singly(self, items: Sequence[Item], why: str) -> bool:
        """One of `items` is refused by the database itself; find it, and keep the others."""
        self._forget()
        if len(items) > 1:
            return all([self._commit_until_done([item]) for item in items])
        self._said.warning("store refused %s: %s", type(items[0]).__name__, why)
        self._vitals.refuse(items[0].node, Refusal.DATABASE)
        return True

    def _in_trouble(self, state: State, detail: str) -> None:
        if state is State.FULL:
            self._release_reserve()
        before, _, _ = self._vitals.become(state, detail, self._clock_ms())
        if before is not state:
            _log.error(
                "store %s: %s; nothing is acknowledged until it is well again", state, detail
            )

    def _well(self) -> None:
        was, detail, since_ms = self._vitals.become(State.OK, "", self._clock_ms())
        if was is State.OK:
            return
        _log.warning("store is well again (was %s)", was)
        self.submit(
            Event(
                kind="store",
                severity="warning",
                text=f"store could not be written ({was}): {detail}",
                time_ms=self._clock_ms(),
                evidence={"state": was, "since_ms": since_ms},
            )
        )

    def _room(self) -> bool:
        """Whether a full disk has room again: for the reserve and as much beside it."""
        if self.file is None or not self.settings.reserve_bytes:
            return True
        made = self._make_reserve()
        self._vitals.note(reserve=made)
        return made

    def _check_log(self) -> None:
        """A reader that never ends keeps the write-ahead log from being cut."""
        if self.file is None:
            return
        log = self.file.with_name(self.file.name + "-wal")
        try:
            size = log.stat().st_size
        except FileNotFoundError:
            return
        if size <= self.settings.log_bytes:
            return
        self.cut_log()
        size = log.stat().st_size
        if size > self.settings.log_bytes:
            raise _LogTooLongError(
                f"write-ahead log has {size} bytes: at most {self.settings.log_bytes}; "
                "some program has been reading for too long"
            )

    def _replace_corrupt(self) -> str:
        """Begin a new store in place of a corrupt one; what hinders it, if that cannot be done."""
        try:
            with self._write_lock:
                moved = self._begin_anew()
        except _HINDRANCES as hindrance:
            return _said(hindrance)
        self._tell_moved(moved)
        return ""

    def _begin_anew(self) -> Path:
        moved = self._move_aside()
        self.reader.renew()
        self._settle()
        return moved

    def _announce(self, commit: Commit) -> None:
        if not commit.acks:
            return
        for listener in self._listeners:
            try:
                listener(commit)
            except Exception:  # noqa: BLE001 - a listener must not end the writer
                _log.exception("listener of the store failed")

    # -- one transaction -----------------------------------------------------------------------

    def _commit(self, items: Sequence[Item]) -> Commit:
        with self._write_lock:
            self._check_place()
            with self._engine.begin() as connection:
                work = Work(self._known, connection, self.settings, self._clock_ms())
                for item in items:
                    work.take(item)
                work.write()
            self._check_place()
        self._known.learn(work)
        for (node, reason), rows in work.refused.items():
            self._vitals.refuse(node, reason, rows)
        self._vitals.commit(len(work.telemetry), work.duplicates, work.left_out)
        return work.commit()


class _LogTooLongError(Exception):
    pass


class _DisplacedError(Exception):
    def __init__(self, harm: Harm, says: str) -> None:
        super().__init__(says)
        self.harm = harm


def _state_of(error: StoreError | OSError) -> State:
    return State.BUSY if isinstance(error, StoreBusyError) else State.FAILED


def _said(hindrance: Exception) -> str:
    return first_line(hindrance) if isinstance(hindrance, DBAPIError) else str(hindrance)
