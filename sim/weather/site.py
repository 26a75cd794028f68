"""What the place of a measurement does to its numbers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["wind_at_2m"]

FloatArray = npt.NDArray[np.float64]


def wind_at_2m(wind_m_s: FloatArray, height_m: float) -> FloatArray:
    """Wind speed [m s-1] at 2 m from that at `height_m`, FAO-56 Eq. 47; at 2 m unchanged."""
    if height_m == 2.0:
        return wind_m_s
    factor: float = 4.87 / math.log(67.8 * height_m - 5.42)
    return wind_m_s * factor
