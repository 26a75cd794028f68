"""Log lines: without secrets on standard error, and no more than can be read of what repeats."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from levada.guest.text.redaction import redacted

__all__ = ["PER_MINUTE", "JsonLines", "LimitedLog", "Sparing", "log_to_stderr"]

PER_MINUTE: Final = 20
"""Lines that one place of the program may log in a minute."""
_FROM_OUTSIDE: Final = 10
"""Lines a minute about what strangers send, wherever in the program they are logged."""
_MINUTE_S: Final = 60.0


class _Minute:
    """Lets through so many lines a minute, and counts the others."""

    def __init__(self, lines: int, clock_s: Callable[[], float]) -> None:
        self._lines = lines
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._since_s = clock_s()
        self._told = 0
        self._left_out = 0
        """Since the last line that was let through."""

    def allows(self) -> tuple[bool, int]:
        """Whether one more line is let through, and how many before it were not."""
        with self._lock:
            now_s = self._clock_s()
            if now_s - self._since_s >= _MINUTE_S:
                self._since_s, self._told = now_s, 0
            if self._told >= self._lines:
                self._left_out += 1
                return False, 0
            self._told += 1
            left_out, self._left_out = self._left_out, 0
            return True, left_out


def _with(left_out: int, message: str) -> str:
    return f"{message} ({left_out} more like it before)" if left_out else message


class LimitedLog:
    """A log that strangers cannot fill, however many places tell of what they send."""

    def __init__(
        self,
        log: logging.Logger,
        lines: int = _FROM_OUTSIDE,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._minute = _Minute(lines, clock_s)

    def warning(self, message: str, *values: object, traceback: bool = False) -> None:
        """Log a line, with the exception at hand if `traceback`, unless there were too many."""
        shown, left_out = self._minute.allows()
        if shown:
            self._log.warning(_with(left_out, message), *values, exc_info=traceback)


class Sparing(logging.Filter):
    """Lets through `PER_MINUTE` records of one line of code a minute; the next one tells how many
    were left out.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._minutes: dict[tuple[str, int], _Minute] = {}
        """By place in the code."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        fresh = _Minute(PER_MINUTE, self._clock_s)
        minute = self._minutes.setdefault((record.pathname, record.lineno), fresh)
        shown, left_out = minute.allows()
        if left_out:
            record.msg, record.args = _with(left_out, record.getMessage()), ()
        return shown


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class JsonLines(logging.Formatter):
    """A record as one line of JSON: `time` (UTC), `level`, `logger`, `message`, `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr(
    form: str = "%(message)s",
    level: int = logging.WARNING,
    formatter: logging.Formatter | None = None,
) -> None:
    """Log from `level` on, as long as nobody has set up logging otherwise."""
    logging.getLogger().setLevel(level)
    handler = logging.lastResort
    assert handler is not None
    handler.setLevel(level)
    handler.setFormatter(formatter or _Formatter(form))
    if not handler.filters:
        handler.addFilter(Sparing())
