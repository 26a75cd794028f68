"""The files of a store on SQLite, held by what they are and not only by their names.

A file that is open can be deleted, renamed or replaced, and its log with it; writing goes on and
reaches nobody.  So the writer compares the names with what it holds, before and after every commit
and every second.  It holds a lock on the database file itself, so that nobody else becomes a writer
of it by removing what lies beside it, and a connection of its own, through which what was stored
can still be read after the names are gone.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
from contextlib import closing, suppress
from enum import Enum, auto
from pathlib import Path
from typing import Final, Literal

from levada.twin.errors import StoreBusyError, StoreReadOnlyError

__all__ = ["PRIVATE", "Harm", "Place", "side_files", "uri"]

PRIVATE: Final = 0o600
"""Mode of new files: what a field and its people do is nobody else's business."""
_SIDES: Final = ("-wal", "-shm")
_MAGIC: Final = b"SQLite format 3\0"
_HEAD: Final = struct.Struct(">H6xII")
"""Behind the magic: bytes of a page, change counter, pages."""
_HEAD_BYTES: Final = 100
_held: set[tuple[int, int]] = set()
"""Files that this process holds; to open and close one again would take SQLite's locks away."""


class Harm(Enum):
    """What has happened to the files."""

    NONE = auto()
    GONE = auto()
    """Nothing, or another file, lies under the name."""
    LOG_GONE = auto()
    """The write-ahead log or its index is not the one that is written."""
    CUT = auto()
    """The database file has been cut or overwritten."""


def uri(file: Path, mode: Literal["rwc", "rw", "ro"]) -> str:
    """How SQLite is to open a file; only with `rwc` is it made.

    To read, a log is looked at only if there is one: to look for it would leave an empty one.
    """
    alone = mode == "ro" and not file.with_name(file.name + "-wal").exists()
    return f"{file.absolute().as_uri()}?mode={mode}{'&immutable=1' if alone else ''}"


def side_files(file: Path) -> list[Path]:
    """Write-ahead log and its index."""
    return [file.with_name(file.name + ending) for ending in _SIDES]


class Place:
    """The database `file`, made if it is not there, and locked.

    Raises StoreBusyError if another writer has it, StoreReadOnlyError if it cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        with suppress(OSError):
            if _identity(os.stat(file)) in _held:
                raise self._busy()
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except OSError as error:
            raise StoreReadOnlyError(f"store {file}: {error.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise self._busy() from None
        self._held = _identity(os.fstat(self._descriptor))
        _held.add(self._held)
        self._anchor: sqlite3.Connection | None = None
        self._sides: dict[Path, tuple[int, int]] = {}
        self._changes = -1
        self._size = 0

    def settle(self) -> None:
        """The database is open: from now on its log and its header are watched, too."""
        anchor = sqlite3.connect(
            uri(self.file, "rw"), uri=True, check_same_thread=False, isolation_level=None
        )
        anchor.execute("SELECT count(*) FROM sqlite_master").fetchall()  # opens log and index
        self._anchor = anchor
        self._sides = {side: _identity(os.stat(side)) for side in side_files(self.file)}
        self._changes = 0
        self._size = os.fstat(self._descriptor).st_size

    def harm(self) -> tuple[Harm, str]:
        """What has happened to the files, and a sentence that says so."""
        try:
            found = os.stat(self.file)
        except OSError as error:
            return Harm.GONE, f"{self.file} is gone ({error.strerror})"
        if _identity(found) != self._held:
            return Harm.GONE, f"{self.file} has been replaced by another file"
        if self._is_cut(found.st_size):
            return Harm.CUT, f"{self.file} has been cut or overwritten"
        for side, held in self._sides.items():
            try:
                same = _identity(os.stat(side)) == held
            except OSError:
                same = False
            if not same:
                return Harm.LOG_GONE, f"{side} has been removed or replaced"
        return Harm.NONE, ""

    def _is_cut(self, size: int) -> bool:
        """By the header of the file (https://sqlite.org/fileformat2.html#the_database_header): it
        names the pages that there are, and a counter that only goes up.

        While a reader, or a full disk, keeps the log from being moved as a whole, the header may be
        in the file before all of its pages are: then the file has not become shorter, though.
        """
        if self._changes < 0:
            return False  # nothing is written yet
        head = os.pread(self._descriptor, _HEAD_BYTES, 0)
        if len(head) < _HEAD_BYTES or not head.startswith(_MAGIC):
            return True
        page_bytes, changes, pages = _HEAD.unpack_from(head, len(_MAGIC))
        named = pages * (page_bytes if page_bytes > 1 else 65_536)
        if changes < self._changes or size < min(named, self._size):
            return True
        self._changes, self._size = changes, size
        return False

    @property
    def deleted(self) -> bool:
        """Whether the file that is held has no name at all any more."""
        return os.fstat(self._descriptor).st_nlink == 0

    def rescue(self) -> Path:
        """A copy of all that is stored, read through what is held, beside the file."""
        target = self.file.with_name(self.file.name + ".rescued")
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        assert self._anchor is not None
        with closing(sqlite3.connect(target)) as copy:
            self._anchor.backup(copy)
        return target

    def drop_sides(self) -> None:
        """Remove log and index of the file that is held; under a name that is another's they would
        be taken for its own."""
        for side, held in self._sides.items():
            with suppress(OSError):
                if _identity(os.stat(side)) == held:
                    side.unlink()

    def move_log(self) -> None:
        """Move the write-ahead log into the file that is held, wherever it lies now."""
        if self._anchor is not None:
            with suppress(sqlite3.Error):
                self._anchor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def release(self) -> None:
        """Give the file up; all other connections to it have to be closed before."""
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None
        _held.discard(self._held)
        os.close(self._descriptor)

    def _busy(self) -> StoreBusyError:
        return StoreBusyError(
            f"store {self.file} is in use by another process: end that one, or name another"
        )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
