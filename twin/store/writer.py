"""The writer of a store: one thread that commits what waits in groups, and only then tells.

Nothing waits for company: a group is what came while the one before was written.  So a quiet store
adds one synchronised write to the way of a message, and the busier it is, the more rows share one.

When the database cannot be written, the writer keeps its group, says so in `Vitals` and tries
again; meanwhile the intake fills, nothing is acknowledged, and the devices keep what they have.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from levada.guest.lifecycle import Closing
from levada.guest.text.logs import LimitedLog
from levada.twin.errors import StoreBusyError, StoreError, StoreReadOnlyError
from levada.twin.store.commit import Known, Work
from levada.twin.store.database import Database, DisplacedError, LogTooLongError
from levada.twin.store.engine import first_line
from levada.twin.store.health import Refusal, State, Vitals
from levada.twin.store.intake import Intake
from levada.twin.store.rows import Commit, Event, Item, StoreSettings

__all__ = ["Writer"]

_log = logging.getLogger(__name__)

_WATCH_S: Final = 1.0
"""Between two looks at the database, while nothing is written."""
_CONFLICTS: Final = 3
"""How often a conflict with rows that nobody else should write is tried again."""
_HINDRANCES: Final = (StoreError, DBAPIError, sqlite3.Error, OSError)
"""What may keep a store from being opened, moved or put back, for now."""


class Writer(Closing):
    """Writes what is put into `intake` into `database`; `listeners` hear of every commit."""

    def __init__(
        self,
        database: Database,
        intake: Intake,
        vitals: Vitals,
        settings: StoreSettings,
        now_ms: Callable[[], int],
    ) -> None:
        self.listeners: list[Callable[[Commit], None]] = []
        self.closing = threading.Event()
        """Nothing more is taken, and nothing tried again."""
        self._database = database
        self._intake = intake
        self._vitals = vitals
        self._settings = settings
        self._now_ms = now_ms
        self._said = LimitedLog(_log)
        self._known = Known()
        self._known_of = database.sessions
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it is at work."""
        return self._thread.is_alive()

    def node_id(self, node: str) -> int | None:
        """Row of a node, if it is known without asking the database."""
        return self._known.node_ids.get(node)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, if the database lets us within the time, and end."""
        self._intake.end()
        if self._vitals.state is not State.OK:
            self.closing.set()  # it waits for a database that may never come back
        self._thread.join(timeout_s)
        self.closing.set()
        self._thread.join(timeout_s)
        if any(left := self._intake.left):
            _log.warning(
                "not stored at the end: %d rows of the field, none of them acknowledged, so that "
                "devices keep theirs, and %d of the twin's own",
                *left,
            )

    # The thread

    def _write(self) -> None:
        try:
            while not (self.closing.is_set() or self._intake.ended):
                group = self._intake.take(_WATCH_S)
                self._vitals.begin()
                if not group:
                    self._watch()
                elif not self._commit_until_done(group):
                    return
                self._intake.settle()
                self._vitals.rest()
        except Exception as error:  # noqa: BLE001 - a fault of ours; silence would look like health
            self._vitals.become(State.ENDED, f"the writer has ended: {error!r}", self._now_ms())
            self.closing.set()
            _log.exception("writer of the store ended")

    def _watch(self) -> None:
        """Look at the database while nothing comes."""
        try:
            self._database.watch()
        except DisplacedError as error:
            self._recover(error)
        except (StoreError, OSError) as error:
            self._in_trouble(_state_of(error), str(error))
        except DBAPIError as error:
            self._in_trouble(self._database.state(error) or State.FAILED, first_line(error))
        else:
            self._well()

    def _commit_until_done(self, items: Sequence[Item]) -> bool:
        """Commit `items`, waiting for the database as long as it takes; False at the end of it."""
        conflicts = 0
        while True:
            try:
                self._database.check_log()
                commit = self._commit(items)
            except DisplacedError as error:
                self._recover(error)
            except LogTooLongError as error:
                self._in_trouble(State.LOG_TOO_LONG, str(error))
            except (StoreError, OSError) as error:
                self._in_trouble(_state_of(error), str(error))
            except DBAPIError as error:
                self._known = Known()  # the transaction may have made nodes or series
                state = self._database.state(error)
                if state is State.CONFLICT and conflicts < _CONFLICTS:
                    conflicts += 1
                    continue
                if state in (None, State.CONFLICT):
                    return self._commit_singly(items, first_line(error))
                assert state is not None
                if self._mend(state, first_line(error)):
                    continue
            except (ArithmeticError, TypeError, ValueError) as error:
                # what cannot be written in a database or as JSON: that item, not the writer, ends
                return self._commit_singly(items, str(error))
            else:
                self._well()
                self._announce(commit)
                return True
            if self.closing.wait(self._settings.retry_ms / 1000):
                return False
            while self._vitals.state is State.FULL and not self._database.room():
                if self.closing.wait(self._settings.retry_ms / 1000):
                    return False

    def _commit(self, items: Sequence[Item]) -> Commit:
        with self._database.transaction() as connection:
            if self._known_of != self._database.sessions:
                self._known, self._known_of = Known(), self._database.sessions
            work = Work(self._known, connection, self._settings, self._now_ms())
            for item in items:
                work.take(item)
            work.write()
        self._known.learn(work)
        for (node, reason), rows in work.refused.items():
            self._vitals.refuse(node, reason, rows)
        commit = work.commit()
        self._vitals.commit(commit.stored, commit.duplicates, work.left_out, commit.acks)
        return commit

    def _commit_singly(self, items: Sequence[Item], why: str) -> bool:
        """One of `items` is refused by the database itself; find it, and keep the others."""
        self._known = Known()
        if len(items) > 1:
            return all([self._commit_until_done([item]) for item in items])
        self._said.warning("store refused %s: %s", type(items[0]).__name__, why)
        self._vitals.refuse(items[0].node, Refusal.DATABASE)
        return True

    def _announce(self, commit: Commit) -> None:
        if not commit.acks:
            return
        for listener in self.listeners:
            try:
                listener(commit)
            except Exception:  # noqa: BLE001 - a listener must not end the writer
                _log.exception("listener of the store failed")

    # Trouble

    def _mend(self, state: State, says: str) -> bool:
        """Do about `state` what can be done; whether to try again at once."""
        if state is State.CORRUPT:
            try:
                moved = self._database.begin_anew()
            except _HINDRANCES as hindrance:
                says = f"{says}; it cannot be moved aside: {_words(hindrance)}"
            else:
                self.tell_moved(moved)
                return True
        self._in_trouble(state, says)
        if state is State.FULL:
            self._database.make_room()
        elif state is State.MISSING:
            try:
                self._database.make_tables()
            except _HINDRANCES as hindrance:
                self._in_trouble(State.MISSING, _words(hindrance))
        return False

    def _recover(self, error: DisplacedError) -> None:
        """Have a store under the name again, if that can be done now."""
        if self._vitals.state is not State.MISSING:
            self._in_trouble(State.MISSING, str(error))
        try:
            moved = self._database.recover(error)
        except _HINDRANCES as hindrance:
            self._in_trouble(State.MISSING, f"{error}; {_words(hindrance)}")
            return
        if moved is not None:
            self.tell_moved(moved)

    def tell_moved(self, moved: Path) -> None:
        """Say that a corrupt store was moved aside."""
        message = f"{self._database.name} was corrupt: moved to {moved.name}, a new one begun"
        _log.error("%s", message)
        self._vitals.note(moved_aside=str(moved))
        self._tell("error", message)

    def _tell(self, severity: str, message: str, **evidence: object) -> None:
        self._intake.put(
            Event(
                kind="store",
                severity=severity,  # type: ignore[arg-type]
                text=message,
                time_ms=self._now_ms(),
                evidence=evidence,
            )
        )

    def _in_trouble(self, state: State, detail: str) -> None:
        before, _, _ = self._vitals.become(state, detail, self._now_ms())
        if before is not state:
            _log.error(
                "store %s: %s; nothing is acknowledged until it is well again", state, detail
            )

    def _well(self) -> None:
        was, detail, since_ms = self._vitals.become(State.OK, "", self._now_ms())
        if was is State.OK:
            return
        _log.warning("store is well again (was %s)", was)
        said = f"store could not be written ({was}): {detail}"
        self._tell("warning", said, state=was, since_ms=since_ms)


def _state_of(error: StoreError | OSError) -> State:
    kinds = {StoreBusyError: State.BUSY, StoreReadOnlyError: State.READ_ONLY}
    return next((s for kind, s in kinds.items() if isinstance(error, kind)), State.FAILED)


def _words(hindrance: Exception) -> str:
    return first_line(hindrance) if isinstance(hindrance, DBAPIError) else str(hindrance)
