"""What a step of a guest costs, fast path against ordinary path: `python benchmarks/bench_host.py`.

Both ways run with all checks, fuel, the watchdog and the tape on.  Rounds are taken in turns, and
the best of each way is given: what the work costs, not what else the machine had to do.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import wasmtime

from levada.guest.fast import fastpath
from levada.guest.tape import iter_records
from levada.guest.wasm.fleet import SimNodes
from levada.guest.wasm.pure import PureGuest

IRRIGATION = Path(__file__).parent.parent / "levada/guest" / "irrigation" / "irrigation.wasm"
TICK_MS = 600_000
ROUNDS = 9

TWO_CALLS = bytes(
    wasmtime.wat2wasm("""(module
      (import "env" "read_sensor" (func $read_sensor (param i32) (result i32)))
      (import "env" "set_output" (func $set_output (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "abi_version") (result i32) i32.const 1)
      (func (export "init") (result i32) i32.const 0)
      (func (export "step") (result i32)
        (call $set_output (i32.const 23)
          (i32.gt_s (call $read_sensor (i32.const 0)) (i32.const 2000)))
        i32.const 600000))""")
)


def cpu() -> str:
    """Name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class Bench:
    """One host and its clock."""

    def __init__(self, module: bytes, n: int, path: str) -> None:
        self.nodes = SimNodes(module, n, path="fast" if path == "fast" else "ordinary")
        self.nodes.boot(0)
        self.time_ms = 0
        rng = np.random.default_rng(1)
        self.readings = np.stack(
            [
                np.stack(
                    [rng.integers(1400, 2400, n), np.full(n, 2000), np.full(n, 3700), np.zeros(n)],
                    axis=1,
                ).astype(np.int32)
                for _ in range(16)
            ]
        )

    def steps(self, count: int) -> float:
        """Seconds a step of one zone; tapes are drained once a day, as a run does."""
        nodes, readings, n = self.nodes, self.readings, self.nodes.n
        start = time.perf_counter()
        for k in range(count):
            self.time_ms += TICK_MS
            nodes.step(self.time_ms, readings[k & 15])
            if k % 144 == 0:
                for zone in range(n):
                    nodes.drain_tape(zone)
        return (time.perf_counter() - start) / count / n

    def calls(self) -> float:
        """Host calls a step, read off the tape."""
        nodes = self.nodes
        nodes.drain_tape(0)
        for k in range(16):
            self.time_ms += TICK_MS
            nodes.step(self.time_ms, self.readings[k])
        return sum(1 <= r.call <= 8 for r in iter_records(nodes.drain_tape(0))) / 16


def compare(module: bytes, n: int, fast_steps: int, slow_steps: int) -> tuple[float, float, float]:
    """(fast, ordinary, calls): seconds a zone-step on each path, host calls a step."""
    fast, slow = Bench(module, n, "fast"), Bench(module, n, "ordinary")
    fast.steps(20)
    slow.steps(5)
    pairs = [(fast.steps(fast_steps), slow.steps(slow_steps)) for _ in range(ROUNDS)]
    calls = fast.calls()
    fast.nodes.close()
    slow.nodes.close()
    return min(p[0] for p in pairs), min(p[1] for p in pairs), calls


def once(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    """Print the table; exit code 1 if the fast path is less than 8 times as fast."""
    usable, line = fastpath.status()
    print(f"python {platform.python_version()}, wasmtime {version('wasmtime')}, "
          f"numba {version('numba')}, numpy {version('numpy')}")  # fmt: skip
    print(f"{cpu()}, {platform.system()} {platform.machine()}")
    print(line)
    if not usable:
        return 1
    irrigation = IRRIGATION.read_bytes()
    print(f"\n{'guest':<22}{'zones':>6}{'calls':>7}{'fast us':>10}{'ordinary us':>13}{'ratio':>8}")
    ratio = 0.0
    for name, module, n, fast_steps, slow_steps in (
        ("two host calls", TWO_CALLS, 1, 40_000, 600),
        ("irrigation", irrigation, 1, 20_000, 200),
        ("irrigation", irrigation, 100, 400, 3),
        ("irrigation", irrigation, 1000, 60, 1),
    ):
        fast, slow, calls = compare(module, n, fast_steps, slow_steps)
        ratio = ratio or slow / fast
        costs = f"{fast * 1e6:>10.2f}{slow * 1e6:>13.1f}{slow / fast:>8.0f}"
        print(f"{name:<22}{n:>6}{calls:>7.1f}{costs}")

    nodes = SimNodes(irrigation, 100)
    boot = min(once(lambda: nodes.boot(0)) for _ in range(ROUNDS)) / 100
    nodes.close()
    with PureGuest(irrigation) as pure:
        pure.call("filter", 1800)
        batch = [
            once(lambda: [pure.call("filter", 1800) for _ in range(500)]) for _ in range(ROUNDS)
        ]
        call = min(batch) / 500
    print(f"\nboot of a zone {boot * 1e6:.0f} us, pure function {call * 1e6:.1f} us")
    print(f"step with two host calls: {ratio:.0f} times as fast as the ordinary path (target 8)")
    return 0 if ratio >= 8.0 else 1


if __name__ == "__main__":
    sys.exit(main())
