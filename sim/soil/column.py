"""One soil column by itself, for use from Python: layers and forcing in, profiles and fluxes out.

The same model as in a field (`levada.sim.soil.richards`), without crop, probe or valve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from levada.sim.soil.model import (
    FloatArray,
    Flux,
    ForcingCol,
    Observed,
    new_fluxes,
    new_forcing,
    new_observed,
)
from levada.sim.soil.richards import Richards
from levada.sim.soil.richards_profile import Bottom, InitialProfile, Layer, SoilProfile, Surface

__all__ = ["Column", "ColumnResult"]

FORCING = {
    "rain_mm_h": ForcingCol.RAIN_MM_H,
    "irrigation_mm_h": ForcingCol.IRRIGATION_MM_H,
    "evaporation_mm_h": ForcingCol.EVAPORATION_MM_H,
    "transpiration_mm_h": ForcingCol.TRANSPIRATION_MM_H,
    "root_depth_m": ForcingCol.ZR_M,
}
"""Forcing by name: potential rates, and the depth over which roots take up water."""


@dataclass(frozen=True, kw_only=True)
class ColumnResult:
    """What happened in a run: t times, c cells; depths and fluxes are positive down."""

    times_s: FloatArray
    """(t,)"""
    depths_m: FloatArray
    """Cell centres (c,)."""
    faces_m: FloatArray
    """Cell faces (c + 1,)."""
    theta: FloatArray
    """Water content [m3 m-3] (t, c)."""
    head_m: FloatArray
    """Pressure head (t, c)."""
    flow_mm: FloatArray
    """Water through each face in each interval (t - 1, c + 1); the first is infiltration less
    evaporation, the last drainage."""
    uptake_mm: FloatArray
    """Water taken up by roots in each interval (t - 1, c)."""
    ponding_mm: FloatArray
    """(t,)"""
    fluxes_mm: FloatArray
    """Columns of `levada.sim.soil.model.Flux` in each interval (t - 1, 6)."""


class Column:
    """A soil column.

    `cells` is a number of cells graded from `top_cell_m` downwards, or the faces [m].
    `theta_error` is the accepted error of a time step; further settings as in
    `levada.sim.soil.richards_profile.SoilProfile`.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        cells: int | Sequence[float] | FloatArray = 50,
        top_cell_m: float = 0.01,
        surface: Surface | None = None,
        bottom: Bottom | None = None,
        initial: InitialProfile | None = None,
        theta_error: float = 1e-3,
        **settings: Any,
    ) -> None:
        profile = SoilProfile(
            layers=layers,
            surface=surface or Surface(),
            bottom=bottom or Bottom(),
            initial=initial or InitialProfile(),
            theta_error=theta_error,
            probe_depth_m=0.0,
            **settings,
        )
        self.model = Richards([profile], cells=cells, top_cell_m=top_cell_m)

    def run(
        self, forcing: Mapping[str, npt.ArrayLike], times_s: Sequence[float] | FloatArray
    ) -> ColumnResult:
        """Run from the first to the last of `times_s` [s], on from where the column stands.

        `forcing` holds by name (see FORCING) a number, or one for each interval between times.
        Raises ValueError for unknown names or times that do not increase, SoilError if the
        column cannot be solved.
        """
        times = np.asarray(times_s, dtype=np.float64)
        if times.ndim != 1 or len(times) < 2 or np.any(np.diff(times) <= 0.0):
            raise ValueError(f"times_s of shape {times.shape}; permitted: two or more, increasing")
        unknown = sorted(set(forcing) - set(FORCING))
        if unknown:
            raise ValueError(f"forcing {', '.join(unknown)}; permitted: {', '.join(FORCING)}")
        rows = np.zeros((len(times) - 1, len(ForcingCol)))
        for name, values in forcing.items():
            rows[:, FORCING[name]] = values
        # here evaporation is limited by the soil alone
        rows[:, ForcingCol.EVAPORATION_CAP_MM_H] = rows[:, ForcingCol.EVAPORATION_MM_H]
        rows[:, ForcingCol.ET0_MM_H] = rows[:, ForcingCol.EVAPORATION_MM_H]
        rows[:, ForcingCol.KC_MAX] = 1.0
        return self._run(rows, times)

    def _run(self, rows: FloatArray, times: FloatArray) -> ColumnResult:
        model, observed = self.model, new_observed(1)
        depths, theta = model.profile()
        faces = model.faces_m[0]
        model.observe(observed)
        thetas, heads, uptake = [theta[0]], [model.heads()[0]], [model.uptake_mm()[0]]
        ponding, fluxes = [observed[0, Observed.PONDING_MM]], []
        forcing = new_forcing(1)
        for row, seconds in zip(rows, np.diff(times), strict=True):
            forcing[0] = row
            forcing[0, ForcingCol.IRRIGATION_TO_S] = seconds
            passed = new_fluxes(1)
            model.advance(float(seconds), forcing, passed, observed)
            fluxes.append(passed[0])
            thetas.append(model.profile()[1][0])
            heads.append(model.heads()[0])
            uptake.append(model.uptake_mm()[0])
            ponding.append(observed[0, Observed.PONDING_MM])
        theta = np.array(thetas)
        passed = np.array(fluxes)
        taken = np.diff(np.array(uptake), axis=0)
        top = (
            passed[:, Flux.RAIN_MM]
            + passed[:, Flux.IRRIGATION_MM]
            - passed[:, Flux.EVAPORATION_MM]
            - passed[:, Flux.RUNOFF_MM]
            - np.diff(np.array(ponding))
        )
        gained = np.diff(theta, axis=0) * np.diff(faces) * 1000.0 + taken
        flow = np.concatenate([top[:, None], top[:, None] - np.cumsum(gained, axis=1)], axis=1)
        return ColumnResult(
            times_s=times,
            depths_m=depths,
            faces_m=faces,
            theta=theta,
            head_m=np.array(heads),
            flow_mm=flow,
            uptake_mm=taken,
            ponding_mm=np.array(ponding),
            fluxes_mm=passed,
        )
