"""Twin experiments: readings of a soil that is known, learned from by an ensemble that is not told.

The truth has a finer grid, a drawn soil, crop, irrigation and rain (with an error of each day
besides), and a probe with an offset, a gain and noise; the ensemble has the scenario and its
prior.  What is compared is the water at depths that the probe does not see.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from small_field import START_MS, scenario

from levada.sim.scenario.expand import expand
from levada.sim.scenario.load import load
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import ForcingCol
from levada.sim.units import DAY_MS, HOUR_MS
from levada.twin.estimate.ensemble import SoilEnsemble
from levada.twin.estimate.learn import Record, learn

DAYS = 20
FREQUENTLY_MS = 6 * HOUR_MS
SEEN_M = (0.1, 0.3)
"""Depths around the probe at 0.2 m that count as observed."""
DEEPEST_M = 1.0
NOISE = 0.003
STUCK_FROM = 0.6
"""Share of the record after which a stuck probe stands still."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One experiment."""

    free: float
    """RMS error of the prior's mean at depths that are not observed [m3 m-3]."""
    corrected: float
    covered: float
    """Share of depths and times whose truth lies within the 90 % band."""
    offset_sd: float
    """Error of the offset in standard deviations of the posterior."""


def field(cells: int) -> Scenario:
    """The small field by Richards' equation."""
    with tempfile.TemporaryDirectory() as folder:
        scenario(Path(folder), days=DAYS)
        path = Path(folder) / "field.toml"
        grid = f'soil.model = "richards"\nsoil.cells = {cells}'
        path.write_text(path.read_text().replace('soil.model = "bucket"', grid))
        return load(path)


def experiment(seed: int, *, members: int = 32, cells: int = 20) -> Outcome:
    """Draw a truth, read it by a biased probe, learn, compare."""
    random = np.random.default_rng(seed)
    fine, coarse = field(50), field(cells)
    truth = {
        "theta_fc": random.normal(1.0, 0.10),
        "theta_wp": random.normal(1.0, 0.08),
        "initial": random.normal(1.0, 0.15),
        "kcb": random.normal(1.0, 0.10),
        "roots": random.normal(1.0, 0.10),
        "rain": random.normal(1.0, 0.15),
        "et0": random.normal(1.0, 0.05),
        "flow": random.uniform(0.75, 1.05),
    }
    offset, gain = random.normal(0.0, 0.02), random.normal(1.0, 0.03)
    times = np.arange(START_MS + FREQUENTLY_MS, START_MS + DAYS * DAY_MS + 1, FREQUENTLY_MS)
    starts = START_MS + DAY_MS * np.arange(1, DAYS, 3) + 8 * HOUR_MS
    openings = np.column_stack((starts, starts + 4 * HOUR_MS))
    soil = SoilEnsemble(fine, expand(fine)[0], {k: np.array([v]) for k, v in truth.items()})
    wet = random.lognormal(0.0, 0.3, DAYS + 1)[np.arange(len(soil.table)) // 24 % (DAYS + 1)]
    soil.table[:, ForcingCol.RAIN_MM_H] *= wet
    real = soil.run(times, openings)
    seen = real.probe[:, 0]
    reads = seen.mean() + gain * (seen - seen.mean()) + offset
    reads = reads + random.normal(0.0, NOISE, len(times))
    record = Record(time_ms=times, theta=reads, openings_ms=openings, refused=0)
    found = learn(coarse, expand(coarse)[0], record, members=members)
    depths = found.corrected.depths_m
    unseen = depths[(depths <= DEEPEST_M) & ((depths < SEEN_M[0]) | (depths > SEEN_M[1]))]
    true = _at(real.theta, real.depths_m, unseen)[:, 0]
    free = _at(found.free.theta, depths, unseen)
    after = _at(found.corrected.theta, depths, unseen)
    low, high = np.quantile(after, (0.05, 0.95), axis=1)
    learned = found.posterior["offset"]
    return Outcome(
        free=_rms(free.mean(axis=1) - true),
        corrected=_rms(after.mean(axis=1) - true),
        covered=float(np.mean((low <= true) & (true <= high))),
        offset_sd=float((learned.mean() - offset) / learned.std(ddof=1)),
    )


def _at(theta: Any, depths_m: Any, wanted_m: Any) -> npt.NDArray[np.float64]:
    """Water contents (t, n, c) at other depths, linear in between."""
    shape = (*theta.shape[:2], len(wanted_m))
    rows = theta.reshape(-1, theta.shape[2])
    return np.array([np.interp(wanted_m, depths_m, row) for row in rows]).reshape(shape)


def _rms(error: Any) -> float:
    return float(np.sqrt(np.mean(np.square(error))))


def summary(outcomes: list[Outcome]) -> dict[str, float]:
    """Figures over all experiments; errors of all together, not the mean of ratios."""
    free = np.sqrt(np.mean([o.free**2 for o in outcomes]))
    corrected = np.sqrt(np.mean([o.corrected**2 for o in outcomes]))
    sds = np.abs([o.offset_sd for o in outcomes])
    return {
        "free": float(free),
        "corrected": float(corrected),
        "less": float(1.0 - corrected / free),
        "better": float(np.mean([o.corrected < o.free for o in outcomes])),
        "covered": float(np.mean([o.covered for o in outcomes])),
        "offset_within_1.64_sd": float(np.mean(sds < 1.64)),
    }


if __name__ == "__main__":
    first, last = (int(word) for word in sys.argv[1:3])
    for number in range(first, last):
        print(number, experiment(number), flush=True)
