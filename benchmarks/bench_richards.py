"""What the soil model costs by itself: `python benchmarks/bench_richards.py`.

A maize field on loam, 1.5 m and 50 cells, hourly weather with rain and two hours of irrigation
every fourth day, called every 10 minutes.  Rounds of zones are taken in turns and the best of each
is given: what the work costs, not what else the machine had to do.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import time

import numba
import numpy as np

from levada.sim.soil.hydraulics import VanGenuchten
from levada.sim.soil.model import ForcingCol, new_fluxes, new_forcing, new_observed
from levada.sim.soil.richards import Richards, warm_up
from levada.sim.soil.richards_profile import Layer, SoilProfile

# Carsel and Parrish (1988), Tables 3 and 6
SOILS = {
    "sand": VanGenuchten(theta_r=0.045, theta_s=0.43, alpha_per_m=14.5, n=2.68, ks_m_d=7.128),
    "loam": VanGenuchten(theta_r=0.078, theta_s=0.43, alpha_per_m=3.6, n=1.56, ks_m_d=0.2496),
    "clay": VanGenuchten(theta_r=0.068, theta_s=0.38, alpha_per_m=0.8, n=1.09, ks_m_d=0.048),
}
CALLS_A_DAY = 144
ROUNDS = 5


class Field:
    """Zones of one soil under one weather, and their clock."""

    def __init__(self, soil: str, n: int) -> None:
        zone = SoilProfile(layers=[Layer(thickness_m=1.5, soil=SOILS[soil])])
        self.model = Richards([zone] * n)
        self.forcing, self.fluxes = new_forcing(n), new_fluxes(n)
        self.observed = new_observed(n)
        self.day = 0

    def days(self, count: int) -> float:
        """Seconds a day of one zone."""
        spent = 0.0
        for _ in range(count):
            rain = np.random.default_rng(self.day).exponential(3.0, 24)
            for hour in range(24):
                self._weather(hour, float(rain[hour]) if self.day % 7 == 5 and hour < 4 else 0.0)
                start = time.perf_counter()
                for _ in range(6):
                    self.model.advance(600.0, self.forcing, self.fluxes, self.observed)
                spent += time.perf_counter() - start
            self.day += 1
        return spent / count / self.model.n

    def _weather(self, hour: int, rain: float) -> None:
        sun = max(0.0, math.sin((hour - 5.5) / 12.0 * math.pi))
        f = self.forcing
        f[:, ForcingCol.RAIN_MM_H] = rain
        f[:, ForcingCol.EVAPORATION_MM_H] = 0.15 * sun
        f[:, ForcingCol.EVAPORATION_CAP_MM_H] = 0.12 * sun
        f[:, ForcingCol.TRANSPIRATION_MM_H] = 0.5 * sun
        f[:, ForcingCol.ZR_M] = min(0.2 + 0.01 * self.day, 1.0)
        f[:, ForcingCol.IRRIGATION_MM_H] = 10.0 if self.day % 4 == 0 and hour in (5, 6) else 0.0
        f[:, ForcingCol.IRRIGATION_TO_S] = 600.0


def main() -> int:
    """Print the table; exit code 1 if a zone among 1000 costs more than a single one."""
    print(f"python {platform.python_version()}, numba {numba.__version__}, "
          f"numpy {np.__version__}")  # fmt: skip
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors")
    warm_up()
    print(f"\n{'soil':<6}{'zones':>6}{'ms a day':>10}{'days/s':>9}{'us a call':>11}"
          f"{'steps':>7}{'iterations':>12}")  # fmt: skip
    cost = {}
    for soil, n, days in (("sand", 1, 40), ("loam", 1, 40), ("clay", 1, 40), ("loam", 1000, 1)):
        field = Field(soil, n)
        field.days(1)
        work = field.model.counters()
        best = min(field.days(days) for _ in range(ROUNDS))
        after = field.model.counters()
        done = days * ROUNDS * n
        cost[n] = best
        print(
            f"{soil:<6}{n:>6}{best * 1e3:>10.3f}{1.0 / best:>9.0f}"
            f"{best / CALLS_A_DAY * 1e6:>11.2f}{(after['steps'] - work['steps']) / done:>7.0f}"
            f"{(after['iterations'] - work['iterations']) / done:>12.0f}"
        )
        if soil == "loam" and n == 1:
            single = best
    print(f"\na zone among 1000 costs {cost[1000] / single:.2f} of a single one (at most 1)")
    return 0 if cost[1000] <= single else 1


if __name__ == "__main__":
    sys.exit(main())
