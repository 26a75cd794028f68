"""How a store is: what `/health`, the banner of the page and whoever is paged are told.

`Vitals` is what all threads note; `Health` is a snapshot of it, frozen, with ages instead of times,
so that a clock that is set, or a field that lives in virtual time, changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Any, Final

from levada.twin.mqtt.sequence import unwrap

__all__ = ["Health", "Refusal", "State", "Vitals"]

_STUCK_S: Final = 10.0
"""For so long the database may leave one attempt of the writer without an answer [s]."""
_TOLD_NODES: Final = 1_000
"""Nodes whose refusals are told apart; those of more are counted under the name ''."""


LifeKey = tuple[str, int]
"""Life of a device: node and boot."""


class State(StrEnum):
    """What the store is able to do; all but OK mean that nothing is acknowledged."""

    OK = "ok"
    FULL = "full"
    BUSY = "busy"
    READ_ONLY = "read-only"
    DENIED = "denied"
    """The database user may not write."""
    LOG_TOO_LONG = "log too long"
    CORRUPT = "corrupt"
    CONFLICT = "conflict"
    MISSING = "missing"
    """Its file, the log beside it, a table or a column is gone or another one."""
    SILENT = "silent"
    """The database does not answer."""
    FAILED = "failed"
    ENDED = "ended"
    """The writer has ended by a fault of ours; only a new start helps."""


class Refusal(StrEnum):
    """Why a row was not taken."""

    QUEUE = "the queue is full"
    NODES = "the store has as many nodes as it takes"
    WINDOW = "its number is too far ahead of what is missing"
    DATABASE = "the database refuses it"
    CLOSED = "the store is closed, or its writer has ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """How the store is at one moment."""

    state: State = State.OK
    detail: str = ""
    """In words, if it is not well."""
    since_ms: int = 0
    """When it came to this state, in the field's time [ms since 1970]; 0: from the start."""
    writer: bool = True
    """Whether the writer's thread is alive."""
    commit_age_s: float | None = None
    """Since the last commit of what was submitted [s]; None: there was none yet."""
    attempt_age_s: float | None = None
    """For how long the writer has been trying to commit what it holds [s]; None: it waits for
    something to come."""
    waiting: int = 0
    """Rows waiting for the writer,"""
    queue_rows: int = 0
    """of so many that may."""
    twin_waiting: int = 0
    """Values of the twin's own that wait behind them, of as many."""
    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    """Rows that were not taken, for whatever reason;"""
    refusals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """node -> reason (`Refusal`) -> how many of them; nodes beyond 1,000 are under ''."""
    refusal_age_s: float | None = None
    """Since the last of them that was not sent again and stored [s]; None: there is none."""
    left_out: int = 0
    """Values that are in their message alone: their node has too many signals."""
    reserve: bool = True
    """Whether the reserve file is in place."""
    moved_aside: str = ""
    """Where the corrupt former store lies."""

    @property
    def ok(self) -> bool:
        """Whether rows are being acknowledged."""
        return self.state is State.OK and self.writer


class Vitals:
    """Notes how the store is; any thread may note and look."""

    def __init__(self, queue_rows: int, clock_s: Callable[[], float] = monotonic) -> None:
        self._queue_rows = queue_rows
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._state, self._detail, self._since_ms = State.OK, "", 0
        self._facts: dict[str, Any] = {}
        self._stored = self._duplicates = self._left_out = self._refused = 0
        self._refusals: dict[str, dict[str, int]] = {}
        self._commit_s: float | None = None
        self._attempt_s: float | None = None
        self._refusal_s: float | None = None
        """Of the last row that nobody sends again, as far as is known."""
        self._missing: dict[LifeKey, tuple[int, float]] = {}
        """Life of a device -> the highest number that was refused, and when [s]."""

    @property
    def state(self) -> State:
        """As it was noted last."""
        return self._state

    def become(self, state: State, detail: str, now_ms: int) -> tuple[State, str, int]:
        """Note a state; the one before, its detail, and since when it was."""
        with self._lock:
            before = self._state, self._detail, self._since_ms
            if state is not self._state:
                self._since_ms = now_ms
            self._state, self._detail = state, detail
        return before

    def note(self, *, reserve: bool | None = None, moved_aside: str | None = None) -> None:
        """Note what has become of the files."""
        new = {"reserve": reserve, "moved_aside": moved_aside}
        with self._lock:
            self._facts |= {name: value for name, value in new.items() if value is not None}

    def refuse(
        self, node: str, reason: Refusal, rows: int = 1, *, number: tuple[int, int] | None = None
    ) -> None:
        """Note that rows of a node ('': of none) were not taken.

        `number` is boot and number of one that its device sends again until it is stored.
        """
        with self._lock:
            self._note_missing(node, number)
            if node not in self._refusals and len(self._refusals) >= _TOLD_NODES:
                node = ""
            counts = self._refusals.setdefault(node, {})
            counts[reason.value] = counts.get(reason.value, 0) + rows
            self._refused += rows

    def _note_missing(self, node: str, number: tuple[int, int] | None) -> None:
        if number is None or number[0] < 0 or len(self._missing) >= _TOLD_NODES:
            self._refusal_s = self._clock_s()
            return
        boot, seq = number
        highest, _ = self._missing.get((node, boot), (seq, 0.0))
        self._missing[node, boot] = max(seq, unwrap(highest, seq)), self._clock_s()

    def begin(self) -> None:
        """Note that the writer has something to commit."""
        self._attempt_s = self._clock_s()

    def rest(self) -> None:
        """Note that the writer holds nothing any more."""
        self._attempt_s = None

    def commit(
        self, stored: int, duplicates: int, left_out: int, acks: Mapping[LifeKey, int] = {}
    ) -> None:
        """Note a commit; `acks` has of each life up to which number everything is stored."""
        with self._lock:
            for life in self._missing.keys() & acks.keys():
                if unwrap(self._missing[life][0], acks[life]) <= acks[life]:
                    del self._missing[life]
            self._commit_s = self._clock_s()
            self._stored += stored
            self._duplicates += duplicates
            self._left_out += left_out

    def look(self, *, waiting: int, writer: bool, twin_waiting: int = 0) -> Health:
        """A snapshot; an attempt that gets no answer for too long is a state of its own."""
        with self._lock:
            now_s = self._clock_s()
            attempt = _age(self._attempt_s, now_s)
            state, detail = self._state, self._detail
            if not writer:
                state, detail = State.ENDED, detail or "the writer has ended"
            elif state is State.OK and attempt is not None and attempt > _STUCK_S:
                state = State.SILENT
                detail = f"the database has not answered for {attempt:.0f} s"
            return Health(
                state=state,
                detail=detail,
                since_ms=self._since_ms,
                writer=writer,
                commit_age_s=_age(self._commit_s, now_s),
                attempt_age_s=attempt,
                waiting=waiting,
                twin_waiting=twin_waiting,
                queue_rows=self._queue_rows,
                stored=self._stored,
                duplicates=self._duplicates,
                refused=self._refused,
                refusals={node: dict(counts) for node, counts in self._refusals.items()},
                refusal_age_s=_age(self._last_refusal_s(), now_s),
                left_out=self._left_out,
                **self._facts,
            )

    def _last_refusal_s(self) -> float | None:
        times = [time_s for _, time_s in self._missing.values()]
        return max(times + ([] if self._refusal_s is None else [self._refusal_s]), default=None)


def _age(time_s: float | None, now_s: float) -> float | None:
    return None if time_s is None else round(now_s - time_s, 3)
