"""A log that strangers cannot fill: what arrives from outside is told so often and no oftener."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ["LimitedLog"]

_LINES: Final = 10
_EVERY_S: Final = 60.0


class LimitedLog:
    """At most `lines` warnings in `every_s`; the first of the next tells how many were left out.

    Threads may call it at any time.
    """

    def __init__(
        self,
        log: logging.Logger,
        *,
        lines: int = _LINES,
        every_s: float = _EVERY_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._log = log
        self._lines = lines
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._since_s = clock()
        self._told = 0
        self.left_out = 0
        """Lines that were left out since the last that was not."""

    def warning(self, message: str, *values: object, traceback: bool = False) -> None:
        """Log a line, with the exception at hand if `traceback`, unless there were too many."""
        with self._lock:
            now_s = self._clock()
            if now_s - self._since_s >= self._every_s:
                self._since_s, self._told = now_s, 0
            if self._told >= self._lines:
                self.left_out += 1
                return
            self._told += 1
            left_out, self.left_out = self.left_out, 0
        if left_out:
            self._log.warning("%d lines like the next were left out", left_out)
        self._log.warning(message, *values, exc_info=traceback)
