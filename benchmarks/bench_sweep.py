"""How much of a sweep two processes share: the parallel fraction by Amdahl's law.

Must hold: 97 % of the work of 200 seasons, from the times with one worker and with two (Amdahl
1967): p = 2 (1 - T2 / T1).  Both begin processes of their own, and are run by turns.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from levada.sim.scenario.shipped import scenario_path
from levada.sim.sweep.design import parameter
from levada.sim.sweep.sweep import Sweep

ROUNDS: Final = 3
SEEDS: Final = 40
ON_PCT: Final = "zone.parameters.on_pct=45:65:5"
LEAST: Final = 0.97


def _took_s(folder: Path, workers: int) -> float:
    begin_s = time.perf_counter()
    made = Sweep(
        folder,
        scenario_path("quickstart"),
        [parameter(ON_PCT)],
        seeds=range(1, SEEDS + 1),
        settings=[("expect", "[]")],
    )
    if not made.run(workers):
        raise RuntimeError(f"runs failed: {made.folder.failed()[:3]}")
    return time.perf_counter() - begin_s


def main() -> int:
    """Measure; 1 if less is shared."""
    took_s: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        _took_s(Path(name) / "warm", 2)  # kernels that were not compiled yet
        for k in range(ROUNDS):
            for workers, times in took_s.items():
                times.append(_took_s(Path(name) / f"{k}-{workers}", workers))
    one_s, two_s = (float(np.median(times)) for times in took_s.values())
    shared = 2.0 * (1.0 - two_s / one_s)
    for workers, times in took_s.items():
        print(f"{workers} worker{'s' * (workers > 1)}  {' '.join(f'{t:.1f}' for t in times)} s")
    print(
        f"{SEEDS * 5} runs: {one_s / two_s:.2f} times as fast with two, {100 * shared:.1f} % shared"
    )
    return int(shared < LEAST)


if __name__ == "__main__":
    sys.exit(main())
