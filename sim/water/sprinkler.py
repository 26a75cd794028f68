"""What wind and sun take of the water that sprinklers throw, before it reaches crop or ground.

Regressions of wind drift and evaporation losses (WDEL) measured by Playan et al. (2005), Agric.
Water Manage. 76(3), 139-159, Zaragoza, Spain: solid-sets by day and by night, moving laterals at
any time.  Water held by the leaves is counted by the field itself (`levada.sim.run.zone_loop`).

Left out: pressure, height and diameter of nozzles (the trials had usual ones), drift onto the next
zone, cooling of the crop by the spray.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from levada.sim.settings.water import SprayDrift

__all__ = ["MOST_LOST", "lost_share", "relative_humidity_pct"]

FloatArray = npt.NDArray[np.float64]

MOST_LOST: Final = 0.5
"""More than any trial lost; strong wind is beyond what the regressions were fitted to."""


def relative_humidity_pct(temp_c: FloatArray, ea_kpa: FloatArray) -> FloatArray:
    """Relative humidity [%], FAO-56 Eq. 10 and 11."""
    saturated_kpa = 0.6108 * np.exp(17.27 * temp_c / (temp_c + 237.3))
    return np.asarray(np.clip(100.0 * ea_kpa / saturated_kpa, 0.0, 100.0))


def lost_share(
    system: SprayDrift,
    *,
    wind_m_s: FloatArray,
    rh_pct: FloatArray,
    temp_c: FloatArray,
    day: npt.NDArray[np.bool_],
) -> FloatArray:
    """Share of the water thrown that is lost, 0 to `MOST_LOST`, by the hour.

    Playan et al. (2005), with U [m s-1] at 2 m, RH [%] and T [degC], losses in percent:
    solid-set by day 20.7 + 0.185 U^2 - 2.14e-3 RH^2, by night 3.7 + 1.31 U^2; moving lateral
    -2.1 + 1.91 U + 0.231 T.
    """
    if system == "none":
        return np.zeros(wind_m_s.size)
    if system == "moving-lateral":
        pct = -2.1 + 1.91 * wind_m_s + 0.231 * temp_c
    else:
        by_day = 20.7 + 0.185 * wind_m_s**2 - 2.14e-3 * rh_pct**2
        pct = np.where(day, by_day, 3.7 + 1.31 * wind_m_s**2)
    return np.asarray(np.clip(pct / 100.0, 0.0, MOST_LOST))
