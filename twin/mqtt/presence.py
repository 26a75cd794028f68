"""Which nodes are there, by what is heard of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from levada.guest.lifecycle import Closing
from levada.twin.store.rows import StoreSettings

__all__ = ["Presence", "PresenceWatch", "wall_ms"]

_MISSED: Final = 3
"""Heartbeats that a node may miss before it counts as gone."""
_BEAT_MS: Final = 5_000
"""Heartbeat of a node that names none but speaks more often [ms]."""
_UNKNOWN_BEAT_MS: Final = 1_200_000
"""Of a node that names none and was heard once."""
_NODES: Final = StoreSettings().nodes


class Presence:
    """Which nodes are there: heard within three of their own heartbeats.

    A node that names no heartbeat, such as one that sleeps between its steps, has the rhythm in
    which it was heard so far.  Nothing rests on the broker's last will; a half-open connection
    gives none.
    """

    def __init__(self, tell: Callable[[str, bool], None], beat_ms: int = _BEAT_MS) -> None:
        self._tell = tell
        self._beat_ms = beat_ms
        self._lock = threading.Lock()
        self._heard: dict[str, tuple[int, int]] = {}
        self._rhythm: dict[str, tuple[int, int]] = {}
        """Of nodes that name no heartbeat: heard last, and the longest pause."""
        self._named: set[str] = set()
        self.news = threading.Event()
        """Set when a node may have to be checked sooner than `check` has said."""

    def heard(self, node: str, now_ms: int, every_ms: int | None = None) -> None:
        """`node` gave a sign of life."""
        with self._lock:
            known = self._heard.get(node)
            if known is None and len(self._heard) >= _NODES:
                return  # the store does not know that many either
            if every_ms is not None:
                self._named.add(node)
            beat = every_ms or (known[1] if known else self._beat_ms)
            if node not in self._named:
                beat = self._pause(node, now_ms)
            self._heard[node] = (now_ms, beat)
        if known is None or beat < known[1]:
            self.news.set()
        if known is None:
            self._tell(node, True)

    def _pause(self, node: str, now_ms: int) -> int:
        """How long a node that names no heartbeat may pause."""
        before = self._rhythm.get(node)
        if before is None:
            if len(self._rhythm) >= _NODES:
                self._rhythm.clear()  # they are learned again
            self._rhythm[node] = (now_ms, 0)
            return _UNKNOWN_BEAT_MS
        longest = max(before[1], min(now_ms - before[0], _UNKNOWN_BEAT_MS))
        self._rhythm[node] = (now_ms, longest)
        return max(longest, self._beat_ms)

    def gone(self, node: str) -> None:
        """`node` has said goodbye."""
        with self._lock:
            known = self._heard.pop(node, None)
        if known is not None:
            self._tell(node, False)

    def check(self, now_ms: int) -> int:
        """Find those that have been silent for too long; when the next may have been [ms]."""
        with self._lock:
            due = {node: at + _MISSED * beat for node, (at, beat) in self._heard.items()}
            silent = [node for node, at in due.items() if at <= now_ms]
            for node in silent:
                del self._heard[node], due[node]
        for node in silent:
            self._tell(node, False)
        return min(due.values(), default=now_ms + self._beat_ms)

    def present(self) -> list[str]:
        """Nodes that are there, by name."""
        with self._lock:
            return sorted(self._heard)


class PresenceWatch(Closing):
    """A thread that notes who has fallen silent; times are those of this world, even where the
    field lives in virtual time."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="presence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._presence.news.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closing.is_set():
            now_ms = wall_ms()
            due_ms = self._presence.check(now_ms)
            self._presence.news.wait(max(1, due_ms - now_ms) / 1000)
            self._presence.news.clear()


def wall_ms() -> int:
    """The clock by which heartbeats are judged [ms]; nobody sets it."""
    return time.monotonic_ns() // 1_000_000
