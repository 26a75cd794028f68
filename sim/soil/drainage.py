"""Free drainage of a saturated soil: to what water content, and which soil drains to a given one.

Field capacity is what a soil still holds when, wetted through and protected from evaporation, it
has drained for two or three days (Veihmeyer and Hendrickson 1931, Soil Sci. 32:181-193).  So it is
computed here: a column of one soil, saturated at the start, drains under a unit gradient at its
bottom, by the same solver that a field uses.  The mean of the upper 0.6 m hardly depends on the
depth of the column, because water drains from above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np

from levada.sim.errors import SoilError
from levada.sim.soil.hydraulics import FloatArray, VanGenuchten, table
from levada.sim.soil.model import new_fluxes, new_forcing, new_observed
from levada.sim.soil.richards import Richards
from levada.sim.soil.richards_profile import InitialProfile, Layer, SoilProfile
from levada.sim.units import DAY_S

__all__ = ["DRAINED_M", "drained", "drains_to", "solve"]

Soil = TypeVar("Soil", bound=VanGenuchten)

DRAINED_M = 0.6
"""Depth over which the water content is averaged."""
_COLUMN_M = 1.5
_CELLS = 40
_CLOSE = 2e-4
"""Error of theta at which the search ends [m3 m-3]."""


def drained(soils: Sequence[VanGenuchten], times_d: Sequence[float]) -> FloatArray:
    """Water contents, shape (soils, times), after so many days, increasing, of free drainage.

    Mean of 0 to `DRAINED_M` [m3 m-3] of columns saturated at the start.  Raises ValueError where
    the drainage of a soil cannot be solved.
    """
    columns = [
        SoilProfile(
            layers=[
                Layer(
                    thickness_m=_COLUMN_M, soil=s, theta_fc=s.theta_s, theta_wp=s.theta_r
                )  # they play no part
            ],
            initial=InitialProfile(quantity="head_m", values=(0.0,)),
        )
        for s in soils
    ]
    # quadrature of the tables by one part an interval: a tenth of the time for 1e-5 of theta
    model = Richards(columns, cells=_CELLS, hydraulic_table=partial(table, parts=1))
    faces_m = model.faces_m[0]
    inside_m = np.clip(np.minimum(faces_m[1:], DRAINED_M) - faces_m[:-1], 0.0, None)
    n = len(soils)
    found = np.empty((n, len(times_d)))
    for k, step_d in enumerate(np.diff(times_d, prepend=0.0)):
        try:
            model.advance(step_d * DAY_S, new_forcing(n), new_fluxes(n), new_observed(n))
        except SoilError as error:
            raise ValueError(f"the drainage of this soil cannot be solved: {error}") from error
        found[:, k] = model.profile()[1] @ inside_m / DRAINED_M
    return found


@lru_cache(maxsize=1024)
def drains_to(soil: VanGenuchten, times_d: tuple[float, ...]) -> tuple[float, ...]:
    """Water contents [m3 m-3] of one soil after so many days of free drainage; see `drained`."""
    return tuple(float(value) for value in drained([soil], times_d)[0])


def solve(
    soil: Callable[[float], Soil], theta: float, time_d: float, low: float, high: float
) -> Soil:
    """The soil of a family that drains to `theta` [m3 m-3] after `time_d` days.

    `soil` makes a member from a positive parameter between `low` and `high`; the water content
    falls as the parameter grows.  Where no member reaches `theta`, the nearest one.  By regula
    falsi in the logarithm of the parameter, with the Illinois rule (Dowell and Jarratt 1971, BIT
    11:168-174).
    """

    def off(x: float) -> float:
        return float(drained([soil(float(np.exp(x)))], [time_d])[0, 0]) - theta

    left, right = float(np.log(low)), float(np.log(high))
    f_left, f_right = off(left), off(right)
    if f_left <= 0.0 or f_right >= 0.0:
        return soil(low if f_left <= 0.0 else high)
    x = left
    for _ in range(40):
        x = (left * f_right - right * f_left) / (f_right - f_left)
        f = off(x)
        if abs(f) < _CLOSE:
            break
        if f > 0.0:
            left, f_left, f_right = x, f, 0.5 * f_right
        else:
            right, f_right, f_left = x, f, 0.5 * f_left
    return soil(float(np.exp(x)))
