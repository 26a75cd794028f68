"""What the grid of the soil does to a run: the same with twice the cells, and the difference.

Everything else is as it was: weather, seed, guest, noise of the probes.  A guest that decides
otherwise on the finer grid, a step earlier or later, belongs to the difference.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from levada.sim.errors import SettingError
from levada.sim.run.runner import Extension, run_scenario
from levada.sim.run.trace import Trace, read_trace
from levada.sim.scenario.expand import expand
from levada.sim.scenario.model import Scenario
from levada.sim.soil.model import FloatArray

__all__ = ["with_grid_check"]

WATER: Final = ("theta_root", "theta_probe")
SUMS: Final = {
    "drainage": ("drainage_mm",),
    "et": ("evaporation_mm", "transpiration_mm"),
    "irrigation": ("irrigation_mm",),
}


def with_grid_check(scenario: Scenario, extend: Extension | None = None) -> Extension:
    """An extension of a run that runs the field again and adds the difference to its summary.

    Raises SettingError if there is no grid, or a node that cannot be run twice.
    """
    _refuse(scenario)

    def check(scenario: Scenario, path: Path) -> dict[str, Any]:
        more = {} if extend is None else extend(scenario, path)
        with TemporaryDirectory(prefix="levada-grid-") as folder:
            finer = run_scenario(_finer(scenario), Path(folder) / "run", report=False)
            if finer.interrupted:
                raise KeyboardInterrupt
            found = _compare(scenario, read_trace(path / "trace.parquet"), finer.path)
        return {**more, "grid_check": found}

    return check


def _refuse(scenario: Scenario) -> None:
    zones = expand(scenario)
    if all(zone.soil.model != "richards" for zone in zones):
        raise SettingError('no zone has soil.model = "richards", the only one with a grid')
    for zone in zones:
        if not zone.node.simulated:
            raise SettingError(
                f"zone {zone.name} runs on node {zone.node.kind}; permitted: sim, because the "
                "field is run twice"
            )


def _finer(scenario: Scenario) -> Scenario:
    """The scenario with twice the cells."""
    zones = [
        zone.model_copy(
            update={"soil": zone.soil.model_copy(update={"cells": 2 * _cells(scenario)})}
        )
        for zone in scenario.zone
    ]
    return scenario.model_copy(update={"zone": tuple(zones)})


def _cells(scenario: Scenario) -> int:
    return max(zone.soil.cells for zone in scenario.zone)


def _compare(scenario: Scenario, coarse: Trace, finer: Path) -> dict[str, Any]:
    zones = expand(scenario)
    fine = read_trace(finer / "trace.parquet")
    with_grid = [i for i, zone in enumerate(zones) if zone.soil.model == "richards"]
    rows = np.isin(np.asarray(coarse["zone"]), with_grid)
    found: dict[str, Any] = {"cells": _cells(scenario), "finer_cells": 2 * _cells(scenario)}
    for name in WATER:
        apart = np.abs(_column(fine, name)[rows] - _column(coarse, name)[rows])
        found[name] = {"mean": float(apart.mean()), "largest": float(apart.max())}
    areas = np.array([zone.area_m2 for zone in zones])
    share = (areas / areas.sum())[np.asarray(coarse["zone"]).astype(int)]
    for name, columns in SUMS.items():
        more = sum(_column(fine, c) - _column(coarse, c) for c in columns)
        found[f"{name}_mm"] = float(share @ more)
    return found


def _column(trace: Trace, name: str) -> FloatArray:
    return np.asarray(trace[name], dtype=np.float64)
