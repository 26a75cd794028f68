"""What waits for the writer, in two lanes: what comes from the field goes before the twin's own.

Values that the twin has worked out (`Points`) can be worked out again, and come by the thousand
when it goes through its past; a device waits for the acknowledgement of what it said.  So every
transaction takes all of the field's lane that fits before it takes any of the twin's, and a twin
that is fast cannot fill the room that devices need.  Within a lane, order stays.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from levada.twin.store.rows import Item, Points, StoreSettings

__all__ = ["Intake"]

_LARGE_ROWS: Final = 1_000
"""Items of one lane in one transaction, when somebody waits for all of them."""
_LOG_PART: Final = 8
"""Payloads of a large transaction are at most such a part of the permitted write-ahead log."""


class Intake:
    """Both lanes; any thread may put, one takes."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._lanes: tuple[deque[Item], deque[Item]] = deque(), deque()
        self._taken = [0, 0]
        """Items that were taken and are done with, by lane,"""
        self._out = [0, 0]
        """and those that are being written."""
        self._news = threading.Condition()
        self._hurried = 0
        self._ended = False

    def put(self, item: Item, timeout_s: float = 0.0) -> bool:
        """Let an item wait; False if too many do already, and still do after `timeout_s`."""
        lane, most = self._lanes[isinstance(item, Points)], self._settings.queue_rows
        with self._news:
            if not self._news.wait_for(lambda: len(lane) < most, timeout_s):
                return False
            lane.append(item)
            if len(lane) == 1:
                self._news.notify_all()
        return True

    def waiting(self) -> tuple[int, int]:
        """Items that wait: of the field, and of the twin."""
        return len(self._lanes[0]), len(self._lanes[1])

    def take(self, timeout_s: float) -> list[Item]:
        """What is to be written next, of the field first; empty if nothing comes within the time.

        Once there is something, nothing else is waited for.
        """
        with self._news:
            self._news.wait_for(lambda: any(self._lanes) or self._ended, timeout_s)
            group: list[Item] = []
            for number, lane in enumerate(self._lanes):
                if self._ended and group:
                    break  # there may not be time for all: the field's before the twin's
                taken = self._from(lane)
                self._out[number] = len(taken)
                group += taken
            self._news.notify_all()  # there is room
        return group

    def _from(self, lane: deque[Item]) -> list[Item]:
        """As much of a lane as one transaction takes."""
        most = self._settings.group_rows
        large = max(most, _LARGE_ROWS if self._ended or self._hurried else 0)
        most_bytes = self._settings.log_bytes // _LOG_PART
        taken: list[Item] = []
        size = 0
        while lane and (len(taken) < most or (len(taken) < large and size < most_bytes)):
            taken.append(lane.popleft())
            size += len(getattr(taken[-1], "payload", ""))
        return taken

    def settle(self) -> None:
        """What was taken last is done with."""
        with self._news:
            for number, count in enumerate(self._out):
                self._taken[number] += count
                self._out[number] = 0
            self._news.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that waits now is done with; it is taken in large groups meanwhile."""
        with self._news:
            upto = [
                done + out + len(lane)
                for done, out, lane in zip(self._taken, self._out, self._lanes, strict=True)
            ]
            self._hurried += 1
            self._news.notify_all()
            try:
                return self._news.wait_for(self._reaches(upto), timeout_s)
            finally:
                self._hurried -= 1

    def _reaches(self, upto: list[int]) -> Callable[[], bool]:
        return lambda: all(done >= n for done, n in zip(self._taken, upto, strict=True))

    def end(self) -> None:
        """Nothing more will come: the rest is taken in large groups."""
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def ended(self) -> bool:
        """Whether nothing is left, and nothing more will come."""
        return self._ended and not any(self._lanes)

    @property
    def left(self) -> tuple[int, int]:
        """Items that are not done with: of the field, and of the twin."""
        field, twin = self._lanes
        return len(field) + self._out[0], len(twin) + self._out[1]
