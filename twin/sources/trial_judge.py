"""What a module on trial is judged by beside its steps: what it would have published.

The device judges traps, results, budgets and its own restarts, and counts the steps, which the
field makes when they are due.  What is published in a trial is held back, so nobody at the broker
sees it before: whether a twin would take it is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from levada.guest.topic import PREFIX, resolve_topic
from levada.hil.errors import PayloadError
from levada.twin.mqtt.messages import Telemetry, decode

__all__ = ["GuestMessage", "TrialJudge", "is_telemetry"]

SILENT: Final = 10
"""Times the steps that a trial wants, in which a module may publish nothing."""


@dataclass(frozen=True, slots=True)
class GuestMessage:
    """What a guest has published, and when [ms since 1970]."""

    time_ms: int
    topic: str
    message: str


def is_telemetry(topic: str, node: str) -> bool:
    """Whether what is published there is the node's telemetry."""
    return resolve_topic(topic, node) == f"{PREFIX}{node}/data"


class TrialJudge:
    """Judges a trial of `steps` steps on `node`; a module after one that `reported` must, too."""

    def __init__(self, node: str, steps: int, *, reported: bool) -> None:
        self._node = node
        self._wanted = steps
        self._reported = reported
        self._steps = 0
        self._taken = 0
        self._refused = ""

    def made_step(self, published: Iterable[GuestMessage]) -> None:
        """A step of the trial was made."""
        self._steps += 1
        for each in published:
            if not is_telemetry(each.topic, self._node):
                continue
            try:
                decode(Telemetry, each.message.encode())
                self._taken += 1
            except PayloadError as error:
                self._refused = self._refused or str(error)

    @property
    def good(self) -> bool:
        """Whether it has all that is wanted."""
        return (
            self._steps >= self._wanted and not self.why and (self._taken > 0 or not self._reported)
        )

    @property
    def why(self) -> str:
        """Why it is to be rejected; empty: it is not."""
        if self._refused:
            return f"rolled back: no twin would take its telemetry: {self._refused}"
        if self._reported and not self._taken and self._steps >= SILENT * self._wanted:
            return f"rolled back: no telemetry in {self._steps} steps; the former module has told"
        return ""
