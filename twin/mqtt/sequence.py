"""Which messages of one life of a device have been stored: the arithmetic of promise P1.

A device numbers its messages from its start on (`boot`, `seq`) and keeps each until it is
acknowledged.  An acknowledgement is cumulative, so it may only name a number up to which nothing is
missing.  `oldest`, the lowest number that the device still holds, goes with every message: below
it nothing will come any more, be it stored already or dropped by a full device.

The counter of a device has 32 bits and may wrap; inside the store numbers do not.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

__all__ = ["MODULUS", "WINDOW", "Identity", "Numbering", "Received", "check_oldest", "unwrap"]

MODULUS: Final = 1 << 32
"""Sequence numbers on the wire are unsigned 32-bit."""
WINDOW: Final = 65_536
"""How far ahead of the first missing message a number may be; it bounds memory."""


def unwrap(seq: int, near: int) -> int:
    """The number congruent to `seq` modulo 2^32 that lies nearest to `near`."""
    ahead = (seq - near) % MODULUS
    return near + ahead if ahead < MODULUS // 2 else near + ahead - MODULUS


def check_oldest(seq: int, oldest: int) -> None:
    """Raises ValueError if a device that sends `seq` cannot hold nothing below `oldest`: it holds
    at least what it sends."""
    if (seq - oldest) % MODULUS >= MODULUS // 2:
        raise ValueError(f"oldest = {oldest} lies behind seq = {seq}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which message of which life of a node one is."""

    boot: int
    """The life; negative if the receiver has given the number."""
    seq: int
    """Number of the message in it, modulo 2^32."""
    oldest: int
    """Lowest number that may still come, modulo 2^32."""


class Numbering:
    """Gives numbers to messages that have none, in one sequence a node.

    Nobody repeats such a message, so `oldest` is its own number: the window of the store moves on
    with every one, also behind one that could not be stored.  Of more than `nodes` nodes all begin
    a new life, so that names cannot use up the memory.
    """

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._given: Counter[str] = Counter()
        self._boot = _new_boot()

    def next(self, node: str) -> Identity:
        """Identity of the next message of `node`."""
        if node not in self._given and len(self._given) >= self._nodes:
            self._given.clear()
            self._boot = _new_boot()
        number = self._given[node] % MODULUS
        self._given[node] += 1
        return Identity(self._boot, number, number)


def _new_boot() -> int:
    """Of numbers that are given here: negative, as no device names its own."""
    return secrets.randbelow(MODULUS) - MODULUS


@dataclass(slots=True)
class Received:
    """What has been stored of one (node, boot)."""

    contiguous: int
    """Up to here nothing is missing that could still come."""
    highest: int
    """Highest number stored; `contiguous` if none is beyond it."""
    last_ms: int | None = None
    """Time given to the row with the highest number [ms]."""
    beyond: set[int] = field(default_factory=set)
    """Stored numbers above `contiguous`."""

    @classmethod
    def before(cls, oldest: int) -> Received:
        """Nothing stored yet, and `oldest` is the first to expect."""
        return cls(contiguous=oldest - 1, highest=oldest - 1)

    def copy(self) -> Received:
        """An independent copy, to be thrown away if a transaction fails."""
        return Received(self.contiguous, self.highest, self.last_ms, set(self.beyond))

    def skip(self, oldest: int) -> list[tuple[int, int]]:
        """The device holds nothing below `oldest`; ranges (first, last) that never came."""
        if oldest - 1 <= self.contiguous:
            return []
        missing = []
        start = self.contiguous + 1
        for number in sorted(n for n in self.beyond if n < oldest):
            if number > start:
                missing.append((start, number - 1))
            start = number + 1
        if start < oldest:
            missing.append((start, oldest - 1))
        self.contiguous = oldest - 1
        self.highest = max(self.highest, self.contiguous)
        self.beyond = {n for n in self.beyond if n >= oldest}
        self._close()
        return missing

    def has(self, seq: int) -> bool:
        """Whether `seq` is stored or given up."""
        return seq <= self.contiguous or seq in self.beyond

    def fits(self, seq: int) -> bool:
        """Whether `seq` is within `WINDOW`."""
        return seq - self.contiguous <= WINDOW

    def add(self, seq: int) -> None:
        """`seq` is now stored."""
        self.beyond.add(seq)
        self.highest = max(self.highest, seq)
        self._close()

    def _close(self) -> None:
        while self.contiguous + 1 in self.beyond:
            self.contiguous += 1
            self.beyond.remove(self.contiguous)
