"""What every soil model can do: the seam between the field and soil physics.

All zones of a field advance together.  Forcing, fluxes and observables are float64 arrays of shape
(n, columns), one row a zone, so that a compiled model takes them in one call.
`levada.sim.soil.bucket` (FAO-56) and `levada.sim.soil.richards` implement `SoilModel`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "FloatArray",
    "Flux",
    "ForcingCol",
    "Observed",
    "SoilModel",
    "new_fluxes",
    "new_forcing",
    "new_observed",
]

FloatArray = npt.NDArray[np.float64]


class ForcingCol(IntEnum):
    """Columns of the forcing, constant over one call of `advance`."""

    RAIN_MM_H = 0
    IRRIGATION_MM_H = 1
    """Mean over the zone's area while the valve delivers."""
    IRRIGATION_FROM_S = 2
    """Start of delivery within the interval [s]; a model must not smear this edge."""
    IRRIGATION_TO_S = 3
    """End of delivery within the interval [s]; equal to the start: no irrigation."""
    EVAPORATION_MM_H = 4
    """(Kc_max - Kcb) ET0: what energy allows, FAO-56 Eq. 71."""
    EVAPORATION_CAP_MM_H = 5
    """(1 - f_c) Kc_max ET0: what the part not covered by the crop allows, FAO-56 Eq. 71 and 75.
    A model that tracks the wetted fraction f_w limits it further to f_w Kc_max ET0."""
    TRANSPIRATION_MM_H = 6
    """Kcb ET0, potential."""
    ZR_M = 7
    """Root depth."""
    DEPLETION_FRACTION = 8
    """p of FAO-56 Eq. 82, already adjusted for what the crop transpires on that day.  A model that
    knows evaporation may adjust it itself, for all of ETc."""
    ET0_MM_H = 9
    KC_MAX = 10
    COVER = 11
    """f_c, fraction of the ground covered by the crop."""
    KCB = 12
    ET0_DAY_MM = 13
    """Reference ET of the whole day, from midnight to midnight."""
    STAGE = 14
    """0 no crop, 1 vegetative (initial and development), 2 mid-season, 3 late season."""
    RUNOFF_MM_H = 15
    """Rain that runs off by the curve number; RAIN_MM_H is what is left of the rain."""
    SPRAY_LOSS = 16
    """Share of IRRIGATION_MM_H that wind and sun take before it reaches crop or ground."""
    CANOPY_MM = 17
    """Water of sprinklers that the leaves can hold, over the zone's area."""


class Flux(IntEnum):
    """Columns of the fluxes: water that passed in one call [mm over the zone's area]."""

    RAIN_MM = 0
    IRRIGATION_MM = 1
    EVAPORATION_MM = 2
    TRANSPIRATION_MM = 3
    DRAINAGE_MM = 4
    """Out of the bottom; negative: capillary rise."""
    RUNOFF_MM = 5


class Observed(IntEnum):
    """Columns of the observables after a call."""

    STORAGE_MM = 0
    """All water in the model, ponding included: rain + irrigation - evaporation - transpiration -
    drainage - runoff is its change."""
    THETA_ROOT = 1
    """Mean water content of the root zone [m3 m-3]."""
    DR_MM = 2
    """Root zone depletion below field capacity, never below 0."""
    TAW_MM = 3
    RAW_MM = 4
    KS = 5
    """Water stress coefficient of the last interval, 1 = none."""
    THETA_PROBE = 6
    """Water content in the support volume of the probe [m3 m-3]."""
    PONDING_MM = 7
    HEAD_PROBE_M = 8
    """Pressure head at the probe (negative: suction); NaN in a model that has none."""
    FC_MM = 9
    """Water that the root zone holds at field capacity."""


def new_forcing(n: int) -> FloatArray:
    """Zero forcing for n zones, shape (n, len(F))."""
    return np.zeros((n, len(ForcingCol)))


def new_fluxes(n: int) -> FloatArray:
    """Zero fluxes for n zones, shape (n, len(Flux))."""
    return np.zeros((n, len(Flux)))


def new_observed(n: int) -> FloatArray:
    """Zero observables for n zones, shape (n, len(Observed))."""
    return np.zeros((n, len(Observed)))


class SoilModel(Protocol):
    """The soil of n zones."""

    n: int

    def advance(
        self, dt_s: float, forcing: FloatArray, fluxes: FloatArray, observed: FloatArray
    ) -> None:
        """Advance all zones by `dt_s`; *add* to `fluxes`, overwrite `observed`.

        Raises SoilError if the model cannot solve the interval, with zone and time.
        """

    def observe(self, observed: FloatArray) -> None:
        """Fill `observed` from the present state."""

    def profile(self) -> tuple[FloatArray, FloatArray]:
        """Depths of the cell centres [m], shape (cells,), and theta, shape (n, cells)."""

    def state(self) -> dict[str, Any]:
        """A copy of everything that changes, as arrays."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
