"""An ensemble of soils: one zone of a scenario, so many times, each with its own parameters.

The soils are the rows of one model (`levada.sim.soil.model.SoilModel`), as zones of a field are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from levada.sim.run import build, runner, soils
from levada.sim.scenario.expand import ZoneConfig
from levada.sim.scenario.model import Scenario
from levada.sim.scenario.soil import SoilLayer
from levada.sim.soil.model import (
    FloatArray,
    ForcingCol,
    Observed,
    SoilModel,
    new_fluxes,
    new_observed,
)
from levada.sim.units import HOUR_MS

__all__ = ["IntArray", "SoilEnsemble", "Trajectory", "with_parameters"]

IntArray = npt.NDArray[np.int64]

_LEAST_AVAILABLE = 0.02
"""Smallest difference of field capacity and wilting point of a member [m3 m-3]."""
_ET_COLUMNS = (
    ForcingCol.EVAPORATION_MM_H,
    ForcingCol.EVAPORATION_CAP_MM_H,
    ForcingCol.TRANSPIRATION_MM_H,
    ForcingCol.ET0_MM_H,
    ForcingCol.ET0_DAY_MM,
)
_RAIN_COLUMNS = (ForcingCol.RAIN_MM_H, ForcingCol.RUNOFF_MM_H)


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """What every member went through: t times, n members, c depths."""

    time_ms: IntArray
    probe: FloatArray
    """Water content around the probe [m3 m-3], shape (t, n)."""
    depths_m: FloatArray
    """Shape (c,)."""
    theta: FloatArray
    """Water content by depth [m3 m-3], shape (t, n, c)."""


def with_parameters(zone: ZoneConfig, values: Mapping[str, float]) -> ZoneConfig:
    """The zone with another soil: `theta_fc`, `theta_wp` and `initial` as factors.

    A layer that is described by its retention curve keeps it.
    """
    soil = zone.soil
    fc, wp = values.get("theta_fc", 1.0), values.get("theta_wp", 1.0)
    layers: list[SoilLayer] = []
    changed: dict[str, object] = {}
    if not soil.layer:
        changed |= _contents(soils.horizons(soil)[0], fc, wp)
    else:
        for layer, horizon in zip(soil.layer, soils.horizons(soil), strict=False):
            wanted = {} if layer.has_curve else _contents(horizon, fc, wp)
            layers.append(layer.model_copy(update=wanted))
        changed["layer"] = type(soil.layer)(layers)
    quantity = soil.initial.quantity
    if quantity in ("available_pct", "theta"):
        factor = values.get("initial", 1.0)
        if quantity == "theta":
            first = soils.horizons(soil)[0]
            given = [first.theta_wp + factor * (v - first.theta_wp) for v in soil.initial.values]
        else:
            given = [min(factor * v, 150.0) for v in soil.initial.values]
        changed["initial"] = soil.initial.model_copy(update={quantity: tuple(given)})
    return replace(zone, soil=soil.model_copy(update=changed))


def _contents(horizon: soils.Horizon, fc: float, wp: float) -> dict[str, object]:
    theta_fc = min(horizon.theta_fc * fc, 0.6)
    return {
        "theta_fc": theta_fc,
        "theta_wp": min(horizon.theta_wp * wp, theta_fc - _LEAST_AVAILABLE),
    }


class SoilEnsemble:
    """A zone's soil once for each column of `parameters`, which are arrays of one length by name
    (`levada.twin.estimate.parameters`); those that are not given are as in the scenario.

    Raises WeatherError or ValueError as a run of the scenario does.
    """

    def __init__(
        self, scenario: Scenario, zone: ZoneConfig, parameters: Mapping[str, FloatArray]
    ) -> None:
        self.n = len(next(iter(parameters.values())))
        self._start_ms = scenario.period.start_ms
        tables, _ = build.forcing_tables([zone], runner.read_weather(scenario))
        self.table: FloatArray = tables[0]
        """Hourly forcing of the scenario, shape (hours, columns), before the members' factors."""
        ones = np.ones(self.n)
        self._factors = np.ones((self.n, len(ForcingCol)))
        for column in _ET_COLUMNS:
            self._factors[:, column] = parameters.get("et0", ones)
        for column in _RAIN_COLUMNS:
            self._factors[:, column] = parameters.get("rain", ones)
        kcb = parameters.get("kcb", ones)
        self._factors[:, ForcingCol.TRANSPIRATION_MM_H] *= kcb
        self._factors[:, ForcingCol.KCB] = kcb
        self._factors[:, ForcingCol.ZR_M] = parameters.get("roots", ones)
        self._deepest_m = zone.soil.depth_m
        rate = zone.valve.flow_l_min * 60.0 / zone.area_m2
        self._irrigation_mm_h: FloatArray = rate * parameters.get("flow", ones)
        members = [
            with_parameters(zone, {name: float(v[i]) for name, v in parameters.items()})
            for i in range(self.n)
        ]
        roots = self._forcing(0)[:, ForcingCol.ZR_M].tolist()
        self.model: SoilModel = (
            soils.bucket(members, roots) if zone.soil.model == "bucket" else soils.richards(members)
        )

    def _forcing(self, hour: int) -> FloatArray:
        found = self.table[hour] * self._factors
        roots = found[:, ForcingCol.ZR_M]
        found[:, ForcingCol.ZR_M] = np.clip(roots, 0.05, self._deepest_m)
        return np.asarray(found)

    def run(self, times_ms: IntArray, openings_ms: IntArray) -> Trajectory:
        """Go on from the start of the scenario to the last of `times_ms`, all on the hour.

        `openings_ms` has a row (from, to) for each time the valve was open.  Raises SoilError if
        a member cannot be solved.
        """
        wanted = set(times_ms.tolist())
        last_ms = int(times_ms.max())
        hours = range(self._start_ms, last_ms + 1, HOUR_MS)
        inside = openings_ms[openings_ms < last_ms]
        edges = sorted({*hours, *(t for t in inside.tolist() if t > self._start_ms)})
        observed = new_observed(self.n)
        fluxes = new_fluxes(self.n)
        probe, theta = [], []
        for start_ms, end_ms in pairwise(edges):
            forcing = self._forcing((start_ms - self._start_ms) // HOUR_MS)
            seconds = (end_ms - start_ms) / 1000.0
            forcing[:, ForcingCol.IRRIGATION_FROM_S : ForcingCol.IRRIGATION_TO_S + 1] = 0.0
            forcing[:, ForcingCol.IRRIGATION_MM_H] = 0.0
            if _open(openings_ms, start_ms):
                forcing[:, ForcingCol.IRRIGATION_MM_H] = self._irrigation_mm_h
                forcing[:, ForcingCol.IRRIGATION_TO_S] = seconds
            self.model.advance(seconds, forcing, fluxes, observed)
            if end_ms in wanted:
                probe.append(observed[:, Observed.THETA_PROBE].copy())
                theta.append(self.model.profile()[1])
        return Trajectory(
            time_ms=np.array(sorted(wanted)),
            probe=np.array(probe),
            depths_m=self.model.profile()[0],
            theta=np.array(theta),
        )


def _open(openings_ms: IntArray, time_ms: int) -> bool:
    return bool(np.any((openings_ms[:, 0] <= time_ms) & (time_ms < openings_ms[:, 1])))
