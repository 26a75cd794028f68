"""Up to what time every message of a device has arrived.

The numbers of the messages that came show whether one is still to come, not the time that one has
waited: only a missing number that is not repeated is given up in the end.
"""

from __future__ import annotations

import threading

from levada.twin.mqtt.sequence import Received, unwrap

__all__ = ["Completeness"]


class Completeness:
    """The completeness of the messages since the last boot of one device; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boot: int | None = None
        self._boots: set[int] = set()
        self._received = Received.before(0)
        self._times_ms: dict[int, int] = {}
        self.upto_ms: int | None = None
        """Time of the newest message before which none is missing; None: there is none."""

    def hear(self, boot: int, seq: int, oldest: int, time_ms: int) -> None:
        """A message has come; `oldest` is the lowest number that the device still holds."""
        with self._lock:
            if boot != self._boot:
                if boot in self._boots:
                    return  # kept over a restart: it belongs to a life that is over
                self._boots.add(boot)
                self._boot = boot
                self._received = Received.before(oldest)
                self._times_ms.clear()
            received = self._received
            received.skip(unwrap(oldest, received.contiguous + 1))
            number = unwrap(seq, received.contiguous + 1)
            if not received.has(number) and received.fits(number):
                received.add(number)
                self._times_ms[number] = time_ms
            self._advance()

    def give_up(self) -> None:
        """What is missing now will not come any more."""
        with self._lock:
            if self._received.beyond:
                self._received.skip(min(self._received.beyond))
                self._advance()

    def _advance(self) -> None:
        for number in [n for n in self._times_ms if n <= self._received.contiguous]:
            time_ms = self._times_ms.pop(number)
            self.upto_ms = time_ms if self.upto_ms is None else max(self.upto_ms, time_ms)
