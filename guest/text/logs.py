"""Log lines on standard error: without secrets, and from one place no more than can be read."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from levada.guest.text.redaction import redacted

__all__ = ["PER_MINUTE", "Sparing", "log_to_stderr"]

PER_MINUTE: Final = 20
"""Lines that one place of the program may log in a minute."""
_MINUTE_S: Final = 60.0


class Sparing(logging.Filter):
    """Lets through `PER_MINUTE` records of one line of code a minute; the next one tells how many
    were left out.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, int], tuple[float, int]] = {}
        """Place in the code -> begin of its minute, records since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        place = (record.pathname, record.lineno)
        now_s = self._clock_s()
        with self._lock:
            since_s, count = self._counts.get(place, (now_s, 0))
            left_out = 0
            if now_s - since_s >= _MINUTE_S:
                left_out = max(0, count - PER_MINUTE)
                since_s, count = now_s, 0
            self._counts[place] = (since_s, count + 1)
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more like it before)"
            record.args = ()
        return count < PER_MINUTE


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def log_to_stderr(form: str = "%(message)s", level: int = logging.WARNING) -> None:
    """Log from `level` on, as long as nobody has set up logging otherwise."""
    logging.getLogger().setLevel(level)
    handler = logging.lastResort
    assert handler is not None
    handler.setFormatter(_Formatter(form))
    if not handler.filters:
        handler.addFilter(Sparing())
