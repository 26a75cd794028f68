"""Calls of the functions of fog and cloud: a model of what they return, and random ones.

The model is docs/abi.md, "Functions of fog and cloud", in Python's own numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from levada.guest.module.inspect import inspect

SHIPPED = (Path(__file__).parents[2] / "levada/guest/irrigation/irrigation.wasm").read_bytes()
DECLARED = {p.name: p for p in inspect(SHIPPED).parameters}
INVALID = -1
I32_MOST = 2**31 - 1
EXPORTS = (
    "process",
    "filter",
    "anomaly",
    "window_add",
    "window_get",
    "look_back",
    "filter_state",
)
VARIED = {
    "filter_kind": (0, 2),
    "ema_shift": (0, 6),
    "window": (1, 16),
    "min_counts": (0, 500),
    "max_counts": (1000, 4095),
    "stuck_counts": (0, 40),
    "flat_s": (1, 50_000),
    "most_rate": (0, 60),
    "hampel_readings": (3, 16),
    "hampel_tenths": (0, 100),
    "window_s": (1, 40_000),
}
"""Parameters, and what random ones are from and to."""

Ints = npt.NDArray[np.int32]


def median(values: list[int]) -> int:
    """The middle one; of two in the middle their mean, a half upwards."""
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle] + 1) // 2


class TierModel:
    """The functions for one node, with the shipped guest's parameters."""

    def __init__(self) -> None:
        self.setting = {p.id: p.default for p in DECLARED.values()}
        self.exponential = 0
        self.taken: deque[int] = deque(maxlen=16)
        self.seen: deque[int] = deque(maxlen=16)
        self.seen_at = 0
        self.anchor = 0
        self.unmoved_s = 0
        self.number = 0
        self.open: list[int] = []
        self.before: list[int] = []

    def __getitem__(self, name: str) -> int:
        return self.setting[DECLARED[name].id]

    def param_set(self, parameter: int, value: int) -> int:
        self.setting[parameter] = value
        return 0

    def process(self, raw: int, dry: int, wet: int, limit: int) -> int:
        raw, dry, wet = (min(max(counts, 0), 4095) for counts in (raw, dry, wet))
        if dry == wet:
            return 0
        percent = min(max(int(Decimal(dry - raw) * 100 / Decimal(dry - wet)), 0), 100)
        irrigate = raw > limit if dry > wet else raw < limit
        return percent | irrigate << 8

    def take(self, raw: int) -> None:
        raw = min(max(raw, 0), 4095)
        if self.taken:
            self.exponential += (256 * raw - self.exponential) >> self["ema_shift"]
        else:
            self.exponential = 256 * raw
        self.taken.append(raw)

    def filter(self, raw: int) -> int:
        self.take(raw)
        last = list(self.taken)[-self["window"] :]
        match self["filter_kind"]:
            case 0:
                return (self.exponential + 128) >> 8
            case 1:
                return (sum(last) + len(last) // 2) // len(last)
            case _:
                return median(last)

    def look_back(self, value: int) -> int:
        if value < 0:
            self.exponential = min(-1 - value, 256 * 4095)
        else:
            self.take(value)
        return 0

    def filter_state(self) -> int:
        return -1 - self.exponential

    def anomaly(self, raw: int, t_s: int) -> int:
        if not self["min_counts"] <= raw <= self["max_counts"]:
            return 1
        first = not self.seen
        passed = (t_s - self.seen_at + 2**31) % 2**32 - 2**31
        passed = 0 if first else min(max(passed, 0), 86_400)
        limit = self["flat_s"]
        if first:
            self.anchor = raw
        if abs(raw - self.anchor) >= self["stuck_counts"]:
            self.anchor, self.unmoved_s = raw, 0
        elif self.unmoved_s < limit:
            self.unmoved_s += min(passed, -(-limit // 3))
        found = 2 if self.unmoved_s >= limit else 0
        rate = self["most_rate"]
        if passed and rate and 60 * abs(raw - self.seen[-1]) > rate * passed:
            found |= 4
        self.seen.append(raw)
        self.seen_at = t_s
        return found | (8 if self.is_outlier(raw) else 0)

    def is_outlier(self, raw: int) -> bool:
        wanted, tenths = self["hampel_readings"], self["hampel_tenths"]
        if len(self.seen) < wanted or not tenths:
            return False
        last = list(self.seen)[-wanted:]
        centre = median(last)
        deviation = median([abs(value - centre) for value in last])
        return 10_000 * abs(raw - centre) > 1_483 * tenths * max(deviation, 1)

    def window_add(self, value: int, t_s: int) -> int:
        number = t_s % 2**32 // self["window_s"]
        another = bool(self.open) and number != self.number
        if another:
            self.before, self.open = self.open, []
        elif not -I32_MOST - 1 <= sum(self.open) + value <= I32_MOST:
            return INVALID
        self.number = number
        self.open.append(value)
        return int(another)

    def window_get(self, kind: int) -> int:
        values = self.before if kind & 8 else self.open
        if not 0 <= kind <= 15 or kind & 7 > 4:
            return INVALID
        if not values:
            return 0
        mean = (Decimal(sum(values)) / len(values)).quantize(Decimal(1), ROUND_HALF_UP)
        return (len(values), int(mean), min(values), max(values), sum(values))[kind & 7]


class Calls(NamedTuple):
    """A batch: one function for many nodes."""

    name: str
    nodes: Ints
    arguments: Ints


def random_calls(seed: int, nodes: int, blocks: int, calls: int) -> Iterator[Calls]:
    """In each block, `calls` of every function; parameters of some nodes change between two."""
    generator = np.random.default_rng(seed)
    print(f"seed {seed}")
    time_s = 1_681_516_800
    for block in range(blocks):
        changed = np.arange(nodes) if block == 0 else generator.integers(0, nodes, 1 + nodes // 8)
        for name, (least, most) in VARIED.items():
            values = generator.integers(least, most + 1, changed.size)
            yield _calls("param_set", changed, np.full(changed.size, DECLARED[name].id), values)
        times = time_s + np.cumsum(generator.integers(0, 1 + 1000 // nodes, calls))
        time_s = int(times[-1])
        jumps = generator.integers(-400_000, 400_000, calls)
        times += np.where(generator.random(calls) < 0.01, jumps, 0)
        times = _strewn(generator, times, 0.002)
        for name in EXPORTS:
            at = generator.integers(0, nodes, calls)
            yield _calls(name, at, *_arguments(generator, name, at, times, block))


def _arguments(
    generator: np.random.Generator,
    name: str,
    nodes: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    block: int,
) -> tuple[npt.NDArray[np.int64], ...]:
    count = nodes.size
    noise = generator.integers(-30, 31, count) if block % 3 else generator.integers(0, 2, count)
    raw = 1200 + 37 * (nodes % 40) + 90 * (block % 7) + noise
    raw = np.where(generator.random(count) < 0.02, generator.integers(0, 4096, count), raw)
    raw = _strewn(generator, raw, 0.005)
    match name:
        case "process":
            counts = [generator.integers(-50, 4200, count) for _ in range(3)]
            return raw, *(_strewn(generator, column, 0.01) for column in counts)
        case "filter":
            return (raw,)
        case "anomaly":
            return raw, times
        case "window_add":
            return _strewn(generator, raw - 1500, 0.01), times
        case "window_get":
            return (_strewn(generator, generator.integers(-2, 18, count), 0.01),)
        case "look_back":
            return (_strewn(generator, raw, 0.1),)
        case _:
            return ()


def _strewn(
    generator: np.random.Generator, values: npt.NDArray[np.int64], share: float
) -> npt.NDArray[np.int64]:
    """With any 32 bits among them."""
    anything = generator.integers(-(2**31), 2**31, values.size)
    return np.where(generator.random(values.size) < share, anything, values)


def _calls(name: str, nodes: npt.NDArray[np.int64], *columns: npt.NDArray[np.int64]) -> Calls:
    arguments = np.column_stack(columns) if columns else np.zeros((nodes.size, 0))
    return Calls(name, nodes.astype(np.int32), np.ascontiguousarray(arguments, dtype=np.int32))
