"""A hop between two tiers in simulated time: a link, and store and forward over it.

A link takes `delay_ms` plus a random `jitter_ms` for each message, keeps their order as a TCP
connection does, loses `loss_pct` of them, sends no more than `rate_kbit_s`, and carries nothing in
an outage.  A hop keeps what it was given until the other side has acknowledged it, and has a
bounded number of messages on the way.  When nothing is acknowledged for a while it tries the
oldest alone, at longer and longer intervals.  The other side takes messages in their order, each
once.  So what arrives does not depend on the link, only when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import simpy

from levada.sim.scenario.continuum import Link
from levada.sim.scenario.model import Period
from levada.sim.seeds import generator
from levada.twin.continuum.outages import Outages

__all__ = ["Direction", "Hop"]

PATIENCE_S: Final = 1.0
"""Without an acknowledgement for so long, and the time there and back, the oldest is sent again."""
LONGEST_PATIENCE_S: Final = 64.0
"""It doubles from try to try, up to this."""
WINDOW: Final = 400
"""Messages on the way at most."""
ACK_BYTES: Final = 40

T = TypeVar("T")


class Direction:
    """One direction of a link; `names` name its random stream."""

    def __init__(
        self, env: simpy.Environment, link: Link, period: Period, seed: int, *names: str
    ) -> None:
        self._env = env
        self._link = link
        self._chance = generator(seed, "link", *names)
        self._outages = Outages.of(link, period)
        self._free_s = 0.0
        self._last_s = 0.0
        self.lost = 0
        """Messages that did not arrive."""

    @property
    def longest_s(self) -> float:
        """Delay of an acknowledgement at most, with nothing before it [s]."""
        way_s = (self._link.delay_ms + self._link.jitter_ms) / 1000.0
        return self._takes_s(ACK_BYTES) + way_s

    def up_at(self, time_s: float) -> float:
        """When the link carries something next, `time_s` or later [s]."""
        return self._outages.up_at(time_s)

    def _takes_s(self, size_bytes: int) -> float:
        rate = self._link.rate_kbit_s
        return size_bytes * 8 / (rate * 1000.0) if rate is not None else 0.0

    def send(self, size_bytes: int, deliver: Callable[[], None]) -> float:
        """Send now; `deliver` is called when it arrives, if it does.  When the link is free [s]."""
        now_s = self._env.now
        start_s = max(now_s, self._free_s)
        takes_s = self._takes_s(size_bytes)
        self._free_s = start_s + takes_s
        jitter_s = self._link.jitter_ms / 1000.0 * self._chance.random()
        arrival_s = self._free_s + self._link.delay_ms / 1000.0 + jitter_s
        lost = self._chance.random() * 100.0 < self._link.loss_pct
        if lost or self._outages.up_at(start_s, takes_s) > start_s:
            self.lost += 1
        else:
            self._last_s = max(self._last_s, arrival_s)
            arrival = self._env.timeout(self._last_s - now_s)
            assert arrival.callbacks is not None
            arrival.callbacks.append(lambda _event: deliver())
        return self._free_s


@dataclass(slots=True)
class _Kept(Generic[T]):
    item: T
    size_bytes: int
    sent_s: float = 0.0
    """When the last of it left, the last time."""


class Hop(Generic[T]):
    """Store and forward of one sender; `take(item)` is called once for each, in order.

    If `take` returns false, the other side has no room: the message stays where it is, and is sent
    again.  `rows_s` are the messages sent a second at most, without a limit if None.
    """

    def __init__(
        self,
        env: simpy.Environment,
        there: Direction,
        back: Direction,
        take: Callable[[T], bool],
        *,
        rows_s: float | None = None,
    ) -> None:
        self._env = env
        self._there = there
        self._back = back
        self._take = take
        self._pause_s = 1.0 / rows_s if rows_s else 0.0
        self._kept: deque[_Kept[T]] = deque()
        self._oldest = 0
        """Number of the first one kept."""
        self._next = 0
        """Number that is sent next."""
        self._expected = 0
        """Number that the other side takes next."""
        self._progress_s = 0.0
        """When something was acknowledged, or given up."""
        self._patience_s = PATIENCE_S
        self._change = env.event()
        self.sent = 0
        """Messages sent, with those sent again."""
        self.dropped = 0
        """Messages given up."""
        self.most = 0
        """Messages kept at once, at most."""
        env.process(self._send())

    @property
    def kept(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self._kept)

    @property
    def _window(self) -> int:
        return WINDOW if self._patience_s == PATIENCE_S else 1

    def put(self, item: T, size_bytes: int) -> None:
        """Keep a message and send it."""
        if not self._kept:
            self._progress_s = self._env.now
        self._kept.append(_Kept(item, size_bytes))
        self.most = max(self.most, len(self._kept))
        self._wake()

    def drop_oldest(self) -> None:
        """Give the oldest message up."""
        self._kept.popleft()
        self._oldest += 1
        self._next = max(self._next, self._oldest)
        self.dropped += 1

    def _wake(self) -> None:
        change, self._change = self._change, self._env.event()
        change.succeed()

    def _send(self) -> Generator[simpy.Event, Any, None]:
        on_the_way_s = self._there.longest_s + self._back.longest_s
        while True:
            on_the_way = self._next - self._oldest
            if on_the_way < min(self._window, len(self._kept)):
                up_s = self._there.up_at(self._env.now)
                if up_s > self._env.now:
                    yield self._env.timeout(up_s - self._env.now)
                    self._next = self._oldest  # a new connection: what was on the way is lost
                    self._progress_s = self._env.now
                    self._patience_s = PATIENCE_S
                    continue
                free_s = self._transmit(self._next)
                self._next += 1
                wait_s = max(self._pause_s, free_s - self._env.now)
                if wait_s > 0.0:
                    yield self._env.timeout(wait_s)
            elif self._kept:
                waited_from_s = max(self._progress_s, self._kept[0].sent_s)
                due_s = waited_from_s + self._patience_s + on_the_way_s
                if due_s <= self._env.now:
                    self._progress_s = self._env.now
                    self._next = self._oldest
                    self._patience_s = min(2.0 * self._patience_s, LONGEST_PATIENCE_S)
                else:
                    yield self._change | self._env.timeout(due_s - self._env.now)
            else:
                yield self._change

    def _transmit(self, number: int) -> float:
        kept = self._kept[number - self._oldest]
        self.sent += 1
        oldest = self._oldest
        kept.sent_s = self._there.send(
            kept.size_bytes, lambda: self._arrived(number, oldest, kept.item)
        )
        return kept.sent_s

    def _arrived(self, number: int, oldest: int, item: T) -> None:
        self._expected = max(self._expected, oldest)
        if number == self._expected and self._take(item):
            self._expected += 1
        expected = self._expected
        self._back.send(ACK_BYTES, lambda: self._acknowledged(expected))

    def _acknowledged(self, expected: int) -> None:
        if expected <= self._oldest:
            return
        for _ in range(expected - self._oldest):
            self._kept.popleft()
        self._oldest = expected
        self._patience_s = PATIENCE_S
        self._progress_s = self._env.now
        self._next = max(self._next, expected)
        self._wake()
