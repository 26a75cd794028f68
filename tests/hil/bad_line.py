"""A line that damages what it carries, by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from levada.hil.link import Line

Damage = Callable[[random.Random, bytes], bytes]


def clean(_random: random.Random, data: bytes) -> bytes:
    return data


def bit_errors(rate: float) -> Damage:
    """Every bit is flipped with that probability."""

    def damage(source: random.Random, data: bytes) -> bytes:
        flipped = bytearray(data)
        for k in range(8 * len(data)):
            if source.random() < rate:
                flipped[k // 8] ^= 1 << k % 8
        return bytes(flipped)

    return damage


def lost_and_inserted(rate: float) -> Damage:
    """Every byte is lost, or followed by another, with that probability each."""

    def damage(source: random.Random, data: bytes) -> bytes:
        changed = bytearray()
        for byte in data:
            if source.random() >= rate:
                changed.append(byte)
            if source.random() < rate:
                changed.append(source.randrange(256))
        return bytes(changed)

    return damage


def lost_answers(share: float) -> Damage:
    """So many of the pieces read are lost whole."""

    def damage(source: random.Random, data: bytes) -> bytes:
        return b"" if source.random() < share else data

    return damage


class BadLine:
    """A line in front of another: what is written and what is read goes through damage."""

    def __init__(
        self, line: Line, seed: int, *, written: Damage = clean, read: Damage = clean
    ) -> None:
        print(f"line seed {seed}")
        self.url = line.url
        self._line = line
        self._random = random.Random(seed)
        self._written = written
        self._read = read
        self.frames = 0
        """Writes, that is sendings of a request."""

    def open(self) -> None:
        self._line.open()

    def write(self, data: bytes) -> None:
        self.frames += 1
        self._line.write(self._written(self._random, data))

    def read(self, timeout_s: float) -> bytes:
        return self._read(self._random, self._line.read(timeout_s))

    def close(self) -> None:
        self._line.close()


class ByteByByte(BadLine):
    """Gives one byte a read."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, 0)
        self._kept = b""

    def read(self, timeout_s: float) -> bytes:
        self._kept = self._kept or self._line.read(timeout_s)
        first, self._kept = self._kept[:1], self._kept[1:]
        return first
