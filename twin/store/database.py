"""A database that this process alone writes: what both kinds have in common.

`levada.twin.store.sqlite_database` and `levada.twin.store.postgres_database` are the two kinds.
Each holds a lock that goes with what is written, and looks, before a transaction and after it,
whether that is still what lies under the name.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from levada.guest.lifecycle import Closing
from levada.twin.errors import StoreBusyError, StoreError, StoreFullError, StoreReadOnlyError
from levada.twin.store import schema
from levada.twin.store.engine import classify, first_line
from levada.twin.store.health import State
from levada.twin.store.turns import Turns

__all__ = ["Database", "DisplacedError", "LogTooLongError"]


class DisplacedError(Exception):
    """What is written is not what lies under the name."""


class LogTooLongError(Exception):
    """A reader that never ends keeps the write-ahead log from being cut."""


class Database(Closing):
    """Opened, locked and of the present version."""

    engine: Engine
    name: str
    """For sentences."""
    file: Path | None = None
    """Of SQLite."""
    moved: Path | None = None
    """Where a corrupt file was moved to when this was opened."""

    def __init__(self) -> None:
        self.lock = Turns()
        """Of whoever writes."""
        self.sessions = 0
        """Rises when somebody else may have written since the last transaction."""
        self.drop_readers: Callable[[], None] = lambda: None
        """Lets go of the connections that only read."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction between two looks at what is written.

        Raises DisplacedError, OSError, DBAPIError or StoreError if it fails, or may have.
        """
        with self.lock:
            self.check()
            with self._begun() as connection:
                yield connection
            self.check()

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection

    @abstractmethod
    def check(self) -> None:
        """Raises DisplacedError if what is written is not what lies under the name."""

    def watch(self) -> None:
        """Look while nothing is written; raises what `transaction` does."""
        with self.lock:
            self.check()

    def room(self) -> bool:
        """Whether a full disk has room again."""
        return True

    def make_room(self) -> None:
        """The disk is full: give back what was kept for that."""

    def check_log(self) -> None:
        """Raises LogTooLongError."""

    def cut_log(self) -> None:
        """Move the write-ahead log into the file, as far as readers permit, and cut it."""

    def give_back(self) -> None:
        """Hand free pages back to the file system."""

    @abstractmethod
    def recover(self, error: DisplacedError) -> Path | None:
        """Have a store under the name again, or raise what hinders it; what was moved aside."""

    def begin_anew(self) -> Path:
        """Move what is corrupt aside, or raise what hinders it; where it lies."""
        raise StoreError(f"{self.name} is damaged: bring back a backup")

    def make_tables(self) -> None:
        """Somebody has removed tables: begin them again.  StoreError if a part of them is there."""
        with self.lock:
            schema.make_missing(self.engine)

    def error(self, error: DBAPIError) -> StoreError:
        """What a database error is for those who asked for something."""
        state = self.state(error)
        kinds = {
            State.FULL: StoreFullError,
            State.BUSY: StoreBusyError,
            State.READ_ONLY: StoreReadOnlyError,
            State.DENIED: StoreReadOnlyError,
        }
        kind = kinds.get(state, StoreError) if state else StoreError
        return kind(f"{self.name}: {first_line(error)}")

    def state(self, error: DBAPIError) -> State | None:
        """What a database error means for the store; None: the statement or its data were wrong."""
        return classify(error, self.file)
