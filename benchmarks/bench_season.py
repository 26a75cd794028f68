"""Seasons a second, beside pyfao56 on the same days: `python -m benchmarks season`.

Everything is on: the guest every ten minutes, 50 cells, trace and tape written to disk.  The wall
clock is that of the whole field loop with its files.  pyfao56 gets reference ET, rain and the water
that levada's guest gave each day; only `Model.run` is timed, so that nothing but its daily loop
counts.  Rounds are taken in turns, as many of each program, and the best of each is given: what the
work costs, not what else the machine had to do.  Two tables count more, see
`benchmarks.whole_season`.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyfao56

from benchmarks.bench_host import cpu
from benchmarks.whole_season import on_equal_terms, processes
from levada.sim.crop import et0
from levada.sim.run import soils
from levada.sim.run.runner import read_weather, run_scenario
from levada.sim.run.trace import read_trace
from levada.sim.scenario.expand import expand
from levada.sim.scenario.load import load
from levada.sim.units import DAY_MS
from validation.soil_water import DEPTHS_M, THETA_FC, THETA_START, THETA_WP

QUICKSTART = Path(__file__).parent.parent / "levada/scenarios" / "quickstart.toml"
ROUNDS = 9
SCALING = {1: 9, 10: 5, 100: 3, 1000: 2}
"""Rounds by number of zones."""
SCALING_DAYS = ("2023-07-01", "2023-07-20")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run."""

    wall_s: float
    cores: float
    """Processor time over wall-clock time, set-up and summary included."""
    steps: int
    days: float

    @property
    def days_per_s(self) -> float:
        """Field-days a second, all zones together."""
        return self.days / self.wall_s

    @property
    def step_us(self) -> float:
        """Wall clock for one zone and one step of the guest."""
        return self.wall_s / self.steps * 1e6


def levada(
    soil: str,
    zones: int = 1,
    days: tuple[str, str] | None = None,
    look: Callable[[Path], None] | None = None,
) -> Cost:
    """One run of the quickstart's scenario."""
    overrides = [("zone.maize.soil.model", f'"{soil}"'), ("zone.maize.count", str(zones))]
    if days is not None:
        overrides += [("period.start", days[0]), ("period.end", days[1])]
    scenario = load(QUICKSTART, overrides)
    with tempfile.TemporaryDirectory() as folder:
        start, processor = time.perf_counter(), time.process_time()
        summary = run_scenario(scenario, Path(folder), report=False).summary
        whole, processor = time.perf_counter() - start, time.process_time() - processor
        if look is not None:
            look(Path(folder))
    return Cost(
        wall_s=summary["wall_s"],
        cores=processor / whole,
        steps=summary["steps"],
        days=summary["days"] * zones,
    )


def irrigation_mm(path: Path) -> np.ndarray[Any, Any]:
    """Water a day that the guest gave in a run."""
    trace = read_trace(path / "trace.parquet")
    # a row holds what passed since the row before
    day = (np.asarray(trace["time_ms"], dtype=np.int64) - 1) // DAY_MS
    first = int(trace["time_ms"][0]) // DAY_MS
    return np.bincount(np.maximum(day - first, 0), weights=trace["irrigation_mm"])


def peer_inputs(water_mm: np.ndarray[Any, Any], *, layered: bool) -> dict[str, Any]:
    """What pyfao56 needs for the season: its tables, and the keys of the days."""
    scenario = load(QUICKSTART)
    weather = read_weather(scenario)
    zone = expand(scenario)[0]
    crop = soils.crop(zone.crop)
    fc, wp = soils.field_capacity(zone.soil), soils.wilting_point(zone.soil)
    start = wp + 0.8 * (fc - wp)
    period = pd.date_range(scenario.period.start, scenario.period.end, freq="D")
    keys = [f"{day:%Y-%j}" for day in period]
    parameters = pyfao56.Parameters(
        Kcbini=crop.kcb_ini,
        Kcbmid=crop.kcb_mid,
        Kcbend=crop.kcb_end,
        Lini=crop.stages[0],
        Ldev=crop.stages[1],
        Lmid=crop.stages[2],
        Lend=crop.stages[3],
        hini=crop.height_min_m,
        hmax=crop.height_max_m,
        thetaFC=fc,
        thetaWP=wp,
        theta0=start,
        Zrini=crop.zr_min_m,
        Zrmax=crop.zr_max_m,
        pbase=crop.depletion_fraction,
    )
    data = pyfao56.Weather()
    data.rfcrp, data.z, data.lat, data.wndht = "S", 1427.4, 40.4487, 2.0
    data.wdata = pd.DataFrame(
        {
            "RHmin": weather.days.rhmin_pct,
            "Wndsp": weather.days.wind_m_s,
            "Rain": weather.days.rain_mm,
            "ETref": et0.of_weather(weather).reshape(-1, 24).sum(axis=1),
        },
        index=keys,
    )
    irrigation = pyfao56.Irrigation()
    for key, depth in zip(keys, water_mm, strict=False):
        if depth > 0.0:
            irrigation.addevent(int(key[:4]), int(key[5:]), float(depth), 0.3)
    profile = None
    if layered:
        profile = pyfao56.SoilProfile()  # the farm's, as published: seven layers, 2.35 m
        profile.sdata = pd.DataFrame(
            {"thetaFC": THETA_FC, "thetaWP": THETA_WP, "theta0": THETA_START},
            index=[round(100 * depth) for depth in DEPTHS_M],
        )

    return {
        "keys": keys,
        "parameters": parameters,
        "weather": data,
        "irrigation": irrigation,
        "profile": profile,
    }


def peer_run(inputs: dict[str, Any]) -> float:
    """Seconds of pyfao56's daily loop."""
    keys = inputs["keys"]
    model = pyfao56.Model(
        keys[0],
        keys[-1],
        inputs["parameters"],
        inputs["weather"],
        irr=inputs["irrigation"],
        sol=inputs["profile"],
    )
    begun = time.perf_counter()
    model.run()
    return time.perf_counter() - begun


def _print_whole(inputs: dict[str, dict[str, Any]]) -> None:
    """Print what a season costs with all that it needs."""
    equal = on_equal_terms(ROUNDS)
    title = "seven layers, 184 days in steps of a day, with set-up"
    print(f"\n{title:<55}{'ms':>9}{'ratio':>8}")
    for name, seconds in equal.items():
        ratio = equal["pyfao56, layered"] / seconds
        print(f"{name:<55}{seconds * 1e3:>9.1f}{ratio:>8.2f}", flush=True)
    print(f"\n{'whole process, the season of one zone':<55}{'cold s':>9}{'warm s':>8}")
    for name, row in processes(inputs).iterrows():
        print(f"{name:<55}{row['cold']:>9.2f}{row['warm']:>8.2f}", flush=True)


def main() -> int:
    """Print the tables; exit code 1 if a stated figure is missed."""
    print(
        f"python {platform.python_version()}, levada {version('levada')}, "
        f"pyfao56 {version('pyfao56')}, wasmtime {version('wasmtime')}, "
        f"numba {version('numba')}, numpy {version('numpy')}, pyarrow {version('pyarrow')}"
    )
    print(f"{cpu()}, {platform.system()} {platform.machine()}\n")
    water: list[np.ndarray[Any, Any]] = []
    for soil in ("bucket", "richards"):  # also compiles, before any clock runs
        levada(soil, look=lambda path: water.append(irrigation_mm(path)))
    daily, layers = (peer_inputs(water[-1], layered=layered) for layered in (False, True))
    rounds = [
        (levada("richards"), levada("bucket"), peer_run(daily), peer_run(layers))
        for _ in range(ROUNDS)
    ]
    richards = min((r[0] for r in rounds), key=lambda c: c.wall_s)
    bucket = min((r[1] for r in rounds), key=lambda c: c.wall_s)
    rates = {
        "pyfao56, daily bucket": richards.days / min(r[2] for r in rounds),
        "pyfao56, layered (seven layers)": richards.days / min(r[3] for r in rounds),
        "levada, bucket, guest every 10 min": bucket.days_per_s,
        "levada, Richards (50 cells), guest every 10 min": richards.days_per_s,
    }
    base = rates["pyfao56, daily bucket"]
    print(f"season of {richards.days:.0f} days, one zone{'':<21}{'field-days/s':>14}{'ratio':>8}")
    for name, rate in rates.items():
        print(f"{name:<50}{rate:>12.0f}{rate / base:>8.2f}")

    _print_whole({"pyfao56, daily bucket": daily, "pyfao56, layered (seven layers)": layers})

    print(f"\n{'soil':<10}{'zones':>6}{'us per zone-step':>18}{'field-days/s':>14}{'cores':>7}")
    costs: dict[tuple[str, int], Cost] = {}
    for soil in ("bucket", "richards"):
        for zones, times in SCALING.items():
            best = min(
                (levada(soil, zones, SCALING_DAYS) for _ in range(times)), key=lambda c: c.wall_s
            )
            costs[soil, zones] = best
            print(
                f"{soil:<10}{zones:>6}{best.step_us:>18.2f}{best.days_per_s:>14.0f}"
                f"{best.cores:>7.2f}",
                flush=True,
            )
    one, thousand = costs["richards", 1], costs["richards", 1000]
    layered = rates["pyfao56, layered (seven layers)"]
    claims = {
        f"Richards / pyfao56's daily bucket: {richards.days_per_s / base:.2f}, at least 1": (
            richards.days_per_s >= base
        ),
        f"Richards / pyfao56's layered mode: {richards.days_per_s / layered:.2f}, at least 3": (
            richards.days_per_s >= 3.0 * layered
        ),
        f"zone-step at 1000 zones / at 1: {thousand.step_us / one.step_us:.2f}, at most 1": (
            thousand.step_us <= one.step_us
        ),
    }
    print()
    for text, held in claims.items():
        print(f"{text}: {'held' if held else 'MISSED'}")
    return 0 if all(claims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
