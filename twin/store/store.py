"""The store: what came from the field, kept so that an acknowledged message is there exactly once.

Network threads hand rows over with `submit`; one writer thread (`levada.twin.store.writer`) commits
what came while the commit before was made (at most 50 rows of the field), and only then tells its
listeners, which acknowledge.  Reading happens elsewhere (`levada.twin.store.reads`) and never waits
for the writer.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import DBAPIError

from levada.guest.lifecycle import Closing
from levada.twin.errors import StoreError
from levada.twin.store import schema
from levada.twin.store.commit import clean, make_node, new_id
from levada.twin.store.database import Database, DisplacedError
from levada.twin.store.engine import database_file, normal_url
from levada.twin.store.health import Health, Refusal, Vitals
from levada.twin.store.intake import Intake
from levada.twin.store.postgres_database import PostgresDatabase
from levada.twin.store.reads import StoreReader
from levada.twin.store.rows import Commit, Item, Row, StoreSettings
from levada.twin.store.sqlite_database import SqliteDatabase
from levada.twin.store.writer import Writer

__all__ = ["Store"]

T = TypeVar("T")
_FAILURES: Final = 5
"""As often a database that is well may fail to answer: it may have gone, unnoticed yet."""


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
        self._closed = threading.Event()
        self._vitals = Vitals(self.settings.queue_rows)
        self._database = self._open(existing)
        self.reader = StoreReader(self.url)
        self._database.drop_readers = self.reader.renew
        self._intake = Intake(self.settings)
        self._writer = Writer(
            self._database, self._intake, self._vitals, self.settings, self._clock_ms
        )
        if self._database.moved is not None:
            self._writer.tell_moved(self._database.moved)

    def _open(self, existing: bool) -> Database:
        if self.file is None:
            return PostgresDatabase(self.url, self.settings, existing=existing)
        return SqliteDatabase(
            self.url,
            self.file,
            self.settings,
            existing=existing,
            reserve=lambda there: self._vitals.note(reserve=there),
        )

    # What comes, and what is told of it

    def submit(self, item: Item) -> bool:
        """Hand `item` to the writer; False if too much waits already.  Never blocks."""
        if self.offer(item, 0.0):
            return True
        reason = Refusal.CLOSED if self._is_closed else Refusal.QUEUE
        number = (item.boot, item.seq) if isinstance(item, Row) else None
        self._vitals.refuse(item.node, reason, number=number)
        return False

    def offer(self, item: Item, timeout_s: float) -> bool:
        """Hand `item` over as soon as there is room; False if there is none within the time, which
        is no refusal: whoever offers does it again."""
        return not self._is_closed and self._intake.put(item, timeout_s)

    @property
    def _is_closed(self) -> bool:
        return self._closed.is_set() or self._writer.closing.is_set()

    def listen(self, listener: Callable[[Commit], None]) -> None:
        """Call `listener` after every commit of rows, in the writer's thread; it must not block."""
        self._writer.listeners.append(listener)

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Wait until all that was submitted before is committed; False if it takes too long."""
        return self._intake.flush(timeout_s)

    def health(self) -> Health:
        """How the store is now."""
        waiting, of_twin = self._intake.waiting()
        return self._vitals.look(waiting=waiting, twin_waiting=of_twin, writer=self._writer.alive)

    def patiently(self, do: Callable[[], T], give_up: threading.Event | None = None) -> T:
        """What `do` returns, which asks the database; while that is away, it is asked again.

        Raises StoreError if `do` fails though the database is well, or when to `give_up`.
        """
        failed = 0
        while True:
            try:
                return do()
            except DBAPIError as error:
                said, away = self._database.error(error), self._database.state(error) is not None
            except StoreError as error:
                said, away = error, False
            failed = 0 if away or not self.health().ok else failed + 1
            if failed >= _FAILURES or (give_up is not None and give_up.is_set()):
                raise said
            self._closed.wait(self.settings.retry_ms / 1000)

    def now_ms(self) -> int:
        """Time in which the field lives [ms since 1970]."""
        return self._clock_ms()

    def close(self, timeout_s: float = 10.0) -> None:
        """Commit what waits (if the database lets us) and release everything."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._writer.close(timeout_s)
        self.reader.close()
        self._database.close()

    # Room

    def cut_log(self) -> None:
        """Move the write-ahead log into the file, as far as readers permit, and cut it."""
        self._database.cut_log()

    def give_back(self) -> None:
        """Hand free pages back to the file system (PostgreSQL does so by itself)."""
        self._database.give_back()

    # Small writes, done at once in the caller's thread

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of its own, between two of the writer; StoreError if it fails."""
        try:
            with self._database.transaction() as connection:
                yield connection
        except DBAPIError as error:
            raise self._database.error(error) from None
        except (DisplacedError, OSError) as error:
            raise StoreError(f"store: {error}") from None

    def node_id(self, node: str) -> int:
        """Row of `node`, made if it is new."""
        known = self._writer.node_id(node)
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
