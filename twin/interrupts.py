"""Ctrl-C, SIGTERM and SIGHUP: whatever a command holds is closed, valves first of all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from types import FrameType
from typing import Final

__all__ = ["Interrupts", "interrupts"]

SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The last says that the terminal is gone; Windows has none, and `nohup` has it ignored."""
PAUSE_S: Final = 1.0
"""Between two that raise; one may be lost, since Python drops what is raised in a finaliser."""


class Interrupts:
    """Whether one came, and what it does.

    The first raises KeyboardInterrupt, or stops what runs if that can be stopped between two
    steps; later ones raise, but not while an earlier one may still be on its way up.  Where `heard`
    ends nothing more is heard: what remains is to close, which is bounded in time and must not be
    broken off.
    """

    def __init__(self) -> None:
        self.came = threading.Event()
        self._stop: Callable[[], None] | None = None
        self._raised_s = -inf

    def stop_with(self, stop: Callable[[], None] | None) -> None:
        """From now on the first interrupt calls `stop` and raises nothing; None: it raises."""
        self._stop = stop

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Act on one; a signal handler."""
        first = not self.came.is_set()
        self.came.set()
        if first and self._stop is not None:
            self._stop()
        elif monotonic() - self._raised_s > PAUSE_S:
            self._raised_s = monotonic()
            raise KeyboardInterrupt

    @contextmanager
    def heard(self) -> Iterator[None]:
        """What may be interrupted; afterwards nothing more is heard."""
        try:
            yield
        finally:
            if _in_main_thread():
                _ignore()


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Interrupts while the block runs; only the main thread has them.

    If one came, the program ends, and hears none until then.  A block within another has those of
    the other.
    """
    around = _installed()
    if around is not None:
        try:
            yield around
        finally:
            around.stop_with(None)
        return
    made = Interrupts()
    if not _in_main_thread():
        yield made
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if number in SIGNALS[:2] or handler != signal.SIG_IGN:
            signal.signal(number, made.handle)
    try:
        yield made
    finally:
        if not made.came.is_set():
            for number, handler in before.items():
                signal.signal(number, handler)


def _installed() -> Interrupts | None:
    """Those of a block around this one."""
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if _in_main_thread() and isinstance(owner, Interrupts) else None


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
