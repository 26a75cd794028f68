"""The lease: how long a device keeps its outputs as they are without a host.

A device that hears nothing from its host for `LEASE_MS` closes its outputs by itself.  A host that
has nothing to ask, since the guest sleeps or another zone is computed, says `Heartbeat` instead,
from a thread of its own.  That thread ends or stops with the process, and it falls silent when the
loop that steps the node has not come back in time, so that none of these holds a valve open.
"""

from __future__ import annotations

import threading
from math import inf
from time import monotonic
from typing import Final

from levada.guest.lifecycle import Closing
from levada.hil.link import Link
from levada.sim.units import DAY_MS

__all__ = ["BEAT_S", "HUNG_S", "LEASE_MS", "Heart", "old_lease_ms"]

LEASE_MS: Final = 4_000
"""Of a device that takes heartbeats [wall-clock ms]; three of them may be missed, as on a computer
that is busy."""
BEAT_S: Final = 1.0
"""Between two heartbeats."""
HUNG_S: Final = 60.0
"""So much later than the guest wanted to run may it be stepped before its host counts as hung: a
plant of many zones, a full disk, and a computer that is overloaded take their time."""
LONGEST_SLEEP_S: Final = 3600.0
"""Virtual time between two steps that the lease of an old firmware outlasts."""
"""Longest sleep of a guest (docs/abi.md)."""


def old_lease_ms(speed: float | None) -> int:
    """Lease of a firmware without heartbeats, which has to outlast a sleep of its guest."""
    sleep_s = 0.0 if speed is None else LONGEST_SLEEP_S / speed
    return round((HUNG_S + sleep_s) * 1000.0)


class Heart(Closing):
    """Says that the host lives, over `link`, until closed.

    `speed` is how many simulated seconds pass in one of the
    wall clock; None: as many as possible.
    """

    def __init__(self, link: Link, speed: float | None = None) -> None:
        self._link = link
        self._wall_s_per_ms = 0.0 if speed is None else 1.0 / (1000.0 * speed)
        self._until_s = -inf
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Beat from now on; more than once does no harm."""
        if self._thread is None:
            self.expect(0)
            self._thread = threading.Thread(target=self._live, name="heart", daemon=True)
            self._thread.start()

    def expect(self, sleep_ms: int) -> None:
        """The node was stepped just now, and is to be again after `sleep_ms` of virtual time."""
        self._until_s = monotonic() + HUNG_S + min(sleep_ms, DAY_MS) * self._wall_s_per_ms

    @property
    def silent(self) -> bool:
        """Whether the node was not stepped in time, so that its lease was let go."""
        return monotonic() > self._until_s

    def close(self) -> None:
        """Beat no more."""
        self._closed.set()

    def _live(self) -> None:
        while not self._closed.wait(BEAT_S):
            if not self.silent:
                self._link.beat()
