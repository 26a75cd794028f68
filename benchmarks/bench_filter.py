"""Filtered readings a second for 100 nodes, against wasmtime-py: `python -m benchmarks filter`.

The peer does what a subscriber would do that is written straight from the manual of wasmtime: one
store a node, one call of `filter` for each message, without budget or deadline.  A bank counts
instructions, keeps deadlines and takes traps; it is fed in batches, as a fog node does between two
commits.  Rounds are taken in turns, and the best of each way is given.

Windows are summed up by fog itself (`levada.twin.continuum.windows`), though the guest could: what
either costs a reading is told, for readings that are all in time.
"""

from __future__ import annotations

import math
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import wasmtime

from levada.guest.abi import Window
from levada.guest.wasm.bank import Bank, EngineName
from levada.twin.continuum.windows import Windows

IRRIGATION = Path(__file__).parent.parent / "levada/guest" / "irrigation" / "irrigation.wasm"
NODES = 100
READINGS = 20_000
ROUNDS = 7
BATCHES = (1, 10, 100, 1_000)
ENGINES: tuple[EngineName, ...] = ("wasm", "native")
TARGET = 5.0
TARGET_BATCH = 100
HOUR_MS = 3_600_000
PARTS = ("raw_count", "raw_mean", "raw_min", "raw_max")
KINDS = np.array(
    [Window.BEFORE + k for k in (Window.COUNT, Window.MEAN, Window.MINIMUM, Window.MAXIMUM)],
    dtype=np.int32,
)

Ints = npt.NDArray[np.int32]


class Peer:
    """The module in wasmtime-py, without levada."""

    def __init__(self, module: bytes) -> None:
        engine = wasmtime.Engine()
        compiled = wasmtime.Module(engine, module)
        linker = wasmtime.Linker(engine)
        for item in compiled.imports:
            assert isinstance(item.type, wasmtime.FuncType)
            assert item.name is not None
            linker.define_func(item.module, item.name, item.type, lambda *_arguments: 0)
        self.filters = []
        for _ in range(NODES):
            store = wasmtime.Store(engine)
            function = linker.instantiate(store, compiled).exports(store)["filter"]
            assert isinstance(function, wasmtime.Func)
            self.filters.append((store, function))

    def run(self, nodes: list[int], readings: list[int]) -> list[int]:
        """Filtered readings, one message after the other."""
        results = []
        for node, raw in zip(nodes, readings, strict=True):
            store, function = self.filters[node]
            results.append(function(store, raw))
        return results


def in_batches(bank: Bank, nodes: Ints, readings: Ints, size: int) -> list[int]:
    """The same by a bank."""
    results = [
        bank.call("filter", nodes[at : at + size], readings[at : at + size]).results
        for at in range(0, nodes.size, size)
    ]
    return np.concatenate(results).tolist()  # type: ignore[no-any-return]


def main() -> int:
    """Print the table; exit code 1 if batches of 100 are less than 5 times as fast."""
    print(f"python {platform.python_version()}, wasmtime {version('wasmtime')}")
    module = IRRIGATION.read_bytes()
    generator = np.random.default_rng(1)
    nodes = generator.integers(0, NODES, READINGS).astype(np.int32)
    readings = generator.integers(1000, 3000, READINGS).astype(np.int32)
    best: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):
        peer = Peer(module)
        start = time.perf_counter()
        expected = peer.run(nodes.tolist(), readings.tolist())
        note(best, ("peer", 1), start)
        for engine in ENGINES:
            for size in BATCHES:
                with Bank(module, NODES, engine=engine) as bank:
                    bank.call("filter_state", np.arange(NODES))  # makes the instances
                    start = time.perf_counter()
                    found = in_batches(bank, nodes, readings, size)
                    note(best, (engine, size), start)
                assert found == expected
    plain = READINGS / best["peer", 1]
    print(f"\nplain wasmtime-py, one call a message: {plain:,.0f} readings/s\n")
    print(f"{'batch':>8}" + "".join(f"{engine + ' /s':>16}{'ratio':>8}" for engine in ENGINES))
    for size in BATCHES:
        rates = [READINGS / best[engine, size] for engine in ENGINES]
        print(f"{size:>8,}" + "".join(f"{rate:>16,.0f}{rate / plain:>8.1f}" for rate in rates))
    windows(module)
    reached = best["peer", 1] / best["wasm", TARGET_BATCH]
    print(f"\nwasm in batches of {TARGET_BATCH}: {reached:.1f} times as fast (target {TARGET:g})")
    return 0 if reached >= TARGET else 1


def windows_by_fog(times_ms: list[int], readings: list[list[int]]) -> list[list[int]]:
    """Count, mean, minimum and maximum of every window that is over, node by node."""
    nodes = [Windows(HOUR_MS, 24 * HOUR_MS) for _ in range(NODES)]
    found = []
    for t_ms, of_nodes in zip(times_ms, readings, strict=True):
        for node, raw in zip(nodes, of_nodes, strict=True):
            for row in node.add(t_ms, raw, {}):
                found.append([int(row[name]) for name in PARTS])
    return found


def windows_by_guest(bank: Bank, times_ms: list[int], readings: list[list[int]]) -> list[list[int]]:
    """The same by `window_add`, and `window_get` where a window is over."""
    everyone = np.arange(NODES, dtype=np.int32)
    found = []
    for t_ms, of_nodes in zip(times_ms, readings, strict=True):
        arguments = np.empty((NODES, 2), dtype=np.int32)
        arguments[:, 0], arguments[:, 1] = of_nodes, t_ms // 1000
        over = np.flatnonzero(bank.call("window_add", everyone, arguments).results == 1)
        if over.size:
            kinds = np.tile(KINDS, over.size).reshape(-1, 1)
            parts = bank.call("window_get", np.repeat(over, len(KINDS)), kinds).results
            found += parts.reshape(-1, len(KINDS)).tolist()
    return found


def windows(module: bytes) -> None:
    """Print what a reading costs in its window."""
    generator = np.random.default_rng(2)
    times_ms = [1_700_000_000_000 + 600_000 * k for k in range(READINGS // NODES)]
    readings = generator.integers(1000, 3000, (len(times_ms), NODES)).tolist()
    best: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        expected = windows_by_fog(times_ms, readings)
        note(best, ("fog", 0), start)
        for engine in ENGINES:
            with Bank(module, NODES, engine=engine) as bank:
                bank.call("window_get", np.arange(NODES), np.zeros((NODES, 1), dtype=np.int32))
                start = time.perf_counter()
                found = windows_by_guest(bank, times_ms, readings)
                note(best, (engine, 0), start)
            assert found == expected
    print(f"\nwindows of an hour, a reading every 10 min of each of {NODES} nodes:")
    for (way, _), took_s in best.items():
        print(f"{way:>8} {took_s / READINGS * 1e6:6.2f} us a reading")


def note(best: dict[tuple[str, int], float], key: tuple[str, int], start: float) -> None:
    """Keep the time since `start` if it is the best."""
    best[key] = min(best.get(key, math.inf), time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
