"""The wall-clock guard: a thread that advances the engine's epoch while a guest may be running.

Fuel bounds instructions, not time: one bulk memory instruction or a slow machine can take long.
A store whose epoch deadline passes traps.  The thread exists only while hosts are at work, ends
after a second of rest, and costs a step nothing but a look at a flag.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import Final, Protocol
from weakref import WeakSet

from levada.guest.wasm.engine import engine

__all__ = ["TICK_MS", "Watchdog", "watchdog"]

TICK_MS: Final = 10
"""Resolution of deadlines [ms]."""

REST_TICKS: Final = 100


class Worker(Protocol):
    """Who may have a guest running."""

    busy: bool

    def close(self) -> None:
        """Release everything."""


class Watchdog:
    """Advances the epoch every `TICK_MS` while one of its workers is busy."""

    def __init__(self) -> None:
        self.awake = False
        self._workers: WeakSet[Worker] = WeakSet()
        self._members = threading.Lock()
        """Nobody may join while they are looked at."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, worker: Worker) -> None:
        """Count `worker` among those that may be busy, until it is closed or forgotten."""
        with self._members:
            self._workers.add(worker)

    def forget(self, worker: Worker) -> None:
        """The worker is closed."""
        with self._members:
            self._workers.discard(worker)

    def wake(self) -> None:
        """Make sure that the epoch advances; workers call it after setting `busy`."""
        with self._lock:
            if not self.awake:
                self.awake = True
                self._thread = threading.Thread(
                    target=self._tick, name="levada watchdog", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Close all workers and end the thread (at the end of the process)."""
        for worker in self._present():
            worker.close()
        thread = self._thread
        with self._lock:
            self.awake = False
        if thread is not None:
            thread.join()

    def after_fork(self) -> None:
        """The thread does not survive a fork, nor need its lock be free."""
        self.awake = False
        self._members = threading.Lock()
        self._lock = threading.Lock()
        self._thread = None

    def _tick(self) -> None:
        rest = 0
        clock = engine()
        while self.awake:
            time.sleep(TICK_MS / 1000.0)
            clock.increment_epoch()
            rest = 0 if self._busy() else rest + 1
            if rest > REST_TICKS:
                with self._lock:
                    self.awake = False
                    # A worker sets `busy` before it looks at `awake`: one that came in between
                    # has either seen `awake` false, or is seen here.
                    if not self._busy():
                        return
                    self.awake = True
                    rest = 0

    def _busy(self) -> bool:
        return any(worker.busy for worker in self._present())

    def _present(self) -> list[Worker]:
        with self._members:
            return list(self._workers)


watchdog: Final = Watchdog()
atexit.register(watchdog.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.after_fork)
