"""How well irrigation was used: net depth, application efficiency, uniformity, productivity.

Terms of Burt et al. (1997), J. Irrig. Drain. Eng. 123(6), 423-442, and Keller and Bliesner (1990),
Sprinkle and Trickle Irrigation.  The gross depth is what the valve lets pass; the net depth is what
stays for the crop.
"""

from __future__ import annotations

from math import nan

import numpy as np
import numpy.typing as npt

__all__ = ["distribution_uniformity", "net_irrigation_mm", "productivity_kg_m3"]


def net_irrigation_mm(
    irrigation_mm: float, rain_mm: float, drainage_mm: float, runoff_mm: float
) -> float:
    """Irrigation that reached the ground, less its share of drainage and runoff [mm].

    Which water drains cannot be seen; rain and irrigation are taken to lose the same share.
    Capillary rise (drainage below 0) is no loss.
    """
    arrived_mm = irrigation_mm + rain_mm
    if irrigation_mm <= 0.0 or arrived_mm <= 0.0:
        return 0.0
    lost = (max(drainage_mm, 0.0) + max(runoff_mm, 0.0)) / arrived_mm
    return irrigation_mm * max(1.0 - lost, 0.0)


def distribution_uniformity(depths_mm: npt.ArrayLike, areas_m2: npt.ArrayLike) -> float:
    """DU of the low quarter: mean depth of the quarter of the area that got least, over the mean.

    Burt et al. (1997).  NaN without water.
    """
    depths, areas = np.asarray(depths_mm, np.float64), np.asarray(areas_m2, np.float64)
    order = np.argsort(depths, kind="stable")
    ends = np.cumsum(areas[order])
    quarter = ends[-1] / 4.0
    inside = np.clip(quarter - (ends - areas[order]), 0.0, areas[order])
    mean = float(np.average(depths, weights=areas))
    return float((depths[order] * inside).sum() / quarter / mean) if mean > 0.0 else nan


def productivity_kg_m3(yield_t_ha: float, water_mm: float) -> float:
    """Yield per volume of water [kg m-3]: 1 t/ha over 1 mm, which is 10 m3/ha, is 100 kg/m3."""
    return 100.0 * yield_t_ha / water_mm if water_mm > 0.0 else nan
