"""Command guests: `main` loops and yields only in `delay_ms`.

Such a guest keeps its state on the wasm stack, so it runs in a thread of its own, with strict
hand-off: either the caller of `resume` runs or the guest does, never both.  Time is what the
caller says; nothing here waits for a clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["CommandThread", "Unwind"]


class Unwind(Exception):  # noqa: N818 - not an error: it ends a guest that is no longer wanted
    """Raised in `pause` when the guest is to end."""


class CommandThread:
    """A guest's `main` in a thread that runs only while `resume` waits for it."""

    def __init__(self, main: Callable[[], None], name: str) -> None:
        self.finished = False
        self._main = main
        self._closing = False
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Let the guest run until it pauses or ends; what `main` raises is raised here."""
        if not self.finished:
            self._go.release()
            self._back.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def pause(self) -> None:
        """Called by the guest's thread: hand over, return at the next `resume`."""
        self._back.release()
        self._go.acquire()
        if self._closing:
            raise Unwind

    def close(self) -> None:
        """Unwind the guest and end its thread."""
        self._closing = True
        self._go.release()
        self._thread.join()

    _error: BaseException | None = None

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._closing:
                self._main()
        except Unwind:
            pass
        except BaseException as error:  # noqa: BLE001 - belongs to the thread that resumed us
            self._error = error
        finally:
            self.finished = True
            self._back.release()
