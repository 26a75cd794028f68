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
"""Between two that raise."""
_AGAIN_S: Final = 0.01
"""After one that came in a finaliser, where Python prints what is raised and goes on."""


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

    def handle(self, _number: int, frame: FrameType | None) -> None:
        """Act on one; a signal handler."""
        first = not self.came.is_set()
        self.came.set()
        if first and self._stop is not None:
            self._stop()
        elif monotonic() - self._raised_s > PAUSE_S:
            self._raise(frame)

    def _raise(self, frame: FrameType | None) -> None:
        if _in_finaliser(frame) and _has_alarm():
            signal.signal(signal.SIGALRM, lambda _number, frame: self._raise(frame))
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            return
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


def _in_finaliser(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _has_alarm() -> bool:
    """Whether the system has an alarm, and nobody else uses it."""
    if not hasattr(signal, "SIGALRM"):
        return False
    handler = signal.getsignal(signal.SIGALRM)
    return handler == signal.SIG_DFL or getattr(handler, "__module__", None) == __name__


def _ignore() -> None:
    if _has_alarm():
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
