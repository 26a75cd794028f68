"""Messages refused for what they hold: counted by node and reason, told sparingly.

Rows that the store does not take are counted there (`levada.twin.store.health`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final

from levada.twin.store.rows import StoreSettings

__all__ = ["Refusals", "Why"]

_NODES: Final = StoreSettings().nodes
_AGAIN_S: Final = 60.0
"""Between two events about the messages of one node [s]."""
_EVENTS: Final = 60
"""Events in that time at most, of however many nodes."""


class Why(StrEnum):
    """Why a message was not taken."""

    MALFORMED = "its payload is malformed"
    OVERSIZED = "its payload is too large"
    UNKNOWN = "it is of a node that is not expected"
    MAPPING = "its payload does not fit the mapping"


@dataclass(slots=True)
class _OfNode:
    counts: Counter[Why] = field(default_factory=Counter)
    last: str = ""
    told_s: float = -inf
    untold: int = 0


class Refusals:
    """Refused messages of all nodes; of more nodes than a store takes, all under ''.

    Any thread may note and ask.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._nodes: dict[str, _OfNode] = {}
        self._since_s = -inf
        self._events = 0

    def note(self, node: str, why: Why, text: str) -> int | None:
        """Note a refused message; None if nobody is to be told again, else how many were left
        untold since the last time."""
        with self._lock:
            if node not in self._nodes and len(self._nodes) >= _NODES:
                node = ""
            mine = self._nodes.setdefault(node, _OfNode())
            mine.counts[why] += 1
            mine.last = text
            now_s = self._clock_s()
            if now_s - self._since_s >= _AGAIN_S:
                self._since_s, self._events = now_s, 0
            if now_s - mine.told_s < _AGAIN_S or self._events >= _EVENTS:
                mine.untold += 1
                return None
            self._events += 1
            untold, mine.untold, mine.told_s = mine.untold, 0, now_s
            return untold

    def taken(self, node: str) -> None:
        """Note that a message of `node` was taken."""
        mine = self._nodes.get(node)
        if mine is not None:
            mine.last = ""

    def counts(self) -> dict[str, dict[str, int]]:
        """node -> reason -> refused messages."""
        with self._lock:
            return {
                node: {why.value: n for why, n in mine.counts.items()}
                for node, mine in self._nodes.items()
            }

    def total(self, node: str) -> int:
        """Refused messages of a node."""
        mine = self._nodes.get(node)
        return mine.counts.total() if mine else 0

    def trouble(self, node: str) -> str:
        """Why the newest message of a node was refused; empty if it was taken."""
        mine = self._nodes.get(node)
        return mine.last if mine else ""
