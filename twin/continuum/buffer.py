"""What fog keeps on the disk: numbers taken in, states of its guests, rows that the cloud lacks.

One SQLite file (write-ahead log, every commit synchronised).  A group of messages is one
transaction of few statements: which numbers were taken, what the guests need after a restart, and
the outgoing messages, ready as JSON of at most 64 KiB.  Whatever happens, all of a group is there,
or nothing; so what was acknowledged to a node is in the buffer or with the cloud, once.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from levada.guest.lifecycle import Closing
from levada.twin.errors import StoreError
from levada.twin.mqtt.sequence import MODULUS, Received
from levada.twin.store.place import Harm, Place, uri
from levada.twin.store.reserve import Reserve

__all__ = ["Buffer", "Change", "Kept", "Outgoing", "Stream"]

_log = logging.getLogger(__name__)

Stream = Literal["relayed", "processed"]

_APPLICATION: Final = int.from_bytes(b"lvfg")
"""Marks the file as a buffer of levada (https://sqlite.org/pragma.html#pragma_application_id)."""
_VERSION: Final = 1
_BUSY_S: Final = 5.0
_RESERVE_BYTES: Final = 8 << 20
"""Given back when the disk is full, so that the log can be moved into the file, and then what the
cloud has be removed: twice the log, which may be longer by one group."""
_AT_ONCE: Final = 4
"""Messages, of 64 KiB at most, whose removal fits into the reserve."""
_CHECKPOINT_PAGES: Final = 1_000
"""Length of the log from which on it is moved into the file; 4 MB."""
_TABLES: Final = """
CREATE TABLE fog (
    boot INTEGER NOT NULL, next INTEGER NOT NULL, dropped INTEGER NOT NULL, name TEXT
);
CREATE TABLE lives (
    node TEXT, boot INTEGER, contiguous INTEGER NOT NULL, highest INTEGER NOT NULL,
    beyond BLOB NOT NULL, PRIMARY KEY (node, boot)
) WITHOUT ROWID;
CREATE TABLE nodes (node TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE windows (
    node TEXT, start_ms INTEGER, state TEXT NOT NULL, PRIMARY KEY (node, start_ms)
) WITHOUT ROWID;
CREATE TABLE outgoing (
    first INTEGER PRIMARY KEY, count INTEGER NOT NULL, stream TEXT NOT NULL,
    made_ms INTEGER NOT NULL, rows BLOB NOT NULL
);
"""


class Outgoing(NamedTuple):
    """Rows on their way to the cloud, of one message."""

    first: int
    """Number of the first row; numbers do not wrap here."""
    length: int
    """Of how many rows it consists."""
    stream: Stream
    made_ms: int
    """When they were computed, by the clock on the wall [ms since 1970]."""
    rows: bytes
    """As a JSON array."""

    @property
    def last(self) -> int:
        """Number of the last row."""
        return self.first + self.length - 1


@dataclass(slots=True)
class Change:
    """What one transaction writes."""

    lives: Mapping[tuple[str, int], Received] = field(default_factory=dict)
    states: Mapping[str, bytes] = field(default_factory=dict)
    """Node -> state of its guest."""
    windows: Sequence[tuple[str, int, Mapping[str, Any] | None]] = ()
    """Node, start [ms], state; None: it is forgotten."""
    outgoing: Sequence[Outgoing] = ()
    acknowledged: int = -1
    """Up to this number the cloud has all rows."""
    most_rows: int | None = None
    """If more are kept then, the oldest are given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """How full it is."""

    rows: int
    oldest: int
    """Number of the oldest row that is kept; that of the next one if there is none."""
    oldest_ms: int | None
    """When it was computed [ms since 1970]."""
    dropped: int
    """Rows that were given up, ever."""


class Buffer(Closing):
    """The buffer in `file`, made if there is none, of the fog node `name`.

    One thread writes; any thread may read.  Raises StoreBusyError if another process has it,
    StoreError if the file is something else, cannot be used, or keeps rows of another fog node.
    """

    def __init__(self, file: Path, name: str = "fog") -> None:
        self.file = file
        self._name = name
        file.parent.mkdir(parents=True, exist_ok=True)
        self._place = Place(file)
        self._reserve = Reserve(file, _RESERVE_BYTES)
        try:
            self._connection = _connect(file)
            self._read = threading.local()
            self._readers: list[sqlite3.Connection] = []
            self._prepare()
            self._place.settle()
            self._reserve.make()
        except sqlite3.Error as error:
            self._place.release()
            raise StoreError(f"buffer {file}: {error}") from None
        except StoreError:
            self._connection.close()
            self._place.release()
            raise
        self.boot, self.next, self._dropped = self._connection.execute(
            "SELECT boot, next, dropped FROM fog"
        ).fetchone()
        """Life of this buffer, and number of the next row."""
        self._rows = int(
            self._connection.execute("SELECT coalesce(sum(count), 0) FROM outgoing").fetchone()[0]
        )
        self._head = self._oldest()

    def _prepare(self) -> None:
        ask = self._connection.execute
        application, version = (
            ask(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if not application and not ask("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            ask("PRAGMA journal_mode = WAL")
            with _transaction(self._connection):
                for statement in _TABLES.split(";"):
                    ask(statement)
                boot = secrets.randbelow(MODULUS)
                ask("INSERT INTO fog VALUES (?, 0, 0, ?)", (boot, self._name))
                ask(f"PRAGMA application_id = {_APPLICATION}")
                ask(f"PRAGMA user_version = {_VERSION}")
        elif application != _APPLICATION:
            raise StoreError(f"{self.file} is no buffer of fog: it is left as it is")
        elif version != _VERSION:
            raise StoreError(
                f"buffer {self.file} has version {version}, and this levada reads {_VERSION}: "
                "empty it with the levada that wrote it"
            )
        self._take_name()
        ask("PRAGMA synchronous = FULL")
        ask(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")

    def _take_name(self) -> None:
        """Rows that are kept may have reached the cloud, under the name they were sent by: under
        another they would be stored again."""
        ask = self._connection.execute
        if "name" not in [column for _, column, *_ in ask("PRAGMA table_info(fog)")]:
            ask("ALTER TABLE fog ADD COLUMN name TEXT")  # of an earlier levada
        before = ask("SELECT name FROM fog").fetchone()[0]
        rows = ask("SELECT coalesce(sum(count), 0) FROM outgoing").fetchone()[0]
        if before not in (None, self._name) and rows:
            raise StoreError(
                f"buffer {self.file} keeps {rows} rows of the fog node {before!r}: run it with "
                f"`--name {before}` until the cloud has them, or name another buffer"
            )
        if before != self._name:
            ask("UPDATE fog SET name = ?", (self._name,))

    # Writing

    def write(self, change: Change) -> None:
        """Make a group durable; raises sqlite3.Error, StoreError if what is written is not what
        lies under the name any more, and then nothing of it is there."""
        many = self._connection.executemany
        head, rows, dropped = self._head, self._rows, self._dropped
        with _transaction(self._connection):
            if change.lives:
                many(
                    "INSERT OR REPLACE INTO lives VALUES (?, ?, ?, ?, ?)",
                    [
                        (node, boot, life.contiguous, life.highest, _packed(life.beyond))
                        for (node, boot), life in change.lives.items()
                    ],
                )
            if change.states:
                many("INSERT OR REPLACE INTO nodes VALUES (?, ?)", list(change.states.items()))
            if change.windows:
                self._write_windows(change.windows)
            if change.outgoing:
                many("INSERT INTO outgoing VALUES (?, ?, ?, ?, ?)", change.outgoing)
                rows += sum(message.length for message in change.outgoing)
            gone, lost = self._forget(change.acknowledged), 0
            rows -= gone
            if change.most_rows is not None and rows > change.most_rows:
                lost = self._drop(rows - change.most_rows)
            rows -= lost
            dropped += lost
            following = change.outgoing[-1].last + 1 if change.outgoing else self.next
            self._connection.execute("UPDATE fog SET next = ?, dropped = ?", (following, dropped))
            if gone or lost or head is None:
                head = self._oldest()
            self._check()
        self.next, self._rows, self._dropped, self._head = following, rows, dropped, head

    def make_room(self, acknowledged: int) -> None:
        """On a full disk: remove what the cloud has, little by little, as even that needs room, for
        which the reserve is given back; raises what `write` raises."""
        self._reserve.release()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = self._connection.execute(
            "SELECT first + count - 1 FROM outgoing WHERE first + count - 1 <= ? ORDER BY first",
            (acknowledged,),
        ).fetchall()
        for (last,) in found[_AT_ONCE - 1 :: _AT_ONCE]:
            self.write(Change(acknowledged=last))
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def refill(self) -> None:
        """The disk has room again, perhaps: for a reserve, too."""
        self._reserve.make()

    def _check(self) -> None:
        """A file that was deleted or replaced can be written, and is of use to nobody."""
        harm, says = self._place.harm()
        if harm is not Harm.NONE:
            raise StoreError(says)

    def _write_windows(self, windows: Iterable[tuple[str, int, Mapping[str, Any] | None]]) -> None:
        changed, gone = [], []
        for node, start_ms, state in windows:
            if state is None:
                gone.append((node, start_ms))
            else:
                changed.append((node, start_ms, json.dumps(state, separators=(",", ":"))))
        self._connection.executemany("INSERT OR REPLACE INTO windows VALUES (?, ?, ?)", changed)
        if gone:
            self._connection.executemany(
                "DELETE FROM windows WHERE node = ? AND start_ms = ?", gone
            )

    def _forget(self, acknowledged: int) -> int:
        """Remove messages of which all rows are acknowledged; how many rows they had."""
        if self._head is None or acknowledged < self._head.first:
            return 0
        where = "first <= ? AND first + count - 1 <= ?"
        values = acknowledged, acknowledged
        ask = self._connection.execute
        gone = ask(f"SELECT coalesce(sum(count), 0) FROM outgoing WHERE {where}", values)
        rows = int(gone.fetchone()[0])
        ask(f"DELETE FROM outgoing WHERE {where}", values)
        return rows

    def _drop(self, rows: int) -> int:
        """Give up the oldest messages, at least so many rows; how many it was."""
        lost, last = 0, -1
        for first, count in self._connection.execute(
            "SELECT first, count FROM outgoing ORDER BY first"
        ):
            lost, last = lost + count, first
            if lost >= rows:
                break
        self._connection.execute("DELETE FROM outgoing WHERE first <= ?", (last,))
        return lost

    def _oldest(self) -> Outgoing | None:
        found = self._connection.execute("SELECT * FROM outgoing ORDER BY first LIMIT 1").fetchone()
        return None if found is None else Outgoing(*found)

    # Reading

    def kept(self) -> Kept:
        """How full it is, after the last commit."""
        head = self._head
        return Kept(
            rows=self._rows,
            oldest=self.next if head is None else head.first,
            oldest_ms=None if head is None else head.made_ms,
            dropped=self._dropped,
        )

    def outgoing(self, first: int, most: int) -> list[Outgoing]:
        """At most `most` messages from that on which holds number `first`, or the next there is."""
        found = self._reader().execute(
            "SELECT * FROM outgoing WHERE first + count > ? AND first > ? - 1001 "
            "ORDER BY first LIMIT ?",
            (first, first, most),
        )
        return [Outgoing(*row) for row in found]

    def nodes(self) -> list[str]:
        """Nodes of which anything was taken."""
        found = self._reader().execute(
            "SELECT node FROM lives UNION SELECT node FROM nodes ORDER BY node"
        )
        return [str(node) for (node,) in found]

    def life(self, node: str, boot: int) -> Received | None:
        """Which messages of a life were taken."""
        found = self._reader().execute(
            "SELECT contiguous, highest, beyond FROM lives WHERE node = ? AND boot = ?",
            (node, boot),
        )
        for contiguous, highest, beyond in found:
            numbers = {int(number) for (number,) in struct.iter_unpack("<q", beyond)}
            return Received(contiguous, highest, beyond=numbers)
        return None

    def state(self, node: str) -> tuple[bytes, list[dict[str, Any]]] | None:
        """State of a node's guest and of its windows; None: there was none."""
        ask = self._reader().execute
        for (state,) in ask("SELECT state FROM nodes WHERE node = ?", (node,)):
            found = ask("SELECT state FROM windows WHERE node = ? ORDER BY start_ms", (node,))
            return state, [json.loads(window) for (window,) in found]
        return None

    def _reader(self) -> sqlite3.Connection:
        """A connection of this thread's own."""
        found: sqlite3.Connection | None = getattr(self._read, "connection", None)
        if found is None:
            found = self._read.connection = _connect(self.file)
            self._readers.append(found)
        return found

    def close(self) -> None:
        """Close the file; no thread may be at it any more.

        If it does not lie under its name any more, what it keeps is put beside it.
        """
        harm, says = self._place.harm()
        if self._rows and harm in (Harm.GONE, Harm.LOG_GONE):
            with suppress(OSError, sqlite3.Error):
                _log.error("%s: its %d rows are in %s", says, self._rows, self._place.rescue())
        for connection in (*self._readers, self._connection):
            connection.close()
        self._place.release()


def _connect(file: Path) -> sqlite3.Connection:
    """A connection to the file that is there."""
    return sqlite3.connect(
        uri(file, "rw"),
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _packed(numbers: set[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *sorted(numbers)) if numbers else b""
