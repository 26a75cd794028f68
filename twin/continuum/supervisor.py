"""Processes that are started, watched, started again when they end, and ended together.

Each is told to end by the end of its standard input, so that none outlives this process, whatever
becomes of it.  The first line on its standard output says that it is ready; all are passed on.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import IO, Any, Final

from levada.guest.children import start_child
from levada.guest.lifecycle import Closing, end_process
from levada.twin.errors import TwinError

__all__ = ["Supervised"]

_log = logging.getLogger(__name__)

END_S: Final = 15.0
"""How long a process may take to close what it holds; valves first of all."""
PAUSES_S: Final = (0.2, 5.0)
"""Before a process is started again: at first, and at most."""
WELL_S: Final = 60.0
"""A process that has run so long was well, and is started again at once."""


class Supervised(Closing):
    """A process that is to run until `close`; `tell` gets every line of its output.

    One that ends by itself with exit code 0 has done its work and is left alone.  One that ends
    before it was ready for the first time is not started again: `wait` raises TwinError.
    """

    def __init__(self, name: str, command: Sequence[str], tell: Callable[[str], None]) -> None:
        self.name = name
        self.restarts = 0
        """How often it had to be started again."""
        self._command = list(command)
        self._tell = tell
        self._ready = threading.Event()
        self._closing = threading.Event()
        self.finished = threading.Event()
        """Set when it has ended and is not started again."""
        self._lock = threading.Lock()
        self.exit_code: int | None = None
        """Of a process that is not started again."""
        self._process, self._output = self._start()
        self._watcher = threading.Thread(target=self._watch, name=f"supervise-{name}", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        """Of the process at present."""
        return self._process.pid

    @property
    def over(self) -> bool:
        """Whether it has ended and is not started again."""
        return self.finished.is_set()

    def wait(self, timeout_s: float, stop: threading.Event) -> None:
        """Wait until it is ready, or `stop` is set; TwinError if it ends or takes too long."""
        until_s = monotonic() + timeout_s
        while not self._ready.wait(0.05):
            if stop.is_set():
                return
            if self.finished.is_set() and not self._ready.is_set():
                raise TwinError(f"{self.name} ended with exit code {self.exit_code}")
            if monotonic() > until_s:
                raise TwinError(f"{self.name} was not ready within {timeout_s:g} s")

    def close(self) -> None:
        """Tell it to end, and wait for that."""
        with self._lock:
            self._closing.set()
        end_process(self._process, END_S)
        self._watcher.join()

    def _start(self) -> tuple[subprocess.Popen[Any], IO[str]]:
        """The process, and its output, which is read to its end before it is closed."""
        ours, theirs = os.pipe()
        try:
            process = start_child(self._command, stdout=theirs)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return process, open(ours, encoding="utf-8", errors="replace")

    def _watch(self) -> None:
        pause_s = PAUSES_S[0]
        while not self.finished.is_set():
            began_s = monotonic()
            self._pass_on()
            code = self._process.wait()
            if self._closing.is_set() or code == 0 or not self._ready.is_set():
                self.exit_code = code
                break
            if monotonic() - began_s > WELL_S:
                pause_s = PAUSES_S[0]
            _log.error("%s ended with exit code %d: started again", self.name, code)
            pause_s = self._start_again(pause_s)
        self.finished.set()

    def _start_again(self, pause_s: float) -> float:
        """Try until it runs, or is to end, with a pause before each; the next pause [s]."""
        while not self._closing.wait(pause_s):
            pause_s = min(2 * pause_s, PAUSES_S[1])
            with self._lock:
                if self._closing.is_set():
                    break
                end_process(self._process, END_S)  # closes what is left of it
                try:
                    self._process, self._output = self._start()
                except OSError as error:  # no process, file or memory to be had at present
                    _log.error("%s cannot be started: %s", self.name, error)
                    continue
                self.restarts += 1
                return pause_s
        self.finished.set()
        return pause_s

    def _pass_on(self) -> None:
        with self._output as lines:
            for line in lines:
                self._tell(line.rstrip("\n"))
                self._ready.set()
